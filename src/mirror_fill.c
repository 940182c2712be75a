/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Fills: a mirror that copies what a range holds, while brackets come and go
 *
 * Terms.  A fill is the code between mirror_read_begin and mirror_read_retry.  A mirror takes part once it has begun
 * its first fill: only then do brackets count themselves in it.  It is settled once every bracket from before
 * that is over.
 *
 * State
 *   m->mirror__started  FILL_ONE for each bracket that has ever started on it; read-modify-writes of the walks that
 *                       hit it
 *   m->mirror__ended    the same for each that has ended, and FILL_SLEEPER; read-modify-writes of walks and fillers
 *   m->mirror__fills_from   the seq since which they count; set under list->lock, once; then the entry is ENTRY_FILLS
 *   m->mirror__settle   UNSETTLED, then a cookie of list->brackets, under list->lock; then SETTLED, by the
 *                       compare-and-exchange of a filler; a cookie again after a move (mirror_move.c)
 *
 * Algorithm
 *   1. First fill: fills_from becomes the next seq, the entry is ENTRY_FILLS, and seq becomes that number; then a cookie
 *      of the domain whose sections are the open brackets.
 *   2. Begin: wait for the cookie, once; wait until as many brackets have ended as have started; keep that number.
 *   3. A bracket with fills_from <= S counts itself as started before it calls the mirror, and as ended after its end
 *      (mirror_walk.c).  A bracket whose owner is the mirror itself does not count: it is the filler's own change.
 *   4. Retry: true if the number of started ones has changed.
 *   5. Unregister marks the mirror dead, then wakes its fillers: brackets that were open on it count no end any more.
 *      Begin fails from then on, and retry is true: the mirror hears nothing, so nothing may be installed.
 *   6. A move gives a new cookie, since brackets that are open on the new range may not have called the mirror.  Then
 *      it counts as a bracket that starts and ends at once, so that fills under way retry.  Begin looks again whether
 *      the mirror is settled after it has read the counts.
 *
 * Why it is safe
 *   1. A bracket that overlaps a fill either is counted, or is a section of list->brackets from before the cookie.  Its
 *      section began before it read S.  So if the grace period does not wait for the section, S includes fills_from:
 *
 *          the first fill                     a bracket
 *          fills_from = seq + 1
 *          seq = seq + 1                      its section begins
 *          cookie                             S = seq
 *          wait for the cookie                if (fills_from <= S)
 *                                                     count it
 *
 *      Start and end decide by the same S and owner, so what is counted as started is counted as ended.
 *      (fill-late-joiner; mutant FILL_NO_SETTLE)
 *   2. Under the lock of the mirror's own callback, one of two is true.  Either the callback has had the lock, and its
 *      bracket was counted before, so that retry sees it.  Or it has not, and will drop what is installed.
 *
 *          a fill                             a bracket
 *          seq = begin                        count it as started
 *          copy
 *          lock                               the callback: lock
 *          if (!retry(seq))                           drop what is installed
 *                  install the copy                   unlock
 *          unlock
 *
 *      (fill-bracket; mutant FILL_NO_RECHECK)
 *   3. Only overlapping brackets count themselves: no other bracket makes a fill wait or retry, except the first fill,
 *      which waits for all brackets that were open.
 *   4. Begin reads ended, then started.  Neither ever falls, and started is never the smaller.  So if the two are equal
 *      then no bracket was open between the two loads.  64 bits do not overflow.  (t/mirror/fill)
 *   5. A filler does not sleep for ever.  It sets SLEEPER in the word that an end changes, and sleeps only if that has
 *      not changed since it looked.  An end that finds SLEEPER, and no bracket open, wakes.  If brackets were open,
 *      the end of the last of them finds it.  Unregister changes wakes after the state, so a filler that sleeps later
 *      sees the state.  (fill-bracket-two, fill-dies; mutant FILL_DIES_MUTE)
 *   6. A fill beside a move retries, or has waited for the cookie, or both:
 *
 *          a move                             a fill
 *                                             settled, from before
 *          settle = cookie
 *          C: started, ended: one more
 *                                             D: read the counts; settled?
 *
 *      If begin read the counts before the move, retry is true; else it sees the cookie.  (fill-move, fill-move-first;
 *      mutants FILL_MOVED_UNSEEN, FILL_SETTLED_EARLY, FILL_SETTLES_BLINDLY)
 *
 * Progress.  Publishers never wait for a fill.  So brackets that come faster than a copy is made make it retry for ever,
 * and brackets that always overlap each other let none begin.  mirror_read_begin_timeout gives up; doc/mirror.md shows
 * how a mirror makes blockable brackets wait for its copy.
 *
 * Cost.  Nothing for mirrors that never fill.  For the others two read-modify-writes of the mirror's own line for each
 * bracket that hits it.  A fill is a few loads, without a fence.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | begin | the ends before the starts, and before the copy | acquire | B | the copy is older than the change | fill-bracket |
 * | B | the end of a bracket | the change before the count | release | A | as A | fill-bracket |
 * | C | a move | the cookie before the count | release | D | a fill of the new range misses a bracket that was open | fill-move |
 * | D | begin | the count before the look at the cookie | acquire | C | as C | fill-move |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 mmu_interval_read_begin (the pattern); differences: each mirror has a count of
 * its own, so that brackets elsewhere do not matter.
 */

