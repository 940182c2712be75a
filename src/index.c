/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The index of ranges: index.h says how it works. */

#include "index.h"

/* ---- find ---- */

/* The slots of @node that overlap, a bit each; slots never used may be among them.  A branch would be mispredicted. */
static uint32_t overlapping(const struct index_node *node, uint64_t first, uint64_t last)
{
	uint32_t begins_after = 0, ends_before = 0;

	/* Keys that were the slot's before are no harm: 2 of index.h. */
#pragma GCC unroll 32
	for (int i = INDEX_WIDTH - 1; i >= 0; i--) {
		begins_after = add_if_above(begins_after, &node->first[i], last);
		ends_before = add_if_below(ends_before, &node->last[i], first);
	}
	return ~(begins_after | ends_before) & ((1u << INDEX_WIDTH) - 1);
}

static uint32_t take_lowest(uint32_t *mask)
{
	uint32_t lowest = (uint32_t)__builtin_ctz(*mask);

	*mask &= *mask - 1;
	return lowest;
}

/* The keys are looked at now, the pointers next. */
static void enter(struct index_find *find, uint32_t level, const struct index_node *node)
{
	for (size_t line = offsetof(struct index_node, slot) / 64; line < sizeof(*node) / 64; line++)
		port_prefetch((const char *)node + 64 * line);
	find->level = level;
	find->node[level] = node;
	find->left[level] = overlapping(node, find->first, find->last);
}

void index_find_begin(struct index_find *find, const struct index_node *root, uint64_t first, uint64_t last)
{
	find->first = first;
	find->last = last;
	find->level = 0;
	find->left[0] = 0;
	find->top = root ? root->level : 0;
	if (root)
		enter(find, root->level, root);
}

/* On to the next leaf; false: there is none. */
static bool next_leaf(struct index_find *find)
{
	uint32_t level = find->level;

	while (level <= find->top) {
		const struct index_node *child;

		if (!find->left[level]) {
			level++;
			continue;
		}
		child = load_acquire(&find->node[level]->slot[take_lowest(&find->left[level])]);
		if (!child)
			continue;
		enter(find, --level, child);
		if (level == 0)
			return true;
	}
	find->level = level;
	return false;
}

size_t index_find_more(struct index_find *find, void **items, size_t room)
{
	size_t nr = 0;

	do {
		while (find->level == 0 && find->left[0]) {
			uint32_t i;
			void *item;

			if (nr == room)
				return nr;
			i = take_lowest(&find->left[0]);
			item = load_acquire(&find->node[0]->slot[i]);
			if (!item)
				continue;
			port_prefetch(item);
			port_prefetch((const void *)(uintptr_t)load_relaxed(&find->node[0]->aside[i]));
			items[nr++] = item;
		}
	} while (next_leaf(find));
	return nr;
}

/* ---- nodes ---- */

void index_give_spare(struct index *index, struct index_node *node)
{
	node->next = index->spare;
	index->spare = node;
	index->nr_spare++;
}

static struct index_node *new_node(struct index *index, uint32_t level)
{
	struct index_node *node = index->spare;

	port_assert(node);
	index->spare = node->next;
	index->nr_spare--;
	index->nr_nodes++;
	node->next = NULL;
	node->level = level;
	return node;
}

static void retire(struct index *index, struct index_node *node)
{
	node->next = index->retired;
	index->retired = node;
	index->nr_nodes--;
}

/* What one slot holds, outside of a node. */
struct part {
	uint64_t first, last;
	uint64_t tie;                   /* orders those with the same first */
	uint64_t hint;                  /* of an item */
	void *slot;
};

static struct part part_of(const struct index_node *node, uint32_t i)
{
	struct part part = { .first = node->first[i], .last = node->last[i], .slot = node->slot[i] };

	if (node->level) {
		part.tie = node->aside[i];
	} else {
		part.tie = (uintptr_t)part.slot;
		part.hint = node->aside[i];
	}
	return part;
}

static bool is_before(const struct part *a, const struct part *b)
{
	return a->first < b->first || (a->first == b->first && a->tie < b->tie);
}

/* Into a slot that holds nothing: readers may look at it. */
static void put(struct index_node *node, uint32_t i, const struct part *part)
{
	store_relaxed(&node->first[i], part->first);
	store_relaxed(&node->last[i], part->last);
	store_relaxed(&node->aside[i], node->level ? part->tie : part->hint);
	store_release(&node->slot[i], part->slot); /* the keys before the pointer */
	if (i == node->used)
		store_release(&node->used, i + 1);
}

