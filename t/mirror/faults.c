/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What fails around the list: memory, forks, threads that end where they should not; over every sync. */
#include "mirror_test.h"

#include <sys/wait.h>

/* ---- an allocator that fails where it is told ---- */

static struct {
	uint64_t calls;         /* of alloc, ever */
	uint64_t fail_at;       /* the call that fails; 0: none */
	bool always;            /* and all after it */
	int64_t blocks, bytes;  /* in use */
} pool;

static bool pool_fails(void)
{
	pool.calls++;
	return pool.fail_at && (pool.calls == pool.fail_at || (pool.always && pool.calls > pool.fail_at));
}

static void *pool_alloc(void *arg, size_t bytes)
{
	void *memory;

	if (arg != &pool)
		bail_out("allocator called with another argument");
	if (pool_fails() || posix_memalign(&memory, 64, bytes))
		return NULL;
	pool.blocks++;
	pool.bytes += (int64_t)bytes;
	return memset(memory, 0, bytes);
}

static void pool_free(void *arg, void *memory, size_t bytes)
{
	if (arg != &pool)
		bail_out("allocator called with another argument");
	pool.blocks--;
	pool.bytes -= (int64_t)bytes;
	memset(memory, 0xdb, bytes);
	free(memory);
}

static const struct mirror_allocator allocator = { pool_alloc, pool_free, &pool };

/* The @nth call from now on fails; 0: none does. */
static void pool_set(uint64_t nth, bool always)
{
	pool.fail_at = nth ? pool.calls + nth : 0;
	pool.always = always;
}

static int pool_list(struct mirror_list **list)
{
	struct mirror_list_attr attr = {
		.size = sizeof(attr),
		.sync = v->sync,
		.flags = v->flags,
		.allocator = &allocator,
	};

	return mirror_list_create(list, &attr);
}

static void test_create(void)
{
	struct mirror_list *list;
	bool clean = true;
	uint64_t nth;
	int rc;

	for (int always = 0; always < 2; always++) {
		for (nth = 1; nth < 100; nth++) {
			pool_set(nth, always);
			list = NULL;
			rc = pool_list(&list);
			if (rc == 0)
				break;
			clean &= rc == -ENOMEM && !list && pool.blocks == 0;
		}
		pool_set(0, false);
		okv(clean, "faults: create is -ENOMEM wherever an allocation fails %s, and leaves nothing", always ? "for good" : "once");
		okv(nth > 1 && nth < 100, "faults: ... there are %" PRIu64 " such places", nth - 1);
		isv(mirror_list_destroy(list), 0, "faults: what was created can be destroyed");
		isv(pool.blocks, 0, "faults: ... and gives back every block");
		isv(pool.bytes, 0, "faults: ... with its size");
	}
}

static unsigned heard;

static int hear(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	heard++;
	return 0;
}

static const struct mirror_ops hear_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hear,
};

/* ---- an allocator that registers, as one that maps memory may ---- */

#define MOST_GUESTS 200

static struct {
	struct mirror_list *list;       /* NULL: it does not */
	struct mirror m[MOST_GUESTS];
	unsigned nr;
	int rc;
} guests;

static void *alloc_and_register(void *arg, size_t bytes)
{
	struct mirror_list *list = guests.list;

	if (list && guests.nr < MOST_GUESTS) {
		guests.list = NULL;
		guests.rc |= mirror_register(list, &guests.m[guests.nr++], &hear_ops);
		guests.list = list;
	}
	return pool_alloc(arg, bytes);
}

static unsigned nr_heard(struct mirror_list *list)
{
	heard = 0;
	mirror_invalidate_range(list, 0, UINT64_MAX);
	return heard;
}

#define CROWD 3000

static struct mirror crowd[CROWD];

