/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Walks and their pins.  The barriers (the letters) are explained at the top of src/mirror_pin.c.
 */
#ifndef MIRROR_PIN_H
#define MIRROR_PIN_H

#include "mirror_fence.h"
#include "mirror_list.h"

#include <errno.h>

/* ---- walks ---- */

/* True if this thread is in a callback of @list. */
bool in_callback_(struct mirror_list *list);

/* The same for a thread without one: a new one, or its turn with the one that the threads without memory share. */
struct walker *get_walker_(struct mirror_list *list);
/* This thread's walker.  A walk must follow, so that a shared one is given back. */
static inline struct walker *my_walker_(struct mirror_list *list)
{
	struct walker *w = slots_mine(&list->walkers);

	return unlikely(!w) ? get_walker_(list) : w;
}

/* The section of an outermost walk over another sync, or with the shared walker: 0 or -errno. */
int begin_other_section_(struct walk *walk, enum callback what, bool wait);
/* Then, if the walker is shared, it is another thread's turn. */
void end_other_section_(const struct walk *walk);

static inline int begin_section_(struct walk *walk, enum callback what, bool wait)
{
	struct usrcu *d = walk->list->sections;

	if (unlikely(!d || walk->walker == &walk->list->fallback))
		return begin_other_section_(walk, what, wait);
	walk->token = (int)usrcu_open_(d, &walk->walker->counts);
	return 0;
}

static inline void end_section_(const struct walk *walk)
{
	struct usrcu *d = walk->list->sections;

	if (unlikely(!d || walk->walker == &walk->list->fallback))
		end_other_section_(walk);
	else
		usrcu_close_(d, &walk->walker->counts, (uint32_t)walk->token); /* a release: C of slots.h */
}

/*
 * Begin a walk of @w that calls @what, if its thread is in fewer than @deepest walks of @list: 0, -ELOOP, or what the
 * sync returned.  @wait: the sync may wait for a lock that others hold.
 */
static inline int enter_(struct walk *walk, struct mirror_list *list, struct walker *w, enum callback what,
			 uint32_t deepest, bool wait)
{
	uint32_t depth = depth_of_(w);
	int rc;

	walk->list = list;
	walk->walker = w;
	walk->depth = depth;
	walk->pin = &w->pin[depth];
	if (depth == 0) {
		rc = begin_section_(walk, what, wait);
		own_inc(&w->walks);
	} else {
		rc = unlikely(depth >= deepest) ? -ELOOP : 0;
		own_inc(&w->nested);
	}
	if (what > FINISH || unlikely(rc))
		own_inc(&w->others);
	if (unlikely(rc))
		return rc;
	store_relaxed(&w->what[depth], (uint8_t)what);
	store_relaxed(&w->depth, depth + 1);
	/* K (pairs with mirror_garbage.c:A): depth before all that the walk sees. */
	fence_compiler();
	++*port_walks();
	/*
	 * J (pairs with mirror_fence.c:A): before the look at the state of entries.  Without membarrier it is never
	 * OFF: the fence is A of usrcu.c too, for the section, and for the bracket that the caller has begun.
	 */
	walk->rests_in_callbacks = false;
	if (unlikely(load_acquire(&list->fencing) != FENCING_OFF)) {
		unless(WALK_NO_FENCE, fence_walk_(w));
		walk->rests_in_callbacks = load_relaxed(&w->slow);
	}
	return 0;
}

/* The thread has unpinned @e, and its state says that there may be more to do. */
void after_unpin_(struct walk *walk, struct mirror__entry *e);

/* A thread ends a walk that is not its innermost one. */
void not_my_walk_(const struct mirror_list *list) __attribute__((noreturn, cold));

/* End it. */
static inline void leave_(struct walk *walk)
{
	struct mirror_list *list = walk->list;
	struct walker *w = walk->walker;
	uint32_t depth = walk->depth;

	if (unlikely(depth_of_(w) != depth + 1 || (w != slots_mine(&list->walkers) && w != &list->fallback)))
		not_my_walk_(list);
	--*port_walks();
	store_release(&w->depth, depth);
	if (depth == 0)
		end_section_(walk);
}

