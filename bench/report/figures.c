/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which panels make up the figure of each question
 *
 * A question that is not in the table gets panels all the same: its percentiles, or its first few metrics, of each of
 * its cases.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../measure/bench.h"
#include "metrics.h"
#include "panel.h"
#include "report.h"
#include "summary.h"
#include "svg.h"

/* More are no overview; the tables have all. */
enum { MAX_PANELS = 12, MAX_SVGS = MAX_PANELS + 2 };

static const struct figure {
	const char *question;
	const char *axis;               /* what the marks have in common */
	struct {
		const char *metric, *words;
	} marks[PANEL_MAX_MARKS];
	bool most_publishers;           /* of the cases only those with as many as the headline has */
	bool own_axes;                  /* the panels are not to be compared with each other */
	double line;
	const char *caption;
} figures[] = {
	{ .question = "throughput", .axis = "invalidations", .marks = { { "invalidations_per_s", "" } },
	  .most_publishers = true, .own_axes = true },
	{ .question = "noise", .axis = "invalidations", .marks = { { "invalidations_per_s", "" } }, .own_axes = true,
	  .caption = "Both are the same: what they differ in is noise." },
	{ .question = "callbacks", .axis = "invalidations", .marks = { { "invalidations_per_s", "" } }, .own_axes = true },
	{ .question = "trap", .axis = "since due",
	  .marks = { { "latency_p50_ns", "p50" }, { "latency_p99_9_ns", "p99.9" } },
	  .caption = "A sync under which publishers queue behind the waiting unregister shows the callback's 10 ms." },
	{ .question = "unregister", .axis = "an unregister",
	  .marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } } },
	{ .question = "replay", .axis = "mean of an operation in the list", .marks = { { "in_list_ns_per_operation", "" } } },
	{ .question = "deadlock", .axis = "C's invalidation", .marks = { { "publisher_waited_ns", "" } }, .line = 3e8,
	  .caption = "At the dashed line: nothing moved until B gave up after 300 ms." },
	{ .question = "behind", .axis = "an unregister",
	  .marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } }, .line = 1e5,
	  .caption = "Dashed: 100 us, the goal for the p99." },
	{ .question = "bulk", .axis = "unregistering", .marks = { { "ten_singly_ns", "10 singly" },
	  { "thousand_together_ns", "1000 together" } } },
	{ .question = "storm", .axis = "a bracket's p99.9",
	  .marks = { { "quiet_p99_9_ns", "quiet" }, { "storm_p99_9_ns", "in the storm" } } },
	{ .question = "oversubscription", .axis = "an unregister",
	  .marks = { { "unregister_p50_ns", "p50" }, { "unregister_p99_ns", "p99" } } },
	{ .question = "ranges", .axis = "an invalidation",
	  .marks = { { "hit_1_ns", "1 hit" }, { "hit_100_ns", "100 hits" } } },
	{ .question = "section", .axis = "a section", .marks = { { "ns_per_pair", "" } } },
	{ .question = "grace-period", .axis = "synchronize",
	  .marks = { { "synchronize_p50_ns", "p50" }, { "synchronize_p99_ns", "p99" } } },
	{ .question = "call", .axis = "objects freed", .marks = { { "freed_per_s", "" } } },
	{ .question = "counts", .axis = "counts", .own_axes = true,
	  .marks = { { "shared_writes", "shared" }, { "rmws", "RMW" }, { "fences", "fences" } },
	  .caption = "Shared: writes to lines that another thread touches too. RMW: read-modify-writes." },
	{ .question = "primitive-counts", .axis = "counts", .own_axes = true,
	  .marks = { { "shared_writes", "shared" }, { "rmws", "RMW" }, { "fences", "fences" } },
	  .caption = "Shared: writes to lines that another thread touches too. RMW: read-modify-writes." },
	{ .question = "memory", .axis = "a mirror beyond the caller's own",
	  .marks = { { "bytes_per_mirror", "plain" }, { "bytes_per_range_mirror", "range" } } },
};

/** struct drawing - the panels of one figure, and what its caption has to say */
struct drawing {
	struct panel panels[MAX_PANELS];
	size_t nr_panels, nr_more;
	char *svgs[MAX_SVGS];
	size_t nr_svgs;
	int better;                     /* as metric_better; 0 where it differs */
};

