/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What all flavors of USRCU_FLAVOR share: usrcu's calls with liburcu's types, and forks beside liburcu's tables. */
#include <mirror/urcu_flavor.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/call-rcu.h>
#include <urcu/flavor.h>

/* The caller would go on as if all were well, and free what readers look at. */
static void must(int rc, const char *function, const struct usrcu *domain)
{
	if (!rc)
		return;
	fprintf(stderr, "libmirror-urcu: %s in a flavor of liburcu, which cannot return an error: %s (%p)\n", function,
		strerror(-rc), (const void *)domain);
	abort();
}

void usrcu_flavor__nothing(void)
{
}

/* Both heads are private while queued, and hold a link and a function that takes the head's address. */
_Static_assert(sizeof(struct rcu_head) >= sizeof(struct usrcu_head), "liburcu's head has room for ours");
_Static_assert(_Alignof(struct rcu_head) >= _Alignof(struct usrcu_head), "liburcu's head can be ours");

void usrcu_flavor__call(struct usrcu *domain, struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	must(usrcu_call(domain, (struct usrcu_head *)head, (void (*)(struct usrcu_head *))func), "usrcu_call", domain);
}

void usrcu_flavor__synchronize(struct usrcu *domain)
{
	must(usrcu_synchronize(domain), "usrcu_synchronize", domain);
}

void usrcu_flavor__barrier(struct usrcu *domain)
{
	must(usrcu_barrier(domain), "usrcu_barrier", domain);
}

/*
 * ---- forks ----
 *
 * liburcu's tables are resized by a thread of their own, which has to stand still during a fork and has to be started
 * again in the child.  The hooks for that are the same for all tables.  They are called from here, since flavors of
 * liburcu call only the hooks that were given to them.  libmirror's own were registered when it was loaded: so these
 * come before them, and the thread comes to rest while it can still use a domain.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct urcu_atfork *hooks;       /* under lock; NULL without tables */
static unsigned nr_users;               /* under lock */

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	if (hooks)
		hooks->before_fork(hooks->priv);
}

static void after_fork_parent(void)
{
	if (hooks)
		hooks->after_fork_parent(hooks->priv);
	pthread_mutex_unlock(&lock);
}

static void after_fork_child(void)
{
	if (hooks)
		hooks->after_fork_child(hooks->priv);
	pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
	must(-pthread_atfork(before_fork, after_fork_parent, after_fork_child), "pthread_atfork", NULL);
}

void usrcu_flavor__register_atfork(struct urcu_atfork *new_hooks)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	hooks = new_hooks;
	nr_users++;
	pthread_mutex_unlock(&lock);
}

void usrcu_flavor__unregister_atfork(struct urcu_atfork *old_hooks)
{
	(void)old_hooks;
	pthread_mutex_lock(&lock);
	if (!--nr_users)
		hooks = NULL;
	pthread_mutex_unlock(&lock);
}
