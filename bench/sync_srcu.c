/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* srcu: the library's default, sections of a usrcu domain and a drain of the mirror alone. */
#include "comparators.h"

const struct bench_comparator comparator_srcu = {
	.name = "srcu",
	.about = "libmirror's default: userspace SRCU, unregister waits for the mirror's own callbacks",
	.sync = &mirror_sync_srcu,
};
