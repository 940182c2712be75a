/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's phase-fair lock, held for reading across the callbacks
 *
 * ck has neither a trylock of it nor a timed write lock.  A reader's try is its read_lock where no writer is
 * announced.  A writer cannot give up: a reader that waits knows a writer by one bit, which the next but
 * one shares.  It relies on the next to wait for it; if both gave up before it looked again, it and the one
 * after would wait for each other (t/mirror/adapters_torture hung on that).
 */
#include <mirror/ck.h>

#include <ck_pflock.h>
#include <errno.h>
#include <stdlib.h>

static int create(void **state)
{
	ck_pflock_t *lock = aligned_alloc(64, 64);

	if (!lock)
		return -ENOMEM;
	ck_pflock_init(lock);
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
	ck_pflock_read_lock(state);
	return 0;
}

/* As read_lock where no writer is announced, which the exchange makes sure of. */
static int read_trylock(void *state)
{
	ck_pflock_t *lock = state;
	uint32_t in = ck_pr_load_32(&lock->rin);

	do {
		if (in & CK_PFLOCK_WBITS)
			return -EAGAIN;
	} while (!ck_pr_cas_32_value(&lock->rin, in, in + CK_PFLOCK_RINC, &in));
	ck_pr_fence_lock();
	return 0;
}

static void read_unlock(void *state, int token)
{
	(void)token;
	ck_pflock_read_unlock(state);
}

/* No time limit is kept. */
static int write_lock(void *state, uint64_t timeout_ns)
{
	(void)timeout_ns;
	ck_pflock_write_lock(state);
	return 0;
}

static void write_unlock(void *state)
{
	ck_pflock_write_unlock(state);
}

const struct mirror_sync mirror_sync_ck_pflock = {
	.size = sizeof(struct mirror_sync),
	.name = "ck-pflock",
	.kind = MIRROR_SYNC_LOCK,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_trylock = read_trylock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};
