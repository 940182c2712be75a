/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which questions this build asks. */
#include "question.h"

const struct bench_question *const bench_questions[] = {
	&question_throughput,
	&question_noise,
	&question_callbacks,
	&question_trap,
	&question_unregister,
	&question_replay,
	&question_deadlock,
	&question_behind,
	&question_bulk,
	&question_storm,
	&question_oversubscription,
	&question_outside,
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
	{ "counts, primitive-counts", "built without Zydis on x86-64 (Debian: libzydis-dev)" },
#endif
	{ NULL, NULL },
};
