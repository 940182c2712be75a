/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which questions this build asks, and what of them the summary shows. */
#include "question.h"

const struct bench_question *const bench_questions[] = {
	&question_throughput,
	&question_noise,
	&question_callbacks,
	&question_fences,
	&question_trap,
	&question_unregister,
	&question_replay,
	&question_deadlock,
	&question_behind,
	&question_bulk,
	&question_storm,
	&question_oversubscription,
	&question_outside,
	&question_regcache,
	&question_ranges,
	&question_section,
	&question_grace_period,
	&question_call,
	&question_memory,
#ifdef HAVE_ZYDIS
	&question_counts,
	&question_primitive_counts,
#endif
	NULL,
};

const struct bench_absent_question bench_absent_questions[] = {
#ifndef HAVE_ZYDIS
	{ "counts, primitive-counts", "built without Zydis on x86-64 (Debian: libzydis-dev)",
	  { &report_counts, &report_primitive_counts } },
#endif
	{ .names = NULL },
};

/* The columns of the summary's table and the panels of its figure come in this order. */
static const struct bench_question *const headlines[] = {
	&question_throughput, &question_trap, &question_behind, &question_deadlock,
};

enum {
	NR_QUESTIONS = sizeof(bench_questions) / sizeof(bench_questions[0]),
	NR_ABSENT = sizeof(bench_absent_questions) / sizeof(bench_absent_questions[0]),
	NR_HEADLINES = sizeof(headlines) / sizeof(headlines[0]),
};

struct report bench_report_of(const json_t *results)
{
	static const struct report_question *all[NR_QUESTIONS + 2 * NR_ABSENT], *of_summary[NR_HEADLINES + 1];
	size_t n = 0;

	for (size_t i = 0; bench_questions[i]; i++)
		all[n++] = bench_questions[i]->report;
	for (size_t i = 0; bench_absent_questions[i].names; i++)
		for (size_t k = 0; bench_absent_questions[i].reports[k]; k++)
			all[n++] = bench_absent_questions[i].reports[k];
	for (size_t i = 0; i < NR_HEADLINES; i++)
		of_summary[i] = headlines[i]->report;
	return (struct report){
		.results = results, .questions = all, .headlines = of_summary,
		.summary_caption = "Brackets: more is better; times: less is.",
	};
}
