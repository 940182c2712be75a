/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unregister: when a mirror is its owner's again
 *
 * Terms.  Pins and drains are those of mirror_pin.c, which proves that a drained mirror may be freed.  Claims are those
 * of mirror_claim.c.  A wait is shown to the other threads so that cycles are found (mirror_waits.c).
 *
 * State
 *   mirror__state     mirror_claim.c
 *   mirror__fence     under list->lock: the number of the fence that serves the mirror's DEAD
 *   list->pending     mirror_pin.c
 *   list->nr_fences   mirror_fence.c
 *
 * Algorithm.  Unregister, of one or many:
 *   1. Claim each mirror, so that no other call can change it.
 *   2. Show the wait, unless it would close a cycle: a thread that pins what we wait for waits itself, directly or
 *      through others, for what we pin; or we pin it ourselves.  Then the claims are given back.
 *   3. Mark each entry dead and unlink it; one heavy fence C for all.  From here on a second unregister is -EALREADY.
 *   4. Sleep on each entry while a pin shows it, D.
 *   5. Retire the entry: its memory is freed after a grace period, for which no thread waits.
 * Asynchronously, instead of 2, 4 and 5:
 *   6. The mirror is pending.  After C, or after an unpin and F, the thread that sees no pin completes it
 *      (mirror_pin.c).  A thread that cannot look, because it is too deep in walks or the fence failed, says so.
 *   7. mirror_barrier notes the number of the last fence.  It looks at the mirrors that are pending with numbers up to
 *      that, because a thread may have left one, or have vanished with a fork; then it sleeps until every done() of
 *      them has returned, and looks again if a thread says that it has left one.
 * Of many mirrors each step takes the lock for a batch at a time, and lets others have it in between.
 *
 * Why it is safe
 *   1. Of a drained mirror no callback runs or will: mirror_pin.c, 1.
 *   2. Cycles: a wait is shown before its entries are marked dead, under one lock with the search, so of two threads
 *      that close a cycle the later one finds the earlier one.  A thread that waits has set its pins before it took
 *      that lock.
 *
 *          in a callback of m                 in a callback of n
 *          lock, search, show wait for n
 *                                             lock, search: m is pinned by a thread that waits for n, pinned here
 *          mark n dead, sleep                 -EDEADLK
 *
 *      (drain-cycle; mutant CYCLE_UNSEEN)
 *   3. A fence serves the entries that were marked dead before it.  So fences are numbered, and a thread completes only
 *      mirrors whose fence is its own or an earlier one.  It may miss the pin of a walk that has not seen a later
 *      DEAD:
 *
 *          unregister_async(m)       unregister_async(n)       a walk
 *          m is DEAD, pending
 *          fence C
 *                                    n is DEAD, pending
 *          look at n's pins: none
 *                                                              pin n: not yet visible
 *                                                              n is not DEAD: call it
 *                                    fence C
 *                                    look at n's pins: one
 *
 *      (drain-async-both; mutant COMPLETE_UNFENCED)
 *   4. If C fails, the entry is dead, the mirror DYING, and no call has returned 0 for it.
 *   5. The entries of one drain may be marked in several sections of the lock.  The fence mode is read in the last one:
 *      all that mirror_fence.c says of marks and lock holds for the earlier ones too.  (drain-many)
 *   6. mirror_barrier ends, whatever else is unregistered meanwhile: pending mirrors and running calls of done() have
 *      numbers, and no later one is below the number that it noted.  (t/mirror/async; mutant BARRIER_FOR_ALL)
 *
 * Cost.  The lock is held for 8 or 64 mirrors at a time; a drain of many looks at each walker for each mirror if any
 * callback runs on the list, without a lock.  An asynchronous unregister looks at each walker once.
 *
 * With MIRROR_LIST_DRAIN_DOMAIN, or a sync that cannot be polled, the fence of 3 is not needed, and 4 and 5 are the
 * sync's synchronize.  Over a lock 3 is done under its write_lock, without the fence, and 4 is not needed.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | C | after marking dead | dead before the look at the pins | heavy; full if all walks fence | mirror_pin.c:A, mirror_pin.c:E | a callback runs on a freed mirror; a drain sleeps for ever | drain-walk, drain-sleep |
 * | G | marking an entry dead | mirror__done before ASYNC | release | mirror_pin.c:H | done() is called through an old pointer | drain-async, t/mirror/torture under TSan |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 (what is promised).
 */

