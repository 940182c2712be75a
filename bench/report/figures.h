/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The figure of a question, and of the summary, as HTML. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdio.h>

#include "descriptor.h"

/** figure_html - false: there is nothing to show, or no gnuplot */
bool figure_html(const struct report *report, const char *question, FILE *out);

/** figure_summary_html - the panels of the headlines; false as figure_html */
bool figure_summary_html(const struct report *report, FILE *out);

#endif /* BENCH_FIGURES_H */
