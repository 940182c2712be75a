/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The fence mode: which side pays for the fence between the pins of walks and the marks of drains
 *
 * A drain marks entries dead and then looks at pins; a walk pins and then looks at the mark.  Both sides need a full
 * fence between the two (A and E of mirror_pin.c, C of mirror_unregister.c).  There are two ways.  With membarrier(2)
 * walks execute no fence, and each drain makes all running threads of the process execute one, by an interrupt that
 * costs each of them microseconds.  Or each walk begins with a fence, a few nanoseconds, and a drain waits until the
 * walks that it finds under way are over; it interrupts them only if that takes longer than the interrupt would.  The
 * first is right while drains are rare, the second while they are frequent.
 *
 * Terms.  A walk rests while it looks at no entry outside the list's lock: in done(), while it completes or drains
 * mirrors itself, and, once a drain has had to interrupt its thread, in each callback.
 *
 * State
 *   list->fencing         written under list->lock (mirror_list.h says by which thread); each walk reads it once, in
 *                         its section
 *   list->fencing_cookie  under list->lock
 *   list->nr_fences       written under list->lock; walkers read it
 *   walker->depth         its thread's; 0: it is in no walk
 *   walker->fences        its thread's: how many it has executed
 *   walker->rests         its thread's: the depth of the walk that rests; 0: none does
 *   walker->slow          drains set it, its thread clears it: walks of this thread rest in callbacks
 *   walker->fences_before, looks_at, window_ends    its thread's own
 *
 * Algorithm
 *   1. Drains interrupt publishers, so publishers choose the mode: each counts drains, and looks now and then.  A few
 *      drains within some thousand walks: fencing has BEGUN.  None: it is OFF again.  So if no thread publishes,
 *      nothing changes.
 *   2. A walk that reads anything but OFF begins with a fence: depth, fences, fence B.  Walks that read OFF before may
 *      still run.  So drains go on to interrupt until a grace period of the list's sync is over, whose cookie the first
 *      of them takes; then ALL walks that run have begun with a fence.  Publishers ask the sync for nothing.
 *   3. A drain decides under the lock under which it marks its entries dead: if ALL walks fence, it asks.  After its
 *      full fence it looks at each walker until depth is 0, the innermost walk rests, or fences has changed, C, but not
 *      more than FENCE_LOOKS times; if one stays in its walk, in a slow callback or without a CPU, the drain interrupts,
 *      and notes that this thread is slow.
 *   4. The walks of a slow thread rest in callbacks, for a fence each, until it looks at the number of drains again.
 *      The pin is shown before the rest begins.  After it the walk looks once more whether a drain waits.
 *
 * Why it is safe to ask.  The drain has marked, and has executed a full fence.  Of each walker it has then seen one of:
 *   1. depth == 0.  Walks before that have shown their last pins, all empty.  A walk after it stores depth before its
 *      fence B, so B comes after the drain's look, and its looks at the marks see them.
 *   2. fences has changed.  The fence B that follows the new number comes after the drain's fence, so all that the
 *      thread looks at from there on is marked.  All that it looked at before, it had pinned before, and the pin came
 *      before the number.
 *
 *          a drain                            a walker
 *          e->state |= DEAD                   pin = e; e is alive: its callback
 *          full fence                         pin = NULL; the walk ends
 *          n = fences                         depth = 1; fences = n + 1
 *          until fences != n                  fence B
 *          look at the pins                   pin = e; e->state is DEAD
 *
 *      (fence-asked; mutant WALK_NO_FENCE)
 *   3. rests == depth.  What the walk has pinned came before rests, D, and the fence B of its end comes after the drain's,
 *      as in 1.  A walk inside it began after the drain read depth, with a fence.  Those around it look at nothing until
 *      it is over, and it ends with the fence.
 *
 *          a drain                            a walker
 *                                             pin = e; rests = depth, D
 *          e->state |= DEAD                   e is alive: its callback
 *          full fence
 *          depth == rests                     pin = NULL; rests = 0; fences = n + 1
 *          look at the pins                   fence B; if e is DEAD, wake its drain
 *                                             pin = f; f->state is DEAD
 *
 *      (fence-rest, fence-rest-sleep, fence-rest-async; mutants REST_NO_RELEASE, RESUME_NO_FENCE, REST_NO_LOOK)
 *   In all cases what the walker shows from then on is what it has seen alive, and its looks after an unpin see DEAD:
 *   as after a membarrier.
 *
 * Why every walk that runs has begun with a fence, if a drain finds ALL.  A walk that does not fence has read OFF in
 * its section.  That OFF was one of these:
 *   4. The OFF from before the last BEGUN.  Then the walk's section began before the cookie of 2, which was taken after
 *      BEGUN was stored.  The walk is over when fencing is ALL.
 *
 *          a publisher         drains                        a walk
 *                                                            section begins
 *          fencing = BEGUN                                   reads OFF: no fence
 *                              cookie, SETTLES               pin, look at the mark
 *                              interrupt
 *                                                            section ends
 *                              the cookie is over: ALL
 *                              ask
 *
 *      (fence-begin; mutant FENCING_UNSETTLED)
 *   5. An OFF that was stored after a drain found ALL.  It was stored under the lock, after the drain's marks, so that
 *      the walk sees the marks, A.
 *
 *          a drain                       a publisher         a walk
 *          lock, mark dead
 *          ALL: ask, unlock
 *                                        lock
 *                                        A: fencing = OFF
 *                                                            reads OFF: no fence
 *                                                            pin, sees the mark: does not call
 *
 *      (fence-end; mutant FENCING_DECIDED_EARLY)
 *   6. An OFF that was stored before the drain took the lock.  Then the drain sees OFF, or a later mode, and
 *      interrupts, or is in case 4.
 *
 * Cost.  A walk: one load of a line that it reads anyway; a fence if fencing is on; one more for each mirror that it
 * calls if its thread is slow.  A drain: a look at each walker.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | end_fencing | marks of earlier drains before OFF | release, and the lock | mirror_pin.c:J | a callback runs on a freed mirror | fence-end |
 * | B | the beginning of a walk, the end of a rest | depth, rests, fences and all pins before, before the look at the state of entries | full | C | as A | fence-asked |
 * | C | a drain's look at a walker | depth, rests or fences before its pins | acquire | B, D | as A | fence-asked |
 * | D | the beginning of a rest | all pins before, before rests | release | C | as A | fence-rest |
 */

