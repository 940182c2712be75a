/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu in the program's own hooks of fork, registered before the library's and after them (S10).
 *
 * This program links the static library, so that a constructor of its own comes before the
 * library's, as it does when a library is loaded late.  Such a hook runs inside the library's
 * hooks: after its prepare, before its parent and child.
 *
 * usage: fork_hooks [membarrier|fences]
 */
#include "usrcu_test.h"

enum { PREPARE, PARENT, CHILD, NR_PLACES };
static const char *const places[] = { "prepare", "parent", "child" };

static void look_up(void), wait_for_readers(void), call(void), make(void);
static const struct use {
	const char *name;
	void (*run)(void);
} uses[] = { { "first use", look_up }, { "synchronize", wait_for_readers }, { "call and barrier", call }, { "create", make } };

static struct usrcu *domain, *own;
static struct usrcu_head queued;
static uint32_t quit, nr_ran, nr_hooks;
static int early_place = -1, late_place = -1; /* where a hook does something */
static const struct use *use;

/* ---- what the hooks do ---- */

static void look_up(void)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
}

static void wait_for_readers(void)
{
	if (usrcu_synchronize_timeout(own, LONG_NS) != 0)
		abort();
}

static void count(struct usrcu_head *head)
{
	(void)head;
	add(&nr_ran, 1);
}

/* Not on a domain whose callbacks another thread may be running: that thread stands still until the fork is over. */
static void call(void)
{
	uint32_t before = get(&nr_ran);

	if (usrcu_call(own, &queued, count) != 0 || usrcu_barrier(own) != 0 || get(&nr_ran) != before + 1)
		abort();
}

static void make(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = flavour->flags };
	struct usrcu *other;

	if (usrcu_create(&other, &attr) != 0)
		abort();
	usrcu_read_unlock(other, usrcu_read_lock(other));
	if (usrcu_synchronize(other) != 0 || usrcu_destroy(other) != 0)
		abort();
}

static void hook(int wanted, int place)
{
	if (wanted != place)
		return;
	if (place == CHILD)
		alarm(CHILD_S);
	add(&nr_hooks, 1);
	use->run();
}

static void early_prepare(void)
{
	hook(early_place, PREPARE);
}

static void early_parent(void)
{
	hook(early_place, PARENT);
}

static void early_child(void)
{
	hook(early_place, CHILD);
}

static void late_prepare(void)
{
	hook(late_place, PREPARE);
}

static void late_parent(void)
{
	hook(late_place, PARENT);
}

static void late_child(void)
{
	hook(late_place, CHILD);
}

__attribute__((constructor(101))) static void before_the_library(void)
{
	pthread_atfork(early_prepare, early_parent, early_child);
}

/* ---- the forks ---- */

/* In a new thread, so that the hook's use may be its first. */
static void *fork_once(void *arg)
{
	uint32_t hooks_before = get(&nr_hooks);
	pid_t pid = fork_timed();

	if (pid == 0) {
		child_must(get(&nr_hooks) == hooks_before + (early_place != PARENT && late_place != PARENT));
		wait_for_readers();
		call();
		make();
		child_must(usrcu_synchronize(domain) == 0);
		_exit(0);
	}
	*(int *)arg = status_of(pid);
	return arg;
}

static void nothing(struct usrcu_head *head)
{
	(void)head;
}

/* What a fork waits for, and what waits for a fork. */
static void *be_busy(void *arg)
{
	struct usrcu_head head;

	while (!get(&quit)) {
		look_up();
		usrcu_synchronize_timeout(domain, 1000);
		usrcu_call(domain, &head, nothing);
		usrcu_barrier(domain);
	}
	return arg;
}

static void tests(void)
{
	pthread_t busy[2];
	int *places_of[] = { &early_place, &late_place };

	domain = new_domain(0);
	own = new_domain(0);
	for (int i = 0; i < 2; i++)
		busy[i] = start(be_busy, NULL);
	for (int late = 0; late < 2; late++)
		for (int place = 0; place < NR_PLACES; place++)
			for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
				int bad = 0, nr = (int)scaled(10), status;

				use = &uses[i];
				*places_of[late] = place;
				for (int n = 0; n < nr && bad == 0; n++) {
					join(start(fork_once, &status));
					bad += status != 0;
				}
				*places_of[late] = -1;
				is_int(bad, 0, "S10: %s: %s in a %s hook registered %s the library's", flavour->name,
				       use->name, places[place], late ? "after" : "before");
			}
	set(&quit, 1);
	for (int i = 0; i < 2; i++)
		join(busy[i]);
	quit = 0;
	is_int(usrcu_destroy(domain) | usrcu_destroy(own), 0, "S11: %s: destroy", flavour->name);
}

int main(int argc, char **argv)
{
	pthread_atfork(late_prepare, late_parent, late_child);
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
