/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What a question wants reported: its columns, marks, goals and sentences
 *
 * Each question's file fills in a struct report_question, and the report renders it.  What a question leaves out the
 * report makes from the names of its metrics (metrics.h).
 */
#ifndef BENCH_DESCRIPTOR_H
#define BENCH_DESCRIPTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cells.h"
#include "panel.h"

enum column_kind {
	COLUMN_END, COLUMN_NS, COLUMN_RATE, COLUMN_RATIO, COLUMN_NUMBER, COLUMN_BYTES, COLUMN_TEXT,
	COLUMN_OWN,                     /* the question's own cell */
};

struct report_column {
	enum column_kind kind;
	const char *heading;
	const char *metric;
	const char *base;               /* of COLUMN_RATIO: a comparator */
	void (*cell)(struct table *t, const struct cell_place *of, const char *metric); /* of COLUMN_OWN */
	const char *case_name;          /* in the summary: of this case; NULL: of the headline's */
};

/* COLUMN(NS, "p50", "unregister_p50_ns") and so on, for all but ratios and own cells. */
#define COLUMN(kind_, heading_, metric_) { .kind = COLUMN_ ## kind_, .heading = heading_, .metric = metric_ }
#define RATIO_COLUMN(heading_, metric_, base_) \
	{ .kind = COLUMN_RATIO, .heading = heading_, .metric = metric_, .base = base_ }
#define CASE_COLUMN(kind_, heading_, metric_, case_) \
	{ .kind = COLUMN_ ## kind_, .heading = heading_, .metric = metric_, .case_name = case_ }
#define OWN_COLUMN(heading_, metric_, cell_) \
	{ .kind = COLUMN_OWN, .heading = heading_, .metric = metric_, .cell = cell_ }

enum { REPORT_MAX_COLUMNS = 14 };

/** report_words_fn - words about a case into @text, which is empty before */
typedef void report_words_fn(const json_t *results, const char *case_name, char *text, size_t size);

/** struct report_table - a row for each comparator; a table for each case, unless @together or @group says else */
struct report_table {
	const char *title;              /* the case is added to it; NULL: see @title_of */
	report_words_fn *title_of;      /* the whole title, from the table's first case */
	bool together;                  /* all cases in one table */
	const char *group;              /* a parameter: cases with the same value are in one table */
	/* Above a case's first column in a table of several; NULL: the case, above each of its columns. */
	report_words_fn *heading_of;
	struct report_column columns[REPORT_MAX_COLUMNS]; /* ends with COLUMN_END */
};

/** report_shows_fn - whether a case is in a figure */
typedef bool report_shows_fn(const json_t *results, const char *case_name);

/** struct report_figure - a panel for each case */
struct report_figure {
	const char *axis;               /* what the marks have in common */
	struct {
		const char *metric, *words;
	} marks[PANEL_MAX_MARKS];
	report_shows_fn *shows;         /* NULL: all cases */
	bool own_axes;                  /* the panels are not to be compared with each other */
	double line;                    /* a dashed line stands at this value; 0: no line */
	const char *caption;
};

/** struct report_lines - a line for each comparator, over a parameter */
struct report_lines {
	const char *metric;
	const char *x;                  /* the parameter */
	bool log_x;
	const char *y_axis;
	report_shows_fn *shows;
	void (*title)(const json_t *results, char *text, size_t size);
};

enum goal_unit { GOAL_TIMES, GOAL_NS, GOAL_PER_S, GOAL_BYTES, GOAL_NUMBER };

/** struct report_goal - a bound that the library set itself */
struct report_goal {
	const char *cases;              /* a pattern of names of cases */
	const char *comparator, *metric;
	/* The base of a ratio; NULL as question, case or metric: the same. */
	const char *base, *base_question, *base_case, *base_metric;
	bool beside_locks;              /* the base is the fastest lock of the case; the metric is a rate */
	double bound;
	bool at_least;                  /* else at most */
	enum goal_unit unit;
	const char *words;
};

enum { HEADLINE_MAX_COLUMNS = 6, HEADLINE_MAX_PANELS = 4 };

/** struct report_headline_panel - a panel of the summary's figure */
struct report_headline_panel {
	const char *title, *axis, *metric;
	struct {
		const char *case_name;  /* NULL: the headline's */
		const char *words;      /* NULL: of a panel with one mark */
	} marks[PANEL_MAX_MARKS];       /* the first, and more until one has neither */
};

/** struct report_headline - what of a question stands in the summary */
struct report_headline {
	const char *(*case_of)(const json_t *results); /* NULL, as its answer NULL: all cases */
	struct report_column columns[HEADLINE_MAX_COLUMNS]; /* ends with COLUMN_END */
	struct report_headline_panel panels[HEADLINE_MAX_PANELS]; /* ends with one without a title */
	/* What the line below the table in the README says of the case; false: nothing. */
	bool (*note)(const json_t *results, char *text, size_t size);
};

/** struct report_question - any pointer may be NULL */
struct report_question {
	const char *name;
	const struct report_table *tables; /* ends with one without columns; NULL: a table of all metrics for each case */
	const struct report_figure *figure;
	const struct report_lines *lines;
	const struct report_goal *goals; /* ends with one without words */
	const struct report_headline *headline;
	const char *const *less_is_better; /* metrics without a unit of which that holds; ends with NULL */
	const char *speed;              /* a rate: the report says case by case which comparators srcu is ahead of */
	const char *projected;          /* a rate over "publishers", fitted with the mirrors of the headline's case */
	/* A sentence of the summary; false: the run does not say. */
	bool (*sentence)(const json_t *results, char *text, size_t size);
	/* A sentence about what the run can tell at all, for the method; false: the run does not say. */
	bool (*method)(const json_t *results, char *text, size_t size);
};

/** struct report - what is reported: the records of a run, and the questions that this build knows */
struct report {
	const json_t *results;
	const struct report_question *const *questions; /* in the order of the report; ends with NULL */
	const struct report_question *const *headlines; /* in the order of the summary; ends with NULL */
	const char *summary_caption;    /* of the summary's figure */
};

/** report_question_of - NULL: this build does not know it; a file of results may be another build's */
const struct report_question *report_question_of(const struct report *report, const char *name);

/** report_headline_case - the case that the summary shows of @question; NULL: all */
const char *report_headline_case(const struct report *report, const struct report_question *question);

#endif /* BENCH_DESCRIPTOR_H */
