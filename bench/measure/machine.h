/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measurement ran on: it stands in every results.json, for figures without it say nothing. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <jansson.h>
#include <stdbool.h>

/** machine_describe - CPU, kernel, C library, clock, and what makes figures noisy; a new object */
json_t *machine_describe(void);

/** struct machine_use - what the CPUs did until some moment */
struct machine_use {
	double busy_s, steal_s, all_s;  /* of all CPUs; ticks are hundredths of a second */
	double own_s;                   /* of this process and of children that it has waited for */
};

/** machine_look - at the present moment */
void machine_look(struct machine_use *use);

/** machine_describe_use - what others did with the CPUs since @begin, in per cent of all CPU time; into @machine */
void machine_describe_use(const struct machine_use *begin, json_t *machine);

/**
 * machine_is_busy - whether others used so much of the CPUs while a run was measured that its figures are noisy
 * @machine: what machine_describe_use has filled in; if it has not, nothing is known and the answer is false
 * @percent: how much, of all CPU time; what the host of a virtual machine took counts too
 */
bool machine_is_busy(const json_t *machine, double *percent);

#endif /* BENCH_MACHINE_H */
