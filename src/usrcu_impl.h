/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A domain, shared by its files, from the bottom up: usrcu.c (sections, grace periods), usrcu_report.c (what is late or
 * left open), usrcu_wait.c (waiting, polling, cookies), usrcu_call.c (callbacks), usrcu_domain.c (create, destroy).
 */
#ifndef MIRROR_USRCU_IMPL_H
#define MIRROR_USRCU_IMPL_H

#include "port.h"
#include "event.h"
#include "gate.h"
#include "mutant.h"
#include "slots.h"

#include <mirror/usrcu.h>
#include <mirror/usrcu_inline.h>

/* usrcu_call.c: the callbacks of one domain. */
struct callbacks {
	struct usrcu_head *incoming;    /* pushed by any thread, newest first */
	uint64_t runner;                /* process_self() of the one thread that runs callbacks, or 0 */
	/* The runner's. */
	uint64_t batches;               /* odd: it has a batch; + 2 for each */
	struct usrcu_head *batch;       /* taken from incoming, newest first */
	struct usrcu_head *ordered;     /* that part of it which has been turned round */
	usrcu_cookie_t due;             /* the grace period that the batch waits for */

	/* The worker. */
	uint32_t has_worker;            /* the generation in which it was started, or 0; constant */
	uint32_t worker_began;          /* it has taken the role */
	int error;                      /* why it cannot wait for the batch, or 0; the worker's */
	uint32_t stop;
	struct port_thread worker;
};

/*
 * A mirror list has two domains, of one part each, that share the slots of its walkers.  In each of them only sections
 * of its part are begun.
 */
enum usrcu_part {
	USRCU_WHOLE,                    /* sections of both kinds, and slots of its own */
	USRCU_SECTIONS,                 /* of usrcu_read_lock: slot->open */
	USRCU_HANDED_OVER,              /* of usrcu_down_read: slot->lent, gone; those of vanished threads count no more */
};

struct usrcu {
	struct usrcu_head_of_domain head;
	bool membarrier;                /* light fences cost nothing, heavy ones a system call */
	enum usrcu_part part;
	struct slots slots;             /* for each thread what begins with a struct usrcu_slot */

	/* Sections of threads for which there was no memory; read-modify-writes. */
	struct usrcu_slot fallback __attribute__((aligned(64)));

	uint64_t gp __attribute__((aligned(64)));       /* the grace period: GP_... */
	uint64_t lease_ns;              /* until then the others leave the grace period to one thread */
	uint64_t began_ns;              /* when the grace period that is under way began */
	uint64_t reported;              /* gp of the last one that was reported as late */
	struct event event;             /* a grace period has ended, callbacks have been run or queued */

	struct callbacks callbacks;

	/* Constant. */
	struct usrcu *kept_next;        /* usrcu_domain.c */
	void *kept_beside;              /* the same: another struct usrcu, or NULL */
	uint64_t stall_ns;
	void (*report)(void *arg, const char *text);
	void *report_arg;
	char name[32];
};

/* ---- usrcu.c ---- */

/* d->gp */
#define GP_NEED     ((uint64_t)3)
#define GP_FENCED   ((uint64_t)1 << 2)
#define GP_FLIPPED  ((uint64_t)1 << 3)
#define GP_INDEX    ((uint64_t)1 << 4)
#define GP_ONE      ((uint64_t)1 << 5)
#define GP_NUMBER   (~(GP_ONE - 1))

static inline uint32_t usrcu_needed_(uint64_t gp)
{
	return (uint32_t)(gp & GP_NEED);
}

/* The index that new sections use, as a set. */
static inline uint32_t usrcu_current_(uint64_t gp)
{
	return gp & GP_INDEX ? 2 : 1;
}

/* The indexes whose sections the grace period waits for now. */
static inline uint32_t usrcu_awaited_(uint64_t gp)
{
	return usrcu_needed_(gp) & ~usrcu_current_(gp);
}

/* Which of the indexes in @need have a section open. */
uint32_t usrcu_open_indexes_(struct usrcu *d, uint32_t need);
/* Whether the cookie's grace period is over; no step is taken. */
bool usrcu_is_over_(const struct usrcu *d, usrcu_cookie_t cookie);
/* usrcu_cond_synchronize with a deadline: -ETIMEDOUT after it. */
int usrcu_await_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t deadline_ns);
/* Take the steps that can be taken now.  1: over; 0: not yet; -errno. */
int usrcu_advance_(struct usrcu *d, usrcu_cookie_t cookie);
/* The same; if it returns 0 because another thread has the lease, *@lease_ns says until when, else it is 0. */
int usrcu_advance_or_lease_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t *lease_ns);
/* Whether this thread may be in a section of @d. */
bool usrcu_in_section_(const struct usrcu *d);

