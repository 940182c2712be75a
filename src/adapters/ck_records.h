/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Records: what a lock or an epoch of ck keeps for each thread that uses it
 *
 * Terms.  An owner is one such lock or epoch, of one list.  A record belongs to an owner, for good,
 * and to one thread or none.
 *
 * State.  Each thread has a table of its records, by the owner's slot: a number that no other living owner
 * has.  The table is written by its thread, and by who destroys an owner; both under the lock of
 * ck_records.c, while the thread reads its own without.
 *
 *   1. A thread's first use of an owner takes an idle record of it, or makes one and attaches it to the
 *      lock or epoch, which does not wait: who may not block comes here too.
 *   2. A thread that ends leaves its records to their owners, idle.  They stay attached: to detach one would
 *      mean to wait for a writer, and a record of ck_epoch cannot be detached at all.
 *   3. Destroy frees an owner's records and clears their places in the tables.
 *
 * Safe because destroy runs alone (M17): nobody is in a walk, and an idle record counts nothing.
 */
#ifndef ADAPTERS_CK_RECORDS_H
#define ADAPTERS_CK_RECORDS_H

#include <stddef.h>

#include "names.h"

struct records_table;

/** struct record - the first member of each kind of record */
struct record {
	struct record *next;            /* of the owner's all */
	struct record *next_idle;
	struct records_table *table;    /* of its thread; NULL: idle */
};

/** struct records - the first member of each kind of owner; zero it, fill in the upper part */
struct records {
	size_t record_bytes;            /* a multiple of 64 */
	/* Makes a zeroed record known to the lock or epoch. */
	void (*attach)(struct records *owner, struct record *record);
	/* private, under the lock of ck_records.c */
	unsigned slot;
	struct record *all, *idle;
};

/** struct records_table - one thread's records */
struct records_table {
	unsigned nr;
	struct record **records;
};

extern _Thread_local struct records_table records_of_thread_ __attribute__((__visibility__("hidden")));

/** records_open - 0 or -ENOMEM */
int records_open(struct records *owner);

/** records_close - free all records; nobody uses the owner any more */
void records_close(struct records *owner);

/** records_join - the slow path of records_mine */
struct record *records_join(struct records *owner);

/** records_mine - this thread's record; NULL: no memory for one */
static inline struct record *records_mine(struct records *owner)
{
	if (owner->slot < records_of_thread_.nr && records_of_thread_.records[owner->slot])
		return records_of_thread_.records[owner->slot];
	return records_join(owner);
}

#endif /* ADAPTERS_CK_RECORDS_H */
