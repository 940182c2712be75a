/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which entries a walk calls, and in what order
 *
 * Terms.  The array holds whole-list mirrors, in order of registration.  The index holds range mirrors, by address;
 * those of them that a walk must call are its hits.
 *
 * Algorithm.  Hits are put in order of registration, or the reverse, and merged with the array.  One pass over the
 * index keeps them, each with its key.  It takes items in batches, so that the memory of a batch's entries and mirrors
 * is fetched at once.  If hits were not found in order, they are distributed over buckets by key, which leaves little
 * to an insertion sort.  A few hits fit on the stack.  If there are more, they go to pages mapped for the walk.  If no
 * pages can be mapped, a pass keeps the first of the hits that are still to come, in a heap, and further passes go on
 * from there.  So a walk of h hits costs O(log n + h log h), allocates nothing that a program's hooks could see, and
 * cannot fail.
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
};

#define FEW_HITS 128

struct hit {
	uint64_t key;                   /* joined, or its complement: rises in the order of the walk */
	struct mirror__entry *entry;
};

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

struct order {
	struct view view;
	uint64_t flip;                  /* 0, or all ones: the other way round */
	/* The array: what is left of it, and the next entry if it is known already. */
	struct places places;
	struct mirror__entry *from_whole;
	/* The index. */
	const struct index_node *root;
	struct hit *hits;               /* as found, or a heap once they are too many; then in order */
	bool is_sorted;                 /* as found */
	bool is_heap;
	size_t nr_hits, room, next;
	uint64_t nr_found;              /* in the last pass, kept or not */
	uint64_t done;                  /* hits with keys below this have been given out */
	struct hit *pages;              /* or NULL */
	size_t page_bytes;
	struct hit few[FEW_HITS];
};

/* Every entry that takes part in @view; @backwards: the last registered first. */
void order_begin(struct order *o, const struct mirror_list *list, const struct view *view, bool backwards);
/* The next entry, or NULL. */
struct mirror__entry *order_next(struct order *o);

/* Also run when an exception passes. */
static inline void order_end(struct order *o)
{
	if (o->pages)
		port_unmap(o->pages, o->page_bytes);
}

#endif /* MIRROR_ORDER_H */
