/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* From a gnuplot script to an SVG that takes its colours from the page it stands in. */
#ifndef BENCH_SVG_H
#define BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>

/* Stands for the page's faint line colour. */
#define SVG_GRID "#c0ffee"

/** svg_colour - "#rrggbb" of family @index; in the page it becomes var(--series-INDEX) */
const char *svg_colour(int index);

/** svg_mark - gnuplot's point type for the family's member @index, so that colour is not the only difference */
int svg_mark(int index);

/** svg_css - one declaration of each series colour: for light or for dark pages */
const char *svg_css(int dark);

/** struct svg_words - what a screen reader says, and a browser shows under the pointer */
struct svg_words {
	const char *title;              /* of the whole */
	const char *const *plots;       /* of what the script plots, in this order; further plots have none */
	size_t nr_plots;
	const char *areas;              /* elements that are put on top, with titles of their own; NULL: none */
};

/**
 * svg_draw - run gnuplot over @script
 * @name:    made part of every id, so that several figures can stand in one page
 * Return:   the svg element; the caller frees it; NULL with a message if gnuplot fails
 */
char *svg_draw(const char *script, const char *name, const struct svg_words *words);

/** svg_has_failed - whether any svg_draw has, so that a figure is missing */
bool svg_has_failed(void);

/** svg_program_version - gnuplot's, or NULL if it is not found; static */
const char *svg_program_version(void);

#endif /* BENCH_SVG_H */
