/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* list-rwlock: a linked list with a range check under the C library's rwlock, as its users would write it. */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ranges.h"

struct item {
	struct item *next, *prev;
	uint64_t start, end;
	int (*callback)(struct item *item, uint64_t start, uint64_t end);
};

struct set {
	pthread_rwlock_t lock;
	struct item head;               /* under lock */
	struct item items[];
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
	struct set *set = calloc(1, sizeof(*set) + nr_items * sizeof(set->items[0]));

	if (!set)
		return -ENOMEM;
	pthread_rwlock_init(&set->lock, NULL);
	set->head.next = set->head.prev = &set->head;
	*state = set;
	return 0;
}

static void destroy(void *state, size_t nr_items)
{
	struct set *set = state;

	(void)nr_items;
	pthread_rwlock_destroy(&set->lock);
	free(set);
}

static int insert(void *state, size_t item, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct item *it = &set->items[item];

	it->start = start;
	it->end = end;
	it->callback = callback;
	pthread_rwlock_wrlock(&set->lock);
	it->next = &set->head;
	it->prev = set->head.prev;
	it->prev->next = it;
	set->head.prev = it;
	pthread_rwlock_unlock(&set->lock);
	return 0;
}

static int remove_one(void *state, size_t item)
{
	struct set *set = state;
	struct item *it = &set->items[item];

	pthread_rwlock_wrlock(&set->lock);
	it->prev->next = it->next;
	it->next->prev = it->prev;
	pthread_rwlock_unlock(&set->lock);
	return 0;
}

static void invalidate(void *state, uint64_t start, uint64_t end)
{
	struct set *set = state;

	pthread_rwlock_rdlock(&set->lock);
	for (struct item *it = set->head.next; it != &set->head; it = it->next) {
		if (it->start < end && start < it->end)
			it->callback(it, start, end);
	}
	pthread_rwlock_unlock(&set->lock);
}

static const struct ranges list = {
	create, destroy, insert, NULL, invalidate, remove_one, NULL, true,
};

const struct bench_comparator ranges_list = {
	.name = "list-rwlock",
	.about = "a linked list with a range check under a pthread_rwlock, as users write it",
	.full_only = true,
	.own = &list,
};
