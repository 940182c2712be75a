/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M18: a visit calls its function for each mirror that overlaps, pinned as in a callback; over every sync. */
#include "mirror_test.h"

static struct probe a, b, c, whole;

static int name_it(struct mirror *m, void *arg)
{
	(void)arg;
	note(mirror_container_of(m, struct probe, m)->name);
	return 0;
}

static int stop_at(struct mirror *m, void *arg)
{
	name_it(m, NULL);
	return probe_of(m)->name == *(char *)arg ? 7 : 0;
}

static void test_hits(void)
{
	struct mirror_list *list = list_new();

	a.name = 'A';
	b.name = 'B';
	c.name = 'C';
	whole.name = 'W';
	mirror_register(list, &whole.m, &probe_ops);
	mirror_register_range(list, &a.m, &probe_ops, 10, 20);
	mirror_register_range(list, &b.m, &probe_ops, 15, 30);
	mirror_register_range(list, &c.m, &probe_ops, UINT64_MAX, 0);
	isv(mirror_visit(list, 12, 16, name_it, NULL), 0, "M18: a visit");
	traced("WAB", "M18: ... calls for each mirror that overlaps, in the order of a start");
	mirror_visit(list, 20, 25, name_it, NULL);
	traced("WB", "M18: ... and for no other");
	mirror_visit(list, 100, 0, name_it, NULL);
	traced("WC", "M18: an end of 0 is 2^64");
	isv(mirror_visit(list, 0, 0, stop_at, (char[]){ 'A' }), 7, "M18: what the function returns, if not 0");
	traced("WA", "M18: ... ends the visit");
	isv(mirror_visit(NULL, 0, 1, name_it, NULL), -EINVAL, "M16: visit: no list");
	isv(mirror_visit(list, 0, 1, NULL, NULL), -EINVAL, "M16: visit: nothing to call");
	isv(mirror_visit(list, 1, 1, name_it, NULL), -EINVAL, "M16: visit: an empty range");
	isv(mirror_visit(list, 2, 1, name_it, NULL), -EINVAL, "M16: visit: end before start");
	traced("", "M16: ... and nothing was called");
	mirror_list_release(list);
	trace[0] = '\0';
	mirror_visit(list, 0, 0, name_it, NULL);
	traced("", "M10: released mirrors are not visited");
	mirror_unregister(&whole.m);
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	mirror_unregister(&c.m);
	list_gone(list);
}

/* ---- pinned ---- */

static int stand(struct mirror *m, void *arg)
{
	(void)arg;
	post_stand(m);
	return 0;
}

static int run_visit(struct call *call)
{
	return mirror_visit(call->list, 0, 1, stand, NULL);
}

static void test_pinned(void)
{
	struct mirror_list *list = list_new();
	struct call visitor = { .list = list }, owner;
	struct post x;

	post_init(&x);
	mirror_register(list, &x.m, &post_start_ops);
	call_begin(&visitor, run_visit);
	gate_wait(&x.entered);
	owner = (struct call){ .m = &x.m };
	call_begin(&owner, run_unregister);
	okv(call_blocks(&owner), "M5: an unregister waits for a visit of its mirror");
	gate_open(&x.leave);
	isv(call_end(&owner), 0, "M5: ... and for no longer");
	isv(post_wrote(&x), 1, "M5: ... and sees what the function wrote");
	isv(call_end(&visitor), 0, "M18: ... which returned 0");
	list_gone(list);
}

/* ---- what the function may do ---- */

static struct mirror_list *here;
static int rcs[3], depth, deepest;

static void gone(struct mirror *m)
{
	note('*');
	note(probe_of(m)->name);
}

static int act(struct mirror *m, void *arg)
{
	(void)arg;
	note(probe_of(m)->name);
	rcs[0] = mirror_unregister(m);
	rcs[1] = mirror_invalidate_range(here, 0, 1);
	rcs[2] = mirror_unregister_async(m, gone);
	return 0;
}

static int go_deeper(struct mirror *m, void *arg)
{
	int rc;

	(void)m;
	depth++;
	rc = mirror_visit(here, 0, 1, go_deeper, arg);
	if (depth > deepest)
		deepest = depth;
	depth--;
	return rc;
}

static void test_acts(void)
{
	struct mirror_list *list = here = list_new();

	a = (struct probe){ .name = 'A' };
	deepest = 0;
	mirror_register(list, &a.m, &probe_ops);
	isv(mirror_visit(list, 0, 1, go_deeper, NULL), -ELOOP, "M18: visits nest, to a limit");
	isv(deepest, MIRROR_MAX_DEPTH, "M18: ... which is that of brackets");
	isv(mirror_visit(list, 0, 1, act, NULL), 0, "M18: the function acts as a callback may");
	isv(rcs[0], -EDEADLK, "M7: it cannot wait for the mirror that is visited");
	isv(rcs[1], 0, "M3: it can publish");
	isv(rcs[2], v->lock ? -EDEADLK : 0, "M8: and unregister the mirror asynchronously");
	traced(v->lock ? "AAa" : "AAa*A", "M8: ... which completes behind the function");
	if (v->lock)
		mirror_unregister(&a.m);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_hits();
		test_pinned();
		test_acts();
	}
	return done_testing();
}
