/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-jemalloc: the hooks of arenas, each before the one that was there
 *
 * An arena's table of hooks is copied, with ours in the places of those that give memory back; a hook that was missing
 * stays so, since jemalloc does without.  jemalloc passes the table to each hook, and the old one stands behind it.  A
 * thread may be on its way into a hook at any time, so that a table is never freed and hooks are never taken off:
 * a list that goes is taken out of announce.c's.
 */
#include <mirror/jemalloc.h>

#include <errno.h>
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "announce.h"

/* mallctl is looked for at run time: the program's malloc may be another. */
#pragma weak mallctl

struct hooked {
	extent_hooks_t ours;            /* first: what jemalloc passes */
	extent_hooks_t *before;
};

static struct hooked hooked[MIRROR_JEMALLOC_MAX_ARENAS];
static unsigned nr_hooked;              /* under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Static_assert(ANNOUNCE_MAX_LISTS == MIRROR_JEMALLOC_MAX_LISTS, "the header says how many");

/* ---- hooks ---- */

struct hook_call {
	struct announce_change change;  /* first */
	extent_hooks_t *before;
	void *address;
	size_t size, offset, length;
	bool committed;
	unsigned arena;
	bool kept;                      /* the hook's result */
};

static struct hook_call *call_of(struct announce_change *change)
{
	return (struct hook_call *)(void *)change;
}

static void keep(struct announce_change *change)
{
	call_of(change)->kept = true;
}

static void make_dalloc(struct announce_change *change)
{
	struct hook_call *c = call_of(change);

	c->kept = c->before->dalloc(c->before, c->address, c->size, c->committed, c->arena);
}

static void make_destroy(struct announce_change *change)
{
	struct hook_call *c = call_of(change);

	c->before->destroy(c->before, c->address, c->size, c->committed, c->arena);
}

static void make_decommit(struct announce_change *change)
{
	struct hook_call *c = call_of(change);

	c->kept = c->before->decommit(c->before, c->address, c->size, c->offset, c->length, c->arena);
}

static void make_purge_lazy(struct announce_change *change)
{
	struct hook_call *c = call_of(change);

	c->kept = c->before->purge_lazy(c->before, c->address, c->size, c->offset, c->length, c->arena);
}

static void make_purge_forced(struct announce_change *change)
{
	struct hook_call *c = call_of(change);

	c->kept = c->before->purge_forced(c->before, c->address, c->size, c->offset, c->length, c->arena);
}

/* errno is as the old hook alone would leave it, which is inside malloc or free. */
static bool announce_hook(struct hook_call *c, int event, size_t offset, size_t length)
{
	const uint64_t start = (uintptr_t)c->address + offset;
	const int error = errno;

	c->change.event = event;
	c->change.nr_parts = length ? 1 : 0;
	c->change.parts[0] = (struct mirror_extent){ start, start + length };
	announce(&c->change);
	errno = error;
	return c->kept;
}

static extent_hooks_t *before(extent_hooks_t *ours)
{
	return ((struct hooked *)(void *)ours)->before;
}

static bool on_dalloc(extent_hooks_t *ours, void *address, size_t size, bool committed, unsigned arena)
{
	struct hook_call c = { .change = { .make = make_dalloc, .refuse = keep }, .before = before(ours), .address = address,
			       .size = size, .committed = committed, .arena = arena };

	return announce_hook(&c, MIRROR_EVENT_UNMAP, 0, size);
}

static void on_destroy(extent_hooks_t *ours, void *address, size_t size, bool committed, unsigned arena)
{
	struct hook_call c = { .change = { .make = make_destroy, .refuse = make_destroy }, .before = before(ours),
			       .address = address, .size = size, .committed = committed, .arena = arena };

	announce_hook(&c, MIRROR_EVENT_UNMAP, 0, size);
}

static bool drop(void (*make)(struct announce_change *change), extent_hooks_t *ours, void *address, size_t size,
		 size_t offset, size_t length, unsigned arena)
{
	struct hook_call c = { .change = { .make = make, .refuse = keep }, .before = before(ours), .address = address,
			       .size = size, .offset = offset, .length = length, .arena = arena };

	return announce_hook(&c, MIRROR_EVENT_CLEAR, offset, length);
}

static bool on_decommit(extent_hooks_t *ours, void *address, size_t size, size_t offset, size_t length, unsigned arena)
{
	return drop(make_decommit, ours, address, size, offset, length, arena);
}

