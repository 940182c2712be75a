/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M13: the index of ranges, by itself, against a look at every item. */

#include "tap.h"

#include <string.h>

#include "port.h"

/* How many children and items finds have looked at: they load nothing else so. */
static uint64_t nr_looks;
#undef load_acquire
#define load_acquire(p) (nr_looks++, __atomic_load_n(p, __ATOMIC_ACQUIRE))

/* Beside the library's own. */
#define index_find_begin counted_find_begin
#define index_find_more  counted_find_more
#define index_give_spare counted_give_spare
#define index_insert     counted_insert
#define index_remove     counted_remove
#include "../../src/index.c"
#include "../../src/index_find.c"

#define MAX_ITEMS 20000

struct item {
	struct index_item range;
	bool in;
	int found;
};

static struct item items[MAX_ITEMS];
static uint64_t nr_ties;
static struct rng rng;

static struct index_node *allocate_node(void)
{
	struct index_node *node = port_alloc(sizeof(*node));

	if (!node)
		bail_out("out of memory");
	return node;
}

static void insert(struct index *index, struct item *item)
{
	while (index->nr_spare < index_needs(index))
		index_give_spare(index, allocate_node());
	item->in = true;
	item->range.tie = ++nr_ties;
	index_insert(index, &item->range, item);
}

static void removed(struct index *index, struct item *item)
{
	item->in = false;
	index_remove(index, &item->range);
}

static void free_retired(struct index *index)
{
	struct index_node *node;

	while ((node = index->retired)) {
		index->retired = node->next;
		port_free(node);
	}
}

static void free_spare(struct index *index)
{
	struct index_node *node;

	while ((node = index->spare)) {
		index->spare = node->next;
		port_free(node);
	}
}

/* In batches so small that finds are taken up again after each leaf or two.  Whether items came in order. */
static bool find(const struct index *index, uint64_t first, uint64_t last, bool backwards)
{
	const struct index_item *found[INDEX_WIDE + 4], *before = NULL;
	struct index_find find;
	bool good = true;
	size_t nr;

	index_find_begin(&find, index->root, first, last, backwards);
	while ((nr = index_find_more(&find, found, INDEX_WIDE + 4)))
		for (size_t i = 0; i < nr; i++) {
			((struct item *)(uintptr_t)found[i])->found++;
			good &= !before || index_is_before(before, found[i]) != backwards;
			before = found[i];
		}
	return good && index_find_is_over(&find);
}

static bool overlaps_item(const struct item *item, uint64_t first, uint64_t last)
{
	return item->in && item->range.first <= last && first <= item->range.last;
}

/* Whether the index finds exactly what a look at every item finds, each once, in order. */
static bool agrees(const struct index *index, int nr, uint64_t first, uint64_t last)
{
	bool in_order;

	for (int i = 0; i < nr; i++)
		items[i].found = 0;
	in_order = find(index, first, last, false);
	in_order &= find(index, first, last, true);
	if (!in_order)
		diag("[%#llx, %#llx]: out of order", (unsigned long long)first, (unsigned long long)last);
	for (int i = 0; i < nr; i++) {
		int want = overlaps_item(&items[i], first, last) ? 2 : 0;

		if (items[i].found != want) {
			diag("[%#llx, %#llx]: item [%#llx, %#llx] found %d times there and back, want %d",
			     (unsigned long long)first, (unsigned long long)last,
			     (unsigned long long)items[i].range.first, (unsigned long long)items[i].range.last,
			     items[i].found, want);
			return false;
		}
	}
	return in_order;
}

struct shape {
	const char *name;
	int nr;
	uint64_t space;         /* where ranges begin */
	uint64_t longest;
	bool ascending;         /* beginnings in order, as a heap grows */
	bool apart;             /* in three clusters: a heap, mappings, and the end of the space */
};

