/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A domain, shared by usrcu.c (sections and grace periods), usrcu_call.c (callbacks) and
 * usrcu_domain.c (create and destroy).
 */
#ifndef MIRROR_USRCU_IMPL_H
#define MIRROR_USRCU_IMPL_H

#include "port.h"
#include "slots.h"
#include "mutant.h"

#include <mirror/usrcu.h>
#include <mirror/usrcu_inline.h>

/* usrcu_call.c: the callbacks of one domain. */
struct callbacks {
	struct usrcu_head *incoming;    /* pushed by anyone, newest first */
	uint64_t queued;                /* ever pushed, or about to be */
	uint64_t ran;                   /* ever returned; written by the runner */
	uint32_t running;               /* 1: a thread has taken the role of the runner */
	const void *runner;             /* which, as port_self() */
	struct usrcu_head *batch;       /* the runner's: taken from incoming, oldest first */
	usrcu_cookie_t due;             /* the runner's: the grace period that batch waits for */
	bool has_worker;
	uint32_t stop;
	struct port_thread worker;
};

struct usrcu {
	struct usrcu_head_of_domain head;
	bool membarrier;                /* light fences cost nothing, heavy ones a system call */
	struct slots slots;             /* struct usrcu_slot for each thread */

	/* Sections of threads for which there was no memory; changed by read-modify-writes. */
	struct usrcu_slot fallback __attribute__((aligned(64)));

	/* The grace period: under lock; seq is read without it. */
	struct port_mutex lock __attribute__((aligned(64)));
	uint64_t seq;                   /* odd: one is under way; + 2 for each */
	uint32_t need;                  /* bit i: index i has not been seen empty yet */
	bool flipped;

	/* Sleepers: each reads wakes, looks, and sleeps while wakes stays the same. */
	uint32_t wakes;
	uint32_t sleepers;

	struct callbacks callbacks;

	uint64_t stall_ns;
	void (*report)(void *arg, const char *text);
	void *report_arg;
	char name[32];
	struct usrcu *next_spare;
};

/* Under lock: which of the indexes in @need have a section open. */
uint32_t usrcu_open_indexes_(struct usrcu *d, uint32_t need);
/* Whether the cookie's grace period is over; no step is taken. */
bool usrcu_is_over_(const struct usrcu *d, usrcu_cookie_t cookie);
/* Take the steps that can be taken now.  1: over; 0: not yet; -errno. */
int usrcu_advance_(struct usrcu *d, usrcu_cookie_t cookie);
/* Wait for it, spinning for @spin_ns before sleeping.  0, -ETIMEDOUT or another -errno. */
int usrcu_wait_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns);
/* Whether this thread may be in a section of @d. */
bool usrcu_in_section_(const struct usrcu *d);
/* Let every sleeper look again. */
void usrcu_wake_sleepers_(struct usrcu *d);
/* Sleep until that happens after *wakes was @seen, or the deadline; 0 or -ETIMEDOUT. */
int usrcu_sleep_(struct usrcu *d, uint32_t seen, uint64_t deadline_ns);
void usrcu_report_(struct usrcu *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Run what is due, if no other thread does; for threads outside every section of @d. */
void usrcu_run_callbacks_(struct usrcu *d);
/* Nothing is queued, nothing runs. */
bool usrcu_no_callbacks_(const struct usrcu *d);
int usrcu_start_worker_(struct usrcu *d);
void usrcu_stop_worker_(struct usrcu *d);
void usrcu_callbacks_after_fork_(struct usrcu *d);

/* What a normal grace period spins for before it sleeps: about one sleep and one wake. */
#define USRCU_SPIN_NS 5000
#define USRCU_EXPEDITED_SPIN_NS 200000

#endif /* MIRROR_USRCU_IMPL_H */
