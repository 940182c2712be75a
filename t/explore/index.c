/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Scenarios over src/index.c: find beside insert, split and remove.
 *
 * Leaves have two places, compact nodes three.  Each item says, to the finders, since when it is there and from
 * when on it may be gone.  A find that began after the one and ended before the other has to
 * report it; whatever else it does, none twice.  Finds go either way, and stop after each leaf.
 */
#include <errno.h>
#include "index.h"

enum { NR_ITEMS = 8 };

struct item {
	struct index_item range;
	uint64_t there;         /* set after the insertion */
	uint64_t leaving;       /* set before the removal */
	uint64_t left;          /* set after it */
};

static struct index tree;
static struct item item[NR_ITEMS];

static void insert(int i, uint64_t first, uint64_t last)
{
	item[i].range = (struct index_item){ first, last, (uint64_t)i };
	index_insert(&tree, &item[i].range, &item[i]);
	store_release(&item[i].there, 1);
}

static void take_out(int i)
{
	/* As an owner that waits until walks that began before are over, which executes fences. */
	store_relaxed(&item[i].leaving, 1);
	fence_full();
	index_remove(&tree, &item[i].range);
	store_release(&item[i].left, 1);
}

/* ---- find ---- */

/* How often each item was found.  Those that are there throughout come leaf by leaf in order. */
static void find_items(uint64_t first, uint64_t last, bool backwards, const bool there[NR_ITEMS],
		       unsigned times[NR_ITEMS])
{
	const struct index_item *found[INDEX_WIDE], *before = NULL, *end;
	struct index_find find;
	size_t nr;

	index_find_begin(&find, load_acquire(&tree.root), first, last, backwards);
	while ((nr = index_find_more(&find, found, INDEX_WIDE))) {
		end = NULL;
		for (size_t i = 0; i < nr; i++) {
			const struct item *it = (const struct item *)found[i];

			x_assert(it >= item && it < item + NR_ITEMS);
			if (it->range.first > last || it->range.last < first)
				continue; /* keys of the last item in that place: the owner asks each item itself */
			times[it - item]++;
			if (!there[it - item] || load_acquire(&it->leaving))
				continue;
			x_assert(!before || index_is_before(before, &it->range) != backwards);
			end = !end || index_is_before(end, &it->range) != backwards ? &it->range : end;
		}
		before = end ? end : before;
	}
}

static void find(uint64_t first, uint64_t last, bool backwards)
{
	unsigned times[NR_ITEMS] = { 0 };
	bool there[NR_ITEMS], gone[NR_ITEMS];

	for (int i = 0; i < NR_ITEMS; i++) {
		there[i] = load_acquire(&item[i].there);
		gone[i] = load_acquire(&item[i].left);
	}
	find_items(first, last, backwards, there, times);
	fence_full(); /* bounds that have become narrow are no acquire: whoever asks why an item is missing needs one */
	for (int i = 0; i < NR_ITEMS; i++) {
		x_assert(times[i] <= 1);
		x_assert(!times[i] || !gone[i]);
		if (there[i] && item[i].range.first <= last && first <= item[i].range.last)
			x_assert(times[i] || load_acquire(&item[i].leaving));
	}
}

static void find_all(void)
{
	find(0, UINT64_MAX, false);
}

static void find_back(void)
{
	find(0, UINT64_MAX, true);
}

static void find_high(void)
{
	find(45, 60, false);
}

/* Bytes in no item, of one unit of a compact node with the end of one. */
static void find_nothing(void)
{
	const struct index_item *found[INDEX_WIDE];
	struct index_find find = { 0 };

	x_assert(tree.root->level == 1 && tree.root->is_compact && tree.root->scale.shift > 4);
	index_find_begin(&find, load_acquire(&tree.root), 45, 46, false);
	x_assert(index_find_more(&find, found, INDEX_WIDE) == 0 && !find.node[0]);
}

/* ---- setups ---- */

static void spares(void)
{
	for (int i = 0; i < 24; i++)
		index_give_spare(&tree, port_alloc(sizeof(struct index_node)));
}

static void one(void)
{
	spares();
	insert(0, 10, 19);
}

static void two(void)
{
	one();
	insert(1, 30, 39);
}

/* Three leaves under one node, or so. */
static void four(void)
{
	two();
	insert(2, 50, 59);
	insert(3, 70, 79);
}

static void five(void)
{
	four();
	insert(4, 20, 25);
}

/* Leaves under a node that is wide, since one item ends too far away for a compact one. */
static void far(void)
{
	two();
	insert(2, 50, UINT64_MAX);
	x_assert(tree.root->level == 1 && !tree.root->is_compact);
}

