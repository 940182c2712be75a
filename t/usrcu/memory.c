/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu's memory (what the header says it costs): a page for a thread under mlockall too, and
 * nothing for domains that a thread never used.
 *
 * Each case is a process of its own: this program again with the case's name.
 */
#include "usrcu_test.h"
#include "usrcu_seccomp.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define NOT_HERE 77

static struct usrcu *domain;
static struct gate leave;
static uint32_t nr_inside;

static void *use_and_stay(void *arg)
{
	if (arg)
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
	add(&nr_inside, 1);
	gate_wait(&leave);
	return NULL;
}

/* KiB that so many threads take. */
static long threads_kib(pthread_t *threads, int nr, bool use)
{
	long before = resident_kib();
	pthread_attr_t attr;

	gate_init(&leave);
	set(&nr_inside, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < nr; i++)
		must(pthread_create(&threads[i], &attr, use_and_stay, use ? &domain : NULL) == 0);
	while (get(&nr_inside) < (uint32_t)nr)
		sched_yield();
	return resident_kib() - before;
}

static void join_all(pthread_t *threads, int nr)
{
	gate_open(&leave);
	for (int i = 0; i < nr; i++)
		join(threads[i]);
}

/* A use costs a thread about a page. */
static void used_domain(void)
{
	enum { NR = 100 };
	pthread_t threads[NR];
	long idle, using;

	must(usrcu_create(&domain, NULL) == 0);
	threads_kib(threads, NR, false); /* their stacks */
	join_all(threads, NR);
	idle = threads_kib(threads, NR, false);
	join_all(threads, NR);
	using = threads_kib(threads, NR, true);
	join_all(threads, NR);
	printf("%ld KiB a thread that uses a domain, %ld KiB one that does not\n", using / NR, idle / NR);
	must(using - idle < NR * 8);
	must(usrcu_synchronize(domain) == 0 && usrcu_destroy(domain) == 0);
}

static void locked(void)
{
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		exit(NOT_HERE);
	used_domain();
}

static void unused_domains(void)
{
	enum { NR = 200, MANY = 16000 };
	static struct usrcu *many[MANY];
	pthread_t threads[NR];
	long before, after;

	must(usrcu_create(&domain, NULL) == 0);
	threads_kib(threads, NR, true);
	for (int i = 0; i < MANY; i++)
		must(usrcu_create(&many[i], NULL) == 0);
	before = resident_kib();
	for (int i = 0; i < MANY; i++)
		must(usrcu_destroy(many[i]) == 0);
	after = resident_kib();
	printf("%d threads, %d domains destroyed that none of them used: %+ld KiB\n", NR, MANY, after - before);
	must(after - before < NR);
	join_all(threads, NR);
	must(usrcu_destroy(domain) == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
	const char *claim;
} cases[] = {
	{ "locked", locked, "S11: under mlockall a thread that uses a domain takes a page, not its reservation" },
	{ "unused", unused_domains, "S11: domains that a thread never used leave its memory alone when they go" },
	{ "used", used_domain, "S11: a thread's first use takes a page" },
};

int main(int argc, char **argv)
{
	size_t nr = sizeof(cases) / sizeof(cases[0]);
	char said[4096];
	int status;

	for (size_t i = 0; argc > 1 && i < nr; i++)
		if (strcmp(cases[i].name, argv[1]) == 0) {
			cases[i].run();
			return 0;
		}
	if (SANITIZED)
		skip_all("a sanitizer has memory of its own");
	for (size_t i = 0; i < nr; i++) {
		status = run_again(argv[0], cases[i].name, said, sizeof(said));
		if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
			skip(1, "%s: mlockall is refused here", cases[i].claim);
		else
			ok(status == 0, "%s", cases[i].claim);
		diag("%s", said);
	}
	return done_testing();
}
