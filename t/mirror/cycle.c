/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M7: who would wait for itself, alone or in a cycle, gets -EDEADLK; over every sync. */
#include "mirror_test.h"

/* ---- oneself ---- */

/* What @p tries from inside its own callback: all in vain, and at once. */
static int self_rcs[4];

static void try_self(struct post *p)
{
	struct mirror *many[] = { p->victim };

	self_rcs[0] = mirror_unregister(p->victim);
	self_rcs[1] = mirror_unregister_timeout(p->victim, 0);
	self_rcs[2] = mirror_unregister_timeout(p->victim, FOREVER);
	self_rcs[3] = mirror_unregister_many(many, 1);
}

static bool all_deadlk(void)
{
	bool all = true;

	for (int i = 0; i < 4; i++) {
		if (self_rcs[i] != -EDEADLK)
			diag("way %d: %d", i, self_rcs[i]);
		all &= self_rcs[i] == -EDEADLK;
		self_rcs[i] = 0;
	}
	return all;
}

static void test_self(void)
{
	static const struct {
		const char *name;
		const struct mirror_ops *ops;
	} kinds[] = {
		{ "start", &post_start_ops },
		{ "end", &post_end_ops },
		{ "finish", &post_finish_ops },
		{ "release", &post_release_ops },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct mirror_list *list = list_new();
		struct post x;

		post_init(&x);
		gate_open(&x.leave);
		x.act = try_self;
		x.victim = &x.m;
		mirror_register(list, &x.m, kinds[i].ops);
		if (kinds[i].ops->release)
			mirror_list_release(list);
		else
			mirror_invalidate_range(list, 0, 1);
		okv(all_deadlk(), "M7: in its own %s a mirror's unregister is -EDEADLK", kinds[i].name);
		if (!kinds[i].ops->release) {
			x.act = NULL;
			mirror_invalidate_range(list, 0, 1);
			isv((int)post_calls(&x), 2, "M7: ... and changed nothing: it still gets brackets");
		}
		isv(mirror_unregister(&x.m), 0, "M7: ... outside it succeeds");
		list_gone(list);
	}
}

static struct mirror_list *inner_list;

static void publish_inside(struct post *p)
{
	p->rc = mirror_invalidate_range(inner_list, 0, 1);
}

/* In the callback of Y, which was called in the callback of X, unregister X. */
static void test_self_below(void)
{
	struct mirror_list *list = list_new();
	struct post x, y;

	inner_list = list_new();
	post_init(&x);
	post_init(&y);
	gate_open(&x.leave);
	gate_open(&y.leave);
	x.act = publish_inside;
	y.act = try_self;
	y.victim = &x.m;
	mirror_register(list, &x.m, &post_start_ops);
	mirror_register(inner_list, &y.m, &post_start_ops);
	mirror_invalidate_range(list, 0, 1);
	isv(x.rc, 0, "M3: a callback publishes on another list");
	okv(all_deadlk(), "M7: inside that, unregister of the outer mirror is -EDEADLK");
	isv(mirror_unregister(&x.m), 0, "M7: ... and changed nothing");
	isv(mirror_unregister(&y.m), 0, "M7: ... to either");
	list_gone(list);
	list_gone(inner_list);
}

/* ---- cycles ---- */

#define MOST 4

struct ring {
	unsigned nr;
	struct post x[MOST];
	struct gate *all_in;            /* of each, so that none begins before all are inside */
	bool many, timed;
};

static struct ring ring;

static void unregister_next(struct post *p)
{
	struct mirror *many[] = { p->victim };

	for (unsigned i = 0; i < ring.nr; i++)
		gate_wait(&ring.x[i].entered);
	p->rc = ring.many ? mirror_unregister_many(many, 1) :
		ring.timed ? mirror_unregister_timeout(p->victim, UINT64_C(3600000000000)) :
			     mirror_unregister(p->victim);
}

