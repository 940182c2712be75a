/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M5, M6, M9: what unregister waits for, and what it does not; over every sync. */
#include "mirror_test.h"

/* A post stands in @ops' callback; @run publishes or releases. */
struct scene {
	struct mirror_list *list;
	struct post x;
	struct call publisher;
};

static void stage(struct scene *s, const struct mirror_ops *ops, int (*run)(struct call *c))
{
	s->list = list_new();
	post_init(&s->x);
	if (mirror_register_range(s->list, &s->x.m, ops, 0, 10))
		bail_out("mirror_register_range");
	s->publisher = (struct call){ .list = s->list, .start = 0, .end = 10 };
	call_begin(&s->publisher, run);
	gate_wait(&s->x.entered);
}

static void leave(struct scene *s)
{
	gate_open(&s->x.leave);
	call_end(&s->publisher);
}

static const struct {
	const char *name;
	const struct mirror_ops *ops;
	int (*run)(struct call *c);
} callbacks[] = {
	{ "start", &post_start_ops, run_invalidate },
	{ "end", &post_end_ops, run_invalidate },
	{ "finish", &post_finish_ops, run_invalidate },
	{ "release", &post_release_ops, run_release },
};
#define NR_CALLBACKS (sizeof(callbacks) / sizeof(callbacks[0]))

static void test_waits(void)
{
	for (size_t i = 0; i < NR_CALLBACKS; i++) {
		const char *name = callbacks[i].name;
		struct mirror *many[1];
		struct scene s;
		struct call c;

		for (int way = 0; way < 3; way++) {
			stage(&s, callbacks[i].ops, callbacks[i].run);
			many[0] = &s.x.m;
			c = (struct call){ .m = &s.x.m, .timeout_ns = FOREVER, .many = many, .count = 1 };
			call_begin(&c, way == 0 ? run_unregister : way == 1 ? run_unregister_timeout : run_unregister_many);
			okv(call_blocks(&c), "M5: unregister waits for a running %s", name);
			isv(mirror_unregister(&s.x.m), -EALREADY, "M9: meanwhile another unregister is -EALREADY");
			gate_open(&s.x.leave);
			isv(call_end(&c), 0, "M5: ... and returns 0 when that has returned");
			isv(post_wrote(&s.x), 1, "M5: ... and what it wrote last is seen");
			call_end(&s.publisher);
			list_gone(s.list);
		}
	}
}

/* Two threads in callbacks of one mirror. */
static void test_waits_for_both(void)
{
	struct call second, c;
	struct post *x;
	struct scene s;

	stage(&s, &post_start_ops, run_invalidate);
	x = &s.x;
	gate_close(&x->entered);
	second = (struct call){ .list = s.list, .start = 3, .end = 4 };
	call_begin(&second, run_invalidate);
	gate_wait(&x->entered);
	c = (struct call){ .m = &x->m };
	call_begin(&c, run_unregister);
	okv(call_blocks(&c), "M5: unregister waits for two callbacks at once");
	gate_open(&x->leave);
	isv(call_end(&c), 0, "M5: ... and for both");
	call_end(&second);
	call_end(&s.publisher);
	isv((int)post_calls(x), 2, "M5: they were two");
	list_gone(s.list);
}

/* While a callback stands: others come and go. */
static void test_targeted(void)
{
	/* Nobody registers after a release; over a lock register waits: test_lock_register. */
	for (size_t i = 0; i < NR_CALLBACKS && !v->lock; i++) {
		const char *name = callbacks[i].name;
		struct probe y = { .name = 'Y' }, z = { .name = 'Z' };
		struct mirror *many[] = { &y.m, &z.m };
		struct scene s;
		struct call c;

		if (callbacks[i].run == run_release)
			continue;
		stage(&s, callbacks[i].ops, callbacks[i].run);
		isv(mirror_register_range(s.list, &y.m, &probe_ops, 20, 30), 0,
		    "M1: register does not wait while a %s blocks", name);
		isv(mirror_register(s.list, &z.m, &probe_ops), 0, "M1: ... nor a second one");
		trace[0] = '\0';
		isv(mirror_invalidate_range(s.list, 20, 21), 0, "M6: another bracket passes a blocked %s", name);
		traced("ZYyz", "M1: ... and is heard by those who came meanwhile");
		c = (struct call){ .many = many, .count = 2 };
		call_begin(&c, run_unregister_many);
		if (v->targeted)
			okv(call_returns(&c), "M6: a mirror's blocked %s does not delay the unregister of others", name);
		else
			okv(call_blocks(&c), "M6: a domain drain waits for another mirror's blocked %s: the contrast", name);
		leave(&s);
		isv(call_end(&c), 0, "M6: ... and it returns 0");
		isv(mirror_unregister(&s.x.m), 0, "M6: so does that of the mirror itself");
		list_gone(s.list);
	}
}

