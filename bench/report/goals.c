/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Bars: the goals that the library set itself, each beside what this run measured
 *
 * A goal is reached or missed where the whole 95% interval is on one side of the bar; else the run does not
 * decide it.  A single repeat has no interval and is said to be one.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "../measure/bench.h"
#include "metrics.h"
#include "report.h"
#include "summary.h"

enum unit { TIMES, NS, PER_S, BYTES };

static const struct bar {
	const char *question, *cases;   /* a pattern of names of cases */
	const char *comparator, *metric;
	/* The base of a ratio; NULL as question, case or metric: the same. */
	const char *base, *base_question, *base_case, *base_metric;
	double bound;
	bool at_least;                  /* else at most */
	enum unit unit;
	const char *words;
} bars[] = {
	{ .question = "throughput", .cases = "publishers=1,mirrors=16", .comparator = "srcu",
	  .metric = "invalidations_per_s", .base = "none", .bound = 0.95, .at_least = true,
	  .words = "the speed of a walk over 16 empty callbacks, relative to none" },
	{ .question = "unregister", .cases = "publishers=0,*", .comparator = "srcu", .metric = "unregister_p50_ns",
	  .base = "urcu-memb", .base_question = "grace-period", .base_case = "scene=no-reader",
	  .base_metric = "synchronize_p50_ns", .bound = 1,
	  .words = "the median of an idle unregister, relative to urcu_memb_synchronize_rcu()" },
	{ .question = "behind", .cases = "*", .comparator = "srcu", .metric = "unregister_p99_ns", .bound = 100e3,
	  .unit = NS, .words = "the p99 of an unregister behind an unrelated callback of 10 ms" },
	{ .question = "bulk", .cases = "*", .comparator = "srcu", .metric = "together_in_singles", .bound = 10,
	  .words = "1000 unregisters in one call, relative to a single one" },
	{ .question = "bulk", .cases = "publishers=0", .comparator = "srcu", .metric = "async_per_s", .bound = 1e6,
	  .at_least = true, .unit = PER_S, .words = "asynchronous unregisters with publishers idle" },
	{ .question = "storm", .cases = "*", .comparator = "srcu", .metric = "storm_to_quiet_p99_9", .bound = 2,
	  .words = "a publisher's p99.9 in a storm of registrations, relative to quiet" },
	{ .question = "ranges", .cases = "*ranges=1000000,*", .comparator = "srcu", .metric = "hit_1_ns",
	  .base = "tree-spinlock", .bound = 1.0 / 3,
	  .words = "an invalidation with one hit, relative to the tree's" },
	{ .question = "ranges", .cases = "*ranges=1000000,publishers=1", .comparator = "srcu", .metric = "hit_1_ns",
	  .bound = 400, .unit = NS, .words = "an invalidation with one hit" },
	{ .question = "ranges", .cases = "*ranges=1000000,*", .comparator = "srcu", .metric = "register_ns",
	  .bound = 2000, .unit = NS, .words = "registering a range" },
	{ .question = "ranges", .cases = "*ranges=1000000,*", .comparator = "srcu", .metric = "unregister_many_ns",
	  .bound = 2000, .unit = NS, .words = "unregistering a range, a thousand in one call" },
	{ .question = "section", .cases = "*", .comparator = "usrcu", .metric = "ns_per_pair", .base = "urcu-memb",
	  .bound = 1.25, .words = "a section, relative to liburcu-memb's (the goal; the bar is 1.5)" },
	{ .question = "grace-period", .cases = "*", .comparator = "usrcu", .metric = "synchronize_p50_ns",
	  .base = "urcu-memb", .bound = 1.5, .words = "the median of synchronize, relative to liburcu-memb's" },
	{ .question = "grace-period", .cases = "*", .comparator = "usrcu-expedited", .metric = "synchronize_p50_ns",
	  .base = "urcu-memb", .bound = 1.5,
	  .words = "the median of synchronize_expedited, relative to liburcu-memb's synchronize" },
	{ .question = "grace-period", .cases = "scene=elsewhere,*", .comparator = "usrcu",
	  .metric = "synchronize_p50_ns", .base = "usrcu", .base_case = "scene=no-reader", .bound = 1.25,
	  .words = "the median of synchronize while a reader of another domain sleeps, relative to no reader" },
	{ .question = "memory", .cases = "*", .comparator = "srcu", .metric = "bytes_per_mirror", .bound = 128,
	  .unit = BYTES, .words = "a mirror beyond the caller's struct" },
	{ .question = "memory", .cases = "*", .comparator = "srcu", .metric = "bytes_per_range_mirror", .bound = 128,
	  .unit = BYTES, .words = "a range mirror beyond the caller's struct, registered in random order" },
};

