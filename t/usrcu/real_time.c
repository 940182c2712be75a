/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu and threads that have lost their CPU: no other thread spins until they have it back, and
 * none waits for long (S2, S7), whatever the priorities.
 */
#include "usrcu_step.h"

#include <sys/mman.h>

#define TOO_LONG_NS UINT64_C(900000000)

static struct usrcu *domain;
static uint32_t nr_ran, quit;

static void count(struct usrcu_head *head)
{
	(void)head;
	add(&nr_ran, 1);
}

/* ---- a caller that stands still inside usrcu_call ---- */

static struct gate stopped, go_on;

/* 0 if it has returned, and ended. */
static uint64_t cpu_ns(pthread_t thread)
{
	struct timespec t;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The CPU time that a barrier in another thread needs in @ns, while the caller is stopped. */
static uint64_t barrier_beside(uint64_t ns, struct waiter *w)
{
	struct timespec nap = { 0, (long)ns };
	uint64_t used;

	w->domain = domain;
	w->call = usrcu_barrier;
	gate_init(&w->began);
	gate_init(&w->ended);
	w->thread = start(waiter_run, w);
	gate_wait(&w->began);
	nanosleep(&nap, NULL); /* orders nothing: the time in which it might spin */
	used = cpu_ns(w->thread);
	return used;
}

/* ---- barriers beside a callback that takes long ---- */

static void be_slow(struct usrcu_head *head)
{
	gate_open(&stopped);
	gate_wait(&go_on);
	count(head);
}

/* All of them sleep; none does work that wakes the others. */
static void beside_a_slow_callback(unsigned flags)
{
	struct waiter w[3];
	struct usrcu_head head;
	struct timespec nap = { 0, 300000000 };
	uint64_t used = 0;
	int rc = 0;

	domain = new_domain(flags);
	nr_ran = 0;
	gate_init(&stopped);
	gate_init(&go_on);
	usrcu_call(domain, &head, be_slow);
	for (int i = 0; i < 3; i++) {
		w[i] = (struct waiter){ .domain = domain, .call = usrcu_barrier };
		gate_init(&w[i].began);
		gate_init(&w[i].ended);
		w[i].thread = start(waiter_run, &w[i]);
	}
	gate_wait(&stopped);
	nanosleep(&nap, NULL); /* orders nothing: the time in which they might spin */
	for (int i = 0; i < 3; i++)
		used += cpu_ns(w[i].thread);
	gate_open(&go_on);
	for (int i = 0; i < 3; i++)
		rc |= waiter_join(&w[i]);
	ok(used < 30000000, "S7: %s: three barriers beside a slow callback%s: %" PRIu64 " us of CPU in 300 ms",
	   flavour->name, flags ? " of the worker" : "", used / 1000);
	ok(rc == 0 && nr_ran == 1, "S7: %s: ... and return when it has", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static char *pages;

static void on_fault(int signal)
{
	(void)signal;
	gate_open(&stopped);
	gate_wait(&go_on);
	mprotect(pages, 8192, PROT_READ | PROT_WRITE);
}

static void *call_it(void *head)
{
	usrcu_call(domain, head, count);
	return NULL;
}

static void stopped_by_a_fault(void)
{
	struct sigaction action = { .sa_handler = on_fault };
	struct usrcu_head *head;
	pthread_t caller;
	struct waiter w;
	uint64_t used;

	domain = new_domain(0);
	nr_ran = 0;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	gate_init(&stopped);
	gate_init(&go_on);
	pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Its first field cannot be written, its second one can. */
	head = (struct usrcu_head *)(void *)(pages + 4096 - offsetof(struct usrcu_head, usrcu__func));
	mprotect(pages, 4096, PROT_READ);
	caller = start(call_it, head);
	gate_wait(&stopped);
	used = barrier_beside(300000000, &w);
	gate_open(&go_on);
	ok(used < 30000000, "S7: %s: barrier beside a caller stopped by a fault: %" PRIu64 " us of CPU in 300 ms",
	   flavour->name, used / 1000);
	is_int(waiter_join(&w), 0, "S7: %s: ... it returns", flavour->name);
	join(caller);
	is_int(usrcu_barrier(domain), 0, "S7: %s: ... and the next one runs the callback", flavour->name);
	is_int(nr_ran, 1, "S7: %s: ... once", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

#if CAN_STEP

static volatile int at, stop;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (stop++ != at)
		return;
	gate_open(&stopped);
	gate_wait(&go_on);
	steps_end(context);
}

static void *call_stepped(void *head)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	stop = 0;
	step(true);
	usrcu_call(domain, head, count);
	step(false);
	gate_open(&stopped); /* where there were fewer instructions */
	return NULL;
}

static void stopped_anywhere(void)
{
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	uint64_t used = 0, slept = 0;
	struct usrcu_head head;
	bool good = true;
	int most;

	sigaction(SIGTRAP, &trap, NULL);
	domain = new_domain(0);
	for (int i = 0; i < 2; i++) { /* the first binds the symbols */
		at = -1;
		join(start(call_stepped, &head));
		good &= usrcu_barrier(domain) == 0;
	}
	most = stop;
	for (at = 0; at < most && good; at++) {
		struct waiter w;
		pthread_t caller;

		gate_init(&stopped);
		gate_init(&go_on);
		nr_ran = 0;
		caller = start(call_stepped, &head);
		gate_wait(&stopped);
		used += barrier_beside(5000000, &w);
		slept += 5000000;
		gate_open(&go_on);
		good &= waiter_join(&w) == 0;
		join(caller);
		good &= usrcu_barrier(domain) == 0 && nr_ran == 1;
	}
	ok(good && most > 20, "S7: %s: barrier beside a caller stopped at each of %d instructions", flavour->name, most);
	ok(used < slept / 5, "S7: %s: ... takes %" PRIu64 " us of CPU in %" PRIu64 " ms", flavour->name, used / 1000,
	   slept / 1000000);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

#else

static void stopped_anywhere(void)
{
	skip(3, "single steps are done for x86-64 alone, without sanitizers");
}

#endif

/* ---- priorities, on one CPU ---- */

static int cpu;
static uint32_t refused, is_set;
static uint64_t longest_ns;             /* of the thread that is measured */

static bool become(int policy)
{
	struct sched_param param = { .sched_priority = policy == SCHED_FIFO ? 1 : 0 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0 && sched_setscheduler(0, policy, &param) == 0;
}

static void took(uint64_t began)
{
	uint64_t ns = tap_now_ns() - began;

	if (ns > longest_ns)
		longest_ns = ns;
}

static void *be_busy(void *arg)
{
	become(SCHED_OTHER);
	while (!get(&quit))
		__asm__ volatile("" : : : "memory");
	return arg;
}

/* With a policy that gets the CPU last. */
static void *synchronize_idly(void *arg)
{
	if (!become(SCHED_IDLE))
		set(&refused, 1);
	set(&is_set, 1);
	while (!get(&quit) && !get(&refused))
		usrcu_synchronize(domain);
	return arg;
}

static void *poll_in_a_loop(void *arg)
{
	become(SCHED_OTHER);
	while (!get(&quit)) {
		uint64_t began = tap_now_ns();
		usrcu_cookie_t cookie = usrcu_start_poll(domain);

		while (!usrcu_poll_state(domain, cookie) && !get(&quit))
			;
		took(began);
	}
	return arg;
}

static void *call_in_a_loop(void *arg)
{
	static struct usrcu_head heads[256];
	int i = 0;

	become(SCHED_OTHER);
	while (!get(&quit)) {
		usrcu_call(domain, &heads[i++], count);
		if (i == 256) {
			usrcu_barrier(domain);
			i = 0;
		}
	}
	return arg;
}

static void *poll_unmeasured(void *arg)
{
	become(SCHED_OTHER);
	while (!get(&quit))
		usrcu_poll_state(domain, usrcu_start_poll(domain));
	return arg;
}

/* With one that gets the CPU first, whatever the others were doing. */
static void *wait_urgently(void *arg)
{
	struct timespec nap = { 0, 300000 };
	int i = 0;

	if (!become(SCHED_FIFO))
		set(&refused, 1);
	set(&is_set, 1);
	while (!get(&quit) && !get(&refused)) {
		uint64_t began;

		nanosleep(&nap, NULL); /* orders nothing: it interrupts the others where they are */
		began = tap_now_ns();
		if (i++ % 2)
			usrcu_synchronize(domain);
		else
			usrcu_barrier(domain);
		took(began);
	}
	return arg;
}

static void on_one_cpu(const char *claim, void *(*const run[])(void *), int nr)
{
	struct timespec nap = { 0, 5000000 };
	pthread_t threads[4];
	uint64_t end;

	domain = new_domain(0);
	cpu = sched_getcpu();
	quit = refused = is_set = 0;
	longest_ns = 0;
	for (int i = 0; i < nr; i++)
		threads[i] = start(run[i], NULL);
	while (!get(&is_set))
		sched_yield();
	for (end = tap_now_ns() + scaled_ms(1500) * UINT64_C(1000000); tap_now_ns() < end && !get(&refused); )
		nanosleep(&nap, NULL);
	set(&quit, 1);
	for (int i = 0; i < nr; i++)
		join(threads[i]);
	if (refused)
		skip(1, "%s: the scheduling policy is refused here", claim);
	else
		ok(longest_ns > 0 && longest_ns < TOO_LONG_NS, "%s: %s: at most %" PRIu64 " ms", claim, flavour->name,
		   longest_ns / 1000000);
	is_int(usrcu_barrier(domain) | usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void priorities(void)
{
	static void *(*const idle[])(void *) = { synchronize_idly, poll_in_a_loop, be_busy };
	static void *(*const urgent[])(void *) = { wait_urgently, call_in_a_loop, poll_unmeasured };

	on_one_cpu("S6: polls beside a SCHED_IDLE thread that synchronizes", idle, 3);
	on_one_cpu("S7: a SCHED_FIFO thread's waits above callers and pollers", urgent, 3);
}

static void tests(void)
{
	beside_a_slow_callback(0);
	beside_a_slow_callback(USRCU_WORKER);
	stopped_by_a_fault();
	stopped_anywhere();
	priorities();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