/* The same of two mirrors that were there before: for locks too, and under release. */
static void test_beside(void)
{
	for (size_t i = 0; i < NR_CALLBACKS; i++) {
		const char *name = callbacks[i].name;
		struct mirror_list *list = list_new();
		struct probe y = { .name = 'Y' };
		struct post x;
		struct call publisher = { .list = list, .start = 0, .end = 10 }, c = { .m = &y.m };

		post_init(&x);
		mirror_register_range(list, &x.m, callbacks[i].ops, 0, 10);
		mirror_register_range(list, &y.m, &probe_ops, 20, 30);
		trace[0] = '\0';
		call_begin(&publisher, callbacks[i].run);
		gate_wait(&x.entered);
		call_begin(&c, run_unregister);
		if (v->targeted)
			okv(call_returns(&c), "M6: the unregister of an idle mirror passes another's blocked %s", name);
		else
			okv(call_blocks(&c), "M6: without targeted drains it waits for another's blocked %s", name);
		gate_open(&x.leave);
		isv(call_end(&c), 0, "M6: ... and returns 0");
		call_end(&publisher);
		if (callbacks[i].run == run_release && v->targeted)
			traced("", "M10: an unregister that returned before its turn prevents the release");
		mirror_unregister(&x.m);
		list_gone(list);
	}
}

static int run_register(struct call *c)
{
	return mirror_register(c->list, c->m, &probe_ops);
}

static void test_lock_register(void)
{
	struct probe y = { .name = 'Y' };
	struct scene s;
	struct call c;

	if (!v->lock)
		return;
	stage(&s, &post_start_ops, run_invalidate);
	c = (struct call){ .list = s.list, .m = &y.m };
	call_begin(&c, run_register);
	okv(call_blocks(&c), "M1: over a lock, register waits for a walk: the contrast");
	leave(&s);
	isv(call_end(&c), 0, "M1: ... and then succeeds");
	mirror_unregister(&y.m);
	mirror_unregister(&s.x.m);
	list_gone(s.list);
}

static void test_timeout(void)
{
	uint64_t began = tap_now_ns();
	struct scene s;
	struct call c;

	if (v->untimed)
		return;
	stage(&s, &post_start_ops, run_invalidate);
	isv(mirror_unregister_timeout(&s.x.m, 0), -ETIMEDOUT, "M9: no time at all is a timeout");
	isv(mirror_unregister_timeout(&s.x.m, 20000000), -ETIMEDOUT, "M9: the wait may be tried again, and times out again");
	okv(tap_now_ns() - began >= 20000000, "M9: ... not before its time");
	isv(mirror_register(s.list, &s.x.m, &post_start_ops), -EBUSY, "M9: the registration stays the caller's: register is -EBUSY");
	isv(mirror_list_destroy(s.list), -EBUSY, "M17: ... and destroy is");
	if (!v->lock) {
		isv(mirror_invalidate_range(s.list, 0, 10), 0, "M9: after a timeout a bracket passes");
		isv((int)post_calls(&s.x), 1, "M9: ... and no new callback of that mirror starts");
	}
	c = (struct call){ .m = &s.x.m };
	call_begin(&c, run_unregister);
	okv(call_blocks(&c), "M9: waiting again waits");
	gate_open(&s.x.leave);
	isv(call_end(&c), 0, "M9: ... and succeeds in the end");
	isv(post_wrote(&s.x), 1, "M5: what the callback wrote is seen");
	call_end(&s.publisher);
	isv(mirror_register(s.list, &s.x.m, &post_start_ops), 0, "M9: it may be registered again");
	isv(mirror_unregister(&s.x.m), 0, "M9: ... and unregistered");
	list_gone(s.list);
}

static int post_done_calls;

static void post_done(struct mirror *m)
{
	(void)m;
	post_done_calls++;
}

/* After a timeout: the other ways of waiting. */
static void test_timeout_then(void)
{
	struct probe y = { .name = 'Y' };
	struct mirror *many[2];
	struct scene s;
	struct call c;

	if (v->lock || v->untimed)
		return;
	stage(&s, &post_start_ops, run_invalidate);
	mirror_register_range(s.list, &y.m, &probe_ops, 20, 30);
	isv(mirror_unregister_timeout(&s.x.m, 1), -ETIMEDOUT, "M9: a timeout");
	many[0] = &y.m;
	many[1] = &s.x.m;
	c = (struct call){ .many = many, .count = 2 };
	call_begin(&c, run_unregister_many);
	okv(call_blocks(&c), "M9: unregister_many takes what has timed out with others, and waits");
	leave(&s);
	isv(call_end(&c), 0, "M9: ... and succeeds");
	list_gone(s.list);

	stage(&s, &post_start_ops, run_invalidate);
	mirror_unregister_timeout(&s.x.m, 1);
	post_done_calls = 0;
	isv(mirror_unregister_async(&s.x.m, post_done), 0, "M8: so does unregister_async, without waiting");
	isv(post_done_calls, 0, "M8: done has not run while the callback does");
	leave(&s);
	isv(mirror_barrier(s.list), 0, "M8: barrier");
	isv(post_done_calls, 1, "M8: done has run once");
	list_gone(s.list);
}

