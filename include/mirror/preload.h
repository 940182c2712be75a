/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A publisher over libc's own calls: munmap, mremap, madvise and the others, of every library in the process
 *
 * libmirror-preload stands in front of libc: start the program with LD_PRELOAD=libmirror-preload.so, or link it
 * with -lmirror-preload (pkg-config: libmirror-preload).  Each of these calls, whoever makes it, is then a bracket on
 * every list that was given to mirror_preload_start:
 *
 *	munmap, shmdt                            | MIRROR_EVENT_UNMAP of the range
 *	mmap with MAP_FIXED, shmat with SHM_REMAP | MIRROR_EVENT_UNMAP of what is replaced
 *	mremap                                   | MIRROR_EVENT_UNMAP of the old range if it may move, of its tail if
 *	                                         | it shrinks; with MREMAP_FIXED of the new range too
 *	brk, sbrk                                | MIRROR_EVENT_UNMAP of what a shrinking heap gives back
 *	madvise                                  | MIRROR_EVENT_CLEAR, if the advice drops pages (MADV_DONTNEED, _FREE,
 *	                                         | _REMOVE, _DONTNEED_LOCKED, _GUARD_INSTALL)
 *	mprotect, pkey_mprotect                  | MIRROR_EVENT_PROTECTION
 *
 * Brackets are blockable.  The start comes before the call, the end after it, also where the call failed: then
 * nothing has changed.  If the start fails (-ELOOP in callbacks that change memory that deep, or an error of the
 * list's sync) the call is not made: it fails with ENOMEM, so that nothing changes unannounced.  A bracket's @data
 * is a struct mirror_preload_call.  errno is as the call alone would leave it.
 *
 * Callers hold any lock and may be signal handlers: what doc/events.md says of interception holds for callbacks.  No
 * exception may leave one, since the calls are declared not to throw.
 *
 * On x86-64, libc's munmap, mremap, madvise, mprotect, mmap and brk are made to jump here too, so that free, realloc,
 * the end of a thread and whatever else libc does by itself are announced.  MIRROR_PRELOAD_PATCH=no in the
 * environment leaves libc as it is.
 *
 * The publisher calls the libmirror that made the list, by the two functions that mirror_preload_start passes: it does
 * not link one itself.  So a list may come from libmirror.so, or from a copy inside the program or a plug-in.
 *
 * Not seen: system calls that are not made through libc, the dynamic loader's own, other processes.
 * doc/publishers.md has shares measured on real programs, and what holds after fork and exec, beside other interposers,
 * in static programs.
 */
#ifndef MIRROR_PRELOAD_H
#define MIRROR_PRELOAD_H

#include <dlfcn.h>
#include <errno.h>
#include <mirror/mirror.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** On how many lists the publisher publishes at once. */
#define MIRROR_PRELOAD_MAX_LISTS 8

/** struct mirror_preload_call - the call that a bracket is about; valid until the bracket's end */
struct mirror_preload_call {
	size_t size;            /* sizeof(struct mirror_preload_call) of the publisher; later ones are larger */
	const char *name;       /* "munmap", ... */
	const void *caller;     /* where the call returns to */
};

/**
 * mirror_preload_publish - what mirror_preload_start calls, found in the process by its name
 * @start, @end: mirror_invalidate_range_start and mirror_invalidate_range_end of the libmirror that made @list
 * Return:       as mirror_preload_start
 */
int mirror_preload_publish(struct mirror_list *list,
			   int (*start)(struct mirror_list *list, struct mirror_range *r),
			   void (*end)(struct mirror_list *list, struct mirror_range *r));

/**
 * mirror_preload_withdraw - what mirror_preload_stop calls, found in the process by its name
 * Return:       as mirror_preload_stop
 */
int mirror_preload_withdraw(struct mirror_list *list);

/**
 * mirror_preload_stalls - what mirror_list_create calls for a list without stall_ns, if the publisher is in the process
 * @stall:       receives the function for reports of stalls that tells mirror-watch
 * Return:       the list's stall_ns; 0: mirror-watch does not look on, and @stall is left alone
 */
uint64_t mirror_preload_stalls(void (**stall)(void *arg, const struct mirror_stall *stall));

/**
 * mirror_preload_start - publish the changes of this process on @list
 * Return:   0; -EINVAL: NULL; -ENOSYS: libmirror-preload is not in this process; -EALREADY: @list is published on
 *           already; -ENOSPC: MIRROR_PRELOAD_MAX_LISTS are
 * Context:  any thread, not a signal handler; takes a lock
 * Ordering: calls that begin after the return are announced
 */
static inline int mirror_preload_start(struct mirror_list *list);

/**
 * mirror_preload_stop - publish on @list no more
 * Return:   0: no bracket of the publisher is open on @list, and none will be; -EINVAL: NULL; -ENOSYS: as
 *           mirror_preload_start; -ENOENT: not published on; -EDEADLK: in a callback of such a bracket
 * Context:  may sleep: waits for the calls that are being announced on @list
 */
static inline int mirror_preload_stop(struct mirror_list *list);

static inline int mirror_preload_start(struct mirror_list *list)
{
	int (*publish)(struct mirror_list *, int (*)(struct mirror_list *, struct mirror_range *),
		       void (*)(struct mirror_list *, struct mirror_range *));
	void *found = dlsym(NULL, "mirror_preload_publish");

	if (!found)
		return -ENOSYS;
	memcpy(&publish, &found, sizeof(publish));
	return publish(list, mirror_invalidate_range_start, mirror_invalidate_range_end);
}

static inline int mirror_preload_stop(struct mirror_list *list)
{
	int (*withdraw)(struct mirror_list *);
	void *found = dlsym(NULL, "mirror_preload_withdraw");

	if (!found)
		return -ENOSYS;
	memcpy(&withdraw, &found, sizeof(withdraw));
	return withdraw(list);
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_PRELOAD_H */