/* ---- usrcu_report.c ---- */

/* Say once of each thread that has ended inside sections that it has. */
void usrcu_report_ended_(struct usrcu *d);
/* If the grace period that is under way is late, say so once. */
void usrcu_report_stall_(struct usrcu *d);
/* When the grace period that is under way will be late; PORT_FOREVER: never, or it has been reported. */
uint64_t usrcu_late_at_(const struct usrcu *d);

/* ---- usrcu_wait.c ---- */

/* Wait for it, spinning for @spin_ns before sleeping.  0, -ETIMEDOUT or another -errno. */
int usrcu_wait_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns);

/* What a normal grace period spins for before it sleeps: about one sleep and one wake. */
#define USRCU_SPIN_NS 5000
#define USRCU_EXPEDITED_SPIN_NS 200000

/* ---- usrcu_call.c ---- */

/* Nothing is queued, nothing runs. */
bool usrcu_no_callbacks_(const struct usrcu *d);
int usrcu_start_worker_(struct usrcu *d);
void usrcu_stop_worker_(struct usrcu *d);

/* ---- usrcu_domain.c ---- */

/* As usrcu_create: a domain of that part, over @slots, which the caller destroys after it. */
int usrcu_create_part_(struct usrcu **domain, const struct usrcu_attr *attr, const struct slots *slots,
		       enum usrcu_part part);

/* ---- the read side, for a thread that knows its slot ---- */

static inline struct usrcu_slot *usrcu_slot_(struct slot *head)
{
	return (struct usrcu_slot *)(void *)head;
}

/* Begin a section; the index is for the call that ends it.  Without membarrier the caller executes fence A of usrcu.c. */
static inline uint32_t usrcu_open_(struct usrcu *d, struct usrcu_slot *slot)
{
	uint32_t index = load_relaxed(&d->head.entry) & 1; /* either is safe: 3 of usrcu.c */

	own_enter(&slot->open[index]);
	fence_compiler();
	return index;
}

static inline void usrcu_wake_if_asked_(struct usrcu *d, uint32_t index)
{
	fence_light_unless(UNLOCK_NO_FENCE, d->membarrier); /* E of usrcu.c */
	if (unlikely(load_relaxed(&d->head.waiting)))
		usrcu__wake(d, index);
}

static inline void usrcu_close_(struct usrcu *d, struct usrcu_slot *slot, uint32_t index)
{
	if (unlikely(own_leave(&slot->open[index]))) /* B of usrcu.c */
		usrcu__unbalanced(d);
	usrcu_wake_if_asked_(d, index);
}

/* The same of a handed-over one, which any thread may end; the token is usrcu_down_read's. */
static inline int usrcu_lend_(struct usrcu *d, struct usrcu_slot *slot)
{
	uint32_t index = load_relaxed(&d->head.entry) & 1;

	own_inc(&slot->lent[index]);
	fence_compiler();
	return (int)(index | USRCU__TOKEN_HANDED | slot->number << USRCU__TOKEN_NUMBER);
}

/* The same for a thread without a slot. */
static inline int usrcu_lend_shared_(struct usrcu *d)
{
	uint32_t index = load_relaxed(&d->head.entry) & 1;

	fetch_add(&d->fallback.lent[index], 1);
	fence_light_unless(LOCK_NO_FENCE, d->membarrier); /* A of usrcu.c */
	return (int)(index | USRCU__TOKEN_HANDED);
}

/* @slot: this thread's, or NULL. */
static inline void usrcu_take_back_(struct usrcu *d, struct usrcu_slot *slot, int token)
{
	uint32_t index = (uint32_t)token & 1;

	if (unlikely(!slot || ((uint32_t)token ^ index) != (slot->number << USRCU__TOKEN_NUMBER | USRCU__TOKEN_HANDED))) {
		usrcu__up_read_slow(d, token);
		return;
	}
	(void)own_dec(&slot->lent[index]); /* B of usrcu.c */
	usrcu_wake_if_asked_(d, index);
}

#endif /* MIRROR_USRCU_IMPL_H */
