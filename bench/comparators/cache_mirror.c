/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A registration cache that is a mirror list: a region is a range mirror, and mirror_visit is the look-up.
 *
 * A hit takes no lock: the visit keeps the region's memory while its users are counted.  On a miss a region registers,
 * and pins in a fill.  An invalidation closes the region, waits for its users and unpins; so when the publisher goes
 * on, nothing of the memory is pinned.  The region stays registered: the next use of the same addresses fills it again.
 * When there is no room, one goes that was not used lately: a hand goes round all regions, and takes the first that was
 * not used since its last turn.
 */
#include "comparators.h"

#include <errno.h>
#include <mirror/ucm.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <ucm/api/ucm.h>

#include "caches.h"

uint64_t cache_pages;
atomic_int cache_pins[CACHE_NR_PAGES];

/* In a region's word: no new users.  The rest counts users. */
static const unsigned closed = 1u << 31;

struct region {
	struct mirror mirror;
	struct pages *cache;
	uint64_t start, end;
	atomic_uint word;
	atomic_bool used;               /* since the hand was here */
	unsigned fillers;               /* under cache->lock: it is not evicted meanwhile */
	bool evicted;                   /* under cache->lock */
};

struct pages {
	struct mirror_list *list;
	pthread_mutex_t lock;           /* guards what follows, and closing a region */
	unsigned hand;
	struct region *ring[CACHE_MAX_REGIONS];
};

static void gone(struct mirror *m)
{
	free(m);
}

/* One that is closed already has nothing pinned, or is being filled and will see that it is stale. */
static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct region *region = (struct region *)m;     /* the mirror is its first member */
	unsigned before;

	(void)r;
	pthread_mutex_lock(&region->cache->lock);
	before = atomic_fetch_or(&region->word, closed);
	pthread_mutex_unlock(&region->cache->lock);
	if (before & closed)
		return 0;
	while (atomic_load_explicit(&region->word, memory_order_acquire) != closed)
		sched_yield();
	cache_unpin(region->start);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

/* Under the lock: whether nobody uses or fills it; then it has nothing pinned any more. */
static bool evict(struct region *region)
{
	unsigned word = 0;

	if (region->fillers)
		return false;
	if (atomic_compare_exchange_strong(&region->word, &word, closed))
		cache_unpin(region->start);
	else if (word != closed)
		return false;
	region->evicted = true;
	return true;
}

/* Puts a region in, and takes out the one whose place it gets, if there is one. */
static void add(struct pages *cache, struct region *region)
{
	struct region *old;

	pthread_mutex_lock(&cache->lock);
	do {
		cache->hand = (cache->hand + 1) % CACHE_MAX_REGIONS;
		old = cache->ring[cache->hand];
	} while (old && (atomic_exchange_explicit(&old->used, false, memory_order_relaxed) || !evict(old)));
	cache->ring[cache->hand] = region;
	pthread_mutex_unlock(&cache->lock);
	if (old)
		mirror_unregister_async(&old->mirror, gone);
}

/* Opens a region and becomes its user; false: what was pinned is stale. */
static bool open_region(struct region *region, uint64_t seq)
{
	struct pages *cache = region->cache;
	bool stale;

	pthread_mutex_lock(&cache->lock);
	stale = mirror_read_retry(&region->mirror, seq);
	if (!stale) {
		region->fillers--;
		atomic_fetch_add(&region->word, 1);
		if (!(atomic_fetch_and(&region->word, ~closed) & closed))
			cache_unpin(region->start);     /* another filler has opened it */
	}
	pthread_mutex_unlock(&cache->lock);
	return !stale;
}

static void fill(struct region *region)
{
	for (;;) {
		uint64_t seq = mirror_read_begin(&region->mirror);

		cache_pin(region->start);
		if (open_region(region, seq))
			return;
		cache_unpin(region->start);
	}
}

static int miss(struct pages *cache, uint64_t start, void **result)
{
	struct region *region = calloc(1, sizeof(*region));
	int err;

	if (!region)
		return -ENOMEM;
	region->cache = cache;
	region->start = start;
	region->end = start + CACHE_PAGE;
	region->fillers = 1;
	atomic_init(&region->word, closed);
	err = mirror_register_range(cache->list, &region->mirror, &ops, start, region->end);
	if (err) {
		free(region);
		return err;
	}
	add(cache, region);
	fill(region);
	*result = region;
	return 0;
}

struct wanted {
	uint64_t start, end;
	struct region *region;
	bool fill;                      /* it is closed, and the caller is one of its fillers */
};

static void put(void *state, void *region)
{
	(void)state;
	atomic_fetch_sub_explicit(&((struct region *)region)->word, 1, memory_order_release);
}

static int found(struct mirror *m, void *arg)
{
	struct region *region = (struct region *)m;
	struct wanted *wanted = arg;

	if (region->start > wanted->start || region->end < wanted->end)
		return 0;
	if (atomic_fetch_add_explicit(&region->word, 1, memory_order_acquire) & closed) {
		put(NULL, region);
		pthread_mutex_lock(&region->cache->lock);
		region->fillers += !region->evicted;
		wanted->fill = !region->evicted;
		pthread_mutex_unlock(&region->cache->lock);
		wanted->region = region;
		return wanted->fill;
	}
	if (!atomic_load_explicit(&region->used, memory_order_relaxed))
		atomic_store_explicit(&region->used, true, memory_order_relaxed);
	wanted->region = region;
	return 1;
}

static int get(void *state, uint64_t start, void **region)
{
	struct pages *cache = state;
	struct wanted wanted = { .start = start, .end = start + CACHE_PAGE };

	if (mirror_visit(cache->list, wanted.start, wanted.end, found, &wanted) != 1)
		return miss(cache, start, region);
	if (wanted.fill)
		fill(wanted.region);
	*region = wanted.region;
	return 0;
}

static int open_cache(void **state)
{
	struct pages *cache = calloc(1, sizeof(*cache));
	int err;

	if (!cache)
		return -ENOMEM;
	err = bench_list_create(&cache->list, &comparator_srcu);
	if (!err) {
		/* Other questions have libucm install no hooks. */
		ucm_unset_external_event(UCM_EVENT_VM_UNMAPPED);
		err = mirror_ucm_start(cache->list);
		if (err)
			mirror_list_destroy(cache->list);
	}
	if (err) {
		free(cache);
		return err;
	}
	pthread_mutex_init(&cache->lock, NULL);
	*state = cache;
	return 0;
}

static void close_cache(void *state)
{
	struct pages *cache = state;

	mirror_ucm_stop(cache->list);
	mirror_invalidate_range(cache->list, 0, 0);
	for (unsigned i = 0; i < CACHE_MAX_REGIONS; i++)
		if (cache->ring[i])
			mirror_unregister_async(&cache->ring[i]->mirror, gone);
	mirror_barrier(cache->list);
	mirror_list_destroy(cache->list);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static const struct cache cache = { open_cache, close_cache, get, put };

const struct bench_comparator cache_srcu = {
	.name = "srcu",
	.about = "range mirrors of libmirror's list by default, looked up by mirror_visit, under libmirror-ucm",
	.own = &cache,
};
