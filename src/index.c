/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Changes of an index of ranges: index.h says how they work. */

#include "index_node.h"

/* ---- nodes ---- */

/* Write the bounds of @child in place @i of @node, where finds read them. */
static void show(struct index_node *node, uint32_t i, const struct index_node *child)
{
	if (is_compact(node)) {
		store_relaxed(&node->compact.first[i], (int32_t)in_units(&node->scale, child->first));
		store_relaxed(&node->compact.last[i], (int32_t)in_units(&node->scale, child->last));
	} else {
		store_relaxed(&node->wide.first[i], child->first);
		store_relaxed(&node->wide.last[i], child->last);
	}
}

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
	node->level = level;
	return node;
}

static void retire(struct index *index, struct index_node *node)
{
	node->next = index->retired;
	index->retired = node;
	index->nr_nodes--;
}

/* What a place of a leaf holds. */
struct part {
	const struct index_item *item;
	uint64_t hint;
};

/* True if @item comes before all that is in @node. */
static bool is_before(const struct index_item *item, const struct index_node *node)
{
	return item->first < node->first || (item->first == node->first && item->tie < node->tie);
}

/* True if @item comes before what is in place @i of @leaf. */
static bool is_before_place(const struct index_item *item, const struct index_node *leaf, uint32_t i)
{
	const struct index_item *other = leaf->wide.place[i];

	return item->first < leaf->wide.first[i] || (item->first == leaf->wide.first[i] && item->tie < other->tie);
}

/* Put place @i, for @item, where it belongs in the order of places.  Empty ones may stand anywhere. */
static void put_in_order(struct index_node *leaf, uint32_t i, const struct index_item *item)
{
	uint32_t nr = leaf->used, k = 0;

	if (i < nr) {
		while (leaf->order[k] != i)
			k++;
		for (nr--; k < nr; k++)
			store_relaxed(&leaf->order[k], leaf->order[k + 1]);
	}
	for (k = nr; k > 0; k--) {
		uint32_t before = leaf->order[k - 1];

		if (leaf->wide.place[before] && !is_before_place(item, leaf, before))
			break;
		store_relaxed(&leaf->order[k], (uint8_t)before);
	}
	store_relaxed(&leaf->order[k], (uint8_t)i);
}

/* Put @part into a place that holds nothing; finds may look at it. */
static void put(struct index_node *leaf, uint32_t i, const struct part *part)
{
	/* Finds put right what they find out of order. */
	put_in_order(leaf, i, part->item);
	store_relaxed(&leaf->wide.first[i], part->item->first);
	store_relaxed(&leaf->wide.last[i], part->item->last);
	store_relaxed(&leaf->wide.hint[i], part->hint);
	store_release(&leaf->wide.place[i], (void *)(uintptr_t)part->item); /* the keys before the pointer */
	if (i == leaf->used)
		store_relaxed(&leaf->used, i + 1);
}

static void put_child(struct index_node *node, uint32_t i, struct index_node *child)
{
	show(node, i, child);
	store_release(place_in(node, i), child);
}

static struct index_node *new_leaf(struct index *index, const struct part *parts, uint32_t nr)
{
	struct index_node *leaf = new_node(index, 0);

	leaf->first = parts[0].item->first;
	leaf->tie = parts[0].item->tie;
	for (uint32_t i = 0; i < nr; i++) {
		put(leaf, i, &parts[i]);
		leaf->last = parts[i].item->last > leaf->last ? parts[i].item->last : leaf->last;
	}
	return leaf;
}

static struct index_scale scale_for(struct index_node *const *children, uint32_t nr)
{
	struct index_scale scale = { .base = children[0]->first };
	uint64_t span = children[nr - 1]->first - scale.base;

	while (span >> scale.shift > INT32_MAX / 2) /* room for what comes after */
		scale.shift++;
	return scale;
}

/* True if bounds of a compact node are exact, or tell each child from the others by either bound. */
static bool is_precise(struct index_node *const *children, uint32_t nr)
{
	struct index_scale scale = scale_for(children, nr);

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t first = in_units(&scale, children[i]->first), last = in_units(&scale, children[i]->last);

		if (last == INT32_MAX)
			return false;
		if (scale.shift == 0 || i == 0)
			continue;
		if (first == in_units(&scale, children[i - 1]->first))
			return false;
		for (uint32_t k = i; k-- > 0; )
			if (last == in_units(&scale, children[k]->last))
				return false;
	}
	return true;
}

static struct index_node *new_parent(struct index *index, uint32_t level, struct index_node *const *children,
				     uint32_t nr)
{
	struct index_node *node = new_node(index, level);

	node->is_compact = nr > INDEX_WIDE || is_precise(children, nr);
	node->scale = scale_for(children, nr);
	node->first = children[0]->first;
	node->tie = children[0]->tie;
	for (uint32_t i = 0; i < nr; i++) {
		put_child(node, i, children[i]);
		node->last = children[i]->last > node->last ? children[i]->last : node->last;
	}
	node->used = nr;
	return node;
}

