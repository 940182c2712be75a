/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which entries a walk calls, and in what order
 *
 * Terms.  The blocks hold whole-list mirrors, in order of registration.  The index holds range mirrors; those of them
 * that a walk must call are its hits.
 *
 * Algorithm
 *   1. A walk goes along the blocks, then over the hits in order of key: the first byte, then the registration.  The
 *      way back is over the hits, then along the blocks.
 *   2. Hits are taken from the index a few leaves at a time, on the walk's own stack, so that the memory of their
 *      entries and mirrors is fetched at once.  Then the walk goes on with the index where it stopped: the nodes stay
 *      as long as its section.  Hits of a leaf that changed meanwhile can be out of order, and are put in order by
 *      insertion.
 *   3. If nodes may have been set free while the walk slept in a callback (mirror_garbage.c), it begins again from the
 *      root, and passes over what comes before its last hit, and that.
 *   4. A refusal or an exception is undone for the entries before one: all of the blocks and the hits with lower keys,
 *      or a part of the blocks and no hits.
 *
 * Why it is safe
 *   1. Each entry that takes part is a hit exactly once, whatever changes while callbacks run: index.h, 1 and 2.
 *   2. Hits that take part come in order of key: their leaves do (index.h, 3), and keys are the entries' own.  Both are
 *      constant, so start, end and undo agree on what is before what, and a walk that begins again on where it was.
 *   (t/mirror/walk_model; explorer: list-range, list-range-batches, list-range-refuse, list-stalled-hits; mutants
 *   HIT_TRUSTED, UNDO_ALL, UNDO_BY_JOINED)
 *
 * Cost.  That of a find, and for each hit a comparison with the one before.  No memory but 1200 bytes of stack.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | the look at a place | the place before its entry's joined | acquire | mirror_blocks.c:B | a bracket calls a mirror that joined later | list-place |
 * | B | on to the next block | a block before what is in it | acquire | mirror_blocks.c:A | a walk follows what the memory held before | t/mirror/torture under TSan: what was there before is written plainly |
 */
#ifndef MIRROR_ORDER_H
#define MIRROR_ORDER_H

#include "mirror_list.h"

#define SELDOM __attribute__((noinline, cold))

/* What a walk looks for. */
struct view {
	uint64_t first, last;           /* bytes, both inclusive */
	uint64_t before;                /* entries that joined before this */
	const struct index_item *until; /* of the hits, those with a lower key than this one; NULL: all */
};

/* ---- the blocks ---- */

/* The places that are still to be looked at, from one side or the other. */
struct places {
	struct mirror__entry *const *from, *const *to;  /* of this block */
	const struct block *block;      /* NULL: there are no more */
};

static inline bool joined_before(const struct mirror__entry *e, uint64_t seq)
{
	return load_relaxed(&e->joined) < seq;
}

static inline struct places places_in(const struct block *block)
{
	return (struct places){ block->place, block->place + load_acquire(&block->used), block };
}

static inline struct places places_of(const struct mirror_list *list, bool backwards)
{
	/* B (pairs with mirror_blocks.c:A): a block before what is in it. */
	return places_in(backwards ? load_acquire(&list->last) : &list->head);
}

static inline bool places_left(const struct places *places)
{
	return places->from != places->to;
}

/* On to the next block, which may have none; false: this was the last one. */
static inline bool places_go_on(struct places *places, bool backwards)
{
	/* B (pairs with mirror_blocks.c:A): a block before what is in it. */
	const struct block *next = load_acquire(backwards ? &places->block->prev : &places->block->next);

	if (next)
		*places = places_in(next);
	return next;
}

/* What is in the next place, if it joined before @seq; or NULL. */
static inline struct mirror__entry *places_next(struct places *places, uint64_t seq, bool backwards)
{
	/* A (pairs with mirror_blocks.c:B): when the entry joined, even if the place was used again. */
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
	const struct mirror_list *list;
	uint64_t nr_frees;              /* of the list, when the find began */
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
	bool has_hits;
	struct hits hits;
};

/* In a walk of @list. */
static inline void forwards_begin(struct forwards *f, const struct mirror_list *list, struct view view)
{
	f->view = view;
	f->places = places_of(list, false);
	f->has_hits = load_acquire(&list->index.root);
	if (f->has_hits)
		hits_begin(&f->hits, list, &f->view, false);
}

/* The next entry of the view, or NULL. */
static inline struct mirror__entry *forwards_next(struct forwards *f)
{
	struct mirror__entry *e;

	while (f->places.block) {
		while (places_left(&f->places)) {
			e = places_next(&f->places, f->view.before, false);
			if (e)
				return e;
		}
		if (!places_go_on(&f->places, false))
			f->places.block = NULL;
	}
	return f->has_hits ? hits_next(&f->hits) : NULL;
}

#endif /* MIRROR_ORDER_H */
