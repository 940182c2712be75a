/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The end of a time limit, for those who look at the clock while they spin. */
#ifndef ADAPTERS_DEADLINE_H
#define ADAPTERS_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t deadline_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/** deadline_in - UINT64_MAX, as @timeout_ns or by overflow, is never */
static inline uint64_t deadline_in(uint64_t timeout_ns)
{
	uint64_t now_ns = deadline_now_ns();

	return timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
}

static inline bool deadline_is_over(uint64_t deadline_ns)
{
	return deadline_ns != UINT64_MAX && deadline_now_ns() >= deadline_ns;
}

#endif /* ADAPTERS_DEADLINE_H */
