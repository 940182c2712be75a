/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The report page: one file, no script, no request to anywhere; light, dark, phone and print. */
#include <stdlib.h>
#include <string.h>

#include "../comparators/families.h"
#include "../measure/bench.h"
#include "../measure/machine.h"
#include "figures.h"
#include "goals.h"
#include "report.h"
#include "standing.h"
#include "summary.h"
#include "svg.h"
#include "tables.h"

static void write_style(FILE *out)
{
	fprintf(out, "<style>\n"
		":root{color-scheme:light dark;--ink:#1c2024;--soft:#5b636b;--paper:#ffffff;--line:#d9dde1;"
		"--shade:#f4f6f8;--warn:#fff3d6;%s}\n", svg_css(0));
	fprintf(out, "@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a5adb5;--paper:#15181b;"
		"--line:#3a4047;--shade:#1f2429;--warn:#3d3212;%s}}\n", svg_css(1));
	/* Paper has no dark side, whatever the reader's screen has. */
	fprintf(out, "@media print{:root{color-scheme:light;--ink:#000;--soft:#333;--paper:#fff;--line:#bbb;"
		"--shade:#fff;--warn:#fff;%s}}\n", svg_css(0));
	fputs("*{box-sizing:border-box}\n"
	      "body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:break-word;"
	      "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
	      "main{max-width:1000px;margin:0 auto;padding:24px 20px 64px}\n"
	      "p,nav{max-width:46em}\n"
	      "a{color:var(--series-1)}\n"
	      "h1{font-size:1.9rem;line-height:1.2;margin:.4em 0 .2em}\n"
	      "h2{font-size:1.3rem;line-height:1.3;margin:2.4em 0 .4em;padding-top:.8em;"
	      "border-top:1px solid var(--line)}\n"
	      "h3{font-size:1.05rem;margin:1.6em 0 .3em}\n"
	      ".soft,figcaption{color:var(--soft)}\n"
	      "figcaption,.legend,nav{font-size:.9rem}\n"
	      ".summary{font-size:1.1rem}\n"
	      ".warn{background:var(--warn);padding:.6em 1em;border-left:4px solid #d9a400}\n"
	      "figure{margin:1.2em 0}\n"
	      ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:.8em 1.6em}\n"
	      ".panel svg{width:100%;max-width:520px;height:auto;color:var(--ink);display:block}\n"
	      ".legend span{white-space:nowrap;margin-right:1.2em}\n"
	      ".legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;"
	      "print-color-adjust:exact;-webkit-print-color-adjust:exact}\n"
	      "nav ol{padding-left:1.6em}\n"
	      ".wide{overflow-x:auto;margin:1em 0}\n"
	      "table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}\n"
	      "caption{text-align:left;color:var(--soft);padding-bottom:.4em}\n"
	      "th,td{padding:.3em .7em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\n"
	      /* The names stay where they are while a narrow screen is moved over a wide table. */
	      "th:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}\n"
	      "thead th,thead th:first-child{background:var(--shade);vertical-align:bottom}\n"
	      "tbody th{font-weight:500}\n"
	      "tbody tr:hover>*{background:var(--shade)}\n"
	      ".facts th,.facts td{text-align:left;white-space:normal;vertical-align:top;overflow-wrap:anywhere}\n"
	      ".facts th{min-width:8em}\n"
	      ".bar{margin:.3em 0;padding-left:1em;border-left:3px solid var(--line)}\n"
	      "pre{background:var(--shade);padding:.8em 1em;font-size:.875rem;white-space:pre-wrap}\n"
	      "@media (max-width:600px){body{font-size:15px}main{padding:16px 14px 48px}h1{font-size:1.6rem}"
	      "caption{position:sticky;left:0;width:calc(100vw - 28px)}"
	      "th,td{padding:.3em .5em}table{font-size:.8125rem}}\n"
	      "@media print{@page{margin:14mm}body{font-size:10pt}main{padding:0;max-width:none}nav{display:none}"
	      "h2{margin-top:1.6em}h1,h2,h3,caption{break-after:avoid}"
	      ".panel,tr,.bar,figcaption{break-inside:avoid}"
	      ".panels{grid-template-columns:1fr 1fr;gap:.4em 1em}"
	      ".wide{overflow:visible;margin:.6em 0}table{font-size:7.5pt}th,td{padding:.15em .4em}"
	      ".dense{font-size:6.5pt}.dense th,.dense td{padding:.15em .25em}"
	      "th:first-child{position:static}}\n"
	      "</style>\n", out);
}

