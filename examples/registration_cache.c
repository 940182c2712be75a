/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A registration cache: memory is pinned for a device once, and unpinned just before the program unmaps it. */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { BYTES = 1 << 16 };

struct region {
	struct mirror mirror;
	uint64_t start, end;
	int key;                /* what the device calls it */
	bool cached;            /* under lock */
	struct region *next;    /* under lock */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *cache;
static struct mirror_list *list;

/* Stand for the device's calls. */
static int pin(void)
{
	static int keys;

	printf("pin as %d\n", ++keys);
	return keys;
}

static void unpin(int key)
{
	printf("unpin %d\n", key);
}

static void gone(struct mirror *m)
{
	free(m);
}

/* Before the memory goes.  A region that is not cached yet is one that region_key() will find stale. */
static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct region *region = (struct region *)m, **link = &cache;
	bool cached;

	(void)r;
	pthread_mutex_lock(&lock);
	cached = region->cached;
	region->cached = false;
	while (cached && *link != region)
		link = &(*link)->next;
	if (cached)
		*link = region->next;
	pthread_mutex_unlock(&lock);
	if (!cached)
		return 0;
	unpin(region->key);
	return mirror_unregister_async(m, gone);        /* we are in its callback */
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

/* The key for [start, end), or a negative error number. */
static int region_key(uint64_t start, uint64_t end)
{
	struct region *region;
	bool stale;
	int err, key;

	pthread_mutex_lock(&lock);
	for (region = cache; region && (region->start > start || region->end < end);)
		region = region->next;
	key = region ? region->key : -1;
	pthread_mutex_unlock(&lock);
	if (region)
		return key;
	region = calloc(1, sizeof(*region));
	if (!region)
		return -1;
	region->start = start;
	region->end = end;
	err = mirror_register_range(list, &region->mirror, &ops, start, end);
	if (err) {
		free(region);
		return err;
	}
	do {
		uint64_t seq = mirror_read_begin(&region->mirror);

		region->key = key = pin();
		pthread_mutex_lock(&lock);
		stale = mirror_read_retry(&region->mirror, seq);
		if (!stale) {
			region->cached = true;
			region->next = cache;
			cache = region;
		}
		pthread_mutex_unlock(&lock);
		if (stale)
			unpin(key);
	} while (stale);
	return key;
}

/* The program's munmap; doc/events.md says how calls of others get here. */
static int unmap(void *memory, size_t bytes)
{
	const uint64_t start = (uint64_t)(uintptr_t)memory;
	struct mirror_range r = { .start = start, .end = start + bytes, .flags = MIRROR_RANGE_BLOCKABLE };
	int err = mirror_invalidate_range_start(list, &r);

	if (err)
		return err;
	err = munmap(memory, bytes);
	mirror_invalidate_range_end(list, &r);
	return err;
}

int main(void)
{
	void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t start = (uint64_t)(uintptr_t)memory;

	if (memory == MAP_FAILED || mirror_list_create(&list, NULL))
		return 1;
	printf("send with key %d\n", region_key(start, start + BYTES));
	printf("send with key %d\n", region_key(start + 100, start + 200));
	return unmap(memory, BYTES) || mirror_barrier(list) || mirror_list_destroy(list);
}
