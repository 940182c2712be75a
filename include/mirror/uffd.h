/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A publisher over Linux's userfaultfd: what happens to memory that somebody else changes
 *
 * Link libmirror-uffd (pkg-config: libmirror-uffd), make a struct mirror_uffd, and name the ranges to watch.  The
 * kernel then tells of changes to them, also by system calls that no library sees, and in another process:
 *
 *	munmap, mmap over it, a shrinking heap or mremap | MIRROR_EVENT_UNMAP of the range, when it is gone
 *	mremap that moves                       | MIRROR_EVENT_UNMAP of the old range, when it has moved (Linux says so
 *	                                        | twice); the new one is watched from then on
 *	madvise with MADV_DONTNEED, _FREE, _REMOVE | MIRROR_EVENT_CLEAR of the range, at about the same time
 *	fork, if asked for                      | MIRROR_EVENT_PROTECTION of the whole address space
 *
 * What differs from other publishers: a bracket is no wall around the change.  Whoever changes memory waits until the
 * event has been read, and not for callbacks.  So when munmap or mremap has returned, its bracket may still be ahead;
 * mirror_uffd_flush waits for it.  After madvise's event the kernel drops the pages on its own time: what a mirror
 * fetches again after the bracket may be an old page still.
 *
 * One thread reads events and does nothing else, another publishes.  Callbacks run on the latter, blockable, and may
 * change watched memory themselves.  If they are so slow that MIRROR_UFFD_MAX_EVENTS wait, all of these become one
 * MIRROR_EVENT_UNMAP of the whole address space, [0, 0).
 *
 * Watched memory is registered for write protection and never protected, so that no access to it is slower or stopped.
 * The kernel watches anonymous memory, shared memory (tmpfs, memfd) and huge pages; a range has one watcher.  It says
 * nothing of mprotect, shmdt, a file that is truncated or punched, exec and the end of a process.
 */
#ifndef MIRROR_UFFD_H
#define MIRROR_UFFD_H

#include <mirror/mirror.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** How many events may wait for callbacks. */
#define MIRROR_UFFD_MAX_EVENTS 256

enum {
	/** Publish forks too, which needs CAP_SYS_PTRACE.  A fork then waits until its event has been read. */
	MIRROR_UFFD_FORK = 1u << 0,
};

/** struct mirror_uffd - a userfaultfd whose events are published; opaque */
struct mirror_uffd;

/**
 * mirror_uffd_create - watch memory of this process, none to begin with
 * @uffd:    receives it
 * @list:    hears of it; must outlive it
 * @flags:   MIRROR_UFFD_FORK or 0
 * Return:   0; -EINVAL: NULL, or unknown flags; -EPERM: with MIRROR_UFFD_FORK, CAP_SYS_PTRACE is missing; without,
 *           a filter of system calls refuses, as containers have them; -ENOSYS: the kernel has no userfaultfd, or such
 *           a filter; -EOPNOTSUPP: the kernel's has not all that is needed here: events, and write protection;
 *           -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: no descriptor, memory or thread
 * Context:  any thread, not a signal handler; takes a lock; starts two threads, which block all signals
 *
 * The descriptor is made for user mode only (UFFD_USER_MODE_ONLY), where the kernel knows that: an unprivileged user
 * may have it whatever vm.unprivileged_userfaultfd says.  In the child of a fork it is closed, nothing is watched, and
 * all calls but mirror_uffd_destroy are -ECHILD.  A child of vfork or _Fork keeps it until exec.
 */
int mirror_uffd_create(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags);

/**
 * mirror_uffd_adopt - watch the memory of the process that made @fd
 * @fd:      of userfaultfd(2), with nothing done to it yet; passed by SCM_RIGHTS, say.  Belongs to the publisher if the
 *           call succeeds
 * Return:   as mirror_uffd_create; -EINVAL also: not such a descriptor; -EBADF
 *
 * Ranges and brackets are in that process's addresses.  If it ends, the rest is silence.  If this process ends, it goes
 * on unwatched.
 */
int mirror_uffd_adopt(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags, int fd);

/**
 * mirror_uffd_watch - watch [@start, @end) too
 * mirror_uffd_unwatch - watch it no more
 * @start:   bytes, whole pages, half-open; @start < @end
 * Return:   0; -EINVAL: not whole pages, nothing is mapped there, or something that the kernel cannot watch;
 *           -EBUSY: another userfaultfd watches part of it; -ENOMEM, also: the process has ended; -ECHILD
 * Ordering: changes that begin after the return are announced, or not any more.  Events that have been read before are
 *           published still: mirror_uffd_flush
 */
int mirror_uffd_watch(struct mirror_uffd *uffd, uint64_t start, uint64_t end);
int mirror_uffd_unwatch(struct mirror_uffd *uffd, uint64_t start, uint64_t end);

/**
 * mirror_uffd_flush - wait until all is published of which the kernel has told
 * Return:   0: every bracket has ended whose munmap, mremap, madvise or fork had returned before the call;
 *           -EINVAL: NULL; -EDEADLK: in a callback of such a bracket; -ECHILD; or the error with which the list's sync
 *           refused a bracket: the whole address space is published with the next event
 * Context:  may sleep
 */
int mirror_uffd_flush(struct mirror_uffd *uffd);

/**
 * mirror_uffd_destroy - watch no more, publish what has been read, and free @uffd
 * Return:   0: no bracket of the publisher is open on the list, and none will be; -EINVAL: NULL; -EDEADLK: in a
 *           callback of such a bracket
 * Context:  may sleep: waits for callbacks under way
 */
int mirror_uffd_destroy(struct mirror_uffd *uffd);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_UFFD_H */
