/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Tables from descriptors: a row for each comparator, and a table for each case, group of cases or all cases
 *
 * A question that has no descriptor, or one without tables, gets a table of all its numbers for each case.
 */
#include "tables.h"

#include <stdlib.h>
#include <string.h>

#include "../comparators/families.h"
#include "metrics.h"
#include "projection.h"
#include "summary.h"

static void cell(struct table *t, const struct report_column *column, const struct cell_place *of)
{
	switch (column->kind) {
	case COLUMN_NS:
		cell_ns(t, of, column->metric);
		break;
	case COLUMN_RATE:
		cell_rate(t, of, column->metric);
		break;
	case COLUMN_RATIO:
		cell_ratio(t, of, column->metric, column->base);
		break;
	case COLUMN_BYTES:
		cell_bytes(t, of, column->metric);
		break;
	case COLUMN_TEXT:
		cell_text(t, of, column->metric);
		break;
	case COLUMN_OWN:
		column->cell(t, of, column->metric);
		break;
	default:
		cell_number(t, of, column->metric);
	}
}

static bool has(const json_t *results, const char *question, const char *case_name, const char *comparator,
		const struct report_column *column)
{
	double values[SUMMARY_MAX_VALUES];

	if (column->kind == COLUMN_TEXT || column->kind == COLUMN_OWN)
		return summary_text(results, question, case_name, comparator, column->metric) != NULL;
	return summary_values(results, question, case_name, comparator, column->metric, values, NULL) > 0;
}

/** struct making - the table that is made: of which question, with which cases */
struct making {
	const json_t *results;
	const char *question;
	const struct report_table *layout;
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases;
};

/* A column that no comparator has is not shown: quick runs and missing libraries leave some out. */
static bool any_has(const struct making *making, const char *case_name, const struct report_column *column)
{
	if (column->kind == COLUMN_RATIO && !has(making->results, making->question, case_name, column->base, column))
		return false;
	return has(making->results, making->question, case_name, NULL, column);
}

/* Whether @comparator, NULL: any, has a value in any of the cases: some cases cannot be put to all. */
static bool has_any(const struct making *making, const char *comparator)
{
	for (size_t i = 0; i < making->nr_cases; i++)
		for (const struct report_column *c = making->layout->columns; c->kind; c++)
			if (has(making->results, making->question, making->cases[i], comparator, c))
				return true;
	return false;
}

static struct table *titled_table(const struct making *making)
{
	const struct report_table *layout = making->layout;
	char text[160] = "";

	if (layout->title_of) {
		layout->title_of(making->results, making->cases[0], text, sizeof(text));
		return table_create("%s", text);
	}
	if (layout->together || layout->group || strcmp(making->cases[0], "-") == 0)
		return table_create("%s", layout->title);
	return table_create("%s: %s", layout->title, case_words(making->cases[0], text, sizeof(text)));
}

static void add_columns(struct table *t, const struct making *making, const char *case_name)
{
	const struct report_table *layout = making->layout;
	bool several = layout->together || layout->group;
	char words[96];

	for (const struct report_column *c = layout->columns; c->kind; c++) {
		if (!any_has(making, case_name, c))
			continue;
		words[0] = '\0';
		if (several && !layout->heading_of)
			case_words(case_name, words, sizeof(words));
		else if (several && c == layout->columns)
			layout->heading_of(making->results, case_name, words, sizeof(words));
		table_column(t, "%s%s%s", words, several ? "\n" : "", c->heading);
	}
}

static struct table *make(const struct making *making)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(making->results, making->question, names);
	struct cell_place of = { .results = making->results, .question = making->question };
	struct table *t = titled_table(making);

	table_column(t, "comparator");
	for (size_t i = 0; i < making->nr_cases; i++)
		add_columns(t, making, making->cases[i]);
	for (size_t k = 0; k < nr_names; k++) {
		if (!has_any(making, names[k]))
			continue;
		table_row(t, comparator_label(names[k]));
		of.comparator = names[k];
		for (size_t i = 0; i < making->nr_cases; i++) {
			of.case_name = making->cases[i];
			for (const struct report_column *c = making->layout->columns; c->kind; c++)
				if (any_has(making, of.case_name, c))
					cell(t, c, &of);
		}
	}
	return t;
}

static bool share_a_table(const struct making *making, const char *a, const char *b)
{
	const char *group = making->layout->group;

	return making->layout->together || strcmp(a, b) == 0 ||
	       (group && summary_parameter(making->results, making->question, a, group) ==
				 summary_parameter(making->results, making->question, b, group));
}

