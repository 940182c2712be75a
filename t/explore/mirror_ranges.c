/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over range mirrors in a list, and over a sync that is the explorer's own. */

#include "mirror_scenarios.h"

/* ---- M13: ranges ---- */

static void enroll_range(int i, uint64_t start, uint64_t end)
{
	struct device *d = new_device(i);

	x_assert(mirror_register_range(list, &d->mirror, &device_ops, start, end) == 0);
	dev[i] = d;
}

static void one_range(void)
{
	list_with(NULL, 0);
	enroll_range(0, 0, 100);
}

/* Two leaves: there is a node above.  Devices are numbered in the order in which they are called. */
static void three_ranges(void)
{
	one_range();
	enroll_range(3, 12, 30);
	enroll_range(1, 5, 15);
}

/* More than are taken from the index at once. */
static void six_ranges(void)
{
	three_ranges();
	enroll_range(4, 13, 30);
	enroll_range(6, 15, 16);
	enroll_range(7, 16, 17);
}

/* One of the whole list between two ranges. */
static void mixed(void)
{
	list_with(NULL, 0);
	enroll_range(1, 0, 100);
	dev[0] = new_device(0);
	x_assert(mirror_register(list, &dev[0]->mirror, &device_ops) == 0);
	enroll_range(3, 12, 30);
}

static void enroll_two_ranges(void)
{
	enroll_range(2, 8, 18);
	store_release(&note[0], 1);
	enroll_range(5, 30, 40); /* where no bracket is */
}

static void come_and_go(void)
{
	static const int who[] = { 1, 3, 4 };

	for (int i = 0; i < 3; i++) {
		enroll_range(who[i], (uint64_t)who[i], 100);
		unregister(who[i]);
	}
}

static void unregister_all_but_first(void)
{
	unregister(1);
	unregister(3);
}

static void unregister_two_and_enroll(void)
{
	unregister(6);
	unregister(4);
	enroll_range(2, 8, 18);
}

/* The first is there throughout, another one from note[0] on. */
static void publish_hits(void)
{
	struct bracket b = BRACKET(&b);
	uint64_t known = load_acquire(&note[0]) ? 5 : 1;

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert((b.started & known) == known);
	x_assert(!(b.started & 32));
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 5));
}

static void publish_all_hits(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert((b.started & 0x8b) == 0x8b);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 0x8b));
}

static int refuse_third(struct mirror *m, const struct mirror_range *r)
{
	const struct device *d = (const struct device *)m;

	return d->bit == 4 ? -EAGAIN : device_ops.invalidate_range_start(m, r);
}

static const struct mirror_ops refusing_ops = {
	.size = sizeof(refusing_ops),
	.invalidate_range_start = refuse_third,
	.invalidate_range_end = on_end,
};

/* The first to be called is the last that is registered. */
static void third_refuses(void)
{
	list_with(NULL, 0);
	enroll_range(3, 12, 30);
	dev[2] = new_device(2);
	x_assert(mirror_register_range(list, &dev[2]->mirror, &refusing_ops, 8, 15) == 0);
	enroll_range(0, 0, 100);
}

static void enroll_before_refuser(void)
{
	enroll_range(1, 5, 30);
}

static void publish_refused(void)
{
	struct bracket b = BRACKET(&b);

	b.range.flags = 0;
	x_assert(mirror_invalidate_range_start(list, &b.range) == -EAGAIN);
	x_assert(b.started & 1 && !(b.started & 8) && !b.open);
}

/* ---- nodes are used again beside a walk that has more hits to take from them, and sleeps ---- */

static uint64_t asleep, awake;

static int sleep_in_callback(struct mirror *m, const struct mirror_range *r)
{
	if (r->owner) {
		store_release(&asleep, 1);
		wait_for(&awake);
	}
	return on_start(m, r);
}

static const struct mirror_ops sleeping_ops = {
	.size = sizeof(sleeping_ops),
	.invalidate_range_start = sleep_in_callback,
	.invalidate_range_end = on_end,
};

/* The first to be called sleeps. */
static void first_sleeps(void)
{
	list_with(NULL, 0);
	dev[0] = new_device(0);
	x_assert(mirror_register_range(list, &dev[0]->mirror, &sleeping_ops, 0, 100) == 0);
	enroll_range(3, 12, 30);
	enroll_range(1, 5, 15);
	enroll_range(4, 13, 30);
	enroll_range(6, 15, 16);
	enroll_range(7, 16, 17);
}

