/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The mirror list: who must hear before a range of memory goes away, and how they are told
 *
 * A mirror is a subscriber, embedded in the caller's object.  A publisher brackets each change:
 * mirror_invalidate_range_start calls every mirror that the range touches and returns when all
 * have dropped what they hold, the change is made, mirror_invalidate_range_end follows.
 * Unregister drains: when it has returned 0, no callback of the mirror runs or ever will.
 *
 * Which calls on one list may run at once: all, from any threads, but for these.  destroy runs
 * alone.  A struct mirror_range is used by one call at a time, and a struct mirror is passed to
 * register by one thread at a time.
 *
 * Ranges are half-open, [start, end), and end is 0 if the last byte, 2^64 - 1, is in the range: then
 * the end would be 2^64.  [0, 0) is the whole address space; any other range with start >= end > 0
 * or start == end is -EINVAL.  To compare, take end - 1, the last byte.
 *
 * Times are nanoseconds.  Every fallible call returns 0 or -errno (mirror_strerror says what it
 * means); nothing sets errno, reports included.
 *
 * Structures for attributes and callbacks begin with their size, the sizeof of the header that the
 * program was compiled with.  What a smaller one lacks is as if it were zero.  A larger one, of a
 * later header, is accepted if all that this library does not know is zero; else -E2BIG.  A size
 * that is no multiple of sizeof(void *), or is smaller than the first that there was, is -EINVAL.
 */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct mirror;
struct mirror_list;
struct mirror__entry;

/** What is about to happen to the range; as Linux's enum mmu_notifier_event. */
enum {
	MIRROR_EVENT_UNMAP,
	MIRROR_EVENT_CLEAR,
	MIRROR_EVENT_PROTECTION,
	MIRROR_EVENT_SOFT_DIRTY,
	MIRROR_EVENT_RELEASE,
	MIRROR_EVENT_MIGRATE,
	MIRROR_EVENT_EXCLUSIVE,
	/** The publisher's own events are MIRROR_EVENT_USER + n. */
	MIRROR_EVENT_USER = 1 << 16,
};

enum {
	/** Callbacks may sleep and must accept; without it a mirror may refuse with -EAGAIN. */
	MIRROR_RANGE_BLOCKABLE = 1u << 0,
};

/** How deep brackets may nest on one list in one thread; deeper is -ELOOP. */
#define MIRROR_MAX_DEPTH 8

/**
 * struct mirror_range - one invalidation, filled in by the publisher
 * @start, @end: bytes, half-open
 * @event:       MIRROR_EVENT_...
 * @flags:       MIRROR_RANGE_BLOCKABLE or 0
 * @owner:       lets a mirror recognise its own invalidations.  The address of a mirror: that
 *               mirror's own change: it is called, but its fills neither wait nor retry for it
 * @data:        the publisher's, for the callbacks; not used by the library
 *
 * Zero what is not used.  From start to end it belongs to the bracket: do not change or move it.
 */
struct mirror_range {
	uint64_t start, end;
	int event;
	unsigned flags;
	const void *owner;
	void *data;
	/* private */
	struct mirror_list *mirror__list;
	uintptr_t mirror__state;
	uint64_t mirror__seq;
	int mirror__token;
	bool mirror__has_end;
};

/**
 * struct mirror_ops - what a mirror does; each may be NULL
 * @size:                   sizeof(struct mirror_ops)
 * @invalidate_range_start: drop what is held of the range, and hold nothing new of it until
 *                          @invalidate_range_end.  Return 0, or -EAGAIN to refuse, which is
 *                          legal without MIRROR_RANGE_BLOCKABLE alone
 * @invalidate_range_end:   the change is over
 * @release:                the whole address space goes away; called once
 * @finish:                 the second of two passes: once @invalidate_range_start of every mirror
 *                          has returned, wait here for what it set going, so that all devices
 *                          work at the same time.  Called before the bracket's start returns,
 *                          for each mirror that accepted, also where a later one refused.  If
 *                          the range is not blockable it may wait for what ends by itself, as a
 *                          device's flush does, but not for a lock or another thread: a mirror
 *                          that would have to refuses in @invalidate_range_start
 *
 * A callback may sleep, take locks, register mirrors, start nested brackets, and unregister
 * other mirrors; itself it may unregister asynchronously.  Must outlive the registration.
 */
