/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The fence mode: which side pays for the fence between the pins of walks and the marks of drains
 *
 * A drain marks entries dead and then looks at pins; a walk pins and then looks at the mark.  Both sides need a full
 * fence between the two (A and E of mirror_pin.c, C of mirror_unregister.c).  There are two ways.  With membarrier(2)
 * walks execute no fence, and each drain makes all running threads of the process execute one, by an interrupt that
 * costs each of them microseconds.  Or walks fence: a few nanoseconds for each mirror called, and a drain interrupts
 * no thread.  The first is right while drains are rare, the second while they are frequent.
 *
 * State
 *   list->fencing         written under list->lock (mirror_list.h says by which thread); each walk reads it once, in
 *                         its section
 *   list->fencing_cookie  under list->lock
 *   list->nr_fences       written under list->lock; walkers read it
 *   walker->fences_before, looks_at, window_ends    its thread's own
 *
 * Algorithm
 *   1. Drains interrupt publishers, so publishers choose the mode: each counts drains, and looks now and then.  A few
 *      drains within some thousand walks: fencing has BEGUN.  None: it is OFF again.  So if no thread publishes,
 *      nothing changes.
 *   2. Walks that read anything but OFF fence.  Walks that read OFF before may still run.  So drains go on to interrupt
 *      until a grace period of the list's sync is over, whose cookie the first of them takes; then ALL walks fence.
 *      Publishers ask the sync for nothing.
 *   3. A drain decides under the lock under which it marks its entries dead: if ALL walks fence, it interrupts none.
 *
 * Why it is safe.  A walk that does not fence has read OFF in its section.  That OFF was one of these:
 *   1. The OFF from before the last BEGUN.  Then the walk's section began before the cookie of 2, which was taken after
 *      BEGUN was stored.  The walk is over when fencing is ALL.
 *
 *          a publisher         drains                        a walk
 *                                                            section begins
 *          fencing = BEGUN                                   reads OFF: no fence
 *                              cookie, SETTLES               pin, look at the mark
 *                              interrupt
 *                                                            section ends
 *                              the cookie is over: ALL
 *                              interrupt none
 *
 *      (fence-begin; mutant FENCING_UNSETTLED)
 *   2. An OFF that was stored after a drain found ALL.  It was stored under the lock, after the drain's marks, so that
 *      the walk sees the marks, A.
 *
 *          a drain                       a publisher         a walk
 *          lock, mark dead
 *          ALL: interrupt none, unlock
 *                                        lock
 *                                        A: fencing = OFF
 *                                                            reads OFF: no fence
 *                                                            pin, sees the mark: does not call
 *
 *      (fence-end; mutant FENCING_DECIDED_EARLY)
 *   3. An OFF that was stored before the drain took the lock.  Then the drain sees OFF, or a later mode, and
 *      interrupts, or is in case 1.
 *
 * Cost.  A walk: one load of a line that it reads anyway.  A drain: nothing.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | end_fencing | marks of earlier drains before OFF | release, and the lock | mirror_pin.c:J | a callback runs on a freed mirror | fence-end |
 */

#include "mirror_fence.h"

/*
 * Drains per window above which fencing is cheaper: an interrupt costs as much as the fences of some hundred walks,
 * and delays every thread that waits behind it.
 */
#define FREQUENT 2

void begin_fencing_(struct mirror_list *list)
{
	store_relaxed(&list->fencing, FENCING_BEGUN);
}

void end_fencing_(struct mirror_list *list)
{
	/* A (pairs with mirror_pin.c:J): a walk that reads this sees the marks of drains that found ALL. */
	store_release(&list->fencing, FENCING_OFF);
}

void choose_fence_mode_(struct mirror_list *list, struct walker *w)
{
	uint64_t fences = load_relaxed(&list->nr_fences), drains = fences - w->fences_before;
	bool fencing = load_relaxed(&list->fencing) != FENCING_OFF;
	/* The first time, the count is that of the list's whole life. */
	bool is_first = !w->window_ends, over = w->walks >= w->window_ends;
	bool wrong = !is_first && (fencing ? over && !drains : drains >= FREQUENT);

	w->looks_at = w->walks + FENCE_MODE_PERIOD;
	if (over || wrong) {
		w->fences_before = fences;
		w->window_ends = w->walks + FENCE_MODE_WINDOW;
	}
	if (!wrong || !list->membarrier || !is_targeted_(list))
		return;
	/* Never block a publisher; retry at the next look. */
	if (!gate_trylock(&list->lock))
		return;
	if (fencing)
		end_fencing_(list);
	else if (list->fencing == FENCING_OFF)
		begin_fencing_(list);
	gate_unlock(&list->lock);
}

bool advance_fence_mode_(struct mirror_list *list)
{
	const struct mirror_sync *sync = list->sync;

	store_relaxed(&list->nr_fences, list->nr_fences + 1);
	if (list->fencing == FENCING_BEGUN) {
		/* Every section that the cookie's grace period does not wait for sees BEGUN. */
		list->fencing_cookie = sync->get_state(list->sync_state);
		store_relaxed(&list->fencing, FENCING_SETTLES);
	}
	if (list->fencing == FENCING_SETTLES &&
	    broken_if(FENCING_UNSETTLED, true, sync->poll_state(list->sync_state, list->fencing_cookie)))
		store_relaxed(&list->fencing, FENCING_ALL);
	return list->membarrier && list->grace_period && list->fencing != FENCING_ALL;
}

int fence_drain_(bool interrupt)
{
	return fence_heavy_unless(DRAIN_NO_FENCE, interrupt);
}
