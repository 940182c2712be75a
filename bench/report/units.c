/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Numbers with their units as text. */
#include "units.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *format_ns(double ns, char *text, size_t size)
{
	static const struct { double unit; const char *name; } units[] = {
		{ 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" }, { 1, "ns" },
	};
	size_t i = 0;
	double value;

	/* What would be shown as 1000 of a unit belongs to the next. */
	while (i < 3 && ns < units[i].unit * 0.9995)
		i++;
	value = ns / units[i].unit;
	snprintf(text, size, "%.*f %s", value >= 99.95 || i == 3 ? 0 : value >= 9.995 ? 1 : 2, value, units[i].name);
	return text;
}

const char *format_millions(double number, char *text, size_t size)
{
	double m = number / 1e6;

	snprintf(text, size, "%.*f", m >= 99.95 ? 0 : m >= 9.995 ? 1 : m >= 0.9995 ? 2 : 3, m);
	return text;
}

const char *format_number(double number, bool bytes, char *text, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	int unit = 0;
	bool whole;

	for (; bytes && unit < 3 && number >= 1024; unit++)
		number /= 1024;
	whole = number >= 99.95 || number == (double)(long)number;
	snprintf(text, size, "%.*f%s%s", whole ? 0 : 1, number, bytes ? " " : "", bytes ? units[unit] : "");
	return text;
}

void text_add(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}