/* Leaves under a compact node whose units are many bytes. */
static void coarse(void)
{
	two();
	insert(2, (uint64_t)1 << 40, ((uint64_t)1 << 40) + 9);
}

/* A full leaf beside one with room. */
static void half(void)
{
	two();
	insert(2, 50, 59);
	insert(3, 15, 18);
	take_out(2);
}

/* ---- changes ---- */

static void insert_one(void)
{
	insert(5, 40, 49);
}

static void insert_two(void)
{
	insert(5, 40, 49);
	insert(6, 42, 43);
}

/* Into a leaf with room, from which on it is wider. */
static void insert_long(void)
{
	insert(5, 12, 100);
}

/* Into the full leaf: both are shared anew, and items go from one to the other. */
static void insert_low(void)
{
	insert(5, 12, 13);
}

static void insert_low_and_remove(void)
{
	insert_low();
	take_out(3);
}

static void remove_first(void)
{
	take_out(0);
}

static void remove_far(void)
{
	take_out(2);
	insert(5, 47, 48);
}

static void remove_and_insert(void)
{
	take_out(1);
	insert(5, 47, 48);
}

static void remove_leaf(void)
{
	take_out(2);
	take_out(3);
	insert(5, 52, 53);
}

static void remove_all(void)
{
	for (int i = 0; i < 4; i++)
		take_out(i);
	insert(5, 50, 51);
}

static void nothing_lost(void)
{
	find_all();
	for (int i = 0; i < NR_ITEMS; i++)
		if (item[i].there && !item[i].left)
			take_out(i);
	x_assert(!tree.root && !tree.nr_items && !tree.nr_nodes);
}

#define INDEX .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK, .check = nothing_lost

const struct x_scenario x_scenarios[] = {
	{ INDEX, .name = "index-first", .claim = "M13: the first insertions beside a find", .setup = spares,
	  .thread = { insert_two, find_all }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-insert", .claim = "M13: an insertion into a leaf", .setup = one,
	  .thread = { insert_one, find_all }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-insert-two", .claim = "M13: the same beside two finds", .setup = one,
	  .thread = { insert_two, find_all, find_high }, .quick = 2, .full = 4 },
	{ INDEX, .name = "index-remove", .claim = "M13: a removal", .setup = two,
	  .thread = { remove_first, find_all }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-place", .claim = "M13: a place is used again", .setup = two,
	  .thread = { remove_and_insert, find_high }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-split", .claim = "M13: a split loses nothing and doubles nothing", .setup = two,
	  .thread = { insert_two, find_all }, .quick = 3, .full = 6 },
	{ INDEX, .name = "index-split-deep", .claim = "M13: the same at several levels", .setup = five,
	  .thread = { insert_two, find_all }, .quick = 2, .full = 4 },
	{ INDEX, .name = "index-split-wide", .claim = "M13: the same below a wide node", .setup = far,
	  .thread = { insert_two, find_all }, .quick = 3, .full = 6 },
	{ INDEX, .name = "index-remove-wide", .claim = "M13: a removal below a wide node", .setup = far,
	  .thread = { remove_far, find_high }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-share", .claim = "M13: two leaves that are shared anew lose nothing and double nothing",
	  .setup = half, .thread = { insert_low, find_all }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-share-remove", .claim = "M13: the same, and a removal from the new ones",
	  .setup = half, .thread = { insert_low_and_remove, find_all }, .quick = 3, .full = 6 },
	{ INDEX, .name = "index-order", .claim = "M2: leaves come in order, whichever way a find goes, beside a split",
	  .setup = five, .thread = { insert_two, find_back }, .quick = 2, .full = 4 },
	{ INDEX, .name = "index-order-remove", .claim = "M2: and beside removals", .setup = four,
	  .thread = { remove_leaf, find_back }, .quick = 2, .full = 5 },
	{ INDEX, .name = "index-widen", .claim = "M13: bounds are wide enough before an item is there",
	  .setup = five, .thread = { insert_long, find_high }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-empty", .claim = "M13: a node that became empty goes, and its keys go to one beside it",
	  .setup = four, .thread = { remove_leaf, find_high }, .quick = 2, .full = 5 },
	{ INDEX, .name = "index-rounded", .claim = "M13: a find enters no leaf that rounding alone makes overlap",
	  .setup = coarse, .thread = { find_nothing }, .quick = 4, .full = 8 },
	{ INDEX, .name = "index-remove-all", .claim = "M13: all go, one comes", .setup = four,
	  .thread = { remove_all, find_all }, .quick = 2, .full = 4 },
	{ .name = NULL },
};
