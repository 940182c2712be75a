/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A walk is a time without a quiescent state of liburcu's flavour qsbr
 *
 * An online thread has nothing to do for that; one that is offline goes online for the walk.  synchronize_rcu
 * takes its caller for quiescent, which a caller in a walk is not: so walks are counted.
 */
#include <mirror/urcu.h>

#include <errno.h>

#define _LGPL_SOURCE
#include <urcu/urcu-qsbr.h>

#include "urcu_poll.h"

/* A walk's token. */
enum { STAYS_ONLINE, GOES_OFFLINE };

/* Walks, nested ones too, that this thread is in. */
static _Thread_local unsigned nr_walks;

static int qsbr_read_lock(void *state)
{
	(void)state;
	if (urcu_qsbr_read_ongoing()) {
		nr_walks++;
		return STAYS_ONLINE;
	}
	if (!URCU_TLS(urcu_qsbr_reader).registered)
		return -EPERM;
	urcu_qsbr_thread_online();
	nr_walks++;
	return GOES_OFFLINE;
}

static void qsbr_read_unlock(void *state, int token)
{
	(void)state;
	nr_walks--;
	if (token == GOES_OFFLINE)
		urcu_qsbr_thread_offline();
}

static int qsbr_synchronize(void *state, uint64_t timeout_ns)
{
	(void)state;
	(void)timeout_ns;
	if (nr_walks)
		return -EBUSY;
	urcu_qsbr_synchronize_rcu();
	return 0;
}

URCU_POLL_FUNCTIONS(qsbr)

const struct mirror_sync mirror_sync_urcu_qsbr = {
	.size = sizeof(struct mirror_sync),
	.name = "urcu-qsbr",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.read_lock = qsbr_read_lock,
	.read_unlock = qsbr_read_unlock,
	.synchronize = qsbr_synchronize,
	URCU_POLL_ENTRIES(qsbr)
};
