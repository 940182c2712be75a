/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Data and gnuplot scripts for panels
 *
 * An axis from 0 has bars, whose length is the value.  Where values are far apart the axis is logarithmic, on which
 * bars would have no foot: marks then.  Thin lines are 95% intervals.
 */
#include "panel.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/families.h"
#include "svg.h"
#include "table.h"
#include "units.h"

/* Values further apart than this are shown on a logarithmic axis. */
#define FAR_APART 30.0

enum { WIDTH = 460, ROW_HEIGHT = 24, NAME_WIDTH = 176, RIGHT_MARGIN = 30 };

/* Text in quotes: a file of results comes from anywhere, and gnuplot runs what stands between backquotes. */
static void quoted(const char *text, FILE *script)
{
	fputc('\'', script);
	for (; *text; text++)
		fputc(isalnum((unsigned char)*text) || strchr(" .,:;=/+-_()%<>", *text) ? *text : ' ', script);
	fputc('\'', script);
}

static void begin(FILE *script, int height, const char *title)
{
	fprintf(script, "set terminal svg size %d,%d dynamic noenhanced font 'sans-serif,14' linewidth 1.2\n"
		"set border 3 lc rgb '#000000' lw 0.8\n"
		"set tics nomirror\n"
		"set style fill solid 1 noborder\n"
		"unset key\n", WIDTH, height);
	if (title[0]) {
		/* Over the names too: a title over the plot alone would have little room. */
		fputs("set label 1 ", script);
		quoted(title, script);
		fprintf(script, " at screen 0.012, screen %g left\n", 1 - 14.0 / height);
	}
}

void panel_range(const struct panel *panel, double *low, double *high)
{
	for (size_t i = 0; i < panel->nr_rows; i++) {
		for (int m = 0; m < PANEL_MAX_MARKS; m++) {
			const struct estimate *e = &panel->rows[i].marks[m];

			if (!panel->rows[i].known[m])
				continue;
			/* The interval's foot may be 0 where the median is not; only a median decides for an axis from 0. */
			if (e->median < *low)
				*low = e->median;
			if (e->low > 0 && e->low < *low)
				*low = e->low;
			if (e->high > *high)
				*high = e->high;
		}
	}
}

/* What is 0 has no place on a logarithmic axis. */
static bool is_log(double low, double high)
{
	return low > 0 && high / low > FAR_APART;
}

bool panel_is_log(const struct panel *panel)
{
	/* A count of 0 is what matters most, and has no place on a logarithmic axis. */
	for (size_t i = 0; i < panel->nr_rows && panel->kind == METRIC_NUMBER; i++)
		for (int m = 0; m < PANEL_MAX_MARKS; m++)
			if (panel->rows[i].known[m] && panel->rows[i].marks[m].median == 0)
				return false;
	return is_log(panel->low, panel->high);
}

/* A unit in which the axis has short numbers. */
static double axis_unit(enum metric_kind kind, double high, const char **name)
{
	static const struct {
		enum metric_kind kind;
		double unit;
		const char *name;
	} units[] = {
		{ METRIC_NS, 1e9, "s" }, { METRIC_NS, 1e6, "ms" }, { METRIC_NS, 1e3, "us" }, { METRIC_NS, 1, "ns" },
		{ METRIC_PER_S, 1e6, "million a second" }, { METRIC_PER_S, 1e3, "thousand a second" },
		{ METRIC_PER_S, 1, "a second" },
		{ METRIC_BYTES, 1 << 30, "GiB" }, { METRIC_BYTES, 1 << 20, "MiB" }, { METRIC_BYTES, 1 << 10, "KiB" },
		{ METRIC_BYTES, 1, "bytes" },
		{ METRIC_NUMBER, 1e6, "millions" }, { METRIC_NUMBER, 1e3, "thousands" }, { METRIC_NUMBER, 1, "" },
	};
	size_t last = 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].kind != kind)
			continue;
		last = i;
		/* Up to 9999 of a unit are readable, and 0.3 million is not better than 300 thousand. */
		if (high >= 2 * units[i].unit)
			break;
	}
	*name = units[last].name;
	return units[last].unit;
}

/* 1, 2 or 5 times a power of ten, so that there are at most @most of them up to @high. */
static double tic_step(double high, int most)
{
	double step = pow(10, floor(log10(high / most)));

	if (step * most >= high)
		return step;
	if (2 * step * most >= high)
		return 2 * step;
	return 5 * step * most >= high ? 5 * step : 10 * step;
}

static const char *decade_label(enum metric_kind kind, int decade, char *text, size_t size)
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T" };
	int thousands = decade / 3;

	if (kind == METRIC_NS && decade >= 0)
		return format_ns(pow(10, decade), text, size);
	if (decade < 0 || thousands > 4)
		snprintf(text, size, "1e%d", decade);
	else
		snprintf(text, size, "%.0f%s", pow(10, decade % 3), prefixes[thousands]);
	return text;
}

