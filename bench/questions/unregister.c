/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * unregister: how long does it take, idle and while others publish?
 *
 * One thread registers a mirror and unregisters it again, without a pause; each unregister is timed
 * by itself.  The list holds 16 more mirrors.  Publishers, one fewer than CPUs, repeat brackets
 * that call all of them, the coming and going one included.  An unregister that begins in the
 * measured part counts even if it ends after it: when time is up the publishers stop, so one
 * that would starve for ever counts with at least what was left of the time.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../measure/histogram.h"
#include "../measure/topology.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

enum { NR_MIRRORS = 16 };

struct churn {
	struct bench_mirror standing[NR_MIRRORS], leaver;
	struct bench_list list;
	struct histogram latency;       /* written by thread 0 */
	int error;                      /* the same */
};

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

static void unregister(struct churn *churn, bool measured)
{
	int err = bench_register(&churn->list, &churn->leaver, &ops);
	uint64_t begun = bench_now_ns();

	if (!err)
		err = bench_unregister(&churn->list, &churn->leaver);
	if (err)
		churn->error = err;
	else if (measured)
		histogram_add(&churn->latency, bench_now_ns() - begun);
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct churn *churn = m->arg;
	struct mirror_range range = {
		.start = index * 4096ull,
		.end = index * 4096ull + 4096,
		.flags = MIRROR_RANGE_BLOCKABLE,
	};

	for (unsigned i = 0; i < n; i++) {
		if (index == 0)
			unregister(churn, measured);
		else if (bench_start(&churn->list, &range) == 0)
			bench_end(&churn->list, &range);
	}
}

static int measure(const struct bench_case *c, const struct bench_comparator *comparator, struct churn *churn,
		   json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers + 1,
		.operation = operation,
		.batch = 1,
		.arg = churn,
	};
	int err = measure_run(&m);

	if (!err)
		err = churn->error;
	if (!err) {
		histogram_to_metrics(&churn->latency, "unregister", metrics);
		json_object_set_new(metrics, "pairs_per_s",
				    json_real((double)m.threads[0].operations * 1e9 /
					      (double)m.threads[0].elapsed_ns));
		if (c->publishers > 0)
			json_object_set_new(metrics, "invalidations_per_s", json_real(measure_rate(&m, 1)));
	}
	if (err != -ETIMEDOUT)
		free(m.threads);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct churn *churn = bench_calloc(sizeof(*churn));
	int err;

	if (!churn)
		return -ENOMEM;
	err = bench_list_open(&churn->list, comparator);
	if (err)
		goto out;
	for (int i = 0; i < NR_MIRRORS && !err; i++)
		err = bench_register(&churn->list, &churn->standing[i], &ops);
	if (!err)
		err = measure(c, comparator, churn, metrics);
	if (err == -ETIMEDOUT)
		return err;
	for (int i = 0; i < NR_MIRRORS; i++)
		bench_unregister(&churn->list, &churn->standing[i]);
	bench_list_close(&churn->list);
out:
	free(churn);
	return err;
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	return comparator->list_is_frozen ? "its list must not change" : NULL;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.mirrors = NR_MIRRORS,
		.warmup_ns = 20 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 11 * NS_PER_S, 2 * bench_nr_comparators(config), 250 * NS_PER_MS),
	};
	int err;

	c.expected_ns = c.warmup_ns + c.duration_ns + 2 * NS_PER_MS;
	err = bench_plan_add(plan_, &question_unregister, &c);
	if (err)
		return err;
	c.publishers = places > 1 ? (int)places - 1 : 1;
	return bench_plan_add(plan_, &question_unregister, &c);
}

/* ---- the report ---- */

static const char name[] = "unregister";

static void title_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	int publishers = summary_parameter(results, name, case_name, "publishers");

	if (publishers == 0)
		text_add(text, size, "Idle: nobody publishes");
	else
		text_add(text, size, "Busy: %d publisher%s", publishers, publishers == 1 ? "" : "s");
}

static const struct report_table tables[] = {
	{ .title_of = title_of, .columns = {
		COLUMN(NS, "p50", "unregister_p50_ns"),
		COLUMN(NS, "p99", "unregister_p99_ns"),
		COLUMN(NS, "p99.9", "unregister_p99_9_ns"),
		COLUMN(NS, "max", "unregister_max_ns"),
		COLUMN(RATE, "publishers'\nM/s", "invalidations_per_s"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "an unregister",
	.marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } },
};

static const struct report_goal goals[] = {
	{ .cases = "publishers=0,*", .comparator = "srcu", .metric = "unregister_p50_ns",
	  .base = "urcu-memb", .base_question = "grace-period", .base_case = "scene=no-reader",
	  .base_metric = "synchronize_p50_ns", .bound = 1,
	  .words = "the median of an idle unregister, relative to urcu_memb_synchronize_rcu()" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_unregister = {
	.report = &report,
	.title = "How long does an unregister take?",
	.how_to_read =
		"One thread registers a mirror and unregisters it again; the time of each unregister is taken. "
		"Idle: nobody else uses the list (publishers=0). Busy: the other CPUs publish without a pause, to "
		"this mirror too. Lower is better. Syncs built on membarrier(2) pay here for publishers that use "
		"no fence. The publishers' own speed meanwhile is in the table. 'bare' and 'no-sync' are left out, since their "
		"lists may not change.",
	.plan = plan,
	.leaves_out = leaves_out,
	.run = run,
};
