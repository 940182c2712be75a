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

const struct bench_question question_noise = {
	.name = "noise",
	.title = "How far apart are two measurements of the same thing?",
	.how_to_read =
		"srcu's throughput, measured twice in every repeat as if it were two comparators, between which nothing "
		"differs. The ratio of the two should be 1. How far it is from 1, and how wide its interval, is what "
		"this run makes of no difference at all: what another comparison shows beyond that is more than noise.",
	.comparators = comparators,
	.plan = plan,
	.run = throughput_run,
};
