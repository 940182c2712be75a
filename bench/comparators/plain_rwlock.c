/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * list-rwlock: a linked list with a range check under the C library's rwlock, as its users would write it
 *
 * The lock is held for reading from start to end, across the callbacks, so that a subscriber hears both or neither.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "plain.h"

struct links {
	struct links *next, *prev;
};

struct list {
	pthread_rwlock_t lock;
	struct links head;              /* under lock */
} __attribute__((__aligned__(64)));

static int create(void **arg)
{
	struct list *list = aligned_alloc(64, sizeof(*list));

	if (!list)
		return -ENOMEM;
	pthread_rwlock_init(&list->lock, NULL);
	list->head.next = list->head.prev = &list->head;
	*arg = list;
	return 0;
}

static void destroy(void *arg)
{
	pthread_rwlock_destroy(&((struct list *)arg)->lock);
	free(arg);
}

static int add(void *arg, struct bench_mirror *m)
{
	struct list *list = arg;
	struct links *links = (struct links *)m->links;

	pthread_rwlock_wrlock(&list->lock);
	links->next = &list->head;
	links->prev = list->head.prev;
	links->prev->next = links;
	list->head.prev = links;
	pthread_rwlock_unlock(&list->lock);
	return 0;
}

static void remove_mirror(void *arg, struct bench_mirror *m)
{
	struct list *list = arg;
	struct links *links = (struct links *)m->links;

	pthread_rwlock_wrlock(&list->lock);
	links->prev->next = links->next;
	links->next->prev = links->prev;
	pthread_rwlock_unlock(&list->lock);
}

static bool overlaps(const struct bench_mirror *m, const struct mirror_range *r)
{
	return m->start < r->end && r->start < m->end;
}

static int start(void *arg, struct mirror_range *r)
{
	struct list *list = arg;

	pthread_rwlock_rdlock(&list->lock);
	for (struct links *links = list->head.next; links != &list->head; links = links->next) {
		struct bench_mirror *m = (struct bench_mirror *)links; /* the links are its first member */

		if (overlaps(m, r) && m->mirror.ops->invalidate_range_start)
			m->mirror.ops->invalidate_range_start(&m->mirror, r);
	}
	return 0;
}

static void end(void *arg, struct mirror_range *r)
{
	struct list *list = arg;

	for (struct links *links = list->head.prev; links != &list->head; links = links->prev) {
		struct bench_mirror *m = (struct bench_mirror *)links;

		if (overlaps(m, r) && m->mirror.ops->invalidate_range_end)
			m->mirror.ops->invalidate_range_end(&m->mirror, r);
	}
	pthread_rwlock_unlock(&list->lock);
}

static const struct plain_list plain = { create, destroy, add, remove_mirror, start, end };

const struct bench_comparator comparator_list_rwlock = {
	.name = "list-rwlock",
	.about = "without libmirror, as users write it: a linked list with a range check, a pthread_rwlock held from "
		 "start to end",
	.library = "C library",
	.plain = &plain,
};