static void choose(const struct shape *shape, struct item *item, uint64_t turn)
{
	uint64_t length = rng_next(&rng) % shape->longest;

	item->range.first = shape->ascending ? turn * 16 % shape->space : rng_next(&rng) % shape->space;
	if (shape->apart)
		item->range.first += (const uint64_t[]){ 0x5555000000, 0x7f0000000000,
							 -2 * shape->space }[item->range.first % 3];
	if (rng_below(&rng, 50) == 0)
		length = rng_next(&rng) % shape->space; /* now and then one over many */
	item->range.last = length > UINT64_MAX - item->range.first ? UINT64_MAX : item->range.first + length;
}

static void model(const struct shape *shape, uint64_t ops, int ask_every)
{
	struct index index = { 0 };
	bool good = true;

	memset(items, 0, sizeof(items));
	for (uint64_t op = 0; op < ops && good; op++) {
		struct item *item = &items[rng_below(&rng, (uint32_t)shape->nr)];
		/* Tides: mostly in, then mostly out, down to nothing. */
		bool out = op / (ops / 8 + 1) % 2 ? rng_below(&rng, 8) : !rng_below(&rng, 4);

		if (!item->in) {
			if (!out || !rng_below(&rng, 8)) {
				choose(shape, item, op);
				insert(&index, item);
			}
		} else if (out) {
			removed(&index, item);
		}
		free_retired(&index);
		if (op % (uint64_t)ask_every == 0) {
			uint64_t first = rng_next(&rng) % shape->space;
			uint64_t length = rng_below(&rng, 4) ? rng_next(&rng) % shape->longest : 0;

			if (shape->apart && shape->nr)
				first = items[rng_below(&rng, (uint32_t)shape->nr)].range.first;
			good = agrees(&index, shape->nr, first,
				      length > UINT64_MAX - first ? UINT64_MAX : first + length);
		}
	}
	ok(good, "M13: finds what a look at every item finds: %s, %llu operations", shape->name,
	   (unsigned long long)ops);
	for (int i = 0; i < shape->nr; i++)
		if (items[i].in)
			removed(&index, &items[i]);
	free_retired(&index);
	ok(!index.root && index.nr_nodes == 0 && index.nr_items == 0,
	   "M13: and is empty, with no node left, when the last is out: %s", shape->name);
	free_spare(&index);
}

/* The nodes of @nr items that ascend, or come at random. */
static double bytes_per_item(int nr, bool ascending)
{
	struct index index = { 0 };
	struct index_node *node;
	double bytes;

	for (int i = 0; i < nr; i++) {
		items[i].range.first = ascending ? (uint64_t)i * 8192 : rng_next(&rng) >> 8;
		items[i].range.last = items[i].range.first + 4095;
		insert(&index, &items[i]);
		while ((node = index.retired)) {
			index.retired = node->next;
			memset(node, 0, sizeof(*node));
			index_give_spare(&index, node);
		}
	}
	bytes = (double)index.nr_nodes * sizeof(struct index_node) / nr;
	for (int i = 0; i < nr; i++)
		removed(&index, &items[i]);
	free_retired(&index);
	free_spare(&index);
	return bytes;
}

/* ---- what a find costs ---- */

/* Ranges of which many look alike to one or the other bound of a node. */
enum family {
	SAME, SAME_FIRST, SAME_LAST, NESTED, STAIRCASE, TWO_FAR, CLUSTERS, HUGE_AND_SMALL, CHAINS, LONG_FAR, RANDOM, LATE_LONG,
	NR_FAMILIES
};
static const char *const family_names[] = {
	"all the same", "same first", "same last", "nested", "a staircase", "two places far apart",
	"clusters of firsts and lasts",
	"one huge and many small", "chains that touch", "long ones that end far away, byte by byte", "at random",
	"long ones that come late, byte by byte",
};

/* It is inserted after the others: nodes that are compact by then cannot tell where it ends. */
static bool is_late(enum family family, uint64_t i)
{
	return family == LATE_LONG && i % 27 == 26;
}