/* "1 us" and not "1.00 us". */
static void whole(char *label)
{
	char *point = strchr(label, '.'), *blank = strchr(label, ' ');

	if (point && blank && point < blank)
		memmove(point, blank, strlen(blank) + 1);
}

static void log_axis(FILE *script, char axis, enum metric_kind kind, double low, double high, int most_labels)
{
	int first = (int)floor(log10(low * 0.8)), last = (int)ceil(log10(high * 1.2));
	int step = 1;
	char label[32];

	/* A decade of room is seldom worth its space. */
	while ((last - first) / step + 1 > most_labels)
		step++;
	fprintf(script, "set logscale %c\nset %crange [%.9g:%.9g]\nset %ctics (", axis, axis,
		low * 0.8 > pow(10, first) * 3 ? pow(10, first) * 3 : pow(10, first),
		high * 1.2 < pow(10, last) / 3 ? pow(10, last) / 3 : pow(10, last), axis);
	for (int decade = first; decade <= last; decade++) {
		decade_label(kind, decade, label, sizeof(label));
		whole(label);
		fprintf(script, "%s'%s' %.9g", decade > first ? ", " : "", (decade - first) % step ? "" : label,
			pow(10, decade));
	}
	fputs(")\n", script);
}

static void rows_axis(FILE *script, const struct panel *panel, double *unit)
{
	double high = panel->high > 0 ? panel->high : 1;
	const char *name = "";
	char axis[192];

	*unit = 1;
	if (panel_is_log(panel)) {
		if (panel->kind == METRIC_PER_S)
			name = "a second";
		else if (panel->kind == METRIC_BYTES)
			name = "bytes";
		log_axis(script, 'x', panel->kind, panel->low, panel->high, 6);
	} else {
		*unit = axis_unit(panel->kind, high, &name);
		fprintf(script, "set xrange [0:%.9g]\nset xtics %.9g\n", high / *unit * 1.04,
			tic_step(high / *unit * 1.04, 5));
	}
	snprintf(axis, sizeof(axis), "%s%s%s", panel->axis, name[0] ? ", " : "", name);
	fputs("set label 2 ", script);
	quoted(axis, script);
	fprintf(script, " at screen 0.988, character 0.7 right font ',%d'\n",
		strlen(axis) > 64 ? 11 : strlen(axis) > 52 ? 12 : 14);
}

/* One block for each kind of mark: place, name, colour, median, low, high. */
static void rows_data(FILE *script, const struct panel *panel, double unit)
{
	for (int m = 0; m < PANEL_MAX_MARKS; m++) {
		fprintf(script, "$marks_%d << END\n", m);
		for (size_t i = 0; i < panel->nr_rows; i++) {
			const struct panel_row *row = &panel->rows[i];

			if (row->known[m])
				fprintf(script, "%zu x 0x%s %.9g %.9g %.9g\n", i,
					svg_colour((int)comparator_family(row->name)) + 1, row->marks[m].median / unit,
					row->marks[m].low / unit, row->marks[m].high / unit);
		}
		fputs("END\n", script);
	}
}

static bool any_known(const struct panel *panel, int m)
{
	for (size_t i = 0; i < panel->nr_rows; i++)
		if (panel->rows[i].known[m])
			return true;
	return false;
}

static const char *value_words(enum metric_kind kind, double value, char *text, size_t size)
{
	char number[32];

	switch (kind) {
	case METRIC_NS:
		return format_ns(value, text, size);
	case METRIC_PER_S:
		if (value < 1e4)
			snprintf(text, size, "%.0f a second", value);
		else
			snprintf(text, size, "%s million a second", format_millions(value, number, sizeof(number)));
		return text;
	case METRIC_BYTES:
		return format_number(value, true, text, size);
	default:
		snprintf(text, size, "%.3g", value);
		return text;
	}
}

/* "9.02 million a second (95% interval 8.41 million a second to ...)"; one repeat has no interval. */
static void write_estimate(enum metric_kind kind, const struct estimate *e, FILE *out)
{
	char value[64], low[64], high[64];

	fputs(value_words(kind, e->median, value, sizeof(value)), out);
	if (e->n > 1)
		fprintf(out, " (95%% interval %s to %s)", value_words(kind, e->low, low, sizeof(low)),
			value_words(kind, e->high, high, sizeof(high)));
}

