/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What <mirror/urcu.h> and <mirror/ck.h> say of threads, beyond the list's own promises. */
#include "mirror_test.h"

#include <malloc.h>

/* ---- threads that have not done what the flavour asks ---- */

#ifdef HAVE_URCU
static void *publish_as_stranger(void *arg)
{
	return (void *)(intptr_t)mirror_invalidate_range(arg, 0, 1);
}

static void test_stranger(void)
{
	struct mirror_list *list = list_new();
	struct probe a = { .name = 'A' };
	bool needs_none = v->sync == &mirror_sync_urcu_bp || !v->one_domain;
	pthread_t thread;
	void *rc;

	trace[0] = '\0';
	mirror_register(list, &a.m, &probe_ops);
	if (pthread_create(&thread, NULL, publish_as_stranger, list))
		bail_out("no thread");
	pthread_join(thread, &rc);
	isv((int)(intptr_t)rc, needs_none ? 0 : -EPERM, "a thread that has not registered publishes%s",
	    needs_none ? "" : " in vain");
	traced(needs_none ? "Aa" : "", "... and %s is called", needs_none ? "the mirror" : "nobody");
	isv(mirror_invalidate_range(list, 0, 1), 0, "one that has registered publishes");
	traced("Aa", "... and the mirror is called");
	mirror_unregister(&a.m);
	list_gone(list);
}

static int seen_online;

static int look_whether_online(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	seen_online = urcu_qsbr_read_ongoing() != 0;
	return 0;
}

static const struct mirror_ops look_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = look_whether_online,
};

static void test_online(void)
{
	struct mirror_list *list;
	struct mirror m;

	if (v->sync != &mirror_sync_urcu_qsbr)
		return;
	list = list_new();
	mirror_register(list, &m, &look_ops);
	seen_online = 0;
	mirror_invalidate_range(list, 0, 1);
	okv(seen_online, "a thread that is offline is online in its walks");
	okv(!urcu_qsbr_read_ongoing(), "... and offline after them");
	urcu_qsbr_thread_online();
	mirror_invalidate_range(list, 0, 1);
	okv(seen_online && urcu_qsbr_read_ongoing(), "one that is online stays so");
	isv(mirror_unregister(&m), 0, "... and may unregister");
	okv(urcu_qsbr_read_ongoing(), "... and is online after that");
	urcu_qsbr_thread_offline();
	list_gone(list);
}
#endif

/* ---- one grace period for all lists ---- */

static struct probe elsewhere;
static int elsewhere_rc;

static void unregister_elsewhere(struct probe *p, const struct mirror_range *r)
{
	(void)p;
	(void)r;
	elsewhere_rc = mirror_unregister(&elsewhere.m);
}

static void test_elsewhere(void)
{
	bool waits_for_itself = v->one_domain && !v->targeted;
	struct mirror_list *list = list_new(), *other = list_new();
	struct probe a = { .name = 'A', .in_start = unregister_elsewhere };

	elsewhere = (struct probe){ .name = 'E' };
	trace[0] = '\0';
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(other, &elsewhere.m, &probe_ops);
	isv(mirror_invalidate_range(list, 0, 1), 0, "a callback unregisters a mirror of another list");
	isv(elsewhere_rc, waits_for_itself ? -EBUSY : 0, "... %s", waits_for_itself ?
	    "and is told that its own walk is in the way" : "with success");
	traced("Aa", "... and the bracket goes on");
	mirror_invalidate_range(other, 0, 1);
	traced("", "... and the other mirror hears nothing more");
	isv(mirror_list_destroy(other), waits_for_itself ? -EBUSY : 0, "M17: destroy of the other list");
	if (waits_for_itself) {
		isv(mirror_unregister(&elsewhere.m), 0, "... outside of it unregister succeeds");
		list_gone(other);
	}
	mirror_unregister(&a.m);
	list_gone(list);
}

/* ---- more threads than a bytelock has bytes ---- */

