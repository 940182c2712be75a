/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-ucm: libucm's events as brackets
 *
 * Each call that libucm hooks runs two handlers of a publisher in the caller's thread: before() first of all, after()
 * last of all.  libucm holds its lock for reading from the one to the other, and takes it for writing to add and to
 * remove a handler: when one has been removed it runs no more.  after() is added before the other and removed after it,
 * so that each before() that begins something has its after(), but not the other way round.
 *
 * Calls nest, and so do publishers, so that what an after() has to end is on top of the thread's stack, if its before()
 * has begun anything: libucm gives both the same event.  The brackets themselves are in the publisher, because there is
 * no place for them on the caller's stack, and a handler must not allocate.
 */
#include <mirror/ucm.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <ucs/type/status.h>
#include <ucm/api/ucm.h>
#include <unistd.h>

#include "../port.h"

/* More brackets at once wait for each other. */
enum { NR_BRACKETS = 512 };

/* For each list as deep as brackets nest. */
enum { MAX_DEPTH = MIRROR_UCM_MAX_LISTS * MIRROR_MAX_DEPTH };

enum { CALLS = UCM_EVENT_MMAP | UCM_EVENT_MUNMAP | UCM_EVENT_MREMAP | UCM_EVENT_SHMDT | UCM_EVENT_SBRK |
	       UCM_EVENT_MADVISE | UCM_EVENT_BRK };

/* Priorities.  A publisher's place is added to FIRST, and taken from LAST. */
enum { FIRST = -1000000, LAST = 1000000 };

/* All but taken is the taker's. */
struct bracket {
	bool taken;
	const struct publisher *publisher;
	const ucm_event_t *event;
	struct mirror_range range;
};

