/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * fences: what does a bracket cost more in a list in which unregisters are frequent?
 *
 * One thread repeats brackets over 16 mirrors with both callbacks, in batches of 100, each timed as a whole.  In a list
 * in which unregisters are frequent it registers a mirror and unregisters it between two batches, which is not timed:
 * the list then has its walks fence, so that no unregister interrupts another thread.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "question.h"

enum { NR_MIRRORS = 16, BATCH = 100 };

/* As a comparator's own: whether unregisters are frequent. */
static const bool frequent = true, rare = false;

static const struct bench_comparator unfenced = {
	.name = "srcu",
	.about = "libmirror's default, in a list that does not change",
	.sync = &mirror_sync_srcu,
	.own = &rare,
}, fenced = {
	.name = "srcu-changing",
	.about = "the same in a list in which unregisters are frequent, so that its walks fence",
	.sync = &mirror_sync_srcu,
	.own = &frequent,
}, full_fence = {
	.name = "srcu-full-fence",
	.about = "a list that was made so that its walks use full fences (MIRROR_LIST_FULL_FENCE), and does not change",
	.sync = &mirror_sync_srcu,
	.list_flags = MIRROR_LIST_FULL_FENCE,
	.own = &rare,
};

static const struct bench_comparator *const comparators[] = { &unfenced, &fenced, &full_fence, NULL };

struct fences {
	struct mirror_list *list;
	struct mirror standing[NR_MIRRORS], comer;
	bool changes;
	uint64_t nr_brackets, took_ns;
	int error;
};

/* What the callbacks do: they touch what no other thread touches. */
static _Thread_local uint64_t nr_callbacks;

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static void batch(struct fences *fences, bool measured)
{
	struct mirror_range range = { .start = 1 << 20, .end = (1 << 20) + 4096, .flags = MIRROR_RANGE_BLOCKABLE };
	uint64_t begun = bench_now_ns();

	for (int i = 0; i < BATCH; i++)
		if (mirror_invalidate_range_start(fences->list, &range) == 0)
			mirror_invalidate_range_end(fences->list, &range);
	if (measured) {
		fences->took_ns += bench_now_ns() - begun;
		fences->nr_brackets += BATCH;
	}
	if (fences->changes && !fences->error) {
		fences->error = mirror_register(fences->list, &fences->comer, &ops);
		if (!fences->error)
			fences->error = mirror_unregister(&fences->comer);
	}
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	(void)index;
	for (unsigned i = 0; i < n; i++)
		batch(m->arg, measured);
}

static int measure(struct fences *fences, const struct bench_case *c, const struct bench_comparator *comparator,
		   json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = 1,
		.operation = operation,
		.batch = 1,
		.arg = fences,
	};
	int err = measure_run(&m);

	if (err == -ETIMEDOUT)
		return err;
	free(m.threads);
	if (!err)
		err = fences->error;
	if (!err)
		json_object_set_new(metrics, "ns_per_bracket",
				    json_real((double)fences->took_ns / (double)fences->nr_brackets));
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct fences *fences = calloc(1, sizeof(*fences));
	int err, nr = 0;

	if (!fences)
		return -ENOMEM;
	fences->changes = *(const bool *)comparator->own;
	err = bench_list_create(&fences->list, comparator);
	if (err)
		goto out;
	for (; nr < NR_MIRRORS && !err; nr += !err)
		err = mirror_register(fences->list, &fences->standing[nr], &ops);
	if (!err)
		err = measure(fences, c, comparator, metrics);
	/* A thread that hangs still uses all of it. */
	if (err == -ETIMEDOUT)
		return err;
	while (nr > 0)
		mirror_unregister(&fences->standing[--nr]);
	mirror_list_destroy(fences->list);
out:
	free(fences);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = 1,
		.mirrors = NR_MIRRORS,
		/* Some thousand batches, of which the list needs a few hundred to notice. */
		.warmup_ns = 50 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 2 * NS_PER_S, bench_nr_comparators_of(config, &question_fences),
					      250 * NS_PER_MS),
	};

	c.expected_ns = c.warmup_ns + c.duration_ns + NS_PER_MS;
	return bench_plan_add(plan_, &question_fences, &c);
}

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "A bracket, and how many times that of a list that does not change", .columns = {
		COLUMN(NS, "a bracket", "ns_per_bracket"),
		RATIO_COLUMN("/srcu", "ns_per_bracket", "srcu"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "a bracket",
	.marks = { { "ns_per_bracket", "" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "srcu-changing", .metric = "ns_per_bracket", .base = "srcu", .bound = 1.6,
	  .words = "a bracket while unregisters are frequent, relative to a list that does not change" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "fences",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_fences = {
	.report = &report,
	.title = "What does a bracket cost more in a list in which unregisters are frequent?",
	.how_to_read =
		"If unregisters are frequent the list has its walks fence, so that no unregister interrupts another thread. "
		"One thread repeats brackets over 16 mirrors; in the changing list it also registers and unregisters one "
		"more mirror after every 100 brackets, which is not in the time. Lower is better.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
