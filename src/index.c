/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The index of ranges: index.h says how it works. */

#include "index.h"

/* ---- bounds ---- */

/* @key as bounds of children are written in @node.  No order is turned round, though some are lost. */
static int32_t scaled(const struct index_node *node, uint64_t key)
{
	uint64_t above = key > node->base ? (key - node->base) >> node->shift : 0;

	return above < INT32_MAX || MUTANT(INDEX_SCALE_WRAPS) ? (int32_t)above : INT32_MAX;
}

/* The bounds of the child in slot @i of @node, to those who read them there. */
static void show(struct index_node *node, uint32_t i, const struct index_node *child)
{
	store_relaxed(&node->children.first[i], scaled(node, child->first));
	store_relaxed(&node->children.last[i], scaled(node, child->last));
}

/* ---- find ---- */

/* The slots of a leaf that overlap, a bit each; slots never used may be among them.  A branch would be mispredicted. */
static uint64_t items_in(const struct index_node *leaf, uint64_t first, uint64_t last)
{
	uint32_t begins_after = 0, ends_before = 0;

	/* Keys that were the slot's before are no harm: 2 of index.h. */
#pragma GCC unroll 32
	for (int i = INDEX_ITEMS - 1; i >= 0; i--) {
		begins_after = add_if_above(begins_after, &leaf->items.first[i], last);
		ends_before = add_if_below(ends_before, &leaf->items.last[i], first);
	}
	return ~(begins_after | ends_before) & ((1u << INDEX_ITEMS) - 1);
}

/* The same of a node with children. */
static uint64_t children_in(const struct index_node *node, uint64_t first, uint64_t last)
{
	return port_overlapping(node->children.first, node->children.last, INDEX_CHILDREN, scaled(node, first),
				scaled(node, last));
}

static uint32_t take_lowest(uint64_t *mask)
{
	uint32_t lowest = (uint32_t)__builtin_ctzll(*mask);

	*mask &= *mask - 1;
	return lowest;
}

/* The lines of @node from @offset on will be read soon. */
static inline __attribute__((always_inline)) void fetch(const struct index_node *node, size_t offset)
{
#pragma GCC unroll 16
	for (size_t line = offset / 64; line < sizeof(*node) / 64; line++)
		port_prefetch((const char *)node + 64 * line);
}

