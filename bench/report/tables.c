/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The tables of each question. */
#include <stdlib.h>
#include <string.h>

#include "../measure/bench.h"
#include "projection.h"
#include "metrics.h"
#include "report.h"
#include "standing.h"
#include "summary.h"

const char *format_ns(double ns, char *text, size_t size)
{
	static const struct { double unit; const char *name; } units[] = {
		{ 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" },
	};
	size_t i = 0;
	double value;

	/* What would be shown as 1000 of a unit belongs to the next. */
	while (i < 3 && ns < units[i].unit * 0.9995)
		i++;
	value = ns / units[i].unit;
	snprintf(text, size, "%.*f %s", value >= 99.95 || i == 3 ? 0 : value >= 9.995 ? 1 : 2, value, units[i].name);
	return text;
}

/* Three digits of millions. */
static void rate_text(double per_second, char *text, size_t size)
{
	double m = per_second / 1e6;

	snprintf(text, size, "%.*f", m >= 99.95 ? 0 : m >= 9.995 ? 1 : m >= 0.9995 ? 2 : 3, m);
}

/* Half the interval, in per cent of the median. */
static int spread_percent(const struct estimate *e)
{
	return e->median > 0 ? (int)((e->high - e->low) / 2 / e->median * 100 + 0.5) : 0;
}

void cell_ns(struct table *t, const json_t *results, const char *question, const char *case_name,
	     const char *comparator, const char *metric)
{
	struct estimate e;
	char text[32];

	if (summary_value(results, question, case_name, comparator, metric, &e))
		table_cell(t, "%s", format_ns(e.median, text, sizeof(text)));
	else
		table_cell(t, "-");
}

void cell_rate(struct table *t, const json_t *results, const char *question, const char *case_name,
	       const char *comparator, const char *metric)
{
	struct estimate e;
	char text[32];

	if (!summary_value(results, question, case_name, comparator, metric, &e)) {
		table_cell(t, "-");
		return;
	}
	rate_text(e.median, text, sizeof(text));
	if (e.n > 1)
		table_cell(t, "%s \302\261%d%%", text, spread_percent(&e));
	else
		table_cell(t, "%s", text);
}

void cell_ratio(struct table *t, const json_t *results, const char *question, const char *case_name,
		const char *comparator, const char *base, const char *metric)
{
	struct estimate e;

	if (summary_ratio(results, question, case_name, comparator, base, metric, &e))
		table_cell(t, "%.2f", e.median);
	else
		table_cell(t, "-");
}

void cell_text(struct table *t, const json_t *results, const char *question, const char *case_name,
	       const char *comparator, const char *metric)
{
	const char *text = summary_text(results, question, case_name, comparator, metric);

	table_cell(t, "%s", text ? text : "-");
}

/* A sync that hangs once in many times is one that hangs. */
static void cell_verdict(struct table *t, const json_t *results, const char *question, const char *case_name,
			 const char *comparator, const char *metric)
{
	size_t all = summary_count(results, question, case_name, comparator, metric, NULL);
	size_t hang = summary_count(results, question, case_name, comparator, metric, "deadlocks");

	if (all == 0)
		table_cell(t, "-");
	else if (hang > 0 && hang < all)
		table_cell(t, "deadlocks (%zu of %zu)", hang, all);
	else
		table_cell(t, "%s", hang ? "deadlocks" : "passes");
}

/* One table for each number of publishers. */
static size_t throughput_tables(const json_t *results, struct table **tables)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, "throughput", cases), n = 0;
	size_t nr_names = summary_comparators(results, "throughput", names);
	int cpus = (int)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus"));
	int publishers, last = 0;

	for (size_t first = 0; first < nr_cases && n < REPORT_MAX_TABLES; first++) {
		publishers = summary_parameter(results, "throughput", cases[first], "publishers");
		if (publishers == last)
			continue;
		last = publishers;
		tables[n] = table_create("%d publisher%s%s; millions a second, and how many times none and rwsem",
					 publishers, publishers == 1 ? "" : "s",
					 publishers > cpus ? " (more than CPUs: they share them)" : "");
		table_column(tables[n], "comparator");
		for (size_t i = first; i < nr_cases; i++) {
			int mirrors = summary_parameter(results, "throughput", cases[i], "mirrors");

			if (summary_parameter(results, "throughput", cases[i], "publishers") != publishers)
				continue;
			table_column(tables[n], "%d mirror%s\nM/s", mirrors, mirrors == 1 ? "" : "s");
			table_column(tables[n], "\n/none");
			table_column(tables[n], "\n/rwsem");
		}
		for (size_t k = 0; k < nr_names; k++) {
			table_row(tables[n], names[k]);
			for (size_t i = first; i < nr_cases; i++) {
				if (summary_parameter(results, "throughput", cases[i], "publishers") != publishers)
					continue;
				cell_rate(tables[n], results, "throughput", cases[i], names[k], "invalidations_per_s");
				cell_ratio(tables[n], results, "throughput", cases[i], names[k], "none",
					   "invalidations_per_s");
				cell_ratio(tables[n], results, "throughput", cases[i], names[k], "rwsem",
					   "invalidations_per_s");
			}
		}
		n++;
	}
	if (n < REPORT_MAX_TABLES && (tables[n] = projection_table(results)))
		n++;
	return n;
}

