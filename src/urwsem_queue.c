/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The threads that wait for a urwsem: the lock of the queue, the queue, and whose turn it is
 *
 * The algorithm (steps 6 and 7), the invariants and the barriers are explained at the top of src/urwsem.c.
 */

#include "urwsem_queue.h"

#include <errno.h>

/* Turns of spinning for wait_lock before sleeping. */
#ifndef LOCK_SPINS
#define LOCK_SPINS 64
#endif

/* ---- wait_lock ---- */

enum { UNLOCKED, LOCKED, CONTENDED };

void lock_queue_(struct urwsem *sem)
{
	uint32_t seen;
	int turn;

	for (turn = 0; turn < LOCK_SPINS; turn++) {
		seen = UNLOCKED;
		/* J (pairs with K): the lock, then the queue; in the exchange below likewise. */
		if (load_relaxed(&sem->urwsem__wait_lock) == UNLOCKED &&
		    compare_exchange(&sem->urwsem__wait_lock, &seen, LOCKED))
			return;
		port_relax();
	}
	while (exchange(&sem->urwsem__wait_lock, CONTENDED) != UNLOCKED)
		port_futex_wait(&sem->urwsem__wait_lock, CONTENDED, PORT_FOREVER);
}

void unlock_queue_(struct urwsem *sem)
{
	/* K (pairs with J): the queue, then the lock. */
	if (exchange(&sem->urwsem__wait_lock, UNLOCKED) == CONTENDED)
		port_futex_wake(&sem->urwsem__wait_lock, 1);
}

/* ---- the queue; all under wait_lock ---- */

void append_(struct urwsem *sem, struct urwsem__waiter *w)
{
	w->next = NULL;
	w->prev = sem->urwsem__last;
	*(w->prev ? &w->prev->next : &sem->urwsem__first) = w;
	sem->urwsem__last = w;
	w->queued = true;
	/* Atomic only for threads that peek. */
	store_relaxed(&sem->urwsem__nr_waiting, sem->urwsem__nr_waiting + 1);
}

void take_out_(struct urwsem *sem, struct urwsem__waiter *w)
{
	*(w->prev ? &w->prev->next : &sem->urwsem__first) = w->next;
	*(w->next ? &w->next->prev : &sem->urwsem__last) = w->prev;
	w->queued = false;
	store_relaxed(&sem->urwsem__nr_waiting, sem->urwsem__nr_waiting - 1);
}

/* A reader is first in the queue: count all queued readers as holders. */
static void grant_readers(struct urwsem *sem, enum wake_kind kind, struct wakes *wakes)
{
	struct urwsem__waiter *w = sem->urwsem__first, *next, **end = &wakes->granted;
	const int max = broken_if(URWSEM_GRANTS_ONE, 1, URWSEM_MAX_GRANTS);
	uint64_t before, change = 0;
	int granted = 0;

	/*
	 * The first is counted at once, to keep writers from stealing while we look at the others.
	 * A caller with WAKE_READ_OWNED holds it for reading, which keeps writers out already.
	 */
	if (kind != WAKE_READ_OWNED) {
		change = READER;
		before = fetch_add(&sem->urwsem__count, change);
		if (before & WRITER) {
			if (has_aged_(w)) {
				w->handoff = true;
				if (!(before & HANDOFF))
					change -= HANDOFF;
			}
			fetch_add(&sem->urwsem__count, -change); /* that writer's up_write will call again */
			return;
		}
		set_reader_owned_(sem);
	}
	for (; w && granted < max; w = next) {
		next = w->next;
		if (w->writes)
			continue;
		take_out_(sem, w);
		w->next = NULL;
		*end = w;
		end = &w->next;
		granted++;
	}
	change = (uint64_t)granted * READER - change;
	if (!sem->urwsem__first)
		change -= WAITERS;
	/* HANDOFF changes under wait_lock only, so that a relaxed look is exact. */
	if (load_relaxed(&sem->urwsem__count) & HANDOFF)
		change -= HANDOFF;
	/*
	 * F (pairs with D, E): the count, then the grant that passes it on through G.  If the addition
	 * above is made, it orders as well.
	 */
	fetch_add(&sem->urwsem__count, change);
}

void choose_wakes_(struct urwsem *sem, enum wake_kind kind, struct wakes *wakes)
{
	struct urwsem__waiter *w = sem->urwsem__first;

	if (!w)
		return;
	if (!w->writes) {
		grant_readers(sem, kind, wakes);
	} else if (kind == WAKE_ANY) {
		/* Until it runs, others may steal, and their release wakes it again. */
		store_relaxed(&w->word, WOKEN); /* wait_lock orders it */
		wakes->writer = &w->word;
	}
}

void choose_if_free_(struct urwsem *sem, uint64_t count, struct wakes *wakes)
{
	if (broken_if(URWSEM_NO_RECHECK, true, count & WRITER))
		return;
	if (!(count & URWSEM_LOCK_MASK))
		clear_nonspinnable_(sem);
	choose_wakes_(sem, count & URWSEM_LOCK_MASK ? WAKE_READERS : WAKE_ANY, wakes);
}

/* @w has been read, and counted as a holder: tell it. */
static void tell(struct urwsem__waiter *w)
{
	/* G (pairs with H): we have read the waiter, then it may return (I5). */
	store_release(&w->word, GRANTED);
	/* N (pairs with O): the word, above or in choose_wakes_(), then the sleepers. */
	port_futex_wake(&w->word, 1);
}

/* The mutant URWSEM_WAKE_FIRST. */
static void wake_and_tell(struct urwsem__waiter *w)
{
	port_futex_wake(&w->word, 1);
	store_release(&w->word, GRANTED);
}

void do_wakes_(const struct wakes *wakes)
{
	struct urwsem__waiter *w, *next;

	for (w = wakes->granted; w; w = next) {
		next = w->next;
		broken_if(URWSEM_WAKE_FIRST, wake_and_tell, tell)(w);
	}
	if (wakes->writer)
		port_futex_wake(wakes->writer, 1);
}

void wake_(struct urwsem *sem, enum wake_kind kind)
{
	struct wakes wakes = { NULL, NULL };

	lock_queue_(sem);
	choose_wakes_(sem, kind, &wakes);
	unlock_queue_(sem);
	do_wakes_(&wakes);
}

void leave_queue_(struct urwsem *sem, struct urwsem__waiter *w)
{
	struct wakes wakes = { NULL, NULL };
	bool first = sem->urwsem__first == w;

	take_out_(sem, w);
	if (!sem->urwsem__first)
		fetch_and(&sem->urwsem__count, ~(WAITERS | HANDOFF));
	else if (first)
		unless(URWSEM_LEAVES_MUTE, choose_wakes_(sem, WAKE_ANY, &wakes));
	unlock_queue_(sem);
	do_wakes_(&wakes);
}
