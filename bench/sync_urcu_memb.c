/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * urcu-memb: liburcu's flavour over membarrier(2)
 *
 * Each thread of the benchmark registers itself with liburcu first.  Its read side is inlined
 * (_LGPL_SOURCE), as its own documentation advises.  One process has one grace period for all
 * lists, and synchronize_rcu knows no time limit: a timeout is not kept.
 */
#include "comparators.h"

#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#include <urcu/urcu-memb.h>

#ifndef URCU_VERSION
#define URCU_VERSION "liburcu"
#endif

static int read_lock(void *state)
{
	(void)state;
	urcu_memb_read_lock();
	return 0;
}

static void read_unlock(void *state, int token)
{
	(void)state;
	(void)token;
	urcu_memb_read_unlock();
}

static int synchronize(void *state, uint64_t timeout_ns)
{
	(void)state;
	(void)timeout_ns;
	urcu_memb_synchronize_rcu();
	return 0;
}

static const struct mirror_sync sync_table = {
	.size = sizeof(sync_table),
	.name = "urcu-memb",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.read_lock = read_lock,
	.read_unlock = read_unlock,
	.synchronize = synchronize,
};

const struct bench_comparator comparator_urcu_memb = {
	.name = "urcu-memb",
	.about = "liburcu's membarrier flavour; unregister is synchronize_rcu()",
	.library = URCU_VERSION,
	.sync = &sync_table,
	.thread_setup = urcu_memb_register_thread,
	.thread_teardown = urcu_memb_unregister_thread,
};
