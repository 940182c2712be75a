/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* `mirror-bench report`: what was measured, shown. */
#include "report/report.h"

#include <getopt.h>

#include "measure/bench.h"
#include "cli.h"
#include "questions/question.h"
#include "report/summary.h"

enum { HTML, NO_FIGURES, MARKDOWN };

const struct cli_command cli_report = {
	.name = "report",
	.arguments = "RESULTS.json",
	.about = "Prints the tables of a run.",
	.options = {
		[HTML] = { "html", "FILE", "also write the page with figures there; - is standard output" },
		[NO_FIGURES] = { "no-figures", NULL, "leave the figures out of it" },
		[MARKDOWN] = { "markdown", NULL, "print one table in Markdown in place of the tables" },
	},
	.remarks = "Exit status: 0: done; 1: something could not be written; 2: wrong usage or unreadable input.",
};

int bench_command_report(int argc, char **argv)
{
	bool figures = true, as_markdown = false;
	const char *html = NULL;
	int option, status = 0;
	struct output output;
	struct report report;
	json_t *results;
	FILE *text = stdout;

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
	if (html) {
		if (output_prepare(&output, html, 0)) {
			json_decref(results);
			return 1;
		}
		text = output_is_stdout(&output) ? stderr : stdout;
	}
	report = bench_report_of(results);
	if (as_markdown)
		report_markdown(&report, text);
	else
		report_text(&report, text);
	if (html) {
		status = report_page(&report, &output, figures);
		if (!status && !as_markdown)
			fprintf(text, "report:  %s\n", output.name);
	}
	json_decref(results);
	return status;
}
