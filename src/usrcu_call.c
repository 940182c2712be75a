/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu_call and usrcu_barrier: callbacks that run after a grace period
 *
 * Terms.  The runner is the one thread, at any time, that runs the callbacks of a domain: the worker, or a thread in
 * usrcu_barrier or usrcu_run_callbacks that finds the role free.  No other call runs callbacks.
 *
 * State: struct callbacks in usrcu_impl.h.
 *
 * Algorithm
 *   1. usrcu_call pushes the callback on incoming, a stack.
 *   2. The runner makes batches odd, takes all of incoming as its batch, then takes a cookie, so that the grace period
 *      covers every callback in it.
 *   3. When the cookie's grace period is over it runs the batch, oldest first, and makes batches even.  If the grace
 *      period is not over it gives the role back; the batch waits for the next runner.
 *   4. Barrier reads batches once, and moves grace periods on, as the runner if the role is free, until either nothing
 *      is queued or the batch that its callbacks were in at the latest is done: batches names that one as the number of
 *      a grace period names a cookie.
 *
 * Why it is safe
 *   1. Exactly once: a callback leaves the stack with the exchange of one runner, and the batch before its function is
 *      called.  (usrcu-call)
 *   2. After a grace period: H of the cookie (usrcu.c) follows the exchange of 2, which follows the push, which follows
 *      the caller's unpublishing.  (usrcu-call; mutant CALL_EARLY)
 *   3. Barrier: a callback that was queued before is in incoming, or in the batch, or has run.  If batches is even when
 *      barrier reads it, the callback is in the next batch at the latest.  If it is odd, it may be in incoming while
 *      the runner has a batch, and is in the one after that.  (usrcu-barrier)
 *   4. Barrier looks before it sleeps, and a runner that gives the role back signals the event.  (usrcu-barrier-other)
 *   5. A runner comes to an end: it runs what was queued when it came, in whole batches; callbacks that these queue
 *      wait for the next.
 *   6. A callback that does not come back, because it throws or ends its thread, counts as returned: the role is given
 *      back as the stack unwinds, and the next runner goes on with the batch.  (t/usrcu/exception)
 *
 * Fork.  Pushes, takes and steps through a batch are sections of the gate.  So the child has each callback that no
 * other thread had begun to run, once.  One that a vanished thread was in is not run in the child.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | usrcu_call | the object's last stores before the push | release | B | a callback sees an old object | usrcu-call |
 * | B | taking the batch | the push before the cookie and the call | acquire | A | as A; a grace period too short | usrcu-call |
 * | C | giving the role back | the batch before runner | release | D | two runners in one batch | usrcu-two-runners-fenced |
 * | D | taking the role | runner before the batch | acquire | C | as C | usrcu-two-runners-fenced |
 * | E | the runner, after a batch | the callbacks' effects before batches | release | F | barrier returns early | usrcu-barrier |
 * | F | barrier | batches before what follows | acquire | E | as E | usrcu-barrier |
 * | G | barrier | its own calls before it reads batches | full | H | barrier takes the batch for one to come | usrcu-barrier-other |
 * | H | the runner, taking a batch | batches odd before it takes incoming | full | G | as G | usrcu-barrier-other |
 *
 * The order of sleeps and wakes is that of event.h.  G and H have no mutant: the push and the take are read-modify-writes
 * of one word, so a push that a take has missed comes after it and sees batches odd.
 */

#include "usrcu_impl.h"

#include <errno.h>

/* Callbacks that are turned round, or run, within one section of the gate. */
#define TURN_AT_ONCE 256

int usrcu_call(struct usrcu *d, struct usrcu_head *head, void (*func)(struct usrcu_head *head))
{
	struct usrcu_head *next;

	if (!d || !head || !func)
		return -EINVAL;
	next = load_relaxed(&d->callbacks.incoming);
	if (next == head)
		return -EBUSY; /* the one misuse of this kind that is seen at once */
	head->usrcu__func = func;
	head->usrcu__next = NULL; /* if the program handles faults there, then not in the gate */
	gate_enter();
	do {
		head->usrcu__next = next;
		/* A (pairs with B): the object before the push. */
	} while (!compare_exchange(&d->callbacks.incoming, &next, head));
	gate_leave();
	if (!next && d->callbacks.has_worker)
		event_signal(&d->event);
	return 0;
}

