/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measurement ran on: it stands in every results.json, for figures without it say nothing. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <jansson.h>

/** machine_describe - CPU, kernel, C library, clock, and what makes figures noisy; a new object */
json_t *machine_describe(void);

/** machine_is_busy - whether others use more than a quarter of the CPUs; @load: the last minute's */
int machine_is_busy(double *load);

#endif /* BENCH_MACHINE_H */