static void test_crowd(void)
{
	enum { NR = 70 };
	static struct call calls[NR];
	struct mirror_list *list = list_new();
	struct call c;
	struct post x;

	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	for (int i = 0; i < NR; i++) {
		calls[i] = (struct call){ .list = list, .start = 0, .end = 1 };
		call_begin(&calls[i], run_invalidate);
	}
	while (post_calls(&x) < NR)
		sched_yield();
	c = (struct call){ .m = &x.m };
	call_begin(&c, run_unregister);
	okv(call_blocks(&c), "M5: unregister waits for the callbacks of %d threads", NR);
	gate_open(&x.leave);
	isv(call_end(&c), 0, "M5: ... and returns 0");
	for (int i = 0; i < NR; i++)
		if (call_end(&calls[i]))
			okv(false, "each bracket succeeds");
	list_gone(list);
}

/* ---- a thread's first bracket, while a writer waits ---- */

static int run_not_blockable(struct call *c)
{
	return mirror_invalidate_range_start(c->list, c->r);
}

static void test_first_try(void)
{
	struct mirror_range r = range(20, 30, 0);
	struct mirror_list *list;
	struct call publisher, leaver, c;
	struct probe other = { .name = 'O' };
	struct post x;

	if (!v->lock)
		return;
	list = list_new();
	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &other.m, &probe_ops, 40, 50);
	publisher = (struct call){ .list = list, .start = 0, .end = 10 };
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	leaver = (struct call){ .m = &other.m };
	call_begin(&leaver, run_unregister);
	okv(call_blocks(&leaver), "a writer waits for a walk");
	/* It may be not there yet, although its call has begun. */
	do {
		c = (struct call){ .list = list, .r = &r };
		call_begin(&c, run_not_blockable);
		if (!call_returns(&c))
			break;
		call_end(&c);
		if (c.rc == 0)
			mirror_invalidate_range_end(list, &r);
	} while (c.rc == 0);
	okv(call_returns(&c), "... and a thread whose first bracket may not block comes back");
	gate_open(&x.leave);
	isv(call_end(&leaver), 0, "... the unregister succeeds");
	call_end(&publisher);
	if (c.rc != -EAGAIN)
		call_end(&c);
	isv(c.rc, -EAGAIN, "... and the bracket got -EAGAIN");
	mirror_unregister(&x.m);
	list_gone(list);
}

/* ---- threads and lists that come and go ---- */

struct traveller {
	struct mirror_list *list;
	struct gate go, arrived;
	pthread_t thread;
	int rounds, rc;
};

static void *travel(void *arg)
{
	struct traveller *t = arg;

	variant_thread_begin();
	for (int i = 0; i < t->rounds; i++) {
		gate_wait(&t->go);
		gate_close(&t->go);
		t->rc |= mirror_invalidate_range(t->list, 0, 1);
		gate_open(&t->arrived);
	}
	variant_thread_end();
	return NULL;
}

static void depart(struct traveller *t, int rounds)
{
	*t = (struct traveller){ .rounds = rounds };
	gate_init(&t->go);
	gate_init(&t->arrived);
	if (pthread_create(&t->thread, NULL, travel, t))
		bail_out("no thread");
}

static void visit(struct traveller *t, struct mirror_list *list)
{
	t->list = list;
	gate_open(&t->go);
	gate_wait(&t->arrived);
	gate_close(&t->arrived);
}

static unsigned nr_heard;