/* ---- the runner ---- */

/* Another thread has the role; or the worker does not have it yet, and it is meant to be the first. */
static bool is_taken(const struct callbacks *c)
{
	return process_has(load_acquire(&c->runner)) ||
	       (c->has_worker == process_generation() && !load_acquire(&c->worker_began));
}

static bool take_role(struct callbacks *c)
{
	uint64_t runner = load_acquire(&c->runner); /* D (pairs with C): runner before the batch */

	if (process_has(runner) || !compare_exchange(&c->runner, &runner, process_self()))
		return false;
	store_relaxed(&c->error, 0); /* a worker's that vanished with a fork */
	return true;
}

/* Also when an exception passes, or the thread ends: what was called counts as returned. */
static void give_role_back(struct usrcu **d)
{
	store_release_unless(ROLE_NO_RELEASE, &(*d)->callbacks.runner, 0); /* C (pairs with D): the batch before it */
	event_signal(&(*d)->event);
}

/* Have a batch, if there is anything to put in it. */
static bool stage(struct usrcu *d)
{
	struct callbacks *c = &d->callbacks;

	if (load_relaxed(&c->batches) & 1)
		return true;
	if (!load_relaxed(&c->incoming))
		return false;
	gate_enter();
	store_relaxed(&c->batches, load_relaxed(&c->batches) + 1);
	fence_full(); /* H (pairs with G): batches odd before the take */
	store_relaxed(&c->batch, exchange(&c->incoming, NULL)); /* B (pairs with A): the pushes before the cookie */
	store_relaxed(&c->due, usrcu_get_state(d));
	gate_leave();
	return true;
}

/* Turn the batch round, a stretch at a time: forks wait for sections of the gate. */
static void put_in_order(struct callbacks *c)
{
	struct usrcu_head *head;

	while (load_relaxed(&c->batch)) {
		gate_enter();
		for (int i = 0; i < TURN_AT_ONCE && (head = load_relaxed(&c->batch)); i++) {
			store_relaxed(&c->batch, head->usrcu__next);
			head->usrcu__next = load_relaxed(&c->ordered);
			store_relaxed(&c->ordered, head);
		}
		gate_leave();
	}
}

static struct usrcu_head *next_callback(struct callbacks *c)
{
	struct usrcu_head *head;

	gate_enter();
	head = load_relaxed(&c->ordered);
	if (head)
		store_relaxed(&c->ordered, head->usrcu__next); /* before the call, which may free it */
	gate_leave();
	return head;
}

static void run_batch(struct callbacks *c)
{
	struct usrcu_head *head;

	put_in_order(c);
	while ((head = next_callback(c)))
		head->usrcu__func(head);
	/* E (pairs with F): the callbacks' effects before batches. */
	store_release_unless(RAN_NO_RELEASE, &c->batches, load_relaxed(&c->batches) + 1);
}

/* The number of the batch that callbacks queued by now are in at the latest: batches is at least that when it is done. */
static uint64_t last_batch(struct usrcu *d)
{
	fence_full(); /* G (pairs with H): the caller's own calls before batches */
	return (load_relaxed(&d->callbacks.batches) + 3) & ~(uint64_t)1;
}

static bool is_done(const struct usrcu *d, uint64_t batch)
{
	/* F (pairs with E): the callbacks' effects before what follows. */
	return (int64_t)(load_acquire(&d->callbacks.batches) - batch) >= 0 || usrcu_no_callbacks_(d);
}

/* In the worker's own child, if it forked in a callback, it is still the runner. */
static bool is_runner(const struct usrcu *d)
{
	return process_is_me(load_relaxed(&d->callbacks.runner));
}

static int wait_until_due(struct usrcu *d)
{
	return usrcu_wait_(d, load_relaxed(&d->callbacks.due), USRCU_SPIN_NS, PORT_FOREVER);
}

/*
 * As the runner, which the caller is: run what is due of the batches up to @batch; with @wait, wait for them to be due.
 * 0 or -errno.
 */
