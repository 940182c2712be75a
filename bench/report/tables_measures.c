/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The tables of the questions whose cases and metrics say all: a row for each comparator, and either one
 * table for all cases, with the columns of each, or a table for each case.  A question that is not in the
 * list gets a table of all its numbers for each case.
 */
#include <string.h>

#include "../measure/bench.h"
#include "metrics.h"
#include "report.h"
#include "summary.h"

enum kind { END, NS, RATE, RATIO, NUMBER, BYTES };

struct column {
	enum kind kind;
	const char *heading;
	const char *metric;
	const char *base;               /* of RATIO: a comparator */
};

enum { MAX_COLUMNS = 14 };

#define COUNTS { \
	{ NUMBER, "shared\nwrites", "shared_writes", NULL }, \
	{ NUMBER, "contended\nlines", "contended_lines", NULL }, \
	{ NUMBER, "read-modify-\nwrites", "rmws", NULL }, \
	{ NUMBER, "fences", "fences", NULL }, \
	{ NUMBER, "membarrier", "membarriers", NULL }, \
	{ NUMBER, "futex", "futexes", NULL }, \
	{ NUMBER, "other\ncalls", "other_calls", NULL }, \
	{ NUMBER, "instructions", "instructions", NULL }, \
}

static const struct layout {
	const char *question, *title;
	bool together;                  /* one table for all cases */
	struct column columns[MAX_COLUMNS];
} layouts[] = {
	{ "noise", "srcu twice", true, {
		{ RATE, "M/s", "invalidations_per_s", NULL },
		{ RATIO, "/srcu-a", "invalidations_per_s", "srcu-a" },
	} },
	{ "section", "A section, and how many times liburcu-memb's", true, {
		{ NUMBER, "ns", "ns_per_pair", NULL },
		{ RATIO, "/urcu-memb", "ns_per_pair", "urcu-memb" },
	} },
	{ "grace-period", "Synchronize, and how many times liburcu-memb's", false, {
		{ NS, "p50", "synchronize_p50_ns", NULL },
		{ NS, "p99", "synchronize_p99_ns", NULL },
		{ NS, "p99.9", "synchronize_p99_9_ns", NULL },
		{ RATIO, "p50\n/urcu-memb", "synchronize_p50_ns", "urcu-memb" },
		{ RATIO, "p99\n/urcu-memb", "synchronize_p99_ns", "urcu-memb" },
	} },
	{ "call", "Deferred calls", false, {
		{ RATE, "calls\nM/s", "calls_per_s", NULL },
		{ RATE, "freed\nM/s", "freed_per_s", NULL },
		{ RATIO, "freed\n/urcu-memb", "freed_per_s", "urcu-memb" },
		{ NUMBER, "objects\nheld", "most_held_objects", NULL },
		{ BYTES, "held", "most_held_bytes", NULL },
	} },
	{ "behind", "An unregister while another mirror's callback sleeps 10 ms", false, {
		{ NS, "p50", "unregister_p50_ns", NULL },
		{ NS, "p99", "unregister_p99_ns", NULL },
		{ NS, "p99.9", "unregister_p99_9_ns", NULL },
		{ NUMBER, "unregisters", "unregisters", NULL },
	} },
	{ "bulk", "Many at once", false, {
		{ NS, "10\nsingly", "ten_singly_ns", NULL },
		{ NS, "1000\ntogether", "thousand_together_ns", NULL },
		{ NUMBER, "1000 together\nin singles", "together_in_singles", NULL },
		{ RATE, "async\nM/s", "async_per_s", NULL },
		{ NS, "a register", "register_ns", NULL },
	} },
	{ "storm", "A publisher's brackets", false, {
		{ NS, "quiet\np50", "quiet_p50_ns", NULL },
		{ NS, "quiet\np99.9", "quiet_p99_9_ns", NULL },
		{ NS, "storm\np50", "storm_p50_ns", NULL },
		{ NS, "storm\np99.9", "storm_p99_9_ns", NULL },
		{ NUMBER, "p99.9\nstorm/quiet", "storm_to_quiet_p99_9", NULL },
		{ RATE, "changes\nM/s", "changes_per_s", NULL },
	} },
	{ "oversubscription", "Eight publishers a CPU", false, {
		{ RATE, "M/s", "invalidations_per_s", NULL },
		{ RATIO, "/rwsem", "invalidations_per_s", "rwsem" },
		{ NS, "bracket\np50", "bracket_p50_ns", NULL },
		{ NS, "\np99.9", "bracket_p99_9_ns", NULL },
		{ NS, "\nmax", "bracket_max_ns", NULL },
		{ NS, "unregister\np50", "unregister_p50_ns", NULL },
		{ NS, "\np99", "unregister_p99_ns", NULL },
		{ NUMBER, "unregisters", "unregisters", NULL },
	} },
	{ "outside", "Systems of today", false, {
		{ NS, "a publication", "publish_ns", NULL },
		{ RATIO, "/srcu", "publish_ns", "srcu" },
		{ NS, "taking out\np50", "leave_p50_ns", NULL },
		{ NS, "taking out\np99", "leave_p99_ns", NULL },
		{ NS, "miss", "publish_miss_ns", NULL },
		{ NS, "look up\nand enter", "get_ns", NULL },
		{ NS, "hit", "publish_hit_ns", NULL },
		{ NS, "both", "cycle_ns", NULL },
		{ NUMBER, "dropped\non return", "dropped_on_return", NULL },
	} },
	{ "ranges", "An invalidation among many ranges", false, {
		{ NS, "1 hit", "hit_1_ns", NULL },
		{ RATIO, "/tree", "hit_1_ns", "tree-spinlock" },
		{ NS, "100 hits", "hit_100_ns", NULL },
		{ RATIO, "/tree", "hit_100_ns", "tree-spinlock" },
		{ NS, "filling\neach", "fill_ns", NULL },
		{ NS, "register", "register_ns", NULL },
		{ NS, "unregister\nsingly", "unregister_ns", NULL },
		{ NS, "unregister\ntogether", "unregister_many_ns", NULL },
	} },
	{ "memory", "Bytes beyond the caller's own", false, {
		{ NUMBER, "a domain", "bytes_per_domain", NULL },
		{ NUMBER, "a thread", "bytes_per_thread", NULL },
		{ NUMBER, "a thread in\na domain more", "bytes_per_thread_and_domain", NULL },
		{ NUMBER, "an empty\nlist", "bytes_of_empty_list", NULL },
		{ NUMBER, "a mirror", "bytes_per_mirror", NULL },
		{ NUMBER, "a range mirror,\nby address", "bytes_per_range_mirror_in_order", NULL },
		{ NUMBER, "a range mirror,\nin random order", "bytes_per_range_mirror", NULL },
		{ NUMBER, "(struct mirror\nitself)", "bytes_of_struct_mirror", NULL },
	} },
	{ "memory", "Retired and not yet freed, at most", false, {
		{ BYTES, "nobody\nwalks", "peak_retired_bytes", NULL },
		{ BYTES, "behind a\ncallback", "peak_retired_behind_callback_bytes", NULL },
		{ BYTES, "ranges,\nnobody walks", "peak_retired_bytes_ranges", NULL },
		{ BYTES, "ranges, behind\na callback", "peak_retired_behind_callback_bytes_ranges", NULL },
	} },
	{ "counts", "In one operation, exactly", false, COUNTS },
	{ "primitive-counts", "In one operation, exactly", false, COUNTS },
};