/* The greatest bound of what is in @node; false: nothing is. */
static bool bounds(const struct index_node *node, struct part *part)
{
	bool any = false;

	part->last = 0;
	for (uint32_t i = 0; i < node->used; i++) {
		if (!node->slot[i])
			continue;
		any = true;
		if (part->last < node->last[i])
			part->last = node->last[i];
	}
	return any;
}

/* ---- the way down ---- */

struct path {
	struct index_node *node[INDEX_LEVELS];    /* by level */
	uint32_t at[INDEX_LEVELS];                /* the slot of node[level] that leads down */
};

/* Above the leaves: the last slot that is not after the key; the first where there is none. */
static uint32_t slot_for(const struct index_node *node, const struct part *key)
{
	uint32_t i;

	for (i = 1; i < node->used; i++) {
		struct part part = { .first = node->first[i], .tie = node->aside[i] };

		if (is_before(key, &part))
			break;
	}
	return i - 1;
}

/*
 * From the root to the leaf for @key: 0; or, where a node was taken out, the level above the gap.
 */
static uint32_t descend(const struct index *index, const struct part *key, struct path *path)
{
	struct index_node *node = index->root;
	uint32_t level = node->level;

	for (;; level--) {
		path->node[level] = node;
		if (level == 0)
			return 0;
		path->at[level] = slot_for(node, key);
		node = node->slot[path->at[level]];
		if (!node)
			return level;
	}
}

/* Make the bounds on the way include @key. */
static void widen(const struct index *index, const struct path *path, uint32_t lowest,
		  const struct part *key)
{
	for (uint32_t level = index->root->level; level >= lowest && level > 0; level--) {
		struct index_node *node = path->node[level];
		uint32_t at = path->at[level];
		struct part part = part_of(node, at);

		/* Relaxed: the owner publishes the insertion as a whole. */
		if (is_before(key, &part)) {
			store_relaxed(&node->first[at], key->first);
			store_relaxed(&node->aside[at], key->tie);
		}
		if (part.last < key->last)
			store_relaxed(&node->last[at], key->last);
	}
}

/* Hang @node where @level's node of the way was. */
static void publish(struct index *index, const struct path *path, uint32_t level,
		    struct index_node *node)
{
	if (level == index->root->level)
		store_release(&index->root, node);
	else
		store_release(&path->node[level + 1]->slot[path->at[level + 1]], node);
}

/* ---- insert ---- */

static struct part part_for(struct index_node *node)
{
	struct part part = part_of(node, 0);

	part.slot = node;
	bounds(node, &part);
	return part;
}

static struct part fill(struct index *index, uint32_t level, const struct part *parts, uint32_t nr)
{
	struct index_node *node = new_node(index, level);

	for (uint32_t i = 0; i < nr; i++)
		put(node, i, &parts[i]);
	return part_for(node);
}

/* Parts in order, and whether the last of them came last: keys that ascend leave nodes full. */
struct sorted {
	struct part part[2 * INDEX_WIDTH];      /* never one slot wide */
	uint32_t nr;
	bool ascending;
};

static void add(struct sorted *sorted, const struct part *part)
{
	uint32_t i = sorted->nr++;

	sorted->ascending = i == 0 || is_before(&sorted->part[i - 1], part);
	for (; i > 0 && is_before(part, &sorted->part[i - 1]); i--)
		sorted->part[i] = sorted->part[i - 1];
	sorted->part[i] = *part;
}

#define NONE INDEX_WIDTH

/* What is in @node, but for the slots @but and @nor. */
static void add_all(struct sorted *sorted, const struct index_node *node, uint32_t but, uint32_t nor)
{
	for (uint32_t i = 0; i < node->used; i++) {
		struct part part = part_of(node, i);

		if (i != but && i != nor && part.slot)
			add(sorted, &part);
	}
}

/* One node of @level with all parts, or two; returns how many. */
static uint32_t share(struct index *index, uint32_t level, const struct sorted *sorted,
		      struct part made[2])
{
	uint32_t half = sorted->nr <= INDEX_WIDTH ? sorted->nr :
			sorted->ascending && sorted->nr == INDEX_WIDTH + 1 ? INDEX_WIDTH : sorted->nr / 2;

	made[0] = fill(index, level, sorted->part, half);
	if (half == sorted->nr)
		return 1;
	made[1] = fill(index, level, sorted->part + half, sorted->nr - half);
	return 2;
}

static uint32_t nr_in(const struct index_node *node)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < node->used; i++)
		nr += node->slot[i] != NULL;
	return nr;
}

