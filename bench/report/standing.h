/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Whom srcu is ahead of, and whom behind, case by case. */
#ifndef BENCH_STANDING_H
#define BENCH_STANDING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { STANDING_MAX = 40 };

/** struct standing_text - a sentence */
struct standing_text {
	char text[1024];
};

/** report_standing - one for each case of a question that compares speeds, @room at most; returns how many */
size_t report_standing(const json_t *results, const char *question, struct standing_text *texts, size_t room);

/** report_noise - the run's own noise: srcu against itself; false where that was not measured */
bool report_noise(const json_t *results, char *text, size_t size);

#endif /* BENCH_STANDING_H */