static void cell_number(struct table *t, const json_t *results, const char *question, const char *case_name,
			const char *comparator, const char *metric, bool bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	struct estimate e;
	int unit = 0;
	bool whole;

	if (!summary_value(results, question, case_name, comparator, metric, &e)) {
		table_cell(t, "-");
		return;
	}
	for (; bytes && unit < 3 && e.median >= 1024; unit++)
		e.median /= 1024;
	whole = e.median >= 99.95 || e.median == (double)(long)e.median;
	table_cell(t, "%.*f%s%s", whole ? 0 : 1, e.median, bytes ? " " : "", bytes ? units[unit] : "");
}

static void cell(struct table *t, const struct column *column, const json_t *results, const char *question,
		 const char *case_name, const char *comparator)
{
	switch (column->kind) {
	case NS:
		cell_ns(t, results, question, case_name, comparator, column->metric);
		break;
	case RATE:
		cell_rate(t, results, question, case_name, comparator, column->metric);
		break;
	case RATIO:
		cell_ratio(t, results, question, case_name, comparator, column->base, column->metric);
		break;
	default:
		cell_number(t, results, question, case_name, comparator, column->metric, column->kind == BYTES);
	}
}

/* One that nobody has is not shown: quick runs and missing libraries leave some out. */
static bool any_has(const struct column *column, const json_t *results, const char *question, const char *case_name)
{
	struct estimate e;

	if (column->kind == RATIO && !summary_value(results, question, case_name, column->base, column->metric, &e))
		return false;
	return summary_value(results, question, case_name, NULL, column->metric, &e);
}

