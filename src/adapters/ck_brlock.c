/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's big-reader lock, held for reading across the callbacks
 *
 * ck_brlock_read_register takes the lock for writing, so that a thread's first bracket would wait for
 * callbacks of others and for writers.  Here a thread joins the chain of readers by an exchange at its head,
 * from which nobody is ever taken.  A writer whose look at the chain misses it has raised its flag
 * before, and joining comes before the thread's own look at the flag.  The timed write lock is ck's own algorithm with a look at the clock; ck's write_trylock
 * counts steps instead, and would let readers in between two tries.
 */
#include <mirror/ck.h>

#include <ck_brlock.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ck_records.h"
#include "deadline.h"

struct reader {
	struct record record;
	ck_brlock_reader_t reader;
} __attribute__((__aligned__(64)));

struct lock {
	struct records readers;
	ck_brlock_t lock __attribute__((__aligned__(64)));
};

static void attach(struct records *readers, struct record *record)
{
	ck_brlock_t *lock = &((struct lock *)readers)->lock;
	ck_brlock_reader_t *reader = &((struct reader *)record)->reader;

	reader->next = ck_pr_load_ptr(&lock->readers);
	do {
		ck_pr_fence_store_atomic();
	} while (!ck_pr_cas_ptr_value(&lock->readers, reader->next, reader, &reader->next));
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
	ck_brlock_init(&lock->lock);
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
	ck_brlock_read_lock(&lock->lock, &mine->reader);
	return 0;
}

static int read_trylock(void *state)
{
	struct lock *lock = state;
	struct reader *mine = (struct reader *)records_mine(&lock->readers);

	if (!mine)
		return -ENOMEM;
	return ck_brlock_read_trylock(&lock->lock, &mine->reader, 1) ? 0 : -EAGAIN;
}

static void read_unlock(void *state, int token)
{
	struct lock *lock = state;

	(void)token;
	ck_brlock_read_unlock(&((struct reader *)records_mine(&lock->readers))->reader);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	uint64_t deadline_ns = deadline_in(timeout_ns);
	ck_brlock_t *lock = &((struct lock *)state)->lock;

	if (timeout_ns == UINT64_MAX) {
		ck_brlock_write_lock(lock);
		return 0;
	}
	while (ck_pr_fas_uint(&lock->writer, true) == true) {
		if (deadline_is_over(deadline_ns))
			return -ETIMEDOUT;
		ck_pr_stall();
	}
	ck_pr_fence_atomic_load();
	for (ck_brlock_reader_t *reader = lock->readers; reader; reader = reader->next) {
		while (ck_pr_load_uint(&reader->n_readers) != 0) {
			if (deadline_is_over(deadline_ns)) {
				ck_brlock_write_unlock(lock);
				return -ETIMEDOUT;
			}
			ck_pr_stall();
		}
	}
	ck_pr_fence_lock();
	return 0;
}

static void write_unlock(void *state)
{
	ck_brlock_write_unlock(&((struct lock *)state)->lock);
}

const struct mirror_sync mirror_sync_ck_brlock = {
	.size = sizeof(struct mirror_sync),
	.name = "ck-brlock",
	.kind = MIRROR_SYNC_LOCK,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_trylock = read_trylock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};
