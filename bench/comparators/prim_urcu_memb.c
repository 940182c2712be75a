/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* liburcu over membarrier(2): its read side inlined, as its documentation advises. */
#include "comparators.h"

#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#include <urcu/urcu-memb.h>

#include "primitives.h"

#ifndef URCU_VERSION
#define URCU_VERSION "liburcu"
#endif

static void pairs(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		urcu_memb_read_lock();
		primitive_fence();
		urcu_memb_read_unlock();
	}
}

static int synchronize(void)
{
	urcu_memb_synchronize_rcu();
	return 0;
}

/* There is one domain for all. */
static void open_section(void)
{
	urcu_memb_read_lock();
}

static void close_section(void)
{
	urcu_memb_read_unlock();
}

static void freed(struct rcu_head *head)
{
	primitive_freed((struct retired *)head);
}

static void call(struct retired *object)
{
	urcu_memb_call_rcu((struct rcu_head *)object, freed);
}

static const struct primitive primitive = {
	pairs, synchronize, open_section, close_section, call, NULL, urcu_memb_barrier,
};

const struct bench_comparator primitive_urcu_memb = {
	.name = "urcu-memb",
	.about = "liburcu's membarrier flavour, inlined",
	.library = URCU_VERSION,
	.thread_setup = urcu_memb_register_thread,
	.thread_teardown = urcu_memb_unregister_thread,
	.own = &primitive,
};
