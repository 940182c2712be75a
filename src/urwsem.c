/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A reader-writer semaphore with the rules of Linux's rwsem, its trap included: a waiting writer
 * makes later readers wait while another reader holds it.
 *
 * Terms
 *	steal     take the semaphore although others wait in the queue
 *	grant     another thread makes a queued reader a holder
 *	handoff   the state in which no thread steals, so that the first in the queue gets the semaphore
 *	lock bits the writer bit and the count of readers
 *
 * State
 *	count       lock bits, WAITERS, HANDOFF (urwsem_impl.h).  Lock bits: any thread, by read-modify-writes.
 *	            WAITERS and HANDOFF: under wait_lock.
 *	owner       a hint for readers that decide and for writers that spin: READER_OWNED by any reader that comes
 *	            in, WRITER_OWNED and 0 by the writer, NONSPINNABLE by a writer that spun in vain.  It is left
 *	            as it is when readers go.
 *	wait_lock   a futex lock; guards first, last, nr_waiting, and the waiters in the queue
 *	spinner     1 while a writer spins: taken and given back by that writer
 *	a waiter    on the stack of the thread that waits.  next, prev, queued, handoff: under wait_lock.  word: see
 *	            the waiter.  writes, aged_ns: constant.
 *
 * The algorithm
 *	 1. A reader adds itself to count.  It holds the semaphore if WRITER, WAITERS, HANDOFF were clear.
 *	 2. Otherwise: if readers own it, another one is counted and no writer holds it, the reader queues.  If neither
 *	    WRITER nor HANDOFF is set, it keeps what it added (it steals), and if it is the only reader, it grants to
 *	    the readers queued at the head.  In every other case it queues.
 *	 3. To queue, a reader takes itself off count again.  If that removes the last lock bit, it chooses whom to wake
 *	    (6), because a thread that released the semaphore meanwhile saw a lock bit and did not.
 *	 4. A writer turns a count of 0 into WRITER.  Otherwise it spins for a while, and takes a count without lock
 *	    bits and HANDOFF (it steals).  After that it queues, sets WAITERS, and tries, now and each time that it is
 *	    woken.  It may take a count without lock bits, unless the first in the queue has asked for the handoff.
 *	 5. A writer that failed to take it after 4 ms in the queue sets HANDOFF.  So does (6) for a reader at the head
 *	    that cannot be granted because a writer stole.
 *	 6. A thread that drops the last lock bit and sees WAITERS takes wait_lock and looks at the head.  A writer is
 *	    woken, to try.  If it is a reader, all readers in the queue, at most 256, are counted at once, HANDOFF is
 *	    cleared, and each is granted; writers keep their order.
 *	 7. A waiter whose time is up leaves the queue under wait_lock.  If it is the last, it clears WAITERS and
 *	    HANDOFF; if it is the first, it does (6) for those behind it.  A reader that finds itself granted holds the
 *	    semaphore.
 *
 * Why it is safe
 *	I1. A writer holds it alone.  WRITER is only ever set by an exchange from a count without lock bits.  A reader
 *	    that adds itself beside WRITER does not hold it: it goes to the queue, and a grant beside WRITER is taken
 *	    back (t/urwsem/torture, exclusion).
 *	I2. WAITERS is set if and only if the queue is not empty, whenever wait_lock is unlocked (t/urwsem/rules, the
 *	    timeout lines; t/urwsem/torture, the count after each round).
 *	I3. No wake-up is lost.  If a count has WAITERS but no lock bit, then some thread is between the step that made
 *	    it so and its turn at wait_lock, or the head is a writer that has been woken and will try or leave.  The
 *	    steps are: a release, a reader that queues, a waiter that leaves.  L and M are one word, so that a waiter
 *	    sees the holder or the holder sees WAITERS:
 *
 *	        a waiter                            the last holder
 *	        L: count += WAITERS                 M: count -= the lock bit
 *	        if (no lock bit in it)              if (WAITERS in it)
 *	                choose whom to wake                 choose whom to wake
 *	        O: sleep while word == ASLEEP       N: word = GRANTED or WOKEN; wake
 *
 *	    (urwsem-join, urwsem-exclusion; mutants URWSEM_LOST_WAKE, URWSEM_NO_RECHECK, URWSEM_LEAVES_MUTE).
 *	I4. No thread starves.  Readers that hold it together let no further reader in once WAITERS is set, so that a
 *	    phase of readers ends.  Each end wakes the head.  After 4 ms its next attempt sets HANDOFF, and then only
 *	    the head takes the semaphore (t/urwsem/rules, handoff; mutant URWSEM_NO_HANDOFF).
 *	I5. No thread touches the stack of a waiter that may have returned.  A writer returns only after it took itself
 *	    out of the queue under wait_lock, and other threads touch it under wait_lock, in the queue.  A reader
 *	    returns without wait_lock once its word says GRANTED, and that store is the granter's last access: it has
 *	    read next before.  A reader whose time is up but which is no longer queued waits for that store.
 *	    port_futex_wake() gets an address afterwards, and does not access it: at worst another sleeper at that
 *	    address wakes and, like every user of a futex, looks again (t/urwsem/torture in the builds with
 *	    AddressSanitizer and ThreadSanitizer).
 *	I6. No resource can be left over: the queue lives on the stacks of the threads that wait, so that a free struct
 *	    urwsem holds none (t/urwsem/rules, destroy).
 *
 * Cost and progress
 *	Uncontended: one atomic read-modify-write to take it, one to release it.  All readers write the same word.  A
 *	release with threads to wake costs wait_lock and one system call for each of them.  wait_lock is held for the
 *	length of the queue at most.  Wake-ups happen outside wait_lock.  Not for signal handlers.
 *
 * Barriers.  Every read-modify-write of port.h is full; the table says what is needed.
 *
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | readers' entry | count -> section | acquire | D, E | a reader sees half of a writer's change | urwsem_torture, TSan |
 * | B | writers' entry | count -> section | acquire | C, D | a writer changes what a reader still reads | urwsem_torture, TSan |
 * | C | up_read | section -> count | release | B | as B | urwsem_torture, TSan |
 * | D | up_write | section -> count | release | A, B, F | as A; two writers overlap | urwsem_torture, TSan |
 * | E | downgrade_write | section -> count | release | A, F | as A | urwsem_torture, TSan |
 * | F | grant | count -> G | acquire | D, E | as A, for a reader that was granted | urwsem_torture, TSan, if both additions are relaxed |
 * | G | grant | reads of the waiter, F -> word | release | H | the granter reads a stack that is in use again | urwsem_torture, TSan |
 * | H | a reader waits | word -> return | acquire | G | as A and as G | urwsem_torture, TSan |
 * | J | lock_queue_ | wait_lock -> queue, WAITERS, HANDOFF | acquire | K | a broken queue | urwsem_torture, TSan |
 * | K | unlock_queue_ | queue, WAITERS, HANDOFF -> wait_lock | release | J | a broken queue | urwsem_torture, TSan |
 * | L | join the queue | WAITERS -> look at the lock bits | one word | M | lost wake-up | urwsem-join |
 * | M | up_read, up_write | lock bit dropped -> look at WAITERS | one word | L | lost wake-up | urwsem-exclusion |
 * | N | wake | word -> look for sleepers | futex(2) | O | lost wake-up | urwsem-join |
 * | O | sleep | seen as sleeper -> look at word | futex(2) | N | lost wake-up | urwsem-join |
 *
 * When A to H, J and K were weakened, one by one, urwsem_torture failed.  L, M, N and O, each split in two steps, are
 * mutants that the schedule explorer kills (doc/explorer.md): a torture rarely hits a gap of a few instructions.
 *
 * Differences from Linux, kernel/locking/rwsem.c v6.12 (the facts; no code is taken from it)
 *	- A process cannot tell whether the thread that holds the semaphore runs on a CPU.  Linux spins as long as the
 *	  writer that owns it runs; here a writer spins at most SPIN_WRITER_NS.  Linux stops for the scheduler; here
 *	  SPIN_TOTAL_NS is the limit.  A writer that has asked for the handoff sleeps at once, and a writer that spins
 *	  gives up if it sees HANDOFF.
 *	- One writer spins at a time; Linux has a queue of spinners.  In a process a spinner that lost its CPU would
 *	  hold up all behind it, so the others join the queue instead.
 *	- The owner word names no thread.  There are no real-time rules.
 *	- Waits end by timeout; in Linux they end by signal.
 *	- An overflow of the count of readers, and a release of what is not held, stop the program.
 */

