/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Lists: create, release, destroy, statistics
 *
 * State: struct mirror_list in mirror_list.h.
 *
 * Algorithm.  Release calls each live mirror under a pin (mirror_pin.c).  When its callback has returned, the entry's
 * released becomes the next seq: brackets from then on pass over the entry.
 *
 * Why it is safe.  Release is called once: list->released is set under the lock, by the one call that returns 0.  A
 * mirror stays in the list until its release has returned, so that no bracket misses it.  If an unregister comes first,
 * the entry is dead, and the pin fails; if it comes later, it waits for the pin.  (list-release; mutants
 * UNLINK_BEFORE_RELEASE, RELEASE_TWICE)
 *
 * Source: Linux mm/mmu_notifier.c v6.12 (what release is for).
 */

#include "mirror_memory.h"
#include "mirror_move.h"
#include "mirror_order.h"
#include "mirror_pin.h"
#include "mirror_report.h"
#include "sizes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- statistics ---- */

/* Starts and ends. */
static uint64_t bracket_walks_of(const struct walker *w)
{
	uint64_t others = load_acquire(&w->others); /* first, so that it is the smaller one */

	return load_relaxed(&w->walks) + load_relaxed(&w->nested) - others;
}

static struct mirror_list_stats count(struct mirror_list *list)
{
	struct mirror_list_stats stats;
	struct walker *w;

	gate_lock(&list->lock);
	stats = (struct mirror_list_stats){
		.registered = list->nr_mirrors,
		.walks = bracket_walks_of(&list->fallback),
		.callbacks = load_relaxed(&list->fallback.callbacks),
		.refusals = load_relaxed(&list->fallback.refusals),
		.drains = list->nr_drains,
		.longest_drain_ns = list->longest_drain_ns,
		.retired_bytes = garbage_bytes_(list),
	};
	gate_unlock(&list->lock);
	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		stats.walks += bracket_walks_of(w);
		stats.callbacks += load_relaxed(&w->callbacks);
		stats.refusals += load_relaxed(&w->refusals);
	}
	return stats;
}

int mirror_list_get_stats(struct mirror_list *list, struct mirror_list_stats *stats)
{
	struct mirror_list_stats all;
	size_t size;

	if (!list || !stats || !is_size(stats->size, sizeof(stats->size)))
		return -EINVAL;
	size = stats->size;
	all = count(list);
	all.size = size < sizeof(all) ? size : sizeof(all);
	memset(stats, 0, size);
	memcpy(stats, &all, all.size);
	return 0;
}

/* ---- release ---- */

/* Brackets from now on pass over @e, which is pinned. */
static void set_released(struct mirror_list *list, struct mirror__entry *e)
{
	gate_lock(&list->lock);
	/* next_seq_ makes both visible */
	store_relaxed(&e->mirror->mirror__released, list->seq + 1);
	fetch_or(&e->state, ENTRY_RELEASED);
	next_seq_(list);
	gate_unlock(&list->lock);
}

static void call_release(struct mirror *m)
{
	if (m->ops->release)
		m->ops->release(m);
}

static void release_one(struct walk *walk, struct mirror__entry *e)
{
	uint32_t state = pin_(walk, e);
	struct mirror *m;

	if (state & ENTRY_PROXY)
		state = pin_main(walk, &e, NEVER);
	if (!(state & ENTRY_DEAD)) {
		m = e->mirror;
		also_if(UNLINK_BEFORE_RELEASE, set_released(walk->list, e));
		call_release(m);
		also_if(RELEASE_TWICE, call_release(m));
		set_released(walk->list, e);
		end_timing_(walk, e);
	}
	unpin_(walk, walk->pin, e);
}

/* Also run when an exception passes: then the pin shows who threw.  The done() behind it may throw too. */
static void end_release_of(struct walk **begun)
{
	struct walk *walk __attribute__((cleanup(end_walk_))) = *begun;
	struct mirror__entry *pinned = load_relaxed(walk->pin);

	if (pinned)
		unpin_(walk, walk->pin, pinned);
}

/* In a walk: whether the list had not been released before. */
static bool release_all(struct walk *begun)
{
	struct walk *walk __attribute__((cleanup(end_release_of))) = begun;
	struct mirror_list *list = walk->list;
	struct forwards all;
	struct mirror__entry *e;
	bool again;

	gate_lock(&list->lock);
	wait_for_turn_(list); /* no mirror is half-way in */
	again = list->released;
	list->released = true; /* no mirror registers any more */
	gate_unlock(&list->lock);
	if (again)
		return false;
	forwards_begin(&all, list, (struct view){ 0, UINT64_MAX, NEVER, NULL });
	while ((e = forwards_next(&all)))
		release_one(walk, e);
	return true;
}

int mirror_list_release(struct mirror_list *list)
{
	struct walk walk;
	int rc;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	rc = enter_(&walk, list, my_walker_(list), RELEASE, MIRROR_MAX_DEPTH, true);
	if (rc)
		return rc;
	return release_all(&walk) ? 0 : -EALREADY;
}

/* ---- create and destroy ---- */

static bool is_complete(const struct mirror_sync *sync)
{
	if (!sync->read_lock != !sync->read_unlock)
		return false;
	if (sync->kind == MIRROR_SYNC_LOCK)
		return sync->write_lock && sync->write_unlock;
	return sync->kind == MIRROR_SYNC_GRACE_PERIOD && sync->synchronize &&
	       !sync->get_state == !sync->poll_state;
}

