/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Concurrency Kit's phase-fair lock, held for reading across the callbacks
 *
 * ck has neither a trylock of it nor a timed write lock.  Its tickets cannot be given back while others
 * queue behind them; so the timed form takes one only when it is the next to be served.  From
 * then on it can give up: ck's unlock takes back all that a writer has announced, whether or not
 * the readers before it have left.
 */
#include <mirror/ck.h>

#include <ck_pflock.h>
#include <errno.h>
#include <stdlib.h>

#include "deadline.h"

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

static bool take_next_ticket(ck_pflock_t *lock, uint32_t *ticket)
{
	*ticket = ck_pr_load_32(&lock->win);
	return ck_pr_load_32(&lock->wout) == *ticket && ck_pr_cas_32(&lock->win, *ticket, *ticket + 1);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	uint64_t deadline_ns = deadline_in(timeout_ns);
	ck_pflock_t *lock = state;
	uint32_t ticket, readers;

	if (timeout_ns == UINT64_MAX) {
		ck_pflock_write_lock(lock);
		return 0;
	}
	while (!take_next_ticket(lock, &ticket)) {
		if (deadline_is_over(deadline_ns))
			return -ETIMEDOUT;
		ck_pr_stall();
	}
	readers = ck_pr_faa_32(&lock->rin, (ticket & CK_PFLOCK_PHID) | CK_PFLOCK_PRES);
	while (ck_pr_load_32(&lock->rout) != readers) {
		if (deadline_is_over(deadline_ns)) {
			ck_pflock_write_unlock(lock);
			return -ETIMEDOUT;
		}
		ck_pr_stall();
	}
	ck_pr_fence_lock();
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
