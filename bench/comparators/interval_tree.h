/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * An interval tree: a red-black tree by start whose nodes know the latest end below them
 *
 * The design that Linux uses for the same purpose, written for this comparison from the textbook.  Nodes
 * stand in the caller's objects; nothing is allocated.  The caller locks.
 *
 * Sources: Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, 3rd edition, chapters 13 and
 * 14.3.
 */
#ifndef BENCH_INTERVAL_TREE_H
#define BENCH_INTERVAL_TREE_H

#include <stdbool.h>
#include <stdint.h>

/** struct interval_node - [first, last], both inclusive; the rest is the tree's */
struct interval_node {
	uint64_t first, last;
	uint64_t latest;                /* the greatest last of this node and those below */
	struct interval_node *parent, *child[2];
	bool red;
};

/** struct interval_tree - zero it to start */
struct interval_tree {
	struct interval_node *root;
};

void interval_tree_insert(struct interval_tree *tree, struct interval_node *node);
void interval_tree_remove(struct interval_tree *tree, struct interval_node *node);

/** interval_tree_first - the node of the smallest start that overlaps [@first, @last], or NULL */
struct interval_node *interval_tree_first(const struct interval_tree *tree, uint64_t first, uint64_t last);

/** interval_tree_next - the next one after @node, or NULL */
struct interval_node *interval_tree_next(struct interval_node *node, uint64_t first, uint64_t last);

#endif /* BENCH_INTERVAL_TREE_H */
