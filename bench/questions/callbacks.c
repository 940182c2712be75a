/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * callbacks: how many invalidations a second, when callbacks take a while?
 *
 * As throughput, with a publisher on every CPU; each start callback works for a given time, in a loop of
 * the CPU's own speed that touches no memory (spin.h).  The end callbacks stay empty.
 */
#include "../measure/topology.h"
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

const struct bench_question question_callbacks = {
	.name = "callbacks",
	.title = "How many invalidations a second, when callbacks take a while?",
	.how_to_read =
		"A publisher on every CPU, as in throughput, but each mirror's start callback works for the given time. More "
		"is better. The longer callbacks take the less is left for a sync to cost; a lock that lets one walk in at a "
		"time falls behind by as many times as there are publishers.",
	.plan = plan,
	.run = throughput_run,
};
