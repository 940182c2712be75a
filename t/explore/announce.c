/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over a publisher's lists: a list goes away, and another comes, while others publish. */

#include "explore.h"

/* Each fiber's own. */
static unsigned mine_of[1 + X_MAX_THREADS][8];
#define mine mine_of[1 + x_self()]
#include "../../src/publishers/announce.c"

/* What stands for a list, and for the functions of the library that made it. */
struct heard {
	uint64_t nr_open, nr_heard;
};

static struct heard *first, *second;
static uint64_t nr_made;

static struct mirror_list *as_list(struct heard *h)
{
	return (struct mirror_list *)(void *)h;
}

static int hear(struct mirror_list *list)
{
	struct heard *h = (struct heard *)(void *)list;

	x_touch(h);
	h->nr_open++;
	h->nr_heard++;
	return 0;
}

static void over(struct mirror_list *list)
{
	struct heard *h = (struct heard *)(void *)list;

	x_touch(h);
	x_assert(h->nr_open == 1);
	h->nr_open--;
}

static int first_start(struct mirror_list *list, struct mirror_range *r)
{
	(void)r;
	x_assert(list == as_list(first));
	return hear(list);
}

static void first_end(struct mirror_list *list, struct mirror_range *r)
{
	(void)r;
	x_assert(list == as_list(first));
	over(list);
}

static int second_start(struct mirror_list *list, struct mirror_range *r)
{
	(void)r;
	x_assert(list == as_list(second));
	return hear(list);
}

static void second_end(struct mirror_list *list, struct mirror_range *r)
{
	(void)r;
	x_assert(list == as_list(second));
	over(list);
}

static void make(struct announce_change *c)
{
	(void)c;
	fetch_add(&nr_made, 1);
}

static void publish(void)
{
	struct announce_change c = {
		.event = MIRROR_EVENT_UNMAP, .nr_parts = 1, .parts = { { 0, 1 } }, .make = make, .refuse = make,
	};

	announce(&c);
}

static void one_list(void)
{
	first = port_alloc(sizeof(*first));
	x_assert(announce_start(as_list(first), first_start, first_end) == 0);
}

/* A list that has been stopped is dead: nobody is in it, and its memory goes. */
static void stop(void)
{
	x_assert(announce_stop(as_list(first)) == 0);
	x_assert(first->nr_open == 0);
	port_free(first);
}

static void start_second(void)
{
	second = port_alloc(sizeof(*second));
	x_assert(announce_start(as_list(second), second_start, second_end) == 0);
}

/* The next one gets the place. */
static void stop_and_start(void)
{
	stop();
	start_second();
}

static void publish_twice(void)
{
	publish();
	publish();
}

static void made_once(void)
{
	x_assert(nr_made == 1);
}

static void second_goes(void)
{
	x_assert(nr_made == 1 || nr_made == 2);
	x_assert(announce_stop(as_list(second)) == 0);
	port_free(second);
}

/* One of two stops it. */
static void try_stop(void)
{
	int err = announce_stop(as_list(first));

	x_assert(err == 0 || err == -ENOENT);
	if (!err)
		port_free(first);
}

const struct x_scenario x_scenarios[] = {
	{ .name = "announce-stop", .claim = "after stop no bracket is open, and none comes (A, B, C, D, G)",
	  .setup = one_list, .thread = { publish, stop }, .check = made_once, .models = X_ALL | X_RC11, .quick = 6, .full = 10 },
	{ .name = "announce-again", .claim = "nor has the next list of its place another's functions (E, F)",
	  .setup = one_list, .thread = { publish, stop_and_start }, .check = second_goes, .models = X_ALL | X_RC11,
	  .quick = 4, .full = 8 },
	{ .name = "announce-again-twice", .claim = "the same for two calls",
	  .setup = one_list, .thread = { publish_twice, stop_and_start }, .check = second_goes, .models = X_ALL | X_RC11,
	  .quick = 3, .full = 6 },
	{ .name = "announce-beside", .claim = "the same where another thread starts it, and no stop sleeps for ever",
	  .setup = one_list, .thread = { publish, stop, start_second }, .check = second_goes, .models = X_ALL | X_RC11,
	  .quick = 2, .full = 5 },
	{ .name = "announce-stop-both", .claim = "of two stops one succeeds, when no bracket is open",
	  .setup = one_list, .thread = { publish, try_stop, try_stop }, .check = made_once, .models = X_ALL | X_RC11,
	  .quick = 2, .full = 5 },
	{ .name = NULL },
};