/* An area over each row that shows nothing, but says what the marks mean. */
static char *row_areas(const struct panel *panel, int top)
{
	static const char *const marks[PANEL_MAX_MARKS] = { "full", "open", "crossed" };
	char *areas = NULL, *words = NULL;
	size_t size, words_size;
	FILE *out = open_memstream(&areas, &size), *text;

	for (size_t i = 0; out && i < panel->nr_rows; i++) {
		const struct panel_row *row = &panel->rows[i];
		int nr_known = 0, nr_said = 0;

		text = open_memstream(&words, &words_size);
		if (!text)
			break;
		for (int m = 0; m < PANEL_MAX_MARKS; m++)
			nr_known += row->known[m];
		fprintf(text, "%s: ", row->name);
		for (int m = 0; m < PANEL_MAX_MARKS; m++) {
			if (!row->known[m])
				continue;
			fprintf(text, "%s%s%s", nr_said++ ? "; " : "", nr_known > 1 ? marks[m] : "", nr_known > 1 ? " mark " : "");
			write_estimate(panel->kind, &row->marks[m], text);
		}
		fclose(text);
		fprintf(out, "<rect x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" pointer-events=\"all\"><title>",
			top + (int)i * ROW_HEIGHT, WIDTH, ROW_HEIGHT);
		html_escaped(words, out);
		fputs("</title></rect>\n", out);
		free(words);
	}
	if (out)
		fclose(out);
	return areas;
}

/* "srcu: publishers 1: 5.03 million a second (...); publishers 2: ...". */
static char *line_words(const struct panel_lines *panel, const struct panel_line *line)
{
	char *words = NULL;
	size_t size;
	FILE *out = open_memstream(&words, &size);

	if (!out)
		return NULL;
	fprintf(out, "%s:", line->name);
	for (size_t i = 0; i < line->nr_points; i++) {
		fprintf(out, "%s %s %g: ", i ? ";" : "", panel->x_axis, line->points[i].x);
		write_estimate(panel->kind, &line->points[i].y, out);
	}
	fclose(out);
	return words;
}

char *panel_rows_svg(const struct panel *panel, const char *id)
{
	static const int points[PANEL_MAX_MARKS] = { 7, 6, 2 };
	int top = panel->title[0] ? 30 : 8, bottom = 58;
	int height = top + (int)panel->nr_rows * ROW_HEIGHT + bottom;
	char *text = NULL, *areas, *svg;
	double unit;
	size_t size;
	FILE *script = open_memstream(&text, &size);

	if (!script)
		return NULL;
	begin(script, height, panel->title);
	rows_axis(script, panel, &unit);
	rows_data(script, panel, unit);
	fprintf(script, "set lmargin at screen %g\nset rmargin at screen %g\nset tmargin at screen %g\nset bmargin at screen %g\n"
		"set yrange [%g:0.5]\nset ytics scale 0 (", (double)NAME_WIDTH / WIDTH, 1 - (double)RIGHT_MARGIN / WIDTH,
		1 - (double)top / height, (double)bottom / height, 0.5 - (double)panel->nr_rows);
	for (size_t i = 0; i < panel->nr_rows; i++) {
		fputs(i > 0 ? ", " : "", script);
		quoted(panel->rows[i].name, script);
		fprintf(script, " -%zu", i);
	}
	fputs(")\nset grid xtics lc rgb '" SVG_GRID "' lw 0.8 dt 1\n", script);
	if (panel->line > 0)
		fprintf(script, "set arrow from first %.9g, graph 0 to first %.9g, graph 1 nohead lc rgb '#000000' dt 2\n",
			panel->line / unit, panel->line / unit);
	fputs("plot ", script);
	if (panel_is_log(panel)) {
		for (int m = PANEL_MAX_MARKS - 1; m >= 0; m--)
			if (any_known(panel, m))
				fprintf(script, "$marks_%d using 4:(-$1):5:6 with xerrorbars lc rgb '#000000' pt 0 lw 1, "
					"'' using 4:(-$1):3 with points pt %d ps 0.9 lw 1.6 lc rgb variable, ", m, points[m]);
	} else {
		fputs("$marks_0 using (0):(-$1):(0):4:(-$1-0.34):(-$1+0.34):3 with boxxyerror lc rgb variable, "
		      "'' using 4:(-$1):5:6 with xerrorbars lc rgb '#000000' pt 0 lw 1, "
		      /* A bar of no length is seen as a dot: it was measured. */
		      "'' using ($4 == 0 ? 0 : 1/0):(-$1):3 with points pt 7 ps 0.5 lc rgb variable, ", script);
		for (int m = 1; m < PANEL_MAX_MARKS; m++)
			if (any_known(panel, m))
				fprintf(script, "$marks_%d using 4:(-$1) with points pt %d ps 0.9 lw 1.6 lc rgb '#000000', ", m,
					points[m]);
	}
	fputs("1/0\n", script);
	fclose(script);
	areas = row_areas(panel, top);
	svg = svg_draw(text, id, &(struct svg_words){ .title = panel->title[0] ? panel->title : panel->axis, .areas = areas });
	free(areas);
	free(text);
	return svg;
}

