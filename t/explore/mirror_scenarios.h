/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Parts that the scenarios of the mirror list share.
 *
 * The subscribers are devices, freed when unregister says that they may be: each callback
 * writes to its device, so that one that comes late, or whose store does, is a failure.  Each
 * bracket keeps the set of devices that it has called: order, pairing and completeness are
 * checked there.
 */
#ifndef MIRROR_EXPLORE_MIRROR_SCENARIOS_H
#define MIRROR_EXPLORE_MIRROR_SCENARIOS_H

#include <errno.h>
#include "port.h"
#include <mirror/mirror.h>
#include <mirror/urwsem.h>
#include <mirror/usrcu.h>

struct device {
	struct mirror mirror;
	uint64_t bit;                   /* 1, 2, 4 in the order in which they are called */
	uint64_t work[X_MAX_FIBERS];    /* its callbacks write it, each thread its own: their order tells nothing */
};

/* The caller's part of a bracket; on the stack of its publisher. */
struct bracket {
	struct mirror_range range;
	uint64_t open;                  /* devices that got its start and not its end */
	uint64_t started;               /* devices that got its start */
	uint64_t ended;                 /* the last that got its end, 0 before the first */
};

static struct mirror_list *list;
enum { NR_DEVICES = 8 };
static struct device *dev[NR_DEVICES];
static uint64_t note[4] __attribute__((unused));                /* what threads saw */
static uint64_t released;               /* devices whose release was called */
static uint64_t gone;                   /* devices for which done() was called */

/* ---- callbacks ---- */

static inline void work_with(struct device *d)
{
	store_relaxed(&d->work[x_self() + 1], 1);
}

static inline int on_start(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	struct bracket *b = r->data;

	work_with(d);
	if (!b)
		return 0;
	x_assert(b->started < d->bit); /* in order, and once */
	b->open |= d->bit;
	b->started |= d->bit;
	return 0;
}

static inline void on_end(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	struct bracket *b = r->data;

	work_with(d);
	if (!b)
		return;
	x_assert(b->open & d->bit);    /* no end without a start */
	x_assert(!b->ended || d->bit < b->ended); /* in reverse order */
	b->ended = d->bit;
	b->open &= ~d->bit;
}

static inline void on_release(struct mirror *m)
{
	struct device *d = (struct device *)m;

	work_with(d);
	x_assert(!(fetch_or(&released, d->bit) & d->bit)); /* exactly once */
}

static const struct mirror_ops device_ops = {
	.size = sizeof(device_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.release = on_release,
};

/* ---- setup, preparation, check ---- */

static inline struct device *new_device(int i)
{
	struct device *d = port_alloc(sizeof(*d));

	x_assert(d);
	d->bit = UINT64_C(1) << i;
	return d;
}

static inline void list_with(const struct mirror_sync *sync, unsigned flags)
{
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = sync, .flags = flags };

	x_assert(mirror_list_create(&list, &attr) == 0);
}

static inline void devices(int nr, const struct mirror_ops *ops)
{
	for (int i = 0; i < nr; i++) {
		dev[i] = new_device(i);
		x_assert(mirror_register(list, &dev[i]->mirror, ops) == 0);
	}
}

static inline void one_device(void)
{
	list_with(NULL, 0);
	devices(1, &device_ops);
}

static inline void two_devices(void)
{
	list_with(NULL, 0);
	devices(2, &device_ops);
}

static inline void three_devices(void)
{
	list_with(NULL, 0);
	devices(3, &device_ops);
}

static inline void one_device_fenced(void)
{
	list_with(NULL, MIRROR_LIST_FULL_FENCE);
	devices(1, &device_ops);
}

/* A walker for each thread, so that its first use is not explored again and again. */
static inline void first_use(void)
{
	x_assert(mirror_invalidate_range(list, 0, 1) == 0);
}

/* Whatever is registered still is taken out; then nothing may be in the way of destroy. */
static inline void destroyed(void)
{
	for (int i = 0; i < NR_DEVICES; i++) {
		if (!dev[i])
			continue;
		x_assert(mirror_unregister(&dev[i]->mirror) == 0);
		port_free(dev[i]);
		dev[i] = NULL;
	}
	x_assert(mirror_barrier(list) == 0);
	x_assert(mirror_list_destroy(list) == 0);
}

/* ---- publishers ---- */

#define BRACKET(b) { .range = { .start = 10, .end = 20, .flags = MIRROR_RANGE_BLOCKABLE, .data = (b) } }

static inline void publish(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
}

static inline void publish_twice(void)
{
	publish();
	publish();
}

/* ---- unregister ---- */

static inline void unregister(int i)
{
	struct device *d = dev[i];

	dev[i] = NULL;
	x_assert(mirror_unregister(&d->mirror) == 0);
	port_free(d);
}

static inline void unregister_first(void)
{
	unregister(0);
}

static inline void unregister_second(void)
{
	unregister(1);
}

/* The last callback of a mirror that was unregistered asynchronously. */
static inline void done(struct mirror *m)
{
	struct device *d = (struct device *)m;

	x_assert(!(fetch_or(&gone, d->bit) & d->bit)); /* exactly once */
	port_free(d);
}

static inline void unregister_async(int i)
{
	struct device *d = dev[i];

	dev[i] = NULL;
	x_assert(mirror_unregister_async(&d->mirror, done) == 0);
}

static inline void unregister_first_async(void)
{
	unregister_async(0);
}

static inline void wait_for(const uint64_t *flag)
{
	while (!load_acquire(flag))
		port_relax();
}

/* The domains of brackets are never given back to the system. */
#define MIRROR .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = first_use
#define MIRROR_WITH(more) .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT | (more), .prepare = first_use

#endif /* MIRROR_EXPLORE_MIRROR_SCENARIOS_H */
