/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* rwsem: the library's contrast, Linux's reader-writer semaphore held across the callbacks. */
#include "comparators.h"

const struct bench_comparator comparator_rwsem = {
	.name = "rwsem",
	.about = "Linux's reader-writer semaphore (libmirror's urwsem), held for reading across the callbacks "
		 "as the old HMM did",
	.sync = &mirror_sync_rwsem,
};
