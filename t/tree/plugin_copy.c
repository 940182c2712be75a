/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A plug-in that contains libmirror.a.  t/tree/plugin builds it, and broken ones. */

#include <mirror/mirror.h>
#include <mirror/usrcu.h>

#include <pthread.h>

static struct usrcu *domain;
static struct mirror_list *list;
static struct mirror mirror;
static int nr_calls;

#ifdef BROKEN_KEY /* a thread that exits later needs the plug-in's code */
static pthread_key_t key;

static void at_thread_exit(void *value)
{
	(void)value;
}
#endif

#ifdef BROKEN_TLS /* more than there is room for */
static __thread volatile char large[512] __attribute__((tls_model("initial-exec")));
#endif

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	__atomic_fetch_add(&nr_calls, (int)(r->end - r->start), __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

#pragma GCC visibility push(default)
int plugin_open(void);
int plugin_use(void);
int plugin_close(void);
#pragma GCC visibility pop

int plugin_open(void)
{
	int rc = usrcu_create(&domain, NULL) | mirror_list_create(&list, NULL) | mirror_register(list, &mirror, &ops);

#ifdef BROKEN_KEY
	rc |= pthread_key_create(&key, at_thread_exit);
#endif
	return rc;
}

/* 3 each time. */
int plugin_use(void)
{
	int token = usrcu_read_lock(domain), held = usrcu_read_lock_held(domain), before;

	usrcu_read_unlock(domain, token);
	if (!held || usrcu_read_lock_held(domain) || usrcu_synchronize(domain))
		return -1;
	before = __atomic_load_n(&nr_calls, __ATOMIC_RELAXED);
	if (mirror_invalidate_range(list, 0x1000, 0x1003))
		return -2;
#ifdef BROKEN_KEY
	pthread_setspecific(key, &key);
#endif
#ifdef BROKEN_TLS
	large[before & 511] = 1;
#endif
	return __atomic_load_n(&nr_calls, __ATOMIC_RELAXED) - before;
}

int plugin_close(void)
{
	return usrcu_synchronize(domain) | mirror_unregister(&mirror) | mirror_list_destroy(list) | usrcu_destroy(domain);
}
