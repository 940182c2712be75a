/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Records of threads; ck_records.h describes them. */
#include "ck_records.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

_Thread_local struct records_table records_of_thread_;

/* Guards all that follows, and what ck_records.h says. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct records **owners;         /* by slot; NULL: free */
static unsigned nr_slots;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

/* 2. May run more than once in a thread, if another hook of its end publishes. */
static void thread_ends(void *arg)
{
	struct records_table *table = arg;

	pthread_mutex_lock(&lock);
	for (unsigned slot = 0; slot < table->nr; slot++) {
		struct record *record = table->records[slot];

		if (!record)
			continue;
		record->table = NULL;
		record->next_idle = owners[slot]->idle;
		owners[slot]->idle = record;
	}
	free(table->records);
	*table = (struct records_table){ 0 };
	pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, thread_ends);
}

/* A table's entries up to @slot and some more; in the table's own thread, under the lock. */
static bool reach(struct records_table *table, unsigned slot)
{
	unsigned nr = (slot / 8 + 1) * 8;
	struct record **records;

	if (slot < table->nr)
		return true;
	records = realloc(table->records, nr * sizeof(records[0]));
	if (!records)
		return false;
	memset(&records[table->nr], 0, (nr - table->nr) * sizeof(records[0]));
	table->records = records;
	table->nr = nr;
	return true;
}

int records_open(struct records *owner)
{
	struct records **all;
	unsigned slot = 0;
	int err = 0;

	pthread_once(&key_once, make_key);
	if (key_error)
		return -key_error;
	pthread_mutex_lock(&lock);
	while (slot < nr_slots && owners[slot])
		slot++;
	if (slot == nr_slots) {
		all = realloc(owners, (nr_slots + 1) * sizeof(all[0]));
		if (all) {
			owners = all;
			nr_slots++;
		} else {
			err = -ENOMEM;
		}
	}
	if (!err) {
		owners[slot] = owner;
		owner->slot = slot;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void records_close(struct records *owner)
{
	struct record *record, *next;

	pthread_mutex_lock(&lock);
	for (record = owner->all; record; record = next) {
		next = record->next;
		if (record->table)
			record->table->records[owner->slot] = NULL;
		free(record);
	}
	owners[owner->slot] = NULL;
	pthread_mutex_unlock(&lock);
}

/* Takes an idle record for this thread; NULL where there is none. */
static struct record *take_idle(struct records *owner)
{
	struct record *record = owner->idle;

	if (record)
		owner->idle = record->next_idle;
	return record;
}

static struct record *make_record(struct records *owner)
{
	struct record *record = aligned_alloc(64, owner->record_bytes);

	if (!record)
		return NULL;
	memset(record, 0, owner->record_bytes);
	owner->attach(owner, record);
	return record;
}

struct record *records_join(struct records *owner)
{
	struct records_table *table = &records_of_thread_;
	struct record *record = NULL;
	bool has_place;

	/* Without the hook at the thread's end the record would never become idle. */
	if (pthread_setspecific(key, table) != 0)
		return NULL;
	pthread_mutex_lock(&lock);
	has_place = reach(table, owner->slot);
	if (has_place)
		record = take_idle(owner);
	if (record) {
		record->table = table;
		table->records[owner->slot] = record;
	}
	pthread_mutex_unlock(&lock);
	if (record || !has_place)
		return record;
	record = make_record(owner);
	if (!record)
		return NULL;
	pthread_mutex_lock(&lock);
	record->next = owner->all;
	owner->all = record;
	record->table = table;
	table->records[owner->slot] = record;
	pthread_mutex_unlock(&lock);
	return record;
}