#include "mirror_fill.h"

#include <errno.h>
#include <limits.h>

/* Cookies are even. */
enum { SETTLED = 1 };

/* A deadline that no waiting call has. */
#define DO_NOT_WAIT 0

/* ---- the first fill ---- */

/* Start to take part; return the cookie that says when the mirror is settled. */
static usrcu_cookie_t take_part(struct mirror *m, struct mirror__entry *e)
{
	struct mirror_list *list = m->mirror__list;
	usrcu_cookie_t cookie;

	gate_lock(&list->lock);
	cookie = load_relaxed(&m->mirror__settle);
	if (cookie == UNSETTLED) {
		/* next_seq_ makes both visible */
		store_relaxed(&m->mirror__fills_from, list->seq + 1);
		fetch_or(&e->state, ENTRY_FILLS);
		next_seq_(list);
		cookie = usrcu_start_poll(list->brackets);
		store_release(&m->mirror__settle, cookie);
	}
	gate_unlock(&list->lock);
	return cookie;
}

/* 0 once every bracket from before the cookie is over. */
static int await_brackets(struct usrcu *brackets, usrcu_cookie_t cookie, uint64_t deadline_ns)
{
	if (deadline_ns == DO_NOT_WAIT)
		return usrcu_poll_state(brackets, cookie) ? 0 : -ETIMEDOUT;
	return usrcu_await_(brackets, cookie, deadline_ns);
}

static int settle(struct mirror *m, struct mirror__entry *e, uint64_t deadline_ns)
{
	usrcu_cookie_t cookie = load_acquire(&m->mirror__settle);
	int rc;

	if (cookie == SETTLED)
		return 0;
	if (cookie == UNSETTLED)
		cookie = take_part(m, e);
	rc = broken_if(FILL_NO_SETTLE, 0, await_brackets(m->mirror__list->brackets, cookie, deadline_ns));
	/* Unless a later cookie is there by now, of a move. */
	if (!rc && !compare_exchange(&m->mirror__settle, &cookie, SETTLED))
		also_if(FILL_SETTLES_BLINDLY, store_release(&m->mirror__settle, SETTLED));
	return rc;
}

/* ---- brackets ---- */

static bool is_counted(const struct mirror *m, const struct mirror_range *r)
{
	return load_relaxed(&m->mirror__fills_from) <= r->mirror__seq && r->owner != m;
}

static void wake_fillers(struct mirror *m, struct mirror__entry *e)
{
	fetch_and(&m->mirror__ended, ~FILL_SLEEPER);
	fetch_add(&e->wakes, 1);
	port_futex_wake(&e->wakes, INT_MAX);
}

void fill_started_(struct mirror__entry *e, const struct mirror_range *r)
{
	if (is_counted(e->mirror, r))
		fetch_add(&e->mirror->mirror__started, FILL_ONE);
}

