/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Figures from descriptors: which panels make up the figure of a question, and of the summary
 *
 * A question without a figure in its descriptor gets panels all the same: its percentiles, or its first few metrics, of
 * each of its cases.
 */
#include "figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/families.h"
#include "metrics.h"
#include "panel.h"
#include "summary.h"
#include "tables.h"

/* More are no overview; the tables have all. */
enum { MAX_PANELS = 12, MAX_SVGS = MAX_PANELS + 2 };

/** struct drawing - the panels of one figure, and what its caption has to say */
struct drawing {
	struct panel panels[MAX_PANELS];
	size_t nr_panels, nr_more;
	char *svgs[MAX_SVGS];
	size_t nr_svgs;
	int better;                     /* as metric_better; 0 if the panels differ */
};

/* The rows of @panel that have the metric; @mark 0 makes them. */
static void fill_mark(struct panel *panel, int mark, const json_t *results, const char *question,
		      const char *case_name, const char *metric, bool headline)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = headline ? report_headline_rows(results, question, names) :
				     summary_comparators(results, question, names), row;
	struct estimate e;

	for (size_t k = 0; k < nr_names; k++) {
		bool known = summary_value(results, question, case_name, names[k], metric, &e);
		const char *label = comparator_label(names[k]);

		for (row = 0; row < panel->nr_rows && strcmp(panel->rows[row].name, label) != 0; row++)
			;
		if (!known || row == PANEL_MAX_ROWS || (row == panel->nr_rows && mark > 0))
			continue;
		if (row == panel->nr_rows)
			panel->rows[panel->nr_rows++] = (struct panel_row){ .name = label };
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

/* Adds "p50 (full), p99 (open)" to the axis. */
static void name_mark(struct panel *panel, int m, const char *words)
{
	static const char *const looks[PANEL_MAX_MARKS] = { "full", "open", "cross" };
	size_t used = strlen(panel->axis);

	snprintf(panel->axis + used, sizeof(panel->axis) - used, "%s%s (%s)",
		 m ? ", " : used ? ": " : "", words, looks[m]);
}

static void described_panels(const json_t *results, const struct report_question *q, struct drawing *drawing)
{
	const struct report_figure *figure = q->figure;
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, q->name, cases);
	struct panel *panel;

	for (size_t i = 0; i < nr_cases; i++) {
		if (figure->shows && !figure->shows(results, cases[i]))
			continue;
		panel = next_panel(drawing);
		if (!panel)
			continue;
		*panel = (struct panel){ .kind = metric_kind(figure->marks[0].metric), .line = figure->line };
		case_words(cases[i], panel->title, sizeof(panel->title));
		snprintf(panel->axis, sizeof(panel->axis), "%s", figure->axis);
		for (int m = 0; m < PANEL_MAX_MARKS && figure->marks[m].metric && figure->marks[m].words[0]; m++)
			name_mark(panel, m, figure->marks[m].words);
		for (int m = 0; m < PANEL_MAX_MARKS && figure->marks[m].metric; m++)
			fill_mark(panel, m, results, q->name, cases[i], figure->marks[m].metric, false);
		drawing->nr_panels += panel->nr_rows > 0;
	}
	drawing->better = metric_better(figure->marks[0].metric, q->less_is_better);
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

static void any_panels(const json_t *results, const char *question, const char *const *less_is_better,
		       struct drawing *drawing)
{
	enum { FIRST_FEW = 4 };
	const char *cases[SUMMARY_MAX_CASES], *metrics[METRICS_MAX];
	size_t nr_cases = summary_cases(results, question, cases);
	char upper[96], words[96];
	struct panel *panel;
	int better;

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
			fill_mark(panel, 0, results, question, cases[i], metrics[k], false);
			if (p50 >= 0)
				fill_mark(panel, 1, results, question, cases[i], upper, false);
			if (panel->nr_rows > 0)
				drawing->nr_panels++;
			better = metric_better(metrics[k], less_is_better);
			drawing->better = drawing->nr_panels == 1 || drawing->better == better ? better : 0;
		}
	}
}

static void summary_panel(const json_t *results, const struct report_question *q,
			  const struct report_headline_panel *shown, const char *headline_case, struct panel *panel)
{
	*panel = (struct panel){ .kind = metric_kind(shown->metric) };
	snprintf(panel->title, sizeof(panel->title), "%s", shown->title);
	snprintf(panel->axis, sizeof(panel->axis), "%s", shown->axis);
	for (int m = 0; m < PANEL_MAX_MARKS; m++) {
		const char *case_name = shown->marks[m].case_name;

		if (m > 0 && !case_name)
			break;
		if (shown->marks[m].words)
			name_mark(panel, m, shown->marks[m].words);
		fill_mark(panel, m, results, q->name, case_name ? case_name : headline_case, shown->metric, true);
	}
}

