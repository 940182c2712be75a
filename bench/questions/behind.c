/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * behind: how long does an unregister take while a callback of another mirror sleeps?
 *
 * Rounds of two threads.  One publishes to a mirror whose callback sleeps 10 ms.  From when that
 * callback has begun until it ends, the other unregisters a mirror of another range and registers it
 * again, without a pause; each unregister that began in that time is timed by itself, also where
 * it ends after it.  So a sync that waits for the callback shows one unregister a round.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../measure/histogram.h"
#include "question.h"

static const uint64_t slow_ns = 10 * NS_PER_MS;

struct behind {
	struct bench_mirror slow, leaver;
	struct bench_list list;
	int nr_rounds;
	atomic_int in_callback;         /* the round whose callback has begun */
	atomic_int callback_over;       /* the round whose callback has ended */
	atomic_int left;                /* the round that the leaver is done with */
	struct histogram latency;       /* written by the leaver */
	atomic_int error;
};

static const struct mirror_range slow_range = { .start = 0, .end = 4096, .flags = MIRROR_RANGE_BLOCKABLE };
static const uint64_t leaver_start = 1 << 16, leaver_end = (1 << 16) + 4096;

/* The publisher hands over the scene and the round. */
struct slow_work {
	struct behind *behind;
	int round;
};

static int slow_callback(struct mirror *m, const struct mirror_range *r)
{
	const struct slow_work *work = r->data;

	(void)m;
	atomic_store(&work->behind->in_callback, work->round);
	crew_sleep_ns(slow_ns);
	atomic_store(&work->behind->callback_over, work->round);
	return 0;
}

static int fast_callback(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops slow_ops = { .size = sizeof(slow_ops), .invalidate_range_start = slow_callback };
static const struct mirror_ops fast_ops = { .size = sizeof(fast_ops), .invalidate_range_start = fast_callback };

static void publish(struct behind *behind)
{
	for (int round = 1; round <= behind->nr_rounds; round++) {
		struct slow_work work = { behind, round };
		struct mirror_range range = slow_range;

		range.data = &work;
		if (bench_start(&behind->list, &range) == 0)
			bench_end(&behind->list, &range);
		else
			atomic_store(&behind->error, EIO);
		crew_wait(&behind->left, round);
	}
}

static void leave(struct behind *behind)
{
	for (int round = 1; round <= behind->nr_rounds; round++) {
		crew_wait(&behind->in_callback, round);
		while (atomic_load(&behind->callback_over) < round) {
			uint64_t begun = bench_now_ns();
			int err = bench_unregister(&behind->list, &behind->leaver);

			histogram_add(&behind->latency, bench_now_ns() - begun);
			if (!err)
				err = bench_register_range(&behind->list, &behind->leaver, &fast_ops, leaver_start,
							    leaver_end);
			if (err)
				atomic_store(&behind->error, -err);
		}
		atomic_store(&behind->left, round);
	}
}

static void body(struct crew_thread *t)
{
	if (t->index == 0)
		publish(t->arg);
	else
		leave(t->arg);
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct behind *behind = bench_calloc(sizeof(*behind));
	struct crew crew = {
		.comparator = comparator,
		.nr_threads = 2,
		.body = body,
		.arg = behind,
		.patience_ns = 2 * c->duration_ns + 30 * NS_PER_S,
	};
	int err;

	if (!behind)
		return -ENOMEM;
	behind->nr_rounds = (int)(c->duration_ns / slow_ns) + 1;
	err = bench_list_open(&behind->list, comparator);
	if (err)
		goto out;
	err = bench_register_range(&behind->list, &behind->slow, &slow_ops, slow_range.start, slow_range.end);
	if (!err)
		err = bench_register_range(&behind->list, &behind->leaver, &fast_ops, leaver_start, leaver_end);
	if (!err)
		err = crew_run(&crew);
	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = bench_interrupted ? -EINTR : -atomic_load(&behind->error);
	if (!err) {
		histogram_to_metrics(&behind->latency, "unregister", metrics);
		json_object_set_new(metrics, "unregisters", json_integer((json_int_t)behind->latency.total));
		json_object_set_new(metrics, "rounds", json_integer(behind->nr_rounds));
	}
	bench_unregister(&behind->list, &behind->slow);
	bench_unregister(&behind->list, &behind->leaver);
	bench_list_close(&behind->list);
out:
	free(behind);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.duration_ns = bench_share_ns(config, 2 * NS_PER_S, bench_nr_comparators(config),
					      500 * NS_PER_MS),
	};

	c.expected_ns = c.duration_ns + c.duration_ns / 20 + 10 * NS_PER_MS;
	return bench_plan_add(plan_, &question_behind, &c);
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	return comparator->list_is_frozen ? "its list must not change" : NULL;
}

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "An unregister while another mirror's callback sleeps 10 ms", .columns = {
		COLUMN(NS, "p50", "unregister_p50_ns"),
		COLUMN(NS, "p99", "unregister_p99_ns"),
		COLUMN(NS, "p99.9", "unregister_p99_9_ns"),
		COLUMN(NUMBER, "unregisters", "unregisters"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "an unregister",
	.marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } },
	.line = 1e5,
	.caption = "Dashed: 100 us, the goal for the p99.",
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "srcu", .metric = "unregister_p99_ns", .bound = 100e3,
	  .unit = GOAL_NS, .words = "the p99 of an unregister behind an unrelated callback of 10 ms" },
	{ .words = NULL },
};

static const struct report_headline headline = {
	.columns = { COLUMN(NS, "unregister\np99 beside it", "unregister_p99_ns") },
	.panels = {
		{ .title = "An unregister behind a callback of 10 ms", .axis = "p99",
		  .metric = "unregister_p99_ns" },
		{ .title = NULL },
	},
};

static const struct report_question report = {
	.name = "behind",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
	.headline = &headline,
};

const struct bench_question question_behind = {
	.report = &report,
	.title = "How long does an unregister take while an unrelated callback sleeps 10 ms?",
	.how_to_read =
		"One thread publishes to a mirror whose callback sleeps 10 ms; meanwhile another unregisters, again and "
		"again, a mirror of another range. Lower is better. A sync under which unregister waits for every walk "
		"shows the callback's 10 ms.",
	.plan = plan,
	.leaves_out = leaves_out,
	.run = run,
};
