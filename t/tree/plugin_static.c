/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A program that contains libmirror.a and uses it in a constructor that runs before those of the library; t/tree/plugin
 * builds it.  The program's first pthread key stays its own, and a fork finds the library as it should.
 */

#include <mirror/mirror.h>
#include <mirror/usrcu.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_key_t key;
static char value[] = "mine";
static struct usrcu *domain;
static void *seen, *seen_at_exit;

static void at_thread_exit(void *v)
{
	seen_at_exit = v;
}

static int in_section(void)
{
	int token = usrcu_read_lock(domain), held = usrcu_read_lock_held(domain);

	usrcu_read_unlock(domain, token);
	return held;
}

__attribute__((constructor(101))) static void early(void)
{
	if (pthread_key_create(&key, at_thread_exit) || pthread_setspecific(key, value) || usrcu_create(&domain, NULL) ||
	    !in_section() || usrcu_synchronize(domain))
		_exit(3);
#ifdef BROKEN_KEY
	pthread_setspecific(0, NULL);
#endif
	seen = pthread_getspecific(key);
}

static void *in_thread(void *unused)
{
	(void)unused;
	if (pthread_setspecific(key, value))
		return NULL;
	return in_section() && pthread_getspecific(key) == value ? domain : NULL;
}

int main(void)
{
	int status = -1;
	pthread_t thread;
	void *rc = NULL;
	pid_t child;

	if (seen != value || pthread_getspecific(key) != value) {
		puts("the program's key was taken");
		return 1;
	}
	if (pthread_create(&thread, NULL, in_thread, NULL) || pthread_join(thread, &rc) || rc != domain ||
	    seen_at_exit != value) {
		puts("a thread's value was lost");
		return 1;
	}
	child = fork();
	if (child == 0)
		_exit(!in_section() || usrcu_synchronize(domain) || usrcu_destroy(domain));
	if (waitpid(child, &status, 0) != child || status != 0) {
		puts("the child went wrong");
		return 1;
	}
	if (!in_section() || usrcu_synchronize(domain) || usrcu_destroy(domain))
		return 1;
	puts("right");
	return 0;
}
