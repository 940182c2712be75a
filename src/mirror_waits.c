/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which thread waits for which: unregisters that would wait for each other for ever
 *
 * A wait is an unregister under way.  It is shown before its entries are marked dead, under the same lock as the search
 * for a cycle.  So of the threads that close a cycle the last one finds the others: mirror_unregister.c, 2.
 *
 * State: waits, under waits_lock.  A wait is on the stack of the thread that waits.
 */

#include "mirror_waits.h"
#include "mirror_pin.h"

#include <errno.h>

static struct port_mutex waits_lock = PORT_MUTEX_INITIALIZER;
static struct wait *waits;

static bool leads_to(const void *me, struct mirror *const *mirrors, size_t count);

/* True if @thread is @me, or waits for @me.  There is no cycle yet among the waits shown, so the search ends. */
static bool waits_for(const void *thread, const void *me)
{
	if (thread == me)
		return true;
	for (const struct wait *wait = waits; wait; wait = wait->next)
		if (wait->thread == thread && leads_to(me, wait->mirrors, wait->count))
			return true;
	return false;
}

/* True if @w holds up an unregister of @e: by its callback; or, if the sync waits, by any walk (done() runs in one). */
static bool holds_up(const struct mirror_list *list, const struct walker *w,
		     const struct mirror__entry *e)
{
	return is_targeted_(list) ? pin_level_(w, e) >= 0 : load_relaxed(&w->depth) != 0;
}

/* True if a thread that holds up an unregister of these mirrors waits for @me. */
static bool leads_to(const void *me, struct mirror *const *mirrors, size_t count)
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
			if (holds_up(list, w, e) && waits_for(load_relaxed(&w->thread), me))
				return true;
		if (holds_up(list, &list->fallback, e) &&
		    waits_for(load_relaxed(&list->fallback.thread), me))
			return true;
	}
	return false;
}

int show_wait_(struct wait *wait)
{
	bool cycle;

	wait->thread = port_self();
	port_mutex_lock(&waits_lock);
	/* No thread waits for one that is in no callback. */
	cycle = broken_if(CYCLE_UNSEEN, false, *port_walks() && leads_to(wait->thread, wait->mirrors, wait->count));
	if (!cycle) {
		wait->link = &waits;
		wait->next = waits;
		if (waits)
			waits->link = &wait->next;
		waits = wait;
	}
	port_mutex_unlock(&waits_lock);
	return cycle ? -EDEADLK : 0;
}

void end_wait_(struct wait *wait)
{
	port_mutex_lock(&waits_lock);
	*wait->link = wait->next;
	if (wait->next)
		wait->next->link = wait->link;
	port_mutex_unlock(&waits_lock);
}

static void before_fork(void)
{
	port_mutex_lock(&waits_lock);
}

static void after_fork_in_parent(void)
{
	port_mutex_unlock(&waits_lock);
}

/* The other threads' waits are on stacks that do not exist here; the thread that forks is in none. */
static void after_fork_in_child(void)
{
	waits = NULL;
	port_mutex_unlock(&waits_lock);
}

__attribute__((constructor)) static void hook_fork(void)
{
	port_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}
