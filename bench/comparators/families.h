/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* How the report groups comparators, by name: a file of results may name some that this build does not have. */
#ifndef BENCH_FAMILIES_H
#define BENCH_FAMILIES_H

#include <stddef.h>

/* Comparators of one family share a colour. */
enum family { FAMILY_NONE, FAMILY_MIRROR, FAMILY_RCU, FAMILY_LOCK, FAMILY_OTHER, FAMILY_OWN, NR_FAMILIES };

enum family comparator_family(const char *name);

/** family_words - for the legend */
const char *family_words(enum family family);

/** comparator_headline - the few that small tables and figures show, in their order; NULL: there is no @i-th */
const char *comparator_headline(size_t i);

/** comparator_words - what @name is to a reader who knows no comparator; @name itself if it is not of the headline */
const char *comparator_words(const char *name);

/** comparator_label - @name as tables, figures and sentences write it: an old name by the new one */
const char *comparator_label(const char *name);

#endif /* BENCH_FAMILIES_H */
