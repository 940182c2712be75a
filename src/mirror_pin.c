/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Pins: why a mirror may be freed that no thread pins
 *
 * Terms.  A walk is one level of callbacks of one list in one thread.  A pin is the entry whose callback the thread
 * runs, shown in its walker, one for each level of nesting; it is a hazard pointer.  To drain an entry is to wait until
 * it is dead and no pin shows it (mirror_unregister.c).  A mirror that is unregistered asynchronously is pending until
 * a thread has claimed the call of its done(); that thread completes it.
 *
 * State
 *   walker->pin[]     its own thread writes, drains read
 *   walker->depth     its own thread writes
 *   entry->state      read-modify-writes, or under list->lock; DEAD is for good (mirror_list.h)
 *   entry->wakes      read-modify-writes; sleepers compare
 *   list->pending     under list->lock: in order of mirror__fence, the number of the fence that serves their DEAD
 *   walker->completing        its own thread writes, under list->lock: the least such number of the mirrors whose
 *                     done() it is in; that of a thread that vanished with a fork does not count
 *   list->event       calls of mirror_barrier sleep on it
 *
 * Algorithm.  A walk, for each mirror that it calls (pin_ and unpin_, mirror_pin.h):
 *   1. Pin the entry; light fence A; if the entry is dead, unpin, and do not call.
 *   2. The callback.
 *   3. Unpin, by a release, B; light fence E; if the entry is dead, wake its drain.
 * The drain marks the entry dead, executes the heavy fence C, and sleeps while a pin shows the entry.
 *   4. If the owner does not wait (ASYNC), then after C the caller of mirror_unregister_async, and after 3 and one more
 *      heavy fence F the thread that has unpinned, looks at the pins.  If no pin shows the entry, the first of them to
 *      set COMPLETED retires the entry and calls done().
 *
 * Why it is safe
 *   1. After C each walk either saw the entry dead, or shows its pin.  A and C are the two sides of a store buffering
 *      test:
 *
 *          a walk                             a drain
 *          walker->pin = e                    e->state |= DEAD
 *          fence A                            fence C
 *          if (e->state & DEAD)               if (walker->pin == e)
 *                  do not call                        sleep until it is unpinned
 *          call the mirror                    free the mirror
 *
 *      Both cannot read the old value.  A walk that read "alive" unpins after its callback; a walk that pins later
 *      reads "dead".  So when no pin shows the entry, no callback runs or will.
 *      (drain-walk; mutants PIN_AFTER_CHECK, DEAD_AFTER_SCAN, DRAIN_NO_FENCE)
 *   2. The drain sees what the callback wrote: B and D.  (drain-walk)
 *   3. No drain sleeps for ever.  E and C are the same test again, and the wake follows a change of wakes, which the
 *      drain read before it looked at the pins:
 *
 *          a walk                             a drain
 *                                             e->state |= DEAD
 *                                             fence C
 *                                             seen = e->wakes
 *          walker->pin = NULL                 if (walker->pin == e)
 *          fence E                                    sleep while e->wakes == seen
 *          if (e->state & DEAD)
 *                  e->wakes++, wake
 *
 *      (drain-sleep; mutant NO_WAKE_AFTER_UNPIN)
 *      Of a walker the drain looks at depth, and then at the pins below it.  A walk stores its depth before the pin, so
 *      what is said of the pin holds for both.
 *   4. A walk touches the entry after it has unpinned it: the entry, not the mirror, and within its section.
 *      (drain-walk)
 *   5. done() is called at most once: COMPLETED is set by a read-modify-write.
 *   6. done() is called at least once.  Each of the threads that unpin last fences between its own empty pin and its
 *      look at the other pins, so one of them sees none:
 *
 *          a walk                             another walk
 *          walker->pin = NULL                 walker->pin = NULL
 *          fence F                            fence F
 *          if (no pin shows e)                if (no pin shows e)
 *                  claim, done()                      claim, done()
 *
 *      F is heavy, because a thread may see DEAD before the thread that set it has executed its C.
 *      (drain-async; mutant UNPIN_ASYNC_NO_FENCE)
 *
 * A and E are full fences if the list has no membarrier.  C and F interrupt no thread if all walks begin with a fence:
 * mirror_fence.c.
 *
 * Cost.  Of a mirror that is called: two stores to the walker, and two loads of the entry's own line.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | pin | my pin before the look at the state | light | mirror_unregister.c:C, F | a callback runs on a freed mirror | drain-walk |
 * | B | unpin | the callback before the empty pin | release | D | freed before the callback's last store | drain-walk |
 * | D | the look at the pins | the pins before what follows the drain | acquire | B | as B | drain-walk |
 * | E | unpin | the empty pin before the look at the state | light | mirror_unregister.c:C, mirror_garbage.c:A | a drain sleeps for ever; a walk looks at memory that is used again | drain-sleep, list-stalled-wakes |
 * | F | before the look at the others' pins, async | my empty pin, and DEAD, before theirs | as C | A, F | nobody calls done(); done() beside a callback | drain-async |
 * | H | unpin of a dead entry | ASYNC before mirror__done | acquire | mirror_unregister.c:G | done() is called through an old pointer | drain-async, t/mirror/torture under TSan |
 * | J | enter | the fence mode before the look at the state of entries | acquire | mirror_fence.c:A | a callback runs on a freed mirror | fence-end |
 * | K | enter | depth before all that the walk sees | light | mirror_garbage.c:A | a walk looks at memory that is used again | none: it is for the compiler alone |
 *
 * Source: Michael, "Hazard Pointers", 2004.
 */

