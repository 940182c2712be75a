/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * S10 for lists: at whatever moment a process forks, its child can use each list, and a fork costs no more for lists
 *
 * fork_hooks.c has the program's own fork hooks.
 */
#include "mirror_test.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static unsigned heard;

static int hear(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	__atomic_fetch_add(&heard, 1, __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops hear_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hear,
};

static unsigned nr_done;

static void done(struct mirror *m)
{
	(void)m;
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELAXED);
}

/* All that a child may want of @list. */
static void child_uses(struct mirror_list *list)
{
	struct mirror_range r = range(0, 100, BLOCKABLE);
	struct mirror_list *own;
	struct mirror m, n;
	uint64_t seq;

	child_must(mirror_invalidate_range_start(list, &r) == 0);
	mirror_invalidate_range_end(list, &r);
	child_must(mirror_register_range(list, &m, &hear_ops, 1000, 1001) == 0);
	child_must(mirror_register(list, &n, &hear_ops) == 0);
	heard = 0;
	child_must(mirror_invalidate_range(list, 1000, 1001) == 0 && heard >= 2);
	seq = mirror_read_begin(&m);
	child_must(!mirror_read_retry(&m, seq));
	child_must(mirror_invalidate_range(list, 1000, 1001) == 0 && mirror_read_retry(&m, seq));
	child_must(mirror_unregister(&m) == 0);
	nr_done = 0;
	child_must(mirror_unregister_async(&n, done) == 0 && mirror_barrier(list) == 0 && nr_done >= 1);
	child_must(mirror_list_create(&own, NULL) == 0);
	child_must(mirror_register(own, &m, &hear_ops) == 0 && mirror_invalidate_range(own, 0, 1) == 0);
	child_must(mirror_unregister(&m) == 0 && mirror_list_destroy(own) == 0);
}

/* ---- at any moment ---- */

static bool stop;

static bool goes_on(void)
{
	return !__atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static int run_publish(struct call *c)
{
	while (goes_on())
		mirror_invalidate_range(c->list, 0, 5);
	return 0;
}

static int run_register(struct call *c)
{
	struct mirror few[3], *many[] = { &few[0], &few[1], &few[2] };
	int rc = 0;

	while (goes_on() && !rc) {
		rc = mirror_register_range(c->list, &few[0], &hear_ops, 0, 8) ||
		     mirror_register(c->list, &few[1], &hear_ops) ||
		     mirror_register_range(c->list, &few[2], &hear_ops, 7, 9) ||
		     mirror_unregister_many(many, 3);
	}
	return rc;
}

static int run_async(struct call *c)
{
	struct mirror m;
	int rc = 0;

	while (goes_on() && !rc)
		rc = mirror_register_range(c->list, &m, &hear_ops, 0, 8) || mirror_unregister_async(&m, done) ||
		     mirror_barrier(c->list);
	return rc;
}

static int run_once(struct call *c)
{
	return mirror_invalidate_range(c->list, 0, 5);
}

/* Threads that come and go: first uses. */
static int run_threads(struct call *c)
{
	int rc = 0;

	while (goes_on() && !rc) {
		struct call first = { .list = c->list };

		call_begin(&first, run_once);
		rc = call_end(&first);
	}
	return rc;
}

static int run_lists(struct call *c)
{
	struct mirror_list *list;
	int rc = 0;

	(void)c;
	while (goes_on() && !rc)
		rc = mirror_list_create(&list, NULL) || mirror_invalidate_range(list, 0, 1) || mirror_list_destroy(list);
	return rc;
}

static void test_any_moment(void)
{
	int (*const runs[])(struct call *c) = { run_publish, run_register, run_async, run_threads, run_lists };
	enum { NR_RUNS = sizeof(runs) / sizeof(runs[0]) };
	struct mirror_list *list = list_new();
	struct call calls[NR_RUNS];
	unsigned nr = (unsigned)scaled(100);
	struct mirror standing;
	int bad = 0, rc = 0;

#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip(1, "a sanitizer's allocator may be locked for ever in the child");
	mirror_list_destroy(list);
	return;
#endif
	stop = false;
	mirror_register(list, &standing, &hear_ops);
	for (int i = 0; i < NR_RUNS; i++) {
		calls[i] = (struct call){ .list = list };
		call_begin(&calls[i], runs[i]);
	}
	for (unsigned i = 0; i < nr && bad < 3; i++) {
		pid_t pid = child_new();

		if (pid == 0) {
			child_uses(list);
			child_must(mirror_unregister(&standing) == 0);
			_exit(0);
		}
		bad += child_rc(pid) != 0;
	}
	isv(bad, 0, "S10: %u forks while threads publish, register, drain, begin and end: the child can do it all", nr);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < NR_RUNS; i++)
		rc |= call_end(&calls[i]);
	isv(rc, 0, "S10: ... and the parent goes on");
	mirror_unregister(&standing);
	list_gone(list);
}

