/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Mirror lists and plain lists under one name; plain.h describes both. */
#include "plain.h"

#include <string.h>

#include "comparators.h"

int bench_list_open(struct bench_list *list, const struct bench_comparator *comparator)
{
	int err;

	*list = (struct bench_list){ .plain = comparator->plain };
	if (!list->plain)
		return bench_list_create(&list->mirrors, comparator);
	err = list->plain->create(&list->own);
	if (err)
		bench_complain("cannot make a list of %s: %s", comparator->name, strerror(-err));
	return err;
}

int bench_list_close(struct bench_list *list)
{
	if (!list->plain)
		return mirror_list_destroy(list->mirrors);
	list->plain->destroy(list->own);
	return 0;
}

static int add(struct bench_list *list, struct bench_mirror *m, const struct mirror_ops *ops, uint64_t start,
	       uint64_t end)
{
	m->mirror.ops = ops;
	m->start = start;
	m->end = end;
	return list->plain->add(list->own, m);
}

int bench_register(struct bench_list *list, struct bench_mirror *m, const struct mirror_ops *ops)
{
	return list->plain ? add(list, m, ops, 0, UINT64_MAX) : mirror_register(list->mirrors, &m->mirror, ops);
}

int bench_register_range(struct bench_list *list, struct bench_mirror *m, const struct mirror_ops *ops, uint64_t start,
			 uint64_t end)
{
	return list->plain ? add(list, m, ops, start, end) :
			     mirror_register_range(list->mirrors, &m->mirror, ops, start, end);
}

int bench_unregister(struct bench_list *list, struct bench_mirror *m)
{
	if (!list->plain)
		return mirror_unregister(&m->mirror);
	list->plain->remove(list->own, m);
	return 0;
}
