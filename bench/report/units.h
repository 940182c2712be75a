/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Numbers with their units as text, and text that grows: the bottom of the report. */
#ifndef BENCH_UNITS_H
#define BENCH_UNITS_H

#include <stdbool.h>
#include <stddef.h>

/** format_ns - "312 ns", "4.57 us", "10.3 ms" into @text, which it returns */
const char *format_ns(double ns, char *text, size_t size);

/** format_millions - three digits of millions into @text, which it returns */
const char *format_millions(double number, char *text, size_t size);

/** format_number - 100 and more, and whole numbers, without a fraction; in units of bytes if @bytes; returns @text */
const char *format_number(double number, bool bytes, char *text, size_t size);

/** text_add - append to @text; what does not fit is cut */
void text_add(char *text, size_t size, const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));

#endif /* BENCH_UNITS_H */