static int run_callbacks(struct usrcu *d, uint64_t batch, bool wait)
{
	struct usrcu *role __attribute__((cleanup(give_role_back))) = d;
	struct callbacks *c = &role->callbacks;
	int rc;

	while (!is_done(d, batch) && stage(d)) {
		rc = wait ? wait_until_due(d) : usrcu_advance_(d, load_relaxed(&c->due));
		if (broken_if(CALL_EARLY, false, rc != !wait))
			return rc < 0 ? rc : 0;
		run_batch(c);
	}
	return 0;
}

bool usrcu_no_callbacks_(const struct usrcu *d)
{
	const struct callbacks *c = &d->callbacks;
	/* E and F are for this look too.  Read first, since a take goes from incoming to odd batches. */
	bool none_incoming = !load_acquire(&c->incoming);

	return none_incoming && !(load_acquire(&c->batches) & 1);
}

int usrcu_run_callbacks(struct usrcu *d)
{
	if (!d)
		return -EINVAL;
	if (usrcu_in_section_(d) || is_runner(d))
		return -EDEADLK;
	return !is_taken(&d->callbacks) && take_role(&d->callbacks) ? run_callbacks(d, last_batch(d), false) : 0;
}

int usrcu_barrier(struct usrcu *d)
{
	uint64_t batch;
	uint32_t seen;
	int rc = 0;

	if (!d)
		return -EINVAL;
	if (usrcu_in_section_(d) || is_runner(d))
		return -EDEADLK;
	batch = last_batch(d);
	while (!is_done(d, batch) && rc == 0) {
		if (!is_taken(&d->callbacks) && take_role(&d->callbacks)) {
			rc = run_callbacks(d, batch, true);
			continue;
		}
		seen = event_prepare(&d->event);
		rc = broken_if(BARRIER_NO_ERROR, 0, load_relaxed(&d->callbacks.error));
		if (rc == 0 && !is_done(d, batch) && is_taken(&d->callbacks))
			event_wait(&d->event, seen, PORT_FOREVER);
	}
	return rc;
}

/* ---- the worker ---- */

/* Sleep until something is queued: true, or the worker is to stop: false. */
static bool wait_for_work(struct usrcu *d)
{
	uint32_t seen;

	for (;;) {
		seen = event_prepare(&d->event);
		if (load_acquire(&d->callbacks.stop))
			return false;
		if (!usrcu_no_callbacks_(d))
			return true;
		event_wait(&d->event, seen, PORT_FOREVER);
	}
}

/* It keeps the role.  If a callback ends its thread, barriers run the callbacks from then on. */
static void *work(void *arg)
{
	struct usrcu *d = arg;
	struct callbacks *c = &d->callbacks;
	int rc;

	take_role(c);
	store_release(&c->worker_began, 1);
	{
		struct usrcu *role __attribute__((cleanup(give_role_back))) = d;

		while (wait_for_work(role)) {
			stage(d);
			/* If membarrier is refused the callbacks stay: leaked, not run early.  Barriers return the error. */
			while ((rc = wait_until_due(d))) {
				store_relaxed(&c->error, rc);
				event_signal(&d->event);
				if (load_acquire(&c->stop))
					return NULL;
				port_futex_wait(&c->stop, 0, port_deadline(1000000000));
			}
			store_relaxed(&c->error, 0);
			run_batch(c);
			event_signal(&d->event); /* barriers */
		}
	}
	return NULL;
}

int usrcu_start_worker_(struct usrcu *d)
{
	int rc;

	d->callbacks.has_worker = process_generation(); /* before any thread can call */
	rc = port_thread_start(&d->callbacks.worker, work, d);
	if (rc)
		d->callbacks.has_worker = 0;
	return rc;
}

void usrcu_stop_worker_(struct usrcu *d)
{
	struct callbacks *c = &d->callbacks;
	uint32_t seen;

	if (!c->has_worker)
		return;
	store_release(&c->stop, 1);
	event_signal(&d->event);
	port_futex_wake(&c->stop, 1);
	if (c->has_worker == process_generation())
		port_thread_join(&c->worker);
	/* In the child of a fork by the worker it is there, but no thread to be joined. */
	for (;;) {
		seen = event_prepare(&d->event);
		if (!process_has(load_acquire(&c->runner)))
			break;
		event_wait(&d->event, seen, PORT_FOREVER);
	}
	c->has_worker = 0;
}
