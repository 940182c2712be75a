/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * ranges: what does an invalidation cost that touches a few of very many ranges?
 *
 * Every run fills an index, in random order, lets publishers invalidate at random places, first with one hit
 * each, then with none, then with 100, and with one publisher then changes it: 1000 random items are taken out one by
 * one, put in again, taken out together, put in again, and so on.  How the ranges lie is the scene: ranges_shapes.c.
 *
 * The callback counts.  How many hits an invalidation had stands in the records, so that an index that
 * finds too few is seen.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/ranges.h"
#include "../measure/topology.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"
#include "ranges_shapes.h"

enum { NR_CHANGED = 1000 };

static const uint64_t page = 4096;

struct question {
	const struct ranges *ranges;
	void *state;
	uint32_t nr_items;
	uint32_t *order;                /* of all items, shuffled */
	const struct shape *shape;
	uint64_t group, nr_groups;      /* how many items; the last ones may be in no whole group */
	unsigned hits;                  /* of an invalidation */
	atomic_ullong nr_hits;          /* in the measured part */
	struct publisher {
		uint64_t random;
	} __attribute__((__aligned__(64))) publishers[CREW_MAX_THREADS];
};

static int insert(struct question *q, uint32_t item)
{
	uint64_t base = item / q->group * shape_group_pages(q->group);
	struct shape_pages pages = q->shape->item(item % q->group, q->group);

	return q->ranges->insert(q->state, item, (base + pages.start) * page, (base + pages.end) * page);
}

static void invalidate(struct question *q, uint64_t *random)
{
	uint64_t base = random_below(random, q->nr_groups) * shape_group_pages(q->group);
	struct shape_pages pages = q->shape->query(q->hits, q->group, random);

	q->ranges->invalidate(q->state, (base + pages.start) * page, (base + pages.end) * page);
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct question *q = m->arg;
	uint64_t *random = &q->publishers[index].random;

	ranges_hits = 0;
	for (unsigned i = 0; i < n; i++)
		invalidate(q, random);
	if (measured)
		atomic_fetch_add_explicit(&q->nr_hits, ranges_hits, memory_order_relaxed);
}

static int measure(struct question *q, const struct bench_case *c, const struct bench_comparator *comparator,
		   unsigned hits, json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers,
		.operation = operation,
		.batch = q->ranges->is_linear ? 1 : hits <= 1 ? 256 : 16,
		.arg = q,
	};
	uint64_t all = 0, random = 1;
	struct shape_pages query = q->shape->query(hits, q->group, &random);
	char name[48];
	int err;

	if (query.start == query.end)
		return 0;
	q->hits = hits;
	atomic_store(&q->nr_hits, 0);
	for (unsigned i = 0; i < m.nr_threads; i++)
		q->publishers[i].random = 88172645463325252ull + i;
	err = measure_run(&m);
	for (unsigned i = 0; i < m.nr_threads && !err; i++)
		all += m.threads[i].operations;
	if (all > 0) {
		snprintf(name, sizeof(name), "hit_%u_ns", hits);
		json_object_set_new(metrics, name, json_real(1e9 * c->publishers / measure_rate(&m, 0)));
		snprintf(name, sizeof(name), "hits_counted_of_%u", hits);
		json_object_set_new(metrics, name, json_real((double)atomic_load(&q->nr_hits) / (double)all));
	}
	if (err != -ETIMEDOUT)
		free(m.threads);
	return err;
}

static int insert_all(struct question *q, const uint32_t *items, uint32_t nr, uint64_t *took_ns)
{
	uint64_t begun = bench_now_ns();
	int err = 0;

	for (uint32_t i = 0; i < nr && !err; i++)
		err = insert(q, items[i]);
	*took_ns += bench_now_ns() - begun;
	return err;
}

static int remove_all(struct question *q, const uint32_t *items, bool together, uint64_t *took_ns)
{
	uint64_t begun = bench_now_ns();
	int err = 0;

	if (together) {
		err = q->ranges->remove_many(q->state, items, NR_CHANGED);
	} else {
		for (uint32_t i = 0; i < NR_CHANGED && !err; i++)
			err = q->ranges->remove(q->state, items[i]);
	}
	*took_ns += bench_now_ns() - begun;
	return err;
}