struct mirror_ops {
	size_t size;
	int (*invalidate_range_start)(struct mirror *m, const struct mirror_range *r);
	void (*invalidate_range_end)(struct mirror *m, const struct mirror_range *r);
	void (*release)(struct mirror *m);
	void (*finish)(struct mirror *m, const struct mirror_range *r);
};

/**
 * struct mirror - a subscriber; embed it, zeroed or not, and do not copy it while registered
 *
 * mirror_container_of finds the object in which it is embedded.
 */
struct mirror {
	const struct mirror_ops *ops;
	/* private */
	struct mirror_list *mirror__list;
	struct mirror__entry *mirror__entry;
	uintptr_t mirror__state;
	__extension__ union {
		uint64_t mirror__place;         /* while it can be found */
		uint64_t mirror__fence;         /* since it was taken out asynchronously */
	};
	uint64_t mirror__settle, mirror__fills_from, mirror__started, mirror__ended;
	uint64_t mirror__released;
	__extension__ union {
		uint64_t mirror__claimer;       /* while an unregister that waits is at it */
		void (*mirror__done)(struct mirror *m);
	};
	struct mirror *mirror__next, **mirror__link;
	struct mirror__entry *mirror__proxy;
};

static inline void *mirror__container(struct mirror *m, size_t offset)
{
	void *object = m;

#ifdef __cplusplus
	return static_cast<char *>(object) - offset;
#else
	return (char *)object - offset;
#endif
}

/**
 * mirror_container_of - the object of @type in which the mirror that @m points to is @member
 *
 * It compiles only if @m is a struct mirror *, and @member a struct mirror.
 */
#define mirror_container_of(m, type, member) \
	((type *)mirror__container((m), offsetof(type, member.ops)))

/** How walkers of a list and its changes are kept apart. */
enum mirror_sync_kind {
	/** Walkers are excluded while the list changes. */
	MIRROR_SYNC_LOCK,
	/** The list changes at once; synchronize waits for the walkers before memory is freed. */
	MIRROR_SYNC_GRACE_PERIOD,
};

/**
 * struct mirror_sync - a way of keeping them apart; bring your own RCU or lock
 * @size:         sizeof(struct mirror_sync)
 * @name:         in reports and measurements
 * @kind:         which of the two
 * @create:       make one list's state; NULL: the state is NULL
 * @destroy:      free it; 0 or -EBUSY; NULL: nothing to free
 * @read_lock:    a walk begins: a token >= 0 for @read_unlock in the same thread, or -errno,
 *                which the publisher gets.  Not nested: a nested walk of the same list stays
 *                under what its thread holds already.  NULL: nothing to do
 * @read_trylock: lock kind: the same for a range that is not blockable: -EAGAIN instead of
 *                waiting; NULL: use @read_lock
 * @write_lock:   lock kind: the list is about to change; 0 or -ETIMEDOUT after @timeout_ns
 *                (UINT64_MAX: never)
 * @write_unlock: lock kind: it has changed
 * @synchronize:  grace-period kind: wait for the walks that began before; 0, -ETIMEDOUT, or
 *                another -errno without having waited
 * @get_state:    grace-period kind, with @poll_state or neither: name a grace period that
 *                starts from now
 * @poll_state:   grace-period kind: whether it is over; moves it on, does not wait; called under
 *                the list's lock, so that it must not run callbacks of the program's
 *
 * With @get_state and @poll_state unregister waits for the mirror's own callbacks alone and
 * memory is freed later; without them it waits for @synchronize.
 *
 * What holds over which kind (the numbers are doc/contract.md's):
 *
 *                           | grace period           | lock
 *      register             | never waits (M1)       | waits for every walk; -EDEADLK in a callback
 *      unregister           | own callbacks (M6)     | waits for every walk; -EDEADLK in a callback
 *      release              | beside walks (M10)     | beside walks, under one read_lock
 *      publishing           | takes no lock (M3)     | read_lock: may wait behind a change (no M11)
 *      nested bracket       | yes (M3)               | yes: no second read_lock on the same list
 *      unregister_async     | everywhere (M8)        | waits for every walk; -EDEADLK in a callback
 */
struct mirror_sync {
	size_t size;
	const char *name;
	enum mirror_sync_kind kind;
	int (*create)(void **state);
	int (*destroy)(void *state);
	int (*read_lock)(void *state);
	int (*read_trylock)(void *state);
	void (*read_unlock)(void *state, int token);
	int (*write_lock)(void *state, uint64_t timeout_ns);
	void (*write_unlock)(void *state);
	int (*synchronize)(void *state, uint64_t timeout_ns);
	uint64_t (*get_state)(void *state);
	bool (*poll_state)(void *state, uint64_t cookie);
};

