/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu and what threads do: exit inside a section (S9), be very many, be cancelled, be
 * interrupted, and stall others.
 */
#include "usrcu_test.h"

static struct usrcu *domain;

/* ---- reports ---- */

static char reported[4096];
static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t nr_reports;

static void report(void *arg, const char *text)
{
	pthread_mutex_lock(&report_lock);
	if (arg == reported)
		snprintf(reported + strlen(reported), sizeof(reported) - strlen(reported), "%s\n", text);
	add(&nr_reports, 1);
	pthread_mutex_unlock(&report_lock);
}

static bool was_reported(const char *name, pid_t tid)
{
	char number[32];
	bool found;

	snprintf(number, sizeof(number), "thread %d", (int)tid);
	pthread_mutex_lock(&report_lock);
	found = strstr(reported, name) && (tid == 0 || strstr(reported, number));
	if (!found)
		diag("reported: %s", reported);
	pthread_mutex_unlock(&report_lock);
	return found;
}

static void reporting_domain(uint64_t stall_ns)
{
	struct usrcu_attr attr = { .name = "reporter", .stall_ns = stall_ns, .report = report, .report_arg = reported };

	reported[0] = '\0';
	nr_reports = 0;
	domain = new_domain_with(attr);
}

static pid_t exited;

static void *exit_inside(void *arg)
{
	exited = gettid();
	usrcu_read_lock(domain);
	if (arg)
		usrcu_read_lock(domain);
	return NULL;
}

static void *down_and_exit(void *arg)
{
	*(int *)arg = usrcu_down_read(domain);
	return NULL;
}

static void *one_section(void *arg)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	return arg;
}

static void thread_exits(void)
{
	int token;

	reporting_domain(0);
	join(start(down_and_exit, &token));
	is_int(nr_reports, 0, "S9: a handed-over section's thread may exit: nothing is reported");
	usrcu_up_read(domain, token);
	join(start(exit_inside, NULL));
	thread_gone(exited);
	is_int(nr_reports, 0, "S9: a thread exits inside a section: its exit runs nothing");
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: the section counts as open, and timeout works");
	is_int(nr_reports, 1, "S9: ... who waited for it reported it");
	ok(was_reported("reporter", exited), "S9: ... with the domain and the thread");
	for (int i = 0; i < 200; i++)
		join(start(one_section, NULL));
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: ... though other threads come and go");
	is_int(elsewhere(domain, synchronize_short), -ETIMEDOUT, "S9: ... in whatever thread");
	is_int(usrcu_destroy(domain), -EBUSY, "S11: destroy with such a section");
	is_int(nr_reports, 1, "S9: it was reported once");
	join(start(exit_inside, &domain));
	thread_gone(exited);
	is_int(elsewhere(domain, synchronize_short), -ETIMEDOUT, "S9: another one exits inside two sections");
	synchronize_short(domain);
	is_int(nr_reports, 2, "S9: ... and is reported as well, once for both");
	ok(was_reported("reporter", exited), "S9: ... with its own number");
}

static void stalls(void)
{
	struct timespec nap = { 0, 1000000 };
	struct waiter w;
	struct reader r;
	int token;

	reporting_domain(1000000);
	is_int(usrcu_synchronize(domain), 0, "S2: a grace period in time");
	is_int(nr_reports, 0, "S2: ... is not reported");
	reader_start(&r, domain);
	ok(waiter_start(&w, domain, usrcu_synchronize), "S2: one that waits");
	while (!get(&nr_reports))
		nanosleep(&nap, NULL);
	ok(was_reported("reporter", r.tid), "S2: ... is, with the domain and the thread that holds it up");
	reader_stop(&r);
	is_int(waiter_join(&w), 0, "S2: ... and ends with the section");
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
	reporting_domain(1000000);
	token = usrcu_down_read(domain);
	ok(waiter_start(&w, domain, usrcu_synchronize), "S4: one that waits for a handed-over section");
	while (!get(&nr_reports))
		nanosleep(&nap, NULL);
	ok(was_reported("handed-over", 0), "S4: ... is reported as that");
	usrcu_up_read(domain, token);
	is_int(waiter_join(&w), 0, "S4: ... and ends with it");
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
}

/* ---- interruptions ---- */

static uint32_t nr_signals;

static void on_signal(int signal)
{
	(void)signal;
	add(&nr_signals, 1);
}

static void nothing(struct usrcu_head *head)
{
	(void)head;
}

static void interruptions(void)
{
	struct sigaction action = { .sa_handler = on_signal }; /* without SA_RESTART */
	static int (*const calls[])(struct usrcu *) = { usrcu_synchronize, usrcu_synchronize_expedited,
							synchronize_long, usrcu_barrier };
	bool early = false, asleep = true, well = true;
	struct usrcu_head head;

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 4; i++) {
		uint32_t before = get(&nr_signals);
		struct waiter w;
		struct reader r;

		domain = new_domain(0);
		reader_start(&r, domain);
		if (calls[i] == usrcu_barrier)
			usrcu_call(domain, &head, nothing);
		asleep &= waiter_start(&w, domain, calls[i]);
		for (int j = 0; j < 200; j++) {
			uint32_t seen = get(&nr_signals);

			pthread_kill(w.thread, SIGUSR1);
			while (get(&nr_signals) == seen)
				sched_yield();
			early |= gate_wait_ms(&w.ended, 0);
		}
		well &= get(&nr_signals) - before >= 200;
		asleep &= thread_asleep_ms(w.tid, LONG_MS);
		reader_stop(&r);
		well &= waiter_join(&w) == 0 && usrcu_destroy(domain) == 0;
	}
	ok(asleep && !early, "S2: a storm of signals ends no wait early");
	ok(well, "S2: ... nor keeps it from its end");
}

