/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * bare: a loop over an array of the mirrors, and nothing else
 *
 * It is what the callbacks cost without any list: the limit.  It has no range check and no lock, so that its array
 * may not change while it is walked, and every mirror hears of everything.
 */
#include "comparators.h"

#include <errno.h>
#include <stdlib.h>

#include "plain.h"

struct array {
	size_t nr, room;
	struct mirror **mirrors;
};

static int create(void **list)
{
	*list = calloc(1, sizeof(struct array));
	return *list ? 0 : -ENOMEM;
}

static void destroy(void *list)
{
	free(((struct array *)list)->mirrors);
	free(list);
}

static int add(void *list, struct bench_mirror *m)
{
	struct array *array = list;

	if (array->nr == array->room) {
		size_t room = 2 * array->room + 16;
		struct mirror **grown = realloc(array->mirrors, room * sizeof(grown[0]));

		if (!grown)
			return -ENOMEM;
		array->mirrors = grown;
		array->room = room;
	}
	array->mirrors[array->nr++] = &m->mirror;
	return 0;
}

static void remove_mirror(void *list, struct bench_mirror *m)
{
	struct array *array = list;
	size_t i = 0;

	while (array->mirrors[i] != &m->mirror)
		i++;
	for (array->nr--; i < array->nr; i++)
		array->mirrors[i] = array->mirrors[i + 1];
}

static int start(void *list, struct mirror_range *r)
{
	const struct array *array = list;
	struct mirror *const *first = array->mirrors, *const *last = first + array->nr;

	for (struct mirror *const *m = first; m != last; m++)
		if ((*m)->ops->invalidate_range_start)
			(*m)->ops->invalidate_range_start(*m, r);
	return 0;
}

static void end(void *list, struct mirror_range *r)
{
	const struct array *array = list;
	struct mirror *const *first = array->mirrors, *const *last = first + array->nr;

	for (struct mirror *const *m = last; m != first; m--)
		if (m[-1]->ops->invalidate_range_end)
			m[-1]->ops->invalidate_range_end(m[-1], r);
}

static const struct plain_list plain = { create, destroy, add, remove_mirror, start, end };

const struct bench_comparator comparator_bare = {
	.name = "bare",
	.about = "a bare loop over an array of the mirrors that does not change, without any library or lock: "
		 "the limit",
	.plain = &plain,
	.list_is_frozen = true,
};
