/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unregister: when a mirror may be freed
 *
 * Terms.  A pin is the entry whose callback a thread runs, shown in its walker, one for each
 * level of nesting; a hazard pointer.  To drain an entry is to wait until it is dead and no pin
 * shows it.  A wait is an unregister under way, shown to the others so that cycles are found.
 *
 * State
 *   walker->pin[]     its own thread writes, drains read
 *   entry->state      read-modify-writes; DEAD is for good
 *   entry->wakes      read-modify-writes; sleepers compare
 *   mirror__state     under list->lock
 *   waits             mirror_waits.c
 *   list->pending     under list->lock: mirror_async.c
 *
 * The states of a mirror:
 *
 *      NONE, GONE --register--> REGISTERED --claim--> CLAIMED --dead, unlinked--> DRAINING
 *                                   ^                    |                       |    |  ^
 *                                   +----not possible----+            timeout, error  |  again
 *                                                                                v    |  |
 *      REGISTERED --async--> ASYNC --drained--> GONE <--------drained------------|----+  |
 *                                                                               DYING ---+
 *
 * Algorithm.  A walk, for each mirror that it calls (pin_ and unpin_, mirror_list.h):
 *   1. Pin the entry; light fence A; if the entry is dead, unpin, and do not call.
 *   2. The callback.
 *   3. Unpin, as a release, B; light fence E; if the entry is dead, wake who drains it.
 * Unregister, of one or many:
 *   4. Claim each mirror, so that nothing else can be done to it; where one cannot be, give the
 *      others back.
 *   5. Show the wait, unless it would close a cycle: a thread that pins what we wait for, and
 *      waits itself for what we pin, directly or through others; or we pin it ourselves.
 *   6. Mark each entry dead and take it out of the array; one heavy fence C for all.
 *   7. Sleep on each entry while a pin shows it, D.
 *   8. Retire the entry: its memory is freed after a grace period, which nobody waits for.
 * Asynchronously (mirror_async.c), instead of 5, 7 and 8: after C, and after each unpinning of such an entry and
 * one more heavy fence F, whoever sees no pin and is the first to set FINISHED retires the entry
 * and calls done().
 *
 * Why it is safe
 *   1. After C every walk either saw the entry dead, or shows its pin: A and C are the two sides
 *      of a store buffering test.  A walk that saw it alive unpins after its callback; one that
 *      pins later sees it dead.  So when no pin shows it, no callback runs or will.
 *      (drain-walk; mutants PIN_AFTER_CHECK, DEAD_AFTER_SCAN, DRAIN_NO_FENCE)
 *   2. What the callback wrote is seen after the drain: B and D.  (drain-walk)
 *   3. No drain sleeps for ever: E and C again; the wake follows a change of wakes, which the
 *      drain read before it looked at the pins.  (drain-sleep; mutant NO_WAKE_AFTER_UNPIN)
 *   4. The walker touches the entry after it has unpinned it: the entry, not the mirror, and
 *      within its section.  (drain-walk)
 *   5. Cycles: a wait is shown before its entry is marked, under one lock with the search, so
 *      that of two threads that close a cycle the later finds the earlier.  A pin of a thread
 *      that waits was set before it took the lock.  (drain-cycle)
 *   6. done() exactly once: FINISHED is set by a read-modify-write.  At least once: of the
 *      threads that unpin last, each makes a heavy fence between its empty pin and its look at
 *      the others', so one of them sees none.  It is heavy,
 *      because who sees the mark may come before the C of who made it.  (drain-async; mutant
 *      UNPIN_ASYNC_NO_FENCE)
 *   7. Where C fails the entry is dead, the mirror DYING, and nobody was told that it is free.
 *
 * With MIRROR_LIST_DRAIN_DOMAIN, or a sync that cannot be polled, 5 and 7 are the sync's
 * synchronize; over a lock, 6 is done under its write_lock, and 5 and 7 are not needed.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | pin | my pin before the look at the state | light | C, F | a callback runs on a freed mirror | drain-walk |
 * | B | unpin | the callback before the empty pin | release | D | freed before the callback's last store | drain-walk |
 * | C | after marking dead | dead before the look at the pins | heavy; full where all walks fence | A, E | as A; a drain sleeps for ever | drain-walk, drain-sleep |
 * | D | the look at the pins | the pins before what follows the drain | acquire | B | as B | drain-walk |
 * | E | unpin | the empty pin before the look at the state | light | C | a drain sleeps for ever | drain-sleep |
 * | F | before looking for others' pins, async | my empty pin, and the mark, before theirs | as C | A, F | nobody calls done(); done() beside a callback | drain-async |
 * | G | marking an entry dead | mirror__done before ASYNC | release | H | done() is called through an old pointer | drain-async, mirror_torture under TSan |
 * | H | unpin of a dead entry | ASYNC before mirror__done | acquire | G | as G | drain-async, mirror_torture under TSan |
 *
 * A and E are full fences, and C and F interrupt nobody, where all walks fence: mirror_fence.c.
 *
 * Sources: Michael, "Hazard Pointers", 2004; Linux mm/mmu_notifier.c v6.12 (what is promised).
 */

