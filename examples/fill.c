/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A cache of some words of memory, filled by one thread while another changes that memory.
 *
 * The cache must never hold what the memory no longer holds.  Fill is the one correct pattern: begin,
 * copy, take the lock that the callback takes, retry.  Without mirror_read_retry a copy from
 * before a change could be installed after the callback that was to drop it.
 */
#include <mirror/mirror.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

enum { WORDS = 64, CHANGES = 2000 };

static uint64_t memory[WORDS];          /* atomic: the filler reads what is being written */

struct cache {
	struct mirror mirror;           /* first, so that a pointer to it is one to the cache */
	pthread_mutex_t lock;           /* guards valid and word */
	bool valid;
	uint64_t word[WORDS];
};

static uint64_t address(unsigned word)
{
	return (uint64_t)(uintptr_t)&memory[word];
}

static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct cache *cache = (struct cache *)m;

	(void)r;
	pthread_mutex_lock(&cache->lock);
	cache->valid = false;
	pthread_mutex_unlock(&cache->lock);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

/* Leaves the lock held, and the cache good until it is given up. */
static void fill_and_lock(struct cache *cache)
{
	uint64_t copy[WORDS], seq;
	unsigned i;

	for (;;) {
		seq = mirror_read_begin(&cache->mirror);
		for (i = 0; i < WORDS; i++)
			copy[i] = __atomic_load_n(&memory[i], __ATOMIC_RELAXED);
		pthread_mutex_lock(&cache->lock);
		if (!mirror_read_retry(&cache->mirror, seq))
			break;
		pthread_mutex_unlock(&cache->lock);
	}
	for (i = 0; i < WORDS; i++)
		cache->word[i] = copy[i];
	cache->valid = true;
}

/* Within a bracket: all words get the same new value, one after the other. */
static void *change(void *arg)
{
	struct mirror_list *list = arg;

	for (uint64_t value = 1; value <= CHANGES; value++) {
		struct mirror_range r = {
			.start = address(0),
			.end = address(WORDS),
			.flags = MIRROR_RANGE_BLOCKABLE,
		};

		if (mirror_invalidate_range_start(list, &r))
			return arg;
		for (unsigned i = 0; i < WORDS; i++)
			__atomic_store_n(&memory[i], value, __ATOMIC_RELAXED);
		mirror_invalidate_range_end(list, &r);
		sched_yield(); /* let it fill */
	}
	return NULL;
}

int main(void)
{
	static struct cache cache = { .lock = PTHREAD_MUTEX_INITIALIZER };
	unsigned fills = 0, torn = 0, i;
	struct mirror_list *list;
	uint64_t first = 0;
	pthread_t thread;
	void *failed;

	if (mirror_list_create(&list, NULL) ||
	    mirror_register_range(list, &cache.mirror, &ops, address(0), address(WORDS)))
		return 1;
	if (pthread_create(&thread, NULL, change, list))
		return 1;
	while (first < CHANGES) {
		pthread_mutex_lock(&cache.lock);
		if (!cache.valid) {
			pthread_mutex_unlock(&cache.lock);
			fill_and_lock(&cache);
			fills++;
		}
		first = cache.word[0];
		for (i = 1; i < WORDS; i++)
			torn += cache.word[i] != first; /* a mixture of two values is stale */
		pthread_mutex_unlock(&cache.lock);
	}
	pthread_join(thread, &failed);
	if (failed || mirror_unregister(&cache.mirror) || mirror_list_destroy(list))
		return 1;
	printf("%u fills, %u stale words\n", fills, torn);
	return torn ? 1 : 0;
}