#include "urwsem_queue.h"

#include <errno.h>

#define SPIN_WRITER_NS UINT64_C(25000)
#define SPIN_TOTAL_NS  UINT64_C(100000)
/* Turns of spinning between two looks at the clock: a look at the clock costs more than one at count. */
#ifndef SPIN_TURNS
#define SPIN_TURNS 16
#endif

static void check_object(const struct urwsem *sem, const char *function)
{
	if (!sem)
		port_fatal(function, "a semaphore must be given", sem);
}

/* ---- readers ---- */

/* The mutant URWSEM_READER_PREFERRING. */
static bool reader_always_steals(const struct urwsem *sem, uint64_t count)
{
	(void)sem;
	return !(count & WRITER);
}

/* @count includes the caller. */
static bool reader_steals(const struct urwsem *sem, uint64_t count)
{
	if ((load_relaxed(&sem->urwsem__owner) & READER_OWNED) && count / READER > 1 && !(count & WRITER))
		return false;
	return !(count & (WRITER | HANDOFF));
}

static int wait_for_grant(struct urwsem *sem, struct urwsem__waiter *w, uint64_t deadline_ns)
{
	int err;

	for (;;) {
		/* H (pairs with G): the grant, then the section, and the end of @w. */
		if (load_acquire(&w->word) == GRANTED)
			return 0;
		/* O (pairs with N): the kernel looks at the word after it has listed us as asleep. */
		err = port_futex_wait(&w->word, broken_if(URWSEM_SLEEP_BLIND, load_relaxed(&w->word), ASLEEP),
				      deadline_ns);
		if (err != -ETIMEDOUT)
			continue;
		lock_queue_(sem);
		if (w->queued) {
			leave_queue_(sem, w);
			return err;
		}
		unlock_queue_(sem);
		deadline_ns = PORT_FOREVER; /* we hold it; the granter is about to write so (I5) */
	}
}

