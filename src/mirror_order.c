/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Hits in order of registration: mirror_order.h says how. */

#include "mirror_order.h"

#include <string.h>

/* How many are taken from the index at once, so that their memory comes while the next are found. */
#define BATCH 32
/* Runs of so many are sorted by counting. */
#define RUN 16

/* ---- in order ---- */

/* Where a hit belongs among @nr is how many come before it: no two joined at once. */
static void sort_run(const struct hit *hits, size_t nr, struct hit *sorted)
{
	for (size_t i = 0; i < nr; i++) {
		size_t before = 0;

		for (size_t k = 0; k < nr; k++)
			before += hits[k].key < hits[i].key;
		sorted[before] = hits[i];
	}
}

/* Without a branch on a comparison, which would be mispredicted every second time. */
static void merge(const struct hit *a, const struct hit *b, const struct hit *end, struct hit *merged)
{
	const struct hit *end_of_a = b;

	while (a < end_of_a && b < end) {
		bool second = b->key < a->key;

		*merged++ = second ? *b : *a;
		b += second;
		a += !second;
	}
	while (a < end_of_a)
		*merged++ = *a++;
	while (b < end)
		*merged++ = *b++;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* @spare: as much room again.  Returns where they are in order: here or there. */
static struct hit *sort_in(struct hit *hits, size_t nr, struct hit *spare)
{
	struct hit *from = spare, *to = hits, *swap;

	for (size_t i = 0; i < nr; i += RUN)
		sort_run(hits + i, smaller(RUN, nr - i), spare + i);
	for (size_t run = RUN; run < nr; run *= 2) {
		for (size_t i = 0; i < nr; i += 2 * run)
			merge(from + i, from + smaller(i + run, nr), from + smaller(i + 2 * run, nr), to + i);
		swap = from;
		from = to;
		to = swap;
	}
	return from;
}

static __attribute__((noinline)) void sort_few(struct order *o)
{
	struct hit spare[FEW_HITS];

	if (sort_in(o->hits, o->nr_hits, spare) == spare)
		memcpy(o->hits, spare, o->nr_hits * sizeof(spare[0]));
}

static void sort(struct order *o)
{
	/* Ranges are often registered by address: then they were found in order. */
	if (o->is_sorted)
		return;
	if (o->pages)
		o->hits = sort_in(o->hits, o->nr_hits, o->pages + o->room);
	else
		sort_few(o);
}

/* ---- a heap of hits with the hindmost on top ---- */

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

/* Keep the foremost of the hits that are still to be given out. */
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

void order_find_hits_(struct order *o)
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

static struct hit *next_hit(struct order *o)
{
	if (o->next == o->nr_hits && o->nr_found > o->nr_hits) {
		o->done = o->hits[o->nr_hits - 1].key + 1;
		pass(o);
		sort(o);
	}
	return o->next < o->nr_hits ? &o->hits[o->next] : NULL;
}

struct mirror__entry *order_merge_(struct order *o)
{
	struct hit *hit = next_hit(o);
	struct mirror__entry *e;

	if (!o->from_roll)
		o->from_roll = order_in_roll(o);
	e = o->from_roll;
	if (hit && (!e || hit->key < (load_relaxed(&e->joined) ^ o->flip))) {
		o->next++;
		return hit->entry;
	}
	o->from_roll = NULL;
	return e;
}
