/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu: sections and grace periods of one domain
 *
 * Terms.  A section is counted under an index, 0 or 1: the domain's at the time it began.  A
 * grace period waits until it has seen each index empty.  A flip changes the index that new
 * sections use.
 *
 * State
 *   slot->open[i]    this thread's open sections; written by that thread alone
 *   slot->down[i]    handed-over sections that this thread began, a running total; its own
 *   slot->up[i]      handed-over sections that this thread ended, whoever began them; its own
 *   d->fallback      the same totals for threads without a slot; read-modify-writes
 *   d->head.index    what new sections use; written under d->lock
 *   d->head.waiting  a sleeping grace period asks to be woken; set under d->lock, cleared by
 *                    the reader that wakes it
 *   d->seq, need, flipped   the grace period; under d->lock, seq read without it
 *
 * Algorithm.  A section:
 *   1. i = d->head.index; open[i]++; light fence A.                           usrcu_inline.h
 *   2. ... the section ...
 *   3. open[i]-- as a release, B; light fence E; if waiting[i], wake the sleepers.
 *   Handed over, 1 is down[i]++ and 3 is up[i]++, in whatever threads.
 * A grace period is a state machine that whoever waits or polls moves on, under d->lock:
 *   4. seq becomes odd, G; heavy fence C; need = both indexes.
 *   5. Look at the indexes that are needed: i is empty if every slot's open[i] is zero, and the
 *      sum of all up[i], taken first, equals the sum of all down[i].  An empty one is needed no
 *      more.
 *   6. Once only the current index is needed, flip, once.
 *   7. When none is needed, seq becomes even and the sleepers are woken.
 *   8. A sleeper says so in waiting[] of the index that it needs, heavy fence F, looks again as
 *      in 5, and sleeps.
 * A cookie is the value of seq at the end of the next grace period that starts from now.
 *
 * Why it is safe
 *   1. A section that began before C is counted where 5 looks, or it sees all that came before
 *      C: A and C are the two sides of a store buffering test.  (usrcu-sb, usrcu-two-readers)
 *   2. An index is needed until it was seen empty once after C.  Each slot is judged by itself:
 *      open[i] is written by one thread, so that a zero seen after C means that the thread's
 *      sections from before C are over, whatever it does later; no two slots must be seen at
 *      the same time.  Only handed-over sections need sums, since their two counts are in
 *      different slots: every end that is counted has its beginning counted too, because the
 *      ends are read first, so equal sums leave no beginning without its end.
 *      (usrcu-handover; mutant GP_DOWNS_FIRST)
 *   3. A stale index is harmless: a reader that read the index before a flip and counts itself
 *      after it counts under an index that is either still needed, and is waited for though it
 *      need not be, or seen empty already, and then it began after C.  (usrcu-two-grace-periods)
 *   4. What a section did is seen after the grace period: B and D.  (usrcu-mp)
 *   5. A cookie reads true only for a grace period whose C came after the cookie's full fence:
 *      if the cookie's thread has not seen seq odd (G), its fence precedes C.  (usrcu-cookie)
 *   6. No sleeper is left behind: E and F are again two sides of a store buffering test; who
 *      clears waiting[] changes wakes after it.  (usrcu-sleep, usrcu-two-synchronizers)
 *   7. A reader may still be between the count of 3 and its look at waiting[] when the grace
 *      period ends and the domain is destroyed: the memory of domains is never given back to
 *      the system, only used for later domains, which bear a stray wake.  (usrcu-destroy)
 *   8. Where C or F fail nothing has been waited for: the state goes back to where it was, the
 *      error is returned.  (usrcu-membarrier-fails)
 *
 * Progress.  Sections of the index that is not current are those from before the last flip and
 * the stale ones: both run out.  After the flip the other index runs out too, so that readers
 * that always overlap cannot hold a grace period up.  Readers wait for nobody.
 *
 * Cost.  With no section open: one membarrier(2) and one pass over the slots, without a flip.
 *
 * Wrap.  seq and the totals are 64 bits wide and compared by difference; a new domain starts
 * them just below zero, so that every user passes the wrap.
 *
 * Fork.  The child keeps the forking thread's sections; those of the others are struck out.  A
 * handed-over section, or one without a slot, belongs to no thread and stays open.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | read_lock, down_read | my count before the section's accesses | light | C | freed while a section that is not counted uses it | usrcu-sb |
 * | B | read_unlock, up_read | the section's accesses before my count | release | D | freed before the section's last access | usrcu-mp |
 * | C | start of a grace period | the caller's stores before the look at the counts | heavy | A | as A | usrcu-sb |
 * | D | the look at the counts | the counts before what follows the grace period; ups before downs | acquire | B | as B; a handed-over section missed | usrcu-mp |
 * | E | read_unlock, up_read | my count before the look at waiting | light | F | a sleeper nobody wakes | usrcu-sleep |
 * | F | before sleeping | waiting before the last look at the counts | heavy | E | as E | usrcu-sleep |
 * | G | seq becomes odd | seq before C | full | H | a cookie that reads true early | usrcu-cookie |
 * | H | taking a cookie | the caller's stores before the load of seq | full | G | as G | usrcu-cookie |
 * | I | seq becomes even | the grace period before its end is seen | release | J | as B, for those who only poll | usrcu-poll |
 * | J | seq is read by who waits or polls | the end of the grace period before what follows | acquire, full | I | as I | usrcu-poll |
 *
 * Lock order: the registry's lock of slots.c (at fork), then d->lock.
 *
 * Sources: Linux kernel/rcu/srcutree.c v6.12 (two indexes, unlocks summed before locks, cookies);
 * Desnoyers et al., "User-Level Implementations of Read-Copy Update", 2012 (membarrier).
 * Different from Linux: counters per thread, so that an ordinary section needs one counter,
 * each is judged alone, a section's owner is known, and the first look may end the grace period
 * without a flip; no fence after the flip, which there bounds the wrap of 32-bit counters.
 */

