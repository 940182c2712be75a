/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * grace-period: how long does synchronize take?
 *
 * One thread waits for one grace period after the other, and each is timed.  Meanwhile:
 *
 *   no-reader    no other thread uses the library
 *   busy         a reader on every CPU opens and ends sections without a pause; the thread that waits
 *                shares a CPU with one of them, so the scheduler's part is in the figures
 *   idle-N       N threads have done one section each, and sleep
 *   elsewhere    a reader of another domain sleeps 100 ms in its section, again and again; liburcu
 *                has one domain for all
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../measure/crowd.h"
#include "../measure/histogram.h"
#include "../comparators/primitives.h"
#include "../measure/topology.h"
#include "question.h"

static const uint64_t sleeper_ns = 100 * NS_PER_MS;

struct grace {
	const struct bench_comparator *comparator;
	const struct primitive *primitive;
	bool elsewhere;
	struct histogram latency;       /* written by thread 0 */
	int error;                      /* the same */
};

static void wait_once(struct grace *grace, bool measured)
{
	uint64_t begun = bench_now_ns();
	int err = grace->primitive->synchronize();

	if (err)
		grace->error = err;
	else if (measured)
		histogram_add(&grace->latency, bench_now_ns() - begun);
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct grace *grace = m->arg;

	if (index == 0) {
		wait_once(grace, measured);
	} else if (grace->elsewhere) {
		grace->primitive->open_elsewhere();
		crew_sleep_ns(sleeper_ns);
		grace->primitive->close_elsewhere();
	} else {
		grace->primitive->pairs(n);
	}
}

static void join_crowd(void *arg)
{
	struct grace *grace = arg;

	if (grace->comparator->thread_setup)
		grace->comparator->thread_setup();
	grace->primitive->pairs(1);
}

static void leave_crowd(void *arg)
{
	struct grace *grace = arg;

	if (grace->comparator->thread_teardown)
		grace->comparator->thread_teardown();
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct grace *grace = calloc(1, sizeof(*grace));
	struct crowd *crowd = NULL;
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->threads + 1,
		.operation = operation,
		.batch = 256,
		.arg = grace,
	};
	unsigned nr_idle = strncmp(c->scene, "idle-", 5) == 0 ? (unsigned)atoi(c->scene + 5) : 0;
	int err = 0;

	if (!grace)
		return -ENOMEM;
	grace->comparator = comparator;
	grace->primitive = comparator->own;
	grace->elsewhere = strcmp(c->scene, "elsewhere") == 0;
	if (nr_idle > 0)
		err = crowd_gather(&crowd, nr_idle, join_crowd, leave_crowd, grace);
	if (!err)
		err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	crowd_disperse(crowd);
	if (!err)
		err = grace->error;
	if (!err)
		histogram_to_metrics(&grace->latency, "synchronize", metrics);
	free(m.threads);
	free(grace);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	/* The scenes of a quick run come first. */
	static const char *const scenes[] = { "no-reader", "busy", "elsewhere", "idle-10", "idle-1000", "idle-10000" };
	enum { NR_SCENES = sizeof(scenes) / sizeof(scenes[0]), NR_QUICK = 3 };
	unsigned nr_scenes = config->full ? NR_SCENES : NR_QUICK;
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 7 * NS_PER_S,
					      nr_scenes * bench_nr_comparators_of(config, &question_grace_period),
					      150 * NS_PER_MS),
	};
	int err = 0;

	for (unsigned i = 0; i < nr_scenes && !err; i++) {
		c.scene = scenes[i];
		c.threads = strcmp(c.scene, "busy") == 0 ? (int)topology_nr_places() :
			    strcmp(c.scene, "elsewhere") == 0;
		c.expected_ns = c.warmup_ns + c.duration_ns + NS_PER_MS;
		if (strcmp(c.scene, "elsewhere") == 0)
			c.expected_ns += sleeper_ns;
		if (strcmp(c.scene, "idle-10000") == 0)
			c.expected_ns += NS_PER_S;
		err = bench_plan_add(plan_, &question_grace_period, &c);
	}
	return err;
}

static const struct bench_comparator *const comparators[] = {
	&primitive_usrcu,
	&primitive_usrcu_expedited,
	&primitive_usrcu_full_fence,
#ifdef HAVE_URCU
	&primitive_urcu_memb,
	&primitive_urcu_bp,
#endif
#ifdef HAVE_CK
	&primitive_ck_epoch,
#endif
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Synchronize, and how many times liburcu-memb's", .columns = {
		COLUMN(NS, "p50", "synchronize_p50_ns"),
		COLUMN(NS, "p99", "synchronize_p99_ns"),
		COLUMN(NS, "p99.9", "synchronize_p99_9_ns"),
		RATIO_COLUMN("p50\n/urcu-memb", "synchronize_p50_ns", "urcu-memb"),
		RATIO_COLUMN("p99\n/urcu-memb", "synchronize_p99_ns", "urcu-memb"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "synchronize",
	.marks = { { "synchronize_p50_ns", "p50" }, { "synchronize_p99_ns", "p99" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "usrcu", .metric = "synchronize_p50_ns",
	  .base = "urcu-memb", .bound = 1.5, .words = "the median of synchronize, relative to liburcu-memb's" },
	{ .cases = "*", .comparator = "usrcu-expedited", .metric = "synchronize_p50_ns",
	  .base = "urcu-memb", .bound = 1.5,
	  .words = "the median of synchronize_expedited, relative to liburcu-memb's synchronize" },
	{ .cases = "scene=elsewhere,*", .comparator = "usrcu",
	  .metric = "synchronize_p50_ns", .base = "usrcu", .base_case = "scene=no-reader", .bound = 1.25,
	  .words = "the median of synchronize while a reader of another domain sleeps, relative to no reader" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "grace-period",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_grace_period = {
	.report = &report,
	.title = "How long does a grace period take?",
	.how_to_read =
		"One thread calls synchronize again and again; each call is timed. Lower is better. no-reader: nobody "
		"else is there. busy: a reader on every CPU opens and ends sections without a pause, and the thread that "
		"waits shares a CPU with one of them. elsewhere: a reader of another domain sleeps 100 ms in each of its "
		"sections; that must not matter, and over liburcu does, since it has one domain for all. idle-N: N "
		"threads have done one section each and sleep.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
