/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Two tables of struct mirror_sync as a user would write them: a lock, and an RCU without polling. */
#ifndef MIRROR_OWN_SYNC_H
#define MIRROR_OWN_SYNC_H

#include "tap.h"

#include <mirror/mirror.h>
#include <mirror/usrcu.h>

static inline int rwlock_create(void **state)
{
	pthread_rwlock_t *lock = (pthread_rwlock_t *)malloc(sizeof(*lock));

	if (!lock)
		return -ENOMEM;
	*state = lock;
	return -pthread_rwlock_init(lock, NULL);
}

static inline int rwlock_destroy(void *state)
{
	int rc = pthread_rwlock_trywrlock((pthread_rwlock_t *)state);

	if (rc)
		return -rc;
	pthread_rwlock_unlock((pthread_rwlock_t *)state);
	pthread_rwlock_destroy((pthread_rwlock_t *)state);
	free(state);
	return 0;
}

static inline int rwlock_read_lock(void *state)
{
	return -pthread_rwlock_rdlock((pthread_rwlock_t *)state);
}

static inline int rwlock_read_trylock(void *state)
{
	return pthread_rwlock_tryrdlock((pthread_rwlock_t *)state) ? -EAGAIN : 0;
}

static inline void rwlock_read_unlock(void *state, int token)
{
	(void)token;
	pthread_rwlock_unlock((pthread_rwlock_t *)state);
}

static inline int rwlock_write_lock(void *state, uint64_t timeout_ns)
{
	struct timespec deadline;

	if (timeout_ns == UINT64_MAX)
		return -pthread_rwlock_wrlock((pthread_rwlock_t *)state);
	/* Not clockwrlock: ThreadSanitizer does not know that. */
	clock_gettime(CLOCK_REALTIME, &deadline);
	timeout_ns += (uint64_t)deadline.tv_nsec;
	deadline.tv_sec += (time_t)(timeout_ns / 1000000000);
	deadline.tv_nsec = (long)(timeout_ns % 1000000000);
	return -pthread_rwlock_timedwrlock((pthread_rwlock_t *)state, &deadline);
}

static inline void rwlock_write_unlock(void *state)
{
	pthread_rwlock_unlock((pthread_rwlock_t *)state);
}

static const struct mirror_sync rwlock_sync = {
	.size = sizeof(struct mirror_sync),
	.name = "pthread rwlock",
	.kind = MIRROR_SYNC_LOCK,
	.create = rwlock_create,
	.destroy = rwlock_destroy,
	.read_lock = rwlock_read_lock,
	.read_trylock = rwlock_read_trylock,
	.read_unlock = rwlock_read_unlock,
	.write_lock = rwlock_write_lock,
	.write_unlock = rwlock_write_unlock,
};

static inline int plain_create(void **state)
{
	return usrcu_create((struct usrcu **)state, NULL);
}

static inline int plain_destroy(void *state)
{
	return usrcu_destroy((struct usrcu *)state);
}

static inline int plain_read_lock(void *state)
{
	return usrcu_read_lock((struct usrcu *)state);
}

static inline void plain_read_unlock(void *state, int token)
{
	usrcu_read_unlock((struct usrcu *)state, token);
}

static inline int plain_synchronize(void *state, uint64_t timeout_ns)
{
	return usrcu_synchronize_timeout((struct usrcu *)state, timeout_ns);
}

/* A grace period that cannot be polled, as most of the world's RCUs. */
static const struct mirror_sync plain_sync = {
	.size = sizeof(struct mirror_sync),
	.name = "grace period",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.create = plain_create,
	.destroy = plain_destroy,
	.read_lock = plain_read_lock,
	.read_unlock = plain_read_unlock,
	.synchronize = plain_synchronize,
};

#endif /* MIRROR_OWN_SYNC_H */