/* Only the few, where there are many. */
static size_t rows_of(const json_t *results, const char *question, bool headline, const char **names)
{
	size_t nr = summary_comparators(results, question, names), n = 0;

	if (!headline || nr <= REPORT_FEW)
		return nr;
	for (size_t i = 0; i < nr; i++)
		if (comparator_is_headline(names[i]))
			names[n++] = names[i];
	return n;
}

/* The rows of @panel that have the metric; @mark 0 makes them. */
static void fill_mark(struct panel *panel, int mark, const json_t *results, const char *question,
		      const char *case_name, const char *metric, const char *base, bool headline)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = rows_of(results, question, headline, names), row;
	struct estimate e;

	for (size_t k = 0; k < nr_names; k++) {
		bool known = base ? summary_ratio(results, question, case_name, names[k], base, metric, &e) :
				    summary_value(results, question, case_name, names[k], metric, &e);

		for (row = 0; row < panel->nr_rows && strcmp(panel->rows[row].name, names[k]) != 0; row++)
			;
		if (!known || row == PANEL_MAX_ROWS || (row == panel->nr_rows && mark > 0))
			continue;
		if (row == panel->nr_rows)
			panel->rows[panel->nr_rows++] = (struct panel_row){ .name = names[k] };
		panel->rows[row].known[mark] = true;
		panel->rows[row].marks[mark] = e;
	}
}

static struct panel *next_panel(struct drawing *drawing)
{
	if (drawing->nr_panels < MAX_PANELS)
		return &drawing->panels[drawing->nr_panels];
	drawing->nr_more++;
	return NULL;
}

/* "p50 (full), p99 (open)" */
static void name_marks(struct panel *panel, const struct figure *figure)
{
	static const char *const looks[PANEL_MAX_MARKS] = { "full", "open", "cross" };
	size_t used = (size_t)snprintf(panel->axis, sizeof(panel->axis), "%s", figure->axis);

	for (int m = 0; m < PANEL_MAX_MARKS && figure->marks[m].metric && figure->marks[m].words[0]; m++)
		used += (size_t)snprintf(panel->axis + used, sizeof(panel->axis) - used, "%s%s (%s)", m ? ", " : figure->axis[0] ? ": " : "",
					 figure->marks[m].words, looks[m]);
}

static bool has_most_publishers(const json_t *results, const char *question, const char *case_name)
{
	const char *headline = report_headline_case(results);

	return headline && summary_parameter(results, question, case_name, "publishers") ==
			       summary_parameter(results, "throughput", headline, "publishers");
}

static void known_question(const json_t *results, const struct figure *figure, struct drawing *drawing)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, figure->question, cases);
	struct panel *panel;

	for (size_t i = 0; i < nr_cases; i++) {
		if (figure->most_publishers && !has_most_publishers(results, figure->question, cases[i]))
			continue;
		panel = next_panel(drawing);
		if (!panel)
			continue;
		*panel = (struct panel){ .kind = metric_kind(figure->marks[0].metric), .line = figure->line };
		case_words(cases[i], panel->title, sizeof(panel->title));
		name_marks(panel, figure);
		for (int m = 0; m < PANEL_MAX_MARKS && figure->marks[m].metric; m++)
			fill_mark(panel, m, results, figure->question, cases[i], figure->marks[m].metric, NULL, false);
		drawing->nr_panels += panel->nr_rows > 0;
	}
	drawing->better = metric_better(figure->marks[0].metric);
}

/* The place of the first "X_p50_ns" that has a sibling "X_p99_ns"; -1: there is none. */
static int percentiles(const char *const *metrics, size_t n, char *upper, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		const char *p50 = strstr(metrics[i], "p50_ns");

		if (!p50)
			continue;
		snprintf(upper, size, "%.*sp99_ns", (int)(p50 - metrics[i]), metrics[i]);
		for (size_t k = 0; k < n; k++)
			if (strcmp(metrics[k], upper) == 0)
				return (int)i;
	}
	return -1;
}

