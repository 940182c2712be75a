/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * An index of ranges: which items overlap a range, in order, while other threads insert and remove
 *
 * Terms.  An item is a range [first, last], both inclusive, and a tie, which orders items with the same first: no two
 * items have the same key (first, tie).  A hint is what the finder of an item will read besides, fetched early.  A node
 * is a leaf, with items, or has children.  Its bounds include every item below it.
 *
 *      a leaf                                          a node above, wide or compact
 *      +-----------------------------------------+     +-----------------------------------------+
 *      | level = 0, used, tie, order             |     | level > 0, used, tie, scale, is_compact |
 *      | first, last: its exact bounds           |     | first, last: its exact bounds           |
 *      +-----------+-----------+---------+-------+     +-----------+-----------+-----------------+
 *      | first[0]  | last[0]   | place[0]| hint  |     | first[0]  | last[0]   | place[0] -> node|
 *      | first[1]  | last[1]   | NULL    |       |     | first[1]  | last[1]   | place[1] -> node|
 *      | ...       |           |         |       |     | ...       |           |                 |
 *      +-----------+-----------+---------+-------+     +-----------+-----------+-----------------+
 *        of the item             -> item                 of the child; compact: in 31 bits
 *
 * State.  One thread at a time changes the index, under a lock of its owner's.  Any number of threads read it
 * meanwhile, each within a section of the owner's; a node that they may still see is retired instead of freed.
 *   node->used          grows
 *   node->first, last   its bounds, exact: no item below comes before (first, tie), none ends after last
 *   node->tie           the owner's; so is next, which a node has that is spare or retired
 *   order               the places of a leaf in order of key, empty ones anywhere; finds check what it says
 *   is_compact, scale   constant: how the node is written
 *   wide                of a leaf, an item a place with its hint; above, a child with its bounds; place is NULL if it
 *                       is empty
 *   compact             of more children: bounds are (bound - base) >> shift, at least 0 and at most INT32_MAX
 *   item                constant while it is in the index, and as long as finds may see it
 * All places change in place.  In a leaf they are in no order.  Above, they are in order of (first, tie), and a place
 * whose child was taken out stays NULL.
 *
 * Algorithm
 *   1. Find goes down every place whose bounds overlap, the first one first, or the last one first.  It compares all
 *      places of a node without a branch, and prefetches what it will read next: the node's pointers, the items and
 *      their hints, the next leaf.  Where bounds may be rounded, it asks the child for the exact ones before it goes
 *      down.  It can be interrupted after each leaf, because it keeps the nodes on its way.
 *   2. Insert widens the bounds on the way down, and puts the item in an empty place of the leaf to which its key
 *      leads: bounds first, pointer last.
 *   3. If the leaf is full, two new leaves share its items, and those of the leaf beside it if that has room.  The node
 *      above is replaced by a copy; if no leaf beside had room, the copy has one more child, and may be split too.  One
 *      store in the lowest node that is not replaced, or in the root, makes them all visible.  The replaced nodes are
 *      retired.
 *   4. Remove empties the place and narrows last on the way up.  A node with nothing in it is taken out of the one
 *      above, and retired.  It needs no memory.
 *   5. A find among a million items waits for memory most of all, so what it reads of a child is small: 16 bytes in a
 *      compact node.  The nodes above the leaves then stay in the cache.  If numbers of 31 bits would make children
 *      look alike, as with two clusters of addresses far apart, the copy of 3 is two wide nodes.
 *
 * Why it is safe
 *   1. Find reports every item whose insertion happened before the find began and whose removal did not: at every
 *      moment the bounds above an item in the index include it.  2 widens before it puts, 4 narrows to what is left,
 *      and a split makes nodes visible that hold the same items.  Scaling never reverses an order, so bounds that
 *      overlap still do when scaled.
 *   2. It may report others: items that come and go meanwhile, or an item under the bounds of an earlier one in its
 *      place.  The owner asks each item itself.  No item is reported twice, and none is lost by a split, however long
 *      the find is interrupted: an item changes its leaf only by 3, and a find is before its store or after it:
 *
 *          share of two leaves                a find
 *          copy the node above
 *                                             reads the old node above: old leaves, every item
 *          one store: the copy
 *                                             reads the copy: new leaves, every item
 *
 *      With a store for each leaf, a find between the two would miss the items that move to the other leaf.  A replaced
 *      node changes no more, and stays until the find's section is over.
 *   3. Of the items of 1, those of an earlier leaf have lower keys than those of a later one: the children of a node
 *      divide the keys, and no item moves from one child to another of the same node.
 *   (t/mirror/index_model against brute force; explorer: index-insert, index-split, index-share, index-order; mutants
 *   INDEX_NO_WIDEN, INDEX_SCALE_WRAPS, INDEX_SHARE_IN_PLACE)
 *
 * Cost.  Find: on each level it enters one node more than there are hits, at most.  For, of the children that begin
 * within the query or before it, all items of all but the last one do so too, and then the one that ends last is a hit.
 * There are never more nodes on a level than below it, and a 13th as many unless items were removed.  So h hits among n
 * items cost O(log n + h log(n / h)) at worst, if each is in a leaf of its own, and O(log n + h) if they are neighbours
 * in order of key.  For each node that it enters it asks some children for their bounds: those that end, or begin, in
 * the same unit as the query, of which there is one at most in a node just made, and 52 at worst.  (t/mirror/index_model
 * counts; mutants INDEX_ROUNDING_TRUSTED, INDEX_NO_NARROW.)  O(log n + h) for every h is what a priority search tree
 * has.  But in that each change moves items from node to node, beside finds, and its hits come in no order.
 * Insert: O(log n), and now and then two new nodes a level.  Memory: 896 bytes for each 26 items, three quarters full if
 * keys come at random, full if keys ascend; a leaf stays until its last item is gone.
 *
 * Barriers: the owner's.  It makes insertions visible (mirror_register.c:A), and frees after a grace period.  Only
 * insert's own order of bounds and pointer is here.
 *
 * Sources: Bayer and McCreight, 1972 (B-trees, and leaves that share); Edelsbrunner's interval trees for last;
 * McCreight, 1985 (priority search trees).
 */