/* One table for each number of mirrors; columns by how long a callback takes. */
static size_t callbacks_tables(const json_t *results, struct table **tables)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS], *question = "callbacks";
	size_t nr_cases = summary_cases(results, question, cases), n = 0;
	size_t nr_names = summary_comparators(results, question, names);
	int mirrors, last = 0;
	char ns[32];

	for (size_t first = 0; first < nr_cases && n < REPORT_MAX_TABLES; first++) {
		mirrors = summary_parameter(results, question, cases[first], "mirrors");
		if (mirrors == last)
			continue;
		last = mirrors;
		tables[n] = table_create("%d publishers, %d mirror%s; millions a second, and how many times rwsem",
					 summary_parameter(results, question, cases[first], "publishers"), mirrors,
					 mirrors == 1 ? "" : "s");
		table_column(tables[n], "comparator");
		for (size_t i = first; i < nr_cases; i++) {
			int length = summary_parameter(results, question, cases[i], "callback_ns");

			if (summary_parameter(results, question, cases[i], "mirrors") != mirrors)
				continue;
			table_column(tables[n], "%s\nM/s", length > 0 ? format_ns(length, ns, sizeof(ns)) : "empty");
			table_column(tables[n], "\n/rwsem");
		}
		for (size_t k = 0; k < nr_names; k++) {
			table_row(tables[n], names[k]);
			for (size_t i = first; i < nr_cases; i++) {
				if (summary_parameter(results, question, cases[i], "mirrors") != mirrors)
					continue;
				cell_rate(tables[n], results, question, cases[i], names[k], "invalidations_per_s");
				cell_ratio(tables[n], results, question, cases[i], names[k], "rwsem", "invalidations_per_s");
			}
		}
		n++;
	}
	return n;
}

struct column {
	const char *heading;
	const char *metric;
	void (*cell)(struct table *t, const json_t *results, const char *question, const char *case_name,
		     const char *comparator, const char *metric);
};

static void fill(struct table *t, const json_t *results, const char *question, const char *case_name,
		 const struct column *columns, size_t nr_columns)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, question, names);

	table_column(t, "comparator");
	for (size_t c = 0; c < nr_columns; c++)
		table_column(t, "%s", columns[c].heading);
	for (size_t k = 0; k < nr_names; k++) {
		table_row(t, names[k]);
		for (size_t c = 0; c < nr_columns; c++)
			columns[c].cell(t, results, question, case_name, names[k], columns[c].metric);
	}
}

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static size_t trap_tables(const json_t *results, struct table **tables)
{
	static const struct column columns[] = {
		{ "since due\np50", "latency_p50_ns", cell_ns },
		{ "\np99", "latency_p99_ns", cell_ns },
		{ "\np99.9", "latency_p99_9_ns", cell_ns },
		{ "\nmax", "latency_max_ns", cell_ns },
		{ "typical\nworst", "worst_of_typical_round_ns", cell_ns },
		{ "since start\np99.9", "service_p99_9_ns", cell_ns },
		{ "unregister\np50", "unregister_p50_ns", cell_ns },
		{ "it was seen\nto wait", "sign", cell_text },
	};
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "trap", cases);

	for (size_t i = 0; i < nr_cases && i < REPORT_MAX_TABLES; i++) {
		tables[i] = table_create("A publisher's latency while a callback takes 10 ms and an unregister waits");
		fill(tables[i], results, "trap", cases[i], columns, NR(columns));
	}
	return nr_cases;
}