static bool on_purge_lazy(extent_hooks_t *ours, void *address, size_t size, size_t offset, size_t length,
			  unsigned arena)
{
	return drop(make_purge_lazy, ours, address, size, offset, length, arena);
}

static bool on_purge_forced(extent_hooks_t *ours, void *address, size_t size, size_t offset, size_t length,
			    unsigned arena)
{
	return drop(make_purge_forced, ours, address, size, offset, length, arena);
}

/* What changes nothing that a program holds. */
static void *pass_alloc(extent_hooks_t *ours, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			unsigned arena)
{
	return before(ours)->alloc(before(ours), at, size, alignment, zero, commit, arena);
}

static bool pass_commit(extent_hooks_t *ours, void *address, size_t size, size_t offset, size_t length, unsigned arena)
{
	return before(ours)->commit(before(ours), address, size, offset, length, arena);
}

static bool pass_split(extent_hooks_t *ours, void *address, size_t size, size_t a, size_t b, bool committed,
		       unsigned arena)
{
	return before(ours)->split(before(ours), address, size, a, b, committed, arena);
}

static bool pass_merge(extent_hooks_t *ours, void *a, size_t a_size, void *b, size_t b_size, bool committed,
		       unsigned arena)
{
	return before(ours)->merge(before(ours), a, a_size, b, b_size, committed, arena);
}

/* ---- arenas; under lock ---- */

static bool are_ours(const extent_hooks_t *hooks)
{
	for (unsigned i = 0; i < nr_hooked; i++)
		if (&hooked[i].ours == hooks)
			return true;
	return false;
}

static int error_of(int error)
{
	return error == 0 ? 0 : error == ENOENT || error == EFAULT ? -EINVAL : -EIO;
}

static int hook_one(unsigned arena)
{
	struct hooked *h = &hooked[nr_hooked];
	size_t size = sizeof(h->before);
	extent_hooks_t *ours = &h->ours, *found;
	char name[64];
	int err;

	if (nr_hooked == MIRROR_JEMALLOC_MAX_ARENAS)
		return -ENOSPC;
	snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
	err = error_of(mallctl(name, &h->before, &size, NULL, 0));
	if (err || are_ours(h->before))
		return err;
	h->ours = (extent_hooks_t){
		.alloc = pass_alloc,
		.dalloc = h->before->dalloc ? on_dalloc : NULL,
		.destroy = h->before->destroy ? on_destroy : NULL,
		.commit = h->before->commit ? pass_commit : NULL,
		.decommit = h->before->decommit ? on_decommit : NULL,
		.purge_lazy = h->before->purge_lazy ? on_purge_lazy : NULL,
		.purge_forced = h->before->purge_forced ? on_purge_forced : NULL,
		.split = h->before->split ? pass_split : NULL,
		.merge = h->before->merge ? pass_merge : NULL,
	};
	err = error_of(mallctl(name, &found, &size, &ours, sizeof(ours)));
	if (!err)
		nr_hooked++;
	return err;
}

static int hook_all(void)
{
	unsigned nr;
	size_t size = sizeof(nr);
	int err = error_of(mallctl("arenas.narenas", &nr, &size, NULL, 0));

	for (unsigned i = 0; !err && i < nr; i++) {
		err = hook_one(i);
		if (err == -EINVAL)
			err = 0; /* an arena that was destroyed */
	}
	return err;
}

int mirror_jemalloc_hook(unsigned arena)
{
	int err;

	if (!mallctl)
		return -ENOSYS;
	pthread_mutex_lock(&lock);
	err = arena == MIRROR_JEMALLOC_ALL_ARENAS ? hook_all() : hook_one(arena);
	pthread_mutex_unlock(&lock);
	return err;
}

int mirror_jemalloc_start(struct mirror_list *list)
{
	bool is_first;
	int err = 0;

	if (!list)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	is_first = nr_hooked == 0;
	pthread_mutex_unlock(&lock);
	if (is_first)
		err = mirror_jemalloc_hook(MIRROR_JEMALLOC_ALL_ARENAS);
	return err ? err : announce_start(list, mirror_invalidate_range_start, mirror_invalidate_range_end);
}

int mirror_jemalloc_stop(struct mirror_list *list)
{
	return announce_stop(list);
}