/* Whether @comparator has a value in any of the cases: some cases cannot be put to all. */
static bool has_any(const struct layout *layout, const json_t *results, const char *const *cases, size_t nr_cases,
		    const char *comparator)
{
	struct estimate e;

	for (size_t i = 0; i < nr_cases; i++)
		for (const struct column *c = layout->columns; c->kind; c++)
			if (summary_value(results, layout->question, cases[i], comparator, c->metric, &e))
				return true;
	return false;
}

static struct table *make(const struct layout *layout, const json_t *results, const char *const *cases, size_t nr_cases)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, layout->question, names);
	bool named = strcmp(cases[0], "-") != 0;
	char words[96];
	struct table *t;

	if (layout->together || !named)
		t = table_create("%s", layout->title);
	else
		t = table_create("%s: %s", layout->title, case_words(cases[0], words, sizeof(words)));
	table_column(t, "comparator");
	for (size_t i = 0; i < nr_cases; i++)
		for (const struct column *c = layout->columns; c->kind; c++)
			if (any_has(c, results, layout->question, cases[i]))
				table_column(t, "%s%s%s", layout->together ? case_words(cases[i], words, sizeof(words)) : "",
					     layout->together ? "\n" : "", c->heading);
	for (size_t k = 0; k < nr_names; k++) {
		if (!has_any(layout, results, cases, nr_cases, names[k]))
			continue;
		table_row(t, names[k]);
		for (size_t i = 0; i < nr_cases; i++)
			for (const struct column *c = layout->columns; c->kind; c++)
				if (any_has(c, results, layout->question, cases[i]))
					cell(t, c, results, layout->question, cases[i], names[k]);
	}
	return t;
}

/* A question without a layout: a table for each case, with all its numbers. */
static struct table *make_any(const json_t *results, const char *question, const char *case_name)
{
	const char *names[SUMMARY_MAX_COMPARATORS], *metrics[METRICS_MAX];
	size_t nr_names = summary_comparators(results, question, names);
	size_t nr_metrics = summary_metrics(results, question, case_name, metrics);
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
		table_row(t, names[k]);
		for (size_t i = 0; i < nr_metrics; i++) {
			enum metric_kind kind = metric_kind(metrics[i]);

			if (kind == METRIC_NS)
				cell_ns(t, results, question, case_name, names[k], metrics[i]);
			else if (kind == METRIC_PER_S)
				cell_rate(t, results, question, case_name, names[k], metrics[i]);
			else
				cell_number(t, results, question, case_name, names[k], metrics[i], kind == METRIC_BYTES);
		}
	}
	return t;
}

size_t report_measure_tables(const json_t *results, const char *question, struct table **tables)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, question, cases), n = 0;

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]) && nr_cases > 0; i++) {
		if (strcmp(layouts[i].question, question) != 0)
			continue;
		if (layouts[i].together)
			tables[n++] = make(&layouts[i], results, cases, nr_cases);
		for (size_t k = 0; !layouts[i].together && k < nr_cases && n < REPORT_MAX_TABLES; k++)
			tables[n++] = make(&layouts[i], results, &cases[k], 1);
		return n;
	}
	for (size_t k = 0; k < nr_cases && n < REPORT_MAX_TABLES; k++)
		tables[n++] = make_any(results, question, cases[k]);
	return n;
}
