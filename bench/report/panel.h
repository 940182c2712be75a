/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Panels: the parts of a figure, each an SVG of its own and narrow enough for a phone
 *
 * On a wide page two stand side by side.  Rows are named, so that nothing depends on telling colours apart.
 */
#ifndef BENCH_PANEL_H
#define BENCH_PANEL_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics.h"
#include "summary.h"

enum { PANEL_MAX_MARKS = 3, PANEL_MAX_ROWS = 64, PANEL_MAX_POINTS = 64 };

struct panel_row {
	const char *name;
	bool known[PANEL_MAX_MARKS];
	struct estimate marks[PANEL_MAX_MARKS]; /* shown as a full, an open and a crossed mark */
};

/** struct panel - a row for each comparator, values to the right */
struct panel {
	char title[128];
	char axis[128];                 /* what is measured; the unit is added */
	enum metric_kind kind;
	double line;                    /* a dashed line stands at this value; 0: no line */
	double low, high;               /* of all panels of the figure that have the same axis */
	size_t nr_rows;
	struct panel_row rows[PANEL_MAX_ROWS];
};

/** panel_range - widen @low and @high (HUGE_VAL and 0 at first) by what @panel shows */
void panel_range(const struct panel *panel, double *low, double *high);

/** panel_is_log - whether its values are far apart, so that it has marks on a logarithmic axis in place of bars */
bool panel_is_log(const struct panel *panel);

/** panel_rows_svg - the svg element; the caller frees it; NULL with a message if gnuplot fails */
char *panel_rows_svg(const struct panel *panel, const char *id);

struct panel_line {
	const char *name;
	size_t nr_points;
	struct {
		double x;
		struct estimate y;
	} points[PANEL_MAX_POINTS];
};

/** struct panel_lines - a line for each comparator */
struct panel_lines {
	char title[128];
	const char *x_axis, *y_axis;
	bool log_x;
	enum metric_kind kind;
	size_t nr_lines;
	struct panel_line lines[PANEL_MAX_ROWS];
};

/** panel_lines_svg - as panel_rows_svg */
char *panel_lines_svg(const struct panel_lines *panel, const char *id);

#endif /* BENCH_PANEL_H */