/* ---- walks, drains and brackets of threads that vanish ---- */

static void test_vanished(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 1 }, drain, barrier;
	struct mirror async;
	struct post x;
	pid_t pid;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 1);
	mirror_register_range(list, &async, &hear_ops, 0, 1);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	drain = (struct call){ .m = &x.m };
	call_begin(&drain, run_unregister);
	thread_asleep_ms(drain.tid, PATIENCE_MS);
	pid = child_new();
	if (pid == 0) {
		child_uses(list);
		child_must(mirror_unregister(&x.m) == 0);
		child_must(mirror_unregister(&async) == 0);
		child_must(mirror_list_destroy(list) == 0);
		_exit(0);
	}
	isv(child_rc(pid), 0, "S10: a child goes on with an unregister, and a callback, that other threads were in");
	barrier = (struct call){ .list = list };
	mirror_unregister_async(&async, done);
	call_begin(&barrier, run_barrier);
	gate_open(&x.leave);
	isv(call_end(&publisher) | call_end(&drain) | call_end(&barrier), 0, "S10: ... and so do they in the parent");
	list_gone(list);
}

static struct gate bracket_open, bracket_may_end;

static int run_bracket(struct call *c)
{
	struct mirror_range r = range(0, 10, BLOCKABLE);
	int rc = mirror_invalidate_range_start(c->list, &r);

	gate_open(&bracket_open);
	gate_wait(&bracket_may_end);
	if (!rc)
		mirror_invalidate_range_end(c->list, &r);
	return rc;
}

/* Of what mirror_read_begin waits for, brackets of vanished threads are gone where nothing has counted them. */
static void test_bracket(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list };
	struct mirror before, elsewhere, new;
	pid_t pid;

	gate_init(&bracket_open);
	gate_init(&bracket_may_end);
	mirror_register_range(list, &before, &hear_ops, 5, 6);
	mirror_register_range(list, &elsewhere, &hear_ops, 1000, 1001);
	call_begin(&publisher, run_bracket);
	gate_wait(&bracket_open);
	pid = child_new();
	if (pid == 0) {
		child_must(mirror_register_range(list, &new, &hear_ops, 5, 6) == 0);
		child_must(!mirror_read_retry(&new, mirror_read_begin(&new)));
		child_must(!mirror_read_retry(&elsewhere, mirror_read_begin(&elsewhere)));
		child_must(!mirror_read_retry(&before, mirror_read_begin(&before)));
		child_must(mirror_list_destroy(list) == -EBUSY);
		child_must(mirror_unregister(&before) == 0 && mirror_unregister(&elsewhere) == 0);
		child_must(mirror_unregister(&new) == 0);
		child_must(mirror_list_destroy(list) == 0);
		_exit(0);
	}
	isv(child_rc(pid), 0, "S10, M12: in a child the first fills, and destroy, wait for no bracket of a vanished thread");
	gate_open(&bracket_may_end);
	isv(call_end(&publisher), 0, "S10: ... which ends in the parent");
	mirror_unregister(&before);
	mirror_unregister(&elsewhere);
	list_gone(list);
}

/* ---- forks in signal handlers ---- */

static struct mirror_list *handler_list;
static pid_t handler_child;
static bool is_handled;

static void fork_in_handler(int signal)
{
	(void)signal;
	handler_child = child_new();
	if (handler_child == 0)
		child_must(mirror_invalidate_range(handler_list, 50, 60) == 0);
	__atomic_store_n(&is_handled, true, __ATOMIC_RELEASE);
}