/* Make the parts of a list, in this order; if one fails, destroy those that were made. */
static int build(struct mirror_list *list)
{
	struct usrcu_attr attr = {
		.size = sizeof(attr),
		.name = list->name,
		.flags = list->membarrier ? 0 : USRCU_FULL_FENCE,
		.report = report_of_part_,
		.report_arg = list,
	};
	int rc;

	memory_init_(list);
	rc = slots_init(&list->walkers, sizeof(struct walker));
	if (rc)
		return rc;
	rc = usrcu_create_part_(&list->brackets, &attr, &list->walkers, USRCU_HANDED_OVER);
	if (rc)
		goto destroy_walkers;
	if (list->sync == &mirror_sync_srcu) {
		rc = usrcu_create_part_(&list->sections, &attr, &list->walkers, USRCU_SECTIONS);
		list->sync_state = list->sections;
	} else if (list->sync->create) {
		rc = list->sync->create(&list->sync_state);
	}
	if (rc)
		goto destroy_brackets;
	return 0;

destroy_brackets:
	usrcu_destroy(list->brackets);
destroy_walkers:
	slots_destroy(&list->walkers);
	return rc;
}

static void free_list(struct mirror_list *list)
{
	struct mirror_allocator allocator = list->allocator;

	if (allocator.free)
		allocator.free(allocator.arg, list, sizeof(*list));
	else
		port_free(list);
}

/* The attributes as this library knows them, and with the defaults: 0, -EINVAL or -E2BIG. */
static int complete_attr(struct mirror_list_attr *full, const struct mirror_list_attr *attr)
{
	static const struct mirror_allocator from_malloc;
	int rc = attr ? check_size(attr, attr->size, sizeof(attr->size), sizeof(*attr)) : 0;

	*full = (struct mirror_list_attr){ 0 };
	if (rc)
		return rc;
	if (attr)
		memcpy(full, attr, attr->size < sizeof(*full) ? attr->size : sizeof(*full));
	if (!full->sync)
		full->sync = &mirror_sync_srcu;
	if (!full->allocator)
		full->allocator = &from_malloc;
	if (full->flags & ~(unsigned)(MIRROR_LIST_DRAIN_DOMAIN | MIRROR_LIST_FULL_FENCE) ||
	    !full->allocator->alloc != !full->allocator->free)
		return -EINVAL;
	rc = check_size(full->sync, full->sync->size, sizeof(*full->sync), sizeof(*full->sync));
	if (rc)
		return rc;
	return is_complete(full->sync) ? 0 : -EINVAL;
}

/* libmirror-preload's, where that is in the process. */
__attribute__((weak)) uint64_t mirror_preload_stalls(void (**stall)(void *arg, const struct mirror_stall *stall));

/* mirror-watch hears which callbacks are late, of a list that does not report them itself. */
static void let_watch(struct mirror_list *l)
{
	if (!l->stall_ns && mirror_preload_stalls)
		l->stall_ns = mirror_preload_stalls(&l->stall);
}

int mirror_list_create(struct mirror_list **list, const struct mirror_list_attr *attr)
{
	const struct mirror_allocator *allocator;
	struct mirror_list_attr full;
	const struct mirror_sync *sync;
	struct mirror_list *l;
	int rc;

	if (!list)
		return -EINVAL;
	rc = complete_attr(&full, attr);
	if (rc)
		return rc;
	attr = &full;
	sync = attr->sync;
	allocator = attr->allocator;
	l = allocator->alloc ? allocator->alloc(allocator->arg, sizeof(*l)) : port_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	process_begin();
	port_mutex_init(&l->lock);
	l->pending_end = &l->pending;
	l->sync = sync;
	l->grace_period = sync->kind == MIRROR_SYNC_GRACE_PERIOD;
	l->targeted = sync->poll_state && !(attr->flags & MIRROR_LIST_DRAIN_DOMAIN);
	l->membarrier = !(attr->flags & MIRROR_LIST_FULL_FENCE) && port_membarrier_register() == 0;
	l->fencing = l->membarrier ? FENCING_OFF : FENCING_ALL; /* then for good */
	l->allocator = *allocator;
	l->stall_ns = attr->stall_ns;
	l->stall = attr->stall;
	l->stall_arg = attr->stall_arg;
	let_watch(l);
	l->report = attr->report;
	l->report_arg = attr->report_arg;
	snprintf(l->name, sizeof(l->name), "%s", attr->name ? attr->name : "");
	rc = build(l);
	if (rc) {
		free_list(l);
		return rc;
	}
	*list = l;
	return 0;
}

int mirror_list_destroy(struct mirror_list *list)
{
	bool busy;

	if (!list)
		return -EINVAL;
	gate_lock(&list->lock);
	busy = list->nr_mirrors || oldest_pending_(list) != NEVER;
	gate_unlock(&list->lock);
	/* An open bracket is a section of list->brackets; a walk outside of any bracket is in a callback. */
	if (busy || in_callback_(list) || usrcu_synchronize_timeout(list->brackets, 0))
		return -EBUSY;
	if (list->sync->destroy && list->sync->destroy(list->sync_state))
		return -EBUSY;
	usrcu_destroy(list->brackets);
	memory_destroy_(list);
	slots_destroy(&list->walkers);
	free_list(list);
	return 0;
}
