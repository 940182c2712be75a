/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Names of metrics and cases, taken apart; metrics.h says what they promise. */
#include "metrics.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

enum metric_kind metric_kind(const char *metric)
{
	if (ends_in(metric, "_per_s"))
		return METRIC_PER_S;
	if (ends_in(metric, "_ns") || strncmp(metric, "ns_per_", 7) == 0 || strstr(metric, "_ns_per_"))
		return METRIC_NS;
	if (ends_in(metric, "_bytes") || strncmp(metric, "bytes_", 6) == 0)
		return METRIC_BYTES;
	return METRIC_NUMBER;
}

int metric_better(const char *metric, const char *const *less_is_better)
{
	if (strstr(metric, "max_ns"))
		return 0;
	switch (metric_kind(metric)) {
	case METRIC_PER_S:
		return 1;
	case METRIC_NS:
	case METRIC_BYTES:
		return -1;
	default:
		for (; less_is_better && *less_is_better; less_is_better++)
			if (strcmp(*less_is_better, metric) == 0)
				return -1;
		return 0;
	}
}

const char *metric_words(const char *metric, char *text, size_t size)
{
	size_t length = strlen(metric), used = 0;

	if (ends_in(metric, "_per_s"))
		length -= strlen("_per_s");
	else if (ends_in(metric, "_ns"))
		length -= strlen("_ns");
	else if (ends_in(metric, "_bytes"))
		length -= strlen("_bytes");
	for (size_t i = 0; i < length && used + 1 < size; i++) {
		bool point = metric[i] == '_' && i > 0 && i + 1 < length && isdigit((unsigned char)metric[i - 1]) &&
			     isdigit((unsigned char)metric[i + 1]);

		text[used++] = point ? '.' : metric[i] == '_' ? ' ' : metric[i];
	}
	if (size > 0)
		text[used] = '\0';
	return text;
}

/* "mirrors=1" is "1 mirror", "scene=list" is "list". */
static size_t pair_words(const char *pair, size_t length, char *text, size_t size)
{
	const char *equals = memchr(pair, '=', length);
	const char *value = equals ? equals + 1 : pair;
	int key_length = equals ? (int)(equals - pair) : 0, value_length = (int)(pair + length - value);

	if (!equals || !isdigit((unsigned char)*value))
		return (size_t)snprintf(text, size, "%.*s", value_length, value);
	if (key_length > 3 && memcmp(pair + key_length - 3, "_ns", 3) == 0)
		return (size_t)snprintf(text, size, "%.*s of %.*s ns", key_length - 3, pair, value_length, value);
	if (value_length == 1 && *value == '1' && pair[key_length - 1] == 's')
		key_length--;
	return (size_t)snprintf(text, size, "%.*s %.*s", value_length, value, key_length, pair);
}

const char *case_words(const char *case_name, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	if (strcmp(case_name, "-") == 0)
		return text;
	for (const char *pair = case_name; *pair && used < size;) {
		size_t length = strcspn(pair, ",");

		used += (size_t)snprintf(text + used, size - used, "%s", used ? ", " : "");
		if (used < size)
			used += pair_words(pair, length, text + used, size - used);
		pair += length + (pair[length] == ',');
	}
	return text;
}

size_t summary_metrics(const json_t *results, const char *question, const char *case_name, const char **names)
{
	const json_t *record, *value;
	size_t i, n = 0, k;
	const char *name;

	json_array_foreach(json_object_get(results, "records"), i, record) {
		const char *asked = json_string_value(json_object_get(record, "question"));
		const char *of_case = json_string_value(json_object_get(record, "case"));

		if (!asked || strcmp(asked, question) != 0 ||
		    (case_name && (!of_case || strcmp(of_case, case_name) != 0)))
			continue;
		json_object_foreach(json_object_get(record, "metrics"), name, value) {
			for (k = 0; k < n && strcmp(names[k], name) != 0; k++)
				;
			if (k == n && n < METRICS_MAX && json_is_number(value))
				names[n++] = name;
		}
	}
	return n;
}
