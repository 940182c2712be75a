/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What sections are compared with besides RCU: a reader-writer lock, and one shared counter. */
#include "comparators.h"

#include <pthread.h>
#include <stdatomic.h>

#include "primitives.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static _Alignas(64) atomic_long counter;

static void rwlock_pairs(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		pthread_rwlock_rdlock(&lock);
		primitive_fence();
		pthread_rwlock_unlock(&lock);
	}
}

/* The least that a lock whose readers share a cache line can do. */
static void counter_pairs(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		atomic_fetch_add(&counter, 1);
		primitive_fence();
		atomic_fetch_sub(&counter, 1);
	}
}

static const struct primitive rwlock = { .pairs = rwlock_pairs };
static const struct primitive shared_counter = { .pairs = counter_pairs };

const struct bench_comparator primitive_pthread_rwlock = {
	.name = "pthread-rwlock",
	.about = "the C library's reader-writer lock, held for reading",
	.own = &rwlock,
};

const struct bench_comparator primitive_shared_counter = {
	.name = "shared-counter",
	.about = "one atomic counter that all readers raise and lower",
	.own = &shared_counter,
};
