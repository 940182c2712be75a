/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * tree-spinlock: an interval tree under a spinlock, which is held during the callbacks
 *
 * Linux's mmu_interval_notifier tree is of this design.  A publication locks once; Linux's locks a second
 * time at the end of the bracket, so this one is the faster.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "interval_tree.h"
#include "ranges.h"

struct item {
	struct interval_node node;
	int (*callback)(struct item *item, uint64_t start, uint64_t end);
} __attribute__((__aligned__(64)));

struct set {
	pthread_spinlock_t lock __attribute__((__aligned__(64)));
	struct interval_tree tree;
	struct item *items;
};

static int callback(struct item *item, uint64_t start, uint64_t end)
{
	(void)item;
	(void)start;
	(void)end;
	ranges_hits++;
	return 0;
}

static int create(void **state, size_t nr_items)
{
	struct set *set = aligned_alloc(64, sizeof(*set));

	if (!set)
		return -ENOMEM;
	memset(set, 0, sizeof(*set));
	set->items = aligned_alloc(64, nr_items * sizeof(set->items[0]));
	if (!set->items) {
		free(set);
		return -ENOMEM;
	}
	memset(set->items, 0, nr_items * sizeof(set->items[0]));
	pthread_spin_init(&set->lock, PTHREAD_PROCESS_PRIVATE);
	*state = set;
	return 0;
}

static void destroy(void *state, size_t nr_items)
{
	struct set *set = state;

	(void)nr_items;
	pthread_spin_destroy(&set->lock);
	free(set->items);
	free(set);
}

static int insert(void *state, size_t item, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct item *it = &set->items[item];

	it->node.first = start;
	it->node.last = end - 1;
	it->callback = callback;
	pthread_spin_lock(&set->lock);
	interval_tree_insert(&set->tree, &it->node);
	pthread_spin_unlock(&set->lock);
	return 0;
}

static void invalidate(void *state, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct interval_node *node;

	pthread_spin_lock(&set->lock);
	for (node = interval_tree_first(&set->tree, start, end - 1); node;
	     node = interval_tree_next(node, start, end - 1)) {
		struct item *item = (struct item *)node; /* its first member */

		item->callback(item, start, end);
	}
	pthread_spin_unlock(&set->lock);
}

static int remove_one(void *state, size_t item)
{
	struct set *set = state;

	pthread_spin_lock(&set->lock);
	interval_tree_remove(&set->tree, &set->items[item].node);
	pthread_spin_unlock(&set->lock);
	return 0;
}

static const struct ranges tree = {
	create, destroy, insert, NULL, invalidate, remove_one, NULL, false,
};

const struct bench_comparator ranges_tree = {
	.name = "tree-spinlock",
	.about = "a red-black interval tree, Linux's design, under a spinlock held during the callbacks",
	.own = &tree,
};
