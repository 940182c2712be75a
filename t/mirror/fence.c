/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * When walks begin and end to fence (src/mirror_fence.c): whatever the callbacks that mirrors have,
 * and so whatever the walks that a bracket takes.  The library's sources are built into this
 * program, with a small FENCE_MODE_PERIOD, so that fencing can be seen.
 */
#include "mirror_fence.h"
#include "mirror_test.h"

static int start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static void end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
}

static const struct kind {
	const char *name;
	struct mirror_ops ops;
} kinds[] = {
	{ "starts", { .size = sizeof(struct mirror_ops), .invalidate_range_start = start } },
	{ "ends", { .size = sizeof(struct mirror_ops), .invalidate_range_end = end } },
	{ "both", { .size = sizeof(struct mirror_ops), .invalidate_range_start = start, .invalidate_range_end = end } },
};

static void publish(struct mirror_list *list, unsigned count)
{
	while (count--)
		mirror_invalidate_range(list, 0, 1);
}

/* As many drains as there are brackets. */
static void come_and_go(struct mirror_list *list, const struct mirror_ops *ops, unsigned count)
{
	struct mirror m;

	for (unsigned i = 0; i < count; i++) {
		if (mirror_register(list, &m, ops) || mirror_unregister(&m))
			bail_out("the list does not work");
		publish(list, 1);
	}
}

/* What it is if unregisters are not frequent. */
static uint32_t never(const struct mirror_list *list)
{
	return list->membarrier ? FENCING_OFF : FENCING_ALL;
}

static void check_kind(const struct kind *kind)
{
	struct mirror_list *list = list_new();
	struct mirror m;

	mirror_register(list, &m, &kind->ops);
	publish(list, 3 * FENCE_MODE_WINDOW);
	is_int(list->fencing, never(list), "%s: walks do not fence where nobody unregisters", kind->name);
	come_and_go(list, &kind->ops, 3 * FENCE_MODE_WINDOW);
	is_int(list->fencing, FENCING_ALL, "%s: all fence where many do", kind->name);
	publish(list, 3 * FENCE_MODE_WINDOW);
	is_int(list->fencing, never(list), "%s: and no more when that has stopped", kind->name);
	mirror_unregister(&m);
	list_gone(list);
}

/* Drains of a time before a thread has published at all tell it nothing. */
static void check_first(void)
{
	struct mirror_list *list = list_new();
	struct mirror m;

	for (int i = 0; i < 100; i++)
		if (mirror_register(list, &m, &kinds[0].ops) || mirror_unregister(&m))
			bail_out("the list does not work");
	publish(list, 2 * FENCE_MODE_WINDOW);
	is_int(list->fencing, never(list), "drains before the first bracket of a thread do not count for it");
	list_gone(list);
}

/* Where drains wait for more than pins, or walks fence anyway, nothing changes. */
static void check_others(void)
{
	for (v = variants + 1; v < variants + NR_VARIANTS; v++) {
		struct mirror_list *list = list_new();

		come_and_go(list, &kinds[2].ops, 3 * FENCE_MODE_WINDOW);
		isv(list->fencing, never(list), "nothing changes where drains interrupt nobody");
		list_gone(list);
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check_kind(&kinds[i]);
	check_first();
	check_others();
	return done_testing();
}