static void paragraph(const char *class, const char *text, FILE *out)
{
	fprintf(out, "<p%s%s%s>", class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
	html_escaped(text, out);
	fputs("</p>\n", out);
}

/* A reader of the page has not seen the note on the terminal. */
static void write_noise_warning(const json_t *results, FILE *out)
{
	char text[160];
	double percent;

	if (!machine_is_busy(json_object_get(results, "machine"), &percent))
		return;
	snprintf(text, sizeof(text), "Others used %.0f%% of the CPUs while this was measured: the figures are noisy.", percent);
	paragraph("warn", text, out);
}

/* The families, in the colours that all figures give them. */
static void write_legend(FILE *out)
{
	fputs("<p class=\"legend\">", out);
	for (int i = 0; i < NR_FAMILIES; i++) {
		fprintf(out, "<span><i style=\"background:var(--series-%d)\"></i>", i);
		html_escaped(family_words((enum family)i), out);
		fputs("</span> ", out);
	}
	fputs("</p>\n", out);
}

/* How many goals were reached, and which questions have one that was not. */
static void write_goals(const struct report *report, FILE *out)
{
	size_t nr[REPORT_NR_VERDICTS] = { 0 }, least, most, i, n;
	struct goal_text goals[REPORT_MAX_GOALS];
	const json_t *question;

	/* Without an interval no goal is decided. */
	summary_repeats(report->results, &least, &most);
	if (most < 2)
		return;
	json_array_foreach(json_object_get(report->results, "questions"), i, question) {
		n = report_goals(report, json_string_value(json_object_get(question, "name")), goals);
		for (size_t k = 0; k < n; k++)
			nr[goals[k].verdict]++;
	}
	if (nr[REPORT_REACHED] + nr[REPORT_MISSED] + nr[REPORT_UNDECIDED] == 0)
		return;
	fprintf(out, "<p>Of the goals that the library set itself this run reaches %zu, misses %zu and cannot decide %zu%s",
		nr[REPORT_REACHED], nr[REPORT_MISSED], nr[REPORT_UNDECIDED], nr[REPORT_MISSED] ? "; missed:</p>\n<ul>\n" : ".</p>\n");
	if (nr[REPORT_MISSED] == 0)
		return;
	json_array_foreach(json_object_get(report->results, "questions"), i, question) {
		const char *name = json_string_value(json_object_get(question, "name"));

		n = report_goals(report, name, goals);
		for (size_t k = 0; k < n; k++) {
			if (goals[k].verdict != REPORT_MISSED)
				continue;
			fprintf(out, "<li><a href=\"#%s\">%s</a>: ", name, name);
			html_escaped(goals[k].text, out);
			fputs("</li>\n", out);
		}
	}
	fputs("</ul>\n", out);
}

static void write_contents(const json_t *results, FILE *out)
{
	const json_t *question;
	size_t i;

	fputs("<nav><ol>\n", out);
	json_array_foreach(json_object_get(results, "questions"), i, question) {
		fprintf(out, "<li><a href=\"#%s\">", json_string_value(json_object_get(question, "name")));
		html_escaped(json_string_value(json_object_get(question, "title")), out);
		fputs("</a></li>\n", out);
	}
	fputs("</ol>\n<p><a href=\"#method\">Method, and how to repeat it</a>; <a href=\"#machine\">machine and "
	      "versions</a></p></nav>\n", out);
}

static void write_summary(const struct report *report, bool figures, const char *why_none, FILE *out)
{
	struct table *headline = report_headline_table(report);
	const json_t *results = report->results;
	const char *started = summary_string(results, NULL, "started");
	char sentence[512];

	fputs("<h1>What walking a mirror list costs</h1>\n<p class=\"soft\">", out);
	html_escaped("libmirror ", out);
	html_escaped(summary_string(results, NULL, "version"), out);
	fputs(", commit ", out);
	html_escaped(summary_string(results, NULL, "commit"), out);
	fprintf(out, ", measured %.10s on ", started);
	html_escaped(summary_string(results, "machine", "cpu"), out);
	fputs("</p>\n", out);
	paragraph(NULL,
		  "A mirror is a subscriber that has cached something about a range of memory, such as a device's page table, and "
		  "is called back before and after each change of the range. When Linux's HMM kept its list of mirrors under a "
		  "reader-writer semaphore, three threads deadlocked: an unregister waited for a publisher's callback, a second "
		  "publisher queued behind the unregister, and the callback needed a lock that the second publisher held.", out);
	if (json_is_true(json_object_get(results, "partial")))
		paragraph("warn", "Partial: the run ended early, and this is what was measured until then.", out);
	write_noise_warning(results, out);
	for (size_t i = 0; report->questions[i]; i++)
		if (report->questions[i]->sentence && report->questions[i]->sentence(results, sentence, sizeof(sentence)))
			paragraph("summary", sentence, out);
	if (why_none)
		paragraph("warn", why_none, out);
	if (figures && figure_summary_html(report, out))
		write_legend(out);
	table_html(headline, out);
	free(headline);
	write_goals(report, out);
	write_contents(results, out);
}

static void write_left_out(const json_t *question, FILE *out)
{
	const char *name;
	json_t *why;

	json_object_foreach(json_object_get(question, "left_out"), name, why) {
		fputs("<p class=\"soft\">Left out: '", out);
		html_escaped(name, out);
		fputs("', since ", out);
		html_escaped(json_string_value(why), out);
		fputs(".</p>\n", out);
	}
}

/* Errors stand in the place of the numbers that could not be measured. */
static void write_errors(const json_t *results, const char *question, FILE *out)
{
	const json_t *record;
	size_t i;

	json_array_foreach(json_object_get(results, "records"), i, record) {
		const char *asked = json_string_value(json_object_get(record, "question"));
		const char *error = json_string_value(json_object_get(record, "error"));

		if (!asked || !error || strcmp(asked, question) != 0)
			continue;
		fputs("<p class=\"warn\">Not measured: '", out);
		html_escaped(json_string_value(json_object_get(record, "comparator")), out);
		fputs("', ", out);
		html_escaped(json_string_value(json_object_get(record, "case")), out);
		fputs(": ", out);
		html_escaped(error, out);
		fputs(".</p>\n", out);
	}
}

static void write_question(const struct report *report, const json_t *question, int number, bool figures, FILE *out)
{
	const char *name = json_string_value(json_object_get(question, "name"));
	const struct report_question *q = report_question_of(report, name);
	struct table *tables[REPORT_MAX_TABLES];
	size_t n = report_tables(report, name, tables), n_goals;
	struct goal_text goals[REPORT_MAX_GOALS];
	struct standing_text standing[STANDING_MAX];
	size_t n_standing;

	fprintf(out, "<section id=\"%s\">\n<h2>%d. ", name, number);
	html_escaped(json_string_value(json_object_get(question, "title")), out);
	fputs("</h2>\n", out);
	if (n == 0) {
		paragraph("soft", "Not measured in this run.", out);
	} else {
		if (figures)
			figure_html(report, name, out);
		fputs("<p><strong>How to read it.</strong> ", out);
		html_escaped(json_string_value(json_object_get(question, "how_to_read")), out);
		fputs("</p>\n", out);
	}
	n_standing = q && q->speed ? report_standing(report->results, name, q->speed, standing, STANDING_MAX) : 0;
	for (size_t i = 0; i < n_standing; i++)
		paragraph(NULL, standing[i].text, out);
	for (size_t i = 0; i < n; i++) {
		table_html(tables[i], out);
		free(tables[i]);
	}
	n_goals = report_goals(report, name, goals);
	for (size_t i = 0; i < n_goals; i++)
		paragraph("bar", goals[i].text, out);
	write_errors(report->results, name, out);
	if (n > 0)
		write_left_out(question, out);
	fputs("</section>\n", out);
}

static void fact(const char *name, const json_t *value, FILE *out)
{
	char *text;

	fputs("<tr><th scope=\"row\">", out);
	for (const char *c = name; *c; c++)
		fputc(*c == '_' ? ' ' : *c, out);
	fputs("</th><td>", out);
	text = json_is_string(value) ? strdup(json_string_value(value)) :
				       json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(4));
	html_escaped(text ? text : "", out);
	free(text);
	fputs("</td></tr>\n", out);
}

