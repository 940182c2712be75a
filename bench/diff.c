/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * `mirror-bench diff`: what got better or worse from one run to another by more than the noise
 *
 * What is compared goes by the names of metrics (metrics.h): times, rates, bytes and counts.  A change is reported
 * if all of this holds: the 95% intervals of the two medians part; so does the interval of their ratio, by a
 * bootstrap over both runs, from 1; and the ratio is beyond the threshold.  What is counted exactly, once, has no
 * interval: there the threshold alone decides.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "measure/bench.h"
#include "questions/question.h"
#include "report/metrics.h"
#include "report/summary.h"

enum { FILTER, THRESHOLD };

const struct cli_command cli_diff = {
	.name = "diff",
	.arguments = "A.json B.json",
	.about = "Prints what differs from A to B by more than the noise of both.",
	.options = {
		[FILTER] = { "filter", "PATTERN", "only what matches QUESTION/CASE/COMPARATOR, as run has it" },
		[THRESHOLD] = { "threshold", "PERCENT", "pass over smaller changes, 0 to 1000 (default 5)" },
	},
	.remarks = "Each line gives the change with the 95% interval of its bootstrap, and the medians with theirs.\n"
		   "Exit status: 0: nothing got worse; 1: something did; 2: wrong usage or unreadable input.",
};

/** struct comparison - two runs, what of them is compared, and what was found */
struct comparison {
	const json_t *before, *after;
	const char *filter;
	const char *const *less_is_better; /* of the question that is looked at */
	double threshold;               /* of the ratio: 0.05 */
	size_t nr_compared, nr_better, nr_worse, nr_gone;
};

static bool is_wanted(const struct comparison *c, const char *question, const char *case_name, const char *comparator)
{
	char id[512], pattern[256];

	if (!c->filter)
		return true;
	snprintf(id, sizeof(id), "%s/%s/%s", question, case_name, comparator);
	snprintf(pattern, sizeof(pattern), "*%s*", c->filter);
	return fnmatch(pattern, id, 0) == 0;
}

/* Whether it is more than the noise; @exact: there is no noise. */
static bool is_change(const struct comparison *c, const struct estimate *before, const struct estimate *after,
		      const struct estimate *ratio, bool exact)
{
	if (ratio->median < 1 + c->threshold && ratio->median > 1 / (1 + c->threshold))
		return false;
	return exact || (estimates_differ(before, after) && (ratio->low > 1 || ratio->high < 1));
}

static void compare_metric(struct comparison *c, const char *question, const char *case_name, const char *comparator,
			   const char *metric)
{
	double values[SUMMARY_MAX_VALUES], others[SUMMARY_MAX_VALUES];
	size_t n = summary_values(c->before, question, case_name, comparator, metric, values, NULL);
	size_t nr_others = summary_values(c->after, question, case_name, comparator, metric, others, NULL);
	struct estimate before, after, ratio;
	bool exact = n == 1 && nr_others == 1 && metric_kind(metric) == METRIC_NUMBER, better;

	if (n > 0 && nr_others == 0)
		c->nr_gone++;
	if (n == 0 || nr_others == 0)
		return;
	c->nr_compared++;
	before = estimate_of(values, n);
	after = estimate_of(others, nr_others);
	/* A count that was 0 has no ratio, and any other is a change. */
	if (before.median <= 0 && (after.median <= 0 || !exact))
		return;
	ratio = before.median > 0 ? estimate_ratio(others, nr_others, values, n) :
				    (struct estimate){ .n = 1, .median = HUGE_VAL, .low = HUGE_VAL, .high = HUGE_VAL };
	if (!is_change(c, &before, &after, &ratio, exact))
		return;
	better = (after.median > before.median) == (metric_better(metric, c->less_is_better) > 0);
	c->nr_better += better;
	c->nr_worse += !better;
	printf("%s  %s %s %s %s: %+.1f%%", better ? "better" : "worse ", question, case_name, comparator, metric,
	       100 * (ratio.median - 1));
	if (!exact)
		printf(" [%+.1f%%, %+.1f%%]", 100 * (ratio.low - 1), 100 * (ratio.high - 1));
	printf(": %.4g", before.median);
	if (!exact)
		printf(" [%.4g, %.4g]", before.low, before.high);
	printf(" -> %.4g", after.median);
	if (!exact)
		printf(" [%.4g, %.4g]", after.low, after.high);
	putchar('\n');
}

