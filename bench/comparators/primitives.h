/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Primitives: what sections, grace periods and deferred calls are made of in each library
 *
 * Each is a comparator of its own, named in comparators.h, whose `own` is a struct primitive.  Its state
 * is made by the first thread that is set up and freed by the last that is torn down: the harness
 * sets up its main thread around each run.  The loops are in each primitive's file, so that its
 * read side is inlined there as in a program that uses it.
 */
#ifndef BENCH_PRIMITIVES_H
#define BENCH_PRIMITIVES_H

#include <stdatomic.h>
#include <stdint.h>

#include "../measure/bench.h"

/** struct retired - an object handed to a deferred call; a cache line, as the common node */
struct retired {
	uint64_t head[3];               /* the library's */
	uint64_t payload[5];
};

/** struct primitive - in a thread that is set up; what a library lacks is NULL */
struct primitive {
	/* Opens and ends @n sections, one after the other. */
	void (*pairs)(unsigned n);
	/* 0 or -errno. */
	int (*synchronize)(void);
	/* A section of another domain; if the library has one domain, of that one. */
	void (*open_elsewhere)(void);
	void (*close_elsewhere)(void);
	/* primitive_freed(@object) later. */
	void (*call)(struct retired *object);
	/* What the thread that calls must do now and then; NULL: nothing. */
	void (*housekeeping)(void);
	/* All calls have been answered. */
	void (*barrier)(void);
};

/** primitive_freed - takes back what was handed to call(); in any thread */
void primitive_freed(struct retired *object);

/** primitive_nr_freed - how many primitive_freed has taken back; the question sets it to 0 */
extern atomic_ullong primitive_nr_freed;

/** primitive_fence - keeps the compiler from merging two sections or taking one out of a loop */
#define primitive_fence() __asm__ volatile("" : : : "memory")

#endif /* BENCH_PRIMITIVES_H */
