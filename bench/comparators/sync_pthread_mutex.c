/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * pthread-mutex: a list under a plain lock, held across the callbacks
 *
 * Walks exclude each other too.  So two threads, of which one publishes with a lock held that a callback
 * of the other wants, deadlock without any unregister.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static int create(void **state)
{
	pthread_mutex_t *mutex = aligned_alloc(64, 64 * ((sizeof(*mutex) + 63) / 64));

	if (!mutex)
		return -ENOMEM;
	pthread_mutex_init(mutex, NULL);
	*state = mutex;
	return 0;
}

static int destroy(void *state)
{
	pthread_mutex_destroy(state);
	free(state);
	return 0;
}

static int read_lock(void *state)
{
	return -pthread_mutex_lock(state);
}

static int read_trylock(void *state)
{
	int err = pthread_mutex_trylock(state);

	return err == EBUSY ? -EAGAIN : -err;
}

static void read_unlock(void *state, int token)
{
	(void)token;
	pthread_mutex_unlock(state);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	struct timespec deadline;
	uint64_t ns;

	if (timeout_ns == UINT64_MAX)
		return -pthread_mutex_lock(state);
	ns = bench_now_ns() + timeout_ns;
	deadline.tv_sec = (time_t)(ns / NS_PER_S);
	deadline.tv_nsec = (long)(ns % NS_PER_S);
	return -pthread_mutex_clocklock(state, CLOCK_MONOTONIC, &deadline);
}

static void write_unlock(void *state)
{
	pthread_mutex_unlock(state);
}

static const struct mirror_sync sync_table = {
	.size = sizeof(sync_table),
	.name = "pthread-mutex",
	.kind = MIRROR_SYNC_LOCK,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_trylock = read_trylock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};

const struct bench_comparator comparator_pthread_mutex = {
	.name = "pthread-mutex",
	.about = "a pthread mutex: one walk at a time",
	.library = "C library",
	.sync = &sync_table,
	.full_only = true,
	.hangs_for_good = "A and C exclude each other: the two hang without B, and for good",
};
