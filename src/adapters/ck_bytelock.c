/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's bytelock, held for reading across the callbacks
 *
 * A reader has a slot of its own, a byte, as long as there are any; later ones share ck's counter.  Writers
 * are unslotted.  ck takes a reader whose number is the owner's for a writer that steps down; so the
 * readers without a slot must not bear the writers' number.  The trylock and the timed write lock, which
 * ck does not have, are its own algorithms: one try, and a look at the clock.
 *
 * What a vanished thread has added to the counter stays there, because nothing says whether it had come so far.
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
	ck_bytelock_t lock __attribute__((__aligned__(64)));
};

static unsigned number_of(const struct record *record)
{
	return ((const struct reader *)(const void *)record)->number;
}

static void attach(struct records *readers, struct record *record, unsigned number)
{
	(void)readers;
	((struct reader *)(void *)record)->number = number < NR_SLOTS ? number + 1 : SHARED;
}

static void forget(struct records *readers, struct record *record)
{
	if (number_of(record) != SHARED)
		ck_pr_store_8(&((struct lock *)readers)->lock.readers[number_of(record) - 1], false);
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
	lock->readers.forget = forget;
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
	int token = records_take(&lock->readers);

	if (token >= 0)
		ck_bytelock_read_lock(&lock->lock, number_of(records_at(&lock->readers, token)));
	return token;
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
	int token = records_take(&lock->readers);
	struct record *mine;

	if (token < 0)
		return token;
	mine = records_at(&lock->readers, token);
	announce(&lock->lock, number_of(mine));
	if (ck_pr_load_uint(&lock->lock.owner) != 0) {
		ck_bytelock_read_unlock(&lock->lock, number_of(mine));
		records_put(mine);
		return -EAGAIN;
	}
	ck_pr_fence_lock();
	return token;
}

static void read_unlock(void *state, int token)
{
	struct lock *lock = state;
	struct record *mine = records_at(&lock->readers, token);

	ck_bytelock_read_unlock(&lock->lock, number_of(mine));
	records_put(mine);
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

	records_sync_fork(&((struct lock *)state)->readers);
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
