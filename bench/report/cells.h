/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The next cell of a table, from records; "-" if there is no record. */
#ifndef BENCH_CELLS_H
#define BENCH_CELLS_H

#include <jansson.h>

#include "table.h"

/** struct cell_place - whose records; @case_name NULL: those of all cases */
struct cell_place {
	const json_t *results;
	const char *question, *case_name, *comparator;
};

/** cell_ns - a median time */
void cell_ns(struct table *t, const struct cell_place *of, const char *metric);

/** cell_rate - millions a second, with half the interval in per cent */
void cell_rate(struct table *t, const struct cell_place *of, const char *metric);

/** cell_ratio - how many times the comparator @base's */
void cell_ratio(struct table *t, const struct cell_place *of, const char *metric, const char *base);

/** cell_number - a plain number */
void cell_number(struct table *t, const struct cell_place *of, const char *metric);

/** cell_bytes - a number of bytes, with its unit */
void cell_bytes(struct table *t, const struct cell_place *of, const char *metric);

/** cell_text - what the records say */
void cell_text(struct table *t, const struct cell_place *of, const char *metric);

#endif /* BENCH_CELLS_H */
