/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* From the records of a run to text for a terminal, to an HTML page and to the README's table. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "descriptor.h"
#include "output.h"

/** report_text - all tables, for a terminal */
void report_text(const struct report *report, FILE *out);

/** report_markdown - the table of the summary, with a line that says how it was measured */
void report_markdown(const struct report *report, FILE *out);

/** report_page - the page, to @output; 0, or 1 with a message; without gnuplot it has no figures and says so */
int report_page(const struct report *report, struct output *output, bool figures);

#endif /* BENCH_REPORT_H */