#define USRCU__DEFINE /* the read side is compiled here, for callers that do not inline it */
#include "usrcu_impl.h"

#include <errno.h>
#include <limits.h>

_Static_assert(sizeof(struct usrcu_slot) == 64, "a slot is a cache line");

enum { TOKEN_FALLBACK = 4 };

/* ---- the read side where it is not inlined ---- */

static struct usrcu_slot *my_slot(struct usrcu *d)
{
	struct usrcu_slot *slot = slots_mine(&d->slots);

	if (slot)
		return slot;
	slot = slots_claim(&d->slots);
	if (slot)
		store_relaxed(&slot->tid, (uint64_t)port_tid()); /* for reports alone */
	return slot;
}

static void look_for_sleeper(struct usrcu *d, uint32_t index)
{
	if (!MUTANT(UNLOCK_NO_FENCE))
		fence_light(d->membarrier); /* E (pairs with F): my count before the look at waiting */
	if (load_relaxed(&d->head.waiting[index]))
		usrcu__wake(d, (int)index);
}

static int token_of(const struct usrcu *d, uint32_t index)
{
	return (int)index | (d->membarrier ? 0 : USRCU__TOKEN_SLOW);
}

int usrcu__read_lock_slow(struct usrcu *d)
{
	struct usrcu_slot *slot = my_slot(d);
	uint32_t index = load_relaxed(&d->head.index); /* either is safe: 3 above */

	if (!slot) {
		++*port_fallback_sections();
		fetch_add(&d->fallback.down[index], 1); /* A, by being a full fence */
		return (int)index | USRCU__TOKEN_SLOW | TOKEN_FALLBACK;
	}
	own_inc(&slot->open[index]);
	if (!MUTANT(LOCK_NO_FENCE))
		fence_light(d->membarrier); /* A (pairs with C): my count before the section */
	return token_of(d, index);
}

void usrcu__read_unlock_slow(struct usrcu *d, int token)
{
	struct usrcu_slot *slot = slots_mine(&d->slots);
	uint32_t index = (uint32_t)token & 1;

	if (token & USRCU__TOKEN_HANDED)
		port_fatal("usrcu_read_unlock", "the section is one for usrcu_up_read", d);
	if (token & TOKEN_FALLBACK) {
		if (!*port_fallback_sections())
			usrcu__unbalanced(d);
		--*port_fallback_sections();
		fetch_add(&d->fallback.up[index], 1); /* B, by being a full fence */
	} else if (!slot || own_dec(&slot->open[index])) { /* B (pairs with D): the section first */
		usrcu__unbalanced(d);
	}
	look_for_sleeper(d, index);
}

