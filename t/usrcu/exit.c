/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu while threads end (S1, S9): first and last uses in each round of key destructors, handlers
 * in the middle of an exit, and what threads that have ended leave behind: a record for each, of
 * which there are never more than half as many again as threads that lived at once.
 */
#include "usrcu_impl.h" /* first: it brings its own operations for the read side */

#include "usrcu_test.h"

#include <sys/time.h>

/* As many as there are; in the last one ThreadSanitizer has forgotten the thread, and its own code fails. */
#define ROUNDS (THREAD_SANITIZED ? 3 : 4)

static struct usrcu *domain;
static uint32_t nr_reports, quit;

static void report(void *arg, const char *text)
{
	(void)arg;
	add(&nr_reports, 1);
	diag("%s", text);
}

static int nr_records(void)
{
	int nr = 0;

	for (struct record *r = slots_first_record(); r; r = load_acquire(&r->next))
		nr++;
	return nr;
}

static void use(void)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
}

/* ---- rounds of key destructors ---- */

static pthread_key_t key;
static int wanted_round;
static bool is_first_use;
static __thread int round_now, token;

static void destructor(void *value)
{
	if (++round_now < wanted_round)
		pthread_setspecific(key, value);
	else if (is_first_use)
		use();
	else
		usrcu_read_unlock(domain, token);
}

static void *end_in_a_round(void *arg)
{
	if (!is_first_use)
		token = usrcu_read_lock(domain);
	pthread_setspecific(key, arg);
	return NULL;
}

static void rounds(void)
{
	struct usrcu_attr attr = { .report = report };

	domain = new_domain_with(attr);
	pthread_key_create(&key, destructor);
	for (int first = 0; first < 2; first++)
		for (wanted_round = 1; wanted_round <= ROUNDS; wanted_round++) {
			int before, after;

			is_first_use = first;
			join(start(end_in_a_round, &key));
			before = nr_records();
			for (uint64_t i = 0; i < scaled(200); i++)
				join(start(end_in_a_round, &key));
			after = nr_records();
			ok(synchronize_long(domain) == 0 && nr_reports == 0 && after - before <= 2,
			   "S1: %s: a thread's %s use in round %d of key destructors: allowed, +%d records", flavour->name,
			   first ? "first" : "last", wanted_round, after - before);
		}
	pthread_key_delete(key);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* ---- threads that come and go ---- */

static struct gate leave;
static uint32_t nr_inside;

static void *use_and_wait(void *arg)
{
	use();
	add(&nr_inside, 1);
	gate_wait(&leave);
	return arg;
}

static void crowd(pthread_t *threads, int nr)
{
	gate_init(&leave);
	set(&nr_inside, 0);
	for (int i = 0; i < nr; i++)
		threads[i] = start(use_and_wait, NULL);
	while (get(&nr_inside) < (uint32_t)nr)
		sched_yield();
	gate_open(&leave);
	for (int i = 0; i < nr; i++)
		join(threads[i]);
}

static void come_and_go(void)
{
	enum { PEAK = 100 };
	pthread_t threads[PEAK];
	uint64_t most = scaled(SANITIZED ? 1000 : 10000);
	int records;

	domain = new_domain(0);
	for (uint64_t i = 0; i < most; i += PEAK)
		crowd(threads, PEAK);
	records = nr_records();
	/* And this thread's; a joined thread may seem to live for some microseconds. */
	ok(records <= PEAK + PEAK / 2 + 8, "S1: %" PRIu64 " threads, %d at once: %d records", most, PEAK, records);
	for (uint64_t i = 0; i < most / 4; i += 2)
		crowd(threads, 2);
	is_int(nr_records(), records, "S1: ... and %" PRIu64 " more, few at once, need no more", most / 4);
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
}

/* ---- handlers ---- */

static uint32_t nr_signals;

static void use_in_handler(int signal)
{
	int saved = errno;

	(void)signal;
	use();
	add(&nr_signals, 1);
	errno = saved;
}

static void *use_once(void *arg)
{
	use();
	return arg;
}

static void *churn(void *arg)
{
	while (!get(&quit))
		join(start(use_once, NULL));
	return arg;
}

/* As under a profiler: a signal finds a thread before its first use, and after all destructors. */
static void profiled(void)
{
	struct itimerval every = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = use_in_handler, .sa_flags = SA_RESTART };
	struct timespec nap = { 0, 1000000 };
	pthread_t threads[2];
	uint64_t end;
	int before;

	domain = new_domain(0);
	sigaction(SIGPROF, &action, NULL);
	for (int i = 0; i < 2; i++)
		threads[i] = start(churn, NULL);
	before = nr_records();
	end = tap_now_ns() + scaled_ms(1500) * UINT64_C(1000000);
	setitimer(ITIMER_PROF, &every, NULL);
	while (tap_now_ns() < end)
		nanosleep(&nap, NULL); /* orders nothing: time for signals */
	setitimer(ITIMER_PROF, &never, NULL);
	set(&quit, 1);
	for (int i = 0; i < 2; i++)
		join(threads[i]);
	quit = 0;
	ok(nr_records() - before <= 16, "S1: %s: handlers that read while threads begin and end: +%d records, %u signals",
	   flavour->name, nr_records() - before, nr_signals);
	ok(nr_signals > 0 && synchronize_long(domain) == 0, "S2: %s: ... and no section is left", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void tests(void)
{
	rounds();
	profiled();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	come_and_go(); /* last: before, there are few records to spare; whatever the flavour of domains, they are the same */
	return done_testing();
}
