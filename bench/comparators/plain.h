/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Lists without libmirror, and one way to call both kinds
 *
 * A plain list is what users write themselves: subscribers, a range check, a lock.  It calls the same callbacks of the
 * same mirrors.  Questions use struct bench_list, which is a mirror list or a plain list.
 */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include <stdlib.h>
#include <string.h>

#include "../measure/bench.h"

/**
 * struct bench_mirror - a mirror, and what a plain list keeps of it
 *
 * What a plain list reads of a mirror in a walk is on one cache line, as in a struct that a user lays out.
 */
struct bench_mirror {
	uint64_t links[2];              /* the plain list's */
	uint64_t start, end;            /* what a plain list compares with a publication */
	struct mirror mirror;
} __attribute__((__aligned__(64)));

/** bench_calloc - zeroed memory that may hold mirrors; the caller frees it */
static inline void *bench_calloc(size_t bytes)
{
	/* Not of no bytes: NULL means failure. */
	size_t whole = (bytes / 64 + 1) * 64;
	void *memory = aligned_alloc(64, whole);

	return memory ? memset(memory, 0, whole) : NULL;
}

/** struct plain_list - the functions of a list without libmirror */
struct plain_list {
	int (*create)(void **list);
	void (*destroy)(void *list);
	/* At the end; @m's range is set. */
	int (*add)(void *list, struct bench_mirror *m);
	/* On return no callback of @m runs. */
	void (*remove)(void *list, struct bench_mirror *m);
	/* Calls the start callbacks forwards; always 0. */
	int (*start)(void *list, struct mirror_range *r);
	/* Calls the end callbacks backwards; in the thread that started. */
	void (*end)(void *list, struct mirror_range *r);
};

/** struct bench_list - a list over some comparator */
struct bench_list {
	const struct plain_list *plain; /* NULL: a mirror list */
	union {
		struct mirror_list *mirrors;
		void *own;
	};
};

/** bench_list_open - an empty list; 0 or -errno, already reported */
int bench_list_open(struct bench_list *list, const struct bench_comparator *comparator);
int bench_list_close(struct bench_list *list);

/** bench_register, bench_register_range, bench_unregister - as the library's functions of these names */
int bench_register(struct bench_list *list, struct bench_mirror *m, const struct mirror_ops *ops);
int bench_register_range(struct bench_list *list, struct bench_mirror *m, const struct mirror_ops *ops, uint64_t start,
			 uint64_t end);
int bench_unregister(struct bench_list *list, struct bench_mirror *m);

/*
 * bench_start, bench_end - a bracket
 *
 * In a loop over a local copy of the struct, which of the two kinds it is stays in a register: both pay a branch
 * that is always predicted.  A mirror list is called directly, a plain list through a pointer that is always predicted.
 */
static inline int bench_start(const struct bench_list *list, struct mirror_range *r)
{
	return list->plain ? list->plain->start(list->own, r) : mirror_invalidate_range_start(list->mirrors, r);
}

static inline void bench_end(const struct bench_list *list, struct mirror_range *r)
{
	if (list->plain)
		list->plain->end(list->own, r);
	else
		mirror_invalidate_range_end(list->mirrors, r);
}

#endif /* BENCH_PLAIN_H */