#ifndef MIRROR_INDEX_H
#define MIRROR_INDEX_H

#include "mutant.h"
#include "port.h"

/* Places of a wide and of a compact node, for which there is the same room. */
#ifndef INDEX_WIDE
#define INDEX_WIDE 26
#define INDEX_COMPACT 52
#endif
/* More than the log of 2^64 items, to the base of half a leaf. */
#define INDEX_LEVELS 24

struct index_item {
	uint64_t first, last;
	uint64_t tie;
};

struct index_scale {
	uint64_t base;
	uint32_t shift;
};

struct index_node {
	uint32_t level;                 /* 0: a leaf */
	uint32_t used;
	union {
		struct index_node *next;        /* of spare nodes, or of retired ones */
		uint64_t tie;
	};
	uint64_t first, last;
	union {                         /* places begin on a cache line, after this */
		struct {
			struct index_scale scale;
			bool is_compact;
		};
		uint8_t order[INDEX_WIDE];      /* of a leaf */
	};
	union {
		struct {
			uint64_t first[INDEX_WIDE];
			uint64_t last[INDEX_WIDE];
			void *place[INDEX_WIDE];
			uint64_t hint[INDEX_WIDE];
		} wide;
		struct {
			int32_t first[INDEX_COMPACT];
			int32_t last[INDEX_COMPACT];
			void *place[INDEX_COMPACT];
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

static inline bool index_is_before(const struct index_item *a, const struct index_item *b)
{
	return a->first < b->first || (a->first == b->first && a->tie < b->tie);
}

void index_give_spare(struct index *index, struct index_node *node);
/* With at least index_needs() spare nodes. */
void index_insert(struct index *index, const struct index_item *item, const void *hint);
void index_remove(struct index *index, const struct index_item *item);
/* One store: from then on finds report @with, which has the same range and tie, in place of @item. */
void index_replace(struct index *index, const struct index_item *item, const struct index_item *with);

/*
 * A find under way: all items that overlap [first, last].
 *
 *	struct index_find find;
 *
 *	index_find_begin(&find, load_acquire(&index->root), first, last, false);
 *	while ((nr = index_find_more(&find, items, room)))
 *		...
 *
 * Items come leaf by leaf in order of key, or the reverse; those of one leaf in no order.
 */
struct index_find {
	uint64_t first, last;
	bool backwards;
	uint32_t level, top;            /* where it is; the root's */
	const struct index_node *node[INDEX_LEVELS];    /* by level: on the way there */
	void *const *places[INDEX_LEVELS];
	uint64_t left[INDEX_LEVELS];    /* of each, the places still to be entered */
};

void index_find_begin(struct index_find *find, const struct index_node *root, uint64_t first, uint64_t last,
		      bool backwards);
/* The items of the next leaves, as far as @room, INDEX_WIDE at least, is sure to suffice; 0: there are no more. */
size_t index_find_more(struct index_find *find, const struct index_item **items, size_t room);

static inline bool index_find_is_over(const struct index_find *find)
{
	return find->level == find->top && !find->left[find->level];
}

#endif /* MIRROR_INDEX_H */
