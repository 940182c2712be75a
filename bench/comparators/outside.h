/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Systems that tell subscribers of memory that goes away, as they are, for the question "outside"
 *
 * Each is a comparator, named in comparators.h, whose `own` is a struct outside.  One of them is open at a time.
 */
#ifndef BENCH_OUTSIDE_H
#define BENCH_OUTSIDE_H

#include <stdint.h>

#include "../measure/bench.h"

/** struct outside_subscriber - hears of everything, or of one region */
struct outside_subscriber {
	void (*act)(struct outside_subscriber *s);      /* in the callback; NULL: nothing */
};

/** struct outside_dispatcher - subscribers that hear of everything; numbered from 0 */
struct outside_dispatcher {
	int (*open)(void **state, unsigned nr, struct outside_subscriber *subscribers);
	void (*close)(void *state);
	/* In the order of the numbers at first; open leaves no subscriber in. */
	int (*join)(void *state, unsigned subscriber);
	int (*leave)(void *state, unsigned subscriber);
	/* On return all subscribers have heard of it. */
	void (*publish)(void *state, uint64_t start, uint64_t end);
};

/** struct outside_cache - regions that are dropped when their memory goes away; numbered, a page each */
struct outside_cache {
	int (*open)(void **state, unsigned nr);
	void (*close)(void *state);
	/* Region @region begins at @start; it is looked up, and entered if it is not in. */
	int (*get)(void *state, unsigned region, uint64_t start);
	void (*publish)(void *state, uint64_t start, uint64_t end);
	/* How many regions were dropped so far. */
	uint64_t (*nr_dropped)(void *state);
};

/** struct outside - NULL: it is not the one or the other */
struct outside {
	const struct outside_dispatcher *dispatcher;
	const struct outside_cache *cache;
};

/** outside_heard - calls of callbacks in this thread */
extern _Thread_local uint64_t outside_heard;

/** outside_hear - what every subscriber's callback does */
static inline void outside_hear(struct outside_subscriber *s)
{
	outside_heard++;
	if (s->act)
		s->act(s);
}

enum { OUTSIDE_PAGE = 4096 };

#endif /* BENCH_OUTSIDE_H */
