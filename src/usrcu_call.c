/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu_call and usrcu_barrier: callbacks that run after a grace period
 *
 * Terms.  The runner is the one thread, at any time, that runs the callbacks of a domain: the
 * worker, or whoever polls, synchronizes or calls barrier and finds the role free.
 *
 * State: struct callbacks in usrcu_impl.h.
 *
 * Algorithm
 *   1. usrcu_call counts the callback in queued and pushes it on incoming, a stack.
 *   2. The runner takes all of incoming as its batch, oldest first, then takes a cookie, so
 *      that the grace period covers every callback in it.
 *   3. When the cookie's grace period is over it runs the batch, counting in ran, and takes the
 *      next.  Otherwise it gives the role back; the batch waits for the next runner.
 *   4. Barrier reads queued and moves grace periods on until ran has reached it.
 *
 * Why it is safe
 *   1. Exactly once: a callback leaves the stack with the exchange of one runner, and the batch
 *      before its function is called.  (usrcu-call)
 *   2. After a grace period: H of the cookie (usrcu.c) follows the exchange of 2, which follows
 *      the push, which follows the caller's unpublishing.  (usrcu-call; mutant CALL_EARLY)
 *   3. Barrier: callbacks run in the order of their pushes and every push is counted before it
 *      is made.  At most queued callbacks were pushed before barrier read it, and they are the
 *      first ones.  (usrcu-barrier)
 *   4. A callback pushed while a runner gives the role back waits for the next one, which is
 *      what usrcu_call promises; the worker and barrier look again before they sleep, and who
 *      gives the role back wakes them.  (usrcu-barrier-other)
 *   5. A runner that polls comes to an end: it runs what was queued when it came, in whole
 *      batches, and callbacks that these queue wait for the next.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | usrcu_call | the object's last stores before the push | full, implied | B | a callback sees an old object | usrcu-call |
 * | B | taking the batch | the push before the cookie and the call | full, implied | A | as A; a grace period too short | usrcu-call |
 * | C | giving the role back | the batch before running; running before the look at sleepers | full, implied | D, G | two runners in one batch; a barrier sleeps for ever | usrcu-two-runners, usrcu-barrier-other |
 * | D | taking the role | running before the batch | full, implied | C | as C | usrcu-two-runners |
 * | E | the runner, after a callback | its effects before ran | release | F | barrier returns early | usrcu-barrier |
 * | G | before barrier sleeps | sleepers before the look at running | full, implied | C | as C | usrcu-barrier-other |
 * | F | barrier | ran before what follows | acquire | E | as E | usrcu-barrier |
 */

#include "usrcu_impl.h"

#include <errno.h>

int usrcu_call(struct usrcu *d, struct usrcu_head *head, void (*func)(struct usrcu_head *head))
{
	struct usrcu_head *next;

	if (!d || !head || !func)
		return -EINVAL;
	head->usrcu__func = func;
	fetch_add(&d->callbacks.queued, 1);
	next = load_relaxed(&d->callbacks.incoming);
	do {
		head->usrcu__next = next;
		/* A (pairs with B): the exchange is a full fence. */
	} while (!compare_exchange(&d->callbacks.incoming, &next, head));
	if (!next && d->callbacks.has_worker)
		usrcu_wake_sleepers_(d);
	return 0;
}

static struct usrcu_head *reversed(struct usrcu_head *head)
{
	struct usrcu_head *done = NULL, *next;

	for (; head; head = next) {
		next = head->usrcu__next;
		head->usrcu__next = done;
		done = head;
	}
	return done;
}

/* Have a batch, if there is anything to put in it. */
static bool stage(struct usrcu *d)
{
	struct callbacks *c = &d->callbacks;

	if (c->batch)
		return true;
	if (!load_relaxed(&c->incoming))
		return false;
	port_mutex_lock(&d->lock); /* against fork: none is between the two lists */
	/* B (pairs with A): the pushes come before the cookie. */
	c->batch = reversed(exchange(&c->incoming, NULL));
	c->due = usrcu_get_state(d);
	port_mutex_unlock(&d->lock);
	return true;
}

static void run_batch(struct callbacks *c)
{
	struct usrcu_head *head;

	while ((head = c->batch)) {
		c->batch = head->usrcu__next; /* before the call, which may free it */
		head->usrcu__func(head);
		if (MUTANT(RAN_NO_RELEASE))
			store_relaxed(&c->ran, c->ran + 1);
		else
			store_release(&c->ran, c->ran + 1); /* E (pairs with F): its effects before ran */
	}
}

void usrcu_run_callbacks_(struct usrcu *d)
{
	struct callbacks *c = &d->callbacks;
	uint64_t target = load_relaxed(&c->queued);
	int cancel;

	if (c->has_worker || load_acquire(&c->ran) == target)
		return;
	if (exchange(&c->running, 1)) /* D (pairs with C): the batch is ours now */
		return;
	cancel = port_cancel_disable(); /* a callback that vanished would keep the role */
	store_relaxed(&c->runner, port_self());
	/* Only what was queued when we came: a callback may queue itself for ever. */
	while ((int64_t)(c->ran - target) < 0 && stage(d) &&
	       (MUTANT(CALL_EARLY) || usrcu_advance_(d, c->due) == 1))
		run_batch(c);
	store_relaxed(&c->runner, NULL);
	/* C (pairs with D, G): the batch before the role is free; that before the look for barriers. */
	if (MUTANT(ROLE_NO_FENCE))
		store_release(&c->running, 0);
	else
		exchange(&c->running, 0);
	if (load_relaxed(&d->sleepers))
		usrcu_wake_sleepers_(d);
	port_cancel_restore(cancel);
}