/* @nr threads, each in the callback of its own mirror, each unregisters the next's. */
static void turn(unsigned nr, bool two_lists, int way)
{
	struct mirror_list *lists[2];
	struct call calls[MOST];
	const char *where = two_lists ? "over two lists" : "on one list";
	int deadlks = 0, zeros = 0, lefts = 0;

	lists[0] = list_new();
	lists[1] = two_lists ? list_new() : lists[0];
	ring.nr = nr;
	ring.many = way == 1;
	ring.timed = way == 2;
	for (unsigned i = 0; i < nr; i++) {
		struct post *p = &ring.x[i];

		post_init(p);
		gate_open(&p->leave);
		p->act = unregister_next;
		p->victim = &ring.x[(i + 1) % nr].m;
		mirror_register_range(lists[i % 2], &p->m, &post_start_ops, 10 * i, 10 * i + 10);
	}
	for (unsigned i = 0; i < nr; i++) {
		calls[i] = (struct call){ .list = lists[i % 2], .start = 10 * i, .end = 10 * i + 10 };
		call_begin(&calls[i], run_invalidate);
	}
	for (unsigned i = 0; i < nr; i++)
		if (call_end(&calls[i]))
			okv(false, "M7: each bracket succeeds");
	for (unsigned i = 0; i < nr; i++) {
		deadlks += ring.x[i].rc == -EDEADLK;
		zeros += ring.x[i].rc == 0;
	}
	okv(deadlks >= 1, "M7: %u callbacks %s that unregister each other: one gets -EDEADLK", nr, where);
	if (v->targeted)
		isv(deadlks, 1, "M7: ... and only the one that closes the cycle");
	isv(deadlks + zeros, (int)nr, "M7: ... the others succeed, nothing hangs");
	for (unsigned i = 0; i < nr; i++)
		lefts += mirror_unregister(&ring.x[i].m) == 0;
	isv(lefts, deadlks, "M7: what was refused is still registered");
	list_gone(lists[0]);
	if (two_lists)
		list_gone(lists[1]);
}

static void test_cycles(void)
{
	for (int way = 0; way < 3; way++) {
		turn(2, false, way);
		turn(2, true, way);
		turn(3, false, way);
		turn(4, false, way);
		turn(3, true, way);
		turn(4, true, way);
	}
}

/*
 * Two lists, and in a callback of each the unregister of an idle mirror of the other.  Where a
 * drain waits for all of a list's walks, or for its lock, that is a cycle too.
 */
static void test_across(void)
{
	struct mirror_list *lists[2];
	struct call calls[2];
	struct probe idle[2];
	struct post *x = ring.x;
	int deadlks = 0, zeros = 0;

	ring.nr = 2;
	ring.many = ring.timed = false;
	for (unsigned i = 0; i < 2; i++) {
		lists[i] = list_new();
		post_init(&x[i]);
		gate_open(&x[i].leave);
		x[i].act = unregister_next;
		x[i].victim = &idle[1 - i].m;
		idle[i] = (struct probe){ .name = 'I' };
		mirror_register_range(lists[i], &x[i].m, &post_start_ops, 0, 10);
		mirror_register_range(lists[i], &idle[i].m, &probe_ops, 20, 30);
	}
	for (unsigned i = 0; i < 2; i++) {
		calls[i] = (struct call){ .list = lists[i], .start = 0, .end = 10 };
		call_begin(&calls[i], run_invalidate);
	}
	for (unsigned i = 0; i < 2; i++) {
		call_end(&calls[i]);
		deadlks += x[i].rc == -EDEADLK;
		zeros += x[i].rc == 0;
	}
	if (v->targeted)
		isv(zeros, 2, "M6: in callbacks of two lists, unregister of idle mirrors of the other's waits for nobody");
	else
		okv(deadlks >= 1 && deadlks + zeros == 2, "M7: ... where it waits for all walks, one gets -EDEADLK");
	for (unsigned i = 0; i < 2; i++) {
		mirror_unregister(&x[i].m);
		mirror_unregister(&idle[i].m);
	}
	list_gone(lists[0]);
	list_gone(lists[1]);
}

/* ---- the same in done(), which runs as part of a walk ---- */

static struct leaver {
	struct probe m, idle;
	struct gate in_done;
	int rc;
} leavers[2];

