/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * storm: what does a publisher notice of another thread that registers and unregisters at full speed?
 *
 * Publishers, one fewer than CPUs, repeat brackets, each timed by itself; first while no thread changes the list
 * (quiet), then while one more thread does without a pause (storm).  Two scenes:
 *
 *   list     16 mirrors of everything; the thread registers one more and unregisters it
 *   ranges   as many range mirrors as the case says, each publication hits one; the thread
 *            registers 1000 more in other places and unregisters them in one call
 *
 * The loop is closed: a bracket that takes long delays the next, which then is not late.  So these are
 * times of single brackets and not what a request would wait; trap measures that.  Two readings of
 * the clock are in each.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../measure/histogram.h"
#include "../measure/topology.h"
#include "question.h"

enum { NR_STANDING = 16, NR_BATCH = 1000 };

static const uint64_t page = 4096;

struct storm {
	struct mirror *standing;        /* of the list, or one a range */
	struct mirror comers[NR_BATCH], *pointers[NR_BATCH];
	struct mirror_list *list;
	unsigned nr_ranges;             /* 0: scene list */
	bool raging;
	unsigned nr_publishers;
	struct publisher {
		struct histogram latency;
		uint64_t random;
	} *publishers;
	uint64_t nr_changed;            /* written by thread 0 */
	int error;                      /* the same */
};

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

/* Range mirrors that stay lie on even pages, range mirrors that come and go on odd pages. */
static int register_at(struct storm *storm, struct mirror *m, uint64_t number)
{
	return mirror_register_range(storm->list, m, &ops, number * page, number * page + page);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int change_list(struct storm *storm)
{
	int err = mirror_register(storm->list, &storm->comers[0], &ops);

	storm->nr_changed++;
	return err ? err : mirror_unregister(&storm->comers[0]);
}

static int change_ranges(struct storm *storm)
{
	uint64_t random = 0x9e3779b97f4a7c15ull + storm->nr_changed;
	int err = 0;

	for (unsigned i = 0; i < NR_BATCH && !err; i++)
		err = register_at(storm, &storm->comers[i], 2 * (next_random(&random) % storm->nr_ranges) + 1);
	storm->nr_changed += NR_BATCH;
	return err ? err : mirror_unregister_many(storm->pointers, NR_BATCH);
}

static void publish(struct storm *storm, struct publisher *me, unsigned n, bool measured)
{
	for (unsigned i = 0; i < n; i++) {
		struct mirror_range range = { .start = page, .flags = MIRROR_RANGE_BLOCKABLE };
		uint64_t begun;

		if (storm->nr_ranges > 0)
			range.start = 2 * page * (next_random(&me->random) % storm->nr_ranges);
		range.end = range.start + page;
		begun = bench_now_ns();
		if (mirror_invalidate_range_start(storm->list, &range) == 0)
			mirror_invalidate_range_end(storm->list, &range);
		if (measured)
			histogram_add(&me->latency, bench_now_ns() - begun);
	}
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct storm *storm = m->arg;
	int err;

	if (index > 0) {
		publish(storm, &storm->publishers[index - 1], n, measured);
	} else if (storm->raging) {
		err = storm->nr_ranges > 0 ? change_ranges(storm) : change_list(storm);
		if (err)
			storm->error = err;
	} else {
		crew_sleep_ns(NS_PER_MS);
	}
}

static int measure(struct storm *storm, const struct bench_case *c, const struct bench_comparator *comparator,
		   bool raging, json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = storm->nr_publishers + 1,
		.operation = operation,
		.batch = 16,
		.arg = storm,
	};
	int err;

	storm->raging = raging;
	for (unsigned i = 0; i < storm->nr_publishers; i++) {
		memset(&storm->publishers[i].latency, 0, sizeof(storm->publishers[i].latency));
		storm->publishers[i].random = 88172645463325252ull + i;
	}
	err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = storm->error;
	for (unsigned i = 1; i < storm->nr_publishers; i++)
		histogram_merge(&storm->publishers[0].latency, &storm->publishers[i].latency);
	if (!err)
		histogram_to_metrics(&storm->publishers[0].latency, raging ? "storm" : "quiet", metrics);
	if (!err && raging)
		json_object_set_new(metrics, "changes_per_s",
				    json_real(m.threads[0].operations == 0 ? 0 : (double)storm->nr_changed * 1e9 /
					      (double)(c->warmup_ns + m.threads[0].elapsed_ns)));
	free(m.threads);
	return err;
}