#include "mirror_fence.h"

/*
 * Drains per window above which fencing is cheaper: an interrupt costs as much as the fences of some hundred walks,
 * and delays every thread that waits behind it.
 */
#define FREQUENT 2

/* How often a drain looks whether a walk has fenced: about what a membarrier(2) costs. */
#ifndef FENCE_LOOKS
#define FENCE_LOOKS 100
#endif

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
	port_signals signals;
	bool is_first = !w->window_ends, over = w->walks >= w->window_ends;
	bool wrong = !is_first && (fencing ? over && !drains : drains >= FREQUENT);

	w->looks_at = w->walks + FENCE_MODE_PERIOD;
	store_relaxed(&w->slow, 0);
	if (over || wrong) {
		w->fences_before = fences;
		w->window_ends = w->walks + FENCE_MODE_WINDOW;
	}
	if (!wrong || !list->membarrier || !is_targeted_(list))
		return;
	port_signals_block(&signals);
	/* Never block a publisher; retry at the next look. */
	if (gate_trylock(&list->lock)) {
		if (fencing)
			end_fencing_(list);
		else if (list->fencing == FENCING_OFF)
			begin_fencing_(list);
		gate_unlock(&list->lock);
	}
	port_signals_restore(&signals);
}

enum drain_fence advance_fence_mode_(struct mirror_list *list)
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
	if (!list->membarrier || !list->grace_period)
		return DRAIN_FENCES;
	return list->fencing == FENCING_ALL ? DRAIN_ASKS : DRAIN_INTERRUPTS;
}

/* True if @w's thread is in no walk, or its innermost one rests. */
static bool looks_at_nothing(const struct walker *w)
{
	uint32_t depth = depth_of_(w); /* C, as below */

	return !depth || load_acquire(&w->rests) == depth;
}

/* True if @w's thread looks at nothing, or has come to a fence since the caller's full fence. */
static bool has_fenced(const struct mirror_list *list, struct walker *w)
{
	uint64_t fences = load_acquire(&w->fences);

	for (int looks = 0; !looks_at_nothing(w); looks++) {
		if (load_acquire(&w->fences) != fences) /* C (pairs with B, D): what it shows is what it has looked at */
			return true;
		if (looks == FENCE_LOOKS || vanished_(list, w)) {
			store_relaxed(&w->slow, 1);
			return vanished_(list, w);
		}
		port_relax();
	}
	return true;
}

static bool have_fenced(struct mirror_list *list)
{
	const struct walker *mine = slots_mine(&list->walkers);
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); )
		if (w != mine && !has_fenced(list, w))
			return false;
	return has_fenced(list, &list->fallback);
}

int fence_drain_(struct mirror_list *list, enum drain_fence fence)
{
	if (fence == DRAIN_ASKS && !MUTANT(DRAIN_NO_FENCE)) {
		fence_full(); /* C of mirror_unregister.c */
		if (have_fenced(list))
			return 0;
	}
	return fence_heavy_unless(DRAIN_NO_FENCE, fence != DRAIN_FENCES);
}
