/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * callbacks: how many invalidations a second, when callbacks take a while?
 *
 * As throughput, with a publisher on every CPU; each start callback works for a given time, in a loop of
 * the CPU's own speed that touches no memory (spin.h).  The end callbacks stay empty.
 */
#include "../measure/topology.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

static const int lengths_ns[] = { 0, 100, 1000, 10000 }, mirrors[] = { 1, 16 };

enum { NR_LENGTHS = sizeof(lengths_ns) / sizeof(lengths_ns[0]), NR_MIRRORS = sizeof(mirrors) / sizeof(mirrors[0]) };

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = (int)topology_nr_places(),
		.warmup_ns = 3 * NS_PER_MS,
	};
	int err = 0;

	c.duration_ns = bench_share_ns(config, 9 * NS_PER_S, NR_LENGTHS * NR_MIRRORS * bench_nr_comparators(config),
				       100 * NS_PER_MS);
	c.expected_ns = c.warmup_ns + c.duration_ns + 8 * NS_PER_MS;
	for (int m = 0; m < NR_MIRRORS; m++) {
		for (int i = 0; i < NR_LENGTHS && !err; i++) {
			c.mirrors = mirrors[m];
			c.callback_ns = lengths_ns[i];
			err = bench_plan_add(plan_, &question_callbacks, &c);
		}
	}
	return err;
}

/* ---- the report ---- */

static const char name[] = "callbacks";

static void title_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	int nr = summary_parameter(results, name, case_name, "mirrors");

	text_add(text, size, "%d publishers, %d mirror%s; millions a second, and how many times rwsem",
		 summary_parameter(results, name, case_name, "publishers"), nr, nr == 1 ? "" : "s");
}

static void heading_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	int length_ns = summary_parameter(results, name, case_name, "callback_ns");

	if (length_ns > 0)
		format_ns(length_ns, text, size);
	else
		text_add(text, size, "empty");
}

static const struct report_table tables[] = {
	{ .title_of = title_of, .group = "mirrors", .heading_of = heading_of, .columns = {
		COLUMN(RATE, "M/s", "invalidations_per_s"),
		RATIO_COLUMN("/rwsem", "invalidations_per_s", "rwsem"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "invalidations",
	.marks = { { "invalidations_per_s", "" } },
	.own_axes = true,
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.speed = "invalidations_per_s",
};

const struct bench_question question_callbacks = {
	.report = &report,
	.title = "How many invalidations a second, when callbacks take a while?",
	.how_to_read =
		"A publisher on every CPU, as in throughput, but each mirror's start callback works for the given time. More "
		"is better. The longer callbacks take the less is left for a sync to cost; a lock that lets one walk in at a "
		"time falls behind by as many times as there are publishers.",
	.plan = plan,
	.run = throughput_run,
};
