/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * no-sync: the library's own walk with a sync that does nothing
 *
 * It shows what the sync costs beside the walk, and is the limit of a sync; the limit of the walk is a bare loop
 * (plain_bare.c).
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
	.name = "no-sync",
	.kind = MIRROR_SYNC_LOCK,
	.read_lock = read_lock,
	.read_trylock = read_lock,
	.read_unlock = read_unlock,
	.write_lock = write_lock,
	.write_unlock = write_unlock,
};

const struct bench_comparator comparator_no_sync = {
	.name = "no-sync",
	.about = "libmirror's own walk with a sync that does nothing, over a list that does not change",
	.sync = &sync_table,
	.list_is_frozen = true,
};