/* The slot of @above with a leaf, beside the one in slot @full, that has room for a part of it; @full: none has. */
static uint32_t with_room(const struct index_node *above, uint32_t full)
{
	uint32_t most = INDEX_WIDTH - (INDEX_WIDTH + 3) / 4, best = full;

	for (uint32_t i = full ? full - 1 : 1; i <= full + 1 && i < above->used; i += 2) {
		const struct index_node *leaf = above->slot[i];

		if (leaf && nr_in(leaf) <= most) {
			most = nr_in(leaf);
			best = i;
		}
	}
	return best;
}

/*
 * The leaf on the way is full: two new ones share what is in it, and in one beside it that has room; then above there
 * are no more than before.  Replace what must be.
 */
static void split(struct index *index, const struct path *path, const struct part *new)
{
	uint32_t level, top = index->root->level, nr, full = top ? path->at[1] : 0;
	uint32_t beside = top ? with_room(path->node[1], full) : full;
	struct index_node *other = beside != full ? path->node[1]->slot[beside] : NULL, *root;
	struct sorted sorted = { .nr = 0 };
	struct part made[2];

	add_all(&sorted, path->node[0], NONE, NONE);
	add(&sorted, new);
	if (other) {
		add_all(&sorted, other, NONE, NONE);
		retire(index, other);
	}
	nr = share(index, 0, &sorted, made);
	if (MUTANT(INDEX_SHARE_IN_PLACE) && other) {
		put(path->node[1], full < beside ? full : beside, &made[0]);
		put(path->node[1], full < beside ? beside : full, &made[1]);
		retire(index, path->node[0]);
		return;
	}
	for (level = 1; nr == 2 && level <= top; level++) {
		sorted.nr = 0;
		add_all(&sorted, path->node[level], path->at[level], level == 1 ? beside : NONE);
		add(&sorted, &made[0]);
		add(&sorted, &made[1]);
		nr = share(index, level, &sorted, made);
	}
	if (nr == 2) {
		root = new_node(index, top + 1);
		put(root, 0, &made[0]);
		put(root, 1, &made[1]);
		if (MUTANT(INDEX_NO_RELEASE))
			store_relaxed(&index->root, root);
		else
			store_release(&index->root, root);
	} else {
		publish(index, path, level - 1, made[0].slot);
	}
	while (level-- > 0)
		retire(index, path->node[level]);
}

/* Where a node was taken out of @level: a new one there, and those below it, for @part alone. */
static void fill_gap(struct index *index, const struct path *path, uint32_t level,
		     const struct part *part)
{
	struct part below = *part;

	for (uint32_t l = 0; l < level; l++)
		below = fill(index, l, &below, 1);
	publish(index, path, level - 1, below.slot);
}

void index_insert(struct index *index, uint64_t first, uint64_t last, void *item, const void *hint)
{
	struct part part = { first, last, (uintptr_t)item, (uintptr_t)hint, item };
	struct index_node *leaf;
	struct path path;
	uint32_t level, i;

	index->nr_items++;
	if (!index->root) {
		store_release(&index->root, (struct index_node *)fill(index, 0, &part, 1).slot);
		return;
	}
	level = descend(index, &part, &path);
	if (!MUTANT(INDEX_NO_WIDEN))
		widen(index, &path, level, &part);
	if (level) {
		fill_gap(index, &path, level, &part);
		return;
	}
	leaf = path.node[0];
	for (i = 0; i < leaf->used && leaf->slot[i]; )
		i++;
	if (i < INDEX_WIDTH)
		put(leaf, i, &part);
	else
		split(index, &path, &part);
}

/* ---- remove ---- */

void index_remove(struct index *index, uint64_t first, const void *item)
{
	struct part key = { .first = first, .tie = (uintptr_t)item }, left;
	struct index_node *node;
	struct path path;
	uint32_t level, i;

	descend(index, &key, &path);
	node = path.node[0];
	for (i = 0; node->slot[i] != item; )
		i++;
	store_release(&node->slot[i], NULL);
	index->nr_items--;
	for (level = 0; level < index->root->level; level++) {
		struct index_node *above = path.node[level + 1];
		uint32_t at = path.at[level + 1];

		if (!bounds(path.node[level], &left)) {
			store_release(&above->slot[at], NULL);
			retire(index, path.node[level]);
		} else if (above->last[at] == left.last) {
			return;
		}
		store_relaxed(&above->last[at], left.last);
	}
	if (!bounds(index->root, &left)) {
		node = index->root;
		store_release(&index->root, NULL);
		retire(index, node);
	}
}
