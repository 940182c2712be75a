/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's big-reader lock, held for reading across the callbacks
 *
 * ck_brlock_read_register takes the lock for writing, so that a bracket that needs a new reader would wait for
 * callbacks of others and for writers.  Here a reader joins the chain of readers by an exchange at its head, from which
 * none is ever taken.  A writer whose look at the chain misses it has raised its flag before, and joining comes before
 * the reader's own look at the flag.  The timed write lock is ck's own algorithm with a look at the clock; ck's
 * write_trylock counts steps instead, and would let readers in between two tries.
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

static ck_brlock_reader_t *reader_of(struct record *record)
{
	return &((struct reader *)(void *)record)->reader;
}

static void attach(struct records *readers, struct record *record, unsigned number)
{
	ck_brlock_t *lock = &((struct lock *)readers)->lock;
	ck_brlock_reader_t *reader = reader_of(record);

	(void)number;
	reader->next = ck_pr_load_ptr(&lock->readers);
	do {
		ck_pr_fence_store_atomic();
	} while (!ck_pr_cas_ptr_value(&lock->readers, reader->next, reader, &reader->next));
}

static void forget(struct records *readers, struct record *record)
{
	(void)readers;
	ck_pr_store_uint(&reader_of(record)->n_readers, 0);
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
	int token = records_take(&lock->readers);

	if (token >= 0)
		ck_brlock_read_lock(&lock->lock, reader_of(records_at(&lock->readers, token)));
	return token;
}

static int read_trylock(void *state)
{
	struct lock *lock = state;
	int token = records_take(&lock->readers);
	struct record *mine;

	if (token < 0)
		return token;
	mine = records_at(&lock->readers, token);
	if (ck_brlock_read_trylock(&lock->lock, reader_of(mine), 1))
		return token;
	records_put(mine);
	return -EAGAIN;
}

static void read_unlock(void *state, int token)
{
	struct record *mine = records_at(&((struct lock *)state)->readers, token);

	ck_brlock_read_unlock(reader_of(mine));
	records_put(mine);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	uint64_t deadline_ns = deadline_in(timeout_ns);
	ck_brlock_t *lock = &((struct lock *)state)->lock;

	records_sync_fork(&((struct lock *)state)->readers);
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