static void publish_asleep(void)
{
	struct bracket b = BRACKET(&b);

	b.range.owner = list;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert((b.started & 0xdb) == 0xdb);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 0xdb));
}

static void replace_nodes(int times)
{
	for (int i = 0; i < times; i++) {
		enroll_range(2, 14, 15);
		enroll_range(5, 14, 30);
		unregister(2);
		unregister(5);
	}
}

/* Until no node is left that the sleeper knows, and their memory holds others. */
static void replace_nodes_beside_sleeper(void)
{
	wait_for(&asleep);
	replace_nodes(6);
	store_release(&awake, 1);
}

/* Until the next nodes to be set free are some that it knows. */
static void replace_nodes_and_wake(void)
{
	wait_for(&asleep);
	replace_nodes(3);
	store_release(&awake, 1);
	replace_nodes(2);
}

/* ---- a sync of one's own: it says what is asked of a grace period, and no more ---- */

/* The section that each thread is in, 0: none. */
static uint64_t section[X_MAX_FIBERS], nr_sections[X_MAX_FIBERS];

static int own_read_lock(void *state)
{
	int self = x_self() + 1;

	(void)state;
	exchange(&section[self], ++nr_sections[self]);
	fence_full(); /* the section's number before its loads */
	return 0;
}

static void own_read_unlock(void *state, int token)
{
	(void)state, (void)token;
	store_release(&section[x_self() + 1], 0);
}

static int own_synchronize(void *state, uint64_t timeout_ns)
{
	uint64_t before[X_MAX_FIBERS];
	int i;

	(void)state, (void)timeout_ns;
	fence_full();
	for (i = 0; i < X_MAX_FIBERS; i++)
		before[i] = load_acquire(&section[i]);
	for (i = 0; i < X_MAX_FIBERS; i++)
		while (before[i] && load_acquire(&section[i]) == before[i])
			port_relax();
	return 0;
}

static const struct mirror_sync own_sync = {
	.size = sizeof(own_sync),
	.name = "own",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.read_lock = own_read_lock,
	.read_unlock = own_read_unlock,
	.synchronize = own_synchronize,
};

static void own_two(void)
{
	list_with(&own_sync, 0);
	devices(2, &device_ops);
}

static void publish_with_second(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started & 2);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 2));
}

static void enroll_third_and_leave(void)
{
	dev[2] = new_device(2);
	x_assert(mirror_register(list, &dev[2]->mirror, &device_ops) == 0);
	unregister(2);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "list-range", .claim = "M13: a bracket beside registrations that split a leaf",
	  .setup = three_ranges, .thread = { publish_hits, enroll_two_ranges }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-range-leave", .claim = "M13: beside unregistrations that empty one",
	  .setup = three_ranges, .thread = { publish_hits, unregister_all_but_first }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-range-mixed", .claim = "M2: in order, with mirrors of the whole list between",
	  .setup = mixed, .thread = { publish_hits, unregister_second, enroll_two_ranges }, .check = destroyed,
	  .quick = 1, .full = 2 },
	{ MIRROR, .name = "list-range-batches", .claim = "M2: hits that are taken a few at a time, each once, beside changes",
	  .setup = six_ranges, .thread = { publish_all_hits, unregister_two_and_enroll }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-range-refuse", .claim = "M4: a refusal undoes what came before it in order of address",
	  .setup = third_refuses, .thread = { publish_refused, enroll_before_refuser }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-range-reclaim", .claim = "M13: nodes and entries are used again, not too early",
	  .setup = one_range, .thread = { publish_hits, come_and_go }, .check = destroyed, .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-stalled-hits", .claim = "M13: a walk that slept finds the rest of its hits, by the nodes of then",
	  .setup = first_sleeps, .thread = { publish_asleep, replace_nodes_beside_sleeper }, .check = destroyed,
	  .quick = 1, .full = 2 },
	{ MIRROR, .name = "list-stalled-wakes", .claim = "M13: the same of a walk that goes on while nodes are set free",
	  .setup = first_sleeps, .thread = { publish_asleep, replace_nodes_and_wake }, .check = destroyed,
	  .quick = 0, .full = 3 },
	{ MIRROR, .name = "list-sync", .claim = "M5: over a sync of one's own that cannot be polled",
	  .setup = own_two, .thread = { publish_with_second, unregister_first }, .check = destroyed,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-sync-three", .claim = "M1, M5: the same, beside register", .setup = own_two,
	  .thread = { publish_with_second, unregister_first, enroll_third_and_leave }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ .name = NULL },
};