static void write_comparator(const json_t *comparator, FILE *out)
{
	const char *library = json_string_value(json_object_get(comparator, "library"));

	fputs("<tr><th scope=\"row\">", out);
	html_escaped(json_string_value(json_object_get(comparator, "name")), out);
	fputs("</th><td>", out);
	html_escaped(json_string_value(json_object_get(comparator, "about")), out);
	if (library) {
		fputs(" (", out);
		html_escaped(library, out);
		fputs(")", out);
	}
	fputs("</td></tr>\n", out);
}

/* The comparators of mirror lists, and the own comparators of questions; equal descriptions stand there once. */
static void write_comparators(const json_t *results, FILE *out)
{
	json_t *all = json_array(), *one, *question;
	size_t i, k, m;

	json_array_extend(all, json_object_get(results, "comparators"));
	json_array_foreach(json_object_get(results, "questions"), i, question)
		if (json_integer_value(json_object_get(question, "cases")) > 0)
			json_array_extend(all, json_object_get(question, "comparators"));
	json_array_foreach(all, k, one) {
		for (m = 0; m < k && !json_equal(json_array_get(all, m), one); m++)
			;
		if (m == k)
			write_comparator(one, out);
	}
	json_decref(all);
}

static void write_machine(const json_t *results, FILE *out)
{
	const char *name;
	json_t *value;

	fputs("<section id=\"machine\">\n<h2>Machine and versions</h2>\n<div class=\"wide\"><table class=\"facts\"><tbody>\n",
	      out);
	json_object_foreach(json_object_get(results, "machine"), name, value)
		fact(name, value, out);
	fact("started", json_object_get(results, "started"), out);
	fact("took_s", json_object_get(results, "took_s"), out);
	fputs("</tbody></table></div>\n<h3>Comparators</h3>\n<div class=\"wide\"><table class=\"facts\"><tbody>\n", out);
	write_comparators(results, out);
	json_object_foreach(json_object_get(results, "absent"), name, value) {
		fputs("<tr><th scope=\"row\">", out);
		html_escaped(name, out);
		fputs("</th><td>left out: ", out);
		html_escaped(json_string_value(value), out);
		fputs("</td></tr>\n", out);
	}
	fputs("</tbody></table></div>\n</section>\n", out);
}