#include "mirror_claim.h"
#include "mirror_fence.h"
#include "mirror_fill.h"
#include "mirror_memory.h"
#include "mirror_pin.h"
#include "mirror_report.h"
#include "mirror_waits.h"

#include <errno.h>

/* Under lock: no callback starts any more of these, unless a walk has pinned the entry already. */
static void mark_dead(struct mirror_list *list, struct mirror *const *mirrors, size_t count, uint32_t how)
{
	for (size_t i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];
		struct mirror__entry *e = m->mirror__entry;
		uint32_t state = load_relaxed(&e->state);

		/*
		 * Until ASYNC is set, only the claimer writes state; fence C follows.
		 * G (pairs with mirror_pin.c:H): done before ASYNC.
		 */
		unless(DEAD_AFTER_SCAN, store_release(&e->state, state | how));
		if (!(state & ENTRY_DEAD))
			unlink_(list, m);
		set_state_(m, how & ENTRY_ASYNC ? STATE_ASYNC : STATE_DRAINING);
		if (load_relaxed(&e->state) & ENTRY_FILLS)
			unless(FILL_DIES_MUTE, fill_died_(m, e));
	}
	tell_rivals_(list);
}

/* ---- drains ---- */

/* @what of the callback that holds up the drain of @m. */
static void report_drain(struct mirror_list *list, struct mirror *m, bool is_late)
{
	struct walker *w;
	int level;

	w = pinned_(list, m->mirror__entry, &level);
	if (!w)
		return;
	if (is_late)
		report_stall_(list, w, level, m);
	else
		report_ended_(list, w, level, m->mirror__entry);
}

/* How often a drain asks whether the thread whose callback it waits for still lives. */
#ifndef QUESTION_NS
#define QUESTION_NS 1000000000
#endif

/* Wait until no pin shows @m's entry: 0 or -ETIMEDOUT. */
static int drain(struct mirror_list *list, struct mirror *m, uint64_t deadline_ns)
{
	struct mirror__entry *e = m->mirror__entry;
	uint64_t stall = list->stall_ns ? 0 : PORT_FOREVER, question = 0, until;
	uint32_t seen;
	int level;

	for (;;) {
		seen = load_acquire(&e->wakes);
		if (!pinned_(list, e, &level))
			return 0;
		if (!stall)
			stall = port_deadline(list->stall_ns);
		if (port_now_ns() >= question) {
			report_drain(list, m, false);
			question = port_deadline(QUESTION_NS);
		}
		until = stall < question ? stall : question;
		if (!port_futex_wait(&e->wakes, seen, until < deadline_ns ? until : deadline_ns))
			continue;
		if (deadline_ns <= until)
			return -ETIMEDOUT;
		if (stall <= question) {
			report_drain(list, m, true);
			stall = PORT_FOREVER;
		}
	}
}

static void retire_all(struct mirror_list *list, struct mirror *const *m, size_t count)
{
	for (size_t i = 0, nr; i < count; i += nr) {
		nr = count - i < LIGHT_BATCH ? count - i : LIGHT_BATCH;
		retire_mirrors_(list, m + i, nr);
		gate_let_others(&list->lock);
	}
}

/* Retire those of the @count dead mirrors that are drained, even if another is not. */
static int drain_all(struct mirror_list *list, struct mirror *const *m, size_t count, enum drain_fence fence,
		     uint64_t deadline_ns)
{
	struct rest rest __attribute__((cleanup(resume_), unused)) = rest_(slots_mine(&list->walkers));
	/* C (pairs with mirror_pin.c:A, mirror_pin.c:E): dead before the look at the pins. */
	int rc = fence_drain_(list, fence);
	size_t drained = 0;

	if (rc == 0 && !any_pin_(list))
		drained = count;
	for (; drained < count && rc == 0; drained += rc == 0)
		rc = drain(list, m[drained], deadline_ns);
	retire_all(list, m, drained);
	return rc;
}