#include "mirror_pin.h"

#include "mirror_memory.h"
#include "mirror_report.h"
#include "mirror_waits.h"

#include <limits.h>

/* ---- walkers ---- */

static bool is_my_turn(const struct mirror_list *list)
{
	return process_is_me(load_relaxed(&list->fallback_owner));
}

bool in_callback_(struct mirror_list *list)
{
	const struct walker *w = slots_mine(&list->walkers);

	return (w && depth_of_(w)) || is_my_turn(list);
}

/* The owner vanished with a fork: its walks are not under way here. */
static void forget_walks(struct walker *w)
{
	for (int i = 0; i < MAX_PINS; i++)
		store_relaxed(&w->pin[i], NULL);
	store_relaxed(&w->completing, 0);
	store_relaxed(&w->depth, 0);
	store_relaxed(&w->rests, 0);
}

/* Threads without memory take turns with one walker, a walk each. */
static void take_turn(struct mirror_list *list)
{
	uint64_t owner;
	uint32_t seen;

	for (;;) {
		seen = event_prepare(&list->fallback_event);
		owner = load_acquire(&list->fallback_owner);
		if (!process_has(owner) && compare_exchange(&list->fallback_owner, &owner, process_self()))
			break;
		event_wait(&list->fallback_event, seen, PORT_FOREVER);
	}
	if (owner)
		forget_walks(&list->fallback);
	store_relaxed(&list->fallback_tid, port_tid());
}

static void give_turn(struct mirror_list *list)
{
	store_release(&list->fallback_owner, 0);
	event_signal(&list->fallback_event);
}

struct walker *get_walker_(struct mirror_list *list)
{
	struct walker *w;

	/* A walk within a walk has the same walker, even if there is memory by now. */
	if (is_my_turn(list))
		return &list->fallback;
	w = slots_claim(&list->walkers);
	if (w)
		return w;
	take_turn(list);
	return &list->fallback;
}

/* ---- walks ---- */

/*
 * In a walk of another list, behind a change of this one, which waits for all walks of this one: so does the publisher.
 * Its start may be refused, or a release; an end, or a done(), is too late for that.
 */
static int lock_behind_change(struct mirror_list *list, enum callback what)
{
	struct wait wait = { .list = list };
	int token = 0;

	if (what == START || what == RELEASE)
		token = show_wait_(&wait);
	else
		show_wait_anyway_(&wait);
	if (!token)
		token = list->sync->read_lock(list->sync_state);
	end_wait_(&wait);
	return token;
}

/* A token, or -errno. */
static int lock_to_read(struct mirror_list *list, enum callback what, bool wait)
{
	const struct mirror_sync *sync = list->sync;
	bool may_try = sync->read_trylock != NULL, may_show = !list->grace_period && *port_walks();
	int token = -EAGAIN;

	if (may_try && (!wait || may_show))
		token = sync->read_trylock(list->sync_state);
	if (token >= 0 || (may_try && !wait))
		return token;
	return may_show ? lock_behind_change(list, what) : sync->read_lock(list->sync_state);
}

