/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * How very many ranges may lie
 *
 *   disjoint     item i is page 2i; 100 hits are a query of 200 pages
 *   stairs       groups of 100 that end together, each item beginning one page later than the last
 *   same-start   ten groups that begin together, each item ending one page later: mirrors of one guest's memory
 *   same-end     ten groups that end together, each item beginning one page later
 *   nested       ten groups, each item within the last
 *   huge         ten groups, one item over all the others, which are pages with a page between them
 *   identical    groups of 100 times the same range
 *   clusters     as disjoint, in two halves far apart
 *   scattered    groups of 3200: pages, but each 32nd item reaches to the end of the group: an item more in every leaf of
 *                an index, and 100 hits in 100 leaves, which is the most that the index of a list can cost
 */
#include "ranges_shapes.h"

#include <stddef.h>

typedef struct shape_pages pages;

static uint64_t all(uint64_t n)
{
	return n;
}

static uint64_t hundred(uint64_t n)
{
	(void)n;
	return SHAPE_HITS;
}

static uint64_t tenth(uint64_t n)
{
	return n / 10;
}

static uint64_t scattered_group(uint64_t n)
{
	(void)n;
	return 32 * SHAPE_HITS;
}

static pages between(uint64_t start, uint64_t end)
{
	return (pages){ start, end };
}

/* Behind all items. */
static pages none(uint64_t group)
{
	return between(shape_group_pages(group) - 1, shape_group_pages(group));
}

static pages disjoint_item(uint64_t i, uint64_t group)
{
	(void)group;
	return between(2 * i, 2 * i + 1);
}

static pages disjoint_query(unsigned hits, uint64_t group, uint64_t *random)
{
	uint64_t first = random_below(random, group - hits + 1);

	if (hits == 0)
		return between(2 * first + 1, 2 * first + 2);
	return between(2 * first, 2 * (first + hits) - 1);
}

static pages same_end_item(uint64_t i, uint64_t group)
{
	return between(i, group);
}

static pages same_end_query(unsigned hits, uint64_t group, uint64_t *random)
{
	(void)random;
	return hits ? between(hits - 1, hits) : none(group);
}

static pages same_start_item(uint64_t i, uint64_t group)
{
	(void)group;
	return between(0, i + 1);
}

static pages same_start_query(unsigned hits, uint64_t group, uint64_t *random)
{
	(void)random;
	return hits ? between(group - hits, group - hits + 1) : none(group);
}

static pages nested_item(uint64_t i, uint64_t group)
{
	return between(i, 2 * group - i);
}

static pages huge_item(uint64_t i, uint64_t group)
{
	return i == 0 ? between(0, 2 * group) : between(2 * i, 2 * i + 1);
}

static pages huge_query(unsigned hits, uint64_t group, uint64_t *random)
{
	(void)random;
	if (hits == 0)
		return none(group);
	return hits == 1 ? between(1, 2) : between(2, 2 * hits - 1);
}

static pages identical_item(uint64_t i, uint64_t group)
{
	(void)i;
	(void)group;
	return between(0, 1);
}

static pages identical_query(unsigned hits, uint64_t group, uint64_t *random)
{
	(void)random;
	if (hits == 1)
		return between(0, 0);
	return hits ? between(0, 1) : none(group);
}

static const uint64_t far = (uint64_t)1 << 40;

static pages clusters_item(uint64_t i, uint64_t group)
{
	uint64_t start = 2 * i + (i < group / 2 ? 0 : far);

	return between(start, start + 1);
}

static pages clusters_query(unsigned hits, uint64_t group, uint64_t *random)
{
	pages query = disjoint_query(hits, group / 2, random);
	uint64_t by = random_below(random, 2) ? 2 * (group / 2) + far : 0;

	return between(query.start + by, query.end + by);
}

static pages scattered_item(uint64_t i, uint64_t group)
{
	return between(2 * i, i % 32 == 0 ? 2 * group : 2 * i + 1);
}

static pages scattered_query(unsigned hits, uint64_t group, uint64_t *random)
{
	(void)random;
	if (hits == 0)
		return none(group);
	return hits == 1 ? between(1, 2) : between(2 * group - 1, 2 * group);
}

const struct shape shapes[] = {
	{ "disjoint", true, false, all, disjoint_item, disjoint_query },
	{ "stairs", true, false, hundred, same_end_item, same_end_query },
	{ "same-start", false, false, tenth, same_start_item, same_start_query },
	{ "scattered", false, false, scattered_group, scattered_item, scattered_query },
	{ "same-end", false, true, tenth, same_end_item, same_end_query },
	{ "nested", false, true, tenth, nested_item, same_end_query },
	{ "huge", false, true, tenth, huge_item, huge_query },
	{ "identical", false, true, hundred, identical_item, identical_query },
	{ "clusters", false, true, all, clusters_item, clusters_query },
	{ NULL, false, false, NULL, NULL, NULL },
};