static void any_question(const json_t *results, const char *question, struct drawing *drawing)
{
	enum { FIRST_FEW = 4 };
	const char *cases[SUMMARY_MAX_CASES], *metrics[METRICS_MAX];
	size_t nr_cases = summary_cases(results, question, cases);
	char upper[96], words[96];
	struct panel *panel;

	for (size_t i = 0; i < nr_cases; i++) {
		size_t nr_metrics = summary_metrics(results, question, cases[i], metrics);
		int p50 = percentiles(metrics, nr_metrics, upper, sizeof(upper));
		size_t first = p50 >= 0 ? (size_t)p50 : 0;
		size_t end = p50 >= 0 ? first + 1 : nr_metrics < FIRST_FEW ? nr_metrics : FIRST_FEW;

		for (size_t k = first; k < end; k++) {
			panel = next_panel(drawing);
			if (!panel)
				continue;
			*panel = (struct panel){ .kind = metric_kind(metrics[k]) };
			case_words(cases[i], panel->title, sizeof(panel->title));
			snprintf(panel->axis, sizeof(panel->axis), "%s%s",
				 metric_words(metrics[k], words, sizeof(words)), p50 >= 0 ? " (full), p99 (open)" : "");
			fill_mark(panel, 0, results, question, cases[i], metrics[k], NULL, false);
			if (p50 >= 0)
				fill_mark(panel, 1, results, question, cases[i], upper, NULL, false);
			if (panel->nr_rows > 0)
				drawing->nr_panels++;
			drawing->better = drawing->nr_panels == 1 || drawing->better == metric_better(metrics[k]) ?
						  metric_better(metrics[k]) : 0;
		}
	}
}

static void summary_panels(const json_t *results, struct drawing *drawing)
{
	const char *name = report_headline_case(results);
	struct panel *panel = &drawing->panels[0];
	char words[96];

	if (name) {
		*panel = (struct panel){ .kind = METRIC_NUMBER, .axis = "times no synchronisation", .line = 1 };
		snprintf(panel->title, sizeof(panel->title), "Speed: %s", case_words(name, words, sizeof(words)));
		fill_mark(panel, 0, results, "throughput", name, "invalidations_per_s", "none", true);
		drawing->nr_panels += panel->nr_rows > 0;
	}
	panel = &drawing->panels[drawing->nr_panels];
	*panel = (struct panel){ .kind = METRIC_NS, .axis = "p99.9 since due", .title = "A publisher while an unregister waits 10 ms" };
	fill_mark(panel, 0, results, "trap", NULL, "latency_p99_9_ns", NULL, true);
	drawing->nr_panels += panel->nr_rows > 0;
}

/* Panels of the same axis get the same range, so that they can be compared, unless each has its @own. */
static void set_ranges(struct drawing *drawing, bool own)
{
	for (size_t i = 0; i < drawing->nr_panels; i++) {
		struct panel *panel = &drawing->panels[i];

		panel->low = HUGE_VAL;
		panel->high = 0;
		for (size_t k = 0; k < drawing->nr_panels; k++)
			if (k == i || (!own && strcmp(drawing->panels[k].axis, panel->axis) == 0))
				panel_range(&drawing->panels[k], &panel->low, &panel->high);
	}
}

/* A line over @x for each comparator; the figure shows how things grow. */
static bool add_lines(const json_t *results, const char *question, const char *metric, const char *x,
		      bool (*shows)(const json_t *results, const char *case_name), struct panel_lines *lines)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, question, cases);
	size_t nr_names = rows_of(results, question, true, names), longest = 0;
	struct estimate e;

	for (size_t k = 0; k < nr_names; k++) {
		struct panel_line *line = &lines->lines[lines->nr_lines];

		*line = (struct panel_line){ .name = names[k] };
		for (size_t i = 0; i < nr_cases && line->nr_points < PANEL_MAX_POINTS; i++) {
			if (!shows(results, cases[i]) || !summary_value(results, question, cases[i], names[k], metric, &e))
				continue;
			line->points[line->nr_points].x = summary_parameter(results, question, cases[i], x);
			line->points[line->nr_points++].y = e;
		}
		longest = line->nr_points > longest ? line->nr_points : longest;
		lines->nr_lines += line->nr_points > 0;
	}
	return longest > 1;
}

/* Of the throughput: what differs from the headline's case in nothing but the publishers. */
static bool is_like_headline(const json_t *results, const char *case_name)
{
	const char *headline = report_headline_case(results);
	const char *rest = strchr(case_name, ','), *headline_rest = headline ? strchr(headline, ',') : NULL;

	return rest && headline_rest && strncmp(case_name, "publishers=", 11) == 0 && strcmp(rest, headline_rest) == 0;
}

