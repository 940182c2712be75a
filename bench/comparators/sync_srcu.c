/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* srcu: sections of a usrcu domain, as it is by default and with each of a list's flags. */
#include "comparators.h"

const struct bench_comparator comparator_srcu = {
	.name = "srcu",
	.about = "libmirror's default: userspace SRCU, unregister waits for the mirror's own callbacks",
	.sync = &mirror_sync_srcu,
};

const struct bench_comparator comparator_srcu_domain = {
	.name = "srcu-domain",
	.about = "the default, but unregister waits for a whole grace period (MIRROR_LIST_DRAIN_DOMAIN)",
	.sync = &mirror_sync_srcu,
	.list_flags = MIRROR_LIST_DRAIN_DOMAIN,
};

const struct bench_comparator comparator_srcu_full_fence = {
	.name = "srcu-full-fence",
	.about = "the default, but walkers use full fences and unregister no membarrier(2) (MIRROR_LIST_FULL_FENCE)",
	.sync = &mirror_sync_srcu,
	.list_flags = MIRROR_LIST_FULL_FENCE,
};