/* Compute last again from what is in @node; false: nothing is. */
static bool narrow(struct index_node *node)
{
	uint64_t greatest = 0, last;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < node->used; i++) {
		if (!child_in(node, i))
			continue;
		nr++;
		greatest = last_in(node, i) > greatest ? last_in(node, i) : greatest;
	}
	last = is_compact(node) ? 0 : greatest;
	/* The child of a compact node that ends last is one of those with the greatest scaled last. */
	for (uint32_t i = 0; is_compact(node) && i < node->used; i++) {
		if (child_in(node, i) && last_in(node, i) == greatest && child_in(node, i)->last > last)
			last = child_in(node, i)->last;
	}
	unless(INDEX_NO_NARROW, store_relaxed(&node->last, last));
	return nr > 0;
}

/* ---- the way down ---- */

struct path {
	struct index_node *node[INDEX_LEVELS];    /* by level */
	uint32_t at[INDEX_LEVELS];                /* the place of node[level] that leads down */
};

/* The place of the last child that is not after @item; of the first child if all are. */
static uint32_t child_for(const struct index_node *node, const struct index_item *item)
{
	uint64_t first = is_compact(node) ? in_units(&node->scale, item->first) : item->first;
	uint32_t best = node->used;

	/* From the last one: of items with the same first, the one that came last is after all others. */
	for (uint32_t i = node->used; i-- > 0; ) {
		const struct index_node *child = child_in(node, i);

		if (!child)
			continue;
		best = i;
		if (first_in(node, i) < first || (first_in(node, i) == first && !is_before(item, child)))
			break;
	}
	return best;
}

/* From the root to the leaf for @item. */
static void descend(const struct index *index, const struct index_item *item, struct path *path)
{
	struct index_node *node = index->root;

	for (uint32_t level = node->level; ; level--) {
		path->node[level] = node;
		if (level == 0)
			return;
		path->at[level] = child_for(node, item);
		node = child_in(node, path->at[level]);
	}
}

/* Make the bounds on the way include @item. */
static void widen(const struct index *index, const struct path *path, const struct index_item *item)
{
	for (uint32_t level = index->root->level + 1; level-- > 0; ) {
		struct index_node *node = path->node[level];
		bool comes_first = is_before(item, node);

		if (!comes_first && item->last <= node->last)
			continue;
		/* Relaxed: the owner makes the insertion visible as a whole. */
		if (comes_first) {
			store_relaxed(&node->first, item->first);
			node->tie = item->tie;
		}
		if (item->last > node->last)
			store_relaxed(&node->last, item->last);
		if (level < index->root->level)
			show(path->node[level + 1], path->at[level + 1], node);
	}
}

/* Hang @node, or nothing if NULL, in place of @level's node of the path. */
static void hang(struct index *index, const struct path *path, uint32_t level, struct index_node *node)
{
	if (level == index->root->level)
		store_release(&index->root, node);
	else if (node)
		put_child(path->node[level + 1], path->at[level + 1], node);
	else
		store_release(place_in(path->node[level + 1], path->at[level + 1]), NULL);
}

/* ---- insert ---- */

/* Parts in order.  If the part that was added last comes last, keys ascend, and nodes are left full. */
struct sorted {
	struct part part[2 * INDEX_WIDE];      /* never one place wide */
	uint32_t nr;
	bool ascending;
};

static void add(struct sorted *sorted, const struct part *part)
{
	uint32_t i = sorted->nr++;

	for (; i > 0 && index_is_before(part->item, sorted->part[i - 1].item); i--)
		sorted->part[i] = sorted->part[i - 1];
	sorted->part[i] = *part;
	sorted->ascending = i == sorted->nr - 1;
}

static void add_all(struct sorted *sorted, const struct index_node *leaf)
{
	for (uint32_t i = 0; i < leaf->used; i++) {
		struct part part = { leaf->wide.place[i], leaf->wide.hint[i] };

		if (part.item)
			add(sorted, &part);
	}
}

/* How many of @nr go to the first of two nodes; all if they fit. */
static uint32_t first_share(uint32_t nr, uint32_t width, bool ascending)
{
	if (nr <= width)
		return nr;
	return ascending && nr == width + 1 ? width : nr / 2;
}

/* Copy @node, to one node or two, with both @made instead of the children in the places @at and @beside; how many. */
static uint32_t copy_with(struct index *index, const struct index_node *node, uint32_t at, uint32_t beside,
			  struct index_node *made[2])
{
	struct index_node *children[INDEX_COMPACT + 1] = { NULL };
	uint32_t nr = 0, first;

	for (uint32_t i = 0; i < node->used; i++) {
		if (i == (at < beside ? at : beside)) {
			children[nr++] = made[0];
			children[nr++] = made[1];
		} else if (i != at && i != beside && child_in(node, i)) {
			children[nr++] = child_in(node, i);
		}
	}
	first = first_share(nr, is_precise(children, nr) ? INDEX_COMPACT : INDEX_WIDE, children[nr - 1] == made[1]);
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
		nr += leaf->wide.place[i] != NULL;
	return nr;
}

