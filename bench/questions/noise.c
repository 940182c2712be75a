/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * noise: how far apart are two measurements of the same thing?
 *
 * The throughput of srcu, measured twice in every repeat as if by two comparators.  Any difference is the
 * machine's.
 */
#include "../comparators/comparators.h"
#include "../measure/topology.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

static const struct bench_comparator first = {
	.name = "srcu-a",
	.about = "srcu",
	.sync = &mirror_sync_srcu,
}, second = {
	.name = "srcu-b",
	.about = "srcu once more",
	.sync = &mirror_sync_srcu,
};

static const struct bench_comparator *const comparators[] = { &first, &second, NULL };

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	/* Each part as long as in throughput, whose noise it is. */
	struct bench_case c = { .mirrors = 16, .warmup_ns = 20 * NS_PER_MS };
	int err = 0;

	c.duration_ns = throughput_share_ns(config);
	c.expected_ns = c.warmup_ns + c.duration_ns + 2 * NS_PER_MS;
	for (int i = 0; config->publishers[i] && !err; i++) {
		if ((unsigned)config->publishers[i] > topology_nr_places())
			continue;
		c.publishers = config->publishers[i];
		err = bench_plan_add(plan_, &question_noise, &c);
	}
	return err;
}

/* ---- the report ---- */

static const char name[] = "noise";

static bool noise_of_run(const json_t *results, char *text, size_t size)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, name, cases);
	struct estimate ratio;

	text[0] = '\0';
	for (size_t i = 0; i < nr_cases; i++) {
		int publishers = summary_parameter(results, name, cases[i], "publishers");

		if (!summary_ratio(results, name, cases[i], second.name, first.name, "invalidations_per_s", &ratio))
			continue;
		text_add(text, size, "%s%d publisher%s %.3f (95%% interval %.3f to %.3f, single pairs %.3f to %.3f)",
			 text[0] ? "; " : "Noise of this run, srcu against itself: ", publishers, publishers == 1 ? "" : "s",
			 ratio.median, ratio.low, ratio.high, ratio.least, ratio.most);
	}
	if (text[0])
		text_add(text, size, ".");
	return text[0] != '\0';
}

static const struct report_table tables[] = {
	{ .title = "srcu twice", .together = true, .columns = {
		COLUMN(RATE, "M/s", "invalidations_per_s"),
		RATIO_COLUMN("/srcu-a", "invalidations_per_s", "srcu-a"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "invalidations",
	.marks = { { "invalidations_per_s", "" } },
	.own_axes = true,
	.caption = "Both are the same: what they differ in is noise.",
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.method = noise_of_run,
};

const struct bench_question question_noise = {
	.report = &report,
	.title = "How far apart are two measurements of the same thing?",
	.how_to_read =
		"srcu's throughput, measured twice in every repeat as if it were two comparators, between which nothing "
		"differs. The ratio of the two should be 1. How far it is from 1, and how wide its interval, is what "
		"this run makes of no difference at all: what another comparison shows beyond that is more than noise.",
	.comparators = comparators,
	.plan = plan,
	.run = throughput_run,
};
