/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A table of texts, filled row by row, and its three outputs. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum { TABLE_MAX_COLUMNS = 40, TABLE_MAX_ROWS = 160, TABLE_CELL_BYTES = 96 };

/** struct table - the first row holds the headings; a heading may have two lines */
struct table {
	char title[160];
	size_t nr_columns, nr_rows;
	char cells[TABLE_MAX_ROWS][TABLE_MAX_COLUMNS][TABLE_CELL_BYTES];
	size_t used[TABLE_MAX_ROWS];
};

/** table_create - the caller frees it */
struct table *table_create(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/** table_column - a further column; before the first row */
void table_column(struct table *t, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/** table_row - a further row, whose first cell is @label */
void table_row(struct table *t, const char *label);

/** table_cell - the next cell of the last row; what is never given stays empty */
void table_cell(struct table *t, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

void table_text(const struct table *t, FILE *out);
void table_markdown(const struct table *t, FILE *out);
void table_html(const struct table *t, FILE *out);

/** html_escaped - text for HTML, attributes included */
void html_escaped(const char *text, FILE *out);

#endif /* BENCH_TABLE_H */
