/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M8: unregister_async, and the done() that follows it once; over every sync. */
#include "mirror_test.h"

/* A mirror on the heap; done frees it, so that any later touch is a use after free. */
struct guest {
	struct post post;
	unsigned inside;                /* callbacks that run; atomic */
};

static unsigned nr_done;                /* atomic */
static unsigned inside_at_done;
static int left_at_done, done_tid;
static struct gate done_gate = GATE_INITIALIZER;

static struct guest *guest_of(struct mirror *m)
{
	return (struct guest *)((char *)m - offsetof(struct guest, post.m));
}

static void done(struct mirror *m)
{
	struct guest *g = guest_of(m);

	inside_at_done = __atomic_load_n(&g->inside, __ATOMIC_RELAXED);
	left_at_done = post_wrote(&g->post);
	done_tid = (int)syscall(SYS_gettid);
	memset(g, 0xdb, sizeof(*g));
	free(g);
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELAXED);
	gate_open(&done_gate);
}

static unsigned dones(void)
{
	return __atomic_load_n(&nr_done, __ATOMIC_RELAXED);
}

static int guest_start(struct mirror *m, const struct mirror_range *r)
{
	struct guest *g = guest_of(m);

	(void)r;
	__atomic_fetch_add(&g->inside, 1, __ATOMIC_RELAXED);
	post_stand(m);
	__atomic_fetch_sub(&g->inside, 1, __ATOMIC_RELAXED);
	return 0;
}

static void guest_release(struct mirror *m)
{
	guest_start(m, NULL);
}

static const struct mirror_ops guest_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = guest_start,
	.release = guest_release,
};

static struct guest *guest_at(struct mirror_list *list, uint64_t start)
{
	struct guest *g = malloc(sizeof(*g));

	memset(g, 0xa5, sizeof(*g));
	post_init(&g->post);
	g->inside = 0;
	if (mirror_register_range(list, &g->post.m, &guest_ops, start, start + 10))
		bail_out("mirror_register_range");
	return g;
}

static struct guest *guest_new(struct mirror_list *list)
{
	struct guest *g = guest_at(list, 0);

	nr_done = 0;
	gate_close(&done_gate);
	return g;
}

static int self_rc;

static void leave_myself(struct post *p)
{
	self_rc = mirror_unregister_async(&p->m, done);
	gate_open(&p->leave);
}

static void test_own_callback(void)
{
	for (int in_release = 0; in_release < 2; in_release++) {
		struct mirror_list *list = list_new();
		struct guest *g = guest_new(list);
		const char *which = in_release ? "release" : "start";

		g->post.act = leave_myself;
		if (in_release)
			mirror_list_release(list);
		else
			mirror_invalidate_range(list, 0, 1);
		if (v->lock) {
			isv(self_rc, -EDEADLK, "M8: over a lock, async in a callback is -EDEADLK");
			isv((int)dones(), 0, "M8: ... and no done runs");
			mirror_unregister(&g->post.m);
			free(g);
		} else {
			isv(self_rc, 0, "M8: a mirror unregisters itself in its own %s", which);
			isv(mirror_barrier(list), 0, "M8: barrier");
			isv((int)dones(), 1, "M8: done has run once, and freed it");
			isv((int)inside_at_done, 0, "M8: ... when its callback had returned");
			isv(left_at_done, 1, "M8: ... and what that wrote was seen");
			mirror_invalidate_range(list, 0, 1);
		}
		list_gone(list);
	}
}

static struct mirror_list *nested_list;

static void nest_and_leave(struct post *p)
{
	if (post_calls(p) < 4) {
		gate_open(&p->leave);
		mirror_invalidate_range(nested_list, 0, 1);
	} else {
		leave_myself(p);
	}
}

/* Its callback runs four times at once, all in this thread; the innermost unregisters it. */
static void test_nested(void)
{
	struct mirror_list *list = list_new();
	struct guest *g;

	if (v->lock) {
		list_gone(list);
		return;
	}
	nested_list = list;
	g = guest_new(list);
	g->post.act = nest_and_leave;
	mirror_invalidate_range(list, 0, 1);
	isv(self_rc, 0, "M8: async in the innermost of four nested callbacks");
	isv(mirror_barrier(list), 0, "M8: barrier");
	isv((int)dones(), 1, "M8: done has run once");
	isv(left_at_done, 4, "M8: ... after the outermost");
	list_gone(list);
}

static int run_async(struct call *c)
{
	return mirror_unregister_async(c->m, done);
}