static void test_allocator_registers(void)
{
	const struct mirror_allocator registering = { alloc_and_register, pool_free, &pool };
	struct mirror_list_attr attr = {
		.size = sizeof(attr), .sync = v->sync, .flags = v->flags, .allocator = &registering,
	};
	struct mirror *all[CROWD];
	struct mirror_list *list;
	bool clean = true;

	memset(&guests, 0, sizeof(guests));
	memset(crowd, 0, sizeof(crowd));
	for (unsigned i = 0; i < CROWD; i++)
		all[i] = &crowd[i];
	if (mirror_list_create(&list, &attr))
		bail_out("mirror_list_create");
	guests.list = list;
	for (unsigned i = 0; i < CROWD / 2; i++)
		clean &= !mirror_register(list, all[i], &hear_ops);
	clean &= !mirror_register_many(list, all + CROWD / 2, &hear_ops, NULL, CROWD / 2);
	guests.list = NULL;
	okv(clean, "faults: an allocator that registers in the list for which it allocates holds nobody up");
	okv(guests.nr > 2 && !guests.rc, "faults: ... and succeeds");
	isv(nr_heard(list), CROWD + guests.nr, "faults: ... and all are called");
	for (unsigned i = 0; i < guests.nr; i++)
		clean &= !mirror_unregister(&guests.m[i]);
	okv(clean && !mirror_unregister_many(all, CROWD), "faults: ... until they are unregistered");
	list_gone(list);
}

/* The same for each range that is set anew. */
static void test_moves(struct mirror_list *list, bool always)
{
	uint64_t refused = 0;
	bool clean = true;
	int rc;

	for (unsigned i = 0; i < CROWD; i++) {
		for (uint64_t nth = 1; ; nth++) {
			pool_set(nth, always);
			rc = mirror_set_range(&crowd[i], i + 5, i + 25);
			pool_set(0, false);
			if (rc == 0)
				break;
			refused++;
			clean &= rc == -ENOMEM;
			if (nth > 100)
				bail_out("set_range fails for ever");
		}
	}
	okv(clean && refused > 0, "faults: set_range is -ENOMEM wherever an allocation fails %s: %" PRIu64 " times",
	    always ? "for good" : "once", refused);
	isv((int)nr_heard(list), CROWD, "faults: ... and no mirror is lost, or there twice");
}

/* Every registration first meets each failure that it can. */
static void test_register(bool always, bool ranges)
{
	uint64_t refused = 0, before;
	struct mirror_list *list;
	bool clean = true;
	unsigned check;

	memset(crowd, 0xa5, sizeof(crowd));
	if (pool_list(&list))
		bail_out("mirror_list_create");
	for (unsigned i = 0; i < CROWD; i++) {
		for (uint64_t nth = 1; ; nth++) {
			int rc;

			pool_set(nth, always);
			before = pool.calls;
			rc = ranges ? mirror_register_range(list, &crowd[i], &hear_ops, i, i + 10) :
				      mirror_register(list, &crowd[i], &hear_ops);
			pool_set(0, false);
			if (rc == 0)
				break;
			refused++;
			check = refused % 8 || mirror_unregister(&crowd[i]) == -ENOENT;
			if (refused % 64 == 0)
				check &= nr_heard(list) == i;
			clean &= rc == -ENOMEM && pool.calls > before && check;
			if (nth > 100)
				bail_out("register fails for ever");
		}
	}
	okv(clean, "faults: register%s is -ENOMEM wherever an allocation fails %s, and changes nothing",
	    ranges ? "_range" : "", always ? "for good" : "once");
	okv(refused > 0, "faults: ... %" PRIu64 " times among %d", refused, CROWD);
	isv((int)nr_heard(list), CROWD, "faults: in the end all are registered");
	if (ranges)
		test_moves(list, always);

	before = pool.calls;
	pool_set(1, true);
	for (unsigned i = 0; i < CROWD; i += 3) {
		struct mirror *many[] = { &crowd[i + 1], &crowd[i + 2] };

		clean &= mirror_unregister(&crowd[i]) == 0 && mirror_unregister_many(many, 2) == 0;
	}
	okv(clean, "faults: without any memory all can be unregistered");
	isv(mirror_list_release(list), 0, "faults: ... and the list released");
	isv((intmax_t)(pool.calls - before), 0, "faults: ... and none was asked for");
	isv(mirror_list_destroy(list), 0, "faults: ... and destroyed");
	pool_set(0, false);
	isv(pool.blocks, 0, "faults: all is given back");
}

