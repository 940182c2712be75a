/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Fills: a mirror that copies what a range holds, while brackets come and go
 *
 * Terms.  A fill is the code between mirror_read_begin and mirror_read_retry.  A mirror takes
 * part once it has begun its first fill: only then do brackets count themselves in its entry.
 * It is settled once every bracket from before that is over.
 *
 * State
 *   entry->fill         brackets open on it, and brackets ever started on it, in one word;
 *                       read-modify-writes of the walks that hit it
 *   entry->fills_from   the seq since which they do so; set under list->lock, once
 *   m->mirror__settle   UNSETTLED, then a cookie of list->brackets, under list->lock; then SETTLED
 *
 * Algorithm
 *   1. First fill: fills_from = the next seq, which is published; then a cookie of the domain
 *      whose sections are the open brackets.
 *   2. Begin: wait for the cookie, once; wait until no bracket is open in fill; keep the count
 *      of started ones.
 *   3. A bracket with fills_from <= S counts itself open and started before it calls the mirror,
 *      and no longer open after its end.  (mirror_walk.c)
 *   4. Retry: whether the count of started ones has changed.
 *
 * Why it is safe
 *   1. A bracket that overlaps a fill either is counted, or is a section of brackets from before
 *      the cookie: its section began before it read S, so that a bracket whose section the grace
 *      period does not wait for reads an S that includes fills_from.  Start and end decide by
 *      the same S, so that the count goes back to what it was.  (fill-late-joiner)
 *   2. Under the lock of the mirror's own callback: either the callback has had the lock, and its
 *      bracket was counted before, so that retry sees it; or it is still to come, and will drop
 *      what is installed.  (fill-bracket; mutant FILL_NO_RECHECK)
 *   3. Only overlapping brackets count themselves: no other makes a fill wait or retry, but for
 *      the first, which waits for all that were open.
 *
 * Cost.  Nothing for mirrors that never fill.  Else two read-modify-writes of the mirror's own
 * line for each bracket that hits it; a fill is two loads, without a fence.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | begin | no open bracket before the copy | acquire | B | the copy is older than the change | fill-bracket |
 * | B | the end of a bracket | the change before the count | full, implied | A | as A | fill-bracket |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 mmu_interval_read_begin (the pattern); differences: the
 * count is each mirror's own, so that brackets elsewhere do not matter.
 */

#include "mirror_list.h"

#include <limits.h>

/* Cookies are even. */
enum { SETTLED = 1 };

/* Start to take part; the cookie that says when that has settled. */
static usrcu_cookie_t take_part(struct mirror *m, struct mirror__entry *e)
{
	struct mirror_list *list = m->mirror__list;
	usrcu_cookie_t cookie;

	port_mutex_lock(&list->lock);
	cookie = load_relaxed(&m->mirror__settle);
	if (cookie == UNSETTLED) {
		store_relaxed(&e->fills_from, list->seq + 1); /* published by seq */
		next_seq_(list);
		cookie = usrcu_start_poll(list->brackets);
		store_release(&m->mirror__settle, cookie);
	}
	port_mutex_unlock(&list->lock);
	return cookie;
}

static bool settle(struct mirror *m, struct mirror__entry *e, bool wait)
{
	struct usrcu *brackets = m->mirror__list->brackets;
	usrcu_cookie_t cookie = load_acquire(&m->mirror__settle);

	if (cookie == SETTLED)
		return true;
	if (cookie == UNSETTLED)
		cookie = take_part(m, e);
	if (MUTANT(FILL_NO_SETTLE))
		return true;
	if (wait ? usrcu_cond_synchronize(brackets, cookie) != 0 : !usrcu_poll_state(brackets, cookie))
		return false;
	store_release(&m->mirror__settle, SETTLED);
	return true;
}

void fill_ended_(struct mirror__entry *e)
{
	/* B (pairs with A): the change that the bracket announced comes before the count. */
	uint64_t fill = fetch_add(&e->fill, -(uint64_t)1);

	if ((fill & FILL_OPEN) == 1 && fill & FILL_SLEEPER) {
		fetch_and(&e->fill, ~FILL_SLEEPER);
		fetch_add(&e->wakes, 1);
		port_futex_wake(&e->wakes, INT_MAX);
	}
}

static uint64_t started(uint64_t fill)
{
	return fill & ~(FILL_STARTED - 1);
}

/* What read_retry answers true to: a count of started brackets has its low bits clear. */
#define STALE_SEQ ((uint64_t)1)

uint64_t mirror_read_begin(struct mirror *m)
{
	struct mirror__entry *e = load_relaxed(&m->mirror__entry);
	uint64_t fill;
	uint32_t seen;

	if (!settle(m, e, true))
		return STALE_SEQ; /* membarrier is refused: never unsafe, never done */
	for (;;) {
		seen = load_acquire(&e->wakes);
		fill = load_acquire(&e->fill); /* A (pairs with B): no bracket before the copy */
		if (!(fill & FILL_OPEN))
			return started(fill);
		if (fetch_or(&e->fill, FILL_SLEEPER) & FILL_OPEN)
			port_futex_wait(&e->wakes, seen, PORT_FOREVER);
	}
}

bool mirror_read_try_begin(struct mirror *m, uint64_t *seq)
{
	struct mirror__entry *e = load_relaxed(&m->mirror__entry);
	uint64_t fill;

	if (!settle(m, e, false))
		return false;
	fill = load_acquire(&e->fill); /* A, as in mirror_read_begin */
	*seq = started(fill);
	return !(fill & FILL_OPEN);
}

bool mirror_read_retry(struct mirror *m, uint64_t seq)
{
	/* Exact under the lock of the mirror's callback, which orders it. */
	return !MUTANT(FILL_NO_RECHECK) && started(load_acquire(&load_relaxed(&m->mirror__entry)->fill)) != seq;
}
