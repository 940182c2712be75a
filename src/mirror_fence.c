/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Who pays for the fence between the pins of walks and the marks of drains
 *
 * A drain marks entries dead and then looks at pins; a walk pins and then looks for the mark.
 * Both sides need a full fence between the two (A, C and E of mirror_unregister.c).  There are two
 * ways to have that.  With membarrier(2) walks execute none, and each drain makes all threads of
 * the process that run execute one, by an interrupt that costs each of them microseconds.  Or
 * walks fence: a few nanoseconds for each mirror called, and a drain interrupts nobody.  The
 * first is right where drains are rare, the second where they are frequent.
 *
 * State
 *   list->fencing         written under list->lock; each walk reads it once, within its section
 *   list->fencing_cookie  under list->lock
 *   list->nr_fences        written under list->lock; walkers read it
 *   walker->fences_before, looks_at, window_ends    its thread's own
 *
 * Algorithm
 *   1. Publishers are those whom drains interrupt, so they decide: each counts drains, and looks
 *      now and then.  A few within some thousand walks: fencing has BEGUN.  None: it is OFF again.
 *      So where nobody publishes, nothing changes.
 *   2. Walks that read anything but OFF fence.  Those that read OFF before may still run, so that
 *      drains go on to interrupt until a grace period of the list's sync is over, for which the first
 *      of them asks; then ALL do.  Publishers ask the sync for nothing.
 *   3. A drain decides under the lock under which it marks its entries: only where ALL walks fence
 *      it interrupts nobody.
 *
 * Why it is safe.  A walk that does not fence has read OFF in its section.
 *   1. It read the OFF from before the last BEGUN: its section began before the cookie of 2, which
 *      was taken after BEGUN was stored.  It is over when fencing is ALL.  (fence-begin; mutant
 *      FENCING_UNSETTLED)
 *   2. It read an OFF that was stored after a drain found ALL: that OFF was stored under the lock
 *      after the drain's marks were, so that the walk sees the marks, A.  (fence-end; mutant
 *      FENCING_DECIDED_EARLY)
 *   3. It read an OFF that was stored before the drain took the lock: then the drain sees OFF, or
 *      what came later, and interrupts, or is in case 1.
 *
 * Cost.  A walk: one load of a line that it reads anyway.  A drain: nothing.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | end_fencing | marks of earlier drains before OFF | release, and the lock | mirror_walk.c:B | a callback runs on a freed mirror | fence-end |
 */

#include "mirror_list.h"

/*
 * So many drains in a window make fences the cheaper way: an interrupt costs what some
 * hundred walks' fences do, and is late for all that wait behind it.
 */
#define FREQUENT 2

void begin_fencing_(struct mirror_list *list)
{
	store_relaxed(&list->fencing, FENCING_BEGUN);
}

void end_fencing_(struct mirror_list *list)
{
	/* A (pairs with mirror_walk.c:B): who reads this sees the marks of drains that found ALL. */
	store_release(&list->fencing, FENCING_OFF);
}

void choose_fence_mode_(struct mirror_list *list, struct walker *w)
{
	uint64_t marks = load_relaxed(&list->nr_fences), drains = marks - w->fences_before;
	bool fencing = load_relaxed(&list->fencing) != FENCING_OFF;
	/* At first the count is that of the list's whole life. */
	bool is_first = !w->window_ends, over = w->walks >= w->window_ends;
	bool wrong = !is_first && (fencing ? over && !drains : drains >= FREQUENT);

	w->looks_at = w->walks + FENCE_MODE_PERIOD;
	if (over || wrong) {
		w->fences_before = marks;
		w->window_ends = w->walks + FENCE_MODE_WINDOW;
	}
	if (!wrong || !list->membarrier || !is_targeted_(list))
		return;
	/* Publishers wait for no lock: it will be as true next time. */
	if (!port_mutex_trylock(&list->lock))
		return;
	if (fencing)
		end_fencing_(list);
	else if (list->fencing == FENCING_OFF)
		begin_fencing_(list);
	port_mutex_unlock(&list->lock);
}

bool advance_fence_mode_(struct mirror_list *list)
{
	const struct mirror_sync *sync = list->sync;

	store_relaxed(&list->nr_fences, list->nr_fences + 1);
	if (list->fencing == FENCING_BEGUN) {
		/* As all before a cookie, BEGUN is seen by every section that its grace period does not wait for. */
		list->fencing_cookie = sync->get_state(list->sync_state);
		store_relaxed(&list->fencing, FENCING_SETTLES);
	}
	if (list->fencing == FENCING_SETTLES &&
	    (MUTANT(FENCING_UNSETTLED) || sync->poll_state(list->sync_state, list->fencing_cookie)))
		store_relaxed(&list->fencing, FENCING_ALL);
	return list->membarrier && list->grace_period && list->fencing != FENCING_ALL;
}

int fence_drain_(bool interrupt)
{
	return MUTANT(DRAIN_NO_FENCE) ? 0 : fence_heavy(interrupt);
}
