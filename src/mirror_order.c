/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Hits in order of address: mirror_order.h says how. */

#include "mirror_order.h"

static bool is_hit(const struct hits *h, const struct index_item *item)
{
	const struct mirror__entry *e =
		(const void *)((const char *)item - offsetof(struct mirror__entry, item));

	return broken_if(HIT_TRUSTED, load_relaxed(&e->joined) != NEVER, joined_before(e, h->view->before)) &&
	       item->first <= h->find.last && h->find.first <= item->last &&
	       (!h->view->until || index_is_before(item, h->view->until));
}

/* @item was taken last: put it in its place. */
static void put_in_order(struct hits *h, const struct index_item *item)
{
	bool backwards = h->find.backwards;
	uint32_t i = h->nr++;

	for (; i > 0 && index_is_before(item, h->item[i - 1]) != backwards; i--)
		h->item[i] = h->item[i - 1];
	h->item[i] = item;
}

/* The nodes of the find may be in use for something else.  Take what comes after the last hit. */
static SELDOM bool take_anew(struct hits *h)
{
	const struct index_item *last = h->nr ? h->item[h->nr - 1] : NULL;
	bool backwards = h->find.backwards;

	hits_begin(h, h->list, h->view, backwards);
	while (hits_take_(h)) {
		while (last && h->next < h->nr && (h->item[h->next] == last ||
						   index_is_before(h->item[h->next], last) != backwards))
			h->next++;
		if (h->next < h->nr)
			return true;
	}
	return false;
}

bool hits_take_(struct hits *h)
{
	uint32_t taken;

	if (unlikely(load_relaxed(&h->list->nr_frees) != h->nr_frees) && !MUTANT(STALL_FORGOTTEN))
		return take_anew(h);
	h->next = h->nr = 0;
	while (!h->nr && !index_find_is_over(&h->find)) {
		taken = (uint32_t)index_find_more(&h->find, h->item, HITS_ROOM);
		for (uint32_t i = 0; i < taken; i++) {
			const struct index_item *item = h->item[i];

			if (is_hit(h, item))
				put_in_order(h, item);
		}
	}
	return h->nr > 0;
}

void hits_begin(struct hits *h, const struct mirror_list *list, const struct view *view, bool backwards)
{
	uint64_t last = view->last;

	if (unlikely(view->until) && view->until->first < last)
		last = view->until->first;
	h->view = view;
	h->list = list;
	h->next = h->nr = 0;
	/* Nodes that are set free from here on: mirror_garbage.c, 7. */
	h->nr_frees = load_relaxed(&list->nr_frees);
	index_find_begin(&h->find, load_acquire(&list->index.root), view->first, last, backwards);
}
