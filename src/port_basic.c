/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The parts of port.h that publishers, in libraries of their own, need too: sleep, wake, clock, fork hooks. */

#include "port.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef PORT_TSAN
int port_tsan_fence;
#endif

/* syscall() sets errno, and nothing of the library may. */
static long futex(const uint32_t *word, int operation, uint32_t value, const struct timespec *deadline)
{
	int saved = errno;
	long rc = syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);

	if (rc < 0)
		rc = -errno;
	errno = saved;
	return rc;
}

int port_futex_wait(const uint32_t *word, uint32_t expect, uint64_t deadline_ns)
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / 1000000000),
		.tv_nsec = (long)(deadline_ns % 1000000000),
	};
	long rc = futex(word, FUTEX_WAIT_BITSET, expect, deadline_ns == PORT_FOREVER ? NULL : &deadline);

	return rc == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

void port_futex_wake(const uint32_t *word, int count)
{
	futex(word, FUTEX_WAKE, (uint32_t)count, NULL);
}

uint64_t port_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int port_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	return -pthread_atfork(prepare, parent, child);
}
