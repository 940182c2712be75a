/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which comparators srcu is ahead of, and which it is behind, case by case. */
#ifndef BENCH_STANDING_H
#define BENCH_STANDING_H

#include <jansson.h>
#include <stddef.h>

enum { STANDING_MAX = 40 };

/** struct standing_text - a sentence */
struct standing_text {
	char text[2200];
};

/** report_standing - one for each case of a question, by the rate @speed, @room at most; returns how many */
size_t report_standing(const json_t *results, const char *question, const char *speed, struct standing_text *texts,
		       size_t room);

#endif /* BENCH_STANDING_H */