/* Callbacks in other threads; async from here. */
static void test_running(void)
{
	struct mirror_list *list = list_new();
	struct guest *g = guest_new(list);
	struct post *p = &g->post;
	struct call first = { .list = list, .start = 0, .end = 1 }, second = first, c = { .m = &p->m }, barrier = first;

	call_begin(&first, run_invalidate);
	gate_wait(&p->entered);
	gate_close(&p->entered);
	call_begin(&second, run_invalidate);
	gate_wait(&p->entered);
	call_begin(&c, run_async);
	if (v->lock) {
		okv(call_blocks(&c), "M8: over a lock async waits for walks: the contrast");
	} else {
		okv(call_returns(&c), "M8: async waits for nothing");
		isv(mirror_unregister(&p->m), -EALREADY, "M9: after it unregister is -EALREADY");
		isv(mirror_unregister_async(&p->m, done), -EALREADY, "M9: ... and async");
		isv(mirror_register(list, &p->m, &guest_ops), -EBUSY, "M9: ... and register -EBUSY");
		isv(mirror_list_destroy(list), -EBUSY, "M17: destroy with a done pending is -EBUSY");
		isv(mirror_invalidate_range(list, 0, 1), 0, "M8: a bracket passes");
		isv((int)post_calls(p), 2, "M8: ... and starts no callback of the mirror");
		isv((int)dones(), 0, "M8: done waits for two running callbacks");
		call_begin(&barrier, run_barrier);
		okv(call_blocks(&barrier), "M8: barrier waits for done");
	}
	gate_open(&p->leave);
	call_end(&first);
	call_end(&second);
	isv(call_end(&c), 0, "M8: async returns 0");
	if (!v->lock)
		isv(call_end(&barrier), 0, "M8: barrier returns 0");
	isv(mirror_barrier(list), 0, "M8: so does another");
	isv((int)dones(), 1, "M8: done has run once");
	isv((int)inside_at_done, 0, "M8: ... when no callback ran");
	list_gone(list);
}

/* The last callback to return finds that it is the last: no barrier is needed. */
static void test_unassisted(void)
{
	struct mirror_list *list = list_new();
	struct guest *g = guest_new(list);
	struct call publisher = { .list = list, .start = 0, .end = 1 };
	int publisher_tid;

	if (v->lock) {
		mirror_unregister(&g->post.m);
		free(g);
		list_gone(list);
		return;
	}
	call_begin(&publisher, run_invalidate);
	publisher_tid = publisher.tid;
	gate_wait(&g->post.entered);
	isv(mirror_unregister_async(&g->post.m, done), 0, "M8: async while a callback runs");
	gate_open(&g->post.leave);
	okv(gate_wait_ms(&done_gate, PATIENCE_MS), "M8: done runs without anybody's help");
	call_end(&publisher);
	isv(done_tid, publisher_tid, "M8: ... in the publisher at the end of the callback");
	list_gone(list);
}

/* Another one, elsewhere, whose callback stands when the barrier has begun to wait. */
static void test_later(void)
{
	struct mirror_list *list = list_new();
	struct call callers[2], barrier = { .list = list };
	struct guest *first, *later;

	if (v->lock) {
		list_gone(list);
		return;
	}
	first = guest_new(list);
	later = guest_at(list, 20);
	callers[0] = (struct call){ .list = list, .start = 0, .end = 1 };
	callers[1] = (struct call){ .list = list, .start = 20, .end = 21 };
	for (int i = 0; i < 2; i++)
		call_begin(&callers[i], run_invalidate);
	gate_wait(&first->post.entered);
	gate_wait(&later->post.entered);
	isv(mirror_unregister_async(&first->post.m, done), 0, "M8: async while a callback runs");
	call_begin(&barrier, run_barrier);
	okv(call_blocks(&barrier), "M8: barrier waits for it");
	isv(mirror_unregister_async(&later->post.m, done), 0, "M8: another one, later");
	gate_open(&first->post.leave);
	call_end(&callers[0]);
	okv(call_returns(&barrier), "M8: the barrier does not wait for the later one");
	isv((int)dones(), 1, "M8: ... whose done has not run");
	isv(mirror_list_destroy(list), -EBUSY, "M17: ... and still keeps the list");
	gate_open(&later->post.leave);
	call_end(&callers[1]);
	isv(call_end(&barrier), 0, "M8: barrier returns 0");
	isv(mirror_barrier(list), 0, "M8: one that begins now waits for both");
	isv((int)dones(), 2, "M8: ... dones");
	list_gone(list);
}

/* ---- whose done() runs where ---- */