int usrcu__down_read_slow(struct usrcu *d)
{
	struct usrcu_slot *slot = my_slot(d);
	uint32_t index = load_relaxed(&d->head.index);

	if (slot)
		own_inc(&slot->down[index]);
	else
		fetch_add(&d->fallback.down[index], 1);
	if (!MUTANT(LOCK_NO_FENCE))
		fence_light(d->membarrier); /* A, as in usrcu__read_lock_slow */
	return (int)index | USRCU__TOKEN_HANDED;
}

void usrcu__up_read_slow(struct usrcu *d, int token)
{
	struct usrcu_slot *slot = my_slot(d);
	uint32_t index = (uint32_t)token & 1;

	if (!(token & USRCU__TOKEN_HANDED))
		port_fatal("usrcu_up_read", "the section is one for usrcu_read_unlock", d);
	if (slot)
		own_inc(&slot->up[index]); /* B, as in usrcu__read_unlock_slow */
	else
		fetch_add(&d->fallback.up[index], 1);
	look_for_sleeper(d, index);
}

void usrcu__unbalanced(struct usrcu *d)
{
	port_fatal("usrcu_read_unlock", "no such section is open in this thread", d);
}

bool usrcu_in_section_(const struct usrcu *d)
{
	const struct usrcu_slot *slot = slots_mine(&d->slots);

	if (*port_fallback_sections())
		return true;
	return slot && (load_relaxed(&slot->open[0]) || load_relaxed(&slot->open[1]));
}

bool usrcu_read_lock_held(const struct usrcu *d)
{
	return d && usrcu_in_section_(d);
}

/* ---- the grace period; all under d->lock ---- */

uint32_t usrcu_open_indexes_(struct usrcu *d, uint32_t need)
{
	uint64_t up[2], down[2];
	struct usrcu_slot *slot;
	uint32_t open = 0;
	int i;

	/* D (pairs with B): acquire, so that all ends are read before any beginning below, and
	 * what the sections did is seen by whoever sees the end of the grace period. */
	for (i = 0; i < 2; i++) {
		if (MUTANT(GP_DOWNS_FIRST))
			down[i] = load_acquire(&d->fallback.down[i]);
		up[i] = MUTANT(GP_IGNORE_SHARED) ? 0 : load_acquire(&d->fallback.up[i]);
	}
	if (MUTANT(GP_DOWNS_FIRST))
		for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); )
			for (i = 0; i < 2; i++)
				down[i] += load_acquire(&slot->down[i]);
	for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); ) {
		for (i = 0; i < 2; i++) {
			if (load_acquire(&slot->open[i]))
				open |= 1u << i;
			up[i] += load_acquire(&slot->up[i]);
		}
	}
	open &= need;
	if (open == need)
		return open;
	if (!MUTANT(GP_DOWNS_FIRST)) {
		/* Relaxed: a beginning from before C is in memory since C. */
		for (i = 0; i < 2; i++)
			down[i] = MUTANT(GP_IGNORE_SHARED) ? 0 : load_relaxed(&d->fallback.down[i]);
		for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); )
			for (i = 0; i < 2; i++)
				down[i] += load_relaxed(&slot->down[i]);
	}
	for (i = 0; i < 2; i++) {
		if ((int64_t)(down[i] - up[i]) < 0 && !MUTANT(GP_DOWNS_FIRST))
			port_fatal("usrcu_up_read", "more sections were ended than begun", d);
		if (up[i] != down[i])
			open |= need & 1u << i;
	}
	return open;
}

static int start(struct usrcu *d)
{
	int rc;

	if (!MUTANT(SEQ_AFTER_FENCE))
		store_relaxed(&d->seq, d->seq + 1);
	/* C (pairs with A): the stores of all whose cookies this grace period will serve come
	 * before the look at the counts.
	 * G (pairs with H): seq is odd before that, so that later cookies do not count on it. */
	rc = MUTANT(GP_NO_FENCE) ? 0 : fence_heavy(d->membarrier);
	if (MUTANT(SEQ_AFTER_FENCE))
		store_relaxed(&d->seq, d->seq + 1);
	if (rc && !MUTANT(FENCE_ERROR_IGNORED)) {
		/* Cookies taken meanwhile ask for one grace period more than they need. */
		store_relaxed(&d->seq, d->seq - 1);
		return rc;
	}
	d->need = 3;
	d->flipped = false;
	return 0;
}

