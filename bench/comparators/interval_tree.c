/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A red-black tree of intervals; interval_tree.h says what for. */
#include "interval_tree.h"

#include <stddef.h>

enum { LEFT, RIGHT };

static int side_of(const struct interval_node *node)
{
	return node->parent->child[RIGHT] == node;
}

static bool is_red(const struct interval_node *node)
{
	return node && node->red;
}

static uint64_t latest_of(const struct interval_node *node)
{
	uint64_t latest = node->last;

	for (int side = LEFT; side <= RIGHT; side++)
		if (node->child[side] && node->child[side]->latest > latest)
			latest = node->child[side]->latest;
	return latest;
}


/* Puts @by where @node is, as seen from above. */
static void replace(struct interval_tree *tree, struct interval_node *node, struct interval_node *by)
{
	if (node->parent)
		node->parent->child[side_of(node)] = by;
	else
		tree->root = by;
	if (by)
		by->parent = node->parent;
}

/* @node goes down to @side; its other child takes its place. */
static void rotate(struct interval_tree *tree, struct interval_node *node, int side)
{
	struct interval_node *up = node->child[!side];

	node->child[!side] = up->child[side];
	if (up->child[side])
		up->child[side]->parent = node;
	replace(tree, node, up);
	up->child[side] = node;
	node->parent = up;
	up->latest = node->latest;
	node->latest = latest_of(node);
}

/* @node is red and may have a red parent: moves the trouble up until there is none. */
static void balance_after_insert(struct interval_tree *tree, struct interval_node *node)
{
	while (is_red(node->parent)) {
		struct interval_node *parent = node->parent, *above = parent->parent;
		int side = side_of(parent);
		struct interval_node *uncle = above->child[!side];

		if (is_red(uncle)) {
			parent->red = uncle->red = false;
			above->red = true;
			node = above;
			continue;
		}
		if (side_of(node) != side) {
			rotate(tree, parent, side);
			parent = node;
		}
		parent->red = false;
		above->red = true;
		rotate(tree, above, !side);
		break;
	}
	tree->root->red = false;
}

void interval_tree_insert(struct interval_tree *tree, struct interval_node *node)
{
	struct interval_node **link = &tree->root, *parent = NULL;

	while (*link) {
		parent = *link;
		if (parent->latest < node->last)
			parent->latest = node->last;
		link = &parent->child[node->first >= parent->first];
	}
	node->parent = parent;
	node->child[LEFT] = node->child[RIGHT] = NULL;
	node->latest = node->last;
	node->red = true;
	*link = node;
	balance_after_insert(tree, node);
}

/* What hangs at @side of @parent has one black node too few on every path. */
static void balance_after_remove(struct interval_tree *tree, struct interval_node *parent, int side)
{
	while (parent && !is_red(parent->child[side])) {
		struct interval_node *sibling = parent->child[!side];

		if (sibling->red) {
			sibling->red = false;
			parent->red = true;
			rotate(tree, parent, side);
			sibling = parent->child[!side];
		}
		if (!is_red(sibling->child[LEFT]) && !is_red(sibling->child[RIGHT])) {
			sibling->red = true;
			if (parent->parent)
				side = side_of(parent);
			if (parent->red || !parent->parent) {
				parent->red = false;
				return;
			}
			parent = parent->parent;
			continue;
		}
		if (!is_red(sibling->child[!side])) {
			sibling->child[side]->red = false;
			sibling->red = true;
			rotate(tree, sibling, !side);
			sibling = parent->child[!side];
		}
		sibling->red = parent->red;
		parent->red = false;
		sibling->child[!side]->red = false;
		rotate(tree, parent, side);
		return;
	}
	if (parent)
		parent->child[side]->red = false;
	else if (tree->root)
		tree->root->red = false;
}

static struct interval_node *leftmost(struct interval_node *node)
{
	while (node->child[LEFT])
		node = node->child[LEFT];
	return node;
}

void interval_tree_remove(struct interval_tree *tree, struct interval_node *node)
{
	struct interval_node *next, *from;
	bool lost_black;
	int side = LEFT;

	if (!node->child[LEFT] || !node->child[RIGHT]) {
		from = node->parent;
		side = from ? side_of(node) : LEFT;
		lost_black = !node->red;
		replace(tree, node, node->child[LEFT] ? node->child[LEFT] : node->child[RIGHT]);
	} else {
		/* The next in order takes the place; it has no left child. */
		next = leftmost(node->child[RIGHT]);
		lost_black = !next->red;
		from = next->parent;
		side = side_of(next);
		if (from == node) {
			from = next;
		} else {
			replace(tree, next, next->child[RIGHT]);
			next->child[RIGHT] = node->child[RIGHT];
			next->child[RIGHT]->parent = next;
		}
		replace(tree, node, next);
		next->child[LEFT] = node->child[LEFT];
		next->child[LEFT]->parent = next;
		next->red = node->red;
		next->latest = node->latest;
	}
	/* The one that moved has another last than what stood there: do not stop below it. */
	for (struct interval_node *up = from; up; up = up->parent)
		up->latest = latest_of(up);
	if (lost_black)
		balance_after_remove(tree, from, side);
}

/* The first below @node, which has one that ends late enough. */
static struct interval_node *first_below(struct interval_node *node, uint64_t first, uint64_t last)
{
	for (;;) {
		if (node->child[LEFT] && node->child[LEFT]->latest >= first) {
			/* One of them ends late enough. If it starts too late, all to its right do too. */
			node = node->child[LEFT];
			continue;
		}
		if (node->first > last)
			return NULL;
		if (node->last >= first)
			return node;
		node = node->child[RIGHT];
		if (!node || node->latest < first)
			return NULL;
	}
}

struct interval_node *interval_tree_first(const struct interval_tree *tree, uint64_t first, uint64_t last)
{
	if (!tree->root || tree->root->latest < first)
		return NULL;
	return first_below(tree->root, first, last);
}

struct interval_node *interval_tree_next(struct interval_node *node, uint64_t first, uint64_t last)
{
	for (;;) {
		struct interval_node *below = node->child[RIGHT];

		if (below && below->latest >= first)
			return first_below(below, first, last);
		/* Up, until from a left child. */
		do {
			below = node;
			node = node->parent;
			if (!node)
				return NULL;
		} while (node->child[RIGHT] == below);
		if (node->first > last)
			return NULL;
		if (node->last >= first)
			return node;
	}
}
