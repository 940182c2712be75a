/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The threads that wait for a urwsem.  Shared by urwsem.c, which explains the algorithm, and urwsem_queue.c. */
#ifndef MIRROR_URWSEM_QUEUE_H
#define MIRROR_URWSEM_QUEUE_H

#include "urwsem_impl.h"

#include "mutant.h"

#define WRITER   URWSEM_WRITER
#define WAITERS  URWSEM_WAITERS
#define HANDOFF  URWSEM_HANDOFF
#define READER   URWSEM_READER
#define READFAIL URWSEM_READFAIL

/* Values of owner; at most one of the first and the last is set. */
#define READER_OWNED UINT64_C(1)
#define NONSPINNABLE UINT64_C(2)        /* spinning for the readers to go was in vain */
#define WRITER_OWNED UINT64_C(4)

/* Values of a waiter's word. */
enum { ASLEEP, WOKEN, GRANTED };

struct urwsem__waiter {
	struct urwsem__waiter *next, *prev;
	/*
	 * Of a reader: ASLEEP, then GRANTED, which the granter writes.  Of a writer, under wait_lock: ASLEEP,
	 * which it writes before each sleep, and WOKEN, which the thread writes that wakes it.
	 */
	uint32_t word;
	bool writes;
	bool queued;
	bool handoff;           /* HANDOFF was set for this waiter */
	uint64_t aged_ns;       /* from then on the waiter may ask for the handoff */
};

/* The waiters to wake after wait_lock is unlocked. */
struct wakes {
	struct urwsem__waiter *granted;         /* linked by next: counted as holders, and not told yet */
	const uint32_t *writer;                 /* an address only: I5 */
};

/* Anyone; readers alone; readers alone, and the caller holds the semaphore for reading. */
enum wake_kind { WAKE_ANY, WAKE_READERS, WAKE_READ_OWNED };

static inline bool has_aged_(const struct urwsem__waiter *w)
{
	return broken_if(URWSEM_NO_HANDOFF, false, port_now_ns() >= w->aged_ns);
}

/* owner is a hint, relaxed everywhere: only count decides which thread holds the semaphore. */
static inline void set_reader_owned_(struct urwsem *sem)
{
	uint64_t owner = load_relaxed(&sem->urwsem__owner);

	if (!(owner & READER_OWNED))
		store_relaxed(&sem->urwsem__owner, READER_OWNED | (owner & NONSPINNABLE));
}

static inline void clear_nonspinnable_(struct urwsem *sem)
{
	if (load_relaxed(&sem->urwsem__owner) & NONSPINNABLE)
		fetch_and(&sem->urwsem__owner, ~NONSPINNABLE);
}

/* wait_lock */
void lock_queue_(struct urwsem *sem);
void unlock_queue_(struct urwsem *sem);

/* Under wait_lock. */
void append_(struct urwsem *sem, struct urwsem__waiter *w);
void take_out_(struct urwsem *sem, struct urwsem__waiter *w);
/* Choose the waiters whose turn it is. */
void choose_wakes_(struct urwsem *sem, enum wake_kind kind, struct wakes *wakes);
/* @count is current: a thread that joined the queue may have dropped the last lock bit. */
void choose_if_free_(struct urwsem *sem, uint64_t count, struct wakes *wakes);
/* The time of @w is up.  Unlocks wait_lock. */
void leave_queue_(struct urwsem *sem, struct urwsem__waiter *w);

/* After wait_lock: wake the waiters that were chosen. */
void do_wakes_(const struct wakes *wakes);
/* All of this, for a thread that has dropped the last lock bit and saw WAITERS. */
void wake_(struct urwsem *sem, enum wake_kind kind);

#endif /* MIRROR_URWSEM_QUEUE_H */
