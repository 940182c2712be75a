/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The gate: no thread is half-way through a change of shared state while another one forks
 *
 * A section of the gate is as long as a lock of the library is held, and never around the program's code.  The thread
 * that forks closes the gate and owns it until the fork is over: it alone goes on using the library, in the program's
 * own fork hooks too, whatever their order.
 *
 * State
 *   record->gate      its own thread: how many sections it is in
 *   gate.fallback     read-modify-writes: the same for threads without a record
 *   gate.closer       compare-and-exchange: process_self() of the thread that has closed the gate, or 0: it is open
 *
 *      enter:  count me; fence A; another closer?  then count me out, sleep, again
 *      close:  closer = me; fence B; wait until every count of the others is zero
 *
 * A section inside a section passes a closed gate, so the outer one ends.  A handler that forks inside a section closes
 * the gate around its own thread's section; the child is that thread too, and ends the section.
 *
 * Not so: a hook of the program that runs after the gate has closed and waits for another thread, for a lock or by a
 * call of the library that waits, waits for ever if that thread waits at the gate; and two handlers in two threads that
 * both fork inside sections wait for each other.
 *
 * Cost.  A section: a fence.  A fork: a look at each record; while a section is open, more looks for 50 us,
 * then a sleep of a millisecond at a time.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | enter | my count before the look at closer | full | B | the child finds a lock that no thread holds | t/mirror/fork |
 * | B | close | closer before the look at the counts | full | A | as A | t/mirror/fork |
 */
#ifndef MIRROR_GATE_H
#define MIRROR_GATE_H

#include "slots.h"

void gate_enter(void);
void gate_leave(void);
/* True and entered, unless the gate is closed. */
bool gate_try_enter(void);

/* The locks of the library: each is held within a section of the gate. */
static inline void gate_lock(struct port_mutex *m)
{
	gate_enter();
	port_mutex_lock(m);
}

static inline void gate_unlock(struct port_mutex *m)
{
	port_mutex_unlock(m);
	gate_leave();
}

/*
 * Between two batches of a long change, without the lock: a thread that slept on a mutex never gets it if another takes
 * it again at once.  So wait for a moment if there is one.
 */
void gate_give_way(const struct port_mutex *m);

static inline void gate_let_others(const struct port_mutex *m)
{
	if (port_mutex_is_wanted(m))
		gate_give_way(m);
}

/* The same with the lock, which it gives up meanwhile. */
static inline void gate_relock(struct port_mutex *m)
{
	gate_unlock(m);
	gate_let_others(m);
	gate_lock(m);
}

static inline bool gate_trylock(struct port_mutex *m)
{
	if (!gate_try_enter())
		return false;
	if (port_mutex_trylock(m))
		return true;
	gate_leave();
	return false;
}

#endif /* MIRROR_GATE_H */
