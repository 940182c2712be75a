/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which thread waits for which: calls that would wait for each other for ever
 *
 * Terms.  A wait is a call under way that sleeps until walks are over: an unregister, for the callbacks of its mirrors
 * or for every walk of their list; over a lock also a registration, an asynchronous unregister, and a publisher behind
 * one of these, for every walk of the list.  A thread holds up a wait if it is in such a callback or walk.
 *
 * State
 *   record->wait      under waits_lock; a wait is on the stack of the thread that waits
 *   wait->search, next        under waits_lock
 *   What a thread that vanished with a fork waited for is never looked at: its walkers have vanished too.
 *
 * Algorithm
 *   1. Only a thread that is in a walk can hold up another one.  So a thread that is in none shows nothing.
 *   2. Search, breadth first: the threads that hold up this wait; then those that hold up their waits, and so on.  Each
 *      wait is entered once.  If this thread is among them, the wait would close a cycle.
 *   3. To know whose mirror a walker pins, ask the pinned entry: who has claimed its mirror?  So a wait for a million
 *      mirrors costs no more than a wait for one: a look at each walker of their list.
 *
 * Why it is safe
 *   1. Of the threads that close a cycle the last one finds the others: search and show are one section of waits_lock.
 *      Each has set its pins before that, and has claimed its mirrors.  (drain-cycle; mutant CYCLE_UNSEEN)
 *   2. An entry that a walker pins is not used again while list->lock is held, because that takes a grace period and
 *      the lock.  Its mirror is not its owner's yet unless the entry is RETIRED, which is set under the lock.
 *      (t/mirror/torture under AddressSanitizer)
 *
 * Not seen: barriers, fills, and a thread that waits for its turn with the walker of those without memory.
 *
 * Cost.  Of a thread that is in no walk: nothing.  Else waits_lock is held for a look at each walker of each list that
 * a wait of the search is for; after MOST_LOOKS the answer is -EDEADLK, so that no thread waits for longer.
 */

#include "mirror_waits.h"
#include "mirror_memory.h"

#include <errno.h>

static struct port_mutex waits_lock = PORT_MUTEX_INITIALIZER;
/* The wait of a thread without memory for a record; if there are more of them, only one is shown. */
static struct wait *fallback_wait;

/* Some milliseconds: two thousand threads that all wait for each other. */
#define MOST_LOOKS 4000000u

/* A search under way. */
struct search {
	uint64_t number;
	uint64_t me;                    /* the thread that must not be found */
	uint32_t looks;
	struct wait *last;              /* entered so far */
};

/* True if @w shows a pin of an entry whose mirror @thread has claimed. */
static bool pins_claimed(struct mirror_list *list, const struct walker *w, uint64_t thread)
{
	uint32_t depth = depth_of_(w);
	bool found = false;

	gate_lock(&list->lock);
	for (uint32_t i = 0; !found && i < depth && i < MAX_PINS; i++) {
		const struct mirror__entry *e = load_acquire(&w->pin[i]);
		enum mirror_state state;

		if (!e || load_relaxed(&e->state) & (ENTRY_RETIRED | ENTRY_PROXY))
			continue;
		state = get_state_(e->mirror);
		found = (state == STATE_CLAIMED || state == STATE_DRAINING) &&
			process_same(load_relaxed(&e->mirror->mirror__claimer), thread);
	}
	gate_unlock(&list->lock);
	return found;
}

/* True if @w's thread holds up @wait, as far as that is about @list. */
static bool holds_up(struct mirror_list *list, const struct walker *w, const struct wait *wait)
{
	if (!depth_of_(w) || vanished_(list, w))
		return false;
	return wait->list || !is_targeted_(list) || pins_claimed(list, w, wait->thread);
}

