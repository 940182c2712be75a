/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * throughput: how many invalidations a second, by publishers and mirrors?
 *
 * Each publisher repeats a bracket, start and end, over its own page, without a change between
 * the two.  Every mirror covers everything.  A callback counts into a variable of its thread, so
 * that the records show how often it ran; it touches no line that another thread touches, since
 * that would measure the counter and not the list.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../measure/spin.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

static _Thread_local uint64_t nr_callbacks;
/* Of all threads, each adding once per batch: a share of a nanosecond per bracket. */
static _Atomic uint64_t nr_callbacks_measured;

/* Set before a run, and read alone during it. */
static uint64_t callback_turns;

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
	return 0;
}

static int on_start_work(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
	spin(callback_turns);
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

static const struct mirror_ops ops_that_work = {
	.size = sizeof(ops_that_work),
	.invalidate_range_start = on_start_work,
	.invalidate_range_end = on_end,
};

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	/* A copy, so that which kind of list it is stays in a register. */
	const struct bench_list list = *(const struct bench_list *)m->arg;
	struct mirror_range range = {
		.start = ((uint64_t)index + 1) << 20,
		.end = (((uint64_t)index + 1) << 20) + 4096,
		.flags = MIRROR_RANGE_BLOCKABLE,
	};

	nr_callbacks = 0;
	for (unsigned i = 0; i < n; i++) {
		if (bench_start(&list, &range) == 0)
			bench_end(&list, &range);
		bench_quiescent(m->comparator);
	}
	if (measured)
		atomic_fetch_add_explicit(&nr_callbacks_measured, nr_callbacks, memory_order_relaxed);
}

/* The more the callbacks take the fewer, so that the end of the measured part is seen soon. */
static unsigned batch_of(const struct bench_case *c)
{
	uint64_t bracket_ns = (uint64_t)c->callback_ns * (unsigned)c->mirrors;
	unsigned most = c->mirrors >= 64 ? 64 : 256, batch;

	if (bracket_ns == 0)
		return most;
	batch = (unsigned)(50 * NS_PER_US / bracket_ns) + 1;
	return batch < most ? batch : most;
}

static int measure(const struct bench_case *c, const struct bench_comparator *comparator,
		   struct bench_list *list, json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers,
		.operation = operation,
		.batch = batch_of(c),
		.arg = list,
	};
	uint64_t total = 0;
	double rate;
	int err;

	atomic_store(&nr_callbacks_measured, 0);
	callback_turns = spin_turns_of((uint64_t)c->callback_ns);
	err = measure_run(&m);
	if (!err) {
		rate = measure_rate(&m, 0);
		for (unsigned i = 0; i < m.nr_threads; i++)
			total += m.threads[i].operations;
		json_object_set_new(metrics, "invalidations_per_s", json_real(rate));
		json_object_set_new(metrics, "ns_per_invalidation", json_real(1e9 * c->publishers / rate));
		json_object_set_new(metrics, "callbacks_per_invalidation",
				    json_real((double)atomic_load(&nr_callbacks_measured) / (double)total));
		if (c->callback_ns)
			json_object_set_new(metrics, "callback_measured_ns", json_real(spin_measured_ns(callback_turns)));
	}
	if (err != -ETIMEDOUT)
		free(m.threads);
	return err;
}

int throughput_run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct bench_mirror *mirrors = bench_calloc((size_t)c->mirrors * sizeof(mirrors[0]));
	struct bench_list list;
	int err;

	if (!mirrors)
		return -ENOMEM;
	err = bench_list_open(&list, comparator);
	if (err)
		goto out;
	for (int i = 0; i < c->mirrors && !err; i++)
		err = bench_register(&list, &mirrors[i], c->callback_ns ? &ops_that_work : &ops);
	if (!err)
		err = measure(c, comparator, &list, metrics);
	/* A thread that hangs still uses all of it. */
	if (err == -ETIMEDOUT)
		return err;
	for (int i = 0; i < c->mirrors; i++)
		bench_unregister(&list, &mirrors[i]);
	bench_list_close(&list);
out:
	free(mirrors);
	return err;
}

uint64_t throughput_share_ns(const struct bench_config *config)
{
	unsigned nr_cases = 1;          /* without mirrors */

	for (int i = 0; config->publishers[i]; i++)
		for (int j = 0; config->mirrors[j]; j++)
			nr_cases++;
	return bench_share_ns(config, 40 * NS_PER_S, nr_cases * bench_nr_comparators(config), 250 * NS_PER_MS);
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = { .warmup_ns = 20 * NS_PER_MS };
	int err;

	c.duration_ns = throughput_share_ns(config);
	c.expected_ns = c.warmup_ns + c.duration_ns + 2 * NS_PER_MS;
	/* What a bracket costs that nobody hears of: a list cannot hold 0 on the command line, whose end it is. */
	c.publishers = 1;
	err = bench_plan_add(plan_, &question_throughput, &c);
	if (err)
		return err;
	for (int i = 0; config->publishers[i]; i++) {
		for (int j = 0; config->mirrors[j]; j++) {
			c.publishers = config->publishers[i];
			c.mirrors = config->mirrors[j];
			err = bench_plan_add(plan_, &question_throughput, &c);
			if (err)
				return err;
		}
	}
	return 0;
}

