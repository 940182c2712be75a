/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unregister: when a mirror may be freed
 *
 * Terms.  A pin is the entry whose callback a thread runs, shown in its walker, one for each
 * level of nesting; a hazard pointer.  To drain an entry is to wait until it is dead and no pin
 * shows it.  A wait is an unregister under way, shown to the others so that circles are found.
 *
 * State
 *   walker->pin[]     its own thread writes, drains read
 *   entry->state      read-modify-writes; DEAD is for good
 *   entry->wakes      read-modify-writes; sleepers compare
 *   mirror__state     under list->lock
 *   waits             mirror_waits.c
 *   list->pending     under list->lock
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
 * Algorithm.  A walk, for each mirror that it calls (pin_ and unpin_, mirror_impl.h):
 *   1. Pin the entry; light fence A; if the entry is dead, unpin, and do not call.
 *   2. The callback.
 *   3. Unpin, as a release, B; light fence E; if the entry is dead, wake who drains it.
 * Unregister, of one or many:
 *   4. Claim each mirror, so that nothing else can be done to it; where one cannot be, give the
 *      others back.
 *   5. Show the wait, unless it would close a circle: a thread that pins what we wait for, and
 *      waits itself for what we pin, directly or through others; or we pin it ourselves.
 *   6. Mark each entry dead and take it out of the roll; one heavy fence C for all.
 *   7. Sleep on each entry while a pin shows it, D.
 *   8. Retire the entry: its memory is freed after a grace period, which nobody waits for.
 * Asynchronously, instead of 5, 7 and 8: after C, and after each unpinning of such an entry and
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
 *   5. Circles: a wait is shown before its entry is marked, under one lock with the search, so
 *      that of two threads that close a circle the later finds the earlier.  A pin of a thread
 *      that waits was set before it took the lock.  (drain-circle)
 *   6. done() exactly once: FINISHED is set by a read-modify-write.  At least once: of the
 *      threads that unpin last, each makes a heavy fence between its empty pin and its look at
 *      the others', so one of them sees none.  (drain-async)
 *   7. Where C fails the entry is dead, the mirror DYING, and nobody was told that it is free.
 *
 * With MIRROR_LIST_DRAIN_DOMAIN, or a sync that cannot be polled, 5 and 7 are the sync's
 * synchronize; over a lock, 6 is done under its write_lock, and 5 and 7 are not needed.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | pin | my pin before the look at the state | light | C | a callback runs on a freed mirror | drain-walk |
 * | B | unpin | the callback before the empty pin | release | D | freed before the callback's last store | drain-walk |
 * | C | after marking dead | dead before the look at the pins | heavy | A, E | as A; a drain sleeps for ever | drain-walk, drain-sleep |
 * | D | the look at the pins | the pins before what follows the drain | acquire | B | as B | drain-walk |
 * | E | unpin | the empty pin before the look at the state | light | C | a drain sleeps for ever | drain-sleep |
 * | F | before looking for others' pins, async | my empty pin before theirs | heavy | F | nobody calls done() | drain-async |
 * | G | marking an entry dead | mirror__done before ASYNC | release | H | done() is called through an old pointer | drain-async, mirror_torture under TSan |
 * | H | unpin of a dead entry | ASYNC before mirror__done | acquire | G | as G | drain-async, mirror_torture under TSan |
 *
 * Sources: Michael, "Hazard Pointers", 2004; Linux mm/mmu_notifier.c v6.12 (what is promised).
 */

#include "mirror_impl.h"

#include <errno.h>
#include <limits.h>

/* ---- pins ---- */

/* Over a lock there is nobody to order with. */
static int heavy_fence(const struct mirror_list *list)
{
	return MUTANT(DRAIN_NO_FENCE) || !list->grace_period ? 0 : fence_heavy(list->membarrier);
}

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

	for (struct cells_walk i = cells_first(&list->walkers); (w = cells_next(&i)); ) {
		*level = pin_level_(w, e);
		if (*level >= 0)
			return w;
	}
	*level = pin_level_(&list->homeless, e);
	return *level >= 0 ? &list->homeless : NULL;
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

	for (struct cells_walk i = cells_first(&list->walkers); (w = cells_next(&i)); )
		if (has_pin_(w))
			return true;
	return has_pin_(&list->homeless);
}

/* ---- taking mirrors out ---- */