static const char *format(double value, enum unit unit, char *text, size_t size)
{
	switch (unit) {
	case NS:
		return format_ns(value, text, size);
	case PER_S:
		snprintf(text, size, "%.2f million a second", value / 1e6);
		return text;
	case BYTES:
		snprintf(text, size, "%.0f bytes", value);
		return text;
	default:
		snprintf(text, size, "%.2f", value);
		return text;
	}
}

/* Of one case the ratios within a repeat; of two the medians, and the widest interval that theirs allow. */
static bool measured(const json_t *results, const struct bar *bar, const char *case_name, struct estimate *e)
{
	struct estimate base;

	if (!bar->base)
		return summary_value(results, bar->question, case_name, bar->comparator, bar->metric, e);
	if (!bar->base_question && !bar->base_case && !bar->base_metric)
		return summary_ratio(results, bar->question, case_name, bar->comparator, bar->base, bar->metric, e);
	if (!summary_value(results, bar->question, case_name, bar->comparator, bar->metric, e) ||
	    !summary_value(results, bar->base_question ? bar->base_question : bar->question,
			   bar->base_case ? bar->base_case : case_name, bar->base,
			   bar->base_metric ? bar->base_metric : bar->metric, &base) || base.low <= 0)
		return false;
	e->median /= base.median;
	e->low /= base.high;
	e->high /= base.low;
	return true;
}

static enum report_verdict verdict(const struct bar *bar, const struct estimate *e)
{
	bool low_is_right = bar->at_least ? e->low >= bar->bound : e->low <= bar->bound;
	bool high_is_right = bar->at_least ? e->high >= bar->bound : e->high <= bar->bound;

	if (low_is_right && high_is_right)
		return REPORT_REACHED;
	return low_is_right || high_is_right ? REPORT_UNDECIDED : REPORT_MISSED;
}

static void write_bar(const struct bar *bar, const char *case_name, const struct estimate *e, struct bar_text *to)
{
	static const char *const words[REPORT_NR_VERDICTS] = {
		[REPORT_REACHED] = "reached", [REPORT_MISSED] = "MISSED", [REPORT_UNDECIDED] = "not decided by this run",
	};
	char value[48], low[48], high[48], bound[48], interval[128] = "one repeat", name[96];
	bool named = strcmp(case_name, "-") != 0;

	if (e->n > 1)
		snprintf(interval, sizeof(interval), "%s to %s", format(e->low, bar->unit, low, sizeof(low)),
			 format(e->high, bar->unit, high, sizeof(high)));
	to->verdict = verdict(bar, e);
	snprintf(to->text, sizeof(to->text), "%s: %s%s%s%s: %s (%s); goal: at %s %s: %s.", bar->comparator, bar->words,
		 named ? " (" : "", case_words(case_name, name, sizeof(name)), named ? ")" : "",
		 format(e->median, bar->unit, value, sizeof(value)), interval, bar->at_least ? "least" : "most",
		 format(bar->bound, bar->unit, bound, sizeof(bound)), words[to->verdict]);
}

size_t report_bars(const json_t *results, const char *question, struct bar_text *texts)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, question, cases), n = 0;
	struct estimate e;

	for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++) {
		if (strcmp(bars[i].question, question) != 0)
			continue;
		for (size_t k = 0; k < nr_cases && n < REPORT_MAX_BARS; k++)
			if (fnmatch(bars[i].cases, cases[k], 0) == 0 && measured(results, &bars[i], cases[k], &e))
				write_bar(&bars[i], cases[k], &e, &texts[n++]);
	}
	return n;
}
