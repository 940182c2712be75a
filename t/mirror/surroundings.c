/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What no call leaves behind in its caller: errno, a SIGPIPE by a report to a standard error that nobody reads, a changed
 * signal mask or cancellation state; and a thread that exits in a callback is reported by the drain that waits for it
 */
#include "mirror_test.h"

static int refuse(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return -EAGAIN;
}

static const struct mirror_ops refuse_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = refuse,
};

static void done(struct mirror *m)
{
	(void)m;
}

/* ---- errno ---- */

enum { MARK = 4242 };

static int nr_changes;

static void kept(const char *call)
{
	if (errno != MARK) {
		diag("errno is %d after %s", errno, call);
		nr_changes++;
	}
	errno = MARK;
}
#define KEEPS(call) do { errno = MARK; (void)(call); kept(#call); } while (0)

static struct mirror_list *shared;

static int run_first_use(struct call *c)
{
	struct mirror m;

	(void)c;
	KEEPS(mirror_invalidate_range(shared, 0, 1));
	KEEPS(mirror_register(shared, &m, &probe_ops));
	KEEPS(mirror_unregister(&m));
	return 0;
}

static void use_all(void)
{
	struct mirror_range r = range(0, 10, MIRROR_RANGE_BLOCKABLE);
	struct mirror m, n, *many[] = { &m, &n };
	struct mirror_list_stats stats = { .size = sizeof(stats) };
	struct call first = { .m = NULL };
	uint64_t seq;

	KEEPS(shared = list_new());
	KEEPS(mirror_register(shared, &m, &refuse_ops));
	KEEPS(mirror_invalidate_range_start(shared, &r)); /* reports the refusal */
	KEEPS((mirror_invalidate_range_end(shared, &r), 0));
	KEEPS((mirror_invalidate_range_end(shared, &r), 0)); /* reports misuse */
	KEEPS(mirror_register_range(shared, &n, &post_start_ops, 100, 200));
	KEEPS(mirror_read_try_begin(&n, &seq));
	KEEPS(mirror_read_retry(&n, seq));
	KEEPS(mirror_unregister_many(many, 2));
	KEEPS(mirror_unregister(&m));
	KEEPS(mirror_register_range(shared, &n, &refuse_ops, 100, 200));
	KEEPS(mirror_unregister_async(&n, done));
	KEEPS(mirror_barrier(shared));
	KEEPS(mirror_list_get_stats(shared, &stats));
	call_begin(&first, run_first_use);
	call_end(&first);
	KEEPS(mirror_list_release(shared));
	KEEPS(mirror_list_destroy(shared));
}

/* Waits that time out, and calls that the kernel refuses, set errno below the library. */
static void use_waits(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 1 };
	struct post x;
	pid_t pid;

	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	KEEPS(mirror_unregister_timeout(&x.m, 1000000));
	errno = MARK;
	pid = child_new();
	kept("fork()");
	if (pid == 0)
		_exit(0);
	child_rc(pid);
	gate_open(&x.leave);
	call_end(&publisher);
	if (v->lock || !v->targeted)
		KEEPS(mirror_unregister(&x.m));
	else
		KEEPS(mirror_unregister_timeout(&x.m, 1000000));
	mirror_list_destroy(list);
}

static void test_errno(void)
{
	const char *said;

	nr_changes = 0;
	hush();
	use_all();
	said = hushed();
	isv(nr_changes, 0, "no call changes errno, reports neither");
	okv(strstr(said, "not open") != NULL, "... (there was one)");

	nr_changes = 0;
	hush_saved = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	use_all();
	dup2(hush_saved, STDERR_FILENO);
	close(hush_saved);
	isv(nr_changes, 0, "... also if standard error is closed");

	nr_changes = 0;
	use_waits();
	isv(nr_changes, 0, "... nor waits that time out, nor a fork");
}

/* ---- reports to nobody ---- */

static int pipe_signals;

static void on_pipe(int signal)
{
	(void)signal;
	pipe_signals++;
}

static void test_sigpipe(void)
{
	struct sigaction action = { .sa_handler = on_pipe }, before;
	sigset_t pending, mask = { 0 }, mask_before = { 0 };
	int ends[2];

	hush_saved = dup(STDERR_FILENO);
	if (pipe(ends))
		bail_out("no pipe");
	dup2(ends[1], STDERR_FILENO);
	close(ends[0]);
	close(ends[1]);
	sigaction(SIGPIPE, &action, &before);
	pipe_signals = 0;
	pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
	nr_changes = 0;
	use_all();
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigpending(&pending);
	dup2(hush_saved, STDERR_FILENO);
	close(hush_saved);
	sigaction(SIGPIPE, &before, NULL);
	isv(pipe_signals, 0, "a report to a pipe that nobody reads raises no SIGPIPE");
	okv(!sigismember(&pending, SIGPIPE), "... and leaves none pending");
	isv(nr_changes, 0, "... and errno as it was");
	okv(memcmp(&mask, &mask_before, sizeof(mask)) == 0, "... and the signal mask");
}

/* ---- threads that exit in a callback, past the unwinder ---- */

static int vanish(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	syscall(SYS_exit, 0);
	return 0;
}

static const struct mirror_ops vanish_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = vanish,
};

static void *publish(void *arg)
{
	mirror_invalidate_range((struct mirror_list *)arg, 0, 1);
	return NULL;
}

static void test_exit_in_callback(void)
{
	struct mirror_list *list;
	const char *said, *first;
	pthread_t thread;
	struct mirror m;
	int rc;

	if (!v->targeted)
		return;
#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip(1, "a sanitizer must see a thread's exit");
	return;
#endif
	list = list_new(); /* never destroyed: the callback stays open */
	mirror_register(list, &m, &vanish_ops);
	hush();
	pthread_create(&thread, NULL, publish, list);
	pthread_join(thread, NULL);
	said = hushed();
	okv(!strstr(said, "exited"), "M15: a thread exits in a callback: nobody has asked yet");
	hush();
	/* The kernel may say for some microseconds that the thread lives; the drain asks again after a second. */
	rc = mirror_unregister_timeout(&m, 1500000000);
	said = hushed();
	isv(rc, -ETIMEDOUT, "M5: ... the drain does not take the callback for returned");
	first = strstr(said, "its thread has exited inside this callback");
	okv(first && strstr(said, "invalidate_range_start") && strstr(said, "test"), "M15: ... and reports it");
	okv(first && !strstr(strchr(first, '\n'), "exited"), "M15: ... once");
	hush();
	mirror_unregister_timeout(&m, 1000000);
	okv(!strstr(hushed(), "exited"), "M15: ... and not again");
}

/* A thread that exits after its callback was waited for is no misuse. */
static int run_leaver(struct call *c)
{
	return mirror_invalidate_range(c->list, 0, 1);
}

static void test_exit_after_callback(void)
{
	unsigned nr = (unsigned)scaled(200);
	struct mirror_list *list;
	const char *said;

	if (!v->targeted)
		return;
	list = list_new();
	hush();
	for (unsigned i = 0; i < nr; i++) {
		struct call publisher = { .list = list };
		struct post x;

		post_init(&x);
		gate_open(&x.leave);
		mirror_register(list, &x.m, &post_start_ops);
		call_begin(&publisher, run_leaver);
		gate_wait(&x.entered);
		mirror_unregister(&x.m);
		call_end(&publisher);
	}
	said = hushed();
	okv(!strstr(said, "exited"), "M15: threads that exit right after their callback are not reported");
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_errno();
		test_sigpipe();
		test_exit_in_callback();
		test_exit_after_callback();
	}
	return done_testing();
}