/* Many at once: all, or none. */
static void test_register_many(bool ranges)
{
	static struct mirror_extent extents[CROWD];
	static struct mirror *many[CROWD];
	struct mirror_list *list;
	uint64_t refused = 0;
	bool clean = true;
	int rc = -1;

	memset(crowd, 0xa5, sizeof(crowd));
	for (unsigned i = 0; i < CROWD; i++) {
		extents[i] = (struct mirror_extent){ i, i + 10 };
		many[i] = &crowd[i];
	}
	if (pool_list(&list))
		bail_out("mirror_list_create");
	for (uint64_t nth = 1; rc; nth++) {
		pool_set(nth, nth % 2);
		rc = mirror_register_many(list, many, &hear_ops, ranges ? extents : NULL, CROWD);
		pool_set(0, false);
		if (rc == 0)
			break;
		refused++;
		clean &= rc == -ENOMEM && nr_heard(list) == 0 && mirror_unregister(&crowd[0]) == -ENOENT &&
			 mirror_unregister(&crowd[CROWD - 1]) == -ENOENT;
		if (nth > 1000)
			bail_out("register_many fails for ever");
	}
	okv(clean, "faults: register_many%s is -ENOMEM wherever an allocation fails, and registers none",
	    ranges ? " of ranges" : "");
	okv(refused > 0, "faults: ... %" PRIu64 " times", refused);
	isv((int)nr_heard(list), CROWD, "faults: in the end all are registered");
	isv(mirror_unregister_many(many, CROWD), 0, "faults: ... and can be unregistered");
	isv(mirror_list_destroy(list), 0, "M17: ... and the list destroyed");
	isv(pool.blocks, 0, "faults: all is given back");
}

static unsigned nr_done;

static void done(struct mirror *m)
{
	(void)m;
	nr_done++;
}

/* Memory of those who left is used again or given back, while others come. */
static void test_churn(void)
{
	struct mirror_list *list;
	struct mirror m;
	int64_t early = 0, most = 0;

	if (pool_list(&list))
		bail_out("mirror_list_create");
	nr_done = 0;
	for (unsigned i = 0; i < 20000; i++) {
		if (mirror_register_range(list, &m, &hear_ops, i % 7, i % 7 + 1))
			bail_out("mirror_register_range");
		if (i % 2 ? mirror_unregister_async(&m, done) : mirror_unregister(&m))
			bail_out("mirror_unregister");
		if (i == 2000)
			early = pool.bytes;
		if (i > 2000 && pool.bytes > most)
			most = pool.bytes;
	}
	isv((int)nr_done, 10000, "M8: done ran for each");
	okv(most <= early + 65536, "memory does not grow with those who have left");
	diag("%s: %" PRId64 " bytes early, %" PRId64 " at most later", v->name, early, most);
	isv(mirror_list_destroy(list), 0, "M17: the list can be destroyed");
	isv(pool.blocks, 0, "... and gives back everything");
}

/* ---- forks, with walkers that do not exist in the child ---- */

static bool stop;

static int run_publish(struct call *c)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		mirror_invalidate_range(c->list, 0, 5);
	return 0;
}

static int run_churn(struct call *c)
{
	struct mirror m;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (mirror_register_range(c->list, &m, &hear_ops, 7, 8) || mirror_unregister(&m))
			return -1;
	}
	return 0;
}

/* In the child; the number of the step that fails. */
static int use_after_fork(struct mirror_list *list, struct post *x, struct mirror *idle, struct mirror *async)
{
	static struct mirror many[100];

	if (mirror_invalidate_range(list, 0, 10))
		return 1;
	for (int i = 0; i < 100; i++)
		if (mirror_register_range(list, &many[i], &hear_ops, 5, 10 + (uint64_t)i))
			return 2;
	heard = 0;
	if (mirror_invalidate_range(list, 9, 10) || heard < 100)
		return 3;
	if (mirror_unregister(&x->m)) /* no callback of it runs here */
		return 4;
	if (mirror_unregister(idle))
		return 5;
	if (mirror_unregister_async(async, done) || mirror_barrier(list))
		return 6;
	for (int i = 0; i < 100; i++)
		if (mirror_unregister(&many[i]))
			return 7;
	if (mirror_list_release(list))
		return 8;
	return 0;
}

