/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Hits in order of registration: mirror_order.h says how. */

#include "mirror_order.h"

static uint64_t key(const struct order *o, const struct mirror__entry *e)
{
	return e->joined ^ o->flip;
}

/* ---- a heap of hits with the hindmost on top ---- */

static void sink(struct order *o, size_t i, size_t nr)
{
	struct mirror__entry *e = o->hits[i];
	size_t child;

	while ((child = 2 * i + 1) < nr) {
		if (child + 1 < nr && key(o, o->hits[child]) < key(o, o->hits[child + 1]))
			child++;
		if (key(o, o->hits[child]) <= key(o, e))
			break;
		o->hits[i] = o->hits[child];
		i = child;
	}
	o->hits[i] = e;
}

static void make_heap(struct order *o)
{
	for (size_t i = o->nr_hits / 2; i-- > 0; )
		sink(o, i, o->nr_hits);
}

static void sort(struct order *o)
{
	size_t nr = o->nr_hits;

	/* Ranges are often registered by address: then they were found in order, or the reverse. */
	if (o->ascending)
		return;
	if (o->descending) {
		for (size_t i = 0; i < nr / 2; i++) {
			struct mirror__entry *e = o->hits[i];

			o->hits[i] = o->hits[nr - 1 - i];
			o->hits[nr - 1 - i] = e;
		}
		return;
	}
	if (!o->is_heap)
		make_heap(o);
	for (; nr > 1; nr--) {
		struct mirror__entry *hindmost = o->hits[0];

		o->hits[0] = o->hits[nr - 1];
		sink(o, 0, nr - 1);
		o->hits[nr - 1] = hindmost;
	}
}

/* ---- passes over the index ---- */

static void append(struct order *o, struct mirror__entry *e)
{
	if (o->nr_hits) {
		bool after = key(o, o->hits[o->nr_hits - 1]) < key(o, e);

		o->ascending = o->ascending && after;
		o->descending = o->descending && !after;
	}
	o->hits[o->nr_hits++] = e;
}

static void keep(void *arg, void *item)
{
	struct mirror__entry *e = item;
	struct order *o = arg;

	if (!takes_part(e, &o->view) || key(o, e) < o->done)
		return;
	o->nr_found++;
	if (o->nr_hits < o->room) {
		append(o, e);
		return;
	}
	if (!o->is_heap) {
		make_heap(o);
		o->is_heap = true;
		o->ascending = o->descending = false;
	}
	if (key(o, e) < key(o, o->hits[0])) {
		o->hits[0] = e;
		sink(o, 0, o->nr_hits);
	}
}

/* Keep the foremost of the hits that are still to be given out. */
static void pass(struct order *o)
{
	o->nr_hits = 0;
	o->nr_found = 0;
	o->next = 0;
	o->ascending = o->descending = true;
	o->is_heap = false;
	index_find(o->root, o->view.first, o->view.last, keep, o);
}

void order_find_hits_(struct order *o)
{
	o->hits = o->few;
	o->room = FEW_HITS;
	o->done = 0;
	pass(o);
	if (o->nr_found > o->room) {
		o->page_bytes = (o->nr_found * sizeof(o->hits[0]) + 4095) & ~(size_t)4095;
		o->pages = port_map(o->page_bytes);
		if (o->pages) {
			o->hits = o->pages;
			o->room = o->page_bytes / sizeof(o->hits[0]);
			pass(o);
		}
	}
	sort(o);
}

static struct mirror__entry *next_hit(struct order *o)
{
	if (o->next == o->nr_hits && o->nr_found > o->nr_hits) {
		o->done = key(o, o->hits[o->nr_hits - 1]) + 1;
		pass(o);
		sort(o);
	}
	return o->next < o->nr_hits ? o->hits[o->next] : NULL;
}

struct mirror__entry *order_merge_(struct order *o)
{
	struct mirror__entry *hit = next_hit(o), *e;

	if (!o->from_roll)
		o->from_roll = order_in_roll(o);
	if (hit && (!o->from_roll || key(o, hit) < key(o, o->from_roll))) {
		o->next++;
		return hit;
	}
	e = o->from_roll;
	o->from_roll = NULL;
	return e;
}
