/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * oversubscription: what happens with eight threads on every CPU?
 *
 * Eight publishers for each CPU repeat brackets over 16 mirrors, each timed by itself, and take turns as the
 * kernel lets them.  One more thread registers a mirror and unregisters it, then sleeps a millisecond, and so on.
 * A thread that holds a lock is put off its CPU like any other: a thread that spins for it burns the time
 * that the holder would need, and a thread that sleeps waits for its turn.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../measure/histogram.h"
#include "../measure/topology.h"
#include "question.h"

enum { PER_CPU = 8, NR_STANDING = 16, BATCH = 64 };

struct crowded {
	struct bench_list list;
	struct bench_mirror standing[NR_STANDING], comer;
	struct histogram unregisters;   /* written by thread 0 */
	struct histogram *brackets;     /* one a publisher */
	int error;                      /* thread 0's */
};

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

static void change(struct crowded *crowded, bool measured)
{
	int err = bench_register(&crowded->list, &crowded->comer, &ops);
	uint64_t begun = bench_now_ns();

	if (!err)
		err = bench_unregister(&crowded->list, &crowded->comer);
	if (measured)
		histogram_add(&crowded->unregisters, bench_now_ns() - begun);
	if (err)
		crowded->error = err;
	crew_sleep_ns(NS_PER_MS);
}

static void publish(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct crowded *crowded = m->arg;
	struct mirror_range range = {
		.start = (uint64_t)index << 20,
		.end = ((uint64_t)index << 20) + 4096,
		.flags = MIRROR_RANGE_BLOCKABLE,
	};
	const struct bench_list list = crowded->list;
	uint64_t begun = bench_now_ns(), ended;

	for (unsigned i = 0; i < n; i++) {
		if (bench_start(&list, &range) == 0)
			bench_end(&list, &range);
		bench_quiescent(m->comparator);
		/* One reading of the clock ends a bracket and begins the next. */
		ended = bench_now_ns();
		if (measured)
			histogram_add(&crowded->brackets[index - 1], ended - begun);
		begun = ended;
	}
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	if (index == 0)
		change(m->arg, measured);
	else
		publish(m, index, n, measured);
}

static void describe(struct crowded *crowded, const struct measure *m, json_t *metrics)
{
	for (unsigned i = 1; i + 1 < m->nr_threads; i++)
		histogram_merge(&crowded->brackets[0], &crowded->brackets[i]);
	json_object_set_new(metrics, "invalidations_per_s", json_real(measure_rate(m, 1)));
	histogram_to_metrics(&crowded->brackets[0], "bracket", metrics);
	histogram_to_metrics(&crowded->unregisters, "unregister", metrics);
	json_object_set_new(metrics, "unregisters", json_integer((json_int_t)crowded->unregisters.total));
}

static int measure(struct crowded *crowded, const struct bench_case *c, const struct bench_comparator *comparator,
		   json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers + 1,
		.operation = operation,
		.batch = BATCH,
		.arg = crowded,
	};
	int err = measure_run(&m);

	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = crowded->error;
	if (!err)
		describe(crowded, &m, metrics);
	free(m.threads);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct crowded *crowded = bench_calloc(sizeof(*crowded));
	int err = -ENOMEM, nr = 0;

	if (!crowded)
		return err;
	crowded->brackets = calloc((size_t)c->publishers, sizeof(crowded->brackets[0]));
	if (!crowded->brackets)
		goto out;
	err = bench_list_open(&crowded->list, comparator);
	if (err)
		goto out;
	for (; nr < NR_STANDING && !err; nr += !err)
		err = bench_register(&crowded->list, &crowded->standing[nr], &ops);
	if (!err)
		err = measure(crowded, c, comparator, metrics);
	/* Threads that hang still use all of it. */
	if (err == -ETIMEDOUT)
		return err;
	while (nr > 0)
		bench_unregister(&crowded->list, &crowded->standing[--nr]);
	bench_list_close(&crowded->list);
out:
	free(crowded->brackets);
	free(crowded);
	return err;
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	return comparator->list_is_frozen ? "its list must not change" : NULL;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = PER_CPU * (int)topology_nr_places(),
		.mirrors = NR_STANDING,
		.warmup_ns = 20 * NS_PER_MS,
		/* Long enough for every thread to have had many turns. */
		.duration_ns = bench_share_ns(config, 7 * NS_PER_S, bench_nr_comparators(config), 200 * NS_PER_MS),
	};

	c.expected_ns = c.warmup_ns + c.duration_ns + 20 * NS_PER_MS;
	return bench_plan_add(plan_, &question_oversubscription, &c);
}

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Eight publishers a CPU", .columns = {
		COLUMN(RATE, "M/s", "invalidations_per_s"),
		RATIO_COLUMN("/rwsem", "invalidations_per_s", "rwsem"),
		COLUMN(NS, "bracket\np50", "bracket_p50_ns"),
		COLUMN(NS, "\np99.9", "bracket_p99_9_ns"),
		COLUMN(NS, "\nmax", "bracket_max_ns"),
		COLUMN(NS, "unregister\np50", "unregister_p50_ns"),
		COLUMN(NS, "\np99", "unregister_p99_ns"),
		COLUMN(NUMBER, "unregisters", "unregisters"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "an unregister",
	.marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } },
};

static const struct report_question report = {
	.name = "oversubscription",
	.tables = tables,
	.figure = &figure,
};

const struct bench_question question_oversubscription = {
	.report = &report,
	.title = "What happens with eight threads on every CPU?",
	.how_to_read =
		"Eight publishers for each CPU repeat brackets over 16 mirrors, and a further thread registers a mirror and "
		"unregisters it a thousand times a second at most. Each CPU can run one thread at a time, so that the longest "
		"brackets are those in which a thread lost its turn: that much is the kernel's, and the same for all. What a "
		"sync adds is waiting for a thread that is not running: seen in the unregisters, in the tail of the brackets, "
		"and in a rate below that of as many publishers as CPUs. The loop is closed: a late bracket delays the next.",
	.plan = plan,
	.leaves_out = leaves_out,
	.run = run,
};
