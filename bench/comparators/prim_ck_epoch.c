/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * ck-epoch: Concurrency Kit's epochs
 *
 * A record is never freed while its epoch is in use; so every run makes an epoch anew, and what
 * ten thousand threads have registered in one run burdens no other.
 */
#include "comparators.h"

#include <ck_epoch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "primitives.h"

#ifndef CK_PACKAGE_VERSION
#define CK_PACKAGE_VERSION "Concurrency Kit"
#endif

struct record {
	ck_epoch_record_t domain, other;
	struct record *next;
};

static ck_epoch_t domain, other;
static atomic_int nr_users;
static struct record *_Atomic records;
static _Thread_local struct record *mine;

static void setup(void)
{
	if (atomic_fetch_add(&nr_users, 1) == 0) {
		ck_epoch_init(&domain);
		ck_epoch_init(&other);
	}
	mine = aligned_alloc(64, sizeof(*mine));
	if (!mine) {
		bench_complain("no memory for a record of ck_epoch");
		exit(1);
	}
	memset(mine, 0, sizeof(*mine));
	ck_epoch_register(&domain, &mine->domain, NULL);
	ck_epoch_register(&other, &mine->other, NULL);
	mine->next = atomic_load(&records);
	while (!atomic_compare_exchange_weak(&records, &mine->next, mine))
		;
}

static void teardown(void)
{
	struct record *all, *next;

	if (atomic_fetch_sub(&nr_users, 1) > 1)
		return;
	for (all = atomic_exchange(&records, NULL); all; all = next) {
		next = all->next;
		free(all);
	}
}

static void pairs(unsigned n)
{
	ck_epoch_record_t *record = &mine->domain;

	for (unsigned i = 0; i < n; i++) {
		ck_epoch_begin(record, NULL);
		primitive_fence();
		ck_epoch_end(record, NULL);
	}
}

static int synchronize(void)
{
	ck_epoch_synchronize(&mine->domain);
	return 0;
}

static void open_elsewhere(void)
{
	ck_epoch_begin(&mine->other, NULL);
}

static void close_elsewhere(void)
{
	ck_epoch_end(&mine->other, NULL);
}

static void freed(ck_epoch_entry_t *entry)
{
	primitive_freed((struct retired *)entry);
}

/* ck asks that a thread calls in a section or between its own polls; this one does the latter. */
static void call(struct retired *object)
{
	ck_epoch_call(&mine->domain, (ck_epoch_entry_t *)object, freed);
}

static void poll_calls(void)
{
	ck_epoch_poll(&mine->domain);
}

/* Also of threads that have ended: no thread uses their records. */
static void barrier(void)
{
	for (struct record *r = atomic_load(&records); r; r = r->next)
		ck_epoch_barrier(&r->domain);
}

static const struct primitive primitive = {
	pairs, synchronize, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};

const struct bench_comparator primitive_ck_epoch = {
	.name = "ck-epoch",
	.about = "Concurrency Kit's epochs, inlined; an epoch is a domain",
	.library = CK_PACKAGE_VERSION,
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &primitive,
};