/* The place in @above of a leaf next to the full one, in place @full, that has room for a part of it; @full: none. */
static uint32_t with_room(const struct index_node *above, uint32_t full)
{
	uint32_t most = INDEX_WIDE - (INDEX_WIDE + 3) / 4, best = full;

	for (uint32_t i = full ? full - 1 : 1; i <= full + 1 && i < above->used; i += 2) {
		const struct index_node *leaf = child_in(above, i);

		if (leaf && nr_in(leaf) <= most) {
			most = nr_in(leaf);
			best = i;
		}
	}
	return best;
}

/* Replace the nodes of the path from the leaf up, as far as a copy is needed: one store makes them all visible. */
static void replace_path(struct index *index, const struct path *path, uint32_t beside, struct index_node *made[2])
{
	uint32_t level, top = index->root->level, nr = 2;
	struct index_node *root;

	for (level = 1; nr == 2 && level <= top; level++)
		nr = copy_with(index, path->node[level], path->at[level], level == 1 ? beside : path->at[level], made);
	if (nr == 2) {
		root = new_parent(index, top + 1, made, 2);
		store_release_unless(INDEX_NO_RELEASE, &index->root, root);
	} else {
		hang(index, path, level - 1, made[0]);
	}
	while (level-- > 0)
		retire(index, path->node[level]);
}

/* The mutant INDEX_SHARE_IN_PLACE: a store for each of two leaves. */
static void replace_leaves(struct index *index, const struct path *path, uint32_t beside, struct index_node *made[2])
{
	uint32_t full = index->root->level ? path->at[1] : beside;

	if (beside == full) {
		replace_path(index, path, beside, made);
		return;
	}
	put_child(path->node[1], full < beside ? full : beside, made[0]);
	put_child(path->node[1], full < beside ? beside : full, made[1]);
	retire(index, path->node[0]);
}

/*
 * The leaf at the end of the path is full.  Two new leaves share its parts, and those of a leaf next to it that has
 * room; if one has, the node above gets no more children.
 */
static void split(struct index *index, const struct path *path, const struct part *new)
{
	bool has_above = index->root->level > 0;
	uint32_t full = has_above ? path->at[1] : 0, beside = has_above ? with_room(path->node[1], full) : full, first;
	struct index_node *other = beside != full ? child_in(path->node[1], beside) : NULL, *made[2];
	struct sorted sorted = { .nr = 0 };

	add_all(&sorted, path->node[0]);
	add(&sorted, new);
	if (other) {
		add_all(&sorted, other);
		retire(index, other);
	}
	first = first_share(sorted.nr, INDEX_WIDE, sorted.ascending);
	made[0] = new_leaf(index, sorted.part, first);
	made[1] = new_leaf(index, sorted.part + first, sorted.nr - first);
	broken_if(INDEX_SHARE_IN_PLACE, replace_leaves, replace_path)(index, path, beside, made);
}

void index_insert(struct index *index, const struct index_item *item, const void *hint)
{
	struct part part = { item, (uintptr_t)hint };
	struct index_node *leaf;
	struct path path;
	uint32_t i;

	index->nr_items++;
	if (!index->root) {
		store_release(&index->root, new_leaf(index, &part, 1));
		return;
	}
	descend(index, item, &path);
	unless(INDEX_NO_WIDEN, widen(index, &path, item));
	leaf = path.node[0];
	for (i = 0; i < leaf->used && leaf->wide.place[i]; )
		i++;
	if (i < INDEX_WIDE)
		put(leaf, i, &part);
	else
		split(index, &path, &part);
}

/* ---- remove, replace ---- */

/* Of @item, in the leaf at the end of @path. */
static void **item_place(struct index *index, const struct index_item *item, struct path *path)
{
	void **place;

	descend(index, item, path);
	for (place = path->node[0]->wide.place; *place != item; )
		place++;
	return place;
}

void index_replace(struct index *index, const struct index_item *item, const struct index_item *with)
{
	struct path path;

	/* What is in @with before the pointer. */
	store_release(item_place(index, item, &path), (void *)(uintptr_t)with);
}

void index_remove(struct index *index, const struct index_item *item)
{
	uint32_t level, top = index->root->level;
	struct index_node *node, *above;
	struct path path;

	store_release(item_place(index, item, &path), NULL);
	index->nr_items--;
	for (level = 0; ; level++) {
		uint64_t last = path.node[level]->last;
		bool is_empty = !narrow(path.node[level]);

		node = path.node[level];
		above = level < top ? path.node[level + 1] : NULL;
		if (is_empty) {
			hang(index, &path, level, NULL);
			retire(index, node);
		} else if (above && node->last < last) {
			show(above, path.at[level + 1], node);
		}
		/* The node above changes only if this one is gone, or was the last to end. */
		if (!above || (!is_empty && (node->last == last || above->last > last)))
			return;
	}
}