static int hear(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	__atomic_fetch_add(&nr_heard, 1, __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops hear_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hear,
};

/*
 * One thread outlives all lists; others end while a list that they used is destroyed.  Memory that is
 * used after that, or lost, is for AddressSanitizer to find.
 */
static void test_come_and_go(void)
{
	enum { ROUNDS = 100, SHORT = 3, LISTS = 3 };
	struct traveller stays, shorts[SHORT];
	struct mirror_list *lists[LISTS];
	struct mirror m[LISTS];
	bool good = true;

	nr_heard = 0;
	depart(&stays, ROUNDS * LISTS);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < LISTS; i++) {
			lists[i] = list_new();
			mirror_register(lists[i], &m[i], &hear_ops);
		}
		for (int i = 0; i < SHORT; i++)
			depart(&shorts[i], LISTS);
		for (int k = 0; k < LISTS; k++) {
			for (int i = 0; i < SHORT; i++)
				visit(&shorts[i], lists[k]);
			visit(&stays, lists[k]);
		}
		/* The short ones are on their way out. */
		for (int i = 0; i < LISTS; i++)
			good &= mirror_unregister(&m[i]) == 0 && mirror_list_destroy(lists[i]) == 0;
		for (int i = 0; i < SHORT; i++) {
			pthread_join(shorts[i].thread, NULL);
			good &= shorts[i].rc == 0;
		}
	}
	pthread_join(stays.thread, NULL);
	okv(good && stays.rc == 0, "threads and lists come and go in any order");
	isv((int)nr_heard, ROUNDS * LISTS * (SHORT + 1), "... and each bracket is heard");
}

/* ---- forks; those of liburcu's flavours are the flavours' own matter ---- */

static bool stop_churn;

static int run_churn(struct call *c)
{
	while (!__atomic_load_n(&stop_churn, __ATOMIC_RELAXED)) {
		struct call first = { .list = c->list, .start = 50, .end = 60 };

		call_begin(&first, run_invalidate);
		if (call_end(&first))
			return -1;
	}
	return 0;
}

static struct mirror_list *hook_list;
static int hook_rc;

static void publish_in_hook(void)
{
	if (hook_list)
		hook_rc |= mirror_invalidate_range(hook_list, 50, 60);
}

/* Readers that vanished hold up nobody, if ck keeps for each reader what it holds. */
static bool forgets_readers(void)
{
	return !v->one_domain && strcmp(v->sync->name, "ck-rwlock") != 0 && strcmp(v->sync->name, "ck-pflock") != 0;
}

static void child_leaves(struct mirror_list *list, struct mirror *m)
{
	struct mirror n;

	child_must(hook_rc == 0);
	child_must(mirror_invalidate_range(list, 50, 60) == 0);
	if (!forgets_readers())
		return;
	child_must(mirror_register_range(list, &n, &hear_ops, 0, 10) == 0);
	child_must(mirror_unregister(&n) == 0 && mirror_unregister(m) == 0);
	child_must(mirror_list_destroy(list) == 0);
}

/* Beside threads that begin and end, with one that stands in a callback, and a hook that publishes. */
static void test_fork(void)
{
	struct call publisher, churns[2];
	unsigned nr = (unsigned)scaled(40);
	struct mirror_list *list;
	int bad = 0;
	struct post x;

#ifdef UNDER_ASAN
	return; /* its allocator may be locked for ever in the child */
#endif
	if (v->one_domain)
		return;
	list = list_new();
	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 10);
	publisher = (struct call){ .list = list, .start = 0, .end = 10 };
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	__atomic_store_n(&stop_churn, false, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		churns[i] = (struct call){ .list = list };
		call_begin(&churns[i], run_churn);
	}
	hook_list = list;
	hook_rc = 0;
	for (unsigned i = 0; i < nr && bad < 3; i++) {
		pid_t pid = child_new();

		if (pid == 0) {
			child_leaves(list, &x.m);
			_exit(0);
		}
		bad += child_rc(pid) != 0;
	}
	hook_list = NULL;
	isv(bad, 0, "%u forks beside threads that begin and end: the child publishes%s", nr,
	    forgets_readers() ? ", and waits for no reader that vanished" : "");
	isv(hook_rc, 0, "... a hook of the program publishes");
	__atomic_store_n(&stop_churn, true, __ATOMIC_RELAXED);
	gate_open(&x.leave);
	isv(call_end(&publisher) | call_end(&churns[0]) | call_end(&churns[1]), 0, "... and the parent goes on");
	mirror_unregister(&x.m);
	list_gone(list);
}

/* ---- polling, below the list, which would only use memory too early or never ---- */