static void finish(struct usrcu *d)
{
	store_relaxed(&d->head.waiting[0], 0); /* stale ones; the lock orders them with F */
	store_relaxed(&d->head.waiting[1], 0);
	store_release(&d->seq, d->seq + 1); /* I (pairs with J): the end is seen after the counts */
	if (!MUTANT(SLEEP_NO_WAKE) && load_relaxed(&d->sleepers)) /* changed under the lock */
		usrcu_wake_sleepers_(d);
}

/* One step of the grace period, starting one if none is under way.  0 or -errno. */
static int step(struct usrcu *d)
{
	uint32_t current;
	int rc;

	if (!(d->seq & 1)) {
		rc = start(d);
		if (rc)
			return rc;
	}
	current = 1u << d->head.index;
	d->need &= usrcu_open_indexes_(d, d->need);
	if (MUTANT(GP_NO_FIRST_WAIT) && !d->flipped)
		d->need &= current;
	if (d->need == current && !d->flipped) {
		if (!MUTANT(GP_NO_FLIP))
			store_relaxed(&d->head.index, !d->head.index); /* a stale one is harmless: 3 */
		d->flipped = true;
		if (MUTANT(GP_NO_SECOND_WAIT))
			d->need = 0;
	}
	if (!d->need)
		finish(d);
	return 0;
}

bool usrcu_is_over_(const struct usrcu *d, usrcu_cookie_t cookie)
{
	if ((int64_t)(load_acquire(&d->seq) - cookie) < 0) /* J (pairs with I): the end first */
		return false;
	fence_full(); /* J: what follows is ordered as after synchronize */
	return true;
}

/* The same under the lock: step until it is over or a reader must be waited for. */
static int advance_locked(struct usrcu *d, usrcu_cookie_t cookie)
{
	while (!usrcu_is_over_(d, cookie)) {
		int rc = step(d);

		if (rc)
			return rc;
		if (d->need)
			return 0;
	}
	return 1;
}

int usrcu_advance_(struct usrcu *d, usrcu_cookie_t cookie)
{
	int rc;

	port_mutex_lock(&d->lock);
	rc = advance_locked(d, cookie);
	port_mutex_unlock(&d->lock);
	return rc;
}

/* ---- sleeping and waking ---- */

void usrcu_wake_sleepers_(struct usrcu *d)
{
	fetch_add(&d->wakes, 1);
	port_futex_wake(&d->wakes, INT_MAX);
}

/*
 * A reader ends a section that a sleeper may be waiting for.  waiting is cleared before wakes
 * changes: whoever sets it again read wakes before that, and so does not sleep through this.
 */
void usrcu__wake(struct usrcu *d, int index)
{
	store_relaxed(&d->head.waiting[index], 0);
	usrcu_wake_sleepers_(d);
}

int usrcu_sleep_(struct usrcu *d, uint32_t seen, uint64_t deadline_ns)
{
	int rc = port_futex_wait(&d->wakes, seen, deadline_ns);

	fetch_add(&d->sleepers, -1);
	return rc;
}

/* The indexes whose sections the grace period waits for now: before the flip, not the current. */
static uint32_t awaited(const struct usrcu *d)
{
	return d->flipped ? d->need : d->need & ~(1u << d->head.index);
}

/* Ask the readers to wake, look once more, sleep.  1: over; 0: look again; -errno. */
static int sleep_on_readers(struct usrcu *d, usrcu_cookie_t cookie, uint64_t deadline_ns)
{
	uint32_t seen, asked = 0;
	int rc;

	port_mutex_lock(&d->lock);
	fetch_add(&d->sleepers, 1);
	seen = load_acquire(&d->wakes);
	rc = advance_locked(d, cookie);
	while (rc == 0 && asked != awaited(d)) {
		asked = awaited(d);
		for (int i = 0; i < 2; i++)
			if (asked & 1u << i)
				store_relaxed(&d->head.waiting[i], 1);
		/* F (pairs with E): a reader that does not see waiting is seen to have ended. */
		rc = MUTANT(SLEEP_NO_FENCE) ? 0 : fence_heavy(d->membarrier);
		if (rc == 0)
			rc = advance_locked(d, cookie);
	}
	port_mutex_unlock(&d->lock);
	if (rc == 0)
		return usrcu_sleep_(d, seen, deadline_ns);
	fetch_add(&d->sleepers, -1);
	return rc;
}