static void expect_fork(struct mirror_list *list)
{
	struct sigaction action = { .sa_handler = fork_in_handler };

	handler_list = list;
	__atomic_store_n(&is_handled, false, __ATOMIC_RELAXED);
	handler_child = -1;
	sigaction(SIGUSR1, &action, NULL);
}

static void await_handler(void)
{
	while (!__atomic_load_n(&is_handled, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* The child of a handler is left by the call that was interrupted. */
static int run_unregister_or_child(struct call *c)
{
	int rc = mirror_unregister(c->m);

	if (handler_child)
		return rc;
	child_must(rc == 0);
	child_uses(c->list);
	child_must(mirror_list_destroy(c->list) == 0);
	_exit(0);
}

static void test_handler_in_drain(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 1 }, drain;
	struct post x;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 1);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	expect_fork(list);
	drain = (struct call){ .list = list, .m = &x.m };
	call_begin(&drain, run_unregister_or_child);
	okv(call_blocks(&drain), "M5: unregister waits for a callback");
	pthread_kill(drain.thread, SIGUSR1);
	await_handler();
	isv(child_rc(handler_child), 0, "S10: a handler that interrupts it forks: in the child it returns 0");
	okv(call_blocks(&drain), "M5: ... and in the parent waits on");
	gate_open(&x.leave);
	isv(call_end(&drain), 0, "M5: ... until the callback returns");
	call_end(&publisher);
	list_gone(list);
}

static bool may_leave;

static int spin_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	__atomic_store_n(&may_leave, true, __ATOMIC_RELEASE);
	await_handler();
	return 0;
}

static const struct mirror_ops spin_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = spin_start,
};

static int run_invalidate_or_child(struct call *c)
{
	int rc = mirror_invalidate_range(c->list, 0, 1);

	if (handler_child)
		return rc;
	child_must(rc == 0);
	child_must(mirror_unregister(c->m) == 0);
	child_uses(c->list);
	child_must(mirror_list_destroy(c->list) == 0);
	_exit(0);
}

static void test_handler_in_callback(void)
{
	struct mirror_list *list = list_new();
	struct call publisher;
	struct mirror m;

	mirror_register_range(list, &m, &spin_ops, 0, 1);
	may_leave = false;
	expect_fork(list);
	publisher = (struct call){ .list = list, .m = &m };
	call_begin(&publisher, run_invalidate_or_child);
	while (!__atomic_load_n(&may_leave, __ATOMIC_ACQUIRE))
		sched_yield();
	pthread_kill(publisher.thread, SIGUSR1);
	isv(call_end(&publisher), 0, "S10: a handler that interrupts a callback forks: the bracket goes on");
	isv(child_rc(handler_child), 0, "S10: ... and in the child too");
	mirror_unregister(&m);
	list_gone(list);
}

static void *page_alloc(void *arg, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	return memory == MAP_FAILED ? NULL : memory;
}

static void page_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	munmap(memory, bytes);
}

/* A fork in a handler that interrupts malloc would wait for malloc. */
static struct mirror_list *list_without_malloc(void)
{
	static const struct mirror_allocator pages = { .alloc = page_alloc, .free = page_free };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = v->sync, .flags = v->flags, .allocator = &pages };
	struct mirror_list *list;

	if (mirror_list_create(&list, &attr))
		bail_out("mirror_list_create");
	return list;
}

/* Slow paths under signals whose handler forks: the gate is closed within the thread's own section. */
static int run_slow_paths(struct call *c)
{
	struct mirror m;

	while (goes_on()) {
		if (mirror_register_range(c->list, &m, &hear_ops, 0, 8) || mirror_unregister(&m))
			return -1;
		if (handler_child == 0) {
			child_uses(c->list);
			_exit(0);
		}
	}
	return 0;
}

