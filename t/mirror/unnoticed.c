/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What a program does not notice of the library (doc/embedders.md): no thread is started that was not asked for, no
 * pthread key and no signal handler is taken, and errno stays.
 */
#include "mirror_test.h"
#include <dirent.h>
#include <signal.h>

enum { NR_SIGNALS = 65, SOME_ERRNO = 12345 };

static int nr_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int nr = 0;

	while (tasks && readdir(tasks))
		nr++;
	if (tasks)
		closedir(tasks);
	return nr - 2; /* . and .. */
}

static int nr_handlers(void)
{
	struct sigaction action;
	int nr = 0;

	for (int i = 1; i < NR_SIGNALS; i++)
		nr += !sigaction(i, NULL, &action) && action.sa_handler != SIG_DFL;
	return nr;
}

static unsigned a_free_key(void)
{
	pthread_key_t key;

	if (pthread_key_create(&key, NULL))
		return 0;
	pthread_key_delete(key);
	return (unsigned)key + 1;
}

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

/* A little of everything; 0 if all went well. */
static int use(void)
{
	struct mirror m = { 0 };
	struct mirror_list *list;
	struct usrcu *domain;
	int token;

	if (usrcu_create(&domain, NULL) || mirror_list_create(&list, NULL) || mirror_register(list, &m, &ops))
		return 1;
	token = usrcu_read_lock(domain);
	usrcu_read_unlock(domain, token);
	return mirror_invalidate_range(list, 0, 1) || usrcu_synchronize(domain) || mirror_unregister(&m) ||
	       mirror_list_destroy(list) || usrcu_destroy(domain);
}

int main(void)
{
	const struct usrcu_attr with_worker = { .size = sizeof(with_worker), .flags = USRCU_WORKER };
	int threads = nr_threads(), handlers = nr_handlers(), worked, left;
	unsigned key = a_free_key();
	struct usrcu *domain;

	errno = SOME_ERRNO;
	worked = use();
	left = errno;
	is_int(worked, 0, "a list and a domain are used");
	is_int(left, SOME_ERRNO, "errno is as it was");
	is_int(nr_threads(), threads, "no thread was started");
	is_int(nr_handlers(), handlers, "no signal handler was installed");
	is_int(a_free_key(), key, "no pthread key was taken");

	if (usrcu_create(&domain, &with_worker))
		bail_out("no domain with a worker");
	is_int(nr_threads(), threads + 1, "a worker is seen by this test");
	is_int(usrcu_destroy(domain), 0, "... and is gone with its domain");
	return done_testing();
}
