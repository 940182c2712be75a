/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * ck-rwlock: Concurrency Kit's centralised reader-writer lock
 *
 * A writer that waits shuts readers out, and everybody spins.  ck offers no timed write lock, and
 * polling its trylock would let readers in between; so the timed form is ck's own algorithm,
 * step for step, with a look at the clock while it waits for the readers.
 */
#include "comparators.h"

#include <ck_rwlock.h>
#include <errno.h>
#include <stdlib.h>

#ifndef CK_PACKAGE_VERSION
#define CK_PACKAGE_VERSION "Concurrency Kit"
#endif

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
	ck_rwlock_t *lock = state;
	uint64_t begun;

	if (timeout_ns == UINT64_MAX) {
		ck_rwlock_write_lock(lock);
		return 0;
	}
	begun = bench_now_ns();
	while (ck_pr_fas_uint(&lock->writer, 1) != 0) {
		if (bench_now_ns() - begun >= timeout_ns)
			return -ETIMEDOUT;
		ck_pr_stall();
	}
	ck_pr_fence_atomic_load();
	while (ck_pr_load_uint(&lock->n_readers) != 0) {
		if (bench_now_ns() - begun >= timeout_ns) {
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

static const struct mirror_sync sync_table = {
	.size = sizeof(sync_table),
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

const struct bench_comparator comparator_ck_rwlock = {
	.name = "ck-rwlock",
	.about = "Concurrency Kit's ck_rwlock: spins, a waiting writer shuts readers out",
	.library = CK_PACKAGE_VERSION,
	.sync = &sync_table,
};
