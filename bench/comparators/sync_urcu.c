/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * urcu-memb, urcu-mb, urcu-bp, urcu-qsbr: the flavours of liburcu, through libmirror-urcu
 *
 * Each thread of the benchmark registers itself with its flavour.  Under qsbr it is offline but in the measured
 * loops, which announce a quiescent state between invalidations; elsewhere each walk goes online and offline.
 */
#include "comparators.h"

#include <mirror/urcu.h>

#define _LGPL_SOURCE
#include <urcu/urcu-bp.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

#ifndef URCU_VERSION
#define URCU_VERSION "liburcu"
#endif

const struct bench_comparator comparator_urcu_memb = {
	.name = "urcu-memb",
	.about = "liburcu's membarrier flavour; where it cannot poll, unregister is synchronize_rcu()",
	.library = URCU_VERSION,
	.sync = &mirror_sync_urcu_memb,
	.thread_setup = urcu_memb_register_thread,
	.thread_teardown = urcu_memb_unregister_thread,
};

const struct bench_comparator comparator_urcu_mb = {
	.name = "urcu-mb",
	.about = "liburcu's flavour with full fences",
	.library = URCU_VERSION,
	.sync = &mirror_sync_urcu_mb,
	.full_only = true,
	.thread_setup = urcu_mb_register_thread,
	.thread_teardown = urcu_mb_unregister_thread,
};

const struct bench_comparator comparator_urcu_bp = {
	.name = "urcu-bp",
	.about = "liburcu's bulletproof flavour",
	.library = URCU_VERSION,
	.sync = &mirror_sync_urcu_bp,
	.full_only = true,
	.thread_setup = urcu_bp_register_thread,
	.thread_teardown = urcu_bp_unregister_thread,
};

static void qsbr_setup(void)
{
	urcu_qsbr_register_thread();
	urcu_qsbr_thread_offline();
}

static void qsbr_online(void)
{
	urcu_qsbr_thread_online();
}

static void qsbr_offline(void)
{
	urcu_qsbr_thread_offline();
}

static void qsbr_quiescent(void)
{
	urcu_qsbr_quiescent_state();
}

const struct bench_comparator comparator_urcu_qsbr = {
	.name = "urcu-qsbr",
	.about = "liburcu's flavour of quiescent states, announced between invalidations; in loops that also wait for "
		 "other threads each walk goes online and offline",
	.library = URCU_VERSION,
	.sync = &mirror_sync_urcu_qsbr,
	.full_only = true,
	.thread_setup = qsbr_setup,
	.thread_teardown = urcu_qsbr_unregister_thread,
	.thread_online = qsbr_online,
	.thread_offline = qsbr_offline,
	.quiescent = qsbr_quiescent,
};
