/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Walks and their pins.  The barriers (the letters) are explained at the top of src/mirror_pin.c.
 */
#ifndef MIRROR_PIN_H
#define MIRROR_PIN_H

#include "mirror_list.h"
#include "mirror_report.h"

/* ---- walks ---- */

/* True if this thread is in a callback of @list. */
bool in_callback_(struct mirror_list *list);
/*
 * Begin a walk that calls @what, if this thread is in fewer than @deepest walks of @list: 0, -ELOOP, or what the sync
 * returned.  @wait: the sync may wait for a lock that others hold.
 */
int enter_(struct walk *walk, struct mirror_list *list, const char *what, uint32_t deepest, bool wait);
/* End it; does nothing if it was not begun.  Also run when an exception passes. */
void leave_(struct walk *walk);

/* ---- which thread pins what ---- */

/* The level at which @w shows a pin of @e; -1: it shows none. */
int pin_level_(const struct walker *w, const struct mirror__entry *e);
/* A walker that shows a pin of @e, and the level; NULL: none does. */
struct walker *pinned_(struct mirror_list *list, const struct mirror__entry *e, int *level);
/* True if any walker of @list shows any pin. */
bool any_pin_(struct mirror_list *list);

/* ---- completing an asynchronous unregister ---- */

/*
 * After C or F, under lock: true if no pin shows the dead @e, and this thread is the first to claim the call of done().
 * Then the mirror is not pending any more, in one section of the gate: no child finds it claimed by a vanished thread.
 */
bool may_complete_(struct mirror_list *list, struct mirror__entry *e);
/* Under lock, before nr_pending is used: in the child of a fork, forget the calls of done() of vanished threads. */
void count_pending_(struct mirror_list *list);
/* This thread has claimed that of @m: give it back to its owner, and call done(). */
void complete_(struct mirror_list *list, struct mirror *m);

/* ---- pin and unpin ---- */

/* The thread has unpinned the dead @e: wake its drain, or complete its asynchronous unregister. */
void unpinned_dead_(struct mirror_list *list, struct mirror__entry *e);

static inline void look_after_unpin_(const struct walk *walk, struct mirror__entry *e)
{
	/* E (pairs with mirror_unregister.c:C): the empty pin before the state. */
	fence_light_unless(UNPIN_NO_FENCE, walk->membarrier);
	if (load_relaxed(&e->state) & ENTRY_DEAD)
		unpinned_dead_(walk->list, e);
}

/* Take the pin of @e away. */
static inline void clear_pin_(const struct walk *walk, struct mirror__entry *e)
{
	/* B (pairs with D): the callback before the empty pin. */
	store_release_unless(UNPIN_NO_RELEASE, walk->pin, NULL);
	unless(NO_WAKE_AFTER_UNPIN, look_after_unpin_(walk, e));
}

/* No callback of @e runs here any more. */
static inline void unpin_(const struct walk *walk, struct mirror__entry *e)
{
	if (walk->timed)
		end_timing_(walk, e);
	clear_pin_(walk, e);
}

static inline void show_pin_(const struct walk *walk, struct mirror__entry *e)
{
	if (walk->timed)
		begin_timing_(walk);
	store_relaxed(walk->pin, e);
	/* A (pairs with mirror_unregister.c:C, F): the pin before the state. */
	fence_light_unless(PIN_NO_FENCE, walk->membarrier);
}

static inline bool pin_in_order_(const struct walk *walk, struct mirror__entry *e)
{
	show_pin_(walk, e);
	if (!(load_acquire(&e->state) & ENTRY_DEAD))
		return true;
	clear_pin_(walk, e); /* no callback ran, so none is timed; and the mirror may not exist */
	return false;
}

/* The mutant PIN_AFTER_CHECK: looks at the state, then pins. */
static inline bool pin_late_(const struct walk *walk, struct mirror__entry *e)
{
	if (load_acquire(&e->state) & ENTRY_DEAD)
		return false;
	show_pin_(walk, e);
	return true;
}

/* A callback of @e is about to run here; false: @e is dead, and none may. */
static inline bool pin_(const struct walk *walk, struct mirror__entry *e)
{
	return broken_if(PIN_AFTER_CHECK, pin_late_(walk, e), pin_in_order_(walk, e));
}

#endif /* MIRROR_PIN_H */
