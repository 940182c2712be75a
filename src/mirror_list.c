/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Lists: create, register, release, destroy
 *
 * Terms.  The array is that of the entries of whole-list mirrors, in order of registration;
 * range mirrors stand in the index (index.h).
 *
 * State: struct mirror_list in mirror_list.h.
 *
 * Algorithm
 *   1. Register puts an entry in the next place of the array, or a range in the index, then publishes
 *      it by seq.
 *   2. When the array is full, its live entries are copied to a new one, at most half full.  So a
 *      registration costs a constant on average.
 *   3. Unregister empties the place (unlink_) and, once drained, retires the entry.
 *   4. Release calls each live mirror under a pin (mirror_unregister.c), and when its callback has
 *      returned names the next seq as the entry's released: brackets from then on pass over it.
 *
 * Why it is safe
 *   1. Who reads seq finds every entry with joined <= seq: A below.  An array that is being replaced
 *      keeps its places.  A place behind the last entry may be used again under a walk that counted
 *      it before: such a walk sees when the new entry joined, B, which is after the walk's seq.
 *      (list-place, list-place-end; mutants PLACE_NO_RELEASE, PLACE_TRUSTED)
 *   2. Release happens once: released is set under the lock, by the one call that returns 0.  A
 *      mirror stays in the array until its release has returned, so that no bracket misses it.
 *      An unregister that comes first makes it dead, and the pin fails; one that comes later
 *      waits for the pin.  (list-release; mutants UNLINK_BEFORE_RELEASE, RELEASE_TWICE)
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | register | the entry before seq | release | mirror_walk.c:A | a bracket misses a mirror that it should call | list-register |
 * | B | register | the entry before its place, which a walk may have counted before | release | mirror_order.h:A | a bracket calls a mirror that joined later | list-place |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 (what release is for).
 */

#include "mirror_order.h"

#include <errno.h>
#include <stdio.h>

/* ---- the array and the index; all under list->lock ---- */

void next_seq_(struct mirror_list *list)
{
	store_release(&list->seq, list->seq + 1);
}

/* ---- register ---- */

/* Under lock, given up meanwhile: entries for all, in the index where they are ranges. */
static int make_entries(struct mirror_list *list, struct mirror *const *mirrors,
			const struct mirror_extent *ranges, size_t count, size_t *made)
{
	struct mirror__entry *e;

	for (*made = 0; *made < count; ++*made) {
		const struct mirror_extent *range = ranges ? &ranges[*made] : NULL;
		struct mirror *m = mirrors[*made];

		e = get_entry_(list);
		if (!e)
			return -ENOMEM;
		*e = (struct mirror__entry){
			.mirror = m,
			.first = range ? range->start : 0,
			.last = range ? range->end - 1 : UINT64_MAX,
			.released = NEVER,
			.fills_from = NEVER,
		};
		store_relaxed(&e->joined, NEVER); /* in the index walks see it before it is registered */
		if (range && get_nodes_(list)) {
			retire_entry_(list, e);
			return -ENOMEM;
		}
		m->mirror__place = IN_INDEX;
		store_relaxed(&m->mirror__entry, e);
		if (range)
			index_insert(&list->index, e->first, e->last, e, m);
	}
	retire_nodes_(list);
	return ranges ? 0 : get_places_(list, count);
}

/* Under lock: they are registered, in this order. */
static void join(struct mirror_list *list, struct mirror *const *mirrors, bool whole,
		    size_t count)
{
	struct whole_array *array = list->whole;
	size_t i;

	for (i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];
		struct mirror__entry *e = m->mirror__entry;

		store_relaxed(&e->joined, list->seq + 1 + i);
		if (whole) {
			m->mirror__place = array->used;
			/* B (pairs with mirror_order.h:A): the entry before its place. */
			if (MUTANT(PLACE_NO_RELEASE))
				store_relaxed(&array->place[array->used], e);
			else
				store_release(&array->place[array->used], e);
			store_release(&array->used, array->used + 1);
			list->nr_live++;
		}
		m->mirror__list = list;
		m->mirror__settle = UNSETTLED;
		set_state_(m, STATE_REGISTERED);
	}
	list->nr_mirrors += count;
	if (MUTANT(REGISTER_NO_RELEASE))
		store_relaxed(&list->seq, list->seq + count);
	else
		store_release(&list->seq, list->seq + count); /* A (pairs with mirror_walk.c:A): entries first */
}

