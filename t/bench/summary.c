/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the benchmark makes of its records: when it calls two figures different, and the parameters of the
 * Universal Scalability Law, from data that were made with known ones.
 */
#include <math.h>
#include <stdarg.h>

#include "measure/bench.h"
#include "report/goals.h"
#include "report/standing.h"
#include "report/summary.h"
#include "tap.h"
#include "report/usl.h"

void bench_complain(const char *format, ...)
{
	(void)format;
}

/* ---- when a difference is called one ---- */

static struct estimate of(const double *values, size_t n)
{
	double copy[64];

	memcpy(copy, values, n * sizeof(copy[0]));
	return estimate_of(copy, n);
}

static bool differ(const double *a, const double *b, size_t n)
{
	struct estimate x = of(a, n), y = of(b, n);

	ok(estimates_differ(&x, &y) == estimates_differ(&y, &x), "the order does not matter");
	return estimates_differ(&x, &y);
}

static void test_estimates(void)
{
	static const double low[] = { 1.0, 1.1, 0.9, 1.05, 0.95 }, high[] = { 2.0, 2.1, 1.9, 2.05, 1.95 };
	static const double wide[] = { 0.5, 1.0, 1.5, 2.0, 2.5 }, odd[] = { 3, 1, 2 }, even[] = { 4, 1, 3, 2 };
	struct estimate e = of(odd, 3);

	ok(e.n == 3 && e.median == 2 && e.least == 1 && e.most == 3, "the median of three");
	e = of(even, 4);
	ok(e.median == 2.5, "the median of four");
	e = of(wide, 5);
	ok(e.low >= 0.5 && e.low < e.median && e.high > e.median && e.high <= 2.5, "an interval around it, within the values");
	e = of(wide, 0);
	ok(e.n == 0, "of nothing there is none");
	ok(differ(low, high, 5), "intervals that part: a difference");
	ok(!differ(low, low, 5), "a run and itself: none");
	ok(!differ(low, wide, 5), "medians apart, intervals not: none");
	ok(!differ(low, high, 1), "one repeat has no interval: none");
	ok(!differ(low, high, 3), "three repeats part by chance: none");
	ok(differ(low, high, 4), "four do not");
}

static struct rng rng;

static double normal(void)
{
	double sum = 0;

	for (int i = 0; i < 12; i++)
		sum += (double)(rng_next(&rng) >> 11) / 9007199254740992.0;
	return sum - 6;
}

/* Of two series of the same noise few may be called different, of two that are far apart nearly all. */
static void test_false_alarms(void)
{
	enum { ROUNDS = 400, REPEATS = 11 };
	int alarms = 0, found = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double a[REPEATS], b[REPEATS], c[REPEATS];
		struct estimate x, y, z;

		for (int i = 0; i < REPEATS; i++) {
			a[i] = 100 + 5 * normal();
			b[i] = 100 + 5 * normal();
			c[i] = 130 + 5 * normal();
		}
		x = of(a, REPEATS);
		y = of(b, REPEATS);
		z = of(c, REPEATS);
		alarms += estimates_differ(&x, &y);
		found += estimates_differ(&x, &z);
	}
	ok(alarms <= ROUNDS / 20, "%d of %d pairs that do not differ were called different", alarms, ROUNDS);
	ok(found >= ROUNDS * 95 / 100, "%d of %d pairs that differ by six deviations were", found, ROUNDS);
}

/* ---- the law ---- */

static bool near(double got, double want, double relative, double absolute)
{
	return fabs(got - want) <= fabs(want) * relative + absolute;
}