static void ratios(json_t *metrics)
{
	double quiet = json_number_value(json_object_get(metrics, "quiet_p99_9_ns"));
	double storm = json_number_value(json_object_get(metrics, "storm_p99_9_ns"));

	if (quiet > 0)
		json_object_set_new(metrics, "storm_to_quiet_p99_9", json_real(storm / quiet));
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct storm *storm = calloc(1, sizeof(*storm));
	size_t nr = c->ranges ? (size_t)c->ranges : NR_STANDING, nr_standing = 0;
	struct mirror **all = NULL;
	int err = -ENOMEM;

	if (!storm)
		return err;
	storm->nr_ranges = (unsigned)c->ranges;
	storm->nr_publishers = (unsigned)c->publishers;
	storm->standing = calloc(nr, sizeof(storm->standing[0]));
	all = calloc(nr, sizeof(all[0]));
	storm->publishers = calloc(storm->nr_publishers, sizeof(storm->publishers[0]));
	if (!storm->standing || !all || !storm->publishers)
		goto out;
	for (unsigned i = 0; i < NR_BATCH; i++)
		storm->pointers[i] = &storm->comers[i];
	err = bench_list_create(&storm->list, comparator);
	if (err)
		goto out;
	for (; nr_standing < nr && !err; nr_standing += !err) {
		all[nr_standing] = &storm->standing[nr_standing];
		err = c->ranges ? register_at(storm, all[nr_standing], 2 * nr_standing) :
				  mirror_register(storm->list, all[nr_standing], &ops);
	}
	if (!err)
		err = measure(storm, c, comparator, false, metrics);
	if (!err)
		err = measure(storm, c, comparator, true, metrics);
	if (err == -ETIMEDOUT)
		return err;
	ratios(metrics);
	mirror_unregister_many(all, nr_standing);
	mirror_list_destroy(storm->list);
out:
	free(storm->publishers);
	free(storm->standing);
	free(storm);
	free(all);
	return err;
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	if (comparator->plain)
		return "it cannot unregister many at once";
	return comparator->list_is_frozen ? "its list must not change" : NULL;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.scene = "list",
		.publishers = places > 1 ? (int)places - 1 : 1,
		.mirrors = BENCH_UNUSED,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 5 * NS_PER_S, 2 * (config->full ? 4 : 2) * bench_nr_comparators(config),
					      200 * NS_PER_MS),
	};
	int err;

	c.expected_ns = 2 * (c.warmup_ns + c.duration_ns) + 5 * NS_PER_MS;
	err = bench_plan_add(plan_, &question_storm, &c);
	c.scene = "ranges";
	for (c.ranges = 10000; c.ranges <= (config->full ? 1000000 : 10000) && !err; c.ranges *= 10) {
		c.expected_ns += (uint64_t)c.ranges * 1500;
		err = bench_plan_add(plan_, &question_storm, &c);
	}
	return err;
}

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "A publisher's brackets", .columns = {
		COLUMN(NS, "quiet\np50", "quiet_p50_ns"),
		COLUMN(NS, "quiet\np99.9", "quiet_p99_9_ns"),
		COLUMN(NS, "storm\np50", "storm_p50_ns"),
		COLUMN(NS, "storm\np99.9", "storm_p99_9_ns"),
		COLUMN(NUMBER, "p99.9\nstorm/quiet", "storm_to_quiet_p99_9"),
		COLUMN(RATE, "changes\nM/s", "changes_per_s"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "a bracket's p99.9",
	.marks = { { "quiet_p99_9_ns", "quiet" }, { "storm_p99_9_ns", "in the storm" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "srcu", .metric = "storm_to_quiet_p99_9", .bound = 2,
	  .words = "a publisher's p99.9 in a storm of registrations, relative to quiet" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "storm",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_storm = {
	.report = &report,
	.title = "What does a publisher notice of another thread that registers and unregisters at full speed?",
	.how_to_read =
		"Publishers time each bracket by itself, first while nobody changes the list (quiet), then while another "
		"thread registers and unregisters without a pause (storm). Lower is better; the last column says how many "
		"changes that thread got through, for a sync that starves it looks calm. scene=list: 16 mirrors of "
		"everything and one that comes and goes. scene=ranges: that many range mirrors, of which each publication "
		"hits one; the other thread registers 1000 elsewhere and unregisters them in one call. The loop is closed: "
		"a late bracket makes the next start late, and that is not counted. 'no-sync' is left out, since its list may "
		"not change.",
	.plan = plan,
	.leaves_out = leaves_out,
	.run = run,
};
