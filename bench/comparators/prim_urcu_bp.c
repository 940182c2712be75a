/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* liburcu's bulletproof flavour: threads need not register, but here they do. */
#include "comparators.h"

#define _LGPL_SOURCE
#include <urcu/urcu-bp.h>

#include "primitives.h"

#ifndef URCU_VERSION
#define URCU_VERSION "liburcu"
#endif

static void pairs(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		urcu_bp_read_lock();
		primitive_fence();
		urcu_bp_read_unlock();
	}
}

static int synchronize(void)
{
	urcu_bp_synchronize_rcu();
	return 0;
}

/* There is one domain for all. */
static void open_section(void)
{
	urcu_bp_read_lock();
}

static void close_section(void)
{
	urcu_bp_read_unlock();
}

static void freed(struct rcu_head *head)
{
	primitive_freed((struct retired *)head);
}

static void call(struct retired *object)
{
	urcu_bp_call_rcu((struct rcu_head *)object, freed);
}

static const struct primitive primitive = {
	pairs, synchronize, open_section, close_section, call, NULL, urcu_bp_barrier,
};

const struct bench_comparator primitive_urcu_bp = {
	.name = "urcu-bp",
	.about = "liburcu's bulletproof flavour, inlined",
	.library = URCU_VERSION,
	.thread_setup = urcu_bp_register_thread,
	.thread_teardown = urcu_bp_unregister_thread,
	.own = &primitive,
};