/* In the caller's thread, alone. */
static int change(struct question *q, const struct bench_case *c, json_t *metrics)
{
	uint64_t insert_ns = 0, remove_ns = 0, together_ns = 0, random = 1, begun = bench_now_ns();
	uint64_t nr_inserted = 0, nr_removed = 0, nr_together = 0;
	bool together = false;
	int err = 0;

	if (!q->ranges->remove || q->nr_items < NR_CHANGED)
		return 0;
	do {
		const uint32_t *items = q->order + random_below(&random, q->nr_items - NR_CHANGED + 1);

		err = remove_all(q, items, together, together ? &together_ns : &remove_ns);
		*(together ? &nr_together : &nr_removed) += NR_CHANGED;
		if (!err)
			err = insert_all(q, items, NR_CHANGED, &insert_ns);
		nr_inserted += NR_CHANGED;
		together = !together && q->ranges->remove_many;
	} while (!err && (nr_inserted < 4 * NR_CHANGED || bench_now_ns() - begun < c->duration_ns));
	if (err)
		return err;
	json_object_set_new(metrics, "register_ns", json_real((double)insert_ns / (double)nr_inserted));
	json_object_set_new(metrics, "unregister_ns", json_real((double)remove_ns / (double)nr_removed));
	if (nr_together > 0)
		json_object_set_new(metrics, "unregister_many_ns",
				    json_real((double)together_ns / (double)nr_together));
	return 0;
}

static void shuffle(uint32_t *order, uint32_t n)
{
	uint64_t random = 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = (uint32_t)random_below(&random, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
}

static int ask(struct question *q, const struct bench_case *c, const struct bench_comparator *comparator,
	       json_t *metrics)
{
	uint64_t fill_ns = 0;
	int err = q->ranges->create(&q->state, q->nr_items);

	if (err)
		return err;
	err = insert_all(q, q->order, q->nr_items, &fill_ns);
	if (err) {
		q->ranges->destroy(q->state, 0);
		return err;
	}
	json_object_set_new(metrics, "fill_ns", json_real((double)fill_ns / q->nr_items));
	if (q->ranges->ready)
		q->ranges->ready(q->state, q->nr_items);
	err = measure(q, c, comparator, 1, metrics);
	if (!err)
		err = measure(q, c, comparator, 0, metrics);
	if (!err)
		err = measure(q, c, comparator, SHAPE_HITS, metrics);
	if (err == -ETIMEDOUT)
		return err;
	if (!err && c->publishers == 1)
		err = change(q, c, metrics);
	q->ranges->destroy(q->state, q->nr_items);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct question *q = aligned_alloc(64, sizeof(*q));
	int err = -ENOMEM;

	if (!q)
		return err;
	memset(q, 0, sizeof(*q));
	q->ranges = comparator->own;
	q->nr_items = (uint32_t)c->ranges;
	for (q->shape = shapes; strcmp(q->shape->name, c->scene) != 0; )
		q->shape++;
	q->group = q->shape->group(q->nr_items);
	q->nr_groups = q->nr_items / q->group;
	q->order = malloc(q->nr_items * sizeof(q->order[0]));
	if (q->order) {
		shuffle(q->order, q->nr_items);
		err = ask(q, c, comparator, metrics);
	}
	if (err == -ETIMEDOUT)
		return err;
	free(q->order);
	free(q);
	return err;
}

static int add_case(struct bench_case *c, struct bench_plan *plan_)
{
	c->expected_ns = 3 * c->warmup_ns + (c->publishers == 1 ? 4 : 3) * c->duration_ns +
			 (uint64_t)c->ranges * 1500;
	return bench_plan_add(plan_, &question_ranges, c);
}

/* Those of a quick run: disjoint, one publisher, few and many. */
static int plan_shape(const struct bench_config *config, const struct shape *shape, struct bench_case c,
		      struct bench_plan *plan_)
{
	static const int most = 1000000;
	unsigned places = topology_nr_places();
	int err = 0;

	c.scene = shape->name;
	for (c.ranges = shape->at_every_size ? 1000 : most; c.ranges <= most && !err; c.ranges *= config->full ? 10 : 100) {
		c.publishers = 1;
		err = add_case(&c, plan_);
		c.publishers = (int)places;
		if (config->full && places > 1 && shape == shapes && !err)
			err = add_case(&c, plan_);
	}
	return err;
}

static bool is_named(const struct bench_config *config, const struct shape *shape)
{
	for (int i = 0; config->filters[i]; i++) {
		if (strstr(config->filters[i], shape->name))
			return true;
	}
	return false;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	/* Each has three or four parts.  Filling takes most of the time. */
	unsigned nr_parts = config->full ? 14 * 4 : 2 * 4;
	struct bench_case c = {
		.mirrors = BENCH_UNUSED,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 6 * NS_PER_S,
					      nr_parts * bench_nr_comparators_of(config, &question_ranges), 50 * NS_PER_MS),
	};
	int err = 0;

	for (const struct shape *shape = shapes; shape->name && !err; shape++) {
		if (is_named(config, shape) || (config->full && !shape->by_name) || shape == shapes)
			err = plan_shape(config, shape, c, plan_);
	}
	return err;
}

