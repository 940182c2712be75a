/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/mirror_move.c: ranges that are set anew, beside brackets of the old range and of the new one. */
#include "mirror_scenarios.h"

static void one_with_range(void)
{
	list_with(NULL, 0);
	dev[0] = new_device(0);
	x_assert(mirror_register_range(list, &dev[0]->mirror, &device_ops, 10, 20) == 0);
}

static void one_moved(void)
{
	one_with_range();
	x_assert(mirror_set_range(&dev[0]->mirror, 30, 40) == 0);
}

/* A bracket over both ranges: it calls the mirror once, wherever that is, and ends it. */
static void publish_both(void)
{
	struct bracket b = BRACKET(&b);

	b.range.end = 40;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started == 1);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

/* One that the second device, between the two ranges, refuses. */
static int refuse(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	return r->data ? -EAGAIN : 0;
}

static const struct mirror_ops refusal_ops = {
	.size = sizeof(refusal_ops),
	.invalidate_range_start = refuse,
};

static void one_and_refusal(void)
{
	one_with_range();
	dev[1] = new_device(1);
	x_assert(mirror_register_range(list, &dev[1]->mirror, &refusal_ops, 25, 26) == 0);
}

static void publish_refused(void)
{
	struct bracket b = BRACKET(&b);

	b.range.end = 40;
	b.range.flags = 0;
	x_assert(mirror_invalidate_range_start(list, &b.range) == -EAGAIN);
	x_assert(!b.open);
}

/* One over the old range: it may call the mirror or not, but ends as it started. */
static void publish_old(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

static void move_away(void)
{
	x_assert(mirror_set_range(&dev[0]->mirror, 30, 40) == 0);
}

static void move_twice(void)
{
	move_away();
	x_assert(mirror_set_range(&dev[0]->mirror, 15, 16) == 0);
}

static void publish_both_if_there(void)
{
	struct bracket b = BRACKET(&b);

	b.range.end = 40;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
}

static int count_visit(struct mirror *m, void *nr)
{
	(void)m;
	++*(int *)nr;
	return 0;
}

static void visit_both(void)
{
	int nr = 0;

	x_assert(mirror_visit(list, 10, 40, count_visit, &nr) == 0 && nr == 1);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "move-bracket", .claim = "M21: a bracket over both ranges calls once, and ends the same",
	  .setup = one_with_range, .thread = { publish_both, move_away }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "move-old", .claim = "M21: one over the old range ends as it started",
	  .setup = one_with_range, .thread = { publish_old, move_away }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "move-twice", .claim = "M21: the range is set twice beside a bracket",
	  .setup = one_with_range, .thread = { publish_both, move_twice }, .check = destroyed, .quick = 2, .full = 5 },
	{ MIRROR, .name = "move-two", .claim = "M21: two threads set it beside a bracket",
	  .setup = one_with_range, .thread = { publish_both, move_away, move_away }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "move-refuse", .claim = "M4, M21: a refusal ends what has started, by the range of the start",
	  .setup = one_and_refusal, .thread = { publish_refused, move_away }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "move-visit", .claim = "M18, M21: a visit of both ranges finds the mirror once",
	  .setup = one_with_range, .thread = { visit_both, move_twice }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "move-drain", .claim = "M5: no callback of a mirror that was moved and unregistered",
	  .setup = one_moved, .thread = { publish_both_if_there, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ .name = NULL },
};