/** The default: a domain of usrcu for each list. */
extern const struct mirror_sync mirror_sync_srcu;
/** The contrast: Linux's rwsem, held for reading across the callbacks as the old HMM did. */
extern const struct mirror_sync mirror_sync_rwsem;

enum {
	/** Unregister waits for a whole grace period, the kernel's way, not for the mirror alone. */
	MIRROR_LIST_DRAIN_DOMAIN = 1u << 0,
	/**
	 * Walkers use full fences and unregister sends no membarrier(2); with the default sync
	 * nothing does.
	 */
	MIRROR_LIST_FULL_FENCE   = 1u << 1,
};

/**
 * struct mirror_allocator - where a list's memory comes from; both or neither
 *
 * They may publish on the list, as a hook of munmap does.  They are called with no lock of the
 * library held, over a lock also without the sync's write_lock.
 */
struct mirror_allocator {
	/** Return zeroed memory aligned to 64 bytes, or NULL. */
	void *(*alloc)(void *arg, size_t bytes);
	void (*free)(void *arg, void *memory, size_t bytes);
	void *arg;
};

/** struct mirror_stall - what is late; valid during the report */
struct mirror_stall {
	const char *list;       /* the list's name */
	struct mirror *mirror;
	const char *what;       /* "invalidate_range_start", ... of the callback that runs */
	int tid;                /* the thread that runs it */
	uint64_t age_ns;        /* how long it has run */
};

enum mirror_report_kind {
	MIRROR_REPORT_STALL,    /* a callback takes too long */
	MIRROR_REPORT_MISUSE,   /* a call, a callback or a thread has broken a rule */
};

/** struct mirror_report - what is wrong; valid during the report */
struct mirror_report {
	size_t size;            /* sizeof(struct mirror_report) of the library; later ones are larger */
	enum mirror_report_kind kind;
	const char *list;       /* the list's name */
	const char *what;       /* the call, or the callback: "invalidate_range_start", ... */
	struct mirror *mirror;  /* or NULL: none, or not known */
	int tid;                /* stall: the thread that runs the callback; else 0 */
	uint64_t age_ns;        /* stall: how long the callback has run; else 0 */
	const char *text;       /* all of it in a line, without a newline, for a log */
};

/**
 * struct mirror_list_attr - how to make a list; zero everything not used
 * @size:      sizeof(struct mirror_list_attr)
 * @name:      in reports; copied, cut to 31 bytes
 * @sync:      NULL: mirror_sync_srcu
 * @flags:     MIRROR_LIST_...
 * @allocator: NULL: malloc
 * @stall_ns:  report a callback that runs longer than this: while it runs, once an unregister
 *             has waited that long for it; and when it returns; 0: never, and no clock is read, except
 *             under mirror-watch(1), which is told then
 * @stall:     receives these reports alone; NULL: @report does
 * @stall_arg: its first argument
 * @report:    receives each report of misuse, and of a stall if @stall is NULL; NULL: a line on
 *             standard error.  With it, the list writes nothing there, but for the last line of a
 *             program that misuse stops.  Called in the thread that finds out, without a lock of
 *             the library, perhaps within a walk: it may do what a callback may; errno is kept
 * @report_arg: its first argument
 */
struct mirror_list_attr {
	size_t size;
	const char *name;
	const struct mirror_sync *sync;
	unsigned flags;
	const struct mirror_allocator *allocator;
	uint64_t stall_ns;
	void (*stall)(void *arg, const struct mirror_stall *stall);
	void *stall_arg;
	void (*report)(void *arg, const struct mirror_report *report);
	void *report_arg;
};

/**
 * mirror_list_create - make a list
 * @list:   receives it
 * @attr:   NULL for the defaults
 * Return:  0; -EINVAL: NULL @list, wrong size, unknown flag, half an allocator, a @sync without
 *          what its kind needs; -E2BIG: @attr or its @sync has more than this library knows;
 *          -ENOMEM; -ENOSPC: too many domains and lists exist already (16383; a sync of your own
 *          may take more); or what the sync's create returned
 */
int mirror_list_create(struct mirror_list **list, const struct mirror_list_attr *attr);

