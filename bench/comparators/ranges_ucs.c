/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * ucs-pgtable: UCX's page table, the radix tree of its registration cache, under a pthread rwlock
 *
 * The cache takes that lock for reading to look something up.  It takes it for writing to invalidate; here
 * an invalidation takes it for reading, which favours it.  Ranges must not overlap.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <ucs/datastruct/pgtable.h>

#include "ranges.h"

#ifndef UCX_VERSION
#define UCX_VERSION "UCX"
#endif

struct item {
	ucs_pgt_region_t region;
	int (*callback)(struct item *item, uint64_t start, uint64_t end);
};

struct set {
	pthread_rwlock_t lock __attribute__((__aligned__(64)));
	ucs_pgtable_t table __attribute__((__aligned__(64)));
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

static ucs_pgt_dir_t *directory_create(const ucs_pgtable_t *table)
{
	(void)table;
	return aligned_alloc(64, (sizeof(ucs_pgt_dir_t) + 63) / 64 * 64);
}

static void directory_free(const ucs_pgtable_t *table, ucs_pgt_dir_t *directory)
{
	(void)table;
	free(directory);
}

static int create(void **state, size_t nr_items)
{
	struct set *set = aligned_alloc(64, sizeof(*set));

	if (!set)
		return -ENOMEM;
	memset(set, 0, sizeof(*set));
	set->items = calloc(nr_items, sizeof(set->items[0]));
	if (!set->items || ucs_pgtable_init(&set->table, directory_create, directory_free) != UCS_OK) {
		free(set->items);
		free(set);
		return -ENOMEM;
	}
	pthread_rwlock_init(&set->lock, NULL);
	*state = set;
	return 0;
}

static int remove_one(void *state, size_t item)
{
	struct set *set = state;
	ucs_status_t status;

	pthread_rwlock_wrlock(&set->lock);
	status = ucs_pgtable_remove(&set->table, &set->items[item].region);
	pthread_rwlock_unlock(&set->lock);
	return status == UCS_OK ? 0 : -EIO;
}

static void forget(const ucs_pgtable_t *table, ucs_pgt_region_t *region, void *arg)
{
	(void)table;
	(void)region;
	(void)arg;
}

static void destroy(void *state, size_t nr_items)
{
	struct set *set = state;

	(void)nr_items;
	ucs_pgtable_purge(&set->table, forget, NULL);
	ucs_pgtable_cleanup(&set->table);
	pthread_rwlock_destroy(&set->lock);
	free(set->items);
	free(set);
}

static int insert(void *state, size_t item, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct item *it = &set->items[item];
	ucs_status_t status;

	it->region.start = start;
	it->region.end = end;
	it->callback = callback;
	pthread_rwlock_wrlock(&set->lock);
	status = ucs_pgtable_insert(&set->table, &it->region);
	pthread_rwlock_unlock(&set->lock);
	/* An overlap, as the library names it. */
	return status == UCS_OK ? 0 : status == UCS_ERR_ALREADY_EXISTS ? -EOPNOTSUPP : -EIO;
}

struct query {
	uint64_t start, end;
};

static void found(const ucs_pgtable_t *table, ucs_pgt_region_t *region, void *arg)
{
	struct item *item = (struct item *)region; /* its first member */
	const struct query *query = arg;

	(void)table;
	item->callback(item, query->start, query->end);
}

static void invalidate(void *state, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct query query = { start, end };

	pthread_rwlock_rdlock(&set->lock);
	ucs_pgtable_search_range(&set->table, start, end - 1, found, &query);
	pthread_rwlock_unlock(&set->lock);
}

static const struct ranges table = {
	create, destroy, insert, NULL, invalidate, remove_one, NULL, false,
};

const struct bench_comparator ranges_ucs = {
	.name = "ucs-pgtable",
	.about = "UCX's page table, a radix tree, under a pthread rwlock held for reading",
	.library = UCX_VERSION,
	.own = &table,
};
