/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* `mirror-bench report` and `mirror-bench diff`: what was measured, shown and compared. */
#include "report.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "summary.h"

static void report_usage(FILE *out)
{
	fputs("usage: mirror-bench report [options] RESULTS.json\n"
	      "\n"
	      "Prints the tables of a run.\n"
	      "\n"
	      "  --html FILE     also write the page with figures there\n"
	      "  --no-figures    leave the figures out of it\n"
	      "  --markdown      print one table in Markdown in place of the tables\n"
	      "  --help          show this text\n", out);
}

static void markdown(const json_t *results)
{
	struct table *headline = report_headline_table(results);
	const char *name = report_headline_case(results);

	table_markdown(headline, stdout);
	free(headline);
	printf("\n%s, %lld CPUs, %s, commit %s, %.10s; ", summary_string(results, "machine", "cpu"),
	       (long long)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus")),
	       summary_string(results, "machine", "kernel"), summary_string(results, NULL, "commit"),
	       summary_string(results, NULL, "started"));
	if (name)
		printf("%d publishers and %d mirrors; ", summary_parameter(results, "throughput", name, "publishers"),
		       summary_parameter(results, "throughput", name, "mirrors"));
	printf("medians of %lld repeats, \302\261 half the 95%% interval.\n",
	       (long long)json_integer_value(json_object_get(results, "repeats")));
}

int bench_command_report(int argc, char **argv)
{
	enum { HTML = 256, NO_FIGURES, MARKDOWN, HELP };
	static const struct option options[] = {
		{ "html", required_argument, NULL, HTML },
		{ "no-figures", no_argument, NULL, NO_FIGURES },
		{ "markdown", no_argument, NULL, MARKDOWN },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	bool figures = true, as_markdown = false;
	const char *html = NULL;
	int option, status = 0;
	json_t *results;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case HTML:
			html = optarg;
			break;
		case NO_FIGURES:
			figures = false;
			break;
		case MARKDOWN:
			as_markdown = true;
			break;
		case HELP:
			report_usage(stdout);
			return 0;
		default:
			goto wrong;
		}
	}
	if (argc - optind != 1) {
		bench_complain("report takes one file of results");
		goto wrong;
	}
	results = summary_load(argv[optind]);
	if (!results)
		return 2;
	if (as_markdown)
		markdown(results);
	else
		report_text(results, stdout);
	if (html) {
		status = report_html_file(results, html, figures);
		if (!status && !as_markdown)
			printf("report:  %s\n", html);
	}
	json_decref(results);
	return status;
wrong:
	fputs("try: mirror-bench report --help\n", stderr);
	return 2;
}

/* What is compared, and whether more of it is better. */
static const struct {
	const char *question, *metric;
	bool more;
} compared[] = {
	{ "throughput", "invalidations_per_s", true },
	{ "trap", "latency_p99_ns", false },
	{ "trap", "latency_p99_9_ns", false },
	{ "unregister", "unregister_p50_ns", false },
	{ "unregister", "unregister_p99_ns", false },
	{ "replay", "operations_per_s", true },
	{ "replay", "in_list_ns_per_operation", false },
	{ "deadlock", "deadlocks", false },
	{ "behind", "unregister_p99_ns", false },
	{ "bulk", "ten_singly_ns", false },
	{ "bulk", "thousand_together_ns", false },
	{ "bulk", "async_per_s", true },
	{ "bulk", "register_ns", false },
	{ "storm", "quiet_p99_9_ns", false },
	{ "storm", "storm_p99_9_ns", false },
	{ "ranges", "hit_1_ns", false },
	{ "ranges", "hit_100_ns", false },
	{ "ranges", "register_ns", false },
	{ "ranges", "unregister_many_ns", false },
	{ "section", "ns_per_pair", false },
	{ "grace-period", "synchronize_p50_ns", false },
	{ "grace-period", "synchronize_p99_ns", false },
	{ "call", "freed_per_s", true },
	{ "call", "most_held_bytes", false },
	{ "memory", "bytes_per_mirror", false },
	{ "memory", "bytes_per_range_mirror", false },
};

static int diff_one(const json_t *a, const json_t *b, size_t which, const char *case_name, const char *comparator)
{
	struct estimate before, after;
	bool better;

	if (!summary_value(a, compared[which].question, case_name, comparator, compared[which].metric, &before) ||
	    !summary_value(b, compared[which].question, case_name, comparator, compared[which].metric, &after) ||
	    !estimates_differ(&before, &after))
		return 0;
	better = (after.median > before.median) == compared[which].more;
	printf("%s  %s %s %s %s: %.4g [%.4g, %.4g] -> %.4g [%.4g, %.4g]\n", better ? "better" : "worse ",
	       compared[which].question, case_name, comparator, compared[which].metric, before.median, before.low,
	       before.high, after.median, after.low, after.high);
	return !better;
}

int bench_command_diff(int argc, char **argv)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases, nr_names;
	json_t *a = NULL, *b = NULL;
	int nr_worse = 0;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		puts("usage: mirror-bench diff A.json B.json\n\nPrints what differs from A to B by more than both "
		     "intervals.\nExit status: 0: nothing got worse; 1: something did; 2: wrong usage or input");
		return 0;
	}
	if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
		bench_complain("usage: mirror-bench diff A.json B.json");
		return 2;
	}
	a = summary_load(argv[1]);
	b = summary_load(argv[2]);
	if (!a || !b) {
		json_decref(a);
		json_decref(b);
		return 2;
	}
	for (size_t which = 0; which < sizeof(compared) / sizeof(compared[0]); which++) {
		nr_cases = summary_cases(a, compared[which].question, cases);
		nr_names = summary_comparators(a, compared[which].question, names);
		for (size_t i = 0; i < nr_cases; i++)
			for (size_t k = 0; k < nr_names; k++)
				nr_worse += diff_one(a, b, which, cases[i], names[k]);
	}
	printf("%d figures got worse from %s to %s by more than the noise\n", nr_worse,
	       summary_string(a, NULL, "commit"), summary_string(b, NULL, "commit"));
	json_decref(a);
	json_decref(b);
	return nr_worse > 0;
}