static int down_read_slowly(struct urwsem *sem, uint64_t count, uint64_t timeout_ns)
{
	struct urwsem__waiter w = { .word = ASLEEP };
	struct wakes wakes = { NULL, NULL };
	uint64_t deadline_ns, change = -READER;

	if (count & READFAIL)
		port_fatal("urwsem_down_read", "too many readers, or more releases than holds", sem);
	if (broken_if(URWSEM_READER_PREFERRING, reader_always_steals, reader_steals)(sem, count)) {
		set_reader_owned_(sem);
		if (count / READER == 1 && (count & WAITERS))
			wake_(sem, WAKE_READ_OWNED);
		return 0;
	}
	deadline_ns = port_deadline(timeout_ns);
	w.aged_ns = port_now_ns() + URWSEM_HANDOFF_NS;
	lock_queue_(sem);
	if (!sem->urwsem__first) {
		/* If the queue is empty and there is no writer, what we added to count is a hold: A, again. */
		if (!(load_acquire(&sem->urwsem__count) & WRITER)) {
			unlock_queue_(sem);
			set_reader_owned_(sem);
			return 0;
		}
		change += WAITERS;
	}
	append_(sem, &w);
	/* L (pairs with M): WAITERS, then the lock bits; for writers in down_write_slowly(). */
	count = change + broken_if(URWSEM_JOIN_SPLIT, TWO_STEPS_ADD(&sem->urwsem__count, change),
				   fetch_add(&sem->urwsem__count, change));
	choose_if_free_(sem, count, &wakes);
	unlock_queue_(sem);
	do_wakes_(&wakes);
	return wait_for_grant(sem, &w, deadline_ns);
}

int urwsem_down_read_timeout(struct urwsem *sem, uint64_t timeout_ns)
{
	uint64_t count;

	if (!sem)
		return -EINVAL;
	/* A (pairs with D, E): we are counted, then the section's accesses. */
	count = fetch_add(&sem->urwsem__count, READER) + READER;
	if (count & (WRITER | WAITERS | HANDOFF | READFAIL))
		return down_read_slowly(sem, count, timeout_ns);
	set_reader_owned_(sem);
	return 0;
}

int urwsem_down_read(struct urwsem *sem)
{
	return urwsem_down_read_timeout(sem, PORT_FOREVER);
}

