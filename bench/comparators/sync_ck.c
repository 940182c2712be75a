/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* ck-rwlock, ck-pflock, ck-brlock, ck-bytelock, ck-epoch: Concurrency Kit, through libmirror-ck. */
#include "comparators.h"

#include <mirror/ck.h>

#ifndef CK_PACKAGE_VERSION
#define CK_PACKAGE_VERSION "Concurrency Kit"
#endif

const struct bench_comparator comparator_ck_rwlock = {
	.name = "ck-rwlock",
	.about = "Concurrency Kit's ck_rwlock: spins, a waiting writer shuts readers out",
	.library = CK_PACKAGE_VERSION,
	.sync = &mirror_sync_ck_rwlock,
};

const struct bench_comparator comparator_ck_pflock = {
	.name = "ck-pflock",
	.about = "Concurrency Kit's phase-fair lock: spins, readers and writers take turns",
	.library = CK_PACKAGE_VERSION,
	.sync = &mirror_sync_ck_pflock,
	.hangs_for_good = "it deadlocks, and for good: its writers cannot give up",
	.full_only = true,
};

const struct bench_comparator comparator_ck_brlock = {
	.name = "ck-brlock",
	.about = "Concurrency Kit's big-reader lock: a counter for each thread, spins",
	.library = CK_PACKAGE_VERSION,
	.sync = &mirror_sync_ck_brlock,
	.full_only = true,
};

const struct bench_comparator comparator_ck_bytelock = {
	.name = "ck-bytelock",
	.about = "Concurrency Kit's bytelock: a byte for each thread in one cache line, spins",
	.library = CK_PACKAGE_VERSION,
	.sync = &mirror_sync_ck_bytelock,
	.full_only = true,
};

const struct bench_comparator comparator_ck_epoch = {
	.name = "ck-epoch",
	.about = "Concurrency Kit's epochs, polled: unregister waits for the mirror's own callbacks",
	.library = CK_PACKAGE_VERSION,
	.sync = &mirror_sync_ck_epoch,
	.full_only = true,
};
