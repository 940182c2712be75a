/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A mirror list beside the outside systems: as a dispatcher, and as what a registration cache is made of
 *
 * A publication is mirror_invalidate_range.  A cached region is a range mirror; its callback drops it and
 * unregisters it asynchronously, which over a lock is not possible in a callback.
 */
#include "comparators.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "outside.h"

struct member {
	struct mirror mirror;
	struct outside_subscriber *subscriber;
};

struct members {
	struct mirror_list *list;
	struct member all[];
};

static int hear(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	outside_hear(((struct member *)m)->subscriber); /* the mirror is its first member */
	return 0;
}

static const struct mirror_ops hear_ops = { .size = sizeof(hear_ops), .invalidate_range_start = hear };

static int open_over(void **state, unsigned nr, struct outside_subscriber *subscribers,
		     const struct bench_comparator *comparator)
{
	struct members *members = calloc(1, sizeof(*members) + nr * sizeof(members->all[0]));
	int err = -ENOMEM;

	if (members)
		err = bench_list_create(&members->list, comparator);
	if (err) {
		free(members);
		return err;
	}
	for (unsigned i = 0; i < nr; i++)
		members->all[i].subscriber = &subscribers[i];
	*state = members;
	return 0;
}

static int open_srcu(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	return open_over(state, nr, subscribers, &comparator_srcu);
}

static int open_rwsem(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	return open_over(state, nr, subscribers, &comparator_rwsem);
}

static void close_members(void *state)
{
	struct members *members = state;

	mirror_list_destroy(members->list);
	free(members);
}

static int join(void *state, unsigned subscriber)
{
	struct members *members = state;

	return mirror_register(members->list, &members->all[subscriber].mirror, &hear_ops);
}

static int leave(void *state, unsigned subscriber)
{
	return mirror_unregister(&((struct members *)state)->all[subscriber].mirror);
}

static void publish_to_members(void *state, uint64_t start, uint64_t end)
{
	mirror_invalidate_range(((struct members *)state)->list, start, end);
}

static const struct outside_dispatcher over_srcu = {
	open_srcu, close_members, join, leave, publish_to_members,
};
static const struct outside_dispatcher over_rwsem = {
	open_rwsem, close_members, join, leave, publish_to_members,
};

/* ---- a cache ---- */

struct region {
	struct mirror mirror;
	struct regions *cache;
	bool is_in;
};

struct regions {
	struct mirror_list *list;
	uint64_t nr_dropped;
	unsigned nr;
	struct region all[];
};

static void may_come_again(struct mirror *m)
{
	((struct region *)m)->is_in = false;
}

static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct region *region = (struct region *)m;

	(void)r;
	region->cache->nr_dropped++;
	return mirror_unregister_async(m, may_come_again);
}

static const struct mirror_ops drop_ops = { .size = sizeof(drop_ops), .invalidate_range_start = drop };

static int open_cache(void **state, unsigned nr)
{
	struct regions *cache = calloc(1, sizeof(*cache) + nr * sizeof(cache->all[0]));
	int err = -ENOMEM;

	if (cache)
		err = bench_list_create(&cache->list, &comparator_srcu);
	if (err) {
		free(cache);
		return err;
	}
	cache->nr = nr;
	for (unsigned i = 0; i < nr; i++)
		cache->all[i].cache = cache;
	*state = cache;
	return 0;
}

static void close_cache(void *state)
{
	struct regions *cache = state;

	for (unsigned i = 0; i < cache->nr; i++)
		if (cache->all[i].is_in)
			mirror_unregister(&cache->all[i].mirror);
	mirror_list_destroy(cache->list);
	free(cache);
}

static int get(void *state, unsigned number, uint64_t start)
{
	struct regions *cache = state;
	struct region *region = &cache->all[number];

	if (region->is_in)
		return 0;
	region->is_in = true;
	return mirror_register_range(cache->list, &region->mirror, &drop_ops, start, start + OUTSIDE_PAGE);
}

static void publish_to_cache(void *state, uint64_t start, uint64_t end)
{
	mirror_invalidate_range(((struct regions *)state)->list, start, end);
}

static uint64_t nr_dropped(void *state)
{
	return ((struct regions *)state)->nr_dropped;
}

static const struct outside_cache cache_over_srcu = {
	open_cache, close_cache, get, publish_to_cache, nr_dropped,
};

static const struct outside srcu = { &over_srcu, &cache_over_srcu };
static const struct outside rwsem = { &over_rwsem, NULL };

const struct bench_comparator outside_srcu = {
	.name = "srcu",
	.about = "libmirror's list by default; as a cache, range mirrors that unregister themselves asynchronously",
	.own = &srcu,
};

const struct bench_comparator outside_rwsem = {
	.name = "rwsem",
	.about = "libmirror's list over its rwsem",
	.own = &rwsem,
};
