/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * liburcu's hash tables over a domain of usrcu: readers may sleep, and delay nobody outside the domain
 *
 * liburcu's tables take what they need of RCU from a struct rcu_flavor_struct.  USRCU_FLAVOR makes one
 * for a domain.  Link libmirror-urcu and liburcu-cds, and include <urcu/flavor.h>, or a header of
 * liburcu that includes it, before the macro is used:
 *
 *	static struct usrcu *domain;
 *	USRCU_FLAVOR(flavor, domain);
 *
 *	usrcu_create(&domain, &(struct usrcu_attr){ .size = sizeof(struct usrcu_attr), .flags = USRCU_WORKER });
 *	table = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &flavor, NULL);
 *
 *	flavor.read_lock();
 *	cds_lfht_lookup(table, hash, match, key, &iter);
 *	... sleep if you must ...
 *	flavor.read_unlock();
 *
 * Sections of usrcu_read_lock and the other calls of <mirror/usrcu.h> on the same domain do as well, and
 * with those liburcu's lists, stacks and queues: they need no flavor, but sections and a grace period.
 *
 * No thread registers.  Fork outside of sections of the domain: until the child exists, the thread that
 * resizes tables stands still, and it may wait for sections first.  Destroy the tables before the domain.
 */
#ifndef MIRROR_URCU_FLAVOR_H
#define MIRROR_URCU_FLAVOR_H

#include <mirror/usrcu.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct rcu_head;
struct urcu_atfork;

/**
 * USRCU_FLAVOR - define @name, a static const struct rcu_flavor_struct, over a domain
 * @name:    a name of file scope; names that begin with @name and an underscore are taken as well
 * @domain:  an expression of type struct usrcu *, evaluated at each call; the same while @name is used
 *
 *	read_lock                | opens a section; nested ones are counted, so their cost is that of a count
 *	read_unlock              | ends it; an unbalanced call stops the program
 *	read_ongoing             | usrcu_read_lock_held
 *	update_synchronize_rcu   | usrcu_synchronize
 *	update_call_rcu          | usrcu_call; give the domain USRCU_WORKER, or call usrcu_run_callbacks or usrcu_barrier
 *	update_defer_rcu         | usrcu_synchronize, then the function, before it returns
 *	barrier                  | usrcu_barrier
 *	register_thread and so on | nothing
 *
 * Context:  read_lock, read_unlock, read_ongoing: any thread and any signal handler.  liburcu's
 *           functions return nothing: where usrcu's return an error, as inside a section of the
 *           domain, these stop the program with the reason on stderr
 * Ordering: as the functions of <mirror/usrcu.h>
 * Cost:     a section: that of usrcu_read_lock_fast, and two stores of the thread's own
 * Source:   liburcu urcu/flavor.h 0.13; differences: later members, of polling, are left NULL
 */
#define USRCU_FLAVOR(name, domain) USRCU_FLAVOR__DEFINE(name, domain)

/* All that follows is private. */
void usrcu_flavor__nothing(void);
void usrcu_flavor__call(struct usrcu *domain, struct rcu_head *head, void (*func)(struct rcu_head *head));
void usrcu_flavor__synchronize(struct usrcu *domain);
void usrcu_flavor__barrier(struct usrcu *domain);
void usrcu_flavor__register_atfork(struct urcu_atfork *hooks);
void usrcu_flavor__unregister_atfork(struct urcu_atfork *hooks);

/* One thread's section in one flavor; its own.  liburcu's unlock has no token, so the outermost one is kept here. */
struct usrcu_flavor__section {
	unsigned long nesting;
	struct usrcu_ctr *ctr;
};

static inline void usrcu_flavor__read_lock(struct usrcu *domain, struct usrcu_flavor__section *section)
{
	struct usrcu_ctr *ctr;

	if (section->nesting) {
		section->nesting++;
		return;
	}
	ctr = usrcu_read_lock_fast(domain);
	section->nesting = 1;
	/* A signal handler that comes before this is the outermost one, and leaves its own token behind. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	section->ctr = ctr;
}

static inline void usrcu_flavor__read_unlock(struct usrcu *domain, struct usrcu_flavor__section *section)
{
	struct usrcu_ctr *ctr = section->ctr;

	if (section->nesting > 1) {
		section->nesting--;
		return;
	}
	if (!section->nesting)
		usrcu_read_unlock(domain, -1);  /* which stops the program */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	section->nesting = 0;
	usrcu_read_unlock_fast(domain, ctr);
}

#define USRCU_FLAVOR__DEFINE(name, domain)                                                              \
	static __thread struct usrcu_flavor__section name##_section;                                    \
	static void name##_read_lock(void)                                                              \
	{                                                                                               \
		usrcu_flavor__read_lock(domain, &name##_section);                                       \
	}                                                                                               \
	static void name##_read_unlock(void)                                                            \
	{                                                                                               \
		usrcu_flavor__read_unlock(domain, &name##_section);                                     \
	}                                                                                               \
	static int name##_read_ongoing(void)                                                            \
	{                                                                                               \
		return usrcu_read_lock_held(domain);                                                    \
	}                                                                                               \
	static void name##_call(struct rcu_head *head, void (*func)(struct rcu_head *head))             \
	{                                                                                               \
		usrcu_flavor__call(domain, head, func);                                                 \
	}                                                                                               \
	static void name##_synchronize(void)                                                            \
	{                                                                                               \
		usrcu_flavor__synchronize(domain);                                                      \
	}                                                                                               \
	static void name##_defer(void (*func)(void *arg), void *arg)                                    \
	{                                                                                               \
		usrcu_flavor__synchronize(domain);                                                      \
		func(arg);                                                                              \
	}                                                                                               \
	static void name##_barrier(void)                                                                \
	{                                                                                               \
		usrcu_flavor__barrier(domain);                                                          \
	}                                                                                               \
	static const struct rcu_flavor_struct name = {                                                  \
		.read_lock = name##_read_lock,                                                          \
		.read_unlock = name##_read_unlock,                                                      \
		.read_ongoing = name##_read_ongoing,                                                    \
		.read_quiescent_state = usrcu_flavor__nothing,                                          \
		.update_call_rcu = name##_call,                                                         \
		.update_synchronize_rcu = name##_synchronize,                                           \
		.update_defer_rcu = name##_defer,                                                       \
		.thread_offline = usrcu_flavor__nothing,                                                \
		.thread_online = usrcu_flavor__nothing,                                                 \
		.register_thread = usrcu_flavor__nothing,                                               \
		.unregister_thread = usrcu_flavor__nothing,                                             \
		.barrier = name##_barrier,                                                              \
		.register_rculfhash_atfork = usrcu_flavor__register_atfork,                             \
		.unregister_rculfhash_atfork = usrcu_flavor__unregister_atfork,                         \
	}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_URCU_FLAVOR_H */