#include "mirror_list.h"

#include <errno.h>
#include <limits.h>

/* ---- pins ---- */

int pin_level_(const struct walker *w, const struct mirror__entry *e)
{
	for (int i = 0; i < MAX_PINS; i++)
		if (load_acquire(&w->pin[i]) == e) /* D (pairs with B): the callback before us */
			return i;
	return -1;
}

struct walker *pinned_(struct mirror_list *list, const struct mirror__entry *e, int *level)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		*level = pin_level_(w, e);
		if (*level >= 0)
			return w;
	}
	*level = pin_level_(&list->fallback, e);
	return *level >= 0 ? &list->fallback : NULL;
}

/* Wait until no pin shows @m's entry: 0 or -ETIMEDOUT. */
static int drain(struct mirror_list *list, struct mirror *m, uint64_t deadline_ns)
{
	struct mirror__entry *e = m->mirror__entry;
	uint64_t stall = list->stall_ns ? 0 : PORT_FOREVER;
	uint32_t seen;
	int level, rc;

	for (;;) {
		seen = load_acquire(&e->wakes);
		if (!pinned_(list, e, &level))
			return 0;
		if (!stall)
			stall = port_deadline(list->stall_ns);
		rc = port_futex_wait(&e->wakes, seen, stall < deadline_ns ? stall : deadline_ns);
		if (rc && stall < deadline_ns) {
			report_drain_(list, m);
			stall = PORT_FOREVER;
		} else if (rc) {
			return rc;
		}
	}
}

bool any_pin_(struct mirror_list *list)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); )
		if (has_pin_(w))
			return true;
	return has_pin_(&list->fallback);
}

/* ---- taking mirrors out ---- */

/* What @m is in while an unregister is at it; or -errno: none can begin. */
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
	default:
		return -EALREADY;
	}
}

/* Claim those of the first one's list, up to one that cannot be: how many; @rc: why no more. */
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
	port_mutex_lock(&list->lock);
	for (; claimed < count; claimed++) {
		state = claimed_state(m[claimed]);
		if (state < 0 || m[claimed]->mirror__list != list)
			break;
		set_state_(m[claimed], (enum mirror_state)state);
	}
	port_mutex_unlock(&list->lock);
	*rc = state < 0 ? state : 0;
	return claimed;
}

void give_back_(struct mirror *m)
{
	struct mirror_list *list = m->mirror__list;

	port_mutex_lock(&list->lock);
	if (get_state_(m) == STATE_CLAIMED)
		set_state_(m, STATE_REGISTERED);
	else if (get_state_(m) == STATE_DRAINING)
		set_state_(m, STATE_DYING);
	port_mutex_unlock(&list->lock);
}

int claim_(struct mirror *const *mirrors, size_t count, bool to_wait)
{
	size_t claimed = 0;
	int rc = 0;

	while (claimed < count && !rc)
		claimed += claim_run(mirrors + claimed, count - claimed, to_wait, &rc);
	while (rc && claimed > 0)
		give_back_(mirrors[--claimed]);
	return rc;
}

size_t mark_dead_(struct mirror_list *list, struct mirror *const *mirrors, size_t count, uint32_t how)
{
	size_t i;

	for (i = 0; i < count && mirrors[i]->mirror__list == list; i++) {
		struct mirror *m = mirrors[i];
		struct mirror__entry *e = m->mirror__entry;

		/*
		 * Nobody else writes it until it is ASYNC; the drain's fence follows.
		 * G (pairs with H): done before ASYNC.
		 */
		if (!MUTANT(DEAD_AFTER_SCAN))
			store_release(&e->state, load_relaxed(&e->state) | how);
		if (get_state_(m) == STATE_CLAIMED)
			unlink_(list, m);
		set_state_(m, how & ENTRY_ASYNC ? STATE_ASYNC : STATE_DRAINING);
	}
	return i;
}

