/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measured throughputs say about more CPUs than there were: a projection, and marked as one. */
#ifndef BENCH_PROJECTION_H
#define BENCH_PROJECTION_H

#include <jansson.h>

#include "table.h"

/**
 * projection_table - the rate @metric of the cases that have as many mirrors as @case_name, over their publishers
 * Return: NULL if fewer than two numbers of publishers were measured; the caller frees it
 */
struct table *projection_table(const json_t *results, const char *question, const char *metric, const char *case_name);

/** projection_describe - the same for the records; a new array, which may be empty */
json_t *projection_describe(const json_t *results, const char *question, const char *metric, const char *case_name);

#endif /* BENCH_PROJECTION_H */
