/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * How both questions that count are reported
 *
 * It stands apart from counts.c, which needs Zydis: a build without Zydis shows results that another build counted.
 */
#include "question.h"

/* Numbers without a unit of which less is better. */
static const char *const less_is_better[] = {
	"shared_writes", "contended_lines", "rmws", "fences", "membarriers", "futexes", "other_calls", NULL,
};

static const struct report_table tables[] = {
	{ .title = "In one operation, exactly", .columns = {
		COLUMN(NUMBER, "shared\nwrites", "shared_writes"),
		COLUMN(NUMBER, "contended\nlines", "contended_lines"),
		COLUMN(NUMBER, "read-modify-\nwrites", "rmws"),
		COLUMN(NUMBER, "fences", "fences"),
		COLUMN(NUMBER, "membarrier", "membarriers"),
		COLUMN(NUMBER, "futex", "futexes"),
		COLUMN(NUMBER, "other\ncalls", "other_calls"),
		COLUMN(NUMBER, "instructions", "instructions"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "counts",
	.own_axes = true,
	.marks = { { "shared_writes", "shared" }, { "rmws", "RMW" }, { "fences", "fences" } },
	.caption = "Shared: writes to lines that another thread touches too. RMW: read-modify-writes.",
};

static const struct report_goal goals[] = {
	{ .cases = "scene=bracket,mirrors=1", .comparator = "srcu", .metric = "instructions", .bound = 250,
	  .unit = GOAL_NUMBER, .words = "instructions of a bracket" },
	{ .cases = "scene=bracket,mirrors=16", .comparator = "srcu", .metric = "instructions", .bound = 1100,
	  .unit = GOAL_NUMBER, .words = "instructions of a bracket" },
	{ .words = NULL },
};

const struct report_question report_counts = {
	.name = "counts",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
	.less_is_better = less_is_better,
};

const struct report_question report_primitive_counts = {
	.name = "primitive-counts",
	.tables = tables,
	.figure = &figure,
	.less_is_better = less_is_better,
};
