/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* From a results.json to tables, figures, sentences and the HTML page. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "table.h"

enum { REPORT_MAX_TABLES = 40, REPORT_MAX_BARS = 40 };

/** report_text - all tables, for a terminal */
void report_text(const json_t *results, FILE *out);

/** report_html_file - the page; 0, or 1 with a message; without gnuplot it has no figures and says so */
int report_html_file(const json_t *results, const char *path, bool figures);

/** report_tables - the tables of one question; the caller frees each; returns how many */
size_t report_tables(const json_t *results, const char *question, struct table **tables);

/** report_measure_tables - the same for the questions of tables_measures.c */
size_t report_measure_tables(const json_t *results, const char *question, struct table **tables);

/* The next cell of @t: a time, millions a second with their spread, a ratio to @base, a text; "-": no record. */
void cell_ns(struct table *t, const json_t *results, const char *question, const char *case_name,
	     const char *comparator, const char *metric);
void cell_rate(struct table *t, const json_t *results, const char *question, const char *case_name,
	       const char *comparator, const char *metric);
void cell_ratio(struct table *t, const json_t *results, const char *question, const char *case_name,
		const char *comparator, const char *base, const char *metric);
void cell_text(struct table *t, const json_t *results, const char *question, const char *case_name,
	       const char *comparator, const char *metric);

/** struct bar_text - a goal, what was measured, and whether that reaches it */
struct bar_text {
	char text[320];
};

/** report_bars - those of one question; returns how many */
size_t report_bars(const json_t *results, const char *question, struct bar_text *bars);

/** report_headline_table - one small table over all questions, for README and summary */
struct table *report_headline_table(const json_t *results);

/** report_sentence - the summary's sentence @index (0, 1, 2); false where nothing was measured */
bool report_sentence(const json_t *results, int index, char *text, size_t size);

/** figure_svg - the figure of a question, or of "summary"; NULL: no data or no gnuplot; caller frees */
char *figure_svg(const json_t *results, const char *question);

/** figure_caption - what its axes show */
const char *figure_caption(const char *question);

/** figure_program_version - gnuplot's, or NULL where it is not found; static */
const char *figure_program_version(void);

/** format_ns - "312 ns", "4.57 us", "10.3 ms" into @text, which it returns */
const char *format_ns(double ns, char *text, size_t size);

/** report_headline_case - the throughput case of the headline: most publishers up to the CPUs, 16 mirrors; or NULL */
const char *report_headline_case(const json_t *results);

#endif /* BENCH_REPORT_H */