/* Under lock: no bracket has seen them. */
static void take_back(struct mirror_list *list, struct mirror *const *mirrors, bool in_index,
		      size_t made)
{
	for (size_t i = 0; i < made; i++) {
		struct mirror__entry *e = mirrors[i]->mirror__entry;

		if (in_index)
			index_remove(&list->index, e->first, e);
		retire_entry_(list, e);
	}
	retire_nodes_(list);
}

/* Over a lock, the caller excludes walks. */
static int insert(struct mirror_list *list, struct mirror *const *mirrors,
		  const struct mirror_extent *ranges, size_t count)
{
	struct garbage garbage = { 0 };
	size_t made = 0;
	int rc = 0;

	port_mutex_lock(&list->lock);
	if (!list->released)
		rc = make_entries(list, mirrors, ranges, count, &made);
	if (list->released) /* looked at last, because the lock was given up */
		rc = -ESHUTDOWN;
	if (rc)
		take_back(list, mirrors, ranges, made);
	else
		join(list, mirrors, !ranges, count);
	reclaim_(list, &garbage);
	port_mutex_unlock(&list->lock);
	free_arrays_(list, &garbage);
	return rc;
}

/*
 * Make each ours to register.  What was marked is counted in @marked, and what it was before is
 * kept where nothing else is until it is registered.
 */
static int claim_joining(struct mirror *const *mirrors, const struct mirror_extent *ranges,
			size_t count, size_t *marked)
{
	for (*marked = 0; *marked < count; ++*marked) {
		struct mirror *m = mirrors[*marked];

		if (!m || (ranges && ranges[*marked].start >= ranges[*marked].end))
			return -EINVAL;
		if (get_state_(m) != STATE_NONE && get_state_(m) != STATE_GONE)
			return -EBUSY;
		m->mirror__settle = get_state_(m);
		set_state_(m, STATE_JOINING);
	}
	return 0;
}

static int add(struct mirror_list *list, struct mirror *const *mirrors, const struct mirror_ops *ops,
	       const struct mirror_extent *ranges, size_t count)
{
	size_t marked;
	int rc;

	if (!list || !ops ||
	    (ops->size != sizeof(*ops) && ops->size != offsetof(struct mirror_ops, finish)))
		return -EINVAL;
	rc = claim_joining(mirrors, ranges, count, &marked);
	if (!rc && !list->grace_period)
		rc = in_callback_(list) ? -EDEADLK :
					  list->sync->write_lock(list->sync_state, PORT_FOREVER);
	if (!rc) {
		for (size_t i = 0; i < count; i++)
			mirrors[i]->ops = ops;
		rc = insert(list, mirrors, ranges, count);
		if (!list->grace_period)
			list->sync->write_unlock(list->sync_state);
	}
	for (size_t i = 0; rc && i < marked; i++)
		set_state_(mirrors[i], (enum mirror_state)mirrors[i]->mirror__settle);
	return rc;
}

int mirror_register(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops)
{
	return add(list, &m, ops, NULL, 1);
}

int mirror_register_range(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops,
			  uint64_t start, uint64_t end)
{
	const struct mirror_extent range = { start, end };

	return add(list, &m, ops, &range, 1);
}

