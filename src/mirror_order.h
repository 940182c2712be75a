/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which entries a walk calls, and in what order
 *
 * Terms.  The array holds whole-list mirrors, in order of registration.  The index holds range mirrors; those of them
 * that a walk must call are its hits.
 *
 * Algorithm
 *   1. A walk goes along the array, then over the hits in order of key: the first byte, then the registration.  The
 *      way back is over the hits, then along the array.
 *   2. Hits are taken from the index a few leaves at a time, on the walk's own stack, so that the memory of their
 *      entries and mirrors is fetched at once.  Then the walk goes on with the index where it stopped: the nodes stay
 *      as long as its section.  Hits of a leaf that changed meanwhile can be out of order, and are put in order by
 *      insertion.
 *   3. A refusal or an exception is undone for the entries before one: all of the array and the hits with lower keys,
 *      or a part of the array and no hits.
 *
 * Why it is safe
 *   1. Each entry that takes part is a hit exactly once, whatever changes while callbacks run: index.h, 1 and 2.
 *   2. Hits that take part come in order of key: their leaves do (index.h, 3), and keys are the entries' own.  Both are
 *      constant, so start, end and undo agree on what is before what.
 *   (t/mirror/walk_model; explorer: list-range, list-range-batches, list-range-refuse; mutants HIT_TRUSTED, UNDO_ALL,
 *   UNDO_BY_JOINED)
 *
 * Cost.  That of a find, and for each hit a comparison with the one before.  No memory but 1100 bytes of stack.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | the look at a place | the place before its entry's joined | acquire | mirror_register.c:B | a bracket calls a mirror that joined later | list-place |
 */
#ifndef MIRROR_ORDER_H
#define MIRROR_ORDER_H

#include "mirror_list.h"

/* What a walk looks for. */
struct view {
	uint64_t first, last;           /* bytes, both inclusive */
	uint64_t before;                /* entries that joined before this */
	const struct index_item *until; /* of the hits, those with a lower key */
};

/* No item has its key. */
static const struct index_item last_item = { .first = UINT64_MAX, .tie = UINT64_MAX };

/* ---- the array ---- */

/* The places of an array that are still to be looked at, from one side or the other. */
struct places {
	struct mirror__entry *const *from, *const *to;
};

static inline bool joined_before(const struct mirror__entry *e, uint64_t seq)
{
	return load_relaxed(&e->joined) < seq;
}

static inline struct places places_of(const struct mirror_list *list)
{
	const struct whole_array *whole = load_acquire(&list->whole);

	return (struct places){ whole->place, whole->place + load_acquire(&whole->used) };
}

static inline bool places_left(const struct places *places)
{
	return places->from != places->to;
}

/* What is in the next place, if it joined before @seq; or NULL. */
static inline struct mirror__entry *places_next(struct places *places, uint64_t seq, bool backwards)
{
	/* A (pairs with mirror_register.c:B): when the entry joined, even if the place was used again. */
	struct mirror__entry *e = load_acquire(backwards ? --places->to : places->from++);

	if (e && broken_if(PLACE_TRUSTED, backwards || joined_before(e, seq), joined_before(e, seq)))
		return e;
	return NULL;
}

/* ---- the index ---- */

/* Room for what is taken from the index at once. */
#define HITS_ROOM (2 * INDEX_WIDE)

struct hits {
	const struct view *view;
	struct index_find find;
	uint32_t next, nr;
	const struct index_item *item[HITS_ROOM];
};

/* In a walk of @list; @view stays where it is. */
void hits_begin(struct hits *h, const struct mirror_list *list, const struct view *view, bool backwards);
/* Take more; false: there are none. */
bool hits_take_(struct hits *h);

/* The next hit, or NULL. */
static inline struct mirror__entry *hits_next(struct hits *h)
{
	if (h->next == h->nr && (index_find_is_over(&h->find) || !hits_take_(h)))
		return NULL;
	return (struct mirror__entry *)((char *)(uintptr_t)h->item[h->next++] - offsetof(struct mirror__entry, item));
}

/* ---- both, forwards ---- */

struct forwards {
	struct view view;
	struct places places;
	struct hits hits;
};

/* In a walk of @list. */
static inline void forwards_begin(struct forwards *f, const struct mirror_list *list, struct view view)
{
	f->view = view;
	f->places = places_of(list);
	hits_begin(&f->hits, list, &f->view, false);
}

/* The next entry of the view, or NULL. */
static inline struct mirror__entry *forwards_next(struct forwards *f)
{
	struct mirror__entry *e;

	while (places_left(&f->places)) {
		e = places_next(&f->places, f->view.before, false);
		if (e)
			return e;
	}
	return hits_next(&f->hits);
}

#endif /* MIRROR_ORDER_H */