/*
 * A walk stands in W's callback when the array is copied under it, so that it goes on along the
 * old one, in which X stays.  X, unregistered, must not be called: being dead is all that says so.
 */
static void test_old_array(void)
{
	enum { FILLERS = 40 };
	static struct probe fillers[FILLERS];
	struct mirror_list *list;
	struct call first, second, c;
	struct post w, x;

	if (v->lock || v->untimed)
		return;
	list = list_new();
	post_init(&w);
	post_init(&x);
	mirror_register_range(list, &w.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 20);
	first = (struct call){ .list = list, .start = 0, .end = 10 };
	second = (struct call){ .list = list, .start = 10, .end = 20 };
	call_begin(&first, run_invalidate);
	gate_wait(&w.entered); /* the first walk has the array; X is ahead of it */
	call_begin(&second, run_invalidate);
	gate_wait(&x.entered);
	for (int i = 0; i < FILLERS; i++)
		mirror_register_range(list, &fillers[i].m, &probe_ops, 1000, 1001);
	isv(mirror_unregister_timeout(&x.m, 1), -ETIMEDOUT, "M9: X is busy");
	gate_open(&w.leave);
	isv(call_end(&first), 0, "M9: a walk along an old array passes");
	isv((int)post_calls(&x), 1, "M9: ... without calling X, that is on it");
	c = (struct call){ .m = &x.m };
	call_begin(&c, run_unregister);
	gate_open(&x.leave);
	isv(call_end(&c), 0, "M5: X is given back");
	call_end(&second);
	for (int i = 0; i < FILLERS; i++)
		mirror_unregister(&fillers[i].m);
	mirror_unregister(&w.m);
	list_gone(list);
}

/* Many with a busy one among them. */
static void test_many(void)
{
	enum { IDLE = 100 };
	static struct probe idle[IDLE];
	struct mirror *many[IDLE + 1];
	struct scene s;
	struct call c;

	if (v->lock)
		return;
	stage(&s, &post_start_ops, run_invalidate);
	for (int i = 0; i < IDLE; i++) {
		idle[i] = (struct probe){ .name = 'I' };
		mirror_register(s.list, &idle[i].m, &probe_ops);
		many[i < IDLE / 2 ? i : i + 1] = &idle[i].m;
	}
	many[IDLE / 2] = &s.x.m;
	c = (struct call){ .many = many, .count = IDLE + 1 };
	call_begin(&c, run_unregister_many);
	okv(call_blocks(&c), "M5: unregister_many waits for the one that is busy");
	trace[0] = '\0';
	isv(mirror_invalidate_range(s.list, 0, 1), 0, "M5: meanwhile a bracket passes");
	traced("", "M5: ... and calls none of them");
	leave(&s);
	isv(call_end(&c), 0, "M5: unregister_many returns");
	for (int i = 0; i <= IDLE; i++)
		if (mirror_unregister(many[i]) != -EALREADY)
			okv(false, "M9: each of many was unregistered");
	list_gone(s.list);
}

static void unregister_victim(struct post *p)
{
	p->rc = mirror_unregister(p->victim);
}

/* In a callback, another mirror that is in a callback of another thread: waits for that. */
static void test_in_callback(void)
{
	struct call first, second;
	struct mirror_list *list;
	struct post w, x;

	if (!v->targeted)
		return;
	list = list_new();
	post_init(&w);
	post_init(&x);
	w.act = unregister_victim;
	w.victim = &x.m;
	mirror_register_range(list, &w.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &x.m, &post_start_ops, 10, 20);
	first = (struct call){ .list = list, .start = 0, .end = 10 };
	second = (struct call){ .list = list, .start = 10, .end = 20 };
	call_begin(&second, run_invalidate);
	gate_wait(&x.entered);
	gate_open(&w.leave);
	call_begin(&first, run_invalidate);
	gate_wait(&w.entered);
	okv(call_blocks(&first), "M3, M5: unregister of another mirror in a callback waits for that mirror's");
	isv(mirror_invalidate_range(list, 30, 40), 0, "M11: brackets pass meanwhile");
	gate_open(&x.leave);
	isv(call_end(&first), 0, "M3: ... and the bracket goes on");
	isv(w.rc, 0, "M3: ... with success");
	isv(call_end(&second), 0, "M3: so does the other's");
	mirror_unregister(&w.m);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_waits();
		test_waits_for_both();
		test_targeted();
		test_beside();
		test_lock_register();
		test_timeout();
		test_timeout_then();
		test_old_array();
		test_many();
		test_in_callback();
	}
	return done_testing();
}
