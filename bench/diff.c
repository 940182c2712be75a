/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * `mirror-bench diff`: what got better or worse from one run to another by more than the noise
 *
 * What is compared goes by the names of metrics (metrics.h): times, rates, bytes and counts.  report/change.h says when
 * a row has changed by more than two runs of one program differ; a threshold is put on top of that.  What is counted
 * exactly, once, has no noise: there the threshold alone decides.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "measure/bench.h"
#include "measure/machine.h"
#include "questions/question.h"
#include "report/change.h"
#include "report/metrics.h"
#include "report/summary.h"

enum { FILTER, THRESHOLD };

const struct cli_command cli_diff = {
	.name = "diff",
	.arguments = "A.json B.json",
	.about = "Prints what differs from A to B by more than two runs of one program do.",
	.options = {
		[FILTER] = { "filter", "PATTERN", "only what matches QUESTION/CASE/COMPARATOR, as run has it" },
		[THRESHOLD] = { "threshold", "PERCENT", "pass over smaller changes, 0 to 1000 (default 5)" },
	},
	.remarks = "Each line gives the change with its 99% interval, in which the noise between runs is, and the medians.\n"
		   "Exit status: 0: nothing got worse; 1: something did; 2: wrong usage or unreadable input.",
};

/** struct row - a figure that both runs have */
struct row {
	const char *question, *case_name, *comparator, *metric;
	double before, after;           /* medians */
	bool exact;                     /* counted, once */
	bool more_is_better;
};