static void summary_panels(const struct report *report, struct drawing *drawing)
{
	for (size_t i = 0; report->headlines[i]; i++) {
		const struct report_question *q = report->headlines[i];
		const struct report_headline_panel *shown = q->headline->panels;

		for (; shown->title && drawing->nr_panels < MAX_PANELS; shown++) {
			struct panel *panel = &drawing->panels[drawing->nr_panels];

			summary_panel(report->results, q, shown, report_headline_case(report, q), panel);
			drawing->nr_panels += panel->nr_rows > 0;
		}
	}
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

/* A line for each comparator; the figure shows how things grow. */
static bool add_lines(const json_t *results, const char *question, const struct report_lines *described,
		      struct panel_lines *lines)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, question, cases);
	size_t nr_names = summary_comparators(results, question, names), longest = 0;
	struct estimate e;

	if (nr_names > REPORT_FEW)
		nr_names = report_headline_rows(results, question, names);
	for (size_t k = 0; k < nr_names; k++) {
		struct panel_line *line = &lines->lines[lines->nr_lines];

		*line = (struct panel_line){ .name = comparator_label(names[k]) };
		for (size_t i = 0; i < nr_cases && line->nr_points < PANEL_MAX_POINTS; i++) {
			if (!described->shows(results, cases[i]) ||
			    !summary_value(results, question, cases[i], names[k], described->metric, &e))
				continue;
			line->points[line->nr_points].x = summary_parameter(results, question, cases[i], described->x);
			line->points[line->nr_points++].y = e;
		}
		longest = line->nr_points > longest ? line->nr_points : longest;
		lines->nr_lines += line->nr_points > 0;
	}
	return longest > 1;
}

static void draw_lines(const json_t *results, const struct report_question *q, const char *id, struct drawing *drawing)
{
	struct panel_lines *lines = calloc(1, sizeof(*lines));
	bool any = false;

	if (lines) {
		lines->kind = metric_kind(q->lines->metric);
		lines->log_x = q->lines->log_x;
		lines->x_axis = q->lines->x;
		lines->y_axis = q->lines->y_axis;
		q->lines->title(results, lines->title, sizeof(lines->title));
		any = add_lines(results, q->name, q->lines, lines);
	}
	if (any)
		drawing->svgs[drawing->nr_svgs] = panel_lines_svg(lines, id);
	drawing->nr_svgs += any && drawing->svgs[drawing->nr_svgs];
	free(lines);
}

static void write_caption(const json_t *results, const struct drawing *drawing, const char *extra, FILE *out)
{
	size_t nr_log = 0, least, most;

	for (size_t i = 0; i < drawing->nr_panels; i++)
		nr_log += panel_is_log(&drawing->panels[i]);
	if (drawing->better)
		fprintf(out, "%s is better. ", drawing->better > 0 ? "More" : "Less");
	if (extra)
		fprintf(out, "%s ", extra);
	if (nr_log > 0)
		fputs(nr_log == drawing->nr_panels ? "Logarithmic. " : "Logarithmic where there are no bars. ", out);
	summary_repeats(results, &least, &most);
	if (most > 1)
		fputs("Thin lines: 95% interval.", out);
	if (drawing->nr_more > 0)
		fprintf(out, " The tables have %zu more.", drawing->nr_more);
}

/* Draws what @drawing holds, with @q's lines below; NULL: none.  False: there is nothing to show. */
static bool write_figure(const json_t *results, const struct report_question *q, const char *name, const char *caption,
			 struct drawing *drawing, FILE *out)
{
	char id[96];

	for (size_t i = 0; i < drawing->nr_panels; i++) {
		snprintf(id, sizeof(id), "%s-%zu", name, i);
		drawing->svgs[drawing->nr_svgs] = panel_rows_svg(&drawing->panels[i], id);
		drawing->nr_svgs += drawing->svgs[drawing->nr_svgs] != NULL;
	}
	snprintf(id, sizeof(id), "%s-lines", name);
	if (q && q->lines)
		draw_lines(results, q, id, drawing);
	if (drawing->nr_svgs == 0)
		return false;
	fprintf(out, "<figure id=\"figure-%s\">\n<div class=\"panels\">\n", name);
	for (size_t i = 0; i < drawing->nr_svgs; i++) {
		fprintf(out, "<div class=\"panel\">%s</div>\n", drawing->svgs[i]);
		free(drawing->svgs[i]);
	}
	fputs("</div>\n<figcaption>", out);
	write_caption(results, drawing, caption, out);
	fputs("</figcaption>\n</figure>\n", out);
	return true;
}

bool figure_html(const struct report *report, const char *question, FILE *out)
{
	const struct report_question *q = report_question_of(report, question);
	struct drawing *drawing = calloc(1, sizeof(*drawing));
	bool any;

	if (!drawing)
		return false;
	if (q && q->figure)
		described_panels(report->results, q, drawing);
	else
		any_panels(report->results, question, q ? q->less_is_better : NULL, drawing);
	set_ranges(drawing, q && q->figure && q->figure->own_axes);
	any = write_figure(report->results, q, question, q && q->figure ? q->figure->caption : NULL, drawing, out);
	free(drawing);
	return any;
}

bool figure_summary_html(const struct report *report, FILE *out)
{
	struct drawing *drawing = calloc(1, sizeof(*drawing));
	bool any;

	if (!drawing)
		return false;
	summary_panels(report, drawing);
	/* Its panels are of different questions. */
	set_ranges(drawing, true);
	any = write_figure(report->results, NULL, "summary", report->summary_caption, drawing, out);
	free(drawing);
	return any;
}
