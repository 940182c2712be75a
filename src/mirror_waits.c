/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which thread waits for which: unregisters that would wait for each other for ever
 *
 * A wait is an unregister under way.  It is shown before its entries are marked dead, under the same lock as the search
 * for a cycle.  So of the threads that close a cycle the last one finds the others: mirror_unregister.c, 2.
 *
 * State: record->wait, written by its thread under waits_lock.  A wait is on the stack of the thread that waits.  What
 * a thread that vanished with a fork waited for is never looked at: its walkers have vanished too.
 */

#include "mirror_waits.h"
#include "mirror_pin.h"

#include <errno.h>

static struct port_mutex waits_lock = PORT_MUTEX_INITIALIZER;
/* The wait of a thread without memory for a record; if there are more of them, only one is shown. */
static const struct wait *fallback_wait;

static bool leads_to(uint64_t me, struct mirror *const *mirrors, size_t count);

/* True if the thread of @w is @me, or waits for @me.  There is no cycle yet among the waits shown, so the search ends. */
static bool waits_for(const struct mirror_list *list, const struct walker *w, uint64_t me)
{
	bool is_fallback = w == &list->fallback;
	uint64_t thread = is_fallback ? load_relaxed(&list->fallback_owner) : load_relaxed(&slots_record_of(&w->slot)->self);
	const struct wait *wait = is_fallback ? fallback_wait : load_relaxed(&slots_record_of(&w->slot)->wait);

	if (process_same(thread, me))
		return true;
	for (; wait; wait = wait->outer)
		if (process_same(wait->thread, thread) && leads_to(me, wait->mirrors, wait->count))
			return true;
	return false;
}

/* True if @w holds up an unregister of @e: by its callback; or, if the sync waits, by any walk (done() runs in one). */
static bool holds_up(const struct mirror_list *list, const struct walker *w,
		     const struct mirror__entry *e)
{
	return (is_targeted_(list) ? pin_level_(w, e) >= 0 : depth_of_(w) != 0) && !vanished_(list, w);
}

/* True if a thread that holds up an unregister of these mirrors waits for @me. */
static bool leads_to(uint64_t me, struct mirror *const *mirrors, size_t count)
{
	const struct mirror_list *idle = NULL;

	for (size_t k = 0; k < count; k++) {
		struct mirror_list *list = mirrors[k]->mirror__list;
		const struct mirror__entry *e = load_relaxed(&mirrors[k]->mirror__entry);
		struct walker *w;

		if (!e || list == idle)
			continue; /* the mirror is drained already, or no callback runs at all */
		if (k == 0 && is_targeted_(list) && !any_pin_(list)) {
			idle = list;
			continue;
		}
		for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); )
			if (holds_up(list, w, e) && waits_for(list, w, me))
				return true;
		if (holds_up(list, &list->fallback, e) && waits_for(list, &list->fallback, me))
			return true;
	}
	return false;
}

/* Where this thread's waits are shown; NULL: nowhere. */
static const struct wait **place_of(const struct wait *wait)
{
	if (wait->record)
		return &wait->record->wait;
	return !fallback_wait || !process_has(fallback_wait->thread) || process_is_me(fallback_wait->thread) ?
	       &fallback_wait : NULL;
}

int show_wait_(struct wait *wait)
{
	const struct wait **place;
	bool cycle;

	wait->record = slots_record();
	wait->thread = process_self();
	gate_lock(&waits_lock);
	/* No thread waits for one that is in no callback. */
	cycle = broken_if(CYCLE_UNSEEN, false, *port_walks() && leads_to(wait->thread, wait->mirrors, wait->count));
	place = place_of(wait);
	if (!cycle && place) {
		wait->outer = wait->record ? *place : NULL;
		store_relaxed(place, wait);
	}
	gate_unlock(&waits_lock);
	return cycle ? -EDEADLK : 0;
}

void end_wait_(struct wait *wait)
{
	const struct wait **place = wait->record ? &wait->record->wait : &fallback_wait;

	gate_lock(&waits_lock);
	if (*place == wait)
		store_relaxed(place, wait->outer);
	gate_unlock(&waits_lock);
}