struct reader {
	void *state;
	struct gate entered, leave;
	pthread_t thread;
};

static void *read_section(void *arg)
{
	struct reader *r = arg;
	int token;

	variant_thread_begin();
	token = v->sync->read_lock(r->state);
	gate_open(&r->entered);
	gate_wait(&r->leave);
	if (token >= 0)
		v->sync->read_unlock(r->state, token);
	variant_thread_end();
	return NULL;
}

static void reader_enters(struct reader *r, void *state)
{
	r->state = state;
	gate_init(&r->entered);
	gate_init(&r->leave);
	if (pthread_create(&r->thread, NULL, read_section, r))
		bail_out("no thread");
	gate_wait(&r->entered);
}

static void reader_leaves(struct reader *r)
{
	gate_open(&r->leave);
	pthread_join(r->thread, NULL);
}

/* Whether polling for so long finds the cookie over. */
static bool is_over_in(void *state, uint64_t cookie, unsigned ms)
{
	uint64_t deadline_ns = tap_now_ns() + ms * UINT64_C(1000000);

	do {
		if (v->sync->poll_state(state, cookie))
			return true;
		sched_yield();
	} while (tap_now_ns() < deadline_ns);
	return false;
}

static void test_polling(void)
{
	struct reader first, second;
	uint64_t before, between;
	void *state = NULL;

	if (!v->sync->poll_state)
		return;
	if (v->sync->create && v->sync->create(&state))
		bail_out("no state");
	reader_enters(&first, state);
	before = v->sync->get_state(state);
	okv(!is_over_in(state, before, MOMENT_MS), "a grace period waits for a section that began before");
	reader_enters(&second, state);
	between = v->sync->get_state(state);
	reader_leaves(&first);
	is_over_in(state, before, MOMENT_MS);
	okv(!is_over_in(state, between, MOMENT_MS), "... and one that starts later for a second section, too");
	reader_leaves(&second);
	okv(is_over_in(state, between, PATIENCE_MS), "... and is over when that has ended");
	okv(is_over_in(state, before, PATIENCE_MS), "... as is the first");
	okv(is_over_in(state, v->sync->get_state(state), PATIENCE_MS), "without sections one is over, too");
	if (v->sync->destroy)
		isv(v->sync->destroy(state), 0, "its state can be destroyed");
}

/* ---- memory ---- */

/* What is allocated from malloc; 0 where a sanitizer has its own. */
static size_t allocated(void)
{
	return mallinfo2().uordblks;
}

static void travel_once(struct mirror_list *list)
{
	struct traveller t;

	depart(&t, 1);
	visit(&t, list);
	pthread_join(t.thread, NULL);
}

/* A record would take 64 bytes at least, and a place in a table 8. */
static void test_no_growth(void)
{
	enum { THREADS = 500, LISTS = 4000, SLACK = 16 << 10 };
	struct mirror_list *list = list_new();
	size_t before;

	travel_once(list);
	before = allocated();
	for (int i = 0; i < THREADS; i++)
		travel_once(list);
	okv(allocated() < before + SLACK, "%d threads, one after the other, take no more memory than one", THREADS);
	mirror_invalidate_range(list, 0, 1);
	list_gone(list);
	before = allocated();
	for (int i = 0; i < LISTS; i++) {
		list = list_new();
		mirror_invalidate_range(list, 0, 1);
		if (mirror_list_destroy(list))
			okv(false, "M17: an idle list can be destroyed");
	}
	okv(allocated() < before + SLACK, "nor do %d lists, one after the other", LISTS);
}

int main(void)
{
	pthread_atfork(publish_in_hook, publish_in_hook, publish_in_hook);
	for (v = variants; v < variants + NR_VARIANTS; v++) {
#ifdef HAVE_URCU
		test_stranger();
		test_online();
#endif
		test_elsewhere();
		test_crowd();
		test_first_try();
		test_come_and_go();
		test_no_growth();
		test_fork();
		test_polling();
	}
	return done_testing();
}