int mirror_register_many(struct mirror_list *list, struct mirror *const *mirrors,
			 const struct mirror_ops *ops, const struct mirror_extent *ranges,
			 size_t count)
{
	if (!mirrors && count)
		return -EINVAL;
	return add(list, mirrors, ops, ranges, count);
}

int mirror_list_get_stats(struct mirror_list *list, struct mirror_list_stats *stats)
{
	struct walker *w;

	if (!list || !stats || stats->size != sizeof(*stats))
		return -EINVAL;
	port_mutex_lock(&list->lock);
	*stats = (struct mirror_list_stats){
		.size = sizeof(*stats),
		.registered = list->nr_mirrors,
		.walks = load_relaxed(&list->fallback.walks),
		.callbacks = load_relaxed(&list->fallback.callbacks),
		.refusals = load_relaxed(&list->fallback.refusals),
		.drains = list->nr_drains,
		.longest_drain_ns = list->longest_drain_ns,
		.retired_bytes = list->retired.bytes + list->due.bytes,
	};
	port_mutex_unlock(&list->lock);
	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		stats->walks += load_relaxed(&w->walks);
		stats->callbacks += load_relaxed(&w->callbacks);
		stats->refusals += load_relaxed(&w->refusals);
	}
	return 0;
}

/* ---- release ---- */

static void release_one(const struct walk *walk, struct mirror__entry *e)
{
	struct mirror_list *list = walk->list;
	struct mirror *m;

	if (!pin_(walk, e))
		return;
	m = e->mirror;
	if (MUTANT(UNLINK_BEFORE_RELEASE)) {
		port_mutex_lock(&list->lock);
		store_relaxed(&e->released, list->seq + 1);
		next_seq_(list);
		port_mutex_unlock(&list->lock);
	}
	if (m->ops->release)
		m->ops->release(m);
	if (MUTANT(RELEASE_TWICE) && m->ops->release)
		m->ops->release(m);
	port_mutex_lock(&list->lock);
	store_relaxed(&e->released, list->seq + 1); /* published by seq */
	next_seq_(list);
	port_mutex_unlock(&list->lock);
	unpin_(walk, e);
}

int mirror_list_release(struct mirror_list *list)
{
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	struct order order __attribute__((cleanup(order_end))) = { .pages = NULL };
	struct view all = { .seq = NEVER - 1, .last = UINT64_MAX, .before = NEVER };
	struct mirror__entry *e;
	bool again;
	int rc;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	rc = enter_(&walk, list, "release", MIRROR_MAX_DEPTH, true);
	if (rc)
		return rc;
	port_mutex_lock(&list->lock);
	again = list->released;
	list->released = true; /* nobody registers any more */
	port_mutex_unlock(&list->lock);
	if (again)
		return -EALREADY;
	order_begin(&order, list, &all, false);
	while ((e = order_next(&order)))
		release_one(&walk, e);
	return 0;
}

void misuse_(const struct mirror_list *list, const char *function, const char *rule)
{
	fprintf(stderr, "mirror list %s: %s: %s\n",
		list && list->name[0] ? list->name : "(unnamed)", function, rule);
}

/* ---- create and destroy ---- */

static struct mirror_list *list_of(struct slots *slots)
{
	return (struct mirror_list *)((char *)slots - offsetof(struct mirror_list, walkers));
}

static bool vacate(struct slots *slots, void *mine)
{
	const struct walker *w = mine;

	if (w->depth)
		misuse_(list_of(slots), w->what[w->depth - 1], "its thread exits inside this callback");
	return !w->depth;
}

/* Its walks are not under way here. */
static void vanish(struct slots *slots, void *its)
{
	struct walker *w = its;

	(void)slots;
	for (int i = 0; i < MAX_PINS; i++)
		w->pin[i] = NULL;
	w->depth = 0;
}

static void before_fork(struct slots *slots)
{
	port_mutex_lock(&list_of(slots)->lock);
}

