/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A walk is a read section of liburcu: its flavours memb, mb and bp, which differ in their names alone
 *
 * The read side is inlined (_LGPL_SOURCE), as liburcu's documentation advises.  It would not notice a thread
 * that is not registered, whose sections no grace period waits for; hence the look at liburcu's own
 * mark.  bp registers threads by itself.  synchronize_rcu inside a section would wait for itself.
 */
#include <mirror/urcu.h>

#include <errno.h>

#define _LGPL_SOURCE
#include <urcu/urcu-bp.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>

#include "urcu_poll.h"

#define FLAVOUR(f, is_registered)                                       \
	static int f##_read_lock(void *state)                           \
	{                                                               \
		(void)state;                                            \
		if (!(is_registered))                                   \
			return -EPERM;                                  \
		urcu_##f##_read_lock();                                 \
		return 0;                                               \
	}                                                               \
                                                                        \
	static void f##_read_unlock(void *state, int token)             \
	{                                                               \
		(void)state;                                            \
		(void)token;                                            \
		urcu_##f##_read_unlock();                               \
	}                                                               \
                                                                        \
	static int f##_synchronize(void *state, uint64_t timeout_ns)    \
	{                                                               \
		(void)state;                                            \
		(void)timeout_ns;                                       \
		if (urcu_##f##_read_ongoing())                          \
			return -EBUSY;                                \
		urcu_##f##_synchronize_rcu();                           \
		return 0;                                               \
	}                                                               \
                                                                        \
	URCU_POLL_FUNCTIONS(f)                                          \
                                                                        \
	const struct mirror_sync mirror_sync_urcu_##f = {               \
		.size = sizeof(struct mirror_sync),                     \
		.name = "urcu-" #f,                                     \
		.kind = MIRROR_SYNC_GRACE_PERIOD,                       \
		.read_lock = f##_read_lock,                             \
		.read_unlock = f##_read_unlock,                         \
		.synchronize = f##_synchronize,                         \
		URCU_POLL_ENTRIES(f)                                    \
	}

FLAVOUR(memb, URCU_TLS(urcu_memb_reader).registered);
FLAVOUR(mb, URCU_TLS(urcu_mb_reader).registered);
FLAVOUR(bp, true);
