/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * section: what does one read-side section cost?
 *
 * Each reader opens and ends empty sections without a pause, in a loop that stands in the
 * primitive's own file.  With one reader that is the cost of the instructions; with as many as
 * CPUs it shows what readers do to each other.  Nobody waits for a grace period meanwhile.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "../comparators/primitives.h"
#include "../measure/topology.h"
#include "question.h"

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	const struct primitive *primitive = m->arg;

	(void)index;
	(void)measured;
	primitive->pairs(n);
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct primitive primitive = *(const struct primitive *)comparator->own;
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->threads,
		.operation = operation,
		.batch = 4096,
		.arg = &primitive,
	};
	int err = measure_run(&m);

	if (!err)
		json_object_set_new(metrics, "ns_per_pair", json_real(1e9 * c->threads / measure_rate(&m, 0)));
	if (err != -ETIMEDOUT)
		free(m.threads);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.threads = 1,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 4 * NS_PER_S,
					      2 * bench_nr_comparators_of(config, &question_section), 100 * NS_PER_MS),
	};
	int err;

	c.expected_ns = c.warmup_ns + c.duration_ns + NS_PER_MS;
	err = bench_plan_add(plan_, &question_section, &c);
	if (err || places == 1)
		return err;
	c.threads = (int)places;
	return bench_plan_add(plan_, &question_section, &c);
}

const struct bench_comparator *const section_comparators[] = {
	&primitive_usrcu,
	&primitive_usrcu_fast,
	&primitive_usrcu_handed,
	&primitive_usrcu_handed_fast,
	&primitive_usrcu_full_fence,
#ifdef HAVE_URCU
	&primitive_urcu_memb,
	&primitive_urcu_bp,
#endif
#ifdef HAVE_CK
	&primitive_ck_epoch,
#endif
	&primitive_pthread_rwlock,
	&primitive_shared_counter,
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "A section, and how many times liburcu-memb's", .together = true, .columns = {
		COLUMN(NUMBER, "ns", "ns_per_pair"),
		RATIO_COLUMN("/urcu-memb", "ns_per_pair", "urcu-memb"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "a section",
	.marks = { { "ns_per_pair", "" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "usrcu", .metric = "ns_per_pair", .base = "urcu-memb",
	  .bound = 1.25, .words = "a section, relative to liburcu-memb's" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "section",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_section = {
	.report = &report,
	.title = "What does a read-side section cost?",
	.how_to_read =
		"A reader opens and ends an empty section, again and again; the time is that of one such pair in one "
		"reader. Lower is better. With every CPU reading, what has risen over one reader is what readers do to "
		"each other. Read sides are inlined as each library offers it; the call through a shared library that "
		"others pay is not in it.",
	.comparators = section_comparators,
	.plan = plan,
	.run = run,
};