static void test_fork(void)
{
	unsigned forks = (unsigned)scaled(10);
	struct mirror_list *list = list_new();
	struct call standing = { .list = list, .start = 100, .end = 101 }, busy[2], churner;
	struct mirror idle, async;
	bool churn = v->targeted;
	int failed = 0, status;
	struct post x;

	if (v->lock) {
		/* A lock that a vanished thread held stays held: as with all locks. */
		list_gone(list);
		return;
	}
	stop = false;
	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 100, 101);
	mirror_register_range(list, &idle, &probe_ops, 50, 51);
	mirror_register_range(list, &async, &probe_ops, 50, 51);
	call_begin(&standing, run_invalidate);
	gate_wait(&x.entered);
	for (int i = 0; i < 2; i++) {
		busy[i] = (struct call){ .list = list };
		call_begin(&busy[i], run_publish);
	}
	churner = (struct call){ .list = list };
#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	churn = false; /* a sanitizer's allocator may be locked for ever in the child */
#endif
	if (churn)
		call_begin(&churner, run_churn);
	for (unsigned i = 0; i < forks && !failed; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(PATIENCE_MS / 1000);
			_exit(use_after_fork(list, &x, &idle, &async));
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			bail_out("no child");
		failed = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
	}
	isv(failed, 0, "S10: after fork with walkers in other threads the child can use the list (0, or the step that fails)");
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	gate_open(&x.leave);
	call_end(&standing);
	for (int i = 0; i < 2; i++)
		call_end(&busy[i]);
	if (churn)
		isv(call_end(&churner), 0, "S10: the parent goes on");
	isv(mirror_unregister(&x.m), 0, "S10: ... and still has its mirrors");
	mirror_unregister(&idle);
	mirror_unregister(&async);
	list_gone(list);
}

/* ---- threads that end, or are to end, within ---- */

static int exit_in_callback(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	pthread_exit((void *)&heard);
}

static void exit_in_end(struct mirror *m, const struct mirror_range *r)
{
	exit_in_callback(m, r);
}

static const struct mirror_ops exit_start_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = exit_in_callback,
};
static const struct mirror_ops exit_end_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_end = exit_in_end,
};

static void *publish_and_exit(void *arg)
{
	mirror_invalidate_range(arg, 0, 1);
	return NULL;
}

static void test_thread_exit(const struct mirror_ops *ops, const char *which)
{
	struct mirror_list *list = list_new();
	struct mirror m, n;
	pthread_t thread;
	void *result;

	mirror_register(list, &m, ops);
	mirror_register(list, &n, &hear_ops);
	pthread_create(&thread, NULL, publish_and_exit, list);
	pthread_join(thread, &result);
	okv(result == &heard, "faults: a thread exits in its %s callback", which);
	isv(mirror_unregister_timeout(&m, 5000000000), 0, "faults: ... the mirror is not in use any more");
	isv((int)nr_heard(list), 1, "faults: ... and the list goes on");
	mirror_unregister(&n);
	list_gone(list);
}

static void *unregister_cancelled(void *arg)
{
	struct call *c = arg;

	c->tid = (int)syscall(SYS_gettid);
	gate_open(&c->started);
	c->rc = mirror_unregister(c->m);
	gate_open(&c->returned);
	pthread_testcancel();
	return NULL;
}

static void test_cancel(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 1 }, c;
	struct post x;
	void *result;

	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	c = (struct call){ .m = &x.m };
	gate_init(&c.started);
	gate_init(&c.returned);
	pthread_create(&c.thread, NULL, unregister_cancelled, &c);
	gate_wait(&c.started);
	thread_asleep_ms(c.tid, PATIENCE_MS);
	pthread_cancel(c.thread);
	okv(!gate_wait_ms(&c.returned, MOMENT_MS), "faults: a cancelled thread stays in its unregister");
	gate_open(&x.leave);
	okv(call_returns(&c), "faults: ... till it is through");
	isv(c.rc, 0, "faults: ... with success");
	pthread_join(c.thread, &result);
	okv(result == PTHREAD_CANCELED, "faults: ... and is cancelled then");
	call_end(&publisher);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_create();
		test_allocator_registers();
		test_register(false, false);
		test_register(true, false);
		test_register(false, true);
		test_register(true, true);
		test_register_many(false);
		test_register_many(true);
		test_churn();
		test_fork();
		test_thread_exit(&exit_start_ops, "start");
		test_thread_exit(&exit_end_ops, "end");
		test_cancel();
	}
	return done_testing();
}
