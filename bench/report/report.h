/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* From a results.json to tables, figures, sentences and the HTML page. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "table.h"

enum { REPORT_MAX_TABLES = 64, REPORT_MAX_BARS = 40 };

/* So many comparators stand in the small tables and figures in any case; of more only those of the headline. */
enum { REPORT_FEW = 8 };

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

enum report_verdict { REPORT_REACHED, REPORT_MISSED, REPORT_UNDECIDED, REPORT_NR_VERDICTS };

/** struct bar_text - a goal, what was measured, and whether that reaches it */
struct bar_text {
	enum report_verdict verdict;
	char text[320];
};

/** report_bars - those of one question; returns how many */
size_t report_bars(const json_t *results, const char *question, struct bar_text *bars);

/** report_headline_table - one small table over all questions, for README and summary */
struct table *report_headline_table(const json_t *results);

/** report_sentence - the summary's sentence @index (0, 1, 2); false where nothing was measured */
bool report_sentence(const json_t *results, int index, char *text, size_t size);

/** figure_html - write the figure of a question, or of "summary"; false: there is nothing to show, or no gnuplot */
bool figure_html(const json_t *results, const char *question, FILE *out);

/** figure_program_version - gnuplot's, or NULL where it is not found; static */
const char *figure_program_version(void);

/** format_ns - "312 ns", "4.57 us", "10.3 ms" into @text, which it returns */
const char *format_ns(double ns, char *text, size_t size);

/** report_headline_case - the throughput case of the headline: most publishers up to the CPUs, 16 mirrors; or NULL */
const char *report_headline_case(const json_t *results);

#endif /* BENCH_REPORT_H */
