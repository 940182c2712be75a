/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * An index of ranges: which items overlap a range, while others insert and remove
 *
 * Terms.  An item is a range [first, last], both inclusive, a pointer that no other item has and
 * that the index never follows, and a hint: what its finder will look at besides, fetched early.
 * A node is a leaf, with items, or has children.  Its bounds include every item below it.
 *
 * State.  One thread at a time changes the index, under a lock of its owner's.  Any number read
 * it meanwhile, each within a section of the owner's; a node that they may still see is retired
 * instead of freed.
 *   node->used          grows; the owner's
 *   node->first, tie, last      its bounds, exact: no item below comes before (first, tie), where tie is an item's
 *                       pointer, none ends after last; the owner's
 *   is_compact, scale   constant: how the node is written
 *   wide                of a leaf, an item a slot with its hint; above, a child with its bounds; slot is NULL
 *                       where there is none
 *   compact             of more children: bounds are (bound - base) >> shift, but no less than 0 and no more than fits
 * All slots change in place.  In a leaf they are in no order; above they are in that of (first, tie), and
 * a slot whose child was taken out stays NULL.
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
 *   5. A find among a million waits for memory most of all, so what it reads of a child is small: 16 bytes in a
 *      compact node.  The nodes above the leaves then stay in the cache.  Where numbers of 31 bits would make
 *      children look alike that are not, as do two clusters of addresses far apart, the copy of 3 is two wide nodes.
 *
 * Why it is safe
 *   1. Find reports every item whose insertion happened before it began and whose removal did
 *      not: at every moment the bounds above an item in the index include it, 2 widens before
 *      it puts, 4 narrows to what is left; and a split publishes nodes that hold the same items.
 *      Scaling never turns an order round, so what overlaps does so when scaled.
 *   2. It may report others: items that come and go meanwhile, an item under the keys of the one
 *      that had its slot before.  The owner asks each item itself.  None is reported twice: an
 *      item changes its leaf only by 3, and a find is on one side of that or the other.
 *   (t/mirror/index_model against brute force; explorer: index-insert, index-split, index-share; mutants INDEX_NO_WIDEN,
 *   INDEX_SCALE_WRAPS, INDEX_SHARE_IN_PLACE)
 *
 * Cost.  Find: O(log n + what it reports) where ranges do not nest deeply.  Insert: the same,
 * and now and then two new nodes a level.  Memory: 896 bytes for each 26 items, three quarters full where keys come at
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

/* Slots of a wide and of a compact node, for which there is the same room. */
#ifndef INDEX_WIDE
#define INDEX_WIDE 26
#define INDEX_COMPACT 52
#endif
/* log of 2^64 items, to the base of half a leaf. */
#define INDEX_LEVELS 24

struct index_scale {
	uint64_t base;
	uint32_t shift;
};

struct index_node {
	uint32_t level;                 /* 0: a leaf */
	uint32_t used;
	struct index_node *next;        /* spare, or retired: the list of such */
	uint64_t first, tie, last;
	struct index_scale scale;
	bool is_compact;                /* slots begin on a cache line, after this */
	union {
		struct {
			uint64_t first[INDEX_WIDE];
			uint64_t last[INDEX_WIDE];
			void *slot[INDEX_WIDE];
			uint64_t hint[INDEX_WIDE];
		} wide;
		struct {
			int32_t first[INDEX_COMPACT];
			int32_t last[INDEX_COMPACT];
			void *slot[INDEX_COMPACT];
		} compact;
	};
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
	const struct index_node *leaf;
	void *const *slots[INDEX_LEVELS];       /* by level: of the nodes on the way there */
	uint64_t left[INDEX_LEVELS];    /* which of each are still to be entered */
};

void index_find_begin(struct index_find *find, const struct index_node *root, uint64_t first, uint64_t last);
/* The next @room items, less only where they are the last. */
size_t index_find_more(struct index_find *find, void **items, size_t room);

#endif /* MIRROR_INDEX_H */
