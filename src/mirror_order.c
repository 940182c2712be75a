/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Hits in order of registration: mirror_order.h says how. */

#include "mirror_order.h"

#include <string.h>

/* Items taken from the index at once: their memory is fetched while the next ones are found. */
#define BATCH 32
#define BUCKETS 128
/* Hits in a bucket that are left to the insertion sort. */
#define CROWD 16

/* ---- in order ---- */

/*
 * Put each hit in the bucket of its key; the buckets divide the keys from the least to the greatest evenly.  Afterwards
 * only hits of one bucket, CROWD at most, may be out of order.
 */
static void distribute(struct hit *hits, size_t nr, struct hit *spare)
{
	size_t end[BUCKETS] = { 0 }, begin = 0, size;
	uint64_t least = UINT64_MAX, span = 0;
	unsigned shift = 0;

	for (size_t i = 0; i < nr; i++)
		least = hits[i].key < least ? hits[i].key : least;
	for (size_t i = 0; i < nr; i++)
		span |= hits[i].key - least;
	while (span >> shift >= BUCKETS)
		shift++;
	for (size_t i = 0; i < nr; i++)
		end[(hits[i].key - least) >> shift]++;
	for (size_t i = 0; i < BUCKETS; i++) {
		size = end[i];
		end[i] = begin;
		begin += size;
	}
	for (size_t i = 0; i < nr; i++)
		spare[end[(hits[i].key - least) >> shift]++] = hits[i];
	memcpy(hits, spare, nr * sizeof(hits[0]));
	begin = 0;
	for (size_t i = 0; i < BUCKETS; begin = end[i++])
		if (end[i] - begin > CROWD)
			distribute(hits + begin, end[i] - begin, spare);
}

static void insertion_sort(struct hit *hits, size_t nr)
{
	for (size_t i = 1; i < nr; i++) {
		struct hit hit = hits[i];
		size_t k = i;

		for (; k > 0 && hits[k - 1].key > hit.key; k--)
			hits[k] = hits[k - 1];
		hits[k] = hit;
	}
}

/* @spare: as much room again. */
static void sort_in(struct hit *hits, size_t nr, struct hit *spare)
{
	if (nr > CROWD)
		distribute(hits, nr, spare);
	insertion_sort(hits, nr);
}

static __attribute__((noinline)) void sort_few(struct order *o)
{
	struct hit spare[FEW_HITS];

	sort_in(o->few, o->nr_hits, spare);
}

static void sort(struct order *o)
{
	/* Ranges are often registered in order of address; then they were found in order. */
	if (o->is_sorted)
		return;
	if (o->pages)
		sort_in(o->pages, o->nr_hits, o->pages + o->room);
	else
		sort_few(o);
}

/* ---- a heap of hits with the last on top ---- */

static void sink(struct order *o, size_t i)
{
	struct hit hit = o->hits[i];
	size_t child;

	while ((child = 2 * i + 1) < o->nr_hits) {
		if (child + 1 < o->nr_hits && o->hits[child].key < o->hits[child + 1].key)
			child++;
		if (o->hits[child].key <= hit.key)
			break;
		o->hits[i] = o->hits[child];
		i = child;
	}
	o->hits[i] = hit;
}

static void make_heap(struct order *o)
{
	for (size_t i = o->nr_hits / 2; i-- > 0; )
		sink(o, i);
	o->is_heap = true;
	o->is_sorted = false;
}

/* ---- passes over the index ---- */

static bool takes_part(const struct mirror__entry *e, const struct view *view)
{
	return joined_before(e, view->before) && e->first <= view->last && view->first <= e->last;
}

static void keep(struct order *o, struct mirror__entry *e)
{
	struct hit hit = { load_relaxed(&e->joined) ^ o->flip, e };

	if (!takes_part(e, &o->view) || hit.key < o->done)
		return;
	o->nr_found++;
	if (o->nr_hits < o->room) {
		o->is_sorted &= o->nr_hits == 0 || o->hits[o->nr_hits - 1].key < hit.key;
		o->hits[o->nr_hits++] = hit;
		return;
	}
	if (!o->is_heap)
		make_heap(o);
	if (hit.key < o->hits[0].key) {
		o->hits[0] = hit;
		sink(o, 0);
	}
}

/* Keep the first of the hits that are still to be given out. */
static void pass(struct order *o)
{
	struct index_find find;
	void *items[BATCH];
	size_t nr;

	o->hits = o->pages ? o->pages : o->few;
	o->nr_hits = 0;
	o->nr_found = 0;
	o->next = 0;
	o->is_sorted = true;
	o->is_heap = false;
	index_find_begin(&find, o->root, o->view.first, o->view.last);
	do {
		nr = index_find_more(&find, items, BATCH);
		for (size_t i = 0; i < nr; i++)
			keep(o, items[i]);
	} while (nr == BATCH);
}

static void find_hits(struct order *o)
{
	o->room = FEW_HITS;
	o->done = 0;
	pass(o);
	if (o->nr_found > o->room) {
		o->page_bytes = (2 * o->nr_found * sizeof(o->hits[0]) + 4095) & ~(size_t)4095;
		o->pages = port_map(o->page_bytes);
		if (o->pages) {
			o->room = o->page_bytes / sizeof(o->hits[0]) / 2;
			pass(o);
		}
	}
	sort(o);
}

void order_begin(struct order *o, const struct mirror_list *list, const struct view *view, bool backwards)
{
	o->view = *view;
	o->flip = backwards ? UINT64_MAX : 0;
	o->places = places_of(list);
	o->from_whole = NULL;
	o->root = load_acquire(&list->index.root);
	o->pages = NULL;
	o->next = o->nr_hits = 0;
	o->nr_found = 0;
	if (o->root)
		find_hits(o);
}

/* ---- hits and the array, merged ---- */

static struct hit *next_hit(struct order *o)
{
	if (o->next == o->nr_hits && o->nr_found > o->nr_hits) {
		o->done = o->hits[o->nr_hits - 1].key + 1;
		pass(o);
		sort(o);
	}
	return o->next < o->nr_hits ? &o->hits[o->next] : NULL;
}

struct mirror__entry *order_next(struct order *o)
{
	struct hit *hit = next_hit(o);
	struct mirror__entry *e;

	while (!o->from_whole && places_left(&o->places))
		o->from_whole = places_next(&o->places, o->view.before, o->flip != 0);
	e = o->from_whole;
	if (hit && (!e || hit->key < (load_relaxed(&e->joined) ^ o->flip))) {
		o->next++;
		return hit->entry;
	}
	o->from_whole = NULL;
	return e;
}
