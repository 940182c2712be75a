/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the records of a results.json say: medians, their intervals and ratios
 *
 * The terminal's tables, the report and diff all read the same JSON through here, so that a figure
 * can always be traced to its records.
 */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { SUMMARY_MAX_CASES = 256, SUMMARY_MAX_COMPARATORS = 64, SUMMARY_MAX_VALUES = 1000, SUMMARY_MIN_REPEATS = 4 };

/**
 * struct estimate - a median over repeats
 * @low, @high: its 95% interval by bootstrap (2000 resamples, fixed seed); with few repeats that is
 *              nearly their range
 */
struct estimate {
	size_t n;
	double median, low, high;
	double least, most;             /* of the values */
};

/** estimate_of - over @n values, which are sorted in place; n of 0 gives zeroes */
struct estimate estimate_of(double *values, size_t n);

/** summary_median - of @n values, at least one, which are sorted in place */
double summary_median(double *values, size_t n);

/**
 * estimates_differ - whether the intervals part; only then is a difference called one
 *
 * Of fewer than SUMMARY_MIN_REPEATS they say nothing: three values and three more of the same part in a tenth of all cases.
 */
bool estimates_differ(const struct estimate *a, const struct estimate *b);

/** summary_values - of one metric, with their repeats unless @repeats is NULL; returns how many, SUMMARY_MAX_VALUES at most */
size_t summary_values(const json_t *results, const char *question, const char *case_name, const char *comparator,
		      const char *metric, double *values, int *repeats);

/** summary_records - the records of one case over one comparator, found without a search; NULL: there are none */
const json_t *summary_records(const json_t *results, const char *question, const char *case_name,
			      const char *comparator);

/** summary_value - false if no record has the metric */
bool summary_value(const json_t *results, const char *question, const char *case_name, const char *comparator,
		   const char *metric, struct estimate *estimate);

/** summary_repeat - the value of one repeat; false if there is none */
bool summary_repeat(const json_t *results, const char *question, const char *case_name, const char *comparator,
		    const char *metric, int repeat, double *value);

/** summary_ratio - @comparator to @base, of the same repeat each, which takes slow drifts out */
bool summary_ratio(const json_t *results, const char *question, const char *case_name, const char *comparator,
		   const char *base, const char *metric, struct estimate *estimate);

/** summary_repeats - how often the cases of the run were repeated, at least and at most; 0 and 0: all were counted, once */
void summary_repeats(const json_t *results, size_t *least, size_t *most);

/** summary_text - a metric that is text: what all repeats say, "x or y" if they differ, or NULL */
const char *summary_text(const json_t *results, const char *question, const char *case_name,
			 const char *comparator, const char *metric);

/** summary_count - how many records have @text in the metric; @text NULL: any text */
size_t summary_count(const json_t *results, const char *question, const char *case_name, const char *comparator,
		     const char *metric, const char *text);

/** summary_cases - names of the cases that have records, in order; returns how many */
size_t summary_cases(const json_t *results, const char *question, const char **names);

/** summary_parameter - a number of a case, or -1 */
int summary_parameter(const json_t *results, const char *question, const char *case_name, const char *key);

/** summary_comparators - names, in the order of the run; @question NULL: the comparators of mirror lists; returns how many */
size_t summary_comparators(const json_t *results, const char *question, const char **names);

/** summary_string - results[group][key] as text, or "unknown"; @group NULL: results[key] */
const char *summary_string(const json_t *results, const char *group, const char *key);

/** summary_load - read and check a results.json; NULL and a message if it is none */
json_t *summary_load(const char *path);

#endif /* BENCH_SUMMARY_H */
