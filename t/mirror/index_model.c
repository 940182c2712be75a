/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M13: the index of ranges, by itself, against a look at every item. */

#include "tap.h"

#include <string.h>

#include "index.h"

#define MAX_ITEMS 4000

struct item {
	uint64_t first, last;
	bool in;
	int found;
};

static struct item items[MAX_ITEMS];
static struct rng rng;

static struct index_node *new_node(void)
{
	struct index_node *node = port_alloc(sizeof(*node));

	if (!node)
		bail_out("out of memory");
	return node;
}

static void insert(struct index *index, struct item *item)
{
	while (index->nr_spare < index_needs(index))
		index_give_spare(index, new_node());
	item->in = true;
	index_insert(index, item->first, item->last, item, item);
}

static void removed(struct index *index, struct item *item)
{
	item->in = false;
	index_remove(index, item->first, item);
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

/* In batches so small that finds are taken up again in the midst of leaves. */
static void find(const struct index *index, uint64_t first, uint64_t last)
{
	struct index_find find;
	void *found[4];
	size_t nr;

	index_find_begin(&find, index->root, first, last);
	do {
		nr = index_find_more(&find, found, 4);
		for (size_t i = 0; i < nr; i++)
			((struct item *)found[i])->found++;
	} while (nr == 4);
}

/* Whether the index finds exactly what a look at every item finds, each once. */
static bool agrees(const struct index *index, int nr, uint64_t first, uint64_t last)
{
	for (int i = 0; i < nr; i++)
		items[i].found = 0;
	find(index, first, last);
	for (int i = 0; i < nr; i++) {
		int want = items[i].in && items[i].first <= last && first <= items[i].last;

		if (items[i].found != want) {
			diag("[%#llx, %#llx]: item [%#llx, %#llx] found %d times, want %d",
			     (unsigned long long)first, (unsigned long long)last,
			     (unsigned long long)items[i].first, (unsigned long long)items[i].last,
			     items[i].found, want);
			return false;
		}
	}
	return true;
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

	item->first = shape->ascending ? turn * 16 % shape->space : rng_next(&rng) % shape->space;
	if (shape->apart)
		item->first += item->first % 3 ? item->first % 3 == 1 ? 0x7f0000000000 : -2 * shape->space : 0x5555000000;
	if (rng_below(&rng, 50) == 0)
		length = rng_next(&rng) % shape->space; /* now and then one over many */
	item->last = length > UINT64_MAX - item->first ? UINT64_MAX : item->first + length;
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
				first = items[rng_below(&rng, (uint32_t)shape->nr)].first;
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
		items[i].first = ascending ? (uint64_t)i * 8192 : rng_next(&rng) >> 8;
		items[i].last = items[i].first + 4095;
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

/* How many nodes a find of one byte enters, of those from @node on. */
static int entered(const struct index_node *node, uint64_t byte)
{
	uint64_t at = byte > node->scale.base ? (byte - node->scale.base) >> node->scale.shift : 0;
	int nr = 1;

	if (at > INT32_MAX)
		at = INT32_MAX;
	for (uint32_t i = 0; node->level && i < node->used; i++) {
		bool overlaps = node->is_compact ?
			(uint64_t)node->compact.first[i] <= at && at <= (uint64_t)node->compact.last[i] :
			node->wide.first[i] <= byte && byte <= node->wide.last[i];
		const struct index_node *child = node->is_compact ? node->compact.place[i] : node->wide.place[i];

		if (overlaps && child)
			nr += entered(child, byte);
	}
	return nr;
}

/* Small objects of a heap, and @nr_far pages far away: how many nodes a find among the objects enters on average. */
static double nodes_entered(int nr_near, int nr_far)
{
	struct index index = { 0 };
	int nr = nr_near + nr_far;
	double sum = 0;

	for (int i = 0; i < nr; i++) {
		items[i].first = i < nr_near ? 0x555555000000 + 64 * (uint64_t)i : 0x7ffff7000000 + 4096 * (uint64_t)i;
		items[i].last = items[i].first + 47;
		items[i].in = false;
	}
	for (int left = nr; left > 0; left--) {
		int k = (int)rng_below(&rng, (uint32_t)nr);

		while (items[k].in)
			k = (k + 1) % nr;
		insert(&index, &items[k]);
		free_retired(&index);
	}
	for (int i = 0; i < nr_near; i++)
		sum += entered(index.root, items[i].first);
	for (int i = 0; i < nr; i++)
		removed(&index, &items[i]);
	free_retired(&index);
	free_spare(&index);
	return sum / nr_near;
}

int main(void)
{
	static const struct shape shapes[] = {
		{ "disjoint or nearly", 2000, UINT64_MAX >> 1, 1 << 20, false, false },
		{ "crowded, with many identical", 300, 5, 3, false, false },
		{ "heavily overlapping", 1000, 1000, 500, false, false },
		{ "ascending", MAX_ITEMS, UINT64_MAX >> 1, 16, true, false },
		{ "to the ends of the space", 500, UINT64_MAX, UINT64_MAX, false, false },
		{ "in clusters far apart", 3000, 1 << 18, 128, false, true },
	};
	double ascending, random, together, apart;

	rng_init(&rng, 1);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		model(&shapes[i], scaled(400000), 100);
	ascending = bytes_per_item(MAX_ITEMS, true);
	random = bytes_per_item(MAX_ITEMS, false);
	ok(ascending < 42, "M13: %.1f bytes of nodes an item, where keys ascend", ascending);
	ok(random < 54, "M13: %.1f bytes of nodes an item, where they come at random", random);
	together = nodes_entered(1000, 0);
	apart = nodes_entered(1000, 60);
	ok(together < 3.5, "M13: a find among 1000 objects enters %.2f nodes", together);
	ok(apart < 3.5, "M13: and with some far away %.2f", apart);
	return done_testing();
}
