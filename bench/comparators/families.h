/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* How the report groups comparators, by name: a file of results may name some that this build does not have. */
#ifndef BENCH_FAMILIES_H
#define BENCH_FAMILIES_H

#include <stdbool.h>

/* Comparators of one family share a colour. */
enum family { FAMILY_NONE, FAMILY_MIRROR, FAMILY_RCU, FAMILY_LOCK, FAMILY_OTHER, NR_FAMILIES };

enum family comparator_family(const char *name);

/** family_words - for the legend */
const char *family_words(enum family family);

/** comparator_is_headline - whether it is one of the few that small tables and figures show */
bool comparator_is_headline(const char *name);

#endif /* BENCH_FAMILIES_H */
