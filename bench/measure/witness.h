/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * How to know that another thread's unregister waits, without a hook in any library
 *
 * The fairness trap opens only when the writer has queued: Linux's rwsem spins for up to 25 us
 * first, and until then lets readers in.  A publisher that wants to walk into the trap looks for
 * the first of four signs:
 *
 *   refused   an invalidation that may not block gets -EAGAIN: the lock holds readers back
 *   returned  the unregister is over already: there is nothing to wait behind
 *   asleep    the kernel says that the thread sleeps, and it does so inside the call
 *   bounded   a given time has passed since the thread went into the call, far more than any spin:
 *             for syncs that spin for ever and have no trylock.  It proves nothing, since the
 *             thread may have been off its CPU
 */
#ifndef BENCH_WITNESS_H
#define BENCH_WITNESS_H

#include <stdatomic.h>

#include "bench.h"

/** struct witness - the thread that unregisters fills it in, others look */
struct witness {
	atomic_int tid;
	atomic_int calling;             /* the round in which it went into the call */
	atomic_int returned;            /* the round in which it came out */
	_Atomic uint64_t since_ns;      /* when it went in */
};

/** witness_enter, witness_leave - around the unregister of @round */
void witness_enter(struct witness *w, int round);
void witness_leave(struct witness *w, int round);

/**
 * witness_look - one look for a sign that the unregister of @round waits
 * @probe:   makes a bracket of a range that is not blockable and that no callback refuses; 0, or why it was refused
 * @limit_ns: the bound of the last sign
 * Return:   the sign's name, or NULL: none yet
 */
const char *witness_look(struct witness *w, int round, int (*probe)(void *arg), void *arg, uint64_t limit_ns);

#endif /* BENCH_WITNESS_H */
