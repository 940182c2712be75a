/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu's reports: when they are made, once, by which threads, and what a program may do in them
 * (S9, and stall_ns).  No lock of the library is held there and no signal is blocked, so the
 * program may wait for its own locks, fork, and handle its own faults.
 */
#include "usrcu_test.h"

#include <fcntl.h>
#include <sys/mman.h>

static struct usrcu *domain;

static char reported[512];
static uint32_t nr_reports;

static void keep(void *arg, const char *text)
{
	(void)arg;
	snprintf(reported, sizeof(reported), "%s", text);
	add(&nr_reports, 1);
}

static void fresh(uint64_t stall_ns, void (*report)(void *arg, const char *text))
{
	set(&nr_reports, 0);
	reported[0] = '\0';
	domain = new_domain_with((struct usrcu_attr){ .name = "reporter", .stall_ns = stall_ns, .report = report });
}

static void *exit_inside(void *arg)
{
	*(pid_t *)arg = gettid();
	(void)usrcu_read_lock(domain);
	return NULL;
}

/* A section that nobody will end. */
static void leave_one(void)
{
	pid_t tid;

	join(start(exit_inside, &tid));
	thread_gone(tid);
}

/* ---- when ---- */

static void never(uint64_t stall_ns)
{
	struct reader r;
	int rc = 0;

	fresh(stall_ns, keep);
	reader_start(&r, domain);
	for (int i = 0; i < 20; i++)
		rc |= synchronize_short(domain) != -ETIMEDOUT;
	ok(rc == 0 && nr_reports == 0, "S2: %s: stall_ns %" PRIu64 ": never reported", flavour->name, stall_ns);
	reader_stop(&r);
	usrcu_destroy(domain);
}