/* Make @m ours to unregister; CLAIMED, or DRAINING where an earlier wait has timed out. */
static int claim(struct mirror *m, bool to_wait)
{
	struct mirror_list *list;
	int rc = 0;

	if (!m)
		return -EINVAL;
	if (get_state_(m) == STATE_NONE || get_state_(m) == STATE_JOINING)
		return -ENOENT;
	if (get_state_(m) == STATE_GONE)
		return -EALREADY;
	list = m->mirror__list;
	if ((to_wait ? !is_targeted_(list) : !list->grace_period) && in_callback_(list))
		return -EDEADLK;
	port_mutex_lock(&list->lock);
	if (get_state_(m) == STATE_REGISTERED)
		set_state_(m, STATE_CLAIMED);
	else if (get_state_(m) == STATE_DYING)
		set_state_(m, STATE_DRAINING);
	else
		rc = -EALREADY;
	port_mutex_unlock(&list->lock);
	return rc;
}

static void give_back(struct mirror *m)
{
	struct mirror_list *list = m->mirror__list;

	port_mutex_lock(&list->lock);
	if (get_state_(m) == STATE_CLAIMED)
		set_state_(m, STATE_REGISTERED);
	else if (get_state_(m) == STATE_DRAINING)
		set_state_(m, STATE_DYING);
	port_mutex_unlock(&list->lock);
}

/* Under lock: no callback starts any more, but where a walk has pinned the entry already. */
static void mark_dead(struct mirror_list *list, struct mirror *m, uint32_t how)
{
	struct mirror__entry *e = m->mirror__entry;

	/*
	 * Nobody else writes it until it is ASYNC; the drain's heavy fence follows.
	 * G (pairs with H): done before ASYNC.
	 */
	if (!MUTANT(DEAD_AFTER_SCAN))
		store_release(&e->state, load_relaxed(&e->state) | how);
	if (get_state_(m) == STATE_CLAIMED)
		unlink_(list, m);
}

/* Nobody will call them: forget them.  Entries are used again when no walk can see them. */
static void forget(struct mirror_list *list, struct mirror *const *mirrors, size_t count)
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
	free_rolls_(list, &garbage);
}

/* @count claimed mirrors of one list, over a lock. */
static int remove_locked(struct mirror_list *list, struct mirror *const *m, size_t count,
			 uint64_t timeout_ns)
{
	int rc = list->sync->write_lock(list->sync_state, timeout_ns);

	if (rc)
		return rc;
	port_mutex_lock(&list->lock);
	for (size_t i = 0; i < count; i++)
		unlink_(list, m[i]);
	port_mutex_unlock(&list->lock);
	forget(list, m, count);
	list->sync->write_unlock(list->sync_state);
	return 0;
}

/* Forget those that are drained, also where another is not. */
static int drain_all(struct mirror_list *list, struct mirror *const *m, size_t count,
		     uint64_t deadline_ns)
{
	int rc = heavy_fence(list); /* C (pairs with A, E): dead before the look at the pins */
	size_t drained = 0;

	if (rc == 0 && !any_pin_(list))
		drained = count;
	for (; drained < count && rc == 0; drained += rc == 0)
		rc = drain(list, m[drained], deadline_ns);
	forget(list, m, drained);
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
	free_rolls_(list, &garbage);
	if (rc == 0)
		forget(list, m, count);
	return rc;
}

/* @count claimed mirrors of one list.  What is not removed stays claimed. */
static int remove_from(struct mirror_list *list, struct mirror *const *m, size_t count,
		       uint64_t timeout_ns)
{
	uint64_t begin = port_now_ns(), took_ns;
	int rc;

	if (!list->grace_period) {
		rc = remove_locked(list, m, count, timeout_ns);
	} else {
		port_mutex_lock(&list->lock);
		for (size_t i = 0; i < count; i++) {
			mark_dead(list, m[i], ENTRY_DEAD);
			set_state_(m[i], STATE_DRAINING);
		}
		port_mutex_unlock(&list->lock);
		rc = is_targeted_(list) ? drain_all(list, m, count, port_deadline(timeout_ns)) :
					 synchronize(list, m, count, timeout_ns);
	}
	took_ns = port_now_ns() - begin;
	port_mutex_lock(&list->lock);
	list->nr_drains++;
	if (list->longest_drain_ns < took_ns)
		list->longest_drain_ns = took_ns;
	port_mutex_unlock(&list->lock);
	return rc;
}

