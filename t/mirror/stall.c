/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M15: a drain that waits too long is reported, with list, mirror, callback, thread and age. */
#include "mirror_test.h"

#define STALL_NS UINT64_C(20000000)

static struct {
	struct gate came;
	struct mirror_stall stall;
	char list[64], what[64];
	unsigned nr;                    /* atomic */
	void *arg;
} report;

static void on_stall(void *arg, const struct mirror_stall *stall)
{
	report.arg = arg;
	report.stall = *stall;
	snprintf(report.list, sizeof(report.list), "%s", stall->list);
	snprintf(report.what, sizeof(report.what), "%s", stall->what);
	__atomic_fetch_add(&report.nr, 1, __ATOMIC_RELAXED);
	gate_open(&report.came);
}

static struct mirror_list *stall_list(void (*stall)(void *arg, const struct mirror_stall *stall), uint64_t stall_ns)
{
	struct mirror_list_attr attr = {
		.size = sizeof(attr),
		.name = "a list with a name of more than thirty-one bytes",
		.sync = v->sync,
		.flags = v->flags,
		.stall_ns = stall_ns,
		.stall = stall,
		.stall_arg = &report,
	};
	struct mirror_list *list;
	int rc = mirror_list_create(&list, &attr);

	if (rc)
		bail_out("mirror_list_create: %s", strerror(-rc));
	gate_init(&report.came);
	report.nr = 0;
	return list;
}

static const struct {
	const char *name;
	const struct mirror_ops *ops;
	int (*run)(struct call *c);
} callbacks[] = {
	{ "invalidate_range_start", &post_start_ops, run_invalidate },
	{ "invalidate_range_end", &post_end_ops, run_invalidate },
	{ "finish", &post_finish_ops, run_invalidate },
	{ "release", &post_release_ops, run_release },
};

static void test_callbacks(void)
{
	for (size_t i = 0; i < sizeof(callbacks) / sizeof(callbacks[0]); i++) {
		struct mirror_list *list = stall_list(on_stall, STALL_NS);
		struct call publisher = { .list = list, .start = 0, .end = 1 }, c;
		struct post x;

		post_init(&x);
		mirror_register(list, &x.m, callbacks[i].ops);
		call_begin(&publisher, callbacks[i].run);
		gate_wait(&x.entered);
		c = (struct call){ .m = &x.m };
		call_begin(&c, run_unregister);
		okv(gate_wait_ms(&report.came, PATIENCE_MS), "M15: an unregister stalled by %s is reported", callbacks[i].name);
		okv(report.stall.mirror == &x.m, "M15: ... with the mirror");
		okv(strcmp(report.what, callbacks[i].name) == 0, "M15: ... the callback: %s", report.what);
		isv(report.stall.tid, x.tid, "M15: ... the thread that runs it");
		okv(report.stall.age_ns >= STALL_NS, "M15: ... and an age of stall_ns or more");
		okv(strcmp(report.list, "a list with a name of more than") == 0, "M15: ... and the list's name, cut to 31 bytes");
		okv(report.arg == &report, "M15: ... to the one who asked for it");
		okv(!gate_wait_ms(&c.returned, MOMENT_MS), "M15: ... and the unregister waits on");
		gate_open(&x.leave);
		isv(call_end(&c), 0, "M5: ... and succeeds");
		call_end(&publisher);
		list_gone(list);
	}
}

/* An outer callback stands while an inner one runs: the report is about the mirror's own. */
static struct mirror_list *inner_list;

static void publish_inside(struct post *p)
{
	p->rc = mirror_invalidate_range(inner_list, 10, 20);
}

static void test_nested(void)
{
	struct mirror_list *list = stall_list(on_stall, STALL_NS);
	struct call publisher = { .list = list, .start = 0, .end = 10 }, c;
	struct post outer, inner;

	inner_list = list;
	post_init(&outer);
	post_init(&inner);
	gate_open(&outer.leave);
	outer.act = publish_inside;
	mirror_register_range(list, &outer.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &inner.m, &post_end_ops, 10, 20);
	call_begin(&publisher, run_invalidate);
	gate_wait(&inner.entered);
	c = (struct call){ .m = &outer.m };
	call_begin(&c, run_unregister);
	okv(gate_wait_ms(&report.came, PATIENCE_MS), "M15: a stall below a nested bracket is reported");
	okv(strcmp(report.what, "invalidate_range_start") == 0 && report.stall.mirror == &outer.m,
	    "M15: ... with what the outer mirror's callback is, not the inner's: %s", report.what);
	gate_open(&inner.leave);
	call_end(&c);
	call_end(&publisher);
	mirror_unregister(&inner.m);
	list_gone(list);
}

/* No news without a stall, and none that was not asked for. */
static void test_quiet(void)
{
	struct mirror_list *list = stall_list(on_stall, STALL_NS);
	struct probe p = { .name = 'P' };
	struct call publisher, c;
	struct post x;

	for (int i = 0; i < 100; i++) {
		mirror_register(list, &p.m, &probe_ops);
		mirror_unregister(&p.m);
	}
	isv((int)report.nr, 0, "M15: unregisters that do not wait are not reported");
	list_gone(list);

	list = stall_list(on_stall, 0);
	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	publisher = (struct call){ .list = list, .start = 0, .end = 1 };
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	c = (struct call){ .m = &x.m, .timeout_ns = 2 * STALL_NS };
	call_begin(&c, run_unregister_timeout);
	isv(call_end(&c), -ETIMEDOUT, "M9: a timeout");
	isv((int)report.nr, 0, "M15: with a stall_ns of 0 nothing is reported");
	gate_open(&x.leave);
	call_end(&publisher);
	mirror_unregister(&x.m);
	list_gone(list);
}

static void test_standard_error(void)
{
	struct mirror_list *list = stall_list(NULL, STALL_NS);
	struct call publisher = { .list = list, .start = 0, .end = 1 };
	char mirror[32], thread[32];
	const char *said;
	struct post x;
	int rc;

	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	hush();
	rc = mirror_unregister_timeout(&x.m, 3 * STALL_NS);
	said = hushed();
	isv(rc, -ETIMEDOUT, "M9: a timeout, longer than a stall");
	snprintf(mirror, sizeof(mirror), "%p", (void *)&x.m);
	snprintf(thread, sizeof(thread), "%d", x.tid);
	okv(strstr(said, mirror) && strstr(said, thread) && strstr(said, "invalidate_range_start") &&
	    strstr(said, "a list with"), "M15: without a stall callback a line on standard error says it all");
	gate_open(&x.leave);
	call_end(&publisher);
	mirror_unregister(&x.m);
	list_gone(list);
}

int main(void)
{
	/* Other drains wait for whole walks, and know no mirror to name. */
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		if (!v->targeted)
			continue;
		test_callbacks();
		test_nested();
		test_quiet();
		test_standard_error();
	}
	return done_testing();
}
