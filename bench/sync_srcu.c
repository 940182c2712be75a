/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* srcu: sections of a usrcu domain, and a drain of the mirror alone (the default) or of all walks. */
#include "comparators.h"

const struct bench_comparator comparator_srcu = {
	.name = "srcu",
	.about = "libmirror's default: userspace SRCU, unregister waits for the mirror's own callbacks",
	.sync = &mirror_sync_srcu,
};

const struct bench_comparator comparator_srcu_domain = {
	.name = "srcu-domain",
	.about = "the same, but unregister waits for a whole grace period (MIRROR_LIST_DRAIN_DOMAIN)",
	.sync = &mirror_sync_srcu,
	.list_flags = MIRROR_LIST_DRAIN_DOMAIN,
};