/**
 * mirror_list_release - the address space goes away: call each mirror's release exactly once
 * Return:   0 when all have returned; -EINVAL; -EALREADY: called before, perhaps still running;
 *           -EDEADLK inside a callback of this list
 * Context:  may sleep; walks and unregisters may run beside it; mirrors stay registered until
 *           they are unregistered, but get nothing of brackets that start after their release
 *           has returned; register returns -ESHUTDOWN from now on
 * Source:   Linux mm/mmu_notifier.c v6.12 __mmu_notifier_release; differences: never twice, and
 *           the mirror stays in the list until its release has returned
 */
int mirror_list_release(struct mirror_list *list);

/**
 * mirror_list_destroy - free a list that nobody uses any more
 * Return:   0; -EINVAL; -EBUSY: mirrors, open brackets or pending done() are left, or it is
 *           called in a callback of the list; nothing was freed
 */
int mirror_list_destroy(struct mirror_list *list);

/**
 * mirror_register - subscribe @m to the whole list
 * mirror_register_range - subscribe @m to what overlaps [@start, @end)
 * @m:       the caller's, until unregister returns 0 or done() is called
 * Return:   0; -EINVAL: NULL, wrong size of ops, no range; -E2BIG: ops has a callback that this
 *           library does not know; -EBUSY: @m is registered;
 *           -ENOMEM: nothing changed; -ESHUTDOWN: the list was released;
 *           lock kind: -EDEADLK inside a callback of the list, or if the wait would close a cycle
 * Context:  any thread, callbacks included; over a grace period it waits for nobody
 * Ordering: every bracket that starts after the return is heard; brackets open now are not,
 *           neither their start nor their end
 */
int mirror_register(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops);
int mirror_register_range(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops,
			  uint64_t start, uint64_t end);

/** struct mirror_extent - a range of bytes, half-open */
struct mirror_extent {
	uint64_t start, end;
};

/**
 * mirror_register_many - the same for @count mirrors at once, in the order of the array
 * @ranges:  one for each mirror; NULL: all subscribe to the whole list
 * Return:   as mirror_register_range; where one cannot be registered none is
 * Ordering: every bracket calls all of them or none
 */
int mirror_register_many(struct mirror_list *list, struct mirror *const *mirrors,
			 const struct mirror_ops *ops, const struct mirror_extent *ranges,
			 size_t count);

/**
 * mirror_set_range - move, grow or shrink the range of @m to [@start, @end)
 * @m:       registered with a range
 * Return:   0; -EINVAL: NULL, no range, @m subscribes to the whole list; -ENOENT: not registered, or
 *           an unregister has stopped its callbacks; -ENOMEM: nothing changed; -ESHUTDOWN: the list
 *           was released; lock kind: -EDEADLK inside a callback of the list
 * Context:  any thread, callbacks and brackets included, but no signal handler; over a grace period
 *           it waits for nobody.  Several may run at once: the last one holds
 * Ordering: at one moment within the call brackets change from the old range to the new one.  A
 *           bracket that started before goes by the old range, for its end too, any other by the new
 *           one.  Among the mirrors that a bracket calls, @m stands where its start puts it, and
 *           behind those with the same start.  A visit beside it goes by one of the two.  Fills
 *           under way retry, and the next one waits for all brackets that are open on the list, as
 *           the first does
 * Cost:     as a registration; a bracket that hits @m costs a few loads more from then on
 *
 * Brackets of the old range alone are not heard any more, so drop what is held of it.  With fills,
 * over a grace period: call this, note the new range and drop under one hold of the lock that the
 * callbacks take; a fill reads the note under that lock after mirror_read_begin.
 */
int mirror_set_range(struct mirror *m, uint64_t start, uint64_t end);

/**
 * mirror_unregister - remove @m and wait until no callback of it can run
 * Return:   0: @m is the caller's again and may be freed;
 *           -EINVAL: NULL; -ENOENT: never registered; -EALREADY: another call has unregistered it, or is
 *           waiting to (one that is refused does not count);
 *           -EDEADLK: inside a callback of @m, or the wait would close a cycle of callbacks
 *           that unregister each other: nothing changed; over a lock, with
 *           MIRROR_LIST_DRAIN_DOMAIN, or a sync that cannot be polled: inside any callback of the
 *           list;
 *           another -errno: membarrier(2) is refused now: no callback starts any more, but @m
 *           must not be freed; call again
 * Context:  may sleep
 * Ordering: everything that @m's callbacks wrote is visible on return
 * Cost:     one pass over the slots of the threads that have published, and one membarrier(2), but
 *           none where unregisters are frequent: publishers then execute fences instead
 * Source:   Linux mm/mmu_notifier.c v6.12 mmu_notifier_unregister; differences: does not call
 *           release, waits for @m's callbacks alone
 */
