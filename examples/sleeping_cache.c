/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A cache in liburcu's hash table, whose readers sleep with what they found in their hands.
 *
 * Build: cc sleeping_cache.c $(pkg-config --cflags --libs libmirror-urcu liburcu-cds)
 */
#include <mirror/urcu_flavor.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <urcu/call-rcu.h>
#include <urcu/flavor.h>
#include <urcu/rculfhash.h>

enum { KEYS = 16, LOOKUPS = 400, REPLACEMENTS = 2000, FREED = -1 };

struct entry {
	struct cds_lfht_node node;
	struct rcu_head head;
	unsigned long key;
	long value, copy;       /* equal, so that a reader sees whether it was freed */
};

static struct usrcu *domain;
USRCU_FLAVOR(flavor, domain);
static struct cds_lfht *cache;

static int match(struct cds_lfht_node *node, const void *key)
{
	return ((struct entry *)node)->key == *(const unsigned long *)key;
}

static void free_entry(struct rcu_head *head)
{
	struct entry *entry = (struct entry *)((char *)head - offsetof(struct entry, head));

	entry->value = entry->copy = FREED;
	free(entry);
}

static int put(unsigned long key, long value)
{
	struct entry *entry = malloc(sizeof(*entry));
	struct cds_lfht_node *old;

	if (!entry)
		return -1;
	entry->key = key;
	entry->value = entry->copy = value;
	flavor.read_lock();
	old = cds_lfht_add_replace(cache, key, match, &key, &entry->node);
	flavor.read_unlock();
	if (old)                /* readers may have it still: the domain's worker frees it when they let go */
		flavor.update_call_rcu(&((struct entry *)old)->head, free_entry);
	return 0;
}

static void *read_often(void *wrong)
{
	for (unsigned long i = 0; i < LOOKUPS; i++) {
		unsigned long key = i % KEYS;
		struct cds_lfht_iter found;
		struct entry *entry;

		flavor.read_lock();
		cds_lfht_lookup(cache, key, match, &key, &found);
		entry = (struct entry *)cds_lfht_iter_get_node(&found);
		/* As one would who writes it to a disk; a section of liburcu would hold up the whole process. */
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
		if (!entry || entry->value != entry->copy || entry->value == FREED)
			*(int *)wrong = 1;
		flavor.read_unlock();
	}
	return NULL;
}

static void empty(void)
{
	struct cds_lfht_iter iter;
	struct entry *entry;

	flavor.read_lock();
	cds_lfht_for_each_entry(cache, &iter, entry, node)
		if (cds_lfht_del(cache, &entry->node) == 0)
			flavor.update_call_rcu(&entry->head, free_entry);
	flavor.read_unlock();
}

int main(void)
{
	const struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_WORKER };
	pthread_t readers[2];
	int wrong[2] = { 0 };

	if (usrcu_create(&domain, &attr))
		return 1;
	cache = cds_lfht_new_flavor(KEYS, KEYS, 0, CDS_LFHT_AUTO_RESIZE, &flavor, NULL);
	if (!cache)
		return 1;
	for (unsigned long key = 0; key < KEYS; key++)
		if (put(key, 0))
			return 1;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&readers[i], NULL, read_often, &wrong[i]))
			return 1;
	for (long n = 1; n <= REPLACEMENTS; n++)
		if (put((unsigned long)n % KEYS, n))
			return 1;
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	printf("%d replaced, read after free: %d\n", REPLACEMENTS, wrong[0] + wrong[1]);
	empty();
	return cds_lfht_destroy(cache, NULL) || usrcu_barrier(domain) || usrcu_destroy(domain) || wrong[0] || wrong[1];
}
