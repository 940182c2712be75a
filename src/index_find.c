/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Finds in an index of ranges: index.h says how they work. */

#include "index_node.h"

/*
 * A bit for each place that overlaps, and if the query begins at 0 for each that was never used.  No branch, because it
 * would be mispredicted.
 */
static uint64_t overlapping_wide(const struct index_node *node, uint64_t first, uint64_t last)
{
	uint32_t begins_after = 0, ends_before = 0;

	/* Keys of an earlier item in a place do no harm: 2 of index.h. */
#pragma GCC unroll 32
	for (int i = INDEX_WIDE - 1; i >= 0; i--) {
		begins_after = add_if_above(begins_after, &node->wide.first[i], last);
		ends_before = add_if_below(ends_before, &node->wide.last[i], first);
	}
	return ~(begins_after | ends_before) & ((1u << INDEX_WIDE) - 1);
}

static uint64_t overlapping_compact(const struct index_node *node, uint64_t first, uint64_t last)
{
	uint64_t mask = port_overlapping(node->compact.first, node->compact.last, INDEX_COMPACT,
					 (int32_t)in_units(&node->scale, first),
					 (int32_t)in_units(&node->scale, last));

	return mask & (((uint64_t)1 << load_relaxed(&node->used)) - 1); /* what was never used looks like the base */
}

/*
 * True if the bounds in @node are exact for this query: if it is wide, or if a unit is a byte and the query is within
 * the scale.
 */
static bool is_exact(const struct index_node *node, uint64_t first, uint64_t last)
{
	return !is_compact(node) || (node->scale.shift == 0 && first > node->scale.base &&
				     in_units(&node->scale, last) < INT32_MAX);
}

static uint32_t take_next(uint64_t *mask, bool backwards)
{
	uint32_t next = (uint32_t)(backwards ? 63 - __builtin_clzll(*mask) : __builtin_ctzll(*mask));

	*mask &= ~((uint64_t)1 << next);
	return next;
}

/* The lines of @node from @from up to @to will be read soon. */
static inline __attribute__((always_inline)) void fetch(const struct index_node *node, size_t from, size_t to)
{
#pragma GCC unroll 16
	for (size_t line = from / 64; line < to / 64; line++)
		port_prefetch((const char *)node + 64 * line);
}

/* The bounds are looked at now, the pointers next. */
static void enter(struct index_find *find, uint32_t level, const struct index_node *node)
{
	find->level = level;
	find->node[level] = node;
	if (level && node->is_compact) { /* a leaf's head need not be read */
		fetch(node, offsetof(struct index_node, compact.place), sizeof(*node));
		find->places[level] = node->compact.place;
		find->left[level] = overlapping_compact(node, find->first, find->last);
	} else {
		fetch(node, offsetof(struct index_node, wide.place), sizeof(*node));
		find->places[level] = node->wide.place;
		find->left[level] = overlapping_wide(node, find->first, find->last);
	}
}

/* The exact bounds, for a place that may look as if it overlapped. */
static bool overlaps(const struct index_node *node, uint64_t first, uint64_t last)
{
	return load_relaxed(&node->first) <= last && first <= load_relaxed(&node->last);
}

void index_find_begin(struct index_find *find, const struct index_node *root, uint64_t first, uint64_t last,
		      bool backwards)
{
	find->first = first;
	find->last = last;
	find->backwards = backwards;
	find->level = find->top = root ? root->level : 0;
	find->left[find->top] = 0;
	if (root && overlaps(root, first, last))
		enter(find, root->level, root);
}

/* On to the next leaf with places that overlap; false: there is none. */
static bool next_leaf(struct index_find *find)
{
	uint32_t level = find->level;
	const struct index_node *child;

	while (level > 0 || !find->left[0]) {
		if (!find->left[level]) {
			find->level = level;
			if (level == find->top)
				return false;
			level++;
			continue;
		}
		child = load_acquire(&find->places[level][take_next(&find->left[level], find->backwards)]);
		if (child && (broken_if(INDEX_ROUNDING_TRUSTED, true,
					is_exact(find->node[level], find->first, find->last)) ||
			      overlaps(child, find->first, find->last)))
			enter(find, --level, child);
	}
	return true;
}

/* If there is a leaf after this one, its bounds are looked at next. */
static void fetch_next_leaf(const struct index_find *find)
{
	uint64_t left = find->top ? find->left[1] : 0;
	const struct index_node *leaf = NULL;

	if (left)
		leaf = load_acquire(&find->places[1][take_next(&left, find->backwards)]);
	if (leaf)
		fetch(leaf, offsetof(struct index_node, wide), offsetof(struct index_node, wide.place));
}

/* The item in place @i goes to @items, if there is one; how many. */
static inline size_t take_item(const struct index_node *leaf, uint32_t i, const struct index_item **items)
{
	const struct index_item *item = load_acquire(&leaf->wide.place[i]);

	if (!item)
		return 0;
	port_prefetch(item);
	port_prefetch((const void *)(uintptr_t)load_relaxed(&leaf->wide.hint[i]));
	items[0] = item;
	return 1;
}

/* All items that overlap, in order if the leaf does not change meanwhile; how many. */
static size_t take_leaf(struct index_find *find, const struct index_item **items)
{
	const struct index_node *leaf = find->node[0];
	uint64_t left = find->left[0];
	uint32_t used = left & (left - 1) ? load_relaxed(&leaf->used) : 0;
	size_t nr = 0;

	find->left[0] = 0;
	for (uint32_t k = 0; k < used; k++) {
		uint32_t i = load_relaxed(&leaf->order[find->backwards ? used - 1 - k : k]);

		if (left >> i & 1)
			nr += take_item(leaf, i, items + nr);
		left &= ~((uint64_t)1 << i);
	}
	while (left)
		nr += take_item(leaf, take_next(&left, find->backwards), items + nr);
	return nr;
}

size_t index_find_more(struct index_find *find, const struct index_item **items, size_t room)
{
	size_t nr = 0;

	while (room - nr >= INDEX_WIDE && next_leaf(find)) {
		fetch_next_leaf(find);
		nr += take_leaf(find, items + nr);
	}
	return nr;
}
