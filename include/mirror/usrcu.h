/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu - sleepable read-copy update in userspace, one domain at a time
 *
 * A section is a stretch of code between usrcu_read_lock and usrcu_read_unlock on one domain.
 * usrcu_synchronize waits for a grace period: until every section of that domain that began
 * before the call has ended.  Sections may sleep; no thread registers; readers of one domain
 * never delay another.
 *
 * Which calls on one domain may run at once:
 *
 *                        read side | synchronize, poll, call, barrier | destroy
 *      read side            yes    |             yes                  |  -EBUSY
 *      synchronize ...      yes    |             yes                  |  no
 *      destroy            -EBUSY   |             no                   |  no
 *
 * -EBUSY: for sections that are open; none may begin during destroy.
 *
 * Times are nanoseconds.  Every fallible call returns 0 or -errno; nothing sets errno.
 */
#ifndef MIRROR_USRCU_H
#define MIRROR_USRCU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct usrcu;
struct usrcu_ctr;               /* what usrcu_read_lock_fast returns points to one */
struct usrcu_handed_ctr;        /* ... and usrcu_down_read_fast */

/** struct usrcu_head - embedded in an object handed to usrcu_call; private while queued */
struct usrcu_head {
	struct usrcu_head *usrcu__next;
	void (*usrcu__func)(struct usrcu_head *head);
};

/** usrcu_cookie_t - names a grace period; compare only through usrcu_poll_state */
typedef uint64_t usrcu_cookie_t;

enum {
	/** Readers use full fences and grace periods send no membarrier(2). */
	USRCU_FULL_FENCE = 1u << 0,
	/** A thread of the domain's own runs the callbacks of usrcu_call. */
	USRCU_WORKER     = 1u << 1,
};

/**
 * struct usrcu_attr - how to make a domain; zero everything not used
 * @size:       sizeof(struct usrcu_attr)
 * @name:       shown in reports; copied, cut to 31 bytes; may be NULL
 * @flags:      USRCU_FULL_FENCE, USRCU_WORKER
 * @stall_ns:   report a grace period that is under way for longer than this; 0: never
 * @report:     receives one line of text: a grace period is late, or a thread has exited inside a
 *              section.  Called by a thread that waits for the grace period or polls it, with no
 *              lock held and signals as they were; may use the library; NULL: standard error
 * @report_arg: first argument of @report
 */
struct usrcu_attr {
	size_t size;
	const char *name;
	unsigned flags;
	uint64_t stall_ns;
	void (*report)(void *arg, const char *text);
	void *report_arg;
};

/**
 * usrcu_create - make a domain
 * @domain:  receives the domain
 * @attr:    NULL for the defaults
 * Return:   0; -EINVAL: NULL @domain, wrong size, unknown flag; -ENOMEM; -ENOSPC: 16383 domains
 *           and mirror lists exist already; -EAGAIN: the worker's thread could not be started
 * Cost:     a few hundred bytes; then 64 bytes for each thread that ever uses it at once with
 *           others, and one page for each thread that uses any domain
 */
int usrcu_create(struct usrcu **domain, const struct usrcu_attr *attr);

/**
 * usrcu_destroy - free a domain that nobody uses any more
 * Return:   0; -EBUSY: a section is open or callbacks are queued, and nothing was freed;
 *           -EINVAL: NULL @domain; another -errno: membarrier(2) is refused now, so nobody can
 *           know, and nothing was freed
 * Context:  may wait for the worker to stop, which is no cancellation point; not inside a callback
 *           of usrcu_call
 */
int usrcu_destroy(struct usrcu *domain);

/**
 * usrcu_uses_membarrier - whether readers go without fences
 * Return:   true: grace periods use membarrier(2); false: full fences on both sides, because
 *           the attributes ask for them or the system refused membarrier at create
 */
bool usrcu_uses_membarrier(const struct usrcu *domain);

/**
 * usrcu_read_lock - open a section
 * Return:   a token >= 0 for usrcu_read_unlock by the same thread
 * Context:  any thread and any signal handler, which ends its sections before it returns; never
 *           blocks after the thread's first use of the domain; sections nest, in any order of ending
 * Ordering: the section's accesses come after; see usrcu_synchronize
 * Cost:     one increment of the thread's own counter; with full fences, a fence more
 * Source:   Linux kernel/rcu/srcutree.c v6.12; differences: counters per thread, not per CPU
 */
int usrcu_read_lock(struct usrcu *domain);

/**
 * usrcu_read_unlock - end the section that @token came from
 * Context:  the thread that opened it; an unbalanced call stops the program
 * Ordering: the section's accesses come before
 */
void usrcu_read_unlock(struct usrcu *domain, int token);

/**
 * usrcu_read_lock_fast - the same as usrcu_read_lock, for less
 * Return:   a token for usrcu_read_unlock_fast by the same thread; never NULL
 * Context:  as usrcu_read_lock; sections of both pairs nest in one thread and domain
 * Ordering: as usrcu_read_lock
 * Cost:     as usrcu_read_lock; the end does not look for the counter, because the token is its
 *           address; with full fences the two pairs cost the same
 * Source:   Linux include/linux/srcu.h v6.15 srcu_read_lock_fast; differences: nothing is lost, so
 *           that any domain, any context and both pairs at once will do
 */
struct usrcu_ctr *usrcu_read_lock_fast(struct usrcu *domain);