/* A cleanup: the walk ends also when an exception passes. */
static inline void end_walk_(struct walk **walk)
{
	leave_(*walk);
}

/* ---- which thread pins what ---- */

/* The level at which @w shows a pin of @e; -1: it shows none. */
int pin_level_(const struct walker *w, const struct mirror__entry *e);
/* A walker that shows a pin of @e, and the level; NULL: none does. */
struct walker *pinned_(struct mirror_list *list, const struct mirror__entry *e, int *level);
/* True if any walker of @list shows any pin. */
bool any_pin_(struct mirror_list *list);

/* ---- completing an asynchronous unregister ---- */

/* Under lock: @m is dead, and no thread waits for its callbacks. */
void put_on_pending_(struct mirror_list *list, struct mirror *m);
/* Under lock: the number (mirror__fence) of the oldest whose done() has not returned; NEVER: there is none. */
uint64_t oldest_pending_(struct mirror_list *list);
/*
 * Under lock, after a fence whose number is not below @to: look at the newest pending mirror with a number in
 * [@from, @to], and let @to be below it.  If no pin shows it, and this thread is the first to claim the call of its
 * done(), return it; else NULL.  Then the mirror is not pending any more, in one section of the gate: no child finds it
 * claimed by a vanished thread.  @before is for complete_.
 */
struct mirror *claim_done_(struct mirror_list *list, uint64_t from, uint64_t *to, uint64_t *before);
/* This thread has claimed that of @m: give it back to its owner, and call done(). */
void complete_(struct mirror_list *list, struct mirror *m, uint64_t before);
/* Some pending mirror was left, because this thread could not look at its pins: a waiting mirror_barrier looks. */
void leave_to_others_(struct mirror_list *list);

/* ---- pin and unpin ---- */

/* The entry is WATCHED: pin it with a fence, and note when its callback begins. */
uint32_t pin_watched_(struct walk *walk, struct mirror__entry *e);

/* Show @e in @pin, and return its state. */
static inline uint32_t show_pin_(struct mirror__entry **pin, struct mirror__entry *e)
{
	store_relaxed(pin, e);
	/* A (pairs with mirror_unregister.c:C, F): the pin before the state. */
	fence_compiler();
	return load_acquire(&e->state);
}

/* The mutant PIN_AFTER_CHECK: looks at the state, then pins. */
static inline uint32_t show_pin_late_(struct mirror__entry **pin, struct mirror__entry *e)
{
	uint32_t state = load_acquire(&e->state);

	store_relaxed(pin, e);
	return state;
}

/*
 * A callback of @e is about to run here, unless the state that is returned is DEAD.  If it is WATCHED, pin_watched_ must
 * follow.  @pin: the walk's.
 */
static inline uint32_t pin_unwatched_(struct mirror__entry **pin, struct mirror__entry *e)
{
	return broken_if(PIN_AFTER_CHECK, show_pin_late_, show_pin_)(pin, e);
}

static inline uint32_t pin_(struct walk *walk, struct mirror__entry *e)
{
	uint32_t state = pin_unwatched_(walk->pin, e);

	return state & ENTRY_WATCHED ? pin_watched_(walk, e) : state;
}

/* None runs here any more. */
static inline void unpin_(struct walk *walk, struct mirror__entry **pin, struct mirror__entry *e)
{
	/* B (pairs with D): the callback before the empty pin. */
	store_release_unless(UNPIN_NO_RELEASE, pin, NULL);
	/* E (pairs with mirror_unregister.c:C, mirror_garbage.c:A): the empty pin before the state. */
	fence_compiler();
	if (unlikely(load_relaxed(&e->state) & (ENTRY_DEAD | ENTRY_WATCHED)))
		after_unpin_(walk, e);
}

#endif /* MIRROR_PIN_H */
