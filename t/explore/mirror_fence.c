/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/mirror_fence.c: walks and drains while fences begin and end to be the walks' part. */

#include "mirror_pin.h"
#include "mirror_scenarios.h"

static void begin_fencing(void)
{
	port_mutex_lock(&list->lock);
	begin_fencing_(list);
	port_mutex_unlock(&list->lock);
}

static void end_fencing(void)
{
	port_mutex_lock(&list->lock);
	end_fencing_(list);
	port_mutex_unlock(&list->lock);
}

static void begin_and_end(void)
{
	begin_fencing();
	end_fencing();
}

static uint64_t nr_fences;               /* when all walks fenced */

/* What publishers do, but that it does not depend on how often they have published. */
static void choose(void)
{
	struct walker w = { .walks = 1, .window_ends = 1, .fences_before = nr_fences };

	choose_fence_mode_(list, &w);
}

static void devices_fenced(int nr)
{
	list_with(NULL, 0);
	devices(nr + 1, &device_ops);
	begin_fencing();
	unregister(nr); /* which finds that no walk from before is left */
	x_assert(list->fencing == FENCING_ALL);
	nr_fences = list->nr_fences;
}

static void one_all_fenced(void)
{
	devices_fenced(1);
}

static void two_all_fenced(void)
{
	devices_fenced(2);
}

/* Drains have found this thread in a slow callback. */
static void publish_resting(void)
{
	store_relaxed(&get_walker_(list)->slow, 1);
	publish();
}

static void unregister_both_in_turn(void)
{
	unregister(0);
	unregister(1);
}

static void unregister_second_then_first_async(void)
{
	unregister(1);
	unregister_async(0);
}

static void release(void)
{
	x_assert(mirror_list_release(list) == 0);
}

/* The walk inside the first device's callback begins later than the one outside, under the same section. */
static int nest(struct mirror *m, const struct mirror_range *r)
{
	const struct device *d = (struct device *)m;
	int rc = on_start(m, r);

	if (r->data && d->bit == 1 && r->start == 1)
		publish();
	return rc;
}

static const struct mirror_ops nesting_ops = {
	.size = sizeof(nesting_ops),
	.invalidate_range_start = nest,
};

static void two_nesting(void)
{
	list_with(NULL, 0);
	devices(2, &nesting_ops);
}

static void two_nesting_fenced(void)
{
	list_with(NULL, 0);
	devices(3, &nesting_ops);
	begin_fencing();
	unregister(2);
	x_assert(list->fencing == FENCING_ALL);
	nr_fences = list->nr_fences;
}

static void publish_nested(void)
{
	struct bracket b = BRACKET(&b);

	b.range.start = 1;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
}

static void unregister_if_possible(void)
{
	struct device *d = dev[0];
	int rc = mirror_unregister(&d->mirror);

	x_assert(rc == 0 || rc == -EPERM);
	if (rc == 0) {
		dev[0] = NULL;
		port_free(d);
	}
}

static void first_gone(void)
{
	destroyed();
	x_assert(gone == 1);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "fence-begin", .claim = "M5: no callback after unregister while fencing begins",
	  .setup = one_device, .thread = { publish, begin_fencing, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 5 },
	{ MIRROR, .name = "fence-begin-two", .claim = "M5: the same for the one that finds that all walks fence",
	  .setup = two_devices, .thread = { publish, begin_fencing, unregister_both_in_turn }, .check = destroyed,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "fence-end", .claim = "M5: the same while fencing ends (A)",
	  .setup = one_all_fenced, .thread = { publish, end_fencing, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 5 },
	{ MIRROR, .name = "fence-begin-end", .claim = "M5: the same while it begins and ends at once",
	  .setup = two_all_fenced, .thread = { publish, begin_and_end, unregister_both_in_turn }, .check = destroyed,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "fence-choose", .claim = "M5: the same where a publisher's count ends it",
	  .setup = one_all_fenced, .thread = { publish, choose, unregister_first }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "fence-asked", .claim = "M5: no callback after an unregister that asked the walks (B, C)",
	  .setup = one_all_fenced, .thread = { publish_twice, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR_WITH(X_SPURIOUS), .name = "fence-sleep", .claim = "no drain sleeps for ever where all walks fence (C, E)",
	  .setup = one_all_fenced, .thread = { publish_twice, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "fence-rest", .claim = "M5: no callback after an unregister beside walks that rest in callbacks (B, C, D)",
	  .setup = two_all_fenced, .thread = { publish_resting, unregister_both_in_turn }, .check = destroyed,
	  .quick = 2, .full = 3 },
	{ MIRROR_WITH(X_SPURIOUS), .name = "fence-rest-sleep", .claim = "no drain sleeps for ever beside them",
	  .setup = one_all_fenced, .thread = { publish_resting, unregister_first }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "fence-rest-async", .claim = "M8: done() once beside them",
	  .setup = one_all_fenced, .thread = { publish_resting, publish, unregister_first_async },
	  .check = first_gone, .quick = 1, .full = 3 },
	{ MIRROR, .name = "fence-async", .claim = "M8: done() once where all walks fence (F)",
	  .setup = one_all_fenced, .thread = { publish, publish, unregister_first_async }, .check = first_gone,
	  .quick = 1, .full = 3 },
	{ MIRROR_WITH(X_MEMBARRIER_DIES), .name = "fence-denied",
	  .claim = "M5: where all walks fence, membarrier is needed only beside a walk, and its error is returned",
	  .setup = one_all_fenced, .thread = { publish, unregister_if_possible }, .quick = 3, .full = 6 },
	{ MIRROR, .name = "fence-begin-async", .claim = "M8: done() once while fencing begins",
	  .setup = two_devices, .thread = { publish, begin_fencing, unregister_second_then_first_async },
	  .check = first_gone, .quick = 1, .full = 3 },
	{ MIRROR, .name = "fence-end-async", .claim = "M8: and while it ends",
	  .setup = one_all_fenced, .thread = { publish, end_fencing, unregister_first_async }, .check = first_gone,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "fence-begin-release", .claim = "M5, M10: release pins as brackets do",
	  .setup = two_devices, .thread = { release, begin_fencing, unregister_both_in_turn }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "fence-begin-nested", .claim = "M3, M5: a walk within one that goes without fences",
	  .setup = two_nesting, .thread = { publish_nested, begin_fencing, unregister_both_in_turn },
	  .check = destroyed, .quick = 1, .full = 3 },
	{ MIRROR, .name = "fence-end-nested", .claim = "M3, M5: one without within one that fences",
	  .setup = two_nesting_fenced, .thread = { publish_nested, end_fencing, unregister_both_in_turn },
	  .check = destroyed, .quick = 1, .full = 3 },
	{ MIRROR_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "fence-begin-first",
	  .claim = "M5: walkers without a slot, or getting one, while fencing begins", .setup = two_devices,
	  .thread = { publish, begin_fencing, unregister_both_in_turn }, .check = destroyed, .quick = 1, .full = 2 },
	{ MIRROR_WITH(X_MEMBARRIER_DIES), .name = "fence-end-denied",
	  .claim = "M5: fencing ends and membarrier is refused: an error, nothing freed early",
	  .setup = one_all_fenced, .thread = { publish, end_fencing, unregister_if_possible },
	  .quick = 2, .full = 4 },
	{ .name = NULL },
};
