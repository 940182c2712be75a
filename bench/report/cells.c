/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Cells of tables, from records. */
#include "cells.h"

#include <stdbool.h>

#include "summary.h"
#include "units.h"

/* Half the interval, in per cent of the median. */
static int spread_percent(const struct estimate *e)
{
	return e->median > 0 ? (int)((e->high - e->low) / 2 / e->median * 100 + 0.5) : 0;
}

/* False, with the cell for no record, if there is none. */
static bool value_of(struct table *t, const struct cell_place *of, const char *metric, struct estimate *e)
{
	bool known = summary_value(of->results, of->question, of->case_name, of->comparator, metric, e);

	if (!known)
		table_cell(t, "-");
	return known;
}

void cell_ns(struct table *t, const struct cell_place *of, const char *metric)
{
	struct estimate e;
	char text[32];

	if (value_of(t, of, metric, &e))
		table_cell(t, "%s", format_ns(e.median, text, sizeof(text)));
}

void cell_rate(struct table *t, const struct cell_place *of, const char *metric)
{
	struct estimate e;
	char text[32];

	if (!value_of(t, of, metric, &e))
		return;
	format_millions(e.median, text, sizeof(text));
	if (e.n > 1)
		table_cell(t, "%s \302\261%d%%", text, spread_percent(&e));
	else
		table_cell(t, "%s", text);
}

void cell_ratio(struct table *t, const struct cell_place *of, const char *metric, const char *base)
{
	struct estimate e;

	if (summary_ratio(of->results, of->question, of->case_name, of->comparator, base, metric, &e))
		table_cell(t, "%.2f", e.median);
	else
		table_cell(t, "-");
}

void cell_number(struct table *t, const struct cell_place *of, const char *metric)
{
	struct estimate e;
	char text[32];

	if (value_of(t, of, metric, &e))
		table_cell(t, "%s", format_number(e.median, false, text, sizeof(text)));
}

void cell_bytes(struct table *t, const struct cell_place *of, const char *metric)
{
	struct estimate e;
	char text[32];

	if (value_of(t, of, metric, &e))
		table_cell(t, "%s", format_number(e.median, true, text, sizeof(text)));
}

void cell_text(struct table *t, const struct cell_place *of, const char *metric)
{
	const char *text = summary_text(of->results, of->question, of->case_name, of->comparator, metric);

	table_cell(t, "%s", text ? text : "-");
}