static size_t unregister_tables(const json_t *results, struct table **tables)
{
	static const struct column idle[] = {
		{ "p50", "unregister_p50_ns", cell_ns },
		{ "p99", "unregister_p99_ns", cell_ns },
		{ "p99.9", "unregister_p99_9_ns", cell_ns },
		{ "max", "unregister_max_ns", cell_ns },
		{ "publishers'\nM/s", "invalidations_per_s", cell_rate },
	};
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "unregister", cases);

	for (size_t i = 0; i < nr_cases && i < REPORT_MAX_TABLES; i++) {
		int publishers = summary_parameter(results, "unregister", cases[i], "publishers");

		if (publishers == 0)
			tables[i] = table_create("Idle: nobody publishes");
		else
			tables[i] = table_create("Busy: %d publisher%s", publishers, publishers == 1 ? "" : "s");
		/* The last column is about publishers. */
		fill(tables[i], results, "unregister", cases[i], idle, NR(idle) - (publishers == 0));
	}
	return nr_cases;
}

/* The program's name in "trace=gcc,...". */
static int trace_name(const char *case_name, const char **name)
{
	*name = strchr(case_name, '=');
	*name = *name ? *name + 1 : case_name;
	return (int)strcspn(*name, ",");
}

static size_t replay_tables(const json_t *results, struct table **tables)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS], *name;
	size_t nr_cases = summary_cases(results, "replay", cases);
	size_t nr_names = summary_comparators(results, "replay", names), n;
	int length;

	for (n = 0; n < nr_cases && n < REPORT_MAX_TABLES; n++) {
		length = trace_name(cases[n], &name);
		tables[n] = table_create("%.*s: operations, how many times rwsem, and the mean time in the list", length, name);
		table_column(tables[n], "comparator");
		table_column(tables[n], "operations\nM/s");
		table_column(tables[n], "\n/rwsem");
		table_column(tables[n], "an\noperation");
		table_column(tables[n], "an in-\nvalidation");
		table_column(tables[n], "an un-\nregister");
		for (size_t k = 0; k < nr_names; k++) {
			table_row(tables[n], names[k]);
			cell_rate(tables[n], results, "replay", cases[n], names[k], "operations_per_s");
			cell_ratio(tables[n], results, "replay", cases[n], names[k], "rwsem", "operations_per_s");
			cell_ns(tables[n], results, "replay", cases[n], names[k], "in_list_ns_per_operation");
			cell_ns(tables[n], results, "replay", cases[n], names[k], "invalidate_mean_ns");
			cell_ns(tables[n], results, "replay", cases[n], names[k], "unregister_mean_ns");
		}
	}
	return n;
}

static size_t deadlock_tables(const json_t *results, struct table **tables)
{
	static const struct column columns[] = {
		{ "verdict", "verdict", cell_verdict },
		{ "C's invalidation\ntook", "publisher_waited_ns", cell_ns },
		{ "B's unregister\nfirst got", "unregister_first", cell_text },
		{ "and took\nin all", "unregister_took_ns", cell_ns },
		{ "B was seen\nto wait", "sign", cell_text },
	};
	const char *cases[SUMMARY_MAX_CASES];

	if (summary_cases(results, "deadlock", cases) == 0)
		return 0;
	tables[0] = table_create("%s", "");
	fill(tables[0], results, "deadlock", cases[0], columns, NR(columns));
	return 1;
}

size_t report_tables(const json_t *results, const char *question, struct table **tables)
{
	static const struct {
		const char *question;
		size_t (*make)(const json_t *results, struct table **tables);
	} makers[] = {
		{ "throughput", throughput_tables },
		{ "callbacks", callbacks_tables },
		{ "trap", trap_tables },
		{ "unregister", unregister_tables },
		{ "replay", replay_tables },
		{ "deadlock", deadlock_tables },
	};

	for (size_t i = 0; i < NR(makers); i++)
		if (strcmp(makers[i].question, question) == 0)
			return makers[i].make(results, tables);
	return report_measure_tables(results, question, tables);
}