/* ---- the report ---- */

static const char name[] = "throughput";

static const char speed[] = "invalidations_per_s";

/* Most publishers up to the CPUs, 16 mirrors. */
static const char *headline_case(const json_t *results)
{
	static const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, name, cases);
	int cpus = (int)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus"));
	const char *best = NULL;
	int most = 0;

	for (size_t i = 0; i < nr_cases; i++) {
		int publishers = summary_parameter(results, name, cases[i], "publishers");
		int mirrors = summary_parameter(results, name, cases[i], "mirrors");

		if (publishers > cpus || (best && mirrors != 16) || (best && publishers <= most && most > 0))
			continue;
		best = cases[i];
		most = mirrors == 16 ? publishers : 0;
	}
	return best;
}

static bool note(const json_t *results, char *text, size_t size)
{
	text[0] = '\0';
	if (headline_case(results))
		text_add(text, size, "M/s: millions of brackets a second, a start and an end with both callbacks of each mirror");
	return text[0] != '\0';
}

/* ", 2.1 times rwsem": if the run can tell the two apart. */
static void add_times(const json_t *results, const char *case_name, const char *base, const char *words, char *text,
		      size_t size)
{
	struct estimate ratio;

	if (!summary_ratio(results, name, case_name, "srcu", base, speed, &ratio))
		return;
	if (ratio.n == 1)
		text_add(text, size, ", in one repeat %.1f times %s", ratio.median, words);
	else if (ratio.low > 1 || ratio.high < 1)
		text_add(text, size, ", %.1f times %s", ratio.median, words);
	else
		text_add(text, size, ", no different from %s beyond the noise", words);
}

static bool sentence(const json_t *results, char *text, size_t size)
{
	const char *best = headline_case(results);
	struct estimate srcu, of_bare;

	text[0] = '\0';
	if (!best || !summary_value(results, name, best, "srcu", speed, &srcu))
		return false;
	text_add(text, size, "With %d publishers and %d mirrors, libmirror (srcu) makes %.2f million brackets a second",
		 summary_parameter(results, name, best, "publishers"), summary_parameter(results, name, best, "mirrors"),
		 srcu.median / 1e6);
	add_times(results, best, "rwsem", "the design of the old HMM (rwsem)", text, size);
	add_times(results, best, "list-rwlock", "a list of your own under a pthread rwlock", text, size);
	add_times(results, best, "list-urcu", "one under liburcu", text, size);
	if (summary_ratio(results, name, best, "srcu", "bare", speed, &of_bare)) {
		text_add(text, size, "; a bare loop over the same callbacks makes %.2f times as many", 1 / of_bare.median);
		if (of_bare.n > 1)
			text_add(text, size, " (95%% interval %.2f to %.2f)", 1 / of_bare.high, 1 / of_bare.low);
	}
	text_add(text, size, ".");
	return true;
}

static void title_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	int cpus = (int)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus"));
	int publishers = summary_parameter(results, name, case_name, "publishers");

	text_add(text, size, "%d publisher%s%s; millions a second, and how many times a bare loop and rwsem", publishers,
		 publishers == 1 ? "" : "s", publishers > cpus ? " (more than CPUs: they share them)" : "");
}

static void heading_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	int mirrors = summary_parameter(results, name, case_name, "mirrors");

	text_add(text, size, mirrors == 0 ? "no mirror" : "%d mirror%s", mirrors, mirrors == 1 ? "" : "s");
}

static bool has_most_publishers(const json_t *results, const char *case_name)
{
	const char *best = headline_case(results);

	return best && summary_parameter(results, name, case_name, "publishers") ==
			       summary_parameter(results, name, best, "publishers");
}

/* What differs from the headline's case in nothing but the publishers. */
static bool is_like_headline(const json_t *results, const char *case_name)
{
	const char *best = headline_case(results);
	const char *rest = strchr(case_name, ','), *best_rest = best ? strchr(best, ',') : NULL;

	return rest && best_rest && strncmp(case_name, "publishers=", 11) == 0 && strcmp(rest, best_rest) == 0;
}

static void title_of_lines(const json_t *results, char *text, size_t size)
{
	const char *best = headline_case(results);

	if (best)
		text_add(text, size, "%d mirrors", summary_parameter(results, name, best, "mirrors"));
}