static bool is_disjoint_alone(const json_t *results, const char *case_name)
{
	return strstr(case_name, "disjoint") && summary_parameter(results, "ranges", case_name, "publishers") == 1;
}

static void draw_lines(const json_t *results, const char *question, const char *id, struct drawing *drawing)
{
	const char *headline = report_headline_case(results);
	struct panel_lines *lines = calloc(1, sizeof(*lines));
	bool any = false;

	if (lines && strcmp(question, "throughput") == 0 && headline) {
		lines->kind = METRIC_PER_S;
		lines->x_axis = "publishers";
		lines->y_axis = "invalidations";
		snprintf(lines->title, sizeof(lines->title), "%d mirrors",
			 summary_parameter(results, question, headline, "mirrors"));
		any = add_lines(results, question, "invalidations_per_s", "publishers", is_like_headline, lines);
	} else if (lines && strcmp(question, "ranges") == 0) {
		lines->kind = METRIC_NS;
		lines->log_x = true;
		lines->x_axis = "ranges";
		lines->y_axis = "an invalidation with one hit";
		snprintf(lines->title, sizeof(lines->title), "disjoint, 1 publisher");
		any = add_lines(results, question, "hit_1_ns", "ranges", is_disjoint_alone, lines);
	}
	if (any)
		drawing->svgs[drawing->nr_svgs] = panel_lines_svg(lines, id);
	drawing->nr_svgs += any && drawing->svgs[drawing->nr_svgs];
	free(lines);
}

static const struct figure *figure_of(const char *question)
{
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		if (strcmp(figures[i].question, question) == 0)
			return &figures[i];
	return NULL;
}

static void write_caption(const struct drawing *drawing, const char *extra, FILE *out)
{
	size_t nr_log = 0;

	for (size_t i = 0; i < drawing->nr_panels; i++)
		nr_log += panel_is_log(&drawing->panels[i]);
	if (drawing->better)
		fprintf(out, "%s is better. ", drawing->better > 0 ? "More" : "Less");
	if (extra)
		fprintf(out, "%s ", extra);
	fprintf(out, "%sThin lines: 95%% interval.",
		nr_log == 0 ? "" : nr_log == drawing->nr_panels ? "Logarithmic. " : "Logarithmic where there are no bars. ");
	if (drawing->nr_more > 0)
		fprintf(out, " The tables have %zu more.", drawing->nr_more);
}

bool figure_html(const json_t *results, const char *question, FILE *out)
{
	struct drawing *drawing = calloc(1, sizeof(*drawing));
	const struct figure *figure = figure_of(question);
	bool is_summary = strcmp(question, "summary") == 0, any;
	char id[96];

	if (!drawing)
		return false;
	if (is_summary)
		summary_panels(results, drawing);
	else if (figure)
		known_question(results, figure, drawing);
	else
		any_question(results, question, drawing);
	set_ranges(drawing, figure && figure->own_axes);
	for (size_t i = 0; i < drawing->nr_panels; i++) {
		snprintf(id, sizeof(id), "%s-%zu", question, i);
		drawing->svgs[drawing->nr_svgs] = panel_rows_svg(&drawing->panels[i], id);
		drawing->nr_svgs += drawing->svgs[drawing->nr_svgs] != NULL;
	}
	snprintf(id, sizeof(id), "%s-lines", question);
	draw_lines(results, question, id, drawing);
	any = drawing->nr_svgs > 0;
	if (any)
		fprintf(out, "<figure id=\"figure-%s\">\n<div class=\"panels\">\n", question);
	for (size_t i = 0; i < drawing->nr_svgs; i++) {
		fprintf(out, "<div class=\"panel\">%s</div>\n", drawing->svgs[i]);
		free(drawing->svgs[i]);
	}
	if (any) {
		fputs("</div>\n<figcaption>", out);
		write_caption(drawing, is_summary ? "Left, or first: more is better; right, or second: less is." :
			      figure ? figure->caption : NULL, out);
		fputs("</figcaption>\n</figure>\n", out);
	}
	free(drawing);
	return any;
}