/* Cases are in the table of the first case with which they share one. */
static size_t make_all(struct making *making, const char *const *cases, size_t nr_cases, struct table **tables,
		       size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < nr_cases && n < room; i++) {
		size_t first = 0;

		while (!share_a_table(making, cases[first], cases[i]))
			first++;
		if (first < i)
			continue;
		making->nr_cases = 0;
		for (size_t k = i; k < nr_cases; k++)
			if (share_a_table(making, cases[i], cases[k]))
				making->cases[making->nr_cases++] = cases[k];
		if (has_any(making, NULL))
			tables[n++] = make(making);
	}
	return n;
}

/* A question without a layout: a table for each case, with all its numbers. */
static struct table *make_any(const json_t *results, const char *question, const char *case_name)
{
	const char *names[SUMMARY_MAX_COMPARATORS], *metrics[METRICS_MAX];
	size_t nr_names = summary_comparators(results, question, names);
	size_t nr_metrics = summary_metrics(results, question, case_name, metrics);
	static const enum column_kind kinds[] = {
		[METRIC_NS] = COLUMN_NS, [METRIC_PER_S] = COLUMN_RATE, [METRIC_BYTES] = COLUMN_BYTES,
		[METRIC_NUMBER] = COLUMN_NUMBER,
	};
	struct table *t;
	char words[96];

	t = table_create("%s", case_words(case_name, words, sizeof(words)));
	table_column(t, "comparator");
	for (size_t i = 0; i < nr_metrics; i++) {
		char *last = strrchr(metric_words(metrics[i], words, sizeof(words)), ' ') ? strrchr(words, ' ') : NULL;

		/* Two lines keep a column narrow. */
		if (metric_kind(metrics[i]) != METRIC_PER_S && last)
			*last = '\n';
		table_column(t, "%s%s", words, metric_kind(metrics[i]) == METRIC_PER_S ? "\nM/s" : "");
	}
	for (size_t k = 0; k < nr_names; k++) {
		table_row(t, comparator_label(names[k]));
		for (size_t i = 0; i < nr_metrics; i++)
			cell(t, &(struct report_column){ .kind = kinds[metric_kind(metrics[i])], .metric = metrics[i] },
			     &(struct cell_place){ results, question, case_name, names[k] });
	}
	return t;
}

size_t report_tables(const struct report *report, const char *question, struct table **tables)
{
	const struct report_question *q = report_question_of(report, question);
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(report->results, question, cases), n = 0;
	struct making making = { .results = report->results, .question = question };

	for (size_t k = 0; !(q && q->tables) && k < nr_cases && n < REPORT_MAX_TABLES; k++)
		tables[n++] = make_any(report->results, question, cases[k]);
	for (making.layout = q ? q->tables : NULL; making.layout && making.layout->columns[0].kind; making.layout++)
		n += make_all(&making, cases, nr_cases, &tables[n], REPORT_MAX_TABLES - n);
	if (q && q->projected && n < REPORT_MAX_TABLES &&
	    (tables[n] = projection_table(report->results, question, q->projected, report_headline_case(report, q))))
		n++;
	return n;
}

/* A run without any of the headline's comparators has other things to show. */
size_t report_headline_rows(const json_t *results, const char *question, const char **names)
{
	const char *all[SUMMARY_MAX_COMPARATORS];
	size_t nr = summary_comparators(results, question, all), n = 0;

	for (size_t i = 0; comparator_headline(i); i++)
		for (size_t k = 0; k < nr; k++)
			if (strcmp(all[k], comparator_headline(i)) == 0)
				names[n++] = all[k];
	if (n > 0)
		return n;
	memcpy(names, all, nr * sizeof(all[0]));
	return nr;
}

struct table *report_headline_table(const struct report *report)
{
	struct table *t = table_create("%s", "");
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = report_headline_rows(report->results, NULL, names);

	table_column(t, "comparator");
	for (size_t i = 0; report->headlines[i]; i++)
		for (const struct report_column *c = report->headlines[i]->headline->columns; c->kind; c++)
			table_column(t, "%s", c->heading);
	for (size_t k = 0; k < nr_names; k++) {
		table_row(t, comparator_words(names[k]));
		for (size_t i = 0; report->headlines[i]; i++) {
			const struct report_question *q = report->headlines[i];
			struct cell_place of = { report->results, q->name, NULL, names[k] };

			for (const struct report_column *c = q->headline->columns; c->kind; c++) {
				of.case_name = c->case_name ? c->case_name : report_headline_case(report, q);
				cell(t, c, &of);
			}
		}
	}
	return t;
}
