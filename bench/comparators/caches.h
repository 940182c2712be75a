/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Registration caches, which keep memory pinned for a device as long as it is mapped, for a question about them
 *
 * Each is a comparator, named in comparators.h, whose `own` is a struct cache.  One of them is open at a time.  The
 * device is a table of the pages that are pinned.
 */
#ifndef BENCH_CACHES_H
#define BENCH_CACHES_H

#include <stdatomic.h>
#include <stdint.h>

#include "../measure/bench.h"

enum {
	CACHE_PAGE = 4096,
	CACHE_NR_PAGES = 1024,
	CACHE_MAX_REGIONS = 512,        /* more are never in; the one that was used longest ago goes */
};

/**
 * struct cache - pages that are pinned on first use; all but open and close from any threads
 *
 * Each hears through libucm, which patches libc for that, when a page is unmapped.
 */
struct cache {
	int (*open)(void **state);
	void (*close)(void *state);
	/* Looks up the page at @start, or pins and enters it; until @put the page is in use. */
	int (*get)(void *state, uint64_t start, void **region);
	void (*put)(void *state, void *region);
};

/** cache_pages - reserved address space for the pages, with one between each and the next */
extern uint64_t cache_pages;
extern atomic_int cache_pins[CACHE_NR_PAGES];

/** cache_start - page @number */
static inline uint64_t cache_start(unsigned number)
{
	return cache_pages + 2 * (uint64_t)number * CACHE_PAGE;
}

/** cache_pin, cache_unpin - what a cache has the device do */
static inline void cache_pin(uint64_t start)
{
	atomic_fetch_add(&cache_pins[(start - cache_start(0)) / CACHE_PAGE / 2], 1);
}

static inline void cache_unpin(uint64_t start)
{
	atomic_fetch_sub(&cache_pins[(start - cache_start(0)) / CACHE_PAGE / 2], 1);
}

#endif /* BENCH_CACHES_H */
