/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's centralised reader-writer lock, held for reading across the callbacks
 *
 * ck offers no timed write lock, and polling its trylock would let readers in between; so the timed
 * form is ck's own algorithm, step for step, with a look at the clock while it waits.
 */
#include <mirror/ck.h>

#include <ck_rwlock.h>
#include <errno.h>
#include <stdlib.h>

#include "deadline.h"

static int create(void **state)
{
	ck_rwlock_t *lock = aligned_alloc(64, 64);

	if (!lock)
		return -ENOMEM;
	ck_rwlock_init(lock);
	*state = lock;
	return 0;
}

static int destroy(void *state)
{
	free(state);
	return 0;
}

static int read_lock(void *state)
{
	ck_rwlock_read_lock(state);
	return 0;
}

static int read_trylock(void *state)
{
	return ck_rwlock_read_trylock(state) ? 0 : -EAGAIN;
}

static void read_unlock(void *state, int token)
{
	(void)token;
	ck_rwlock_read_unlock(state);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	uint64_t deadline_ns = deadline_in(timeout_ns);
	ck_rwlock_t *lock = state;

	if (timeout_ns == UINT64_MAX) {
		ck_rwlock_write_lock(lock);
		return 0;
	}
	while (ck_pr_fas_uint(&lock->writer, 1) != 0) {
		if (deadline_is_over(deadline_ns))
			return -ETIMEDOUT;
		ck_pr_stall();
	}
	ck_pr_fence_atomic_load();
	while (ck_pr_load_uint(&lock->n_readers) != 0) {
		if (deadline_is_over(deadline_ns)) {
			ck_rwlock_write_unlock(lock);
			return -ETIMEDOUT;
		}
		ck_pr_stall();
	}
	ck_pr_fence_lock();
	return 0;
}

static void write_unlock(void *state)
{
	ck_rwlock_write_unlock(state);
}

const struct mirror_sync mirror_sync_ck_rwlock = {
	.size = sizeof(struct mirror_sync),
	.name = "ck-rwlock",
	.kind = MIRROR_SYNC_LOCK,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_trylock = read_trylock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};