static const struct report_table tables[] = {
	{ .title_of = title_of, .group = "publishers", .heading_of = heading_of, .columns = {
		COLUMN(RATE, "M/s", speed),
		RATIO_COLUMN("/bare", speed, "bare"),
		RATIO_COLUMN("/rwsem", speed, "rwsem"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "invalidations",
	.marks = { { "invalidations_per_s", "" } },
	.own_axes = true,
	.shows = has_most_publishers,
};

static const struct report_lines lines = {
	.metric = speed,
	.x = "publishers",
	.y_axis = "invalidations",
	.shows = is_like_headline,
	.title = title_of_lines,
};

/* A goal beside what users write themselves. */
#define BESIDE_OWN_LIST(publishers_, mirrors_, list_, bound_, words_) \
	{ .cases = "publishers=" #publishers_ ",mirrors=" #mirrors_, .comparator = "srcu", .metric = speed, \
	  .base = list_, .bound = bound_, .at_least = true, .words = "brackets, relative to " words_ }
#define BESIDE_RWLOCK(publishers_, mirrors_, bound_) \
	BESIDE_OWN_LIST(publishers_, mirrors_, "list-rwlock", bound_, "a list of your own under a pthread rwlock")
#define BESIDE_URCU(mirrors_, bound_) \
	BESIDE_OWN_LIST(1, mirrors_, "list-urcu", bound_, "a list of your own under liburcu")

static const struct report_goal goals[] = {
	{ .cases = "publishers=1,mirrors=0", .comparator = "srcu", .metric = "ns_per_invalidation", .bound = 10,
	  .unit = GOAL_NS, .words = "a bracket over no mirror" },
	{ .cases = "publishers=1,mirrors=16", .comparator = "srcu", .metric = "ns_per_invalidation", .base = "bare",
	  .bound = 1.35, .words = "the time of a bracket, relative to a bare loop (the aim is 1.2)" },
	{ .cases = "publishers=1,mirrors=256", .comparator = "srcu", .metric = "ns_per_invalidation", .base = "bare",
	  .bound = 1.6, .words = "the time of a bracket, relative to a bare loop" },
	{ .cases = "publishers=1,mirrors=16", .comparator = "srcu", .metric = speed, .base = "no-sync", .bound = 0.95,
	  .at_least = true, .words = "brackets, relative to the same walk with a sync that does nothing" },
	{ .cases = "publishers=2,mirrors=16", .comparator = "srcu", .metric = speed, .base = "srcu",
	  .base_case = "publishers=1,mirrors=16", .bound = 1.9, .at_least = true,
	  .words = "brackets of two publishers, relative to one" },
	{ .cases = "publishers=2,mirrors=16", .comparator = "srcu", .metric = speed, .base = "rwsem", .bound = 2,
	  .at_least = true, .words = "brackets, relative to the design of the old HMM (the aim is 3)" },
	{ .cases = "publishers=2,mirrors=*", .comparator = "srcu", .metric = speed, .beside_locks = true, .bound = 1,
	  .at_least = true, .words = "brackets, relative to the fastest of the locks that the same walk was measured over" },
	BESIDE_RWLOCK(1, 1, 0.9),
	BESIDE_RWLOCK(1, 16, 0.95),
	BESIDE_RWLOCK(1, 256, 1.1),
	BESIDE_RWLOCK(2, 1, 3),
	BESIDE_RWLOCK(2, 16, 1.4),
	BESIDE_RWLOCK(2, 256, 1.1),
	BESIDE_URCU(16, 0.8),
	BESIDE_URCU(256, 1.1),
	{ .words = NULL },
};

static const struct report_headline headline = {
	.case_of = headline_case,
	.columns = {
		CASE_COLUMN(RATE, "M/s: 1 mirror,\n1 publisher", speed, "publishers=1,mirrors=1"),
		CASE_COLUMN(RATE, "1 mirror,\n2 publishers", speed, "publishers=2,mirrors=1"),
		CASE_COLUMN(RATE, "16 mirrors,\n1 publisher", speed, "publishers=1,mirrors=16"),
		CASE_COLUMN(RATE, "16 mirrors,\n2 publishers", speed, "publishers=2,mirrors=16"),
	},
	.panels = {
		{ .title = "1 mirror", .axis = "brackets", .metric = speed, .marks = {
			{ "publishers=1,mirrors=1", "1 publisher" }, { "publishers=2,mirrors=1", "2 publishers" },
		} },
		{ .title = "16 mirrors", .axis = "brackets", .metric = speed, .marks = {
			{ "publishers=1,mirrors=16", "1 publisher" }, { "publishers=2,mirrors=16", "2 publishers" },
		} },
		{ .title = NULL },
	},
	.note = note,
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.lines = &lines,
	.goals = goals,
	.headline = &headline,
	.speed = speed,
	.projected = speed,
	.sentence = sentence,
};

const struct bench_question question_throughput = {
	.report = &report,
	.title = "How many invalidations a second?",
	.how_to_read =
		"Each publisher repeats a bracket (start and end) over its own page; every mirror covers "
		"everything, and its two callbacks count into a variable of their thread. More is better. "
		"'bare' is the limit: a loop over an array of the mirrors, which calls the same callbacks and nothing else. "
		"'no-sync' is libmirror's own walk with a sync that does nothing: no sync can beat it by more than noise. "
		"'list-rwlock' and 'list-urcu' are what users write without libmirror. "
		"With one publisher the figure shows the cost of the sync itself; with more it shows what "
		"publishers do to each other through a lock's shared cache line. The table that is marked as a projection "
		"fits the Universal Scalability Law, X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1)), to each repeat: "
		"it is arithmetic and no measurement, as good as the few points under it, which noise moves more than many "
		"CPUs would forgive. What decides scale is counted exactly below.",
	.plan = plan,
	.run = throughput_run,
};
