/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * list-urcu: a linked list with a range check under liburcu's membarrier flavour, as its users would write it
 *
 * The read side is inlined.  A section lasts from start to end; a walker finds what is in the list at that moment, so
 * that a subscriber that joins or leaves in between hears one of the two alone.  Whoever removes waits for a grace
 * period, and so for all callbacks of all subscribers.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#include <urcu/urcu-memb.h>
#include <urcu/rculist.h>

#include "plain.h"

#ifndef URCU_VERSION
#define URCU_VERSION "liburcu"
#endif

struct list {
	struct cds_list_head head;
	pthread_mutex_t lock;           /* of those that change the list */
} __attribute__((__aligned__(64)));

static int create(void **arg)
{
	struct list *list = aligned_alloc(64, sizeof(*list));

	if (!list)
		return -ENOMEM;
	pthread_mutex_init(&list->lock, NULL);
	CDS_INIT_LIST_HEAD(&list->head);
	*arg = list;
	return 0;
}

static void destroy(void *arg)
{
	pthread_mutex_destroy(&((struct list *)arg)->lock);
	free(arg);
}

static int add(void *arg, struct bench_mirror *m)
{
	struct list *list = arg;

	pthread_mutex_lock(&list->lock);
	cds_list_add_tail_rcu((struct cds_list_head *)m->links, &list->head);
	pthread_mutex_unlock(&list->lock);
	return 0;
}

static void remove_mirror(void *arg, struct bench_mirror *m)
{
	struct list *list = arg;

	pthread_mutex_lock(&list->lock);
	cds_list_del_rcu((struct cds_list_head *)m->links);
	pthread_mutex_unlock(&list->lock);
	urcu_memb_synchronize_rcu();
}

static bool overlaps(const struct bench_mirror *m, const struct mirror_range *r)
{
	return m->start < r->end && r->start < m->end;
}

static int start(void *arg, struct mirror_range *r)
{
	struct list *list = arg;
	struct cds_list_head *links;

	urcu_memb_read_lock();
	cds_list_for_each_rcu(links, &list->head) {
		struct bench_mirror *m = (struct bench_mirror *)links; /* the links are its first member */

		if (overlaps(m, r) && m->mirror.ops->invalidate_range_start)
			m->mirror.ops->invalidate_range_start(&m->mirror, r);
	}
	return 0;
}

static void end(void *arg, struct mirror_range *r)
{
	struct list *list = arg;
	struct cds_list_head *links;

	/* The library has no walk backwards; what was removed still leads to what was before it. */
	for (links = rcu_dereference(list->head.prev); links != &list->head; links = rcu_dereference(links->prev)) {
		struct bench_mirror *m = (struct bench_mirror *)links;

		if (overlaps(m, r) && m->mirror.ops->invalidate_range_end)
			m->mirror.ops->invalidate_range_end(&m->mirror, r);
	}
	urcu_memb_read_unlock();
}

static const struct plain_list plain = { create, destroy, add, remove_mirror, start, end };

const struct bench_comparator comparator_list_urcu = {
	.name = "list-urcu",
	.about = "without libmirror, as users write it: a linked list with a range check, in a section of liburcu's "
		 "membarrier flavour, inlined; unregister is synchronize_rcu()",
	.library = URCU_VERSION,
	.plain = &plain,
	.thread_setup = urcu_memb_register_thread,
	.thread_teardown = urcu_memb_unregister_thread,
};