static void done_unregisters(struct mirror *m)
{
	struct leaver *l = m == &leavers[0].m.m ? &leavers[0] : &leavers[1], *other = &leavers[l == leavers];

	gate_open(&l->in_done);
	gate_wait(&other->in_done);
	l->rc = mirror_unregister(&other->idle.m);
}

static int run_async(struct call *c)
{
	return mirror_unregister_async(c->m, done_unregisters);
}

static void test_across_done(void)
{
	struct mirror_list *lists[2];
	struct call calls[2];
	int deadlks = 0, zeros = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct leaver *l = &leavers[i];

		lists[i] = list_new();
		gate_init(&l->in_done);
		l->m = (struct probe){ .name = 'M' };
		l->idle = (struct probe){ .name = 'I' };
		mirror_register(lists[i], &l->m.m, &probe_ops);
		mirror_register(lists[i], &l->idle.m, &probe_ops);
	}
	for (unsigned i = 0; i < 2; i++) {
		calls[i] = (struct call){ .m = &leavers[i].m.m };
		call_begin(&calls[i], run_async);
	}
	for (unsigned i = 0; i < 2; i++) {
		call_end(&calls[i]);
		deadlks += leavers[i].rc == -EDEADLK;
		zeros += leavers[i].rc == 0;
	}
	if (v->targeted)
		isv(zeros, 2, "M6, M8: so do two done()");
	else
		okv(deadlks >= 1 && deadlks + zeros == 2, "M7, M8: ... and of two done() one does");
	for (unsigned i = 0; i < 2; i++)
		mirror_unregister(&leavers[i].idle.m);
	list_gone(lists[0]);
	list_gone(lists[1]);
}

/* A chain is no cycle: the last just works, and all others wait for it. */
static void test_chain(void)
{
	struct mirror_list *list = list_new();
	struct call calls[3];
	struct post *x = ring.x;

	if (!v->targeted) {
		list_gone(list);
		return;
	}
	ring.nr = 3;
	ring.many = ring.timed = false;
	for (unsigned i = 0; i < 3; i++) {
		post_init(&x[i]);
		if (i < 2)
			gate_open(&x[i].leave);
		x[i].act = i < 2 ? unregister_next : NULL;
		x[i].victim = &x[(i + 1) % 3].m;
		mirror_register_range(list, &x[i].m, &post_start_ops, 10 * i, 10 * i + 10);
	}
	for (unsigned i = 0; i < 3; i++) {
		calls[i] = (struct call){ .list = list, .start = 10 * i, .end = 10 * i + 10 };
		call_begin(&calls[i], run_invalidate);
	}
	okv(call_blocks(&calls[0]) && call_blocks(&calls[1]), "M7: a chain of unregisters in callbacks waits");
	gate_open(&x[2].leave);
	for (unsigned i = 0; i < 3; i++)
		call_end(&calls[i]);
	isv(x[0].rc, 0, "M7: ... and is not taken for a cycle");
	isv(x[1].rc, 0, "M7: ... nor its second link");
	mirror_unregister(&x[0].m);
	list_gone(list);
}

/* The cycle closes through a wait that began outside any callback? It cannot: nobody waits for that. */
static void test_outsider(void)
{
	struct mirror_list *list = list_new();
	struct call outsider, publisher;
	struct post *x = ring.x;

	if (!v->targeted) {
		list_gone(list);
		return;
	}
	ring.nr = 1;
	post_init(&x[0]);
	post_init(&x[1]);
	gate_open(&x[0].leave);
	x[0].victim = &x[1].m;
	mirror_register_range(list, &x[0].m, &post_start_ops, 0, 10);
	mirror_register_range(list, &x[1].m, &post_start_ops, 10, 20);
	publisher = (struct call){ .list = list, .start = 10, .end = 20 };
	call_begin(&publisher, run_invalidate);
	gate_wait(&x[1].entered);
	outsider = (struct call){ .m = &x[1].m };
	call_begin(&outsider, run_unregister);
	okv(call_blocks(&outsider), "M5: an unregister waits outside callbacks");
	x[0].act = unregister_next;
	mirror_invalidate_range(list, 0, 10);
	isv(x[0].rc, -EALREADY, "M9: a callback's unregister of the same mirror does not wait for it: -EALREADY");
	gate_open(&x[1].leave);
	isv(call_end(&outsider), 0, "M5: the first succeeds");
	call_end(&publisher);
	mirror_unregister(&x[0].m);
	list_gone(list);
}

