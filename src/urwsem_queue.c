/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Who waits for a urwsem: the lock of the queue, the queue, and whose turn it is.
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
	/* Atomic only for those who peek. */
	store_relaxed(&sem->urwsem__nr_waiting, sem->urwsem__nr_waiting + 1);
}

void take_out_(struct urwsem *sem, struct urwsem__waiter *w)
{
	*(w->prev ? &w->prev->next : &sem->urwsem__first) = w->next;
	*(w->next ? &w->next->prev : &sem->urwsem__last) = w->prev;
	w->queued = false;
	store_relaxed(&sem->urwsem__nr_waiting, sem->urwsem__nr_waiting - 1);
}

/* A reader heads the queue: count all queued readers as holders. */
static void grant_readers(struct urwsem *sem, enum wake_kind kind, struct wakes *wakes)
{
	struct urwsem__waiter *w = sem->urwsem__first, *next, **end = &wakes->granted;
	const int max = MUTANT(URWSEM_GRANTS_ONE) ? 1 : URWSEM_MAX_GRANTS;
	uint64_t before, change = 0;
	int granted = 0;

	/*
	 * The first is counted at once, to keep writers from stealing while we look at the others.
	 * Who calls with WAKE_READ_OWNED holds it for reading: that has done so already.
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
			fetch_add(&sem->urwsem__count, -change); /* its up_write will call again */
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
	 * F (pairs with D, E): the count, then the grant that passes it on through G.  The addition
	 * above, where it is made, would do as well.
	 */
	fetch_add(&sem->urwsem__count, change);
}

/* Under wait_lock: choose those whose turn it is. */
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

/* Under wait_lock, @count being current: who joined the queue may have dropped the last lock bit. */
void choose_if_free_(struct urwsem *sem, uint64_t count, struct wakes *wakes)
{
	if ((count & WRITER) || MUTANT(URWSEM_NO_RECHECK))
		return;
	if (!(count & URWSEM_LOCK_MASK))
		clear_nonspinnable_(sem);
	choose_wakes_(sem, count & URWSEM_LOCK_MASK ? WAKE_READERS : WAKE_ANY, wakes);
}

/* After wait_lock. */
void do_wakes_(const struct wakes *wakes)
{
	struct urwsem__waiter *w, *next;

	for (w = wakes->granted; w; w = next) {
		next = w->next;
		if (MUTANT(URWSEM_WAKE_FIRST))
			port_futex_wake(&w->word, 1);
		/* G (pairs with H): we have read the waiter, then it may return (I5). */
		store_release(&w->word, GRANTED);
		/* N (pairs with O): the word, above or in choose_wakes_(), then the sleepers. */
		if (!MUTANT(URWSEM_WAKE_FIRST))
			port_futex_wake(&w->word, 1);
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

/* Its time is up.  Releases wait_lock. */
void leave_queue_(struct urwsem *sem, struct urwsem__waiter *w)
{
	struct wakes wakes = { NULL, NULL };
	bool first = sem->urwsem__first == w;

	take_out_(sem, w);
	if (!sem->urwsem__first)
		fetch_and(&sem->urwsem__count, ~(WAITERS | HANDOFF));
	else if (first && !MUTANT(URWSEM_LEAVES_MUTE))
		choose_wakes_(sem, WAKE_ANY, &wakes);
	unlock_queue_(sem);
	do_wakes_(&wakes);
}
