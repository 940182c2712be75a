/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Fits the Universal Scalability Law (usl.h) to the throughput of each comparator
 *
 * Its points are the numbers of publishers that had a CPU each, with the mirrors of the headline case.  Each
 * repeat is fitted by itself, so that the parameters have intervals as all else has.
 */
#include "projection.h"

#include <stdbool.h>
#include <string.h>

#include "../comparators/families.h"
#include "summary.h"
#include "usl.h"

enum { MAX_POINTS = 32, MAX_REPEATS = 1000, NEAR = 16, FAR = 64 };

struct points {
	const json_t *results;
	const char *question, *metric;
	size_t nr;
	const char *cases[MAX_POINTS];
	double publishers[MAX_POINTS];
	int mirrors, cpus;
};

struct projection {
	struct estimate lambda, sigma, kappa;
	struct estimate near, far;      /* how many times one publisher's */
	unsigned nr_parameters;
};

static struct points find_points(const json_t *results, const char *question, const char *metric, const char *case_name)
{
	struct points points = { .results = results, .question = question, .metric = metric };
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = case_name ? summary_cases(results, question, cases) : 0;

	points.cpus = (int)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus"));
	points.mirrors = case_name ? summary_parameter(results, question, case_name, "mirrors") : 0;
	for (size_t i = 0; i < nr_cases && points.nr < MAX_POINTS; i++) {
		int publishers = summary_parameter(results, question, cases[i], "publishers");

		/* Publishers that share a CPU say nothing about more CPUs. */
		if (publishers > points.cpus || summary_parameter(results, question, cases[i], "mirrors") != points.mirrors)
			continue;
		points.cases[points.nr] = cases[i];
		points.publishers[points.nr++] = publishers;
	}
	return points;
}

static bool fit_repeat(const struct points *points, const char *comparator, int repeat, struct usl *fit)
{
	double x[MAX_POINTS];

	for (size_t i = 0; i < points->nr; i++)
		if (!summary_repeat(points->results, points->question, points->cases[i], comparator, points->metric, repeat,
				    &x[i]))
			return false;
	return usl_fit(points->publishers, x, points->nr, fit);
}

static bool project(const struct points *points, const char *comparator, struct projection *projection)
{
	double lambda[MAX_REPEATS], sigma[MAX_REPEATS], kappa[MAX_REPEATS], near[MAX_REPEATS], far[MAX_REPEATS];
	int repeats = (int)json_integer_value(json_object_get(points->results, "repeats"));
	struct usl fit;
	size_t n = 0;

	for (int repeat = 0; repeat < repeats && n < MAX_REPEATS; repeat++) {
		if (!fit_repeat(points, comparator, repeat, &fit))
			continue;
		lambda[n] = fit.lambda;
		sigma[n] = fit.sigma;
		kappa[n] = fit.kappa;
		near[n] = usl_at(&fit, NEAR) / usl_at(&fit, 1);
		far[n++] = usl_at(&fit, FAR) / usl_at(&fit, 1);
		projection->nr_parameters = fit.nr_parameters;
	}
	projection->lambda = estimate_of(lambda, n);
	projection->sigma = estimate_of(sigma, n);
	projection->kappa = estimate_of(kappa, n);
	projection->near = estimate_of(near, n);
	projection->far = estimate_of(far, n);
	return n > 0;
}

static void interval_cell(struct table *t, int digits, const struct estimate *e)
{
	if (e->n > 1)
		table_cell(t, "%.*f (%.*f to %.*f)", digits, e->median, digits, e->low, digits, e->high);
	else
		table_cell(t, "%.*f", digits, e->median);
}

struct table *projection_table(const json_t *results, const char *question, const char *metric, const char *case_name)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, question, names);
	struct points points = find_points(results, question, metric, case_name);
	struct projection p;
	struct table *t;

	if (points.nr < 2)
		return NULL;
	t = table_create("PROJECTION beyond the %d CPUs, %d mirrors, from %zu numbers of publishers%s", points.cpus,
			 points.mirrors, points.nr,
			 points.nr == 2 ? ": as many as lambda and sigma; kappa is taken as 0, nothing checks the fit" :
			 points.nr == 3 ? ": as many as parameters, nothing checks the fit" : "");
	table_column(t, "comparator");
	table_column(t, "lambda\nM/s");
	table_column(t, "sigma");
	if (points.nr > 2)
		table_column(t, "kappa");
	table_column(t, "%d publishers,\ntimes one", NEAR);
	table_column(t, "%d publishers,\ntimes one", FAR);
	for (size_t k = 0; k < nr_names; k++) {
		if (!project(&points, names[k], &p))
			continue;
		table_row(t, comparator_label(names[k]));
		table_cell(t, "%.2f", p.lambda.median / 1e6);
		interval_cell(t, 3, &p.sigma);
		if (points.nr > 2)
			interval_cell(t, 5, &p.kappa);
		interval_cell(t, 1, &p.near);
		interval_cell(t, 1, &p.far);
	}
	return t;
}

static json_t *describe(const struct estimate *e)
{
	return json_pack("{s:f, s:f, s:f}", "median", e->median, "low", e->low, "high", e->high);
}

json_t *projection_describe(const json_t *results, const char *question, const char *metric, const char *case_name)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, question, names);
	json_t *all = json_array();
	struct points points = find_points(results, question, metric, case_name);
	struct projection p;

	for (size_t k = 0; k < nr_names && points.nr >= 2; k++) {
		if (!project(&points, names[k], &p))
			continue;
		json_array_append_new(all, json_pack(
			"{s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "law", "usl", "comparator", names[k],
			"mirrors", points.mirrors, "measured_cpus", points.cpus, "points", (int)points.nr, "parameters",
			(int)p.nr_parameters, "lambda_per_s", describe(&p.lambda), "sigma", describe(&p.sigma), "kappa",
			describe(&p.kappa), "times_one_at_16", describe(&p.near), "times_one_at_64", describe(&p.far)));
	}
	return all;
}
