/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What mirror-bench says to its user besides its output, and whether the user has asked it to stop. */
#include <stdarg.h>
#include <stdio.h>

#include "bench.h"
#include "progress.h"

volatile sig_atomic_t bench_interrupted;

void bench_complain(const char *format, ...)
{
	va_list args;

	progress_clear();
	fputs("mirror-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}
