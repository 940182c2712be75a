/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unregister: when a mirror is its owner's again
 *
 * Terms.  Pins and drains are those of mirror_pin.c, which proves that a drained mirror may be freed.  A wait is an
 * unregister under way, shown to the others so that cycles are found (mirror_waits.c).
 *
 * State
 *   mirror__state     under list->lock; the states are drawn in mirror_list.h
 *   mirror__fence     under list->lock: the number of the fence that serves the mirror's DEAD
 *   list->pending     mirror_pin.c
 *   list->nr_fences   mirror_fence.c
 *
 * Algorithm.  Unregister, of one or many:
 *   1. Claim each mirror, so that no other call can change it; if one cannot be claimed, give the others back.
 *   2. Show the wait, unless it would close a cycle: a thread that pins what we wait for waits itself, directly or
 *      through others, for what we pin; or we pin it ourselves.
 *   3. Mark each entry dead and unlink it; one heavy fence C for all.
 *   4. Sleep on each entry while a pin shows it, D.
 *   5. Retire the entry: its memory is freed after a grace period, for which no thread waits.
 * Asynchronously, instead of 2, 4 and 5:
 *   6. The mirror is pending.  After C, or after an unpin and F, the thread that sees no pin completes it
 *      (mirror_pin.c).  The caller completes every other pending mirror too that it sees unpinned.
 *   7. mirror_barrier completes what it can, and sleeps until every done() has returned.
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

#include "mirror_fence.h"
#include "mirror_fill.h"
#include "mirror_memory.h"
#include "mirror_pin.h"
#include "mirror_report.h"
#include "mirror_waits.h"

#include <errno.h>

/* ---- claims ---- */

/* The state of @m while this unregister is at it; or -errno: none can begin. */
static int claimed_state(const struct mirror *m)
{
	if (!m)
		return -EINVAL;
	switch (get_state_(m)) {
	case STATE_REGISTERED:
		return STATE_CLAIMED;
	case STATE_DYING: /* an earlier wait has ended early */
		return STATE_DRAINING;
	case STATE_NONE:
	case STATE_JOINING:
		return -ENOENT;
	case STATE_CLAIMED: /* by a thread that vanished with a fork, maybe: then it is as if that one had ended early */
	case STATE_DRAINING:
		return process_has(load_relaxed(&m->mirror__claimer)) ? -EALREADY : (int)get_state_(m);
	default:
		return -EALREADY;
	}
}

/* Claim those of the first one's list, up to one that cannot be claimed: how many; @rc: why no more. */
static size_t claim_run(struct mirror *const *m, size_t count, bool to_wait, int *rc)
{
	int state = claimed_state(m[0]);
	struct mirror_list *list;
	size_t claimed = 0;

	if (state >= 0) {
		list = m[0]->mirror__list;
		if ((to_wait ? !is_targeted_(list) : !list->grace_period) && in_callback_(list))
			state = -EDEADLK;
	}
	*rc = state < 0 ? state : 0;
	if (*rc)
		return 0;
	gate_lock(&list->lock);
	for (; claimed < count; claimed++) {
		state = claimed_state(m[claimed]);
		if (state < 0 || m[claimed]->mirror__list != list)
			break;
		store_relaxed(&m[claimed]->mirror__claimer, process_self());
		set_state_(m[claimed], (enum mirror_state)state);
	}
	gate_unlock(&list->lock);
	*rc = state < 0 ? state : 0;
	return claimed;
}

static void give_back(struct mirror *m)
{
	struct mirror_list *list = m->mirror__list;

	gate_lock(&list->lock);
	if (get_state_(m) == STATE_CLAIMED)
		set_state_(m, STATE_REGISTERED);
	else if (get_state_(m) == STATE_DRAINING)
		set_state_(m, STATE_DYING);
	gate_unlock(&list->lock);
}

/* Make @count mirrors ours to unregister; if one cannot be claimed, the others are given back. */
static int claim(struct mirror *const *mirrors, size_t count, bool to_wait)
{
	size_t claimed = 0;
	int rc = 0;

	while (claimed < count && !rc)
		claimed += claim_run(mirrors + claimed, count - claimed, to_wait, &rc);
	while (rc && claimed > 0)
		give_back(mirrors[--claimed]);
	return rc;
}

/*
 * Under lock: no callback starts any more of those of @list that come first in @mirrors, unless a walk has pinned the
 * entry already.  Return how many they are.
 */
static size_t mark_dead(struct mirror_list *list, struct mirror *const *mirrors, size_t count, uint32_t how)
{
	size_t i;

	for (i = 0; i < count && mirrors[i]->mirror__list == list; i++) {
		struct mirror *m = mirrors[i];
		struct mirror__entry *e = m->mirror__entry;

		/*
		 * Until ASYNC is set, only the claimer writes state; fence C follows.
		 * G (pairs with mirror_pin.c:H): done before ASYNC.
		 */
		unless(DEAD_AFTER_SCAN, store_release(&e->state, load_relaxed(&e->state) | how));
		if (get_state_(m) == STATE_CLAIMED)
			unlink_(list, m);
		set_state_(m, how & ENTRY_ASYNC ? STATE_ASYNC : STATE_DRAINING);
		if (load_relaxed(&e->state) & ENTRY_FILLS)
			unless(FILL_DIES_MUTE, fill_died_(m, e));
	}
	return i;
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
	retire_mirrors_(list, m, drained);
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
		retire_mirrors_(list, m, count);
	return rc;
}

/* ---- unregister and wait ---- */