static void test_law(void)
{
	static const double n[] = { 1, 2, 4, 8, 16, 32 };
	static const struct usl laws[] = {
		{ 5e6, 0.05, 0.002, 3 }, { 8e6, 0, 0, 3 }, { 1e6, 0.6, 0, 3 }, { 2e6, 0, 0.01, 3 },
	};
	struct usl fit;
	double x[6];
	bool fitted;

	for (size_t k = 0; k < sizeof(laws) / sizeof(laws[0]); k++) {
		const struct usl *law = &laws[k];

		for (int i = 0; i < 6; i++)
			x[i] = usl_at(law, n[i]);
		fitted = usl_fit(n, x, 6, &fit);
		ok(fitted && near(fit.lambda, law->lambda, 1e-6, 0) && near(fit.sigma, law->sigma, 1e-6, 1e-9) &&
		   near(fit.kappa, law->kappa, 1e-6, 1e-9) && fit.nr_parameters == 3,
		   "six points without noise give their parameters: %g %g %g", fit.lambda, fit.sigma, fit.kappa);
		for (int i = 0; i < 6; i++)
			x[i] *= 1 + 0.01 * normal();
		fitted = usl_fit(n, x, 6, &fit);
		ok(fitted && near(fit.lambda, law->lambda, 0.05, 0) && near(fit.sigma, law->sigma, 0.1, 0.03) &&
		   near(fit.kappa, law->kappa, 0.2, 0.001) && fit.sigma >= 0 && fit.kappa >= 0,
		   "with one per cent of noise nearly: %g %g %g", fit.lambda, fit.sigma, fit.kappa);
	}
	ok(!near(fit.lambda, laws[0].lambda, 0.05, 0), "and the same check fails for another law's");
}

static void test_few_points(void)
{
	static const double n[] = { 1, 2, 4 }, x[] = { 100, 160, 200 }, better[] = { 100, 220 };
	double none[] = { 100, 0 };
	struct usl fit;

	ok(!usl_fit(n, x, 1, &fit), "one point: no fit");
	ok(!usl_fit(n, none, 2, &fit), "no throughput: no fit");
	ok(usl_fit(n, x, 2, &fit) && fit.nr_parameters == 2 && fit.kappa == 0 && near(usl_at(&fit, 1), 100, 1e-9, 0) &&
	   near(usl_at(&fit, 2), 160, 1e-9, 0), "two points: two parameters, through both");
	ok(usl_fit(n, x, 3, &fit) && fit.nr_parameters == 3 && near(usl_at(&fit, 4), 200, 1e-9, 0),
	   "three points: three parameters, through all");
	ok(usl_fit(n, better, 2, &fit) && fit.sigma == 0, "better than linear: sigma is zero, not below");
}

/* ---- whom srcu is ahead of ---- */

static void add_record(json_t *records, const char *comparator, int repeat, double value)
{
	json_array_append_new(records, json_pack("{s:s, s:s, s:s, s:i, s:{}, s:{s:f}}", "question", "throughput", "case",
						 "publishers=2", "comparator", comparator, "repeat", repeat, "parameters",
						 "metrics", "invalidations_per_s", value));
}

static void test_few_repeats(void)
{
	json_t *records = json_array(), *results;
	struct standing_text text;

	for (int i = 0; i < 3; i++) {
		add_record(records, "srcu", i, 100 + i);
		add_record(records, "slow", i, 50 + i);
	}
	results = json_pack("{s:[{s:s}, {s:s}], s:o}", "comparators", "name", "srcu", "name", "slow", "records", records);
	ok(report_standing(results, "throughput", "invalidations_per_s", &text, 1) == 0,
	   "three repeats compare with nothing, and nothing is said");
	json_decref(results);
}

static void test_standing(void)
{
	json_t *records = json_array(), *results;
	struct standing_text text;

	for (int i = 0; i < 5; i++) {
		add_record(records, "srcu", i, 100 + i);
		add_record(records, "slow", i, 50 + i);
		add_record(records, "fast", i, 200 + i);
		add_record(records, "none", i, 100 + i);
		add_record(records, "alike", i, 90 + 5 * i);
	}
	results = json_pack("{s:[{s:s}, {s:s}, {s:s}, {s:s}, {s:s}], s:o}", "comparators", "name", "srcu", "name", "slow",
			    "name", "fast", "name", "none", "name", "alike", "records", records);
	ok(report_standing(results, "throughput", "invalidations_per_s", &text, 1) == 1 &&
	   strcmp(text.text, "publishers=2: 'srcu' is ahead of 'slow'; behind 'fast'; not told apart from 'no-sync', 'alike'.") == 0, "%s",
	   text.text);
	ok(report_standing(results, "trap", "invalidations_per_s", &text, 1) == 0, "of other questions nothing is said");
	json_decref(results);
}