/* The bounds are looked at now, the pointers next. */
static void enter(struct index_find *find, uint32_t level, const struct index_node *node)
{
	find->level = level;
	find->node[level] = node;
	if (level) {
		fetch(node, offsetof(struct index_node, children.slot));
		find->left[level] = children_in(node, find->first, find->last);
	} else {
		fetch(node, offsetof(struct index_node, items.slot));
		find->left[0] = items_in(node, find->first, find->last);
	}
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
		child = load_acquire(&find->node[level]->children.slot[take_lowest(&find->left[level])]);
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
			item = load_acquire(&find->node[0]->items.slot[i]);
			if (!item)
				continue;
			port_prefetch(item);
			port_prefetch((const void *)(uintptr_t)load_relaxed(&find->node[0]->items.hint[i]));
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

/* What one slot of a leaf holds, outside of it. */
struct part {
	uint64_t first, last;
	void *item;                     /* its address orders those with the same first */
	uint64_t hint;
};

/* Whether @part comes before all that has these bounds. */
static bool is_before(const struct part *part, uint64_t first, uint64_t tie)
{
	return part->first < first || (part->first == first && (uintptr_t)part->item < tie);
}

/* Into a slot that holds nothing: readers may look at it. */
static void put(struct index_node *leaf, uint32_t i, const struct part *part)
{
	store_relaxed(&leaf->items.first[i], part->first);
	store_relaxed(&leaf->items.last[i], part->last);
	store_relaxed(&leaf->items.hint[i], part->hint);
	store_release(&leaf->items.slot[i], part->item); /* the keys before the pointer */
	if (i == leaf->used)
		leaf->used++;
}

static void put_child(struct index_node *node, uint32_t i, struct index_node *child)
{
	show(node, i, child);
	store_release(&node->children.slot[i], child);
}

static struct index_node *new_leaf(struct index *index, const struct part *parts, uint32_t nr)
{
	struct index_node *leaf = new_node(index, 0);

	leaf->first = parts[0].first;
	leaf->tie = (uintptr_t)parts[0].item;
	for (uint32_t i = 0; i < nr; i++) {
		put(leaf, i, &parts[i]);
		leaf->last = parts[i].last > leaf->last ? parts[i].last : leaf->last;
	}
	return leaf;
}

static struct index_node *new_parent(struct index *index, uint32_t level, struct index_node *const *children, uint32_t nr)
{
	struct index_node *node = new_node(index, level);
	uint64_t span = children[nr - 1]->first - children[0]->first;

	node->first = node->base = children[0]->first;
	node->tie = children[0]->tie;
	while (span >> node->shift > INT32_MAX / 2) /* room for what comes after */
		node->shift++;
	for (uint32_t i = 0; i < nr; i++) {
		put_child(node, i, children[i]);
		node->last = children[i]->last > node->last ? children[i]->last : node->last;
	}
	node->used = nr;
	return node;
}

/* Find out where what is in @node ends; false: nothing is. */
static bool narrow(struct index_node *node)
{
	uint32_t nr = 0;

	node->last = 0;
	for (uint32_t i = 0; i < node->used; i++) {
		bool is_used = node->level ? node->children.slot[i] != NULL : node->items.slot[i] != NULL;
		uint64_t last = !is_used ? 0 : node->level ? node->children.slot[i]->last : node->items.last[i];

		node->last = last > node->last ? last : node->last;
		nr += is_used;
	}
	return nr > 0;
}

/* ---- the way down ---- */

struct path {
	struct index_node *node[INDEX_LEVELS];    /* by level */
	uint32_t at[INDEX_LEVELS];                /* the slot of node[level] that leads down */
};

/* The last child that is not after @part; the first where there is none. */
static uint32_t child_for(const struct index_node *node, const struct part *part)
{
	int32_t first = scaled(node, part->first);
	uint32_t best = INDEX_CHILDREN;

	for (uint32_t i = 0; i < node->used && node->children.first[i] <= first; i++) {
		const struct index_node *child = node->children.slot[i];

		if (!child)
			continue;
		if (node->children.first[i] == first && is_before(part, child->first, child->tie))
			break;
		best = i;
	}
	if (best == INDEX_CHILDREN)
		for (best = 0; !node->children.slot[best]; )
			best++;
	return best;
}

/* From the root to the leaf for @part. */
static void descend(const struct index *index, const struct part *part, struct path *path)
{
	struct index_node *node = index->root;

	for (uint32_t level = node->level; ; level--) {
		path->node[level] = node;
		if (level == 0)
			return;
		path->at[level] = child_for(node, part);
		node = node->children.slot[path->at[level]];
	}
}

/* Make the bounds on the way include @part. */
static void widen(const struct index *index, const struct path *path, const struct part *part)
{
	for (uint32_t level = index->root->level + 1; level-- > 0; ) {
		struct index_node *node = path->node[level];

		if (is_before(part, node->first, node->tie)) {
			node->first = part->first;
			node->tie = (uintptr_t)part->item;
		} else if (part->last <= node->last) {
			continue;
		}
		node->last = part->last > node->last ? part->last : node->last;
		/* Relaxed: the owner publishes the insertion as a whole. */
		if (level < index->root->level)
			show(path->node[level + 1], path->at[level + 1], node);
	}
}

/* Hang @node, or nothing, where @level's node of the way was. */
static void publish(struct index *index, const struct path *path, uint32_t level, struct index_node *node)
{
	if (level == index->root->level)
		store_release(&index->root, node);
	else if (node)
		put_child(path->node[level + 1], path->at[level + 1], node);
	else
		store_release(&path->node[level + 1]->children.slot[path->at[level + 1]], NULL);
}

/* ---- insert ---- */

/* Parts in order, and whether the last of them came last: keys that ascend leave nodes full. */
struct sorted {
	struct part part[2 * INDEX_ITEMS];      /* never one slot wide */
	uint32_t nr;
	bool ascending;
};

static void add(struct sorted *sorted, const struct part *part)
{
	uint32_t i = sorted->nr++;

	for (; i > 0 && is_before(part, sorted->part[i - 1].first, (uintptr_t)sorted->part[i - 1].item); i--)
		sorted->part[i] = sorted->part[i - 1];
	sorted->part[i] = *part;
	sorted->ascending = i == sorted->nr - 1;
}

static void add_all(struct sorted *sorted, const struct index_node *leaf)
{
	for (uint32_t i = 0; i < leaf->used; i++) {
		struct part part = { leaf->items.first[i], leaf->items.last[i], leaf->items.slot[i], leaf->items.hint[i] };

		if (part.item)
			add(sorted, &part);
	}
}

/* How many of @nr go to the first of two nodes; all, if they fit. */
static uint32_t first_share(uint32_t nr, uint32_t width, bool ascending)
{
	if (nr <= width)
		return nr;
	return ascending && nr == width + 1 ? width : nr / 2;
}

/* A copy of @node, or two, with both @made in place of the children in the slots @at and @beside; how many. */
static uint32_t copy_with(struct index *index, const struct index_node *node, uint32_t at, uint32_t beside,
			  struct index_node *made[2])
{
	struct index_node *children[INDEX_CHILDREN + 1];
	uint32_t nr = 0, first;

	for (uint32_t i = 0; i < node->used; i++) {
		if (i == (at < beside ? at : beside)) {
			children[nr++] = made[0];
			children[nr++] = made[1];
		} else if (i != at && i != beside && node->children.slot[i]) {
			children[nr++] = node->children.slot[i];
		}
	}
	first = first_share(nr, INDEX_CHILDREN, children[nr - 1] == made[1]);
	made[0] = new_parent(index, node->level, children, first);
	if (first == nr)
		return 1;
	made[1] = new_parent(index, node->level, children + first, nr - first);
	return 2;
}

static uint32_t nr_in(const struct index_node *leaf)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < leaf->used; i++)
		nr += leaf->items.slot[i] != NULL;
	return nr;
}

