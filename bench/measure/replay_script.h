/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * From a trace to what each replay thread does to the mirror lists
 *
 * Each process has a list.  Each mapping is a mirror of its range, as a registration cache would
 * have it.  Mapping registers it.  Unmapping invalidates the range, then unregisters every
 * mirror in it; one that reaches beyond the range is registered again as the pieces that
 * stay.  What only changes the pages invalidates the range.  fork registers the parent's mappings in
 * the child's list; exec and exit invalidate everything and unregister all.
 *
 * Recorded threads are dealt to replay threads so that each of these gets about as many operations;
 * each plays its recorded threads' operations in the recorded order.  An operation on a mirror
 * that another thread registers waits until it has.  It always waits for something recorded
 * earlier, so the earliest operation not yet played never waits, and nothing can lock up.
 */
#ifndef BENCH_REPLAY_SCRIPT_H
#define BENCH_REPLAY_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

enum replay_kind { REPLAY_REGISTER, REPLAY_INVALIDATE, REPLAY_UNREGISTER, REPLAY_NR_KINDS };

/** struct replay_op - one call into the library */
struct replay_op {
	uint8_t kind;
	uint32_t list;
	uint32_t mirror;                /* not of an invalidation */
	uint64_t start, end;
};

struct replay_part {
	struct replay_op *ops;
	size_t nr_ops, nr_allocated;
};

/** struct replay_script - what @nr_threads threads do */
struct replay_script {
	unsigned nr_threads;
	struct replay_part *parts;      /* one for each */
	size_t nr_ops;                  /* of all */
	size_t nr_lists, nr_mirrors;
	uint32_t *left;                 /* mirrors that are still registered at the end */
	size_t nr_left;
};

/** replay_script_create - 0; -ENOMEM */
int replay_script_create(const struct trace *trace, unsigned nr_threads, struct replay_script **script);
void replay_script_free(struct replay_script *script);

#endif /* BENCH_REPLAY_SCRIPT_H */