/** struct comparison - two runs, what of them is compared, and what was found */
struct comparison {
	const json_t *before, *after;
	const char *filter;
	const char *const *less_is_better; /* of the question that is looked at */
	double threshold;               /* of the ratio: 0.05 */
	double others;                  /* the larger share of the CPUs that others used during a run, 0 to 1 */
	bool disturbed;
	struct row *rows;
	struct change *changes;         /* as many */
	size_t nr_rows, room, nr_better, nr_worse, nr_gone;
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

/* Rows of one metric of one question are judged together. */
static unsigned group_of(const struct comparison *c, const char *question, const char *metric)
{
	unsigned next = 0;

	for (size_t i = c->nr_rows; i-- > 0;) {
		if (strcmp(c->rows[i].question, question) == 0 && strcmp(c->rows[i].metric, metric) == 0)
			return c->changes[i].group;
		if (c->changes[i].group >= next)
			next = c->changes[i].group + 1;
	}
	return next;
}

static bool make_room(struct comparison *c)
{
	size_t room = c->room ? 2 * c->room : 256;
	struct row *rows;
	struct change *changes;

	if (c->nr_rows < c->room)
		return true;
	rows = realloc(c->rows, room * sizeof(rows[0]));
	c->rows = rows ? rows : c->rows;
	changes = realloc(c->changes, room * sizeof(changes[0]));
	c->changes = changes ? changes : c->changes;
	if (!rows || !changes)
		return false;
	c->room = room;
	return true;
}

/* What is 0 has no logarithm: it counts as a thousandth of what the other run has. */
static double not_zero(double value, double other)
{
	return value > 0 ? value : other / 1000;
}

static void add_row(struct comparison *c, const char *question, const char *case_name, const char *comparator,
		    const char *metric)
{
	double values[SUMMARY_MAX_VALUES], others[SUMMARY_MAX_VALUES], before, after, least;
	size_t n = summary_values(c->before, question, case_name, comparator, metric, values, NULL);
	size_t nr_others = summary_values(c->after, question, case_name, comparator, metric, others, NULL);
	struct change *change;
	struct row *row;

	if (n > 0 && nr_others == 0)
		c->nr_gone++;
	if (n == 0 || nr_others == 0)
		return;
	if (!make_room(c)) {
		bench_complain("out of memory");
		exit(2);
	}
	row = &c->rows[c->nr_rows];
	change = &c->changes[c->nr_rows];
	*change = (struct change){ .group = group_of(c, question, metric) };
	*row = (struct row){
		question, case_name, comparator, metric,
		.before = summary_median(values, n), .after = summary_median(others, nr_others),
		.exact = n == 1 && nr_others == 1 && metric_kind(metric) == METRIC_NUMBER,
		.more_is_better = metric_better(metric, c->less_is_better) > 0,
	};
	c->nr_rows++;
	before = not_zero(row->before, row->after);
	after = not_zero(row->after, row->before);
	if (before <= 0 || after <= 0)
		return;
	least = fmin(before, after) / 1000;
	change->log_worse = log(after / before) * (row->more_is_better ? -1 : 1);
	change->variance = change_variance(values, n, least) + change_variance(others, nr_others, least);
	/* One repeat has no scatter: nothing can be said of it. */
	change->freedom = n > 1 && nr_others > 1 ? (unsigned)(n + nr_others - 2) : 0;
}

static double percent(double log_ratio)
{
	return 100 * (exp(log_ratio) - 1);
}

static void print_row(struct comparison *c, const struct row *row, const struct change *change)
{
	double log_ratio = change->log_worse * (row->more_is_better ? -1 : 1);
	bool beyond = fabs(change->log_worse) >= log(1 + c->threshold);
	bool worse = change->log_worse > 0;

	if (!beyond || !(row->exact ? row->before != row->after : change->changed))
		return;
	c->nr_worse += worse;
	c->nr_better += !worse;
	printf("%s  %s %s %s %s: ", worse ? "worse " : "better", row->question, row->case_name, row->comparator,
	       row->metric);
	if (row->before <= 0)
		printf("was 0");
	else
		printf("%+.1f%%", 100 * (row->after / row->before - 1));
	if (!row->exact)
		printf(" [%+.1f%%, %+.1f%%]", percent(log_ratio - change->half_width),
		       percent(log_ratio + change->half_width));
	printf(": %.4g -> %.4g\n", row->before, row->after);
}

/* Exact counts have no part in the noise of the others, and keep their places. */
static void judge(struct comparison *c)
{
	struct change *noisy = calloc(c->nr_rows + 1, sizeof(noisy[0]));
	size_t n = 0;

	if (!noisy) {
		bench_complain("out of memory");
		exit(2);
	}
	for (size_t i = 0; i < c->nr_rows; i++)
		if (c->changes[i].freedom > 0)
			noisy[n++] = c->changes[i];
	changes_judge(noisy, n, c->others, c->disturbed);
	for (size_t i = c->nr_rows; i-- > 0;)
		if (c->changes[i].freedom > 0)
			c->changes[i] = noisy[--n];
	free(noisy);
}

/* What a busy machine moves as one is not told of each row; it may also be the program. */
static void print_together(const struct comparison *c)
{
	bool said[256] = { false };

	for (size_t i = 0; i < c->nr_rows; i++) {
		const struct change *change = &c->changes[i];
		unsigned group = change->group % 256;

		if (fabs(change->together) < log(1 + c->threshold) || said[group])
			continue;
		said[group] = true;
		printf("all     %s %s: %s together, by %.0f%% in the middle: the machine, or the program everywhere\n",
		       c->rows[i].question, c->rows[i].metric, change->together > 0 ? "got worse" : "got better",
		       percent(fabs(change->together)));
	}
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
					add_row(c, question, cases[i], names[k], metrics[m]);
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

/* On a busy machine less can be said, and a user should know why. */
static void note_others(struct comparison *c)
{
	const json_t *runs[] = { c->before, c->after };
	double others;

	for (size_t i = 0; i < 2; i++) {
		if (machine_is_busy(json_object_get(runs[i], "machine"), &others)) {
			c->disturbed = true;
			bench_complain("note: others used %.0f%% of the CPUs during the %s run: only large changes stand out",
				       others, i == 0 ? "first" : "second");
		}
		c->others = fmax(c->others, others / 100);
	}
}

static int compare_runs(struct comparison *c)
{
	const json_t *question;
	size_t i;

	note_machines(c->before, c->after);
	json_array_foreach(json_object_get(c->before, "questions"), i, question)
		compare_question(c, json_string_value(json_object_get(question, "name")));
	if (c->nr_rows == 0) {
		bench_complain("nothing to compare: %s", c->filter ? "no filter matches" : "the runs have no figure in common");
		return 2;
	}
	note_others(c);
	judge(c);
	for (i = 0; i < c->nr_rows; i++)
		print_row(c, &c->rows[i], &c->changes[i]);
	print_together(c);
	printf("%zu figures compared from %s to %s: %zu got worse, %zu better, by more than the noise and %.4g%%\n",
	       c->nr_rows, summary_string(c->before, NULL, "commit"), summary_string(c->after, NULL, "commit"),
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
	free(c.rows);
	free(c.changes);
	json_decref(a);
	json_decref(b);
	return status;
}
