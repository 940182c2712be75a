/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which figures differ from one run to another; change.h describes the rule. */
#include "change.h"

#include <math.h>
#include <stdlib.h>

/* The middle distance from the median of a normal distribution is this part of its standard deviation. */
#define MIDDLE_OF_NORMAL 0.6745

/* The variance of a median is this many times that of a mean, of normal values. */
#define MEDIAN_TO_MEAN 1.57

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Student's distribution: 99% are between this and its negative. */
static double student_99(unsigned freedom)
{
	static const double few[] = {
		63.66, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
		3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
	};

	if (freedom == 0)
		return HUGE_VAL;
	if (freedom <= sizeof(few) / sizeof(few[0]))
		return few[freedom - 1];
	return 2.576 * (1 + 2.0 / freedom); /* to three digits */
}

double change_variance(const double *values, size_t n, double least)
{
	double mean = 0, sum = 0;

	for (size_t i = 0; i < n; i++)
		mean += log(fmax(values[i], least)) / (double)n;
	for (size_t i = 0; i < n; i++)
		sum += pow(log(fmax(values[i], least)) - mean, 2);
	return n > 1 ? MEDIAN_TO_MEAN * sum / (double)(n - 1) / (double)n : 0;
}

/* The rows that are judged together: their places in the array. */
struct together {
	size_t *places, nr;
	double *scratch;
};

static void judge_together(struct change *rows, const struct together *t, double others, bool disturbed)
{
	double between = -log(1 - fmin(others, 0.99)), centre = 0, least_variance;
	unsigned freedom = 1000;        /* of what others took: known */

	for (size_t i = 0; i < t->nr; i++)
		t->scratch[i] = rows[t->places[i]].variance;
	least_variance = median(t->scratch, t->nr);
	if (t->nr >= CHANGE_MIN_ROWS) {
		for (size_t i = 0; i < t->nr; i++)
			t->scratch[i] = rows[t->places[i]].log_worse;
		centre = median(t->scratch, t->nr);
		for (size_t i = 0; i < t->nr; i++)
			t->scratch[i] = fabs(rows[t->places[i]].log_worse - centre);
		between = median(t->scratch, t->nr) / MIDDLE_OF_NORMAL;
		freedom = (unsigned)t->nr - 1;
	}
	if (!disturbed)
		centre = 0;
	for (size_t i = 0; i < t->nr; i++) {
		struct change *row = &rows[t->places[i]];
		double within = fmax(row->variance, least_variance) + CHANGE_LEAST * CHANGE_LEAST;

		row->together = centre;
		/* The scatter of the rows holds that of the repeats already, and is known from more values. */
		row->half_width = fmax(student_99(row->freedom) * sqrt(within), student_99(freedom) * between);
		row->changed = fabs(row->log_worse) > row->half_width &&
			       (centre == 0 || (fabs(row->log_worse - centre) > row->half_width &&
						(row->log_worse > 0) == (row->log_worse > centre)));
	}
}

/* Fills @t with the rows of @group; returns how many. */
static size_t take_group(const struct change *rows, size_t n, unsigned group, struct together *t)
{
	t->nr = 0;
	for (size_t i = 0; i < n; i++)
		if (rows[i].group == group)
			t->places[t->nr++] = i;
	return t->nr;
}

void changes_judge(struct change *rows, size_t n, double others, bool disturbed)
{
	struct together one = { calloc(n + 1, sizeof(size_t)), 0, calloc(n + 1, sizeof(double)) };
	struct together rest = { calloc(n + 1, sizeof(size_t)), 0, one.scratch };
	unsigned last = 0;

	if (!one.places || !one.scratch || !rest.places)
		abort(); /* some bytes a row: without memory for them nothing can be reported */
	for (size_t i = 0; i < n; i++)
		last = rows[i].group > last ? rows[i].group : last;
	for (unsigned group = 0; n > 0 && group <= last; group++) {
		if (take_group(rows, n, group, &one) >= CHANGE_MIN_ROWS) {
			judge_together(rows, &one, others, disturbed);
			continue;
		}
		for (size_t i = 0; i < one.nr; i++)
			rest.places[rest.nr++] = one.places[i];
	}
	if (rest.nr > 0)
		judge_together(rows, &rest, others, disturbed);
	free(rest.places);
	free(one.places);
	free(one.scratch);
}