static void test_old_name(void)
{
	json_t *records = json_array(), *results;
	struct standing_text text;

	for (int i = 0; i < 5; i++) {
		add_record(records, "srcu", i, 50 + i);
		add_record(records, "none", i, 100 + i);
	}
	results = json_pack("{s:[{s:s}, {s:s}], s:o}", "comparators", "name", "srcu", "name", "none", "records", records);
	ok(report_standing(results, "throughput", "invalidations_per_s", &text, 1) == 1 &&
	   strcmp(text.text, "publishers=2: 'srcu' is ahead of no other; behind 'no-sync'; not told apart from any other.") == 0,
	   "old records of \"none\" are shown as no-sync: %s", text.text);
	json_decref(results);
}

/* ---- goals ---- */

static void test_goals(void)
{
#define RATE .cases = "publishers=2", .comparator = "srcu", .metric = "invalidations_per_s"
	static const struct report_goal goals[] = {
		{ RATE, .base = "ck-rwlock", .bound = 3, .at_least = true, .words = "twice one lock" },
		{ RATE, .base = "ck-rwlock", .bound = 1.5, .at_least = true, .words = "twice one lock" },
		{ RATE, .beside_locks = true, .bound = 1, .at_least = true, .words = "beside the locks" },
		{ RATE, .bound = 102, .unit = GOAL_NUMBER, .words = "a number" },
		{ RATE, .base = "not-measured", .bound = 1, .words = "beside what there are no records of" },
		{ .words = NULL },
	};
	static const struct report_question question = { .name = "throughput", .goals = goals };
	static const struct report_question *const questions[] = { &question, NULL };
	json_t *records = json_array(), *results;
	struct goal_text texts[REPORT_MAX_GOALS];
	struct report report = { .questions = questions };

	for (int i = 0; i < 5; i++) {
		add_record(records, "srcu", i, 100 + i);
		add_record(records, "ck-rwlock", i, 50);
		add_record(records, "rwsem", i, 200);
		add_record(records, "urcu-memb", i, 400); /* faster, and no lock */
		add_record(records, "list-rwlock", i, 500); /* the same: a list of one's own */
	}
	results = json_pack("{s:[{s:s}, {s:s}, {s:s}, {s:s}, {s:s}], s:o}", "comparators", "name", "srcu", "name",
			    "ck-rwlock", "name", "rwsem", "name", "urcu-memb", "name", "list-rwlock", "records", records);
	report.results = results;
	is_int((int)report_goals(&report, "throughput", texts), 4, "a goal beside what was not measured is not shown");
	ok(texts[0].verdict == REPORT_MISSED && strstr(texts[0].text, ": 2.04 (2.00 to 2.08); goal: at least 3.00: MISSED."),
	   "%s", texts[0].text);
	ok(texts[1].verdict == REPORT_REACHED, "%s", texts[1].text);
	ok(texts[2].verdict == REPORT_MISSED && strstr(texts[2].text, ": 0.51 ("), "the fastest of the locks counts: %s",
	   texts[2].text);
	ok(texts[3].verdict == REPORT_UNDECIDED && strstr(texts[3].text, ": 102 (100 to 104); goal: at most 102:"), "%s",
	   texts[3].text);
	json_decref(results);
}

int main(void)
{
	rng_init(&rng, 1);
	test_estimates();
	test_false_alarms();
	test_few_repeats();
	test_law();
	test_few_points();
	test_standing();
	test_old_name();
	test_goals();
	return done_testing();
}