static void by_pollers(void)
{
	uint64_t began, age_ms = 0;
	char number[32];
	usrcu_cookie_t cookie;
	struct reader r;

	fresh(20000000, keep);
	reader_start(&r, domain);
	began = tap_now_ns();
	cookie = usrcu_start_poll(domain);
	while (!get(&nr_reports) && tap_now_ns() - began < LONG_NS)
		usrcu_poll_state(domain, cookie);
	snprintf(number, sizeof(number), "thread %d", r.tid);
	ok(nr_reports == 1 && strstr(reported, "reporter") && strstr(reported, number),
	   "S2: %s: a late grace period that is only polled is reported", flavour->name);
	ok(tap_now_ns() - began > 20000000, "S2: %s: ... not before it is late", flavour->name);
	for (int i = 0; i < 100; i++)
		usrcu_poll_state(domain, cookie);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S2: %s: ... another thread waits for it", flavour->name);
	is_int(get(&nr_reports), 1, "S2: %s: ... it is reported once, whoever waits", flavour->name);
	reader_stop(&r);
	is_int(usrcu_poll_state(domain, cookie), 1, "S2: %s: ... and ends", flavour->name);

	/* Who comes late tells the grace period's age, not how long it has waited itself. */
	set(&nr_reports, 0);
	reader_start(&r, domain);
	usrcu_start_poll(domain);
	for (began = tap_now_ns(); tap_now_ns() - began < 100000000; )
		sched_yield();
	synchronize_short(domain);
	if (strstr(reported, "waited "))
		age_ms = strtoull(strstr(reported, "waited ") + 7, NULL, 10);
	ok(nr_reports == 1 && age_ms >= 100 && age_ms < LONG_MS, "S2: %s: the age is the grace period's: %" PRIu64 " ms",
	   flavour->name, age_ms);
	reader_stop(&r);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static struct gate inside, leave;

static void *exit_when_told(void *arg)
{
	(void)usrcu_read_lock(domain);
	gate_open(&inside);
	gate_wait(&leave);
	return arg;
}

/* Who sleeps when the thread ends asks again, once a second; this one never ends. */
static void while_asleep(void)
{
	uint64_t began = tap_now_ns();
	struct waiter *w = calloc(1, sizeof(*w));
	pthread_t thread;

	gate_init(&inside);
	gate_init(&leave);
	fresh(0, keep);
	thread = start(exit_when_told, NULL);
	gate_wait(&inside);
	ok(waiter_start(w, domain, usrcu_synchronize), "S9: %s: a thread waits for a section", flavour->name);
	is_int(get(&nr_reports), 0, "S9: %s: ... whose thread lives: nothing to report", flavour->name);
	gate_open(&leave);
	join(thread);
	while (!get(&nr_reports) && tap_now_ns() - began < LONG_NS)
		sched_yield();
	is_int(get(&nr_reports), 1, "S9: %s: the section's thread exits: the one that sleeps reports it", flavour->name);
	pthread_detach(w->thread);
}

/* ---- under the program's locks ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gate in_report;

static void log_it(void *arg, const char *text)
{
	gate_open(&in_report);
	pthread_mutex_lock(&log_lock);
	keep(arg, text);
	pthread_mutex_unlock(&log_lock);
}

static struct usrcu_head queued;

static void nothing(struct usrcu_head *head)
{
	(void)head;
}

static void *use(void *arg)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	return arg;
}

/* All that another thread may do while the report waits for the lock that it holds. */
static void under_a_log_mutex(void)
{
	struct usrcu *other;
	struct waiter w;
	int rc;
	pid_t pid;

	gate_init(&in_report);
	fresh(0, log_it);
	leave_one();
	pthread_mutex_lock(&log_lock);
	waiter_start(&w, domain, synchronize_short);
	ok(gate_wait_ms(&in_report, LONG_MS), "S9: %s: a report waits for the program's log", flavour->name);
	join(start(use, NULL)); /* a first use */
	use(NULL);
	rc = synchronize_short(domain) != -ETIMEDOUT;
	rc |= usrcu_poll_state(domain, usrcu_start_poll(domain));
	rc |= usrcu_call(domain, &queued, nothing);
	other = new_domain(0);
	rc |= usrcu_synchronize(other) | usrcu_destroy(other);
	is_int(rc, 0, "S9: %s: ... who has the log's lock uses the library", flavour->name);
	pid = fork_timed();
	if (pid == 0)
		_exit(usrcu_synchronize(domain) != 0);
	is_int(status_of(pid), 0, "S10: %s: ... and forks", flavour->name);
	is_int(get(&nr_reports), 0, "S9: %s: ... all that while the report waits", flavour->name);
	pthread_mutex_unlock(&log_lock);
	is_int(waiter_join(&w), -ETIMEDOUT, "S9: %s: ... which then goes on", flavour->name);
	is_int(get(&nr_reports), 1, "S9: %s: ... and was made once", flavour->name);
}

static void under_stdio(void)
{
	fresh(0, NULL);
	leave_one();
	flockfile(stderr);
	is_int(elsewhere(domain, synchronize_short), -ETIMEDOUT, "S9: %s: a report does not wait for stderr's lock",
	       flavour->name);
	funlockfile(stderr);
}

/* ---- what a report may do ---- */

static pid_t forked;
static bool blocked;

static void fork_in_it(void *arg, const char *text)
{
	keep(arg, text);
	forked = fork_timed();
	if (forked == 0) {
		child_must(usrcu_synchronize(domain) == 0 && usrcu_barrier(domain) == 0 && usrcu_destroy(domain) == 0);
		_exit(0);
	}
}

static char *fault_page;
static uint32_t nr_faults;

static void on_fault(int signal)
{
	(void)signal;
	add(&nr_faults, 1);
	mprotect(fault_page, 4096, PROT_READ | PROT_WRITE);
}

static void fault(void)
{
	mprotect(fault_page, 4096, PROT_NONE);
	*(volatile char *)fault_page = 1;
}

static void fault_in_it(void *arg, const char *text)
{
	sigset_t now;

	keep(arg, text);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	for (int signal = 1; signal < SIGRTMIN; signal++)
		blocked |= sigismember(&now, signal) == 1;
	fault();
}

static void fault_in_callback(struct usrcu_head *head)
{
	(void)head;
	fault();
}

static void use_in_it(void *arg, const char *text)
{
	keep(arg, text);
	use(NULL);
	synchronize_short(domain);
	usrcu_poll_state(domain, usrcu_start_poll(domain));
}

static void in_a_report(void)
{
	struct sigaction action = { .sa_handler = on_fault };

	fault_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);

	fresh(0, fork_in_it);
	leave_one();
	is_int(synchronize_short(domain), -ETIMEDOUT, "S10: %s: a report forks", flavour->name);
	is_int(status_of(forked), 0, "S10: %s: ... and the child uses the library in it", flavour->name);

	fresh(0, use_in_it);
	leave_one();
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: %s: a report uses the library", flavour->name);
	is_int(get(&nr_reports), 1, "S9: %s: ... and is made once", flavour->name);

	nr_faults = 0;
	blocked = false;
	fresh(0, fault_in_it);
	leave_one();
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: %s: a report raises a fault that the program handles",
	       flavour->name);
	ok(nr_faults == 1 && !blocked, "S9: %s: ... no signal is blocked there", flavour->name);

	domain = new_domain(USRCU_WORKER);
	usrcu_call(domain, &queued, fault_in_callback);
	is_int(usrcu_barrier(domain), 0, "S7: %s: so does a callback in the worker", flavour->name);
	is_int(nr_faults, 2, "S7: %s: ... it was handled", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* ---- standard error ---- */

static void report_to_nobody(void)
{
	sigset_t pending;

	leave_one();
	errno = 4711;
	child_must(synchronize_short(domain) == -ETIMEDOUT);
	if (errno != 4711)
		_exit(3);
	sigpending(&pending);
	_exit(sigismember(&pending, SIGPIPE) ? 4 : 0);
}

static void standard_error(void)
{
	int fds[2];
	pid_t pid;

	fresh(0, NULL);
	pid = fork_timed();
	if (pid == 0) {
		close(STDERR_FILENO);
		report_to_nobody();
	}
	is_int(status_of(pid), 0, "S9: %s: a closed standard error: errno is as it was", flavour->name);
	pid = fork_timed();
	if (pid == 0) {
		if (pipe(fds) != 0 || dup2(fds[1], STDERR_FILENO) < 0)
			_exit(2);
		close(fds[0]);
		close(fds[1]);
		report_to_nobody();
	}
	is_int(status_of(pid), 0, "S9: %s: a pipe that nobody reads: no SIGPIPE, errno is as it was", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void tests(void)
{
	never(UINT64_MAX);
	never(UINT64_MAX - 1);
	by_pollers();
	while_asleep();
	under_a_log_mutex();
	under_stdio();
	in_a_report();
	standard_error();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