int begin_other_section_(struct walk *walk, enum callback what, bool wait)
{
	struct mirror_list *list = walk->list;
	const struct mirror_sync *sync = list->sync;
	int token = 0;

	if (list->sections)
		token = usrcu_lend_shared_(list->sections);
	else if (sync->read_lock)
		token = lock_to_read(list, what, wait);
	if (token < 0) {
		if (walk->walker == &list->fallback)
			give_turn(list);
		return token;
	}
	own_inc(&walk->walker->counts.open[0]); /* the slot is in use */
	walk->token = token;
	return 0;
}

void end_other_section_(const struct walk *walk)
{
	struct mirror_list *list = walk->list;

	(void)own_dec(&walk->walker->counts.open[0]); /* a release: C of slots.h */
	if (list->sections)
		usrcu_take_back_(list->sections, NULL, walk->token);
	else if (list->sync->read_unlock)
		list->sync->read_unlock(list->sync_state, walk->token);
	if (walk->walker == &list->fallback)
		give_turn(list);
}

void not_my_walk_(const struct mirror_list *list)
{
	port_fatal("a walk ends", "its fiber slept in a callback, and this thread walked on, or is another one", list);
}

/* ---- pin and unpin ---- */

uint32_t pin_watched_(struct walk *walk, struct mirror__entry *e)
{
	if (walk->list->stall_ns) {
		store_relaxed(walk->pin, NULL); /* who sees the pin reads which callback it is, and when it began */
		begin_timing_(walk);
		store_release(walk->pin, e);
	}
	/* A (pairs with mirror_unregister.c:C, F): the pin before the state. */
	fence_light_unless(PIN_NO_FENCE, walk->list->membarrier);
	return load_acquire(&e->state);
}

static void unpinned_dead(struct mirror_list *list, struct mirror__entry *e);

void after_unpin_(struct walk *walk, struct mirror__entry *e)
{
	/* E (pairs with mirror_unregister.c:C, mirror_garbage.c:A): the empty pin before the state. */
	fence_light_unless(UNPIN_NO_FENCE, walk->list->membarrier);
	if (!(load_relaxed(&e->state) & ENTRY_DEAD))
		return;
	walk->left = e;
	unless(NO_WAKE_AFTER_UNPIN, unpinned_dead(walk->list, e));
}

/* ---- which thread pins what ---- */

int pin_level_(const struct walker *w, const struct mirror__entry *e)
{
	uint32_t depth = depth_of_(w);

	for (uint32_t i = 0; i < depth && i < MAX_PINS; i++)
		if (load_acquire(&w->pin[i]) == e) /* D (pairs with B): the callback before us */
			return (int)i;
	return -1;
}

struct walker *pinned_(struct mirror_list *list, const struct mirror__entry *e, int *level)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		*level = pin_level_(w, e);
		if (*level >= 0 && !vanished_(list, w))
			return w;
	}
	*level = pin_level_(&list->fallback, e);
	return *level >= 0 && !vanished_(list, &list->fallback) ? &list->fallback : NULL;
}

static bool has_pin(const struct mirror_list *list, const struct walker *w)
{
	uint32_t depth = depth_of_(w);

	for (uint32_t i = 0; i < depth && i < MAX_PINS; i++)
		if (load_acquire(&w->pin[i])) /* D, if none is found */
			return !vanished_(list, w);
	return false;
}

bool any_pin_(struct mirror_list *list)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); )
		if (has_pin(list, w))
			return true;
	return has_pin(list, &list->fallback);
}

/* ---- completing an asynchronous unregister ---- */

void put_on_pending_(struct mirror_list *list, struct mirror *m)
{
	m->mirror__next = NULL;
	m->mirror__link = list->pending_end;
	*list->pending_end = m;
	list->pending_end = &m->mirror__next;
}

static void take_off_pending(struct mirror_list *list, struct mirror *m)
{
	*m->mirror__link = m->mirror__next;
	if (m->mirror__next)
		m->mirror__next->mirror__link = m->mirror__link;
	else
		list->pending_end = m->mirror__link;
}

/* The mirror whose mirror__next that is; NULL: it is the list's. */
static struct mirror *owner_of(struct mirror_list *list, struct mirror **link)
{
	return link == &list->pending ? NULL :
	       (struct mirror *)(void *)((char *)link - offsetof(struct mirror, mirror__next));
}

/* The number of the oldest done() that @w's thread is in. */
static uint64_t completing(const struct mirror_list *list, const struct walker *w)
{
	uint64_t number = depth_of_(w) && !vanished_(list, w) ? load_relaxed(&w->completing) : 0;

	return number ? number : NEVER;
}