/*
 * ---- what else waits for walks: over a lock, all that changes the list, and publishers behind such a change ----
 *
 *      in a callback of X, on another list         in a callback of Y, on the list over a lock
 *      what waits until Y's walk is over           unregister X
 */

static struct lock_wait {
	struct mirror_list *list;       /* over the lock */
	struct probe idle;
	struct gate ready, go;
	int (*wait)(struct lock_wait *w);
} lock_wait;

static void no_done(struct mirror *m)
{
	(void)m;
}

static int by_register(struct lock_wait *w)
{
	return mirror_register_range(w->list, &w->idle.m, &probe_ops, 50, 60);
}

static int by_async(struct lock_wait *w)
{
	return mirror_unregister_async(&w->idle.m, no_done);
}

static int by_publishing(struct lock_wait *w)
{
	return mirror_invalidate_range(w->list, 90, 91);
}

static void wait_for_lock(struct post *p)
{
	gate_wait(&lock_wait.ready);
	p->rc = lock_wait.wait(&lock_wait);
}

static void unregister_then(struct post *p)
{
	gate_wait(&lock_wait.go);
	p->rc = mirror_unregister(p->victim);
}

static void lock_circle(const char *what, int (*wait)(struct lock_wait *), bool is_in, bool behind_writer)
{
	struct mirror_list *other;
	struct call calls[2], writer = { .m = &lock_wait.idle.m };
	struct post x, y;

	if (mirror_list_create(&other, NULL))
		bail_out("mirror_list_create");
	lock_wait = (struct lock_wait){ .list = list_new(), .wait = wait };
	gate_init(&lock_wait.ready);
	gate_init(&lock_wait.go);
	post_init(&x);
	post_init(&y);
	gate_open(&x.leave);
	gate_open(&y.leave);
	x.act = wait_for_lock;
	y.act = unregister_then;
	y.victim = &x.m;
	mirror_register(other, &x.m, &post_start_ops);
	mirror_register_range(lock_wait.list, &y.m, &post_start_ops, 0, 10);
	if (is_in)
		mirror_register_range(lock_wait.list, &lock_wait.idle.m, &probe_ops, 50, 60);
	calls[0] = (struct call){ .list = other, .start = 0, .end = 1 };
	calls[1] = (struct call){ .list = lock_wait.list, .start = 0, .end = 1 };
	for (int i = 0; i < 2; i++)
		call_begin(&calls[i], run_invalidate);
	gate_wait(&x.entered);
	gate_wait(&y.entered);
	if (behind_writer) {
		call_begin(&writer, run_unregister);
		okv(call_blocks(&writer), "M7: an unregister waits for the walk");
	}
	gate_open(&lock_wait.ready);
	okv(call_blocks(&calls[0]), "M7: %s in another list's callback waits for the walk", what);
	gate_open(&lock_wait.go);
	call_end(&calls[1]);
	call_end(&calls[0]);
	if (behind_writer)
		isv(call_end(&writer), 0, "M7: ... which ends");
	isv(y.rc, -EDEADLK, "M7: an unregister of that callback's mirror, in the walk, would close the cycle");
	isv(x.rc, 0, "M7: ... and %s succeeds", what);
	isv(mirror_unregister(&x.m), 0, "M7: ... nothing else has changed");
	mirror_unregister(&y.m);
	if (wait == by_register)
		mirror_unregister(&lock_wait.idle.m);
	list_gone(lock_wait.list);
	if (mirror_list_destroy(other))
		bail_out("mirror_list_destroy");
}

static void test_locks(void)
{
	if (!v->lock)
		return;
	lock_circle("register", by_register, false, false);
	lock_circle("an asynchronous unregister", by_async, true, false);
	if (v->shuts_out)
		lock_circle("a publisher behind an unregister", by_publishing, true, true);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_self();
		test_self_below();
		test_cycles();
		test_across();
		test_across_done();
		test_chain();
		test_outsider();
		test_locks();
	}
	return done_testing();
}
