/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A publisher over jemalloc's extent hooks: memory that jemalloc gives back, or whose pages it drops
 *
 * Link libmirror-jemalloc (pkg-config: libmirror-jemalloc) in a program whose malloc is jemalloc 5.  Each hook of an
 * arena calls the one that was there before, within a bracket on each list that was given to mirror_jemalloc_start:
 *
 *	dalloc, destroy          | MIRROR_EVENT_UNMAP of the extent
 *	decommit                 | MIRROR_EVENT_CLEAR of its part
 *	purge_lazy, purge_forced | MIRROR_EVENT_CLEAR of its part
 *
 * Brackets are blockable.  The start comes before the old hook, the end after it, also if that returned true: then the
 * extent was kept as it was.  If a start fails, the old hook is not called, and the extent is kept, but for destroy,
 * which cannot fail: it then goes unannounced.  alloc, commit, split and merge are passed on: they change no memory
 * that a program holds.
 *
 * jemalloc calls a hook inside malloc and free.  It serves allocations of callbacks there from other arenas, but they
 * may end in the same hooks: callbacks should not allocate.
 *
 * Memory that jemalloc takes from other programs' malloc, or large pages of its own metadata, is not seen.  By default
 * jemalloc on Linux gives no address space back (opt.retain) and drops pages only some time after they were freed:
 * a mirror hears of them then, not at free.
 */
#ifndef MIRROR_JEMALLOC_H
#define MIRROR_JEMALLOC_H

#include <mirror/mirror.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** On how many lists the publisher publishes at once, and of how many arenas. */
#define MIRROR_JEMALLOC_MAX_LISTS  8
#define MIRROR_JEMALLOC_MAX_ARENAS 1024

/** For @arena: all that there are, those that jemalloc makes by itself included. */
#define MIRROR_JEMALLOC_ALL_ARENAS (~0u)

/**
 * mirror_jemalloc_hook - put the publisher's hooks before those of an arena
 * @arena:   its number, of a mallctl; or MIRROR_JEMALLOC_ALL_ARENAS
 * Return:   0, also if they are there already; -EINVAL: no such arena; -ENOSYS: the program's malloc is not jemalloc;
 *           -ENOSPC: MIRROR_JEMALLOC_MAX_ARENAS are hooked; -EIO: jemalloc refuses
 * Context:  any thread, not a callback or hook; takes a lock
 *
 * The hooks stay, and cost little while no list is published on.  An arena that takes the number of one that was
 * destroyed is hooked anew.  Whoever changes the arena's hooks afterwards takes the publisher's off.
 */
int mirror_jemalloc_hook(unsigned arena);

/**
 * mirror_jemalloc_start - publish on @list what the hooked arenas give back
 * Return:   0; -EINVAL: NULL; -EALREADY: @list is published on already; -ENOSPC: MIRROR_JEMALLOC_MAX_LISTS are; or an
 *           error of mirror_jemalloc_hook, which is called for all arenas if none is hooked yet
 * Ordering: hooks that jemalloc calls after the return are announced
 */
int mirror_jemalloc_start(struct mirror_list *list);

/**
 * mirror_jemalloc_stop - publish on @list no more
 * Return:   0: no bracket of the publisher is open on @list, and none will be; -EINVAL: NULL; -ENOENT: not published
 *           on; -EDEADLK: in a callback of such a bracket
 * Context:  may sleep: waits for the hooks that are being announced on @list
 */
int mirror_jemalloc_stop(struct mirror_list *list);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_JEMALLOC_H */