static void count_end(struct mirror *m, struct mirror__entry *e)
{
	/* B (pairs with A): the change that the bracket announced comes before the count. */
	uint64_t ended = fetch_add(&m->mirror__ended, FILL_ONE);

	if (ended & FILL_SLEEPER && (ended & ~FILL_SLEEPER) + FILL_ONE == load_relaxed(&m->mirror__started))
		wake_fillers(m, e);
}

void fill_ended_(struct mirror__entry *e, const struct mirror_range *r)
{
	if (is_counted(e->mirror, r))
		count_end(e->mirror, e);
}

void fill_moved_(struct mirror *m, struct mirror__entry *e, uint64_t cookie)
{
	if (load_relaxed(&m->mirror__settle) == UNSETTLED)
		return;
	store_relaxed(&m->mirror__settle, cookie);
	/* C (pairs with D): the cookie before the count. */
	unless(FILL_MOVED_UNSEEN, fetch_add(&m->mirror__started, FILL_ONE));
	unless(FILL_MOVED_UNSEEN, count_end(m, e));
}

void fill_died_(struct mirror *m, struct mirror__entry *e)
{
	fetch_add(&e->wakes, 1);
	/* By a read-modify-write: a filler that sets SLEEPER after it sees wakes changed, and does not sleep. */
	if (fetch_and(&m->mirror__ended, ~FILL_SLEEPER) & FILL_SLEEPER)
		port_futex_wake(&e->wakes, INT_MAX);
}

/* ---- fills ---- */

/* mirror_read_retry answers true to it: a number of brackets is even. */
#define STALE_SEQ ((uint64_t)1)

/* True if brackets are heard. */
static bool is_heard(const struct mirror *m)
{
	enum mirror_state state = get_state_(m);

	return state == STATE_REGISTERED || state == STATE_CLAIMED;
}

static int begin(struct mirror *m, uint64_t *seq, uint64_t deadline_ns)
{
	struct mirror__entry *e = load_relaxed(&m->mirror__entry);
	uint64_t started, ended;
	uint32_t seen;
	int rc = is_heard(m) ? 0 : -ENOENT;

	*seq = STALE_SEQ;
	while (!rc) {
		seen = load_acquire(&e->wakes);
		rc = is_heard(m) ? settle(m, e, deadline_ns) : -ENOENT;
		if (rc)
			break;
		ended = load_acquire(&m->mirror__ended) & ~FILL_SLEEPER; /* A (pairs with B): before starts and copy */
		started = load_acquire(&m->mirror__started); /* D (pairs with C): before settle */
		if (!broken_if(FILL_SETTLED_EARLY, true, load_relaxed(&m->mirror__settle) == SETTLED))
			continue;
		if (started == ended) {
			*seq = started;
			return 0;
		}
		if (deadline_ns == DO_NOT_WAIT)
			return -ETIMEDOUT;
		if ((fetch_or(&m->mirror__ended, FILL_SLEEPER) & ~FILL_SLEEPER) == ended)
			rc = port_futex_wait(&e->wakes, seen, deadline_ns);
	}
	return rc;
}

uint64_t mirror_read_begin(struct mirror *m)
{
	uint64_t seq;

	begin(m, &seq, PORT_FOREVER); /* if that fails, the fill retries for ever, and installs nothing stale */
	return seq;
}

int mirror_read_begin_timeout(struct mirror *m, uint64_t *seq, uint64_t timeout_ns)
{
	if (!m || !seq)
		return -EINVAL;
	return begin(m, seq, timeout_ns ? port_deadline(timeout_ns) : DO_NOT_WAIT);
}

bool mirror_read_try_begin(struct mirror *m, uint64_t *seq)
{
	return begin(m, seq, DO_NOT_WAIT) == 0;
}

bool mirror_read_retry(struct mirror *m, uint64_t seq)
{
	/* Exact under the lock that the mirror's callback takes, which orders it. */
	return broken_if(FILL_NO_RECHECK, false, load_acquire(&m->mirror__started) != seq) || !is_heard(m);
}