uint64_t oldest_pending_(struct mirror_list *list)
{
	uint64_t oldest = completing(list, &list->fallback), number;
	struct walker *w;

	if (list->pending && list->pending->mirror__fence < oldest)
		oldest = list->pending->mirror__fence;
	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		number = completing(list, w);
		oldest = number < oldest ? number : oldest;
	}
	return oldest;
}

/* A done() under way: mirror_barrier waits for it. */
struct completion {
	struct mirror_list *list;
	struct walker *walker;
	uint64_t before;                /* walker->completing */
	int cancel;
	bool by_publisher;
};

/* Also run when an exception passes. */
static void done_is_over(struct completion *c)
{
	struct mirror_list *list = c->list;
	port_signals signals;

	if (c->by_publisher)
		port_signals_block(&signals);
	gate_lock(&list->lock);
	store_relaxed(&c->walker->completing, c->before);
	gate_unlock(&list->lock);
	if (c->by_publisher)
		port_signals_restore(&signals);
	event_signal(&list->event);
	port_cancel_restore(c->cancel);
}

/* It runs within a walk, so that done() is known as a callback. */
static void complete(struct mirror_list *list, struct mirror *m, uint64_t before, port_signals *blocked)
{
	struct completion c __attribute__((cleanup(done_is_over), unused)) = {
		list, my_walker_(list), before, port_cancel_disable(), blocked != NULL
	};
	void (*done)(struct mirror *m) = m->mirror__done;

	retire_mirrors_(list, &m, 1);
	if (blocked)
		port_signals_restore(blocked);
	done(m);
}

void complete_(struct mirror_list *list, struct mirror *m, uint64_t before)
{
	complete(list, m, before, NULL);
}

/* After C or F, under lock: as claim_done_, of the dead @e. */
static bool may_complete(struct mirror_list *list, struct mirror__entry *e, uint64_t *before)
{
	struct walker *mine = my_walker_(list);
	uint64_t number;
	int level;

	if (pinned_(list, e, &level) || fetch_or(&e->state, ENTRY_COMPLETED) & ENTRY_COMPLETED)
		return false;
	take_off_pending(list, e->mirror);
	number = e->mirror->mirror__fence;
	*before = mine->completing;
	if (!*before || number < *before)
		store_relaxed(&mine->completing, number);
	return true;
}

struct mirror *claim_done_(struct mirror_list *list, uint64_t from, uint64_t *to, uint64_t *before)
{
	struct mirror *m = owner_of(list, list->pending_end);

	while (m && m->mirror__fence > *to)
		m = owner_of(list, m->mirror__link);
	*to = m ? m->mirror__fence - 1 : 0;
	return m && m->mirror__fence >= from && may_complete(list, m->mirror__entry, before) ? m : NULL;
}

void leave_to_others_(struct mirror_list *list)
{
	gate_lock(&list->lock);
	list->nr_left++;
	gate_unlock(&list->lock);
	event_signal(&list->event);
}

/*
 * A walk takes the list's lock here alone, and in mirror_fence.c, with signals blocked: a handler that publishes on the
 * list must not find the lock held by the walk that it interrupts.
 */
static void unpinned_async(struct mirror_list *list, struct mirror__entry *e)
{
	struct rest rest __attribute__((cleanup(resume_), unused)) = rest_(slots_mine(&list->walkers));
	enum drain_fence fence;
	port_signals signals;
	uint64_t before;
	bool claimed;
	int rc;

	port_signals_block(&signals);
	gate_lock(&list->lock);
	fence = advance_fence_mode_(list);
	gate_unlock(&list->lock);
	/* F (pairs with A, F): my empty pin before the look at theirs; and DEAD, whose own C may still be to come. */
	rc = broken_if(UNPIN_ASYNC_NO_FENCE, 0, fence_drain_(list, fence));
	gate_lock(&list->lock);
	claimed = !rc && may_complete(list, e, &before);
	gate_unlock(&list->lock);
	if (rc)
		leave_to_others_(list); /* they find the same error */
	if (claimed)
		complete(list, e->mirror, before, &signals);
	else
		port_signals_restore(&signals);
}

static void unpinned_dead(struct mirror_list *list, struct mirror__entry *e)
{
	fetch_add(&e->wakes, 1);
	port_futex_wake(&e->wakes, INT_MAX);
	if (load_acquire(&e->state) & ENTRY_ASYNC) /* H (pairs with mirror_unregister.c:G): ASYNC before done */
		unpinned_async(list, e);
}
