/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The report as text: for a terminal, and in Markdown. */
#include <stdlib.h>

#include "goals.h"
#include "report.h"
#include "standing.h"
#include "summary.h"
#include "tables.h"

static void question_text(const struct report *report, const json_t *question, FILE *out)
{
	const char *name = json_string_value(json_object_get(question, "name"));
	const struct report_question *q = report_question_of(report, name);
	struct table *tables[REPORT_MAX_TABLES];
	struct goal_text goals[REPORT_MAX_GOALS];
	struct standing_text standing[STANDING_MAX];
	size_t n = report_tables(report, name, tables);

	if (n > 0)
		fprintf(out, "%s\n\n", json_string_value(json_object_get(question, "title")));
	for (size_t k = 0; k < n; k++) {
		table_text(tables[k], out);
		free(tables[k]);
	}
	n = report_goals(report, name, goals);
	for (size_t k = 0; k < n; k++)
		fprintf(out, "%s\n%s", goals[k].text, k + 1 == n ? "\n" : "");
	n = q && q->speed ? report_standing(report->results, name, q->speed, standing, STANDING_MAX) : 0;
	for (size_t k = 0; k < n; k++)
		fprintf(out, "%s\n%s", standing[k].text, k + 1 == n ? "\n" : "");
}

/* What the numbers are, and no more than this run has: "medians of 5 repeats, ... half the 95% interval". */
static void write_repeats(const json_t *results, FILE *out)
{
	size_t least, most;

	summary_repeats(results, &least, &most);
	if (most == 0)
		fputs("counted, once each", out);
	else if (most == 1)
		fputs("one repeat each, which has no interval", out);
	else if (least == most)
		fprintf(out, "medians of %zu repeats", most);
	else
		fprintf(out, "medians of %zu to %zu repeats", least, most);
	if (most > 1)
		fputs(", \302\261 half the 95% interval", out);
	if (most > 0 && most < SUMMARY_MIN_REPEATS)
		fputs("; too few to tell a difference from noise", out);
}

void report_text(const struct report *report, FILE *out)
{
	const json_t *results = report->results, *question;
	size_t least, most, i;
	char sentence[512];

	fputc('\n', out);
	json_array_foreach(json_object_get(results, "questions"), i, question)
		question_text(report, question, out);
	/* What a run can tell at all it shows by its intervals. */
	summary_repeats(results, &least, &most);
	for (i = 0; most > 1 && report->questions[i]; i++)
		if (report->questions[i]->method && report->questions[i]->method(results, sentence, sizeof(sentence)))
			fprintf(out, "%s\n", sentence);
	for (i = 0; report->questions[i]; i++)
		if (report->questions[i]->sentence && report->questions[i]->sentence(results, sentence, sizeof(sentence)))
			fprintf(out, "%s\n", sentence);
	fputs("The figures: ", out);
	write_repeats(results, out);
	fprintf(out, ".%s\n",
		json_is_true(json_object_get(results, "partial")) ? " PARTIAL: the run ended early." : "");
}

void report_markdown(const struct report *report, FILE *out)
{
	struct table *headline = report_headline_table(report);
	const json_t *results = report->results;
	char note[128];

	table_markdown(headline, out);
	free(headline);
	fprintf(out, "\n%s, %lld CPUs, %s, commit %s, %.10s; ", summary_string(results, "machine", "cpu"),
		(long long)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus")),
		summary_string(results, "machine", "kernel"), summary_string(results, NULL, "commit"),
		summary_string(results, NULL, "started"));
	for (size_t i = 0; report->headlines[i]; i++) {
		const struct report_headline *h = report->headlines[i]->headline;

		if (h->note && h->note(results, note, sizeof(note)))
			fprintf(out, "%s; ", note);
	}
	write_repeats(results, out);
	fputs(".\n", out);
}
