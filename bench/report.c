/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* `mirror-bench report`: what was measured, shown. */
#include "report/report.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "measure/bench.h"
#include "cli.h"
#include "report/summary.h"

enum { HTML, NO_FIGURES, MARKDOWN };

const struct cli_command cli_report = {
	.name = "report",
	.arguments = "RESULTS.json",
	.about = "Prints the tables of a run.",
	.options = {
		[HTML] = { "html", "FILE", "also write the page with figures there" },
		[NO_FIGURES] = { "no-figures", NULL, "leave the figures out of it" },
		[MARKDOWN] = { "markdown", NULL, "print one table in Markdown in place of the tables" },
	},
	.remarks = "Exit status: 0: done; 1: something could not be written; 2: wrong usage or unreadable input.",
	.run = bench_command_report,
};

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
	bool figures = true, as_markdown = false;
	const char *html = NULL;
	int option, status = 0;
	json_t *results;

	while ((option = cli_next(&cli_report, argc, argv)) != CLI_END) {
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
		case CLI_HELP:
			return 0;
		default:
			return 2;
		}
	}
	if (argc - optind != 1) {
		bench_complain("report takes one file of results");
		return cli_wrong(&cli_report);
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
}
