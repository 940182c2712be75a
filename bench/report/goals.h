/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The goals of a question, and whether a run reaches them. */
#ifndef BENCH_GOALS_H
#define BENCH_GOALS_H

#include "descriptor.h"

enum { REPORT_MAX_GOALS = 40 };

enum report_verdict { REPORT_REACHED, REPORT_MISSED, REPORT_UNDECIDED, REPORT_NR_VERDICTS };

/** struct goal_text - a goal, what was measured, and whether that reaches it */
struct goal_text {
	enum report_verdict verdict;
	char text[320];
};

/** report_goals - those of one question; returns how many */
size_t report_goals(const struct report *report, const char *question, struct goal_text *texts);

#endif /* BENCH_GOALS_H */
