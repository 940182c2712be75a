/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * pthread-rwlock-readers, pthread-rwlock-writers: the C library's lock in both its preferences
 *
 * The default prefers readers: a waiting writer holds no reader back, and may wait for ever.  The
 * other is the one kind of glibc's that really prefers writers.
 */
#include "comparators.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static int create(void **state, int kind)
{
	pthread_rwlock_t *lock = aligned_alloc(64, 64 * ((sizeof(*lock) + 63) / 64));
	pthread_rwlockattr_t attr;

	if (!lock)
		return -ENOMEM;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, kind);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	*state = lock;
	return 0;
}

static int create_readers(void **state)
{
	return create(state, PTHREAD_RWLOCK_PREFER_READER_NP);
}

static int create_writers(void **state)
{
	return create(state, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
}

static int destroy(void *state)
{
	pthread_rwlock_destroy(state);
	free(state);
	return 0;
}

static int read_lock(void *state)
{
	return -pthread_rwlock_rdlock(state);
}

static int read_trylock(void *state)
{
	int err = pthread_rwlock_tryrdlock(state);

	return err == EBUSY ? -EAGAIN : -err;
}

static void read_unlock(void *state, int token)
{
	(void)token;
	pthread_rwlock_unlock(state);
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	struct timespec deadline;
	uint64_t ns;

	if (timeout_ns == UINT64_MAX)
		return -pthread_rwlock_wrlock(state);
	ns = bench_now_ns() + timeout_ns;
	deadline.tv_sec = (time_t)(ns / NS_PER_S);
	deadline.tv_nsec = (long)(ns % NS_PER_S);
	return -pthread_rwlock_clockwrlock(state, CLOCK_MONOTONIC, &deadline);
}

static void write_unlock(void *state)
{
	pthread_rwlock_unlock(state);
}

#define SYNC(name_, create_) {          \
	.size = sizeof(struct mirror_sync), \
	.name = name_,                  \
	.kind = MIRROR_SYNC_LOCK,       \
	.create = create_,              \
	.destroy = destroy,             \
	.read_lock = read_lock,         \
	.read_trylock = read_trylock,   \
	.read_unlock = read_unlock,     \
	.write_lock = write_lock,       \
	.write_unlock = write_unlock,   \
}

static const struct mirror_sync sync_readers = SYNC("pthread-rwlock-readers", create_readers);
static const struct mirror_sync sync_writers = SYNC("pthread-rwlock-writers", create_writers);

const struct bench_comparator comparator_pthread_rwlock_readers = {
	.name = "pthread-rwlock-readers",
	.about = "pthread_rwlock as it is by default, preferring readers",
	.library = "C library",
	.sync = &sync_readers,
};

const struct bench_comparator comparator_pthread_rwlock_writers = {
	.name = "pthread-rwlock-writers",
	.about = "pthread_rwlock with PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP",
	.library = "C library",
	.sync = &sync_writers,
};