int mirror_unregister(struct mirror *m);

/**
 * mirror_unregister_timeout - the same, for at most @timeout_ns
 * Return:   as mirror_unregister, and -ETIMEDOUT: over a grace period no new callback of @m
 *           starts; the caller still owns the registration and may wait again by either call
 */
int mirror_unregister_timeout(struct mirror *m, uint64_t timeout_ns);

/**
 * mirror_unregister_async - remove @m without waiting
 * @done:    called once when no callback of @m can run any more, perhaps before the return;
 *           may free @m.  It runs in whichever thread finds out: this one, a publisher at the end
 *           of the callback, or one that calls mirror_barrier; within a walk of the list, so over
 *           a lock under its read_lock, but with no lock of the library.  The publisher's range
 *           may be not blockable, and over mirror_sync_srcu the publisher may be a signal handler;
 *           so done() frees, counts, or wakes, and waits for nobody
 * Return:   0; -EINVAL; -ENOENT; -EALREADY; lock kind: -EDEADLK inside a callback of the list, or
 *           if the wait would close a cycle
 * Context:  any, @m's own callbacks included; no callback of @m starts after the return, but one
 *           that a walk has chosen already counts as running
 */
int mirror_unregister_async(struct mirror *m, void (*done)(struct mirror *m));

/**
 * mirror_unregister_many - remove @count mirrors with one drain for all that are neighbours in the
 *                          array and of one list
 * Return:   0 when all are the caller's again; an error of mirror_unregister's that changes
 *           nothing: no mirror was removed; one of membarrier(2) or the sync: those for which a
 *           call of mirror_unregister returns -EALREADY are the caller's again
 */
int mirror_unregister_many(struct mirror *const *mirrors, size_t count);

/**
 * mirror_barrier - wait until every done() pending on @list has returned; not for later ones
 * Return:   0; -EINVAL; -EDEADLK inside a callback or a done() of the list
 */
int mirror_barrier(struct mirror_list *list);

/**
 * mirror_invalidate_range_start - announce that [@r->start, @r->end) is about to change
 * Return:   0 when every mirror that overlaps has returned from its callback: make the change,
 *           then call mirror_invalidate_range_end with the same @r, from any thread;
 *           with any other result do not call it:
 *           -EAGAIN: not blockable, and a mirror refused; those before it got their end;
 *           -EINVAL: NULL, no range, unknown flag, @r open already;
 *           -ELOOP: MIRROR_MAX_DEPTH brackets deep in this thread's callbacks of this list;
 *           lock kind: -EDEADLK: in a callback of another list, and the wait would close a cycle;
 *           or what the sync's read_lock returned
 * Context:  any thread, callbacks included; over mirror_sync_srcu also any signal handler, as long
 *           as it interrupts no call on @list but this, end, or mirror_invalidate_range; takes no
 *           lock and allocates nothing over a grace period, but for one page straight from the
 *           kernel on a thread's first use
 * Ordering: whole-list mirrors are called first, in order of registration; then range mirrors, in
 *           order of their start, and of registration where starts are equal
 * Cost:     O(log n + h) for h hits among n range mirrors, if they are neighbours; doc/ranges.md
 */
int mirror_invalidate_range_start(struct mirror_list *list, struct mirror_range *r);

/**
 * mirror_invalidate_range_end - the change is made
 *
 * Calls, in reverse order, exactly the mirrors that got the start and are still registered.  A
 * range that is not open on @list is reported as misuse and left alone.
 *
 * If the end cannot begin, because the sync refuses its read_lock in this thread or the thread is
 * 16 walks of @list deep, that is reported too, no mirror is called, and @r stays open: end it again
 * where it works.
 */
void mirror_invalidate_range_end(struct mirror_list *list, struct mirror_range *r);

/**
 * mirror_invalidate_range - start and end in one, blockable, for what has changed already
 * Return:   as mirror_invalidate_range_start; with any error there was no start without its end
 */
int mirror_invalidate_range(struct mirror_list *list, uint64_t start, uint64_t end);