static void write_method(const struct report *report, FILE *out)
{
	const json_t *results = report->results, *word;
	size_t least, most, i;
	char sentence[512];

	fputs("<section id=\"method\">\n<h2>Method</h2>\n", out);
	paragraph(NULL,
		  "Where mirror lists are compared, every comparator that names a sync walks the same list through the same "
		  "code, libmirror's struct mirror_sync; only the sync differs. \"bare\", \"list-rwlock\" and \"list-urcu\" do "
		  "without libmirror. Threads are pinned, one to a core before hardware threads are used, warmed up, "
		  "and started together. Each repeat measures every comparator in turn before the next repeat begins, so "
		  "that a noisy moment hurts all alike. Latencies go into a log-linear histogram whose buckets are "
		  "at most 3.2% wide. The clock is CLOCK_MONOTONIC. All runs in one process, so that address space randomisation "
		  "gives every comparator the same layout; another run has another.", out);
	summary_repeats(results, &least, &most);
	if (most > 1)
		paragraph(NULL, "Figures are medians over repeats with the 95% interval of a bootstrap; ratios are taken within a "
				"repeat.", out);
	if (most >= SUMMARY_MIN_REPEATS)
		paragraph(NULL, "A difference is called one only where the intervals part.", out);
	else
		paragraph(NULL, "This run has too few repeats to tell a difference from noise.", out);
	/* What a run can tell at all it shows by its intervals. */
	for (i = 0; most > 1 && report->questions[i]; i++)
		if (report->questions[i]->method && report->questions[i]->method(results, sentence, sizeof(sentence)))
			paragraph(NULL, sentence, out);
	fprintf(out, "<h3>To repeat it</h3>\n<pre>./bootstrap &amp;&amp; ./configure &amp;&amp; make compare%s</pre>\n",
		strcmp(summary_string(results, NULL, "mode"), "full") == 0 ? " COMPARE_FLAGS=--full" : "");
	fputs("<p class=\"soft\">This run was:</p>\n<pre>", out);
	json_array_foreach(json_object_get(results, "command"), i, word) {
		if (i > 0)
			fputc(' ', out);
		html_escaped(json_string_value(word), out);
	}
	fputs("</pre>\n<p class=\"soft\">The records that every figure was made from stand in this page's source, in the "
	      "element with the id results, as JSON.</p>\n</section>\n", out);
}

/* Inside a script element "<" begins nothing but an end tag or a comment: as an escape it begins neither. */
static void write_records(const json_t *results, FILE *out)
{
	char *text = json_dumps(results, JSON_COMPACT | JSON_REAL_PRECISION(9));

	fputs("<script type=\"application/json\" id=\"results\">", out);
	for (const char *c = text ? text : "null"; *c; c++) {
		if (*c == '<')
			fputs("\\u003c", out);
		else
			fputc(*c, out);
	}
	fputs("</script>\n", out);
	free(text);
}

int report_page(const struct report *report, struct output *output, bool figures)
{
	const json_t *results = report->results;
	const char *why_none = NULL;
	const json_t *question;
	FILE *out;
	size_t i;

	if (figures && !svg_program_version()) {
		why_none = "This report has no figures, since gnuplot was not found where it was made.";
		bench_complain("note: gnuplot is not here (Debian: gnuplot-nox): the report has no figures");
		figures = false;
	}
	out = output_begin(output);
	if (!out)
		return 1;
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<link rel=\"icon\" href=\"data:,\">\n"
	      "<title>What walking a mirror list costs</title>\n", out);
	write_style(out);
	fputs("</head>\n<body>\n<main>\n", out);
	write_summary(report, figures, why_none, out);
	json_array_foreach(json_object_get(results, "questions"), i, question)
		write_question(report, question, (int)i + 1, figures, out);
	write_method(report, out);
	write_machine(results, out);
	fputs("</main>\n", out);
	write_records(results, out);
	fputs("</body>\n</html>\n", out);
	return output_end(output, out) || (figures && svg_has_failed());
}
