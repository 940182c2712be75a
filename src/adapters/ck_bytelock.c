/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's bytelock, held for reading across the callbacks
 *
 * A reader has a slot of its own, a byte, as long as there are any; later ones share ck's counter.  Writers
 * are unslotted.  ck takes a reader whose number is the owner's for a writer that steps down; so the
 * readers without a slot must not bear the writers' number.  The trylock and the timed write lock, which
 * ck does not have, are its own algorithms: one try, and a look at the clock.
 */
#include <mirror/ck.h>

#include <ck_bytelock.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ck_records.h"
#include "deadline.h"

enum { NR_SLOTS = sizeof(((ck_bytelock_t *)0)->readers), SHARED = NR_SLOTS + 1 };

struct reader {
	struct record record;
	unsigned number;                /* 1 to NR_SLOTS, or SHARED */
} __attribute__((__aligned__(64)));

struct lock {
	struct records readers;
	unsigned nr_numbers;            /* given away; atomic */
	ck_bytelock_t lock __attribute__((__aligned__(64)));
};

static void attach(struct records *readers, struct record *record)
{
	unsigned taken = ck_pr_faa_uint(&((struct lock *)readers)->nr_numbers, 1);

	((struct reader *)record)->number = taken < NR_SLOTS ? taken + 1 : SHARED;
}

static int create(void **state)
{
	struct lock *lock = aligned_alloc(64, sizeof(*lock));
	int err;

	if (!lock)
		return -ENOMEM;
	memset(lock, 0, sizeof(*lock));
	lock->readers.record_bytes = sizeof(struct reader);
	lock->readers.attach = attach;
	ck_bytelock_init(&lock->lock);
	err = records_open(&lock->readers);
	if (err)
		free(lock);
	else
		*state = lock;
	return err;
}

static int destroy(void *state)
{
	struct lock *lock = state;

	records_close(&lock->readers);
	free(lock);
	return 0;
}

static int read_lock(void *state)
{
	struct lock *lock = state;
	struct reader *mine = (struct reader *)records_mine(&lock->readers);

	if (!mine)
		return -ENOMEM;
	ck_bytelock_read_lock(&lock->lock, mine->number);
	return 0;
}

static void announce(ck_bytelock_t *lock, unsigned number)
{
	if (number == SHARED) {
		ck_pr_inc_uint(&lock->n_readers);
		ck_pr_fence_atomic_load();
	} else {
		ck_pr_store_8(&lock->readers[number - 1], true);
		ck_pr_fence_store_load();
	}
}

static int read_trylock(void *state)
{
	struct lock *lock = state;
	struct reader *mine = (struct reader *)records_mine(&lock->readers);

	if (!mine)
		return -ENOMEM;
	announce(&lock->lock, mine->number);
	if (ck_pr_load_uint(&lock->lock.owner) != 0) {
		ck_bytelock_read_unlock(&lock->lock, mine->number);
		return -EAGAIN;
	}
	ck_pr_fence_lock();
	return 0;
}

static void read_unlock(void *state, int token)
{
	struct lock *lock = state;

	(void)token;
	ck_bytelock_read_unlock(&lock->lock, ((struct reader *)records_mine(&lock->readers))->number);
}

static bool has_readers(ck_bytelock_t *lock)
{
	for (unsigned i = 0; i < NR_SLOTS; i++)
		if (ck_pr_load_8(&lock->readers[i]))
			return true;
	return ck_pr_load_uint(&lock->n_readers) != 0;
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	uint64_t deadline_ns = deadline_in(timeout_ns);
	ck_bytelock_t *lock = &((struct lock *)state)->lock;

	if (timeout_ns == UINT64_MAX) {
		ck_bytelock_write_lock(lock, CK_BYTELOCK_UNSLOTTED);
		return 0;
	}
	while (!ck_pr_cas_uint(&lock->owner, 0, CK_BYTELOCK_UNSLOTTED)) {
		if (deadline_is_over(deadline_ns))
			return -ETIMEDOUT;
		ck_pr_stall();
	}
	ck_pr_fence_atomic_load();
	/* New readers see the owner and leave again: one look that finds nobody is enough. */
	while (has_readers(lock)) {
		if (deadline_is_over(deadline_ns)) {
			ck_bytelock_write_unlock(lock);
			return -ETIMEDOUT;
		}
		ck_pr_stall();
	}
	ck_pr_fence_lock();
	return 0;
}

static void write_unlock(void *state)
{
	ck_bytelock_write_unlock(&((struct lock *)state)->lock);
}

const struct mirror_sync mirror_sync_ck_bytelock = {
	.size = sizeof(struct mirror_sync),
	.name = "ck-bytelock",
	.kind = MIRROR_SYNC_LOCK,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_trylock = read_trylock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};
