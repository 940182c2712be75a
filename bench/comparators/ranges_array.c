/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * sorted-array: a search in a sorted array without any synchronisation, as a lower bound
 *
 * Items by start; beside them the latest end so far, which never falls.  The first item that can overlap
 * is the first whose latest end is behind the range's start.  The search halves without branches
 * and fetches both places where it may look next.
 */
#include "comparators.h"

#include <errno.h>
#include <stdlib.h>

#include "ranges.h"

struct item {
	uint64_t start, end;
	int (*callback)(struct item *item, uint64_t start, uint64_t end);
};

struct set {
	size_t nr;
	uint64_t *latest;               /* what is searched */
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

static void destroy(void *state, size_t nr_items)
{
	struct set *set = state;

	(void)nr_items;
	free(set->latest);
	free(set->items);
	free(set);
}

static int create(void **state, size_t nr_items)
{
	struct set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->latest = malloc(nr_items * sizeof(set->latest[0]));
	set->items = malloc(nr_items * sizeof(set->items[0]));
	if (set->latest && set->items) {
		*state = set;
		return 0;
	}
	destroy(set, 0);
	return -ENOMEM;
}

static int insert(void *state, size_t item, uint64_t start, uint64_t end)
{
	struct set *set = state;

	set->items[item] = (struct item){ start, end, callback };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void ready(void *state, size_t nr_items)
{
	struct set *set = state;
	uint64_t latest = 0;

	set->nr = nr_items;
	qsort(set->items, nr_items, sizeof(set->items[0]), compare);
	for (size_t i = 0; i < nr_items; i++) {
		latest = set->items[i].end > latest ? set->items[i].end : latest;
		set->latest[i] = latest;
	}
}

static void invalidate(void *state, uint64_t start, uint64_t end)
{
	struct set *set = state;
	const uint64_t *base = set->latest;
	size_t left = set->nr;

	while (left > 1) {
		size_t half = left / 2;

		left -= half;
		__builtin_prefetch(&base[left / 2 - 1]);
		__builtin_prefetch(&base[half + left / 2 - 1]);
		base += base[half - 1] <= start ? half : 0;
	}
	for (size_t i = (size_t)(base - set->latest); i < set->nr && set->items[i].start < end; i++)
		if (set->items[i].end > start)
			set->items[i].callback(&set->items[i], start, end);
}

static const struct ranges array = {
	create, destroy, insert, ready, invalidate, NULL, NULL, false,
};

const struct bench_comparator ranges_array = {
	.name = "sorted-array",
	.about = "a prefetching search in a sorted array without any synchronisation: a lower bound",
	.own = &array,
};