/* The slot of @above with a leaf, beside the one in slot @full, that has room for a part of it; @full: none has. */
static uint32_t with_room(const struct index_node *above, uint32_t full)
{
	uint32_t most = INDEX_ITEMS - (INDEX_ITEMS + 3) / 4, best = full;

	for (uint32_t i = full ? full - 1 : 1; i <= full + 1 && i < above->used; i += 2) {
		const struct index_node *leaf = above->children.slot[i];

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
	uint32_t level, top = index->root->level, nr = 2, first, full = top ? path->at[1] : 0;
	uint32_t beside = top ? with_room(path->node[1], full) : full;
	struct index_node *other = beside != full ? path->node[1]->children.slot[beside] : NULL, *made[2], *root;
	struct sorted sorted = { .nr = 0 };

	add_all(&sorted, path->node[0]);
	add(&sorted, new);
	if (other) {
		add_all(&sorted, other);
		retire(index, other);
	}
	first = first_share(sorted.nr, INDEX_ITEMS, sorted.ascending);
	made[0] = new_leaf(index, sorted.part, first);
	made[1] = new_leaf(index, sorted.part + first, sorted.nr - first);
	if (MUTANT(INDEX_SHARE_IN_PLACE) && other) {
		put_child(path->node[1], full < beside ? full : beside, made[0]);
		put_child(path->node[1], full < beside ? beside : full, made[1]);
		retire(index, path->node[0]);
		return;
	}
	for (level = 1; nr == 2 && level <= top; level++)
		nr = copy_with(index, path->node[level], path->at[level], level == 1 ? beside : path->at[level], made);
	if (nr == 2) {
		root = new_parent(index, top + 1, made, 2);
		if (MUTANT(INDEX_NO_RELEASE))
			store_relaxed(&index->root, root);
		else
			store_release(&index->root, root);
	} else {
		publish(index, path, level - 1, made[0]);
	}
	while (level-- > 0)
		retire(index, path->node[level]);
}

void index_insert(struct index *index, uint64_t first, uint64_t last, void *item, const void *hint)
{
	struct part part = { first, last, item, (uintptr_t)hint };
	struct index_node *leaf;
	struct path path;
	uint32_t i;

	index->nr_items++;
	if (!index->root) {
		store_release(&index->root, new_leaf(index, &part, 1));
		return;
	}
	descend(index, &part, &path);
	if (!MUTANT(INDEX_NO_WIDEN))
		widen(index, &path, &part);
	leaf = path.node[0];
	for (i = 0; i < leaf->used && leaf->items.slot[i]; )
		i++;
	if (i < INDEX_ITEMS)
		put(leaf, i, &part);
	else
		split(index, &path, &part);
}

/* ---- remove ---- */

void index_remove(struct index *index, uint64_t first, const void *item)
{
	struct part part = { .first = first, .item = (void *)(uintptr_t)item };
	uint32_t level, top = index->root->level, i;
	struct index_node *node, *above;
	struct path path;

	descend(index, &part, &path);
	node = path.node[0];
	for (i = 0; node->items.slot[i] != item; )
		i++;
	store_release(&node->items.slot[i], NULL);
	index->nr_items--;
	for (level = 0; ; level++) {
		uint64_t last = path.node[level]->last;
		bool is_empty = !narrow(path.node[level]);

		node = path.node[level];
		above = level < top ? path.node[level + 1] : NULL;
		if (is_empty) {
			publish(index, &path, level, NULL);
			retire(index, node);
		} else if (above && node->last < last) {
			show(above, path.at[level + 1], node);
		}
		/* Only what was the last to end, or is gone, makes a difference above. */
		if (!above || (!is_empty && (node->last == last || above->last > last)))
			return;
	}
}