#define RANGE(first, last) ((struct index_item){ first, last, 0 })

static struct index_item range_of(enum family family, uint64_t i, uint64_t nr)
{
	const uint64_t base = 0x7f0000001001, page = 4096;

	switch (family) {
	case SAME:
		return RANGE(base, base + 1000 * page);
	case SAME_FIRST:
		return RANGE(base, base + (i + 1) * page * 100);
	case SAME_LAST:
		return RANGE(base - (i + 1) * page * 100, base);
	case NESTED:
		return RANGE(base - (i + 1) * (page << 12), base + i);
	case STAIRCASE:
		return RANGE(base + i * page, base + (i + 100) * page);
	case TWO_FAR:
		return RANGE(i % 2 ? 0x1000 : base, i % 2 ? 0x1fff : base + page);
	case CLUSTERS:
		return RANGE(base - (page << 20) * (i % 5) - i, base + (page << 22) * (i % 7) + i);
	case HUGE_AND_SMALL:
		return i ? RANGE(base + 2 * i * page, base + (2 * i + 1) * page - 1) :
			   RANGE(page, UINT64_MAX);
	case CHAINS:
		return RANGE(base + i % 100 * page, base + i % 100 * page + page - 1);
	case LONG_FAR:
		return RANGE(base - nr * (page << 8) + i * (page << 8), base + (page << 24) - i);
	case LATE_LONG:
		return RANGE(base + i * (page << 12), is_late(family, i) ? base + (1ull << 39) - i / 27 :
									      base + i * (page << 12) + 100);
	default:
		return RANGE(rng_next(&rng) >> 20, UINT64_MAX >> (rng_next(&rng) % 20));
	}
}

/* What a find of that many hits may look at: a few for each node that it enters, or all, if they look alike. */
static uint64_t most_looks(const struct index *index, uint64_t hits, enum family family)
{
	return (index->root->level + 1) * (hits + 1) * (family == LATE_LONG ? INDEX_COMPACT : 3);
}

/* Whether a find of the bytes from @first to @last costs no more than promised. */
static bool is_cheap(const struct index *index, uint64_t first, uint64_t last, int nr, enum family family)
{
	uint64_t hits = 0, looks = nr_looks;

	if (first > last)
		return true;
	find(index, first, last, rng_below(&rng, 2));
	looks = nr_looks - looks;
	for (int i = 0; i < nr; i++)
		hits += overlaps_item(&items[i], first, last);
	if (looks > most_looks(index, hits, family)) {
		diag("%s: [%#llx, %#llx]: %llu looks for %llu hits in %u levels", family_names[family],
		     (unsigned long long)first, (unsigned long long)last, (unsigned long long)looks,
		     (unsigned long long)hits, index->root->level + 1);
		return false;
	}
	return true;
}

/* Just before, at and just after the bounds of items. */
static bool all_are_cheap(const struct index *index, int nr, enum family family)
{
	uint64_t end = 0;
	bool good;

	for (int i = 0; i < nr; i++)
		end = items[i].in && items[i].range.last >= end ? items[i].range.last + 1 : end;
	good = is_cheap(index, end, end, nr, family);
	for (int turn = 0; turn < 60 && good; turn++) {
		const struct index_item *a = &items[rng_below(&rng, (uint32_t)nr)].range;
		uint64_t near = rng_below(&rng, 3) - (uint64_t)1;

		good &= is_cheap(index, a->first + near, a->first + near, nr, family);
		good &= is_cheap(index, a->last + near, a->last + near, nr, family);
		good &= is_cheap(index, a->first - 4096, a->first - 1, nr, family);
		good &= is_cheap(index, a->last + 1, a->last + 4096, nr, family);
	}
	return good;
}

static uint32_t place_of(uint32_t i, uint32_t nr, int how)
{
	return how == 0 ? i : how == 1 ? nr - 1 - i : (uint32_t)((uint64_t)i * 7919 % nr); /* to and fro: a prime */
}

