/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The tables of a question. */
#ifndef BENCH_TABLES_H
#define BENCH_TABLES_H

#include "descriptor.h"

enum { REPORT_MAX_TABLES = 64 };

/* Up to so many comparators all have lines; of more, only the few of the headline. */
enum { REPORT_FEW = 8 };

/** report_tables - those of one question; the caller frees each; returns how many */
size_t report_tables(const struct report *report, const char *question, struct table **tables);

/** report_headline_rows - the comparators of @question that small tables and figures show, in order; returns how many */
size_t report_headline_rows(const json_t *results, const char *question, const char **names);

/** report_headline_table - one small table over all questions, for README and summary; the caller frees it */
struct table *report_headline_table(const struct report *report);

#endif /* BENCH_TABLES_H */
