/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The comparators: of mirror lists in sync_*.c, lists without libmirror in plain_*.c, primitives in prim_*.c, indexes
 * of ranges in ranges_*.c, outside systems in outside_*.c, registration caches in cache_*.c.  comparators.c and the
 * questions name those that this build has.
 */
#ifndef BENCH_COMPARATORS_H
#define BENCH_COMPARATORS_H

#include "../measure/bench.h"

/** struct bench_absent - a comparator that this build leaves out, and why */
struct bench_absent {
	const char *name;
	const char *why;
};

/*
 * What mirror lists are compared over and with, in the order of the report.  Both end: with NULL, and with a name of
 * NULL.
 */
extern const struct bench_comparator *const bench_comparators[];
extern const struct bench_absent bench_absent[];

/** bench_list_create - an empty list over @comparator's sync; 0 or -errno, already reported */
int bench_list_create(struct mirror_list **list, const struct bench_comparator *comparator);

extern const struct bench_comparator comparator_bare;
extern const struct bench_comparator comparator_list_rwlock;
extern const struct bench_comparator comparator_list_urcu;

extern const struct bench_comparator comparator_no_sync;
extern const struct bench_comparator comparator_srcu;
extern const struct bench_comparator comparator_rwsem;
extern const struct bench_comparator comparator_pthread_rwlock_readers;
extern const struct bench_comparator comparator_pthread_rwlock_writers;
extern const struct bench_comparator comparator_pthread_mutex;
extern const struct bench_comparator comparator_urcu_memb;
extern const struct bench_comparator comparator_urcu_mb;
extern const struct bench_comparator comparator_urcu_bp;
extern const struct bench_comparator comparator_urcu_qsbr;
extern const struct bench_comparator comparator_ck_rwlock;
extern const struct bench_comparator comparator_ck_pflock;
extern const struct bench_comparator comparator_ck_brlock;
extern const struct bench_comparator comparator_ck_bytelock;
extern const struct bench_comparator comparator_ck_epoch;

extern const struct bench_comparator comparator_srcu_domain;
extern const struct bench_comparator comparator_srcu_full_fence;

extern const struct bench_comparator primitive_usrcu;
extern const struct bench_comparator primitive_usrcu_fast;
extern const struct bench_comparator primitive_usrcu_handed;
extern const struct bench_comparator primitive_usrcu_handed_fast;
extern const struct bench_comparator primitive_usrcu_expedited;
extern const struct bench_comparator primitive_usrcu_full_fence;
extern const struct bench_comparator primitive_usrcu_worker;
extern const struct bench_comparator primitive_usrcu_poll;
extern const struct bench_comparator primitive_urcu_memb;
extern const struct bench_comparator primitive_urcu_bp;
extern const struct bench_comparator primitive_ck_epoch;
extern const struct bench_comparator primitive_pthread_rwlock;
extern const struct bench_comparator primitive_shared_counter;

extern const struct bench_comparator ranges_srcu;
extern const struct bench_comparator ranges_rwsem;
extern const struct bench_comparator ranges_tree;
extern const struct bench_comparator ranges_list;
extern const struct bench_comparator ranges_array;
extern const struct bench_comparator ranges_ucs;

extern const struct bench_comparator cache_srcu;
extern const struct bench_comparator cache_ucs_rcache;

extern const struct bench_comparator outside_srcu;
extern const struct bench_comparator outside_rwsem;
extern const struct bench_comparator outside_bare;
extern const struct bench_comparator outside_list_rwlock;
extern const struct bench_comparator outside_list_urcu;
extern const struct bench_comparator outside_ucm;
extern const struct bench_comparator outside_ucs_rcache;

#endif /* BENCH_COMPARATORS_H */
