/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Ways of finding the ranges that an invalidation overlaps, for the question "ranges"
 *
 * Each is a comparator, named in comparators.h, whose `own` is a struct ranges.  Items are numbered from
 * 0; each has a callback that the way calls for every item that overlaps.
 */
#ifndef BENCH_RANGES_H
#define BENCH_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../measure/bench.h"

/** struct ranges - ranges are half-open; every fallible call returns 0 or -errno */
struct ranges {
	int (*create)(void **state, size_t nr_items);
	/* All of the @nr_items are in. */
	void (*destroy)(void *state, size_t nr_items);
	/* -EOPNOTSUPP: it cannot hold such ranges beside those it has. */
	int (*insert)(void *state, size_t item, uint64_t start, uint64_t end);
	/* Called once after the last insert of the filling; NULL: nothing to do. */
	void (*ready)(void *state, size_t nr_items);
	/* The callback of each item that overlaps has been called on return. */
	void (*invalidate)(void *state, uint64_t start, uint64_t end);
	/* NULL: items cannot go. */
	int (*remove)(void *state, size_t item);
	/* NULL: one by one. */
	int (*remove_many)(void *state, const uint32_t *items, size_t nr);
	bool is_linear;                 /* an invalidation looks at every item */
};

/** ranges_hits - calls of callbacks in this thread */
extern _Thread_local uint64_t ranges_hits;

#endif /* BENCH_RANGES_H */
