/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The comparators, each defined in its sync_*.c; comparators.c says which of them this build has. */
#ifndef BENCH_COMPARATORS_H
#define BENCH_COMPARATORS_H

#include "bench.h"

extern const struct bench_comparator comparator_none;
extern const struct bench_comparator comparator_srcu;
extern const struct bench_comparator comparator_rwsem;
extern const struct bench_comparator comparator_pthread_rwlock_readers;
extern const struct bench_comparator comparator_pthread_rwlock_writers;
extern const struct bench_comparator comparator_urcu_memb;
extern const struct bench_comparator comparator_ck_rwlock;

#endif /* BENCH_COMPARATORS_H */
