/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Medians, intervals and ratios from records; summary.h says what each means. */
#include "summary.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/bench.h"

enum { RESAMPLES = 2000, MAX_VALUES = SUMMARY_MAX_VALUES };

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* For the few repeats that a run has, several times as fast as qsort. */
static void sort_few(double *values, size_t n)
{
	if (n > 32) {
		qsort(values, n, sizeof(values[0]), compare);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		double value = values[i];
		size_t k = i;

		for (; k > 0 && values[k - 1] > value; k--)
			values[k] = values[k - 1];
		values[k] = value;
	}
}

static double median_of_sorted(const double *values, size_t n)
{
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* xorshift64*: the resamples need not be better than that, and must be the same each time. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static double resampled_median(const double *values, size_t n, uint64_t *state)
{
	static double resample[MAX_VALUES]; /* one thread reports */

	if (n == 0)
		return 0;
	for (size_t k = 0; k < n; k++)
		resample[k] = values[(next_random(state) >> 33) % n];
	sort_few(resample, n);
	return median_of_sorted(resample, n);
}

double summary_median(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return median_of_sorted(values, n);
}

struct estimate estimate_of(double *values, size_t n)
{
	struct estimate e = { .n = n };
	double medians[RESAMPLES];
	uint64_t state = 0x9e3779b97f4a7c15ull;

	if (n == 0)
		return e;
	qsort(values, n, sizeof(values[0]), compare);
	e.median = median_of_sorted(values, n);
	e.least = values[0];
	e.most = values[n - 1];
	for (size_t i = 0; i < RESAMPLES; i++)
		medians[i] = resampled_median(values, n, &state);
	qsort(medians, RESAMPLES, sizeof(medians[0]), compare);
	e.low = medians[RESAMPLES / 40];
	e.high = medians[RESAMPLES - 1 - RESAMPLES / 40];
	return e;
}

bool estimates_differ(const struct estimate *a, const struct estimate *b)
{
	return a->n >= SUMMARY_MIN_REPEATS && b->n >= SUMMARY_MIN_REPEATS && (a->high < b->low || b->high < a->low);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool record_is(const json_t *record, const char *question, const char *case_name, const char *comparator)
{
	return strcmp(text_of(record, "question"), question) == 0 &&
	       (!case_name || strcmp(text_of(record, "case"), case_name) == 0) &&
	       (!comparator || strcmp(text_of(record, "comparator"), comparator) == 0);
}

size_t summary_values(const json_t *results, const char *question, const char *case_name, const char *comparator,
			const char *metric, double *values, int *repeats)
{
	const json_t *records = case_name && comparator ?
		summary_records(results, question, case_name, comparator) : json_object_get(results, "records");
	const json_t *record, *value;
	size_t i, n = 0;

	json_array_foreach(records, i, record) {
		if (n == MAX_VALUES || !record_is(record, question, case_name, comparator))
			continue;
		value = json_object_get(json_object_get(record, "metrics"), metric);
		if (!json_is_number(value))
			continue;
		if (repeats)
			repeats[n] = (int)json_integer_value(json_object_get(record, "repeat"));
		values[n++] = json_number_value(value);
	}
	return n;
}

bool summary_value(const json_t *results, const char *question, const char *case_name, const char *comparator,
		   const char *metric, struct estimate *estimate)
{
	double values[MAX_VALUES];
	size_t n = summary_values(results, question, case_name, comparator, metric, values, NULL);

	*estimate = estimate_of(values, n);
	return n > 0;
}

bool summary_repeat(const json_t *results, const char *question, const char *case_name, const char *comparator,
		    const char *metric, int repeat, double *value)
{
	double values[MAX_VALUES];
	int repeats[MAX_VALUES];
	size_t n = summary_values(results, question, case_name, comparator, metric, values, repeats);

	for (size_t i = 0; i < n; i++) {
		if (repeats[i] == repeat) {
			*value = values[i];
			return true;
		}
	}
	return false;
}

bool summary_ratio(const json_t *results, const char *question, const char *case_name, const char *comparator,
		   const char *base, const char *metric, struct estimate *estimate)
{
	double values[MAX_VALUES], bases[MAX_VALUES], ratios[MAX_VALUES];
	int repeats[MAX_VALUES], base_repeats[MAX_VALUES];
	size_t n = summary_values(results, question, case_name, comparator, metric, values, repeats);
	size_t nr_bases = summary_values(results, question, case_name, base, metric, bases, base_repeats);
	size_t nr_ratios = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < nr_bases; k++)
			if (repeats[i] == base_repeats[k] && bases[k] != 0 && nr_ratios < MAX_VALUES)
				ratios[nr_ratios++] = values[i] / bases[k];
	*estimate = estimate_of(ratios, nr_ratios);
	return nr_ratios > 0;
}

/* Adds @text to "x or y" unless it is there. */
static void add_alternative(char *all, size_t size, const char *text)
{
	size_t used = strlen(all);

	if (!strstr(all, text))
		snprintf(all + used, size - used, "%s%s", used ? " or " : "", text);
}

const char *summary_text(const json_t *results, const char *question, const char *case_name,
			 const char *comparator, const char *metric)
{
	static char all[128];
	const json_t *record;
	size_t i;

	all[0] = '\0';
	json_array_foreach(json_object_get(results, "records"), i, record) {
		const char *text = json_string_value(json_object_get(json_object_get(record, "metrics"), metric));

		if (text && record_is(record, question, case_name, comparator))
			add_alternative(all, sizeof(all), text);
	}
	return all[0] ? all : NULL;
}

size_t summary_count(const json_t *results, const char *question, const char *case_name, const char *comparator,
		     const char *metric, const char *text)
{
	const json_t *record;
	size_t i, n = 0;

	json_array_foreach(json_object_get(results, "records"), i, record) {
		const char *found = json_string_value(json_object_get(json_object_get(record, "metrics"), metric));

		if (found && record_is(record, question, case_name, comparator) && (!text || strcmp(found, text) == 0))
			n++;
	}
	return n;
}

size_t summary_cases(const json_t *results, const char *question, const char **names)
{
	const json_t *record;
	size_t i, n = 0;

	json_array_foreach(json_object_get(results, "records"), i, record) {
		const char *name = text_of(record, "case");
		size_t k = 0;

		if (!record_is(record, question, NULL, NULL))
			continue;
		while (k < n && strcmp(names[k], name) != 0)
			k++;
		if (k == n && n < SUMMARY_MAX_CASES)
			names[n++] = name;
	}
	return n;
}

int summary_parameter(const json_t *results, const char *question, const char *case_name, const char *key)
{
	const json_t *record, *value;
	size_t i;

	json_array_foreach(json_object_get(results, "records"), i, record) {
		if (!record_is(record, question, case_name, NULL))
			continue;
		value = json_object_get(json_object_get(record, "parameters"), key);
		return json_is_integer(value) ? (int)json_integer_value(value) : -1;
	}
	return -1;
}

static bool has_records(const json_t *results, const char *question, const char *comparator)
{
	const json_t *record;
	size_t i;

	json_array_foreach(json_object_get(results, "records"), i, record)
		if (record_is(record, question, NULL, comparator))
			return true;
	return false;
}

/* A question's own comparators, or the run's. */
static const json_t *comparators_of(const json_t *results, const char *question)
{
	const json_t *described, *own;
	size_t i;

	json_array_foreach(json_object_get(results, "questions"), i, described) {
		own = json_object_get(described, "comparators");
		if (question && own && strcmp(text_of(described, "name"), question) == 0)
			return own;
	}
	return json_object_get(results, "comparators");
}

size_t summary_comparators(const json_t *results, const char *question, const char **names)
{
	const json_t *comparator;
	size_t i, n = 0;

	json_array_foreach(comparators_of(results, question), i, comparator) {
		const char *name = text_of(comparator, "name");

		if (n < SUMMARY_MAX_COMPARATORS && (!question || has_records(results, question, name)))
			names[n++] = name;
	}
	return n;
}

const char *summary_string(const json_t *results, const char *group, const char *key)
{
	const json_t *object = group ? json_object_get(results, group) : results;
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "unknown";
}

json_t *summary_load(const char *path)
{
	json_error_t error;
	json_t *results = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (!results) {
		if (error.line > 0)
			bench_complain("%s:%d: %s", path, error.line, error.text);
		else
			bench_complain("%s: %s", path, error.text);
		return NULL;
	}
	if (strcmp(text_of(results, "format"), "mirror-bench 1") == 0 &&
	    json_is_array(json_object_get(results, "records")))
		return results;
	bench_complain("%s: no results of mirror-bench: the field \"format\" is not \"mirror-bench 1\"", path);
	json_decref(results);
	return NULL;
}
