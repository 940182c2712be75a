/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The records of one case over one comparator, found without looking through all of them
 *
 * A full run has tens of thousands of records and a report asks for tens of thousands of numbers.  The index is made
 * at the first question about some results, for as many of them as diff compares.
 */
#include <stdio.h>
#include <string.h>

#include "summary.h"

/* The records that the index was made of, their number, and the index: from key to an array of records. */
static struct {
	json_t *records;
	size_t nr;
	json_t *by_key;
} indexed[2];

static void key_of(const char *question, const char *case_name, const char *comparator, char *key, size_t size)
{
	/* No name holds a line's end. */
	snprintf(key, size, "%s\n%s\n%s", question, case_name, comparator);
}

static const char *text_of(const json_t *record, const char *name)
{
	const char *text = json_string_value(json_object_get(record, name));

	return text ? text : "";
}

static json_t *make_index(json_t *records)
{
	json_t *by_key = json_object(), *record, *same;
	char key[512];
	size_t i;

	json_array_foreach(records, i, record) {
		key_of(text_of(record, "question"), text_of(record, "case"), text_of(record, "comparator"), key, sizeof(key));
		same = json_object_get(by_key, key);
		if (!same) {
			same = json_array();
			json_object_set_new(by_key, key, same);
		}
		json_array_append(same, record);
	}
	return by_key;
}

static json_t *index_of(const json_t *results)
{
	static unsigned next;
	json_t *records = json_object_get(results, "records");
	size_t i;

	for (i = 0; i < 2; i++)
		if (indexed[i].records == records && indexed[i].nr == json_array_size(records))
			return indexed[i].by_key;
	i = next++ % 2;
	json_decref(indexed[i].by_key);
	json_decref(indexed[i].records);
	indexed[i].records = json_incref(records); /* so that no other records come to stand there */
	indexed[i].nr = json_array_size(records);
	indexed[i].by_key = make_index(records);
	return indexed[i].by_key;
}

const json_t *summary_records(const json_t *results, const char *question, const char *case_name,
			      const char *comparator)
{
	char key[512];

	key_of(question, case_name, comparator, key, sizeof(key));
	return json_object_get(index_of(results), key);
}

static bool is_exact(const json_t *results, const json_t *record)
{
	const json_t *question;
	size_t i;

	json_array_foreach(json_object_get(results, "questions"), i, question)
		if (strcmp(text_of(question, "name"), text_of(record, "question")) == 0)
			return json_is_true(json_object_get(question, "exact"));
	return false;
}

void summary_repeats(const json_t *results, size_t *least, size_t *most)
{
	const char *key;
	json_t *same;

	*least = *most = 0;
	json_object_foreach(index_of(results), key, same) {
		const json_t *record;
		size_t n = 0, i;

		/* What could not be measured has a record too, with the reason. */
		json_array_foreach(same, i, record)
			n += !json_object_get(record, "error");
		if (n == 0 || is_exact(results, json_array_get(same, 0)))
			continue;
		*least = *least == 0 || n < *least ? n : *least;
		*most = n > *most ? n : *most;
	}
}