/* The kernel's way: wait for every walk of the list. */
static int synchronize(struct mirror_list *list, struct mirror *const *m, size_t count, uint64_t timeout_ns)
{
	struct garbage garbage;
	int rc;

	gate_lock(&list->lock);
	take_garbage_(list, &garbage);
	gate_unlock(&list->lock);
	rc = list->sync->synchronize(list->sync_state, timeout_ns);
	gate_lock(&list->lock);
	if (rc)
		put_garbage_back_(list, &garbage);
	else
		recycle_(list, &garbage);
	gate_unlock(&list->lock);
	free_chunks_(list, &garbage);
	if (rc == 0)
		retire_all(list, m, count);
	return rc;
}

/* ---- unregister and wait ---- */

/* Over a lock: those of @list that come first in @m, at most @count; how many. */
static size_t remove_locked(struct mirror_list *list, struct mirror *const *m, size_t count, uint64_t timeout_ns,
			    int *rc)
{
	size_t done = 0, nr;

	*rc = begin_change_(list, timeout_ns);
	if (*rc)
		return 0;
	while (done < count && m[done]->mirror__list == list) {
		nr = batch_of_(m + done, count - done, LOCK_BATCH);
		gate_lock(&list->lock);
		for (size_t i = 0; i < nr; i++)
			unlink_(list, m[done + i]);
		gate_unlock(&list->lock);
		retire_all(list, m + done, nr);
		done += nr;
	}
	end_change_(list);
	return done;
}

/* Mark dead; in the last section of the lock decide whether to interrupt walks: mirror_fence.c says why. */
static size_t mark_and_decide(struct mirror_list *list, struct mirror *const *m, size_t count, enum drain_fence *fence)
{
	size_t marked = 0, nr;

	gate_lock(&list->lock);
	for (;;) {
		nr = batch_of_(m + marked, count - marked, LOCK_BATCH);
		mark_dead(list, m + marked, nr, ENTRY_DEAD);
		marked += nr;
		if (marked == count || m[marked]->mirror__list != list)
			break;
		gate_relock(&list->lock);
	}
	*fence = advance_fence_mode_(list);
	gate_unlock(&list->lock);
	return marked;
}

/* The mutant FENCING_DECIDED_EARLY. */
static size_t decide_and_mark(struct mirror_list *list, struct mirror *const *m, size_t count, enum drain_fence *fence)
{
	(void)count;
	*fence = advance_fence_mode_(list);
	gate_lock(&list->lock);
	mark_dead(list, m, 1, ENTRY_DEAD);
	gate_unlock(&list->lock);
	return 1;
}

/* The same as remove_locked over a grace period. */
static size_t remove_marked(struct mirror_list *list, struct mirror *const *m, size_t count, uint64_t timeout_ns,
			    int *rc)
{
	enum drain_fence fence;
	size_t nr = broken_if(FENCING_DECIDED_EARLY, decide_and_mark, mark_and_decide)(list, m, count, &fence);

	*rc = is_targeted_(list) ? drain_all(list, m, nr, fence, port_deadline(timeout_ns)) :
				   synchronize(list, m, nr, timeout_ns);
	return nr;
}

/* Claimed mirrors of the first one's list, up to one of another: how many.  What is not removed stays claimed. */
static size_t remove_run(struct mirror *const *m, size_t count, uint64_t timeout_ns, int *rc)
{
	struct mirror_list *list = m[0]->mirror__list;
	uint64_t begin = port_now_ns(), took_ns;
	size_t nr = (list->grace_period ? remove_marked : remove_locked)(list, m, count, timeout_ns, rc);

	took_ns = port_now_ns() - begin;
	gate_lock(&list->lock);
	list->nr_drains++;
	if (list->longest_drain_ns < took_ns)
		list->longest_drain_ns = took_ns;
	gate_unlock(&list->lock);
	return nr;
}

static int unregister(struct mirror *const *mirrors, size_t count, uint64_t timeout_ns)
{
	int cancel = port_cancel_disable(); /* a thread that vanished would leave its wait shown */
	int rc = claim_(mirrors, count, true);
	struct wait wait;

	if (!rc) {
		wait = (struct wait){ .mirror = mirrors[0] };
		rc = show_wait_(&wait);
		if (rc)
			give_all_back_(mirrors, count);
	}
	if (rc) {
		port_cancel_restore(cancel);
		return rc;
	}
	if (count > 1 || !mirrors[0]->mirror__list->grace_period)
		decide_(mirrors, count);
	for (size_t i = 0; i < count && rc == 0; )
		i += remove_run(mirrors + i, count - i, timeout_ns, &rc);
	end_wait_(&wait);
	if (rc)
		give_all_back_(mirrors, count);
	port_cancel_restore(cancel);
	return rc;
}

