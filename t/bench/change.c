/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * When diff says that a row has changed, on rows that were made with known noise: seldom if two runs are of one
 * program, on a busy machine too, and nearly always if a row got twice as bad.
 */
#include <math.h>
#include <stdlib.h>

#include "report/change.h"
#include "tap.h"

static struct rng rng;

static double normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += (double)(rng_next(&rng) >> 11) / 9007199254740992.0;
	return sum - 6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return values[n / 2];
}

enum { METRICS = 4, ROWS = 30, RUN_REPEATS = 5, ALL = METRICS * ROWS };

/*
 * Two runs of one program: within a run the repeats of a row scatter by @within, and from run to run each row moves by
 * @between and all of them by @shift; of each metric the first @nr_changed rows get worse by @factor.
 */
static void make_rows(struct change *rows, double within, double between, double shift, int nr_changed, double factor)
{
	double before[RUN_REPEATS], after[RUN_REPEATS], x[RUN_REPEATS], y[RUN_REPEATS];

	for (int i = 0; i < ALL; i++) {
		double moved = between * normal() + shift + (i % ROWS < nr_changed ? log(factor) : 0);

		for (int k = 0; k < RUN_REPEATS; k++) {
			before[k] = x[k] = 1000 * exp(within * normal());
			after[k] = y[k] = 1000 * exp(within * normal() + moved);
		}
		rows[i] = (struct change){
			.group = (unsigned)(i / ROWS), .freedom = 2 * RUN_REPEATS - 2,
			.variance = change_variance(before, RUN_REPEATS, 1e-3) + change_variance(after, RUN_REPEATS, 1e-3),
			.log_worse = log(median(y, RUN_REPEATS) / median(x, RUN_REPEATS)),
		};
	}
}

/* How many of the rows that changed were found, and how many of the others were called changed. */
static void count_changes(const struct change *rows, int nr_changed, int *found, int *wrong)
{
	for (int i = 0; i < ALL; i++) {
		*found += rows[i].changed && i % ROWS < nr_changed;
		*wrong += rows[i].changed && i % ROWS >= nr_changed;
	}
}

static void test_changes(void)
{
	static const struct {
		const char *name;
		double within, between, shift, others;
	} machines[] = {
		{ "a quiet machine", 0.02, 0.05, 0, 0.002 },
		{ "repeats that agree, runs that do not", 0.005, 0.1, 0, 0.002 },
		{ "a busy machine", 0.1, 0.12, 0, 0.5 },
		{ "a machine that was twice as slow once", 0.05, 0.1, 0.7, 0.5 },
	};
	enum { ROUNDS = 50, FEW = 2 };
	struct change rows[ALL];
	int all = 0, none = 0;

	for (size_t m = 0; m < sizeof(machines) / sizeof(machines[0]); m++) {
		int found = 0, wrong = 0, unused = 0;
		bool disturbed = machines[m].others > 0.1;

		for (int round = 0; round < ROUNDS; round++) {
			make_rows(rows, machines[m].within, machines[m].between, machines[m].shift, 0, 1);
			changes_judge(rows, ALL, machines[m].others, disturbed);
			count_changes(rows, 0, &unused, &wrong);
			make_rows(rows, machines[m].within, machines[m].between, machines[m].shift, FEW, 2);
			changes_judge(rows, ALL, machines[m].others, disturbed);
			count_changes(rows, FEW, &found, &unused);
		}
		ok(wrong <= ROUNDS * ALL / 20, "%s: of one program's rows at most 5%% are called changed: %d of %d",
		   machines[m].name, wrong, ROUNDS * ALL);
		ok(found >= ROUNDS * METRICS * FEW * 9 / 10, "%s: rows that got twice as bad are found: %d of %d",
		   machines[m].name, found, ROUNDS * METRICS * FEW);
	}
	make_rows(rows, 0.02, 0.05, 0, ROWS, 2);
	changes_judge(rows, ALL, 0.002, false);
	count_changes(rows, ROWS, &all, &none);
	ok(all == ALL, "on a quiet machine all rows that got twice as bad together are found: %d of %d", all, ALL);
	changes_judge(rows, ALL, 0.5, true);
	all = 0;
	count_changes(rows, ROWS, &all, &none);
	ok(all <= ALL / 20 && fabs(rows[0].together - log(2)) < 0.1, "on a busy machine that is said of them together: %d", all);
}

static void test_few_rows(void)
{
	static const double a[] = { 100, 101, 99, 100, 101 }, b[] = { 200, 202, 199, 201, 200 };
	struct change row = { .freedom = 8, .log_worse = log(2) };

	row.variance = change_variance(a, 5, 1e-3) + change_variance(b, 5, 1e-3);
	changes_judge(&row, 1, 0, false);
	ok(row.changed, "a single row that got twice as bad is found");
	row.log_worse = log(1.05);
	changes_judge(&row, 1, 0, false);
	ok(!row.changed, "5%% of a single row are what runs differ by");
	row.log_worse = log(2);
	changes_judge(&row, 1, 0.5, true);
	ok(!row.changed, "twice as bad is what half a machine makes of it");
	row.freedom = 0;
	changes_judge(&row, 1, 0, false);
	ok(!row.changed, "one repeat has no interval");
	changes_judge(NULL, 0, 0, false);
}

int main(void)
{
	rng_init(&rng, 1);
	test_changes();
	test_few_rows();
	return done_testing();
}