bool usrcu_no_callbacks_(const struct usrcu *d)
{
	return load_acquire(&d->callbacks.ran) == load_relaxed(&d->callbacks.queued);
}

/* Sleep until a runner has run something or the worker has something to do. */
static void sleep_unless(struct usrcu *d, bool (*reason)(struct usrcu *d, uint64_t arg), uint64_t arg)
{
	uint32_t seen;

	fetch_add(&d->sleepers, 1); /* G (pairs with C): I am seen, or I see that the role is free */
	seen = load_acquire(&d->wakes);
	if (reason(d, arg))
		fetch_add(&d->sleepers, -1);
	else
		usrcu_sleep_(d, seen, PORT_FOREVER);
}

static bool reached(struct usrcu *d, uint64_t target)
{
	/* F (pairs with E): the callbacks' effects come before what follows barrier. */
	return (int64_t)(load_acquire(&d->callbacks.ran) - target) >= 0;
}

/* Nothing to sleep for: the target is reached, or the role of the runner is free to take. */
static bool reached_or_free(struct usrcu *d, uint64_t target)
{
	return reached(d, target) ||
	       (!d->callbacks.has_worker && !load_acquire(&d->callbacks.running));
}

int usrcu_barrier(struct usrcu *d)
{
	uint64_t target;
	int cancel, rc = 0;

	if (!d)
		return -EINVAL;
	if (usrcu_in_section_(d) || load_relaxed(&d->callbacks.runner) == port_self())
		return -EDEADLK;
	target = fetch_add(&d->callbacks.queued, 0); /* a full fence: not older than the caller's own */
	cancel = port_cancel_disable();
	while (!reached(d, target) && rc == 0) {
		rc = usrcu_wait_(d, usrcu_get_state(d), USRCU_SPIN_NS, PORT_FOREVER);
		usrcu_run_callbacks_(d);
		if (rc == 0)
			sleep_unless(d, reached_or_free, target);
		port_relax(); /* a callback may be counted and not pushed yet */
	}
	port_cancel_restore(cancel);
	return rc;
}

/* ---- the worker: the only runner of its domain ---- */

static bool has_work(struct usrcu *d, uint64_t unused)
{
	(void)unused;
	return load_acquire(&d->callbacks.incoming) || load_acquire(&d->callbacks.stop);
}

static void *work(void *arg)
{
	struct usrcu *d = arg;
	struct callbacks *c = &d->callbacks;

	store_relaxed(&c->runner, port_self());
	for (;;) {
		sleep_unless(d, has_work, 0);
		if (load_acquire(&c->stop))
			return NULL;
		if (!stage(d))
			continue;
		/* Where membarrier is refused the callbacks stay: leaked, not run early. */
		while (usrcu_wait_(d, c->due, USRCU_SPIN_NS, PORT_FOREVER)) {
			if (load_acquire(&c->stop))
				return NULL;
			usrcu_wake_sleepers_(d); /* barriers are to see the error too */
			port_futex_wait(&c->stop, 0, port_deadline(1000000000));
		}
		run_batch(c);
		usrcu_wake_sleepers_(d); /* barriers */
	}
}

int usrcu_start_worker_(struct usrcu *d)
{
	int rc;

	d->callbacks.has_worker = true; /* before the worker looks */
	rc = port_thread_start(&d->callbacks.worker, work, d);
	if (rc)
		d->callbacks.has_worker = false;
	return rc;
}

void usrcu_stop_worker_(struct usrcu *d)
{
	if (!d->callbacks.has_worker)
		return;
	store_release(&d->callbacks.stop, 1);
	usrcu_wake_sleepers_(d);
	port_futex_wake(&d->callbacks.stop, 1);
	port_thread_join(&d->callbacks.worker);
	d->callbacks.has_worker = false;
}

static uint64_t length(const struct usrcu_head *head)
{
	uint64_t n = 0;

	for (; head; head = head->usrcu__next)
		n++;
	return n;
}

/*
 * The worker and other threads that ran callbacks do not exist here; pollers take over.  A
 * callback that such a thread was about to push, or was in, is its own: it is not run here, and
 * nobody waits for it.
 */
void usrcu_callbacks_after_fork_(struct usrcu *d)
{
	struct callbacks *c = &d->callbacks;
	bool mine = c->runner == port_self();

	c->has_worker = false;
	if (!mine) {
		c->runner = NULL;
		c->running = 0;
		if (c->batch)
			c->due = usrcu_get_state(d);
	}
	c->queued = c->ran + (mine ? 1 : 0) + length(c->batch) + length(c->incoming);
}
