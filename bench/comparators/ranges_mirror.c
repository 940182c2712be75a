/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A mirror list with range mirrors, over usrcu and over the rwsem. */
#include "comparators.h"

#include <errno.h>
#include <stdlib.h>

#include "ranges.h"

struct set {
	struct mirror_list *list;
	struct mirror **pointers;       /* room for as many as there are mirrors */
	struct mirror mirrors[];
};

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	ranges_hits++;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

static int create_over(void **state, size_t nr_items, const struct bench_comparator *comparator)
{
	struct set *set = calloc(1, sizeof(*set) + nr_items * sizeof(set->mirrors[0]));
	int err = -ENOMEM;

	if (!set)
		return err;
	set->pointers = malloc(nr_items * sizeof(set->pointers[0]));
	if (set->pointers)
		err = bench_list_create(&set->list, comparator);
	if (!err) {
		*state = set;
		return 0;
	}
	free(set->pointers);
	free(set);
	return err;
}

static int create_srcu(void **state, size_t nr_items)
{
	return create_over(state, nr_items, &comparator_srcu);
}

static int create_rwsem(void **state, size_t nr_items)
{
	return create_over(state, nr_items, &comparator_rwsem);
}

static void destroy(void *state, size_t nr_items)
{
	struct set *set = state;

	for (size_t i = 0; i < nr_items; i++)
		set->pointers[i] = &set->mirrors[i];
	if (mirror_unregister_many(set->pointers, nr_items) || mirror_list_destroy(set->list))
		bench_complain("the list of range mirrors is still in use");
	free(set->pointers);
	free(set);
}

static int insert(void *state, size_t item, uint64_t start, uint64_t end)
{
	struct set *set = state;

	return mirror_register_range(set->list, &set->mirrors[item], &ops, start, end);
}

static void invalidate(void *state, uint64_t start, uint64_t end)
{
	struct set *set = state;
	struct mirror_range range = { .start = start, .end = end, .flags = MIRROR_RANGE_BLOCKABLE };

	if (mirror_invalidate_range_start(set->list, &range) == 0)
		mirror_invalidate_range_end(set->list, &range);
}

static int remove_one(void *state, size_t item)
{
	struct set *set = state;

	return mirror_unregister(&set->mirrors[item]);
}

static int remove_many(void *state, const uint32_t *items, size_t nr)
{
	struct set *set = state;

	for (size_t i = 0; i < nr; i++)
		set->pointers[i] = &set->mirrors[items[i]];
	return mirror_unregister_many(set->pointers, nr);
}

static const struct ranges over_srcu = {
	create_srcu, destroy, insert, NULL, invalidate, remove_one, remove_many, false,
};
static const struct ranges over_rwsem = {
	create_rwsem, destroy, insert, NULL, invalidate, remove_one, remove_many, false,
};

const struct bench_comparator ranges_srcu = {
	.name = "srcu",
	.about = "libmirror's range mirrors over userspace SRCU",
	.own = &over_srcu,
};

const struct bench_comparator ranges_rwsem = {
	.name = "rwsem",
	.about = "the same list over the rwsem",
	.own = &over_rwsem,
};