int urwsem_down_read_trylock(struct urwsem *sem)
{
	uint64_t count;

	if (!sem)
		return -EINVAL;
	count = load_relaxed(&sem->urwsem__count); /* the exchange orders: A, again */
	while (!(count & (WRITER | WAITERS | HANDOFF | READFAIL))) {
		if (compare_exchange(&sem->urwsem__count, &count, count + READER)) {
			set_reader_owned_(sem);
			return 0;
		}
	}
	return -EBUSY;
}

static void wake_after_readers(struct urwsem *sem)
{
	clear_nonspinnable_(sem);
	wake_(sem, WAKE_ANY);
}

void urwsem_up_read(struct urwsem *sem)
{
	uint64_t count;

	check_object(sem, __func__);
	/* C (pairs with B): the section's accesses, then we are no longer counted. */
	count = broken_if(URWSEM_RELEASE_SPLIT, TWO_STEPS_ADD(&sem->urwsem__count, -READER),
			  fetch_add(&sem->urwsem__count, -READER));
	if (count < READER || (count & (WRITER | READFAIL)))
		port_fatal(__func__, "it must be held for reading", sem);
	/* M (pairs with L): the lock bit, then WAITERS; in urwsem_up_write() likewise. */
	if (((count - READER) & (URWSEM_LOCK_MASK | WAITERS)) == WAITERS)
		unless(URWSEM_LOST_WAKE, wake_after_readers(sem));
}

/* ---- writers ---- */

/* B (pairs with C, D): the count, then the section's accesses; each time WRITER is set. */
static bool take_for_writing(struct urwsem *sem, uint64_t *expected, uint64_t desired)
{
	if (!compare_exchange(&sem->urwsem__count, expected, desired))
		return false;
	if (desired & WRITER)
		store_relaxed(&sem->urwsem__owner, WRITER_OWNED);
	return true;
}

/* A writer spun in vain for the readers to go.  Until they have gone, the next writer need not spin. */
static void set_nonspinnable(struct urwsem *sem)
{
	uint64_t owner = load_relaxed(&sem->urwsem__owner);

	while ((owner & READER_OWNED) && !(owner & NONSPINNABLE))
		if (compare_exchange(&sem->urwsem__owner, &owner, owner | NONSPINNABLE))
			return;
}

/* 10 us and half a us for each reader, 25 us at most. */
static uint64_t reader_spin_ns(uint64_t count)
{
	uint64_t readers = count / READER;

	return (20 + (readers < 30 ? readers : 30)) * 500;
}

/* Spin outside the queue, in case it is released soon.  True: it is held for writing. */
static bool spin_for_write(struct urwsem *sem, uint64_t deadline_ns)
{
	uint64_t owner, count, now, phase_end = 0, end = port_now_ns() + SPIN_TOTAL_NS;
	bool taken = false, readers, readers_before = false;
	unsigned turn;

	/* spinner guards no data, so no order is needed. */
	if (broken_if(URWSEM_NO_SPIN, true, load_relaxed(&sem->urwsem__spinner) || exchange(&sem->urwsem__spinner, 1)))
		return false;
	for (turn = 0; !taken; turn++) {
		owner = load_relaxed(&sem->urwsem__owner);
		count = load_relaxed(&sem->urwsem__count);
		if ((owner & NONSPINNABLE) || (count & HANDOFF))
			break;
		if (!(count & URWSEM_LOCK_MASK)) {
			taken = take_for_writing(sem, &count, count | WRITER);
			continue;
		}
		readers = owner & READER_OWNED;
		if (!phase_end || readers != readers_before) {
			phase_end = port_now_ns() + (readers ? reader_spin_ns(count) : SPIN_WRITER_NS);
			readers_before = readers;
		} else if (turn % SPIN_TURNS == 0) {
			now = port_now_ns();
			if (readers && now >= phase_end)
				set_nonspinnable(sem);
			if (now >= phase_end || now >= end || now >= deadline_ns)
				break;
		}
		port_relax();
	}
	store_relaxed(&sem->urwsem__spinner, 0);
	return taken;
}

