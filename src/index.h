/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * An index of ranges: which items overlap a range, while others insert and remove
 *
 * Terms.  An item is a range [first, last], both inclusive, a pointer that no other item has and
 * that the index never follows, and a hint: what its finder will look at besides, fetched early.
 * A node is a leaf or has children; each of its slots has the bounds of what is in it.
 *
 * State.  One thread at a time changes the index, under a lock of its owner's.  Any number read
 * it meanwhile, each within a section of the owner's; a node that they may still see is retired
 * instead of freed.
 *   node->used          grows; published by release
 *   first[]             in a leaf the item's; above, no item below is smaller
 *   aside[]             in a leaf the item's hint; above, the pointer that goes with first[]
 *   last[]              in a leaf the item's; above, no item below ends later
 *   slot[]              an item or a child, NULL where there is none
 * All but used change in place.  Above the leaves, slots are sorted by (first, pointer).  In a leaf they are in no order.
 *
 * Algorithm
 *   1. Find goes down every slot whose bounds overlap.  It compares all slots of a node without a branch, and
 *      has what it will look at next fetched: the node's pointers, the items and their hints.
 *   2. Insert widens the bounds on the way down, and puts the item in an empty slot of the leaf that
 *      its (first, pointer) leads to: keys first, pointer last.
 *   3. Where the leaf is full, two new ones share its items, and those of the leaf beside it if that has room; the
 *      node above is replaced by a copy, with one slot more where no leaf beside had room, which may split it too; one
 *      store in the lowest node that is not replaced, or in the root, publishes them all.  The replaced nodes are
 *      retired.
 *   4. Remove empties the slot and narrows last on the way up.  A node with nothing in it is
 *      taken out of the one above, and retired.  It needs no memory.
 *
 * Why it is safe
 *   1. Find reports every item whose insertion happened before it began and whose removal did
 *      not: at every moment the bounds above an item in the index include it, 2 widens before
 *      it puts, 4 narrows to what is left; and a split publishes nodes that hold the same items.
 *   2. It may report others: items that come and go meanwhile, an item under the keys of the one
 *      that had its slot before.  The owner asks each item itself.  None is reported twice: an
 *      item changes its leaf only by 3, and a find is on one side of that or the other.
 *   (t/index_model against brute force; explorer: index-insert, index-split, index-share; mutants INDEX_NO_WIDEN,
 *   INDEX_SHARE_IN_PLACE)
 *
 * Cost.  Find: O(log n + what it reports) where ranges do not nest deeply.  Insert: the same,
 * and now and then two new nodes a level.  Memory: 512 bytes for each 15 items, three quarters full where keys come at
 * random, full when keys ascend; a leaf stays until its last item is gone.
 *
 * Barriers: the owner's.  It publishes insertions (mirror_list.c:A), and frees after a grace
 * period.  Only insert's own order of keys and pointer is here.
 *
 * Sources: Bayer and McCreight, 1972 (B-trees, and leaves that share); Edelsbrunner's interval trees for last.
 */
#ifndef MIRROR_INDEX_H
#define MIRROR_INDEX_H

#include "mutant.h"
#include "port.h"

#ifndef INDEX_WIDTH
#define INDEX_WIDTH 15
#endif
/* log of 2^64 items, to the base of half a node. */
#define INDEX_LEVELS 24

struct index_node {
	uint32_t level;                 /* 0: a leaf */
	uint32_t used;
	struct index_node *next;        /* spare, or retired: the list of such */
	uint64_t pad[2];                /* 512 bytes in all */
	uint64_t first[INDEX_WIDTH];
	uint64_t last[INDEX_WIDTH];
	void *slot[INDEX_WIDTH];
	uint64_t aside[INDEX_WIDTH];
};

struct index {
	struct index_node *root;        /* NULL: empty */
	uint64_t nr_items, nr_nodes;
	struct index_node *spare;       /* for insertions; the owner allocates them, zeroed */
	uint32_t nr_spare;
	struct index_node *retired;     /* for the owner to take and free after a grace period */
};

/* How many spare nodes the next insertion may need. */
static inline uint32_t index_needs(const struct index *index)
{
	return index->root ? 2 * (index->root->level + 1) + 1 : 1;
}

void index_give_spare(struct index *index, struct index_node *node);
/* With at least index_needs() spare nodes. */
void index_insert(struct index *index, uint64_t first, uint64_t last, void *item, const void *hint);
/* The very item that was inserted with these. */
void index_remove(struct index *index, uint64_t first, const void *item);
/*
 * A find under way: all items that overlap [first, last], in no order.
 *
 *	struct index_find find;
 *
 *	index_find_begin(&find, load_acquire(&index->root), first, last);
 *	do
 *		nr = index_find_more(&find, items, room);
 *	while (nr == room);
 */
struct index_find {
	uint64_t first, last;
	uint32_t level, top;            /* where it is; the root's */
	const struct index_node *node[INDEX_LEVELS];    /* by level: the way there */
	uint32_t left[INDEX_LEVELS];    /* of each: the slots still to be entered */
};

void index_find_begin(struct index_find *find, const struct index_node *root, uint64_t first, uint64_t last);
/* The next @room items, less only where they are the last. */
size_t index_find_more(struct index_find *find, void **items, size_t room);

#endif /* MIRROR_INDEX_H */
