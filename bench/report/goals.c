/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The goals that the library set itself, each beside what this run measured
 *
 * A goal is reached or missed if the whole 95% interval is on one side of the bound; else the run does not decide it.
 * A single repeat has no interval, and the text says that it is one.
 */
#include "goals.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "../comparators/families.h"
#include "metrics.h"
#include "summary.h"
#include "units.h"

static const char *format(double value, enum goal_unit unit, char *text, size_t size)
{
	switch (unit) {
	case GOAL_NS:
		return format_ns(value, text, size);
	case GOAL_PER_S:
		snprintf(text, size, "%.2f million a second", value / 1e6);
		return text;
	case GOAL_NUMBER:
		snprintf(text, size, "%.0f", value);
		return text;
	case GOAL_BYTES:
		snprintf(text, size, "%.0f bytes", value);
		return text;
	default:
		snprintf(text, size, "%.2f", value);
		return text;
	}
}

/* NULL: no lock was measured. */
static const char *fastest_lock(const json_t *results, const char *question, const char *case_name, const char *metric)
{
	const char *names[SUMMARY_MAX_COMPARATORS], *fastest = NULL;
	size_t nr = summary_comparators(results, question, names);
	struct estimate e;
	double most = 0;

	for (size_t i = 0; i < nr; i++) {
		if (comparator_family(names[i]) != FAMILY_LOCK ||
		    !summary_value(results, question, case_name, names[i], metric, &e) || e.median <= most)
			continue;
		most = e.median;
		fastest = names[i];
	}
	return fastest;
}

/* Within one case: ratios within a repeat. Of two cases: of the medians, with the widest interval that both allow. */
static bool measured(const json_t *results, const char *question, const struct report_goal *goal, const char *case_name,
		     struct estimate *e)
{
	struct estimate base;
	const char *lock;

	if (goal->beside_locks) {
		lock = fastest_lock(results, question, case_name, goal->metric);
		return lock && summary_ratio(results, question, case_name, goal->comparator, lock, goal->metric, e);
	}
	if (!goal->base)
		return summary_value(results, question, case_name, goal->comparator, goal->metric, e);
	if (!goal->base_question && !goal->base_case && !goal->base_metric)
		return summary_ratio(results, question, case_name, goal->comparator, goal->base, goal->metric, e);
	if (!summary_value(results, question, case_name, goal->comparator, goal->metric, e) ||
	    !summary_value(results, goal->base_question ? goal->base_question : question,
			   goal->base_case ? goal->base_case : case_name, goal->base,
			   goal->base_metric ? goal->base_metric : goal->metric, &base) || base.low <= 0)
		return false;
	e->median /= base.median;
	e->low /= base.high;
	e->high /= base.low;
	return true;
}

static enum report_verdict verdict(const struct report_goal *goal, const struct estimate *e)
{
	bool low_is_right = goal->at_least ? e->low >= goal->bound : e->low <= goal->bound;
	bool high_is_right = goal->at_least ? e->high >= goal->bound : e->high <= goal->bound;

	if (low_is_right && high_is_right)
		return REPORT_REACHED;
	return low_is_right || high_is_right ? REPORT_UNDECIDED : REPORT_MISSED;
}

static void write_goal(const struct report_goal *goal, const char *case_name, const struct estimate *e, struct goal_text *to)
{
	static const char *const words[REPORT_NR_VERDICTS] = {
		[REPORT_REACHED] = "reached", [REPORT_MISSED] = "MISSED", [REPORT_UNDECIDED] = "not decided by this run",
	};
	char value[48], low[48], high[48], bound[48], interval[128] = "one repeat", name[96];
	bool named = strcmp(case_name, "-") != 0;

	if (e->n > 1)
		snprintf(interval, sizeof(interval), "%s to %s", format(e->low, goal->unit, low, sizeof(low)),
			 format(e->high, goal->unit, high, sizeof(high)));
	to->verdict = verdict(goal, e);
	snprintf(to->text, sizeof(to->text), "%s: %s%s%s%s: %s (%s); goal: at %s %s: %s.", goal->comparator, goal->words,
		 named ? " (" : "", case_words(case_name, name, sizeof(name)), named ? ")" : "",
		 format(e->median, goal->unit, value, sizeof(value)), interval, goal->at_least ? "least" : "most",
		 format(goal->bound, goal->unit, bound, sizeof(bound)), words[to->verdict]);
}

size_t report_goals(const struct report *report, const char *question, struct goal_text *texts)
{
	const struct report_question *q = report_question_of(report, question);
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(report->results, question, cases), n = 0;
	struct estimate e;

	for (const struct report_goal *goal = q ? q->goals : NULL; goal && goal->words; goal++)
		for (size_t k = 0; k < nr_cases && n < REPORT_MAX_GOALS; k++)
			if (fnmatch(goal->cases, cases[k], 0) == 0 && measured(report->results, question, goal, cases[k], &e))
				write_goal(goal, cases[k], &e, &texts[n++]);
	return n;
}
