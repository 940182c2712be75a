/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which figures differ from one run to another by more than two runs of one program do
 *
 * The repeats of a run say how far its figures scatter within it. Between runs they scatter further: memory lies
 * elsewhere, the host and other programs do something else. Two runs cannot say that of one figure, but of the many
 * figures of one metric they can, since few of them change at once.
 *
 * 1. A row is the logarithm of a figure's ratio, after to before.
 * 2. Its variance within the runs comes from the repeats. It is no less than that of the middle row of its metric: of a
 *    few repeats some agree by chance.
 * 3. The scatter between the runs is that of the metric's rows around their median, taken from the middle one of the
 *    distances, which up to half of the rows may change without moving it much. Rows of metrics with fewer than
 *    CHANGE_MIN_ROWS are taken together. If all together are fewer, it is what others took of the CPUs.
 *    It is at least CHANGE_LEAST.
 * 4. Each gives an interval by Student's distribution at 99%, and the wider one counts: of a hundred rows that did not
 *    change, one is expected to be called changed.
 * 5. A row has changed if its interval does not hold 0. If a run was disturbed, it must not hold the median of its
 *    metric's rows either: a busy machine moves all of them together.
 */
#ifndef BENCH_CHANGE_H
#define BENCH_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

enum { CHANGE_MIN_ROWS = 8 };

/* The least scatter between two runs; two full runs on a quiet machine differed by 5% in the middle row. */
#define CHANGE_LEAST 0.03

struct change {
	unsigned group;                 /* rows of one metric have the same number */
	double log_worse;               /* logarithm of the ratio, above 0 if it got worse */
	double variance;                /* of it, from the repeats: change_variance of both runs, added */
	unsigned freedom;               /* of the variance: repeats of both runs, less 2 */
	/* Filled in by changes_judge. */
	double half_width;              /* of the interval, as a logarithm */
	double together;                /* the median of its metric's rows; 0: unknown, or the runs were not disturbed */
	bool changed;
};

/** change_variance - of the logarithm of a median, from @n repeats; what is 0 is taken as @least, which is not */
double change_variance(const double *values, size_t n, double least);

/** changes_judge - @others: the share of the CPUs that others used, 0 to 1; @disturbed: whether that was too much */
void changes_judge(struct change *rows, size_t n, double others, bool disturbed);

#endif /* BENCH_CHANGE_H */