static void test_handler_anywhere(void)
{
	struct mirror_list *list = list_without_malloc();
	unsigned nr = (unsigned)scaled(100);
	struct call churn = { .list = list };
	int bad = 0;

#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip(1, "a sanitizer's allocator is not for handlers");
	mirror_list_destroy(list);
	return;
#endif
	stop = false;
	expect_fork(list);
	call_begin(&churn, run_slow_paths);
	for (unsigned i = 0; i < nr && bad < 3; i++) {
		__atomic_store_n(&is_handled, false, __ATOMIC_RELAXED);
		pthread_kill(churn.thread, SIGUSR1);
		await_handler();
		bad += child_rc(handler_child) != 0;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	isv(bad, 0, "S10: %u forks in handlers anywhere in register and unregister", nr);
	isv(call_end(&churn), 0, "S10: ... which go on");
	list_gone(list);
}

/* ---- many lists ---- */

static void test_many_lists(void)
{
	enum { NR = 60 };
	struct mirror_list *lists[NR];
	struct mirror m[NR];
	pid_t pid;

	for (int i = 0; i < NR; i++) {
		lists[i] = list_new();
		mirror_register(lists[i], &m[i], &hear_ops);
		mirror_invalidate_range(lists[i], 0, 1);
	}
	pid = child_new();
	if (pid == 0) {
		for (int i = 0; i < NR; i++) {
			child_must(mirror_invalidate_range(lists[i], 0, 1) == 0 && mirror_unregister(&m[i]) == 0);
			child_must(mirror_list_destroy(lists[i]) == 0);
		}
		_exit(0);
	}
	isv(child_rc(pid), 0, "S10: a fork with %d lists", NR);
	for (int i = 0; i < NR; i++) {
		mirror_unregister(&m[i]);
		mirror_list_destroy(lists[i]);
	}
}

/* ---- in a process of its own ---- */

static uint64_t resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long all, resident;

	if (!file || fscanf(file, "%lu %lu", &all, &resident) != 2)
		bail_out("no /proc/self/statm");
	fclose(file);
	return resident;
}

static bool make_lists(uint64_t nr)
{
	struct mirror_list *list;

	while (nr--)
		if (mirror_list_create(&list, NULL) || mirror_invalidate_range(list, 0, 1))
			return false;
	return true;
}