static void *wait_for_ever(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	gate_open(&w->began);
	for (;;) {
		usrcu_synchronize(w->domain);
		pthread_testcancel();
	}
	return NULL;
}

static void cancellation(void)
{
	struct waiter w = { .rc = 0 };
	struct timespec deadline;
	struct reader r;

	domain = w.domain = new_domain(0);
	reader_start(&r, domain);
	gate_init(&w.began);
	w.thread = start(wait_for_ever, &w);
	gate_wait(&w.began);
	ok(thread_asleep_ms(w.tid, LONG_MS), "S2: a thread in synchronize");
	pthread_cancel(w.thread);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S2: ... is cancelled; another can wait");
	is_int(pthread_tryjoin_np(w.thread, NULL), EBUSY, "S2: ... it does not end inside the wait");
	reader_stop(&r);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += LONG_MS / 1000;
	/* The result says nothing: glibc 2.36 loses it where the cancellation waited for its state. */
	is_int(pthread_timedjoin_np(w.thread, NULL, &deadline), 0, "S2: ... but after it");
	is_int(synchronize_long(domain), 0, "S2: ... and held nothing");
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
}

/* First uses, sections that nobody ends, waits, calls: cut off at any instruction. */
static void *use_everything(void *arg)
{
	struct usrcu_head *head = arg;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;) {
		usrcu_poll_state(domain, usrcu_start_poll(domain));
		usrcu_synchronize_timeout(domain, 1000);
		if (usrcu_call(domain, head, nothing) == 0)
			usrcu_barrier(domain);
	}
	return NULL;
}

static void cut_off(void)
{
	static struct usrcu_head heads[2000];
	uint64_t most = scaled(500);
	struct rng rng;
	int rc = 0;

	if (SANITIZED) {
		skip(1, "a sanitizer does not bear a stack that is left at any instruction");
		return;
	}
	rng_init(&rng, 1);
	domain = new_domain(0);
	for (uint64_t i = 0; i < most && i < sizeof(heads) / sizeof(heads[0]); i++) {
		pthread_t thread = start(use_everything, &heads[i]);

		for (uint32_t turns = rng_below(&rng, 20000); turns-- > 0; )
			__asm__ volatile("" : : : "memory");
		pthread_cancel(thread);
		join(thread);
		rc |= synchronize_long(domain) | elsewhere(domain, usrcu_barrier);
	}
	rc |= usrcu_destroy(domain);
	is_int(rc, 0, "S2: threads cancelled at any instruction of a wait, a call or a barrier hold nobody up");
}

/* ---- very many ---- */

static struct gate leave;
static uint32_t nr_inside;

static void *read_and_stay(void *arg)
{
	one_section(arg);
	add(&nr_inside, 1);
	gate_wait(&leave);
	return arg;
}

static void many_at_once(void)
{
	enum { MANY = 10000 };
	static pthread_t threads[MANY];
	pthread_attr_t attr;
	long before, after;
	uint64_t began;
	int nr, most = SANITIZED ? 200 : MANY;

	domain = new_domain(0);
	gate_init(&leave);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SANITIZED ? 1 << 20 : 64 << 10);
	before = resident_kib();
	for (nr = 0; nr < most; nr++)
		if (pthread_create(&threads[nr], &attr, read_and_stay, &leave) != 0)
			break;
	while (get(&nr_inside) < (uint32_t)nr)
		sched_yield();
	after = resident_kib();
	began = tap_now_ns();
	is_int(usrcu_synchronize(domain), 0, "S2: %d idle threads: synchronize", nr);
	diag("%d threads, %ld KiB, synchronize in %" PRIu64 " us", nr, after - before, (tap_now_ns() - began) / 1000);
	/* A stack's pages, a table's page, and the kernel's own are not ours: 64 bytes would vanish in them. */
	ok(SANITIZED || (after - before) / (nr + 1) < 40, "S1: ... take a few pages each");
	gate_open(&leave);
	while (nr-- > 0)
		join(threads[nr]);
	is_int(usrcu_synchronize(domain), 0, "S2: ... and when they are gone");
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
}

static void many_in_turn(void)
{
	uint64_t most = SANITIZED ? scaled(2000) : scaled(20000);
	long resident = 0, mapped = 0;
	bool good = true;

	domain = new_domain(0);
	for (uint64_t i = 0; i < most; i += 4) {
		pthread_t threads[4];

		for (int j = 0; j < 4; j++)
			threads[j] = start(one_section, NULL);
		for (int j = 0; j < 4; j++)
			join(threads[j]);
		if (i % 1024 == 0)
			good &= usrcu_synchronize(domain) == 0;
		if (i == most / 10 / 4 * 4) {
			resident = resident_kib();
			mapped = mapped_kib();
		}
	}
	resident = resident_kib() - resident;
	mapped = mapped_kib() - mapped;
	diag("%" PRIu64 " threads came and went; since the first tenth %+ld KiB resident, %+ld KiB mapped", most, resident,
	     mapped);
	ok(good && (SANITIZED || (resident < 2048 && mapped < 16384)), "S1: threads that come and go take no memory");
	is_int(usrcu_destroy(domain), 0, "S11: destroy");
}

int main(void)
{
	thread_exits();
	stalls();
	interruptions();
	cancellation();
	cut_off();
	many_at_once();
	many_in_turn();
	return done_testing();
}