/* Under wait_lock, and @w is queued.  True: it is held for writing, and @w is out of the queue. */
static bool try_as_waiter(struct urwsem *sem, struct urwsem__waiter *w)
{
	struct urwsem__waiter *first = sem->urwsem__first;
	uint64_t count = load_relaxed(&sem->urwsem__count), new;

	do {
		if ((count & HANDOFF) && first->handoff && first != w)
			return false;
		if (count & URWSEM_LOCK_MASK) {
			if ((count & HANDOFF) || !has_aged_(w))
				return false;
			new = count | HANDOFF;
		} else {
			new = (count | WRITER) & ~HANDOFF;
			if (!first->next)
				new &= ~WAITERS;
		}
	} while (!take_for_writing(sem, &count, new));
	if (new & HANDOFF) {
		first->handoff = true;
		return false;
	}
	take_out_(sem, w);
	return true;
}

static int down_write_slowly(struct urwsem *sem, uint64_t timeout_ns)
{
	struct urwsem__waiter w = { .word = ASLEEP, .writes = true };
	struct wakes wakes = { NULL, NULL };
	uint64_t deadline_ns = port_deadline(timeout_ns);
	int err = 0;

	if (spin_for_write(sem, deadline_ns))
		return 0;
	w.aged_ns = port_now_ns() + URWSEM_HANDOFF_NS;
	lock_queue_(sem);
	append_(sem, &w);
	if (sem->urwsem__first == &w) {
		fetch_or(&sem->urwsem__count, WAITERS);
	} else {
		choose_if_free_(sem, load_relaxed(&sem->urwsem__count), &wakes);
		if (wakes.granted || wakes.writer) {
			unlock_queue_(sem);
			do_wakes_(&wakes);
			lock_queue_(sem);
		}
	}
	/* Time is up, unless we were woken: then it is our turn, and no other thread will be woken. */
	while ((err && w.word == ASLEEP) || !try_as_waiter(sem, &w)) {
		if (err) {
			leave_queue_(sem, &w);
			return err;
		}
		store_relaxed(&w.word, ASLEEP);
		unlock_queue_(sem);
		/* Relaxed, because wait_lock is taken before anything that depends on the word; O, again. */
		while (!err && load_relaxed(&w.word) == ASLEEP)
			err = port_futex_wait(&w.word, ASLEEP, deadline_ns);
		lock_queue_(sem);
	}
	unlock_queue_(sem);
	return 0;
}

int urwsem_down_write_timeout(struct urwsem *sem, uint64_t timeout_ns)
{
	uint64_t count = 0;

	if (!sem)
		return -EINVAL;
	return take_for_writing(sem, &count, WRITER) ? 0 : down_write_slowly(sem, timeout_ns);
}

int urwsem_down_write(struct urwsem *sem)
{
	return urwsem_down_write_timeout(sem, PORT_FOREVER);
}

int urwsem_down_write_trylock(struct urwsem *sem)
{
	uint64_t count = 0;

	if (!sem)
		return -EINVAL;
	return take_for_writing(sem, &count, WRITER) ? 0 : -EBUSY;
}

void urwsem_up_write(struct urwsem *sem)
{
	uint64_t count;

	check_object(sem, __func__);
	store_relaxed(&sem->urwsem__owner, 0);
	/* D (pairs with A, B, F): the section's accesses, then the writer bit. */
	count = fetch_add(&sem->urwsem__count, -WRITER);
	if (!(count & WRITER))
		port_fatal(__func__, "it must be held for writing", sem);
	if (count & WAITERS)
		wake_(sem, WAKE_ANY);
}

void urwsem_downgrade_write(struct urwsem *sem)
{
	uint64_t count;

	check_object(sem, __func__);
	/* E (pairs with A, F): what was written, then others may read it. */
	count = fetch_add(&sem->urwsem__count, READER - WRITER);
	if (!(count & WRITER))
		port_fatal(__func__, "it must be held for writing", sem);
	set_reader_owned_(sem);
	if (count & WAITERS)
		wake_(sem, WAKE_READ_OWNED);
}

/* ---- begin and end ---- */

int urwsem_init(struct urwsem *sem)
{
	if (!sem)
		return -EINVAL;
	*sem = (struct urwsem){ 0 };
	return 0;
}

int urwsem_destroy(struct urwsem *sem)
{
	if (!sem)
		return -EINVAL;
	/* Nothing to free (I6).  WAITERS stands for the whole queue (I2). */
	return load_acquire(&sem->urwsem__count) ? -EBUSY : 0;
}
