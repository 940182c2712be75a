/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The line that says what is being measured and how long it will still take. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdint.h>

/** progress_begin - @expected_ns: of everything */
void progress_begin(uint64_t expected_ns);

/** progress_step - about to measure @what, which is expected to take @expected_ns */
void progress_step(const char *what, uint64_t expected_ns);

/** progress_clear - take the line away, so that something else can be printed */
void progress_clear(void);

#endif /* BENCH_PROGRESS_H */