/* Entries are used again when no walk can see them. */
void forget_(struct mirror_list *list, struct mirror *const *mirrors, size_t count)
{
	struct garbage garbage = { 0 };

	port_mutex_lock(&list->lock);
	for (size_t i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];

		if (MUTANT(DEAD_AFTER_SCAN))
			fetch_or(&m->mirror__entry->state, ENTRY_DEAD);
		retire_entry_(list, m->mirror__entry);
		store_relaxed(&m->mirror__entry, NULL);
		set_state_(m, STATE_GONE);
	}
	list->nr_mirrors -= count;
	reclaim_(list, &garbage);
	port_mutex_unlock(&list->lock);
	free_arrays_(list, &garbage);
}

/* Over a lock: those of @list that come first in @m, at most @count; how many. */
static size_t remove_locked(struct mirror_list *list, struct mirror *const *m, size_t count,
			    uint64_t timeout_ns, int *rc)
{
	size_t nr;

	*rc = list->sync->write_lock(list->sync_state, timeout_ns);
	if (*rc)
		return 0;
	port_mutex_lock(&list->lock);
	for (nr = 0; nr < count && m[nr]->mirror__list == list; nr++)
		unlink_(list, m[nr]);
	port_mutex_unlock(&list->lock);
	forget_(list, m, nr);
	list->sync->write_unlock(list->sync_state);
	return nr;
}

/* Forget those of the @count marked that are drained, also where another is not. */
static int drain_all(struct mirror_list *list, struct mirror *const *m, size_t count, bool interrupt,
		     uint64_t deadline_ns)
{
	int rc = fence_drain_(interrupt); /* C (pairs with A, E): dead before the look at the pins */
	size_t drained = 0;

	if (rc == 0 && !any_pin_(list))
		drained = count;
	for (; drained < count && rc == 0; drained += rc == 0)
		rc = drain(list, m[drained], deadline_ns);
	forget_(list, m, drained);
	return rc;
}

/* The kernel's way: wait for every walk of the list. */
static int synchronize(struct mirror_list *list, struct mirror *const *m, size_t count,
		       uint64_t timeout_ns)
{
	struct garbage garbage;
	int rc;

	port_mutex_lock(&list->lock);
	take_garbage_(list, &garbage);
	port_mutex_unlock(&list->lock);
	rc = list->sync->synchronize(list->sync_state, timeout_ns);
	port_mutex_lock(&list->lock);
	if (rc)
		put_garbage_back_(list, &garbage);
	else
		recycle_(list, &garbage);
	port_mutex_unlock(&list->lock);
	free_arrays_(list, &garbage);
	if (rc == 0)
		forget_(list, m, count);
	return rc;
}

/* The same over a grace period. */
static size_t remove_marked(struct mirror_list *list, struct mirror *const *m, size_t count,
			    uint64_t timeout_ns, int *rc)
{
	bool interrupt;
	size_t nr;

	if (MUTANT(FENCING_DECIDED_EARLY))
		interrupt = advance_fence_mode_(list);
	port_mutex_lock(&list->lock);
	nr = mark_dead_(list, m, count, ENTRY_DEAD);
	if (!MUTANT(FENCING_DECIDED_EARLY))
		interrupt = advance_fence_mode_(list);
	port_mutex_unlock(&list->lock);
	*rc = is_targeted_(list) ? drain_all(list, m, nr, interrupt, port_deadline(timeout_ns)) :
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
	port_mutex_lock(&list->lock);
	list->nr_drains++;
	if (list->longest_drain_ns < took_ns)
		list->longest_drain_ns = took_ns;
	port_mutex_unlock(&list->lock);
	return nr;
}

static int unregister(struct mirror *const *mirrors, size_t count, uint64_t timeout_ns)
{
	struct wait wait = { .mirrors = mirrors, .count = count };
	int cancel = port_cancel_disable(); /* a wait that vanished would stay shown */
	size_t i;
	int rc = claim_(mirrors, count, true);

	if (!rc) {
		rc = show_wait_(&wait);
		for (i = 0; rc && i < count; i++)
			give_back_(mirrors[i]);
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
			give_back_(mirrors[i]);
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

void unpinned_dead_(struct mirror_list *list, struct mirror__entry *e)
{
	fetch_add(&e->wakes, 1);
	port_futex_wake(&e->wakes, INT_MAX);
	if (load_acquire(&e->state) & ENTRY_ASYNC) /* H (pairs with G): ASYNC before done */
		unpinned_async_(list, e);
}
