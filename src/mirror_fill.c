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
 *   m->mirror__fill     brackets open on it, and brackets ever started on it, in one word (mirror_fill.h);
 *                       read-modify-writes of the walks that hit it
 *   m->mirror__fills_from   the seq since which they count; set under list->lock, once; then the entry is ENTRY_FILLS
 *   m->mirror__settle   UNSETTLED, then a cookie of list->brackets, under list->lock; then SETTLED
 *
 * Algorithm
 *   1. First fill: fills_from becomes the next seq, the entry is ENTRY_FILLS, and seq becomes that number; then a cookie
 *      of the domain whose sections are the open brackets.
 *   2. Begin: wait for the cookie, once; wait until no bracket is open in fill; keep the count of started ones.
 *   3. A bracket with fills_from <= S counts itself open and started before it calls the mirror, and no longer open
 *      after its end.  (mirror_walk.c)
 *   4. Retry: true if the count of started ones has changed.
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
 *      Start and end decide by the same S, so the count goes back to what it was.  (fill-late-joiner; mutant
 *      FILL_NO_SETTLE)
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
 *
 * Cost.  Nothing for mirrors that never fill.  For the others two read-modify-writes of the mirror's own line for each
 * bracket that hits it.  A fill is two loads, without a fence.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | begin | no open bracket before the copy | acquire | B | the copy is older than the change | fill-bracket |
 * | B | the end of a bracket | the change before the count | full, implied | A | as A | fill-bracket |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 mmu_interval_read_begin (the pattern); differences: each mirror has a count of
 * its own, so that brackets elsewhere do not matter.
 */

#include "mirror_fill.h"

#include <limits.h>

/* Cookies are even. */
enum { SETTLED = 1 };

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

/* True if every bracket from before the cookie is over; @wait: until then.  False if the wait fails. */
static bool is_over(struct usrcu *brackets, usrcu_cookie_t cookie, bool wait)
{
	return wait ? usrcu_cond_synchronize(brackets, cookie) == 0 : usrcu_poll_state(brackets, cookie);
}

static bool settle(struct mirror *m, struct mirror__entry *e, bool wait)
{
	struct usrcu *brackets = m->mirror__list->brackets;
	usrcu_cookie_t cookie = load_acquire(&m->mirror__settle);

	if (cookie == SETTLED)
		return true;
	if (cookie == UNSETTLED)
		cookie = take_part(m, e);
	if (!broken_if(FILL_NO_SETTLE, true, is_over(brackets, cookie, wait)))
		return false;
	store_release(&m->mirror__settle, SETTLED);
	return true;
}

static bool is_counted(const struct mirror *m, uint64_t seq)
{
	return load_relaxed(&m->mirror__fills_from) <= seq;
}

void fill_started_(struct mirror__entry *e, uint64_t seq)
{
	if (is_counted(e->mirror, seq))
		fetch_add(&e->mirror->mirror__fill, FILL_STARTED + 1);
}

void fill_ended_(struct mirror__entry *e, uint64_t seq)
{
	struct mirror *m = e->mirror;
	uint64_t fill;

	if (!is_counted(m, seq))
		return;
	/* B (pairs with A): the change that the bracket announced comes before the count. */
	fill = fetch_add(&m->mirror__fill, -(uint64_t)1);
	if ((fill & FILL_OPEN) == 1 && fill & FILL_SLEEPER) {
		fetch_and(&m->mirror__fill, ~FILL_SLEEPER);
		fetch_add(&e->wakes, 1);
		port_futex_wake(&e->wakes, INT_MAX);
	}
}

static uint64_t started(uint64_t fill)
{
	return fill & ~(FILL_STARTED - 1);
}

/* mirror_read_retry answers true to it: a count of started brackets has its low bits clear. */
#define STALE_SEQ ((uint64_t)1)

uint64_t mirror_read_begin(struct mirror *m)
{
	struct mirror__entry *e = load_relaxed(&m->mirror__entry);
	uint64_t fill;
	uint32_t seen;

	if (!settle(m, e, true))
		return STALE_SEQ; /* membarrier is refused: the fill retries for ever, and installs nothing stale */
	for (;;) {
		seen = load_acquire(&e->wakes);
		fill = load_acquire(&m->mirror__fill); /* A (pairs with B): no bracket before the copy */
		if (!(fill & FILL_OPEN))
			return started(fill);
		if (load_acquire(&e->state) & ENTRY_DEAD)
			return STALE_SEQ; /* brackets that were open count no end any more */
		if (fetch_or(&m->mirror__fill, FILL_SLEEPER) & FILL_OPEN)
			port_futex_wait(&e->wakes, seen, PORT_FOREVER);
	}
}

bool mirror_read_try_begin(struct mirror *m, uint64_t *seq)
{
	struct mirror__entry *e = load_relaxed(&m->mirror__entry);
	uint64_t fill;

	if (!settle(m, e, false))
		return false;
	fill = load_acquire(&m->mirror__fill); /* A, as in mirror_read_begin */
	*seq = started(fill);
	return !(fill & FILL_OPEN);
}

bool mirror_read_retry(struct mirror *m, uint64_t seq)
{
	/* Exact under the lock that the mirror's callback takes, which orders it. */
	return broken_if(FILL_NO_RECHECK, false, started(load_acquire(&m->mirror__fill)) != seq);
}