static bool make_pages(uint64_t nr)
{
	void *pages = mmap(NULL, nr * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return false;
	madvise(pages, nr * 4096, MADV_NOHUGEPAGE);
	memset(pages, 1, nr * 4096);
	return true;
}

/* A server forks each time that it is asked to, and answers with the time that fork() took; first, with its size. */
static int serve_forks(bool (*make)(uint64_t nr), const char *nr_text)
{
	uint64_t took_ns, nr = strtoull(nr_text, NULL, 10);
	char byte;

	if (nr && !make(nr))
		return 1;
	took_ns = resident_pages();
	if (write(STDOUT_FILENO, &took_ns, sizeof(took_ns)) != sizeof(took_ns))
		return 1;
	while (read(STDIN_FILENO, &byte, 1) == 1) {
		uint64_t begin_ns = tap_now_ns();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		took_ns = tap_now_ns() - begin_ns;
		if (child_rc(pid) || write(STDOUT_FILENO, &took_ns, sizeof(took_ns)) != sizeof(took_ns))
			return 1;
	}
	return 0;
}

struct server {
	int ask, answer;
	pid_t pid;
	uint64_t pages;
};

static uint64_t answer_of(const struct server *s)
{
	uint64_t answer;

	if (read(s->answer, &answer, sizeof(answer)) != sizeof(answer))
		bail_out("no answer");
	return answer;
}

static void serve(struct server *s, const char *mode, uint64_t nr)
{
	char nr_text[24];
	int ask[2], answer[2];

	snprintf(nr_text, sizeof(nr_text), "%" PRIu64, nr);
	if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
		bail_out("no pipe");
	s->pid = fork();
	if (s->pid == 0) {
		dup2(ask[0], STDIN_FILENO);
		dup2(answer[1], STDOUT_FILENO);
		execl("/proc/self/exe", "fork", mode, nr_text, (char *)NULL);
		_exit(126);
	}
	close(ask[0]);
	close(answer[1]);
	s->ask = ask[1];
	s->answer = answer[0];
	s->pages = answer_of(s);
}

static uint64_t fork_ns(const struct server *s)
{
	if (write(s->ask, "", 1) != 1)
		bail_out("no server");
	return answer_of(s);
}

static void end_server(const struct server *s)
{
	close(s->ask);
	child_rc(s->pid);
}

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median_ns(uint64_t *ns, size_t nr)
{
	qsort(ns, nr, sizeof(ns[0]), compare_ns);
	return ns[nr / 2];
}

static void test_cost(void)
{
	enum { NR = 101 };
	static uint64_t none_ns[NR], many_ns[NR], memory_ns[NR];
	struct server none, many, memory;
	uint64_t none_us, many_us, memory_us;

#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip(1, "a sanitizer's own forks take longer");
	return;
#endif
	serve(&none, "lists", 0);
	serve(&many, "lists", 5000);
	serve(&memory, "pages", many.pages > none.pages ? many.pages - none.pages : 1);
	for (int i = 0; i < NR; i++) {
		none_ns[i] = fork_ns(&none);
		many_ns[i] = fork_ns(&many);
		memory_ns[i] = fork_ns(&memory);
	}
	none_us = median_ns(none_ns, NR) / 1000 + 1;
	many_us = median_ns(many_ns, NR) / 1000 + 1;
	memory_us = median_ns(memory_ns, NR) / 1000 + 1;
	diag("fork: %" PRIu64 " us without a list, %" PRIu64 " us with 5000: %.2f times", none_us, many_us,
	     (double)many_us / (double)none_us);
	diag("... %" PRIu64 " us with their %" PRIu64 " pages as other memory: %.2f times", memory_us,
	     many.pages - none.pages, (double)many_us / (double)memory_us);
	ok(many_us <= 3 * memory_us, "S10: a fork with 5000 lists takes at most 3 times a fork with as much other memory");
	end_server(&none);
	end_server(&many);
	end_server(&memory);
}

/* Threads without memory take turns with one walker; one of them has it whenever the process forks. */
static struct gate poor_may_go = GATE_INITIALIZER;

static int run_poor(struct call *c)
{
	gate_wait(&poor_may_go);
	return run_publish(c);
}

static int fork_poor(void)
{
	struct rlimit limit = { .rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY };
	struct mirror_list *list = list_new();
	struct call calls[2];
	struct mirror m;
	int bad = 0;

	mirror_register_range(list, &m, &hear_ops, 0, 10);
	for (int i = 0; i < 2; i++) {
		calls[i] = (struct call){ .list = list };
		call_begin(&calls[i], run_poor);
	}
	if (setrlimit(RLIMIT_AS, &limit))
		return 99;
	gate_open(&poor_may_go);
	while (__atomic_load_n(&heard, __ATOMIC_RELAXED) < 100)
		sched_yield();
	for (unsigned i = 0; i < (unsigned)scaled(200) && !bad; i++) {
		pid_t pid = child_new();

		if (pid == 0) {
			child_must(mirror_invalidate_range(list, 0, 1) == 0);
			child_must(mirror_unregister(&m) == 0); /* brackets without memory stay open, so no destroy */
			_exit(0);
		}
		bad = child_rc(pid);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	return call_end(&calls[0]) || call_end(&calls[1]) ? 98 : bad;
}

static void test_poor(void)
{
	pid_t pid;

#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	skip(1, "a sanitizer needs memory itself");
	return;
#endif
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "fork", "poor", "", (char *)NULL);
		_exit(126);
	}
	is_int(child_rc(pid), 0, "S1, S10: forks beside threads without memory: a child without memory publishes, unregisters");
}

/* ThreadSanitizer would end a child that starts threads. */
const char *__tsan_default_options(void) __attribute__((visibility("default")));
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return strcmp(argv[1], "poor") == 0 ? fork_poor() :
		       serve_forks(strcmp(argv[1], "lists") == 0 ? make_lists : make_pages, argv[2]);
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_many_lists();
		if (v->lock) /* what a vanished thread held of a lock stays held */
			continue;
		test_bracket();
		test_handler_in_callback();
		if (!v->targeted) /* the sync's own wait, which is not the list's to promise */
			continue;
		test_vanished();
		test_handler_in_drain();
		test_any_moment();
		test_handler_anywhere();
	}
	test_cost();
	test_poor();
	return done_testing();
}