/* Over a lock: those of @list that come first in @m, at most @count; how many. */
static size_t remove_locked(struct mirror_list *list, struct mirror *const *m, size_t count, uint64_t timeout_ns,
			    int *rc)
{
	size_t nr;

	*rc = begin_change_(list, timeout_ns);
	if (*rc)
		return 0;
	gate_lock(&list->lock);
	for (nr = 0; nr < count && m[nr]->mirror__list == list; nr++)
		unlink_(list, m[nr]);
	gate_unlock(&list->lock);
	retire_mirrors_(list, m, nr);
	end_change_(list);
	return nr;
}

/* Mark dead, then decide whether to interrupt walks, under one lock: mirror_fence.c says why. */
static size_t mark_and_decide(struct mirror_list *list, struct mirror *const *m, size_t count, enum drain_fence *fence)
{
	size_t nr;

	gate_lock(&list->lock);
	nr = mark_dead(list, m, count, ENTRY_DEAD);
	*fence = advance_fence_mode_(list);
	gate_unlock(&list->lock);
	return nr;
}

/* The mutant FENCING_DECIDED_EARLY. */
static size_t decide_and_mark(struct mirror_list *list, struct mirror *const *m, size_t count, enum drain_fence *fence)
{
	size_t nr;

	*fence = advance_fence_mode_(list);
	gate_lock(&list->lock);
	nr = mark_dead(list, m, count, ENTRY_DEAD);
	gate_unlock(&list->lock);
	return nr;
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
	struct wait wait = { .mirrors = mirrors, .count = count };
	int cancel = port_cancel_disable(); /* a thread that vanished would leave its wait shown */
	size_t i;
	int rc = claim(mirrors, count, true);

	if (!rc) {
		rc = show_wait_(&wait);
		for (i = 0; rc && i < count; i++)
			give_back(mirrors[i]);
	}
	if (rc) {
		port_cancel_restore(cancel);
		return rc;
	}
	for (i = 0; i < count && rc == 0; )
		i += remove_run(mirrors + i, count - i, timeout_ns, &rc);
	end_wait_(&wait);
	for (i = 0; rc && i < count; i++)
		if (get_state_(mirrors[i]) != STATE_GONE)
			give_back(mirrors[i]);
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

/* A pending mirror that this thread may complete, whose DEAD the fence of that number serves; or NULL. */
static struct mirror *one_to_complete(struct mirror_list *list, uint64_t number)
{
	struct mirror *m;

	/* Under the lock: a thread that completes a mirror takes it off the pending before it retires the entry. */
	gate_lock(&list->lock);
	for (m = list->pending; m; m = m->mirror__next)
		if (broken_if(COMPLETE_UNFENCED, true, m->mirror__fence <= number) &&
		    may_complete_(list, m->mirror__entry))
			break;
	gate_unlock(&list->lock);
	return m;
}

static int complete_in_walk(struct walk *begun, enum drain_fence fence, uint64_t number)
{
	struct walk *walk __attribute__((cleanup(end_walk_))) = begun; /* a done() may throw */
	struct rest rest __attribute__((cleanup(resume_), unused)) = rest_(walk->walker);
	struct mirror *m;
	/* C (pairs with mirror_pin.c:A, mirror_pin.c:E): dead before the look at the pins. */
	int rc = fence_drain_(walk->list, fence);

	while (!rc && (m = one_to_complete(walk->list, number)))
		complete_(walk->list, m);
	return rc;
}

/*
 * Complete the pending mirrors that no pin shows, and whose DEAD the fence of that number serves.  The others are left
 * to the threads that unpin them, or that have marked them dead.  0 or -errno.
 */
static int complete_pending(struct mirror_list *list, enum drain_fence fence, uint64_t number)
{
	struct walk walk;
	int rc = enter_(&walk, list, my_walker_(list), DONE, MAX_PINS, true);

	return rc ? rc : complete_in_walk(&walk, fence, number);
}

int mirror_unregister_async(struct mirror *m, void (*done)(struct mirror *m))
{
	struct mirror_list *list;
	enum drain_fence fence;
	uint64_t number;
	int rc;

	if (!done)
		return -EINVAL;
	rc = claim(&m, 1, false);
	if (rc)
		return rc;
	list = m->mirror__list;
	rc = begin_change_(list, PORT_FOREVER);
	if (rc) {
		give_back(m);
		return rc;
	}
	gate_lock(&list->lock);
	count_pending_(list);
	store_relaxed(&m->mirror__done, done); /* another call may look at the claimer that stood there */
	m->mirror__link = &list->pending;
	m->mirror__next = list->pending;
	if (m->mirror__next)
		m->mirror__next->mirror__link = &m->mirror__next;
	list->pending = m;
	list->nr_pending++;
	mark_dead(list, &m, 1, ENTRY_DEAD | ENTRY_ASYNC);
	fence = advance_fence_mode_(list);
	number = m->mirror__fence = list->nr_fences;
	gate_unlock(&list->lock);
	end_change_(list);
	complete_pending(list, fence, number); /* mirror_barrier finds an error again */
	return 0;
}

int mirror_barrier(struct mirror_list *list)
{
	enum drain_fence fence;
	uint64_t number;
	uint32_t seen;
	int rc = 0;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	gate_lock(&list->lock);
	count_pending_(list);
	while (list->nr_pending && !rc) {
		seen = event_prepare(&list->event);
		fence = advance_fence_mode_(list);
		number = list->nr_fences;
		gate_unlock(&list->lock);
		rc = complete_pending(list, fence, number);
		if (!rc)
			event_wait(&list->event, seen, PORT_FOREVER);
		gate_lock(&list->lock);
	}
	gate_unlock(&list->lock);
	return rc;
}