const char *report_headline_case(const json_t *results)
{
	static const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "throughput", cases);
	int cpus = (int)json_integer_value(json_object_get(json_object_get(results, "machine"), "cpus"));
	const char *best = NULL;
	int most = 0;

	for (size_t i = 0; i < nr_cases; i++) {
		int publishers = summary_parameter(results, "throughput", cases[i], "publishers");
		int mirrors = summary_parameter(results, "throughput", cases[i], "mirrors");

		if (publishers > cpus || (best && mirrors != 16) || (best && publishers <= most && most > 0))
			continue;
		best = cases[i];
		most = mirrors == 16 ? publishers : 0;
	}
	return best;
}

struct table *report_headline_table(const json_t *results)
{
	struct table *t = table_create("%s", "");
	const char *throughput = report_headline_case(results);
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS], *busy = NULL;
	size_t nr_names = summary_comparators(results, NULL, names);
	size_t nr_cases = summary_cases(results, "unregister", cases);

	if (nr_cases > 0)
		busy = cases[nr_cases - 1];
	table_column(t, "comparator");
	table_column(t, "invalidations/s\nM");
	table_column(t, "times\nnone");
	table_column(t, "times\nrwsem");
	table_column(t, "in the trap\np99.9");
	table_column(t, "unregister\np50, busy");
	table_column(t, "p99 behind a\n10 ms callback");
	table_column(t, "three-thread\ndeadlock");
	for (size_t k = 0; k < nr_names; k++) {
		if (nr_names > REPORT_FEW && !comparator_is_headline(names[k]))
			continue;
		table_row(t, names[k]);
		cell_rate(t, results, "throughput", throughput, names[k], "invalidations_per_s");
		cell_ratio(t, results, "throughput", throughput, names[k], "none", "invalidations_per_s");
		cell_ratio(t, results, "throughput", throughput, names[k], "rwsem", "invalidations_per_s");
		cell_ns(t, results, "trap", NULL, names[k], "latency_p99_9_ns");
		cell_ns(t, results, "unregister", busy, names[k], "unregister_p50_ns");
		cell_ns(t, results, "behind", NULL, names[k], "unregister_p99_ns");
		cell_verdict(t, results, "deadlock", NULL, names[k], "verdict");
	}
	return t;
}

void report_text(const json_t *results, FILE *out)
{
	struct table *tables[REPORT_MAX_TABLES];
	struct bar_text bars[REPORT_MAX_BARS];
	struct standing_text standing[STANDING_MAX];
	const json_t *question;
	char sentence[512];
	size_t i, n;

	fputc('\n', out);
	json_array_foreach(json_object_get(results, "questions"), i, question) {
		n = report_tables(results, json_string_value(json_object_get(question, "name")), tables);
		if (n > 0)
			fprintf(out, "%s\n\n", json_string_value(json_object_get(question, "title")));
		for (size_t k = 0; k < n; k++) {
			table_text(tables[k], out);
			free(tables[k]);
		}
		n = report_bars(results, json_string_value(json_object_get(question, "name")), bars);
		for (size_t k = 0; k < n; k++)
			fprintf(out, "%s\n%s", bars[k].text, k + 1 == n ? "\n" : "");
		n = report_standing(results, json_string_value(json_object_get(question, "name")), standing, STANDING_MAX);
		for (size_t k = 0; k < n; k++)
			fprintf(out, "%s\n%s", standing[k].text, k + 1 == n ? "\n" : "");
	}
	if (report_noise(results, sentence, sizeof(sentence)))
		fprintf(out, "%s\n", sentence);
	for (int k = 0; k < 3; k++)
		if (report_sentence(results, k, sentence, sizeof(sentence)))
			fprintf(out, "%s\n", sentence);
	fprintf(out, "Medians of %d repeats; \302\261 is half the 95%% bootstrap interval.%s\n",
		(int)json_integer_value(json_object_get(results, "repeats")),
		json_is_true(json_object_get(results, "partial")) ? " PARTIAL: the run ended early, with fewer repeats." : "");
}
