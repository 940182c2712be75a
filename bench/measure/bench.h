/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What all of mirror-bench stands on: what is measured (a comparator), with which parameters (a case), and the clock
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <mirror/mirror.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

struct plain_list;

/** struct bench_comparator - one way of keeping walkers and changes of the list apart */
struct bench_comparator {
	const char *name;
	const char *about;              /* half a sentence for the report */
	const char *library;            /* the outside library and its version; NULL: none */
	const struct mirror_sync *sync;
	const struct plain_list *plain; /* a list without libmirror (comparators/plain.h); NULL: a mirror list */
	unsigned list_flags;            /* MIRROR_LIST_... */
	bool list_is_frozen;            /* the list must not change while others walk it */
	const char *hangs_for_good;     /* why nothing would dissolve the three-thread deadlock; NULL: something does */
	bool full_only;                 /* --quick leaves it out unless a filter names it */
	void (*thread_setup)(void);     /* in each thread before it uses the list; NULL: nothing */
	void (*thread_teardown)(void);
	/* Around a measured loop that waits for no other thread, and between its operations; NULL: nothing. */
	void (*thread_online)(void);
	void (*thread_offline)(void);
	void (*quiescent)(void);
	const void *own;                /* of a question that has comparators of its own: what it asks */
};

enum { BENCH_UNUSED = -1 };

/** struct bench_case - the parameters of one question; a number is BENCH_UNUSED if it means nothing */
struct bench_case {
	int publishers;
	int mirrors;
	int threads;                    /* 0: means nothing, as in the next */
	int ranges;
	int callback_ns;                /* how long a start callback works; 0: it is empty */
	const char *scene;              /* what else goes on, or how things lie; NULL: means nothing */
	const char *trace;              /* its name; NULL: not a replay */
	const void *trace_data;         /* the question's own */
	uint64_t warmup_ns;
	uint64_t duration_ns;           /* of the measured part */
	uint64_t expected_ns;           /* of the whole run, for the time left */
};

/** bench_quiescent - what a publisher does between invalidations */
static inline void bench_quiescent(const struct bench_comparator *comparator)
{
	if (comparator->quiescent)
		comparator->quiescent();
}

/* Set by Ctrl-C; loops that wait for long look at it. */
extern volatile sig_atomic_t bench_interrupted;

/** bench_complain - "mirror-bench: ..." on standard error, on a line of its own */
void bench_complain(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/**
 * bench_now_ns - the clock of every measurement
 *
 * CLOCK_MONOTONIC: read in user space, steady across CPUs, and right on machines whose time stamp
 * counter is not.  What one reading costs is measured and stands in the results.
 */
static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif /* BENCH_BENCH_H */