static void compare_question(struct comparison *c, const char *question)
{
	const struct report report = bench_report_of(c->before);
	const struct report_question *q = report_question_of(&report, question);
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS], *metrics[METRICS_MAX];
	size_t nr_cases = summary_cases(c->before, question, cases);
	size_t nr_names = summary_comparators(c->before, question, names);

	c->less_is_better = q ? q->less_is_better : NULL;
	for (size_t i = 0; i < nr_cases; i++) {
		size_t nr_metrics = summary_metrics(c->before, question, cases[i], metrics);

		for (size_t k = 0; k < nr_names; k++)
			for (size_t m = 0; m < nr_metrics && is_wanted(c, question, cases[i], names[k]); m++)
				if (metric_better(metrics[m], c->less_is_better))
					compare_metric(c, question, cases[i], names[k], metrics[m]);
	}
}

/* A user who compares two machines should know it. */
static void note_machines(const json_t *a, const json_t *b)
{
	static const char *const facts[] = { "cpu", "kernel" };

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		const char *one = summary_string(a, "machine", facts[i]), *other = summary_string(b, "machine", facts[i]);

		if (strcmp(one, other) != 0)
			bench_complain("note: the runs differ in their %s: %s and %s", facts[i], one, other);
	}
}

static int compare_runs(struct comparison *c)
{
	const json_t *question;
	size_t i;

	note_machines(c->before, c->after);
	json_array_foreach(json_object_get(c->before, "questions"), i, question)
		compare_question(c, json_string_value(json_object_get(question, "name")));
	if (c->nr_compared == 0) {
		bench_complain("nothing to compare: %s", c->filter ? "no filter matches" : "the runs have no figure in common");
		return 2;
	}
	printf("%zu figures compared from %s to %s: %zu got worse, %zu better, by more than the noise and %.4g%%\n",
	       c->nr_compared, summary_string(c->before, NULL, "commit"), summary_string(c->after, NULL, "commit"),
	       c->nr_worse, c->nr_better, 100 * c->threshold);
	if (c->nr_gone > 0)
		printf("%zu figures are in the first run only\n", c->nr_gone);
	return c->nr_worse > 0;
}

static bool parse_threshold(const char *text, double *threshold)
{
	char *end;
	double percent = strtod(text, &end);

	if (end == text || *end != '\0' || !(percent >= 0 && percent <= 1000)) {
		bench_complain("--threshold takes a number from 0 to 1000, not \"%s\"", text);
		return false;
	}
	*threshold = percent / 100;
	return true;
}

int bench_command_diff(int argc, char **argv)
{
	struct comparison c = { .threshold = 0.05 };
	json_t *a, *b;
	int option, status = 2;

	while ((option = cli_next(&cli_diff, argc, argv)) != CLI_END) {
		switch (option) {
		case FILTER:
			c.filter = optarg;
			break;
		case THRESHOLD:
			if (!parse_threshold(optarg, &c.threshold))
				return cli_wrong(&cli_diff);
			break;
		case CLI_HELP:
			return 0;
		default:
			return 2;
		}
	}
	if (argc - optind != 2) {
		bench_complain("usage: mirror-bench diff A.json B.json");
		return cli_wrong(&cli_diff);
	}
	a = summary_load(argv[optind]);
	b = summary_load(argv[optind + 1]);
	if (a && b) {
		c.before = a;
		c.after = b;
		status = compare_runs(&c);
	}
	json_decref(a);
	json_decref(b);
	return status;
}