int mirror_unregister(struct mirror *m)
{
	return unregister(&m, 1, PORT_FOREVER);
}

int mirror_unregister_timeout(struct mirror *m, uint64_t timeout_ns)
{
	return unregister(&m, 1, timeout_ns);
}

int mirror_unregister_many(struct mirror *const *mirrors, size_t count)
{
	if (!mirrors && count)
		return -EINVAL;
	return count ? unregister(mirrors, count, PORT_FOREVER) : 0;
}

/* ---- unregister without waiting ---- */

/* Complete those of the pending mirrors with numbers in [@from, @to] that no pin shows. */
static int complete_in_walk(struct walk *begun, enum drain_fence fence, uint64_t from, uint64_t to)
{
	struct walk *walk __attribute__((cleanup(end_walk_))) = begun; /* a done() may throw */
	struct rest rest __attribute__((cleanup(resume_), unused)) = rest_(walk->walker);
	struct mirror_list *list = walk->list;
	uint64_t before = 0;
	struct mirror *m;
	/* C (pairs with mirror_pin.c:A, mirror_pin.c:E): dead before the look at the pins. */
	int rc = fence_drain_(list, fence);

	while (!rc && to >= from) {
		/* Under the lock: a thread that completes a mirror takes it off the pending before it retires the entry. */
		gate_lock(&list->lock);
		m = claim_done_(list, from, &to, &before);
		gate_unlock(&list->lock);
		if (m)
			complete_(list, m, before);
		else
			gate_let_others(&list->lock);
	}
	return rc;
}

/*
 * The same in a walk of its own; the fence of number @to serves their DEAD.  Those that are pinned are left to the
 * threads that unpin them.  0, or -errno: this thread could not look.
 */
static int complete_pending(struct mirror_list *list, enum drain_fence fence, uint64_t from, uint64_t to)
{
	struct walk walk;
	int rc = enter_(&walk, list, my_walker_(list), DONE, MAX_PINS, true);

	return rc ? rc : complete_in_walk(&walk, fence, from, to);
}

int mirror_unregister_async(struct mirror *m, void (*done)(struct mirror *m))
{
	struct mirror_list *list;
	enum drain_fence fence;
	struct wait wait;
	uint64_t number;
	int rc;

	if (!done)
		return -EINVAL;
	rc = claim_(&m, 1, false);
	if (rc)
		return rc;
	list = m->mirror__list;
	rc = begin_shown_change_(list, &wait);
	if (rc) {
		give_back_(m);
		return rc;
	}
	gate_lock(&list->lock);
	put_on_pending_(list, m);
	store_relaxed(&m->mirror__done, done); /* another call may look at the claimer that stood there */
	mark_dead(list, &m, 1, ENTRY_DEAD | ENTRY_ASYNC);
	fence = advance_fence_mode_(list);
	number = m->mirror__fence = list->nr_fences;
	gate_unlock(&list->lock);
	end_shown_change_(list, &wait);
	if (complete_pending(list, fence, number, broken_if(COMPLETE_UNFENCED, NEVER, number)))
		leave_to_others_(list);
	return 0;
}

int mirror_barrier(struct mirror_list *list)
{
	enum drain_fence fence;
	uint64_t last, left;
	uint32_t seen;
	bool to_look;
	int rc = 0;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	gate_lock(&list->lock);
	last = list->nr_fences;
	left = list->nr_left - 1;
	while (!rc && broken_if(BARRIER_FOR_ALL, oldest_pending_(list) != NEVER, oldest_pending_(list) <= last)) {
		seen = event_prepare(&list->event);
		to_look = left != list->nr_left;
		left = list->nr_left;
		fence = to_look ? advance_fence_mode_(list) : DRAIN_FENCES;
		gate_unlock(&list->lock);
		if (to_look)
			rc = complete_pending(list, fence, 1, last);
		else
			event_wait(&list->event, seen, PORT_FOREVER);
		gate_lock(&list->lock);
	}
	gate_unlock(&list->lock);
	return rc;
}