static void lines_axes(FILE *script, const struct panel_lines *panel, double *unit)
{
	double low = 0, high = 0, first = 0, last = 0;
	const char *name = "";
	char axis[192];

	for (size_t i = 0; i < panel->nr_lines; i++) {
		for (size_t k = 0; k < panel->lines[i].nr_points; k++) {
			double x = panel->lines[i].points[k].x;
			const struct estimate *y = &panel->lines[i].points[k].y;

			first = first == 0 || x < first ? x : first;
			last = x > last ? x : last;
			low = y->low > 0 && (low == 0 || y->low < low) ? y->low : low;
			high = y->high > high ? y->high : high;
		}
	}
	*unit = 1;
	if (panel->kind == METRIC_NS && is_log(low, high)) {
		log_axis(script, 'y', panel->kind, low, high, 8);
	} else {
		*unit = axis_unit(panel->kind, high, &name);
		fprintf(script, "set yrange [0:%.9g]\nset ytics %.9g\n", high / *unit * 1.04, tic_step(high / *unit, 6));
	}
	snprintf(axis, sizeof(axis), "%s%s%s", panel->y_axis, name[0] ? ", " : "", name);
	/* As a label: gnuplot would put it at the end of the tics, which may be outside. */
	fputs("set label 2 ", script);
	quoted(axis, script);
	fputs(" at screen 0.03, graph 0.5 center rotate by 90\nset xlabel ", script);
	quoted(panel->x_axis, script);
	fputs(" offset 0,0.3\n", script);
	if (panel->log_x) {
		log_axis(script, 'x', METRIC_NUMBER, first, last, 6);
		fprintf(script, "set xrange [%.9g:%.9g]\n", first / 1.4, last * 1.4);
	} else {
		fprintf(script, "set xrange [%.9g:%.9g]\nset xtics %.9g\n", first - 0.06 * last, last * 1.06,
			last <= 8 ? 1 : tic_step(last, 8));
	}
}

char *panel_lines_svg(const struct panel_lines *panel, const char *id)
{
	int key_rows = (int)(panel->nr_lines + 1) / 2, key_height = key_rows * 20, bottom = 64 + key_height;
	int height = 300 + bottom;
	int in_family[NR_FAMILIES] = { 0 };
	struct svg_words words = { .nr_plots = 0 };
	char *plots[PANEL_MAX_ROWS];
	char *text = NULL, *svg;
	double unit;
	size_t size;
	FILE *script = open_memstream(&text, &size);

	if (!script)
		return NULL;
	begin(script, height, panel->title);
	lines_axes(script, panel, &unit);
	for (size_t i = 0; i < panel->nr_lines; i++) {
		fprintf(script, "$line_%zu << END\n", i);
		for (size_t k = 0; k < panel->lines[i].nr_points; k++)
			fprintf(script, "%.9g %.9g %.9g %.9g\n", panel->lines[i].points[k].x,
				panel->lines[i].points[k].y.median / unit, panel->lines[i].points[k].y.low / unit,
				panel->lines[i].points[k].y.high / unit);
		fputs("END\n", script);
	}
	fprintf(script, "set lmargin at screen 0.17\nset rmargin at screen 0.96\nset tmargin at screen %g\n"
		"set bmargin at screen %g\nset grid ytics lc rgb '" SVG_GRID "' lw 0.8 dt 1\n"
		"set key at screen 0.5, screen %g center top maxcols 2 maxrows %d samplen 2.5 reverse Left font ',12' "
		"width -2\nplot ", 1 - 34.0 / height, (double)bottom / height, (key_height + 8.0) / height, key_rows);
	for (size_t i = 0; i < panel->nr_lines; i++) {
		int family = (int)comparator_family(panel->lines[i].name), nth = in_family[family]++;

		/* Lines of one family differ in their marks and dashes. */
		fprintf(script, "%s$line_%zu using 1:2:3:4 with yerrorlines lc rgb '%s' pt %d dt %d ps 0.9 lw 1.6 title ",
			i ? ", " : "", i, svg_colour(family), svg_mark(nth), nth + 1);
		quoted(panel->lines[i].name, script);
	}
	fputc('\n', script);
	fclose(script);
	words.title = panel->title[0] ? panel->title : panel->y_axis;
	for (; words.nr_plots < panel->nr_lines; words.nr_plots++)
		if (!(plots[words.nr_plots] = line_words(panel, &panel->lines[words.nr_plots])))
			break;
	words.plots = (const char *const *)plots;
	svg = svg_draw(text, id, &words);
	for (size_t i = 0; i < words.nr_plots; i++)
		free(plots[i]);
	free(text);
	return svg;
}
