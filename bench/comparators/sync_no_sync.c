/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * none: the same walk without any synchronisation, the limit of what a sync can reach
 *
 * Nothing keeps a walker and a change apart, so the list is frozen while it is measured: the
 * questions that change it under walkers leave this comparator out, or leave the change out.
 */
#include "comparators.h"

static int read_lock(void *state)
{
	(void)state;
	return 0;
}

static void read_unlock(void *state, int token)
{
	(void)state;
	(void)token;
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	(void)state;
	(void)timeout_ns;
	return 0;
}

static void write_unlock(void *state)
{
	(void)state;
}

/*
 * The operations exist and are empty, since an absent one would spare the call through the table
 * that every other comparator pays.
 */
static const struct mirror_sync sync_table = {
	.size = sizeof(sync_table),
	.name = "none",
	.kind = MIRROR_SYNC_LOCK,
	.read_lock = read_lock,
	.read_trylock = read_lock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};

const struct bench_comparator comparator_none = {
	.name = "none",
	.about = "the same walk with no synchronisation, over a list that does not change: the limit",
	.sync = &sync_table,
	.list_is_frozen = true,
};