static void after_fork(struct slots *slots, bool in_child)
{
	struct mirror_list *list = list_of(slots);
	struct walker *mine = slots_mine(slots);

	if (in_child && mine)
		store_relaxed(&mine->tid, (uint64_t)port_tid());
	if (in_child && list->fallback.thread && list->fallback.thread != port_self()) {
		vanish(slots, &list->fallback);
		list->fallback.thread = NULL;
		port_mutex_init(&list->fallback_lock);
	}
	port_mutex_unlock(&list->lock);
}

static const struct slots_ops walker_slots = { vacate, vanish, before_fork, after_fork };

static bool is_complete(const struct mirror_sync *sync)
{
	if (sync->size != sizeof(*sync) || !sync->read_lock != !sync->read_unlock)
		return false;
	if (sync->kind == MIRROR_SYNC_LOCK)
		return sync->write_lock && sync->write_unlock;
	return sync->kind == MIRROR_SYNC_GRACE_PERIOD && sync->synchronize &&
	       !sync->get_state == !sync->poll_state;
}

/* What a list is made of, in this order; what was made is taken back where one fails. */
static int build(struct mirror_list *list)
{
	struct usrcu_attr attr = {
		.size = sizeof(attr),
		.name = list->name,
		.flags = list->membarrier ? 0 : USRCU_FULL_FENCE,
	};
	int rc;

	rc = memory_init_(list);
	if (rc)
		return rc;
	rc = slots_init(&list->walkers, &walker_slots, sizeof(struct walker));
	if (rc)
		goto destroy_memory;
	rc = usrcu_create(&list->brackets, &attr);
	if (rc)
		goto destroy_walkers;
	rc = list->sync->create ? list->sync->create(&list->sync_state) : 0;
	if (rc)
		goto destroy_brackets;
	return 0;

destroy_brackets:
	usrcu_destroy(list->brackets);
destroy_walkers:
	slots_destroy(&list->walkers);
destroy_memory:
	memory_destroy_(list);
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

int mirror_list_create(struct mirror_list **list, const struct mirror_list_attr *attr)
{
	static const struct mirror_list_attr defaults = { .size = sizeof(defaults) };
	static const struct mirror_allocator from_malloc;
	const struct mirror_allocator *allocator;
	const struct mirror_sync *sync;
	struct mirror_list *l;
	int rc;

	if (!attr)
		attr = &defaults;
	if (!list || attr->size != sizeof(*attr) ||
	    attr->flags & ~(unsigned)(MIRROR_LIST_DRAIN_DOMAIN | MIRROR_LIST_FULL_FENCE))
		return -EINVAL;
	sync = attr->sync ? attr->sync : &mirror_sync_srcu;
	if (sync == &mirror_sync_srcu && attr->flags & MIRROR_LIST_FULL_FENCE)
		sync = &sync_srcu_fenced_;
	allocator = attr->allocator ? attr->allocator : &from_malloc;
	if (!is_complete(sync) || !allocator->alloc != !allocator->free)
		return -EINVAL;
	l = allocator->alloc ? allocator->alloc(allocator->arg, sizeof(*l)) : port_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	port_mutex_init(&l->lock);
	port_mutex_init(&l->fallback_lock);
	l->sync = sync;
	l->grace_period = sync->kind == MIRROR_SYNC_GRACE_PERIOD;
	l->targeted = sync->poll_state && !(attr->flags & MIRROR_LIST_DRAIN_DOMAIN);
	l->membarrier = !(attr->flags & MIRROR_LIST_FULL_FENCE) && port_membarrier_register() == 0;
	l->allocator = *allocator;
	l->stall_ns = attr->stall_ns;
	l->stall = attr->stall;
	l->stall_arg = attr->stall_arg;
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
	port_mutex_lock(&list->lock);
	busy = list->nr_mirrors || list->nr_pending;
	port_mutex_unlock(&list->lock);
	/* An open bracket is a section of brackets, and a walk outside of one is in a callback. */
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