static struct publisher {
	struct mirror_list *list;       /* under lock, NULL: free */
	struct bracket brackets[NR_BRACKETS];
} publishers[MIRROR_UCM_MAX_LISTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Of this thread: the brackets that are open, those whose start runs, and the last range that was to be unmapped. */
static _Thread_local struct {
	unsigned depth, nr_starting;
	struct bracket *open[MAX_DEPTH];
	uint64_t start, bytes;
} mine __attribute__((tls_model("initial-exec")));

/* ---- what a call changes ---- */

struct change {
	int event;
	uint64_t start, bytes;          /* 0 bytes: nothing */
};

static struct change unmaps(const void *address, uint64_t bytes)
{
	return (struct change){ MIRROR_EVENT_UNMAP, (uintptr_t)address, bytes };
}

static struct change of_mremap(const ucm_event_t *event)
{
	const size_t before = event->mremap.old_size, after = event->mremap.new_size;
	const int flags = event->mremap.flags;

	if (flags & ~MREMAP_MAYMOVE || (flags && after > before))
		return unmaps(event->mremap.address, before);
	return unmaps((char *)event->mremap.address + after, after < before ? before - after : 0);
}

/* By the system call, since libucm hooks sbrk. */
static uintptr_t heap_end(void)
{
	return (uintptr_t)syscall(SYS_brk, 0);
}

static struct change of_heap(uintptr_t end)
{
	uintptr_t now = heap_end();

	return unmaps((void *)end, end && end < now ? now - end : 0);
}

static struct change of_madvise(const ucm_event_t *event)
{
	const int advice = event->madvise.advice;
	bool drops = advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
		     advice == 24 /* MADV_DONTNEED_LOCKED */ || advice == 102 /* MADV_GUARD_INSTALL */;

	return (struct change){ MIRROR_EVENT_CLEAR, (uintptr_t)event->madvise.addr, drops ? event->madvise.length : 0 };
}

static struct change of_call(ucm_event_type_t type, const ucm_event_t *event)
{
	switch (type) {
	case UCM_EVENT_MMAP:
		return unmaps(event->mmap.address, event->mmap.flags & MAP_FIXED ? event->mmap.size : 0);
	case UCM_EVENT_MUNMAP:
		return unmaps(event->munmap.address, event->munmap.size);
	case UCM_EVENT_MREMAP:
		return of_mremap(event);
	case UCM_EVENT_SHMDT: /* libucm has told the size just before */
		return unmaps(event->shmdt.shmaddr, mine.start == (uintptr_t)event->shmdt.shmaddr ? mine.bytes : 0);
	case UCM_EVENT_SBRK:
		return of_heap(event->sbrk.increment < 0 ? heap_end() + (uintptr_t)event->sbrk.increment : 0);
	case UCM_EVENT_BRK:
		return of_heap((uintptr_t)event->brk.addr);
	case UCM_EVENT_MADVISE:
		return of_madvise(event);
	default:
		return unmaps(NULL, 0);
	}
}

/* ---- brackets ---- */

static struct bracket *take(struct publisher *p)
{
	/* Threads begin at places of their own, so that they seldom meet. */
	for (unsigned i = (unsigned)((uintptr_t)&mine >> 12);; i++) {
		struct bracket *b = &p->brackets[i % NR_BRACKETS];

		if (!load_relaxed(&b->taken) &&
		    !exchange(&b->taken, true))
			return b;
		if (i % NR_BRACKETS == 0)
			sched_yield();
	}
}

static void give_back(struct bracket *b)
{
	store_release(&b->taken, false);
}

static void start(struct publisher *p, const ucm_event_t *event, struct change c)
{
	const uint64_t page_bytes = (uint64_t)getpagesize(), last_start = mine.start, last_bytes = mine.bytes;
	struct bracket *b;
	int err;

	/* What no call would accept is left to the call. */
	if (c.bytes == 0 || c.bytes > UINT64_MAX / 2 || c.start > UINT64_MAX / 2)
		return;
	b = take(p);
	b->publisher = p;
	b->event = event;
	b->range = (struct mirror_range){ .start = c.start, .event = c.event, .flags = MIRROR_RANGE_BLOCKABLE };
	b->range.end = c.start + ((c.bytes + page_bytes - 1) & ~(page_bytes - 1));
	mine.nr_starting++;
	err = mirror_invalidate_range_start(p->list, &b->range);
	mine.nr_starting--;
	/* Callbacks may have unmapped something, and the next publisher asks for this call's range. */
	mine.start = last_start;
	mine.bytes = last_bytes;
	if (err)
		give_back(b);
	else
		mine.open[mine.depth++] = b;
}

static void before(ucm_event_type_t type, ucm_event_t *event, void *publisher)
{
	const int error = errno;

	if (type == UCM_EVENT_VM_UNMAPPED) {
		mine.start = (uintptr_t)event->vm_unmapped.address;
		mine.bytes = event->vm_unmapped.size;
		return;
	}
	start(publisher, event, of_call(type, event));
	errno = error;
}

static void after(ucm_event_type_t type, ucm_event_t *event, void *publisher)
{
	const int error = errno;
	struct bracket *b = mine.depth ? mine.open[mine.depth - 1] : NULL;

	(void)type;
	if (!b || b->event != event || b->publisher != publisher)
		return;
	/* It is open, and this thread in the publisher, until its callbacks have returned. */
	mirror_invalidate_range_end(b->publisher->list, &b->range);
	mine.depth--;
	give_back(b);
	errno = error;
}

/* ---- lists come and go ---- */

static struct publisher *publisher_of(const struct mirror_list *list)
{
	for (unsigned i = 0; i < MIRROR_UCM_MAX_LISTS; i++)
		if (publishers[i].list == list)
			return &publishers[i];
	return NULL;
}

static int error_of(ucs_status_t status)
{
	return status == UCS_OK ? 0 : status == UCS_ERR_NO_MEMORY ? -ENOMEM : -ENOTSUP;
}

static void take_out(struct publisher *p)
{
	ucm_unset_event_handler(CALLS | UCM_EVENT_VM_UNMAPPED | UCM_EVENT_FLAG_NO_INSTALL, before, p);
	ucm_unset_event_handler(CALLS | UCM_EVENT_FLAG_NO_INSTALL, after, p);
}

/* The hooks come with VM_UNMAPPED: for calls by name libucm would ask for more than it needs, such as malloc's sbrk. */
static int add(struct publisher *p)
{
	const int place = (int)(p - publishers);
	int err = error_of(ucm_set_event_handler(UCM_EVENT_VM_UNMAPPED, FIRST + place, before, p));

	if (!err)
		err = error_of(ucm_set_event_handler(CALLS | UCM_EVENT_FLAG_NO_INSTALL, LAST - place, after, p));
	if (!err)
		err = error_of(ucm_set_event_handler(CALLS | UCM_EVENT_FLAG_NO_INSTALL, FIRST + place, before, p));
	if (err)
		take_out(p);
	return err;
}

/* Whoever is in a callback would wait for himself in libucm. */
static bool is_publishing(void)
{
	return mine.depth || mine.nr_starting;
}

int mirror_ucm_start(struct mirror_list *list)
{
	struct publisher *p;
	int err;

	if (!list)
		return -EINVAL;
	if (is_publishing())
		return -EDEADLK;
	pthread_mutex_lock(&lock);
	p = publisher_of(NULL);
	if (publisher_of(list)) {
		err = -EALREADY;
	} else if (!p) {
		err = -ENOSPC;
	} else {
		p->list = list;
		err = add(p);
		if (err)
			p->list = NULL;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

int mirror_ucm_stop(struct mirror_list *list)
{
	struct publisher *p;

	if (!list)
		return -EINVAL;
	if (is_publishing())
		return -EDEADLK;
	pthread_mutex_lock(&lock);
	p = publisher_of(list);
	if (p) {
		take_out(p);
		p->list = NULL;
	}
	pthread_mutex_unlock(&lock);
	return p ? 0 : -ENOENT;
}