static int unregister(struct mirror *const *mirrors, size_t count, uint64_t timeout_ns)
{
	struct wait wait = { .mirrors = mirrors, .count = count };
	int cancel = port_cancel_disable(); /* a wait that vanished would stay shown */
	size_t claimed, i, end;
	int rc = 0;

	for (claimed = 0; claimed < count; claimed++) {
		rc = claim(mirrors[claimed], true);
		if (rc)
			break;
	}
	if (!rc)
		rc = show_wait_(&wait);
	if (rc) {
		for (i = 0; i < claimed; i++)
			give_back(mirrors[i]);
		port_cancel_restore(cancel);
		return rc;
	}
	for (i = 0; i < count && rc == 0; i = end) {
		struct mirror_list *list = mirrors[i]->mirror__list;

		for (end = i + 1; end < count && mirrors[end]->mirror__list == list; )
			end++;
		rc = remove_from(list, mirrors + i, end - i, timeout_ns);
	}
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

/* ---- without waiting ---- */

/* Under lock. */
static void unpend(struct mirror *m)
{
	*m->mirror__link = m->mirror__next;
	if (m->mirror__next)
		m->mirror__next->mirror__link = m->mirror__link;
}

/* Drained, and FINISHED by us: tell the owner.  Within a walk, so that done() is known as one. */
static void finish(struct mirror_list *list, struct mirror *m)
{
	void (*done)(struct mirror *m) = m->mirror__done;
	int cancel = port_cancel_disable(); /* barrier waits for it */

	port_mutex_lock(&list->lock);
	unpend(m);
	port_mutex_unlock(&list->lock);
	forget(list, &m, 1);
	done(m);
	port_mutex_lock(&list->lock);
	list->nr_pending--;
	fetch_add(&list->wakes, 1);
	if (list->nr_barriers)
		port_futex_wake(&list->wakes, INT_MAX);
	port_mutex_unlock(&list->lock);
	port_cancel_restore(cancel);
}

/* Whether @e is drained, and it falls to us to finish it; after a heavy fence. */
static bool may_finish(struct mirror_list *list, struct mirror__entry *e)
{
	int level;

	return !pinned_(list, e, &level) && !(fetch_or(&e->state, ENTRY_FINISHED) & ENTRY_FINISHED);
}

void unpinned_dead_(struct mirror_list *list, struct mirror__entry *e)
{
	fetch_add(&e->wakes, 1);
	port_futex_wake(&e->wakes, INT_MAX);
	if (!(load_acquire(&e->state) & ENTRY_ASYNC)) /* H (pairs with G): ASYNC before done */
		return;
	/* F (pairs with F): my empty pin before the look at theirs.  Where the fence fails,
	 * barrier tries again. */
	if (heavy_fence(list) == 0 && may_finish(list, e))
		finish(list, e->mirror);
}

/* One of the pending that it falls to us to finish, or NULL. */
static struct mirror *one_to_finish(struct mirror_list *list)
{
	struct mirror *m;

	/* Under the lock, because who finishes an entry takes it out before it is retired. */
	port_mutex_lock(&list->lock);
	for (m = list->pending; m; m = m->mirror__next)
		if (may_finish(list, m->mirror__entry))
			break;
	port_mutex_unlock(&list->lock);
	return m;
}

/* Finish what no pin shows any more; the others are left to those who unpin them.  0 or -errno. */
static int finish_pending(struct mirror_list *list)
{
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	struct mirror *m;
	int rc = enter_(&walk, list, "done", MAX_PINS, true);

	if (!rc)
		rc = heavy_fence(list); /* C, and F for who unpinned one meanwhile */
	while (!rc && (m = one_to_finish(list)))
		finish(list, m);
	return rc;
}

int mirror_unregister_async(struct mirror *m, void (*done)(struct mirror *m))
{
	struct mirror_list *list;
	int rc;

	if (!m || !done)
		return -EINVAL;
	rc = claim(m, false);
	if (rc)
		return rc;
	list = m->mirror__list;
	if (!list->grace_period) {
		rc = list->sync->write_lock(list->sync_state, PORT_FOREVER);
		if (rc) {
			give_back(m);
			return rc;
		}
	}
	port_mutex_lock(&list->lock);
	m->mirror__done = done;
	m->mirror__link = &list->pending;
	m->mirror__next = list->pending;
	if (m->mirror__next)
		m->mirror__next->mirror__link = &m->mirror__next;
	list->pending = m;
	list->nr_pending++;
	mark_dead(list, m, ENTRY_DEAD | ENTRY_ASYNC);
	set_state_(m, STATE_ASYNC);
	port_mutex_unlock(&list->lock);
	if (!list->grace_period)
		list->sync->write_unlock(list->sync_state);
	finish_pending(list); /* an error is found again by barrier */
	return 0;
}

int mirror_barrier(struct mirror_list *list)
{
	uint32_t seen;
	int rc = 0;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	port_mutex_lock(&list->lock);
	list->nr_barriers++;
	while (list->nr_pending && !rc) {
		seen = load_acquire(&list->wakes);
		port_mutex_unlock(&list->lock);
		rc = finish_pending(list);
		if (!rc)
			port_futex_wait(&list->wakes, seen, PORT_FOREVER);
		port_mutex_lock(&list->lock);
	}
	list->nr_barriers--;
	port_mutex_unlock(&list->lock);
	return rc;
}
