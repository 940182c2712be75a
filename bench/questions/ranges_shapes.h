/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* How very many ranges may lie, for the question "ranges"; all in pages, half-open. */
#ifndef BENCH_RANGES_SHAPES_H
#define BENCH_RANGES_SHAPES_H

#include <stdbool.h>
#include <stdint.h>

enum { SHAPE_HITS = 100 };

struct shape_pages {
	uint64_t start, end;
};

/** struct shape - a way in which ranges lie, and which pages overlap none, one and SHAPE_HITS of them */
struct shape {
	const char *name;
	bool at_every_size;             /* in a full run; otherwise only with the most ranges */
	bool by_name;                   /* only if a filter names it */
	uint64_t (*group)(uint64_t n);  /* of @n ranges, how many belong together; a query asks one group */
	struct shape_pages (*item)(uint64_t i, uint64_t group);
	/* One that overlaps @hits, 0, 1 or SHAPE_HITS, of a group's items; with start == end if none does. */
	struct shape_pages (*query)(unsigned hits, uint64_t group, uint64_t *random);
};

/** shape_group_pages - from one group's first page to the next one's */
static inline uint64_t shape_group_pages(uint64_t group)
{
	return 2 * group + 2;
}

/** random_below - a number below @n, without a division; @state is not 0 */
static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
	/* xorshift64 */
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return ((*state >> 32) * n) >> 32;
}

/* The first is what a quick run measures; ends with one whose name is NULL. */
extern const struct shape shapes[];

#endif /* BENCH_RANGES_SHAPES_H */
