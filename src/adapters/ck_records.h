/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Records: what a lock or an epoch of Concurrency Kit keeps for each of its readers
 *
 * Terms.  An owner is one such lock or epoch, of one list.  A record belongs to an owner for good, and is held by one
 * walk, or free.  A thread's place is the number of the record that its last walk held.
 *
 * State
 *   record->holder    compare-and-exchange: the thread whose walk holds the record, or NULL; that thread gives it back
 *   owner->nr         under the lock of ck_records.c: how many records there are, a power of two or 0
 *   owner->block[]    the same; block[i] is there as soon as nr tells of it
 *   owner->forks      the same: how many forks lie before the process for which vanished threads' records are free
 *   the place         its own thread
 *
 * Algorithm
 *   1. A walk tries the record at its thread's place, then the others, and takes the first free one.  So threads that
 *      walk at the same time come to have places of their own.  If every record is held, it makes as many again.
 *   2. New records are attached to the lock or epoch, and stay attached: to detach one would mean to wait for a writer,
 *      and a record of ck_epoch cannot be detached at all.
 *   3. Nothing is of a thread between two walks.  So nothing runs at thread exit.
 *
 * Fork.  In the child the first walk, or wait, of each owner frees the records that vanished threads held, and ends what
 * they had begun with them (forget).  The walks of the thread that forked go on.
 *   1. The lock is held around the attaching of records and around forget alone, with signals blocked.  Neither
 *      allocates, calls the library or the program, or waits.  So whatever other locks the thread that forks holds,
 *      those of malloc, of the program's fork hooks, or the library's gate, it gets this one.
 *   2. It holds the lock from its hook before the fork to its hook after, and may lock it again meanwhile: hooks of the
 *      program may publish, whatever their order.
 *   3. After _Fork() and a raw clone() no hook has run: what vanished threads held stays held, and the lock too.
 *
 * Safe because destroy runs alone (M17): nobody is in a walk.
 */
#ifndef ADAPTERS_CK_RECORDS_H
#define ADAPTERS_CK_RECORDS_H

#include <ck_pr.h>
#include <stddef.h>

#include "names.h"

/** struct record - the first member of each kind of record */
struct record {
	const void *holder;
};

enum { RECORDS_BLOCKS = 24 };

/** struct records - the first member of each kind of owner; zero it, fill in the upper part */
struct records {
	size_t record_bytes;            /* a multiple of 64 */
	/* Makes a zeroed record known to the lock or epoch; number is its place, from 0. */
	void (*attach)(struct records *owner, struct record *record, unsigned number);
	/* Ends what a thread had begun with a record, that does not exist in this process. */
	void (*forget)(struct records *owner, struct record *record);
	/* private */
	unsigned nr, forks;
	char *block[RECORDS_BLOCKS];    /* the first one has 1 record, each of the others as many as all before it */
};

/** records_open - 0 or -errno */
int records_open(struct records *owner);

/** records_close - free all records; nobody uses the owner any more */
void records_close(struct records *owner);

/** records_take - a walk begins: the number of the record that it holds, or -ENOMEM */
int records_take(struct records *owner);

/** records_at - the record with that number, that records_take has returned */
static inline struct record *records_at(const struct records *owner, int number)
{
	unsigned i = (unsigned)number, block = i ? 32 - (unsigned)__builtin_clz(i) : 0;

	i -= block ? 1u << (block - 1) : 0;
	return (struct record *)(void *)(owner->block[block] + i * owner->record_bytes);
}

/** records_put - the walk has ended */
static inline void records_put(struct record *record)
{
	ck_pr_fence_release();
	ck_pr_store_ptr(&record->holder, NULL);
}

/** records_sync_fork - before a wait for the holders of records: vanished threads hold none from now on */
void records_sync_fork(struct records *owner);

#endif /* ADAPTERS_CK_RECORDS_H */