/* Sixteen walks deep, where no thread can walk on, a done is left to others. */
static struct mirror_range crossed[2 * MIRROR_MAX_DEPTH];
static struct mirror_list *left_list;
static struct guest *left;
static int left_rc, idle_dones;

static void idle_done(struct mirror *m)
{
	(void)m;
	idle_dones++;
}

static void dive(struct mirror *m, const struct mirror_range *r)
{
	int next = (int)(r - crossed) + 1;

	(void)m;
	if (next < 2 * MIRROR_MAX_DEPTH)
		mirror_invalidate_range_end(left_list, &crossed[next]);
	else
		left_rc = mirror_unregister_async(&left->post.m, done);
}

static const struct mirror_ops diver_ops = { .size = sizeof(struct mirror_ops), .invalidate_range_end = dive };

static void test_left(void)
{
	struct mirror_list *list = list_new();
	struct probe diver = { .name = 'D' }, idle = { .name = 'I' };

	if (v->lock) {
		list_gone(list);
		return;
	}
	left_list = list;
	idle_dones = 0;
	left = guest_at(list, 20);
	nr_done = 0;
	mirror_register_range(list, &diver.m, &diver_ops, 0, 10);
	mirror_register_range(list, &idle.m, &probe_ops, 50, 60);
	for (int i = 0; i < 2 * MIRROR_MAX_DEPTH; i++) {
		crossed[i] = range(0, 1, 0);
		mirror_invalidate_range_start(list, &crossed[i]);
	}
	mirror_invalidate_range_end(list, &crossed[0]);
	isv(left_rc, 0, "M8: async 16 walks deep returns 0");
	isv((int)dones(), 0, "M8: ... and leaves done to others");
	isv(mirror_unregister_async(&idle.m, idle_done), 0, "M8: another one");
	isv((int)dones(), 0, "M8: ... runs its own done, and no other");
	isv(idle_dones, 1, "M8: ... its own it does");
	isv(mirror_barrier(list), 0, "M8: barrier");
	isv((int)dones(), 1, "M8: ... runs what was left");
	mirror_unregister(&diver.m);
	list_gone(list);
}

/* ---- what done may do ---- */

static struct mirror_list *done_list;
static struct guest *another;
static int done_rcs[5];

static void busy_done(struct mirror *m)
{
	struct mirror_range r = range(0, 1, 0);

	done_rcs[0] = mirror_barrier(done_list);
	done_rcs[1] = mirror_unregister_async(&another->post.m, done);
	done_rcs[2] = mirror_invalidate_range_start(done_list, &r);
	if (done_rcs[2] == 0)
		mirror_invalidate_range_end(done_list, &r);
	done_rcs[3] = mirror_register(done_list, m, &guest_ops);
	done_rcs[4] = mirror_list_destroy(done_list);
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELAXED);
}

static void test_in_done(void)
{
	struct mirror_list *list = list_new();
	struct guest *g = guest_new(list);

	if (v->lock) {
		mirror_unregister(&g->post.m);
		free(g);
		list_gone(list);
		return;
	}
	done_list = list;
	another = guest_new(list);
	isv(mirror_unregister_async(&g->post.m, busy_done), 0, "M8: async");
	isv(mirror_barrier(list), 0, "M8: barrier");
	isv(done_rcs[0], -EDEADLK, "M8: barrier in a done is -EDEADLK");
	isv(done_rcs[1], 0, "M8: a done may unregister another asynchronously");
	isv(done_rcs[2], 0, "M8: ... and publish");
	isv(done_rcs[3], 0, "M8: ... and register its mirror again");
	isv(done_rcs[4], -EBUSY, "M17: ... and not destroy the list");
	isv((int)dones(), 2, "M8: both dones have run before barrier returned");
	isv(mirror_unregister(&g->post.m), 0, "M8: the mirror was registered again indeed");
	free(g);
	list_gone(list);
}

static void test_flood(void)
{
	enum { NR = 3000 };
	struct mirror_list *list = list_new();
	struct guest *g;

	for (int i = 0; i < NR; i++) {
		unsigned before = i ? dones() : 0;

		g = guest_new(list);
		nr_done = before;
		if (mirror_unregister_async(&g->post.m, done))
			bail_out("unregister_async");
	}
	isv(mirror_barrier(list), 0, "M8: barrier after a flood");
	isv((int)dones(), NR, "M8: each of %d dones has run once", NR);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_own_callback();
		test_nested();
		test_running();
		test_unassisted();
		test_later();
		test_left();
		test_in_done();
		test_flood();
	}
	return done_testing();
}