/* In order, in reverse and scattered; then with two of three taken out, which leaves bounds narrower. */
static void costs(enum family family, uint32_t nr)
{
	bool good = true;

	for (int how = 0; how < 3; how++) {
		struct index index = { 0 };

		for (uint32_t i = 0; i < nr; i++) {
			items[i].range = range_of(family, i, nr);
			items[i].in = false;
			if (items[i].range.last < items[i].range.first)
				items[i].range.last = items[i].range.first;
		}
		for (int late = 0; late < 2; late++)
			for (uint32_t i = 0; i < nr; i++)
				if (is_late(family, place_of(i, nr, how)) == late)
					insert(&index, &items[place_of(i, nr, how)]);
		free_retired(&index);
		good &= all_are_cheap(&index, (int)nr, family);
		for (uint32_t i = 0; i < nr; i++)
			if (i % 3)
				removed(&index, &items[place_of(i, nr, how)]);
		free_retired(&index);
		good &= all_are_cheap(&index, (int)nr, family);
		for (uint32_t i = 0; i < nr; i++)
			if (items[i].in)
				removed(&index, &items[i]);
		free_retired(&index);
		free_spare(&index);
	}
	ok(good, "M13: a find looks at a few nodes a level, and as many for each hit: %s", family_names[family]);
}

/* Small objects of a heap, and @nr_far pages far away: how many places a find among the objects looks at on average. */
static double places_looked_at(int nr_near, int nr_far)
{
	struct index index = { 0 };
	int nr = nr_near + nr_far;
	uint64_t before;

	for (int i = 0; i < nr; i++) {
		items[i].range.first = i < nr_near ? 0x555555000000 + 64 * (uint64_t)i : 0x7ffff7000000 + 4096 * (uint64_t)i;
		items[i].range.last = items[i].range.first + 47;
		items[i].in = false;
	}
	for (int left = nr; left > 0; left--) {
		int k = (int)rng_below(&rng, (uint32_t)nr);

		while (items[k].in)
			k = (k + 1) % nr;
		insert(&index, &items[k]);
		free_retired(&index);
	}
	before = nr_looks;
	for (int i = 0; i < nr_near; i++)
		find(&index, items[i].range.first, items[i].range.first, false);
	before = nr_looks - before;
	for (int i = 0; i < nr; i++)
		removed(&index, &items[i]);
	free_retired(&index);
	free_spare(&index);
	return (double)before / nr_near;
}

int main(void)
{
	static const struct shape shapes[] = {
		{ "disjoint or nearly", 2000, UINT64_MAX >> 1, 1 << 20, false, false },
		{ "crowded, with many identical", 300, 5, 3, false, false },
		{ "heavily overlapping", 1000, 1000, 500, false, false },
		{ "ascending", 4000, UINT64_MAX >> 1, 16, true, false },
		{ "to the ends of the space", 500, UINT64_MAX, UINT64_MAX, false, false },
		{ "in clusters far apart", 3000, 1 << 18, 128, false, true },
	};
	double ascending, random, together, apart;

	rng_init(&rng, 1);
	for (enum family family = SAME; family < NR_FAMILIES; family++)
		costs(family, MAX_ITEMS);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		model(&shapes[i], scaled(400000), 100);
	ascending = bytes_per_item(4000, true);
	random = bytes_per_item(4000, false);
	ok(ascending < 42, "M13: %.1f bytes of nodes an item, where keys ascend", ascending);
	ok(random < 54, "M13: %.1f bytes of nodes an item, where they come at random", random);
	together = places_looked_at(1000, 0);
	apart = places_looked_at(1000, 60);
	ok(together < 3.5, "M13: a find among 1000 objects looks at %.2f places", together);
	ok(apart < 3.5, "M13: and with some far away at %.2f", apart);
	return done_testing();
}