/* Enter what the thread of @w waits in.  True: it is this thread. */
static bool enter_waits(struct search *search, const struct mirror_list *list, const struct walker *w)
{
	bool is_fallback = w == &list->fallback;
	uint64_t thread = is_fallback ? load_relaxed(&list->fallback_owner) : load_relaxed(&slots_record_of(&w->slot)->self);
	struct wait *wait = is_fallback ? fallback_wait : load_relaxed(&slots_record_of(&w->slot)->wait);

	if (process_same(thread, search->me))
		return true;
	for (; wait; wait = wait->outer) {
		if (!process_same(wait->thread, thread) || wait->search == search->number)
			continue;
		wait->search = search->number;
		wait->next = NULL;
		search->last->next = wait;
		search->last = wait;
	}
	return false;
}

/* True if this thread is among those that hold up @wait in @list; the waits of the others are entered. */
static bool look_at_list(struct search *search, struct mirror_list *list, const struct wait *wait)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		if (++search->looks > MOST_LOOKS)
			return true;
		if (holds_up(list, w, wait) && enter_waits(search, list, w))
			return true;
	}
	return holds_up(list, &list->fallback, wait) && enter_waits(search, list, &list->fallback);
}

static bool look_at(struct search *search, const struct wait *wait)
{
	if (wait->list)
		return look_at_list(search, (struct mirror_list *)(uintptr_t)wait->list, wait);
	/* One mirror of each list; it has no entry any more when that list's are drained. */
	for (const struct mirror *m = wait->mirror; m; m = m->mirror__next)
		if (load_relaxed(&m->mirror__entry) && look_at_list(search, m->mirror__list, wait))
			return true;
	return false;
}

static bool closes_cycle(struct wait *mine)
{
	static uint64_t searches;
	struct search search = { .number = ++searches, .me = mine->thread, .last = mine };

	mine->search = search.number;
	mine->next = NULL;
	for (const struct wait *wait = mine; wait; wait = wait->next)
		if (look_at(&search, wait))
			return true;
	return false;
}

/* Where this thread's waits are shown; NULL: nowhere. */
static struct wait **place_of(const struct wait *wait)
{
	if (wait->record)
		return &wait->record->wait;
	return !fallback_wait || !process_has(fallback_wait->thread) || process_is_me(fallback_wait->thread) ?
	       &fallback_wait : NULL;
}

/* Unless it closes a cycle; @anyway: even then. */
static int show(struct wait *wait, bool anyway)
{
	struct wait **place;
	bool cycle;

	wait->is_shown = false;
	if (!*port_walks())
		return 0; /* no thread waits for one that is in no walk */
	wait->record = slots_record();
	wait->thread = process_self();
	gate_lock(&waits_lock);
	cycle = broken_if(CYCLE_UNSEEN, false, !anyway && closes_cycle(wait));
	place = place_of(wait);
	if (!cycle && place) {
		wait->outer = *place && process_is_me((*place)->thread) ? *place : NULL;
		store_relaxed(place, wait);
		wait->is_shown = true;
	}
	gate_unlock(&waits_lock);
	return cycle ? -EDEADLK : 0;
}

int show_wait_(struct wait *wait)
{
	return show(wait, false);
}

void show_wait_anyway_(struct wait *wait)
{
	show(wait, true);
}

void end_wait_(struct wait *wait)
{
	if (!wait->is_shown)
		return;
	gate_lock(&waits_lock);
	store_relaxed(wait->record ? &wait->record->wait : &fallback_wait, wait->outer);
	gate_unlock(&waits_lock);
}

int begin_shown_change_(struct mirror_list *list, struct wait *wait)
{
	int rc;

	*wait = (struct wait){ .list = list };
	if (list->grace_period)
		return 0;
	rc = show_wait_(wait);
	if (rc)
		return rc;
	rc = begin_change_(list, PORT_FOREVER);
	if (rc)
		end_wait_(wait);
	return rc;
}

/* The change may have waited again, behind the allocator. */
void end_shown_change_(struct mirror_list *list, struct wait *wait)
{
	end_wait_(wait);
	end_change_(list);
}