/* Who holds the grace period up; a hint, since sections come and go meanwhile. */
static void report_stall(struct usrcu *d, uint64_t age_ns)
{
	struct usrcu_slot *slot;
	uint64_t tid = 0;

	for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); )
		for (int i = 0; i < 2; i++)
			if (load_relaxed(&d->need) & 1u << i && load_relaxed(&slot->open[i]))
				tid = load_relaxed(&slot->tid);
	if (tid)
		usrcu_report_(d, "a grace period has waited %llu ms, for a section of thread %llu",
			      (unsigned long long)age_ns / 1000000, (unsigned long long)tid);
	else
		usrcu_report_(d, "a grace period has waited %llu ms, for a handed-over section",
			      (unsigned long long)age_ns / 1000000);
}

int usrcu_wait_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns)
{
	uint64_t begin = 0, spin_end = 0, stall = PORT_FOREVER;
	int rc;

	for (;;) {
		rc = usrcu_advance_(d, cookie);
		if (rc)
			return rc < 0 ? rc : 0;
		if (!begin) {
			begin = port_now_ns();
			spin_end = begin + spin_ns < deadline_ns ? begin + spin_ns : deadline_ns;
			if (d->stall_ns)
				stall = begin + d->stall_ns;
		}
		if (port_spin(spin_end))
			continue;
		rc = sleep_on_readers(d, cookie, stall < deadline_ns ? stall : deadline_ns);
		if (rc == -ETIMEDOUT && stall < deadline_ns) {
			report_stall(d, port_now_ns() - begin);
			stall = PORT_FOREVER;
			rc = 0;
		}
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

/* ---- the public face of the grace period ---- */

usrcu_cookie_t usrcu_get_state(struct usrcu *d)
{
	if (!MUTANT(COOKIE_NO_FENCE))
		fence_full(); /* H (pairs with G): what the caller retired comes before the load of seq */
	if (MUTANT(COOKIE_EARLY))
		return (load_acquire(&d->seq) + 2) & ~(uint64_t)1;
	return (load_acquire(&d->seq) + 3) & ~(uint64_t)1;
}

usrcu_cookie_t usrcu_start_poll(struct usrcu *d)
{
	usrcu_cookie_t cookie = usrcu_get_state(d);

	usrcu_poll_state(d, cookie);
	return cookie;
}

bool usrcu_poll_state(struct usrcu *d, usrcu_cookie_t cookie)
{
	bool over = usrcu_is_over_(d, cookie);

	/* Another thread in the lock moves the grace period on as well. */
	if (!over && port_mutex_trylock(&d->lock)) {
		over = advance_locked(d, cookie) == 1;
		port_mutex_unlock(&d->lock);
	}
	if (!usrcu_in_section_(d))
		usrcu_run_callbacks_(d);
	return over;
}

static int synchronize(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns)
{
	int cancel, rc;

	if (usrcu_in_section_(d))
		return -EDEADLK;
	cancel = port_cancel_disable(); /* a thread that vanished here would be waited for */
	rc = usrcu_wait_(d, cookie, spin_ns, deadline_ns);
	usrcu_run_callbacks_(d);
	port_cancel_restore(cancel);
	return rc;
}

int usrcu_synchronize(struct usrcu *d)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_SPIN_NS, PORT_FOREVER) : -EINVAL;
}

int usrcu_synchronize_expedited(struct usrcu *d)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_EXPEDITED_SPIN_NS, PORT_FOREVER) : -EINVAL;
}

int usrcu_synchronize_timeout(struct usrcu *d, uint64_t timeout_ns)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_SPIN_NS, port_deadline(timeout_ns)) : -EINVAL;
}

int usrcu_cond_synchronize(struct usrcu *d, usrcu_cookie_t cookie)
{
	if (!d)
		return -EINVAL;
	return usrcu_is_over_(d, cookie) ? 0 : synchronize(d, cookie, USRCU_SPIN_NS, PORT_FOREVER);
}
