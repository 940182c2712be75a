/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Fibers that are suspended in callbacks: those of one thread may, if the last one to sleep is the first to go on; every
 * other order, and a fiber that goes on in another thread, stops the program with a message, and frees nothing early
 */
#include "mirror_test.h"

#include <ucontext.h>

enum { NR_FIBERS = 2, STACK_BYTES = 256 << 10 };

static struct fiber {
	struct mirror m;
	ucontext_t context;
	char *stack;
	int inside;                     /* callbacks that it is in */
} fibers[NR_FIBERS];

static struct mirror_list *list;
static ucontext_t outside;
static struct fiber *running;
static bool publishes_again;

static int sleep_start(struct mirror *m, const struct mirror_range *r)
{
	struct fiber *f = (struct fiber *)m;

	(void)r;
	f->inside++;
	swapcontext(&f->context, &outside);
	f->inside--;
	return 0;
}

static const struct mirror_ops sleep_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = sleep_start,
};

static int quiet_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops quiet_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = quiet_start,
};

static void fiber_body(int i)
{
	uint64_t start = (uint64_t)i * 10;

	mirror_invalidate_range(list, start, start + 10);
	if (publishes_again)
		mirror_invalidate_range(list, 1000, 1001);
}

static void fiber_runs(int i)
{
	running = &fibers[i];
	swapcontext(&outside, &running->context);
}

static void fibers_new(void)
{
	list = list_new();
	for (int i = 0; i < NR_FIBERS; i++) {
		struct fiber *f = &fibers[i];

		f->inside = 0;
		f->stack = malloc(STACK_BYTES);
		if (!f->stack || mirror_register_range(list, &f->m, &sleep_ops, (uint64_t)i * 10, (uint64_t)i * 10 + 10))
			bail_out("no fiber");
		getcontext(&f->context);
		f->context.uc_stack.ss_sp = f->stack;
		f->context.uc_stack.ss_size = STACK_BYTES;
		f->context.uc_link = &outside;
		makecontext(&f->context, (void (*)(void))fiber_body, 1, i);
	}
}

static void fibers_gone(void)
{
	for (int i = 0; i < NR_FIBERS; i++) {
		isv(mirror_unregister(&fibers[i].m), 0, "M5: fiber %d's mirror can be unregistered", i);
		free(fibers[i].stack);
	}
	list_gone(list);
}

static void test_one(void)
{
	struct call c;

	fibers_new();
	fiber_runs(0);
	c = (struct call){ .m = &fibers[0].m, .timeout_ns = MOMENT_MS * UINT64_C(1000000) };
	call_begin(&c, run_unregister_timeout);
	isv(call_end(&c), -ETIMEDOUT, "M5: unregister waits for a callback whose fiber is suspended");
	fiber_runs(0);
	isv(fibers[0].inside, 0, "M5: ... which then goes on");
	fibers_gone();
}

static void test_last_first(void)
{
	struct call c;

	fibers_new();
	fiber_runs(0);
	fiber_runs(1);
	for (int i = 0; i < NR_FIBERS; i++) {
		c = (struct call){ .m = &fibers[i].m, .timeout_ns = MOMENT_MS * UINT64_C(1000000) };
		call_begin(&c, run_unregister_timeout);
		isv(call_end(&c), -ETIMEDOUT, "M5: two fibers of a thread sleep in callbacks: unregister waits for that of %d", i);
	}
	fiber_runs(1);
	c = (struct call){ .m = &fibers[1].m };
	call_begin(&c, run_unregister);
	isv(call_end(&c), 0, "M5: ... the last one to sleep goes on first: its mirror can be unregistered");
	c = (struct call){ .m = &fibers[0].m, .timeout_ns = MOMENT_MS * UINT64_C(1000000) };
	call_begin(&c, run_unregister_timeout);
	isv(call_end(&c), -ETIMEDOUT, "M5: ... and the first one's is still waited for");
	fiber_runs(0);
	isv(mirror_unregister(&fibers[0].m), 0, "M5: ... until that has gone on, too");
	for (int i = 0; i < NR_FIBERS; i++)
		free(fibers[i].stack);
	list_gone(list);
}

/* ---- what is not allowed: in a child, which is to be stopped ---- */

/* The first one to sleep goes on first. */
static void first_first(void)
{
	fiber_runs(0);
	fiber_runs(1);
	fiber_runs(0);
	child_must(mirror_unregister_timeout(&fibers[1].m, MOMENT_MS) == -ETIMEDOUT || !fibers[1].inside);
	fiber_runs(1);
}

/* The same, and it publishes again, which would show its pin in the place of the other's. */
static void first_again(void)
{
	publishes_again = true;
	first_first();
}

static void *go_on(void *arg)
{
	(void)arg;
	fiber_runs(0);
	return NULL;
}

static void on_another_thread(void)
{
	pthread_t thread;

	fiber_runs(0);
	pthread_create(&thread, NULL, go_on, NULL);
	pthread_join(thread, NULL);
}

static void *go_on_with_walker(void *arg)
{
	mirror_invalidate_range(list, 1000, 1001);
	return go_on(arg);
}

/* One that has walked the list before. */
static void on_another_walker(void)
{
	pthread_t thread;

	fiber_runs(0);
	pthread_create(&thread, NULL, go_on_with_walker, NULL);
	pthread_join(thread, NULL);
}

static void test_stopped(void (*scene)(void), const char *claim)
{
	struct mirror quiet;
	const char *said;
	pid_t pid;
	int rc;

	fibers_new();
	mirror_register_range(list, &quiet, &quiet_ops, 1000, 1001);
	hush();
	pid = child_new();
	if (pid == 0) {
		scene();
		_exit(0);
	}
	rc = child_rc(pid);
	said = hushed();
	isv(rc, 1000 + SIGABRT, "the program is stopped: %s", claim);
	okv(strstr(said, "libmirror:") && strstr(said, "fiber"), "... with a message");
	mirror_unregister(&quiet);
	fibers_gone();
}

/* ThreadSanitizer would end a child that starts threads. */
const char *__tsan_default_options(void) __attribute__((visibility("default")));
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

int main(void)
{
#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip_all("sanitizers do not know these fibers");
#endif
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		if (!v->targeted) /* unregister of any mirror waits for all walks */
			continue;
		publishes_again = false;
		test_one();
		test_last_first();
		test_stopped(first_first, "of two fibers in callbacks the first to sleep goes on first");
		test_stopped(first_again, "... and publishes again");
		publishes_again = false;
		test_stopped(on_another_thread, "a fiber goes on in another thread");
		test_stopped(on_another_walker, "... one that has walked the list before");
	}
	return done_testing();
}
