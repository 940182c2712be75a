/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measured throughputs say about more CPUs than there were: a projection, and marked as one. */
#ifndef BENCH_PROJECTION_H
#define BENCH_PROJECTION_H

#include <jansson.h>

#include "table.h"

/** projection_table - for the report; NULL where fewer than two numbers of publishers were measured; the caller frees */
struct table *projection_table(const json_t *results);

/** projection_describe - the same for the records; a new array, which may be empty */
json_t *projection_describe(const json_t *results);

#endif /* BENCH_PROJECTION_H */
