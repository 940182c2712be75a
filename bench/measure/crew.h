/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The harness's threads: started, pinned, set up, held at a start line, watched and joined
 *
 * A crew is one group of threads for one run.  Each thread is pinned, calls the comparator's
 * setup, waits for all at the start line, runs the question's body and calls the teardown.
 * Threads are mortal: crew_run gives up on one that does not end, for what it hangs in is a
 * finding and must not take the results with it.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

enum { CREW_MAX_THREADS = 1024 };

struct crew;

/** struct crew_thread - one of them, as its body sees it */
struct crew_thread {
	unsigned index;                 /* 0, 1, ... */
	atomic_int tid;                 /* the kernel's; 0 until the thread runs */
	struct crew *crew;
	void *arg;                      /* the crew's */
	pthread_t pthread;
};

/** struct crew - zero it, fill in the upper part, run it once */
struct crew {
	const struct bench_comparator *comparator;
	unsigned nr_threads;
	void (*body)(struct crew_thread *t);
	/* Runs in the caller's thread once all have left the start line; NULL: nothing. */
	void (*director)(struct crew *crew);
	/* Which place a thread runs on; NULL: its index. */
	unsigned (*place)(const struct crew *crew, unsigned index);
	void *arg;
	/* How long after the director has returned a thread may take to end; 0: 30 s. */
	uint64_t patience_ns;
	/* private */
	struct crew_thread *threads;
	pthread_barrier_t start_line;
};

/**
 * crew_run - start, direct and join
 * Return:   0; -errno when threads could not be started; -ETIMEDOUT: one hangs.  Then nothing
 *           that the crew uses may be freed, and the process should soon end
 */
int crew_run(struct crew *crew);

/** crew_sleep_ns - for directors; ends early on Ctrl-C */
void crew_sleep_ns(uint64_t ns);

/** crew_pause - between two looks at what another thread is to do; @turn: how many looks there were */
void crew_pause(unsigned turn);

/** crew_wait - leave the CPU to others until @flag is at least @value */
static inline void crew_wait(const atomic_int *flag, int value)
{
	for (unsigned turn = 0; atomic_load_explicit(flag, memory_order_acquire) < value; turn++)
		crew_pause(turn);
}

/*
 * The measured loop, for questions of the kind "how many": every thread repeats an operation
 * through warm-up and the measured part, and counts the operations of the latter.
 */
struct measure;

/** struct measure_thread - what one thread did in the measured part; a cache line of its own */
struct measure_thread {
	uint64_t operations;
	uint64_t elapsed_ns;
} __attribute__((__aligned__(64)));

/** struct measure - zero it, fill in the upper part, run it once */
struct measure {
	const struct bench_comparator *comparator;
	const struct bench_case *c;
	unsigned nr_threads;
	/* Does @n operations; @measured is false during warm-up. */
	void (*operation)(struct measure *m, unsigned index, unsigned n, bool measured);
	unsigned batch;                 /* n */
	void *arg;
	/* results */
	struct measure_thread *threads; /* the caller frees */
	/* private */
	atomic_int phase;
};

/** measure_run - as crew_run; -EINTR: Ctrl-C, the figures are worth nothing */
int measure_run(struct measure *m);

/** measure_rate - operations a second, summed over threads from @first on */
double measure_rate(const struct measure *m, unsigned first);

#endif /* BENCH_CREW_H */
