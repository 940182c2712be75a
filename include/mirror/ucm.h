/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A publisher over UCX's libucm, for programs that have UCX: its hooks of munmap, mremap, mmap, madvise, brk, shmdt
 *
 * Link libmirror-ucm (pkg-config: libmirror-ucm).  UCX patches libc's functions, or relocates calls of them, as its own
 * configuration says (UCX_MEM_MMAP_HOOK_MODE, ...).  What it sees is a bracket on each list that was given to
 * mirror_ucm_start:
 *
 *	munmap, shmdt       | MIRROR_EVENT_UNMAP of the range
 *	mmap with MAP_FIXED | MIRROR_EVENT_UNMAP of what is replaced
 *	mremap              | MIRROR_EVENT_UNMAP of the old range if it may move, of its tail if it shrinks
 *	brk, sbrk           | MIRROR_EVENT_UNMAP of what a shrinking heap gives back
 *	madvise             | MIRROR_EVENT_CLEAR, if the advice drops pages
 *
 * Brackets are blockable.  libucm has an event before a range is unmapped, and none after: the start is a handler that
 * runs before the call and before handlers of others, the end one that runs after both, also if the call failed.
 * Events and results of others' handlers are left alone.
 *
 * libucm holds a lock for reading meanwhile, and its handlers must not allocate: nor may callbacks, unless by an
 * allocator that libucm does not hook.  A callback may change memory; a bracket that the list refuses, as the ninth
 * of nested ones, is not made, and that change goes unannounced.
 *
 * Not seen: mprotect, MREMAP_FIXED's new range, system calls that are not made through libc, other processes.
 */
#ifndef MIRROR_UCM_H
#define MIRROR_UCM_H

#include <mirror/mirror.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** On how many lists the publisher publishes at once. */
#define MIRROR_UCM_MAX_LISTS 4

/**
 * mirror_ucm_start - publish on @list what libucm sees
 * Return:   0; -EINVAL: NULL; -EALREADY: @list is published on already; -ENOSPC: MIRROR_UCM_MAX_LISTS are; -ENOMEM;
 *           -EDEADLK: in a callback of the publisher; -ENOTSUP: libucm installs no hooks here, or its events are off
 * Context:  any thread, not a signal handler; may sleep: waits for the calls that libucm is in
 * Ordering: calls that begin after the return are announced
 */
int mirror_ucm_start(struct mirror_list *list);

/**
 * mirror_ucm_stop - publish on @list no more
 * Return:   0: no bracket of the publisher is open on @list, and none will be; -EINVAL: NULL; -ENOENT: not published
 *           on; -EDEADLK: in a callback of the publisher
 * Context:  may sleep: waits for the calls that libucm is in
 */
int mirror_ucm_stop(struct mirror_list *list);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_UCM_H */