/**
 * mirror_visit - call @fn for each mirror that overlaps [@start, @end), without a bracket
 * @fn:      gets the mirror, pinned as in a callback: its unregister waits for @fn.  It returns 0 to
 *           go on; any other value ends the visit
 * @arg:     for @fn
 * Return:   0, or what @fn returned; -EINVAL: NULL, no range; -ELOOP: MIRROR_MAX_DEPTH walks deep in
 *           this thread's callbacks of this list; or what the sync's read_lock returned
 * Context:  as mirror_invalidate_range_start of a blockable range; @fn may do what a callback may
 * Ordering: in the order of a start.  Mirrors whose register has returned are visited, those whose
 *           unregister has begun, or whose release has returned, are not
 * Cost:     as the start of a bracket
 */
int mirror_visit(struct mirror_list *list, uint64_t start, uint64_t end,
		 int (*fn)(struct mirror *m, void *arg), void *arg);

/** struct mirror_list_stats - totals since the list was made; not one moment's */
struct mirror_list_stats {
	size_t size;                /* in: sizeof(struct mirror_list_stats) */
	uint64_t registered;        /* mirrors now, with those that are being unregistered */
	uint64_t walks;             /* starts and ends */
	uint64_t callbacks;         /* calls of start, finish and end */
	uint64_t refusals;
	uint64_t drains;            /* unregisters that waited or could have */
	uint64_t longest_drain_ns;
	uint64_t retired_bytes;     /* memory that waits for walks to end */
};

/**
 * mirror_list_get_stats - read them, at any time
 * Return:   0, and @stats->size is how much of it the library knows: the rest was set to zero;
 *           -EINVAL: NULL, wrong size
 */
int mirror_list_get_stats(struct mirror_list *list, struct mirror_list_stats *stats);

/**
 * mirror_strerror - what an error of the library means
 * @error:   0 or -errno, as a call returned it
 * @call:    the call, "mirror_unregister", ...; NULL: any
 * Return:   a constant text, without a newline, never NULL
 * Context:  any, signal handlers included
 */
const char *mirror_strerror(int error, const char *call);

/**
 * Fills: a mirror that copies what a range holds, and must install nothing stale.
 *
 *	do {
 *		rc = mirror_read_begin_timeout(m, &seq, timeout_ns);
 *		if (rc) give up;
 *		copy what the range holds;
 *		take the lock that m's invalidate_range_start takes;
 *		stale = mirror_read_retry(m, seq);
 *		if (!stale) install the copy;
 *		release the lock;
 *	} while (stale);
 *
 * mirror_read_begin_timeout - wait until no bracket that overlaps @m is open
 * @seq:        receives what mirror_read_retry asks for; after an error, one for which it is true
 * @timeout_ns: at most; 0: do not wait; UINT64_MAX: without limit
 * Return:      0; -ETIMEDOUT; -EINVAL: NULL; -ENOENT: @m is not registered, or an unregister has
 *              stopped its callbacks, as one that has timed out does; another -errno: membarrier(2)
 *              is refused
 * Context:     may sleep, unless @timeout_ns is 0.  Not in a callback of the list, nor by a thread
 *              that is to end an overlapping bracket itself, nor in a section of usrcu (or of
 *              another RCU) for whose end a publisher waits in a bracket: each waits for ever, or
 *              times out.
 *              A mirror's first fill, and that after mirror_set_range, waits for all brackets that
 *              are open on the list.
 * mirror_read_begin - the same without limit; where that has an error, retry is true for ever
 * mirror_read_try_begin - the same without waiting: true, or false where it has an error
 * mirror_read_retry - true if an overlapping bracket has started since, or @m is not registered any
 *              more; exact under the lock that @m's invalidate_range_start takes
 *
 * @m stays registered throughout: end its fills before an unregister that returns 0.
 *
 * Progress: publishers never wait for fills.  If brackets come faster than a copy is made, a fill
 * retries for ever, and if brackets always overlap each other, none begins: give up, or let
 * blockable brackets wait in invalidate_range_start for the copy (doc/mirror.md shows how).
 *
 * A filler that changes the range itself, between begin and retry, gives its bracket's @owner the
 * mirror's address: that bracket does not count.  Other fills of the mirror do not notice it either:
 * keep them out meanwhile.
 */
uint64_t mirror_read_begin(struct mirror *m);
int mirror_read_begin_timeout(struct mirror *m, uint64_t *seq, uint64_t timeout_ns);
bool mirror_read_try_begin(struct mirror *m, uint64_t *seq);
bool mirror_read_retry(struct mirror *m, uint64_t seq);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_MIRROR_H */