/**
 * usrcu_read_unlock_fast - end the section that @ctr came from
 * Context:  the thread that opened it; an unbalanced call stops the program.  A call by another
 *           thread, which stops the program in usrcu_read_unlock, is not noticed here
 * Ordering: the section's accesses come before
 */
void usrcu_read_unlock_fast(struct usrcu *domain, struct usrcu_ctr *ctr);

/**
 * usrcu_down_read - open a section that any thread may end
 * Return:   a token >= 0 for usrcu_up_read
 * Context:  as usrcu_read_lock; the section belongs to no thread, so it is not seen by
 *           usrcu_read_lock_held nor by the -EDEADLK of usrcu_synchronize; a signal handler may
 *           leave it open
 * Cost:     as usrcu_read_lock
 */
int usrcu_down_read(struct usrcu *domain);
void usrcu_up_read(struct usrcu *domain, int token);

/**
 * usrcu_down_read_fast - the same as usrcu_down_read, for less
 * Return:   a token for usrcu_up_read_fast; never NULL
 * Context:  as usrcu_down_read
 * Cost:     as usrcu_read_lock; the end is cheaper than usrcu_up_read, and in another thread than the one that opened
 *           the section it is one read-modify-write, as there
 */
struct usrcu_handed_ctr *usrcu_down_read_fast(struct usrcu *domain);
void usrcu_up_read_fast(struct usrcu *domain, struct usrcu_handed_ctr *ctr);

/**
 * usrcu_read_lock_held - whether this thread has a section of @domain open
 * Context:  any; for assertions
 */
bool usrcu_read_lock_held(const struct usrcu *domain);

/**
 * usrcu_synchronize - wait until every section that began before the call has ended
 * Return:   0 after a whole grace period; -EDEADLK at once inside a section of @domain (when
 *           memory ran out for the thread's own counter, inside a section of any domain);
 *           another -errno: membarrier(2), which worked at create, is refused now; nothing
 *           that the call was to protect may be freed
 * Context:  may sleep; runs no callback of usrcu_call
 * Ordering: everything before the call is seen by every section that is not waited for;
 *           everything in the sections waited for is seen after the call
 * Cost:     one membarrier(2) and one pass over the counters when no section is open
 */
int usrcu_synchronize(struct usrcu *domain);

/** usrcu_synchronize_expedited - the same, spinning longer before it sleeps */
int usrcu_synchronize_expedited(struct usrcu *domain);

/**
 * usrcu_synchronize_timeout - the same, for at most @timeout_ns
 * Return:   as usrcu_synchronize, and -ETIMEDOUT; the grace period then stays under way and
 *           the next caller goes on with it
 */
int usrcu_synchronize_timeout(struct usrcu *domain, uint64_t timeout_ns);

/**
 * usrcu_get_state - name the grace period that would protect what was retired so far
 * Ordering: what this thread did before is covered by the grace period that the cookie names
 */
usrcu_cookie_t usrcu_get_state(struct usrcu *domain);

/** usrcu_start_poll - the same, and start that grace period where none is under way */
usrcu_cookie_t usrcu_start_poll(struct usrcu *domain);

/**
 * usrcu_poll_state - whether that grace period is over; moves it on without waiting
 * Return:   true: as if usrcu_synchronize had returned 0 since the cookie was taken
 * Context:  any thread, inside sections too; never sleeps; runs no callback of usrcu_call; may
 *           report a late grace period
 */
bool usrcu_poll_state(struct usrcu *domain, usrcu_cookie_t cookie);

/** usrcu_cond_synchronize - usrcu_synchronize, unless the cookie's grace period is over */
int usrcu_cond_synchronize(struct usrcu *domain, usrcu_cookie_t cookie);

/**
 * usrcu_call - run @func(@head) once, after a grace period
 * @head:    in the object to be retired; private until @func is called with it
 * Return:   0; -EINVAL: a NULL argument; -EBUSY: @head is the callback that was queued last
 * Context:  any thread, inside sections and callbacks too; sleeps only while another thread forks,
 *           never runs @func itself.  @func runs in ordinary context with no lock of the library
 *           held: in the worker if the domain has one, else in a thread that calls usrcu_barrier
 *           or usrcu_run_callbacks.  If @func throws, or ends its thread, it counts as returned
 * Cost:     one exchange on a line shared by the callers
 */
int usrcu_call(struct usrcu *domain, struct usrcu_head *head, void (*func)(struct usrcu_head *head));

/**
 * usrcu_run_callbacks - run the callbacks that are due, if no other thread does
 * Return:   0; -EINVAL: NULL @domain; -EDEADLK inside a section of @domain or inside a callback of
 *           usrcu_call on it; another -errno as usrcu_synchronize
 * Context:  any thread; never waits for readers; runs what was queued before the call alone.
 *           For programs that poll, and want neither a worker nor the wait of usrcu_barrier
 */
int usrcu_run_callbacks(struct usrcu *domain);

/**
 * usrcu_barrier - wait until every callback queued before the call has returned
 * Return:   0; -EDEADLK inside a section of @domain or inside a callback of usrcu_call on it;
 *           another -errno as usrcu_synchronize
 */
int usrcu_barrier(struct usrcu *domain);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#ifndef USRCU_NO_INLINE
#include <mirror/usrcu_inline.h>
#endif
#endif /* MIRROR_USRCU_H */
