/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * On a terminal one line that is written over; elsewhere a line every ten seconds, so that a log
 * stays short.  The time left is the expected time of what is left, corrected by how what is done
 * compares with what was expected of it.
 */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

static bool terminal, shown;
static uint64_t begun_ns, total_ns, done_ns, step_ns, last_line_ns;

void progress_begin(uint64_t expected_ns)
{
	terminal = isatty(STDERR_FILENO);
	begun_ns = bench_now_ns();
	last_line_ns = 0;
	total_ns = expected_ns;
	done_ns = step_ns = 0;
}

void progress_step(const char *what, uint64_t expected_ns)
{
	uint64_t now = bench_now_ns();
	double left_s, slowness = 1;
	unsigned left, percent;

	done_ns += step_ns;
	step_ns = expected_ns;
	/* The first seconds say little about the rest. */
	if (done_ns > 2 * NS_PER_S)
		slowness = (double)(now - begun_ns) / (double)done_ns;
	left_s = (double)(total_ns > done_ns ? total_ns - done_ns : 0) * slowness / 1e9;
	left = (unsigned)(left_s + 0.999);
	percent = total_ns ? (unsigned)(100 * done_ns / total_ns) : 0;
	if (!terminal && last_line_ns && now - last_line_ns < 10 * NS_PER_S)
		return;
	last_line_ns = now;
	fprintf(stderr, "%s[%3u%%] %u:%02u left  %s%s", terminal ? "\r\033[K" : "", percent, left / 60, left % 60,
		what, terminal ? "" : "\n");
	fflush(stderr);
	shown = terminal;
}

void progress_clear(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