static const struct bench_comparator *const comparators[] = {
	&ranges_srcu,
	&ranges_rwsem,
	&ranges_tree,
	&ranges_list,
#ifdef HAVE_UCX
	&ranges_ucs,
#endif
	&ranges_array,
	NULL,
};

/* ---- the report ---- */

static const char name[] = "ranges";

static bool is_disjoint_alone(const json_t *results, const char *case_name)
{
	return strstr(case_name, "disjoint") && summary_parameter(results, name, case_name, "publishers") == 1;
}

static void title_of_lines(const json_t *results, char *text, size_t size)
{
	(void)results;
	text_add(text, size, "disjoint, 1 publisher");
}

static const struct report_table tables[] = {
	{ .title = "An invalidation among many ranges", .columns = {
		COLUMN(NS, "no hit", "hit_0_ns"),
		RATIO_COLUMN("/tree", "hit_0_ns", "tree-spinlock"),
		COLUMN(NS, "1 hit", "hit_1_ns"),
		RATIO_COLUMN("/tree", "hit_1_ns", "tree-spinlock"),
		COLUMN(NS, "100 hits", "hit_100_ns"),
		RATIO_COLUMN("/tree", "hit_100_ns", "tree-spinlock"),
		COLUMN(NS, "filling\neach", "fill_ns"),
		COLUMN(NS, "register", "register_ns"),
		COLUMN(NS, "unregister\nsingly", "unregister_ns"),
		COLUMN(NS, "unregister\ntogether", "unregister_many_ns"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "an invalidation",
	.marks = { { "hit_1_ns", "1 hit" }, { "hit_100_ns", "100 hits" } },
};

static const struct report_lines lines = {
	.metric = "hit_1_ns",
	.x = "ranges",
	.log_x = true,
	.y_axis = "an invalidation with one hit",
	.shows = is_disjoint_alone,
	.title = title_of_lines,
};

static const struct report_goal goals[] = {
	{ .cases = "scene=disjoint,ranges=1000000,*", .comparator = "srcu", .metric = "hit_1_ns",
	  .base = "tree-spinlock", .bound = 1.0 / 3,
	  .words = "an invalidation with one hit, relative to the tree's" },
	{ .cases = "scene=disjoint,ranges=1000000,publishers=1", .comparator = "srcu", .metric = "hit_1_ns",
	  .bound = 400, .unit = GOAL_NS, .words = "an invalidation with one hit" },
	{ .cases = "scene=stairs,ranges=1000000,*", .comparator = "srcu", .metric = "hit_1_ns",
	  .base = "tree-spinlock", .bound = 1.0 / 3,
	  .words = "an invalidation with one hit, relative to the tree's" },
	{ .cases = "scene=stairs,ranges=1000000,publishers=1", .comparator = "srcu", .metric = "hit_1_ns",
	  .bound = 400, .unit = GOAL_NS, .words = "an invalidation with one hit" },
	{ .cases = "*publishers=1", .comparator = "srcu", .metric = "hit_100_ns",
	  .base = "tree-spinlock", .bound = 1.5,
	  .words = "an invalidation with 100 hits, relative to the tree's" },
	{ .cases = "*ranges=1000000,*", .comparator = "srcu", .metric = "register_ns",
	  .bound = 2000, .unit = GOAL_NS, .words = "registering a range" },
	{ .cases = "*ranges=1000000,*", .comparator = "srcu", .metric = "unregister_many_ns",
	  .bound = 2000, .unit = GOAL_NS, .words = "unregistering a range, a thousand in one call" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.lines = &lines,
	.goals = goals,
};

const struct bench_question question_ranges = {
	.report = &report,
	.title = "What does an invalidation cost that touches a few of very many ranges?",
	.how_to_read =
		"Publishers invalidate at random places; the time is that of one invalidation in one publisher. Lower is "
		"better. disjoint: ranges of one page with a page between them. stairs: groups of 100 that overlap, of "
		"which the first page has one hit and the last 100. same-start: ten groups of mirrors of the same memory, "
		"each one page longer than the last. scattered: each 32nd range reaches to the end of its group, so that "
		"100 hits are in 100 leaves, which is the worst for the list's index. 'sorted-array' is a search without any "
		"synchronisation in something that cannot change: a lower bound. UCX's page table takes no overlapping "
		"ranges. Registering and unregistering is measured with one publisher's thread alone, at the full size, a "
		"thousand at a time: 'together' is mirror_unregister_many. More scenes are measured if --filter names them: "
		"same-end, nested, huge, identical, clusters.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
