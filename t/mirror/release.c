/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M10: release comes exactly once, whoever races it, and a mirror hears brackets until it has returned. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static struct probe a, b, c, d;
static struct mirror_list *the_list;

static void probes(void)
{
	a = (struct probe){ .name = 'A' };
	b = (struct probe){ .name = 'B' };
	c = (struct probe){ .name = 'C' };
	d = (struct probe){ .name = 'D' };
	trace[0] = '\0';
}

static void test_once(void)
{
	struct mirror_list *list = list_new();

	probes();
	mirror_register(list, &a.m, &probe_ops);
	mirror_register_range(list, &b.m, &probe_ops, 5, 6);
	mirror_register(list, &c.m, &probe_ops);
	mirror_unregister(&a.m);
	isv(mirror_list_release(list), 0, "M10: release");
	traced("!C!B", "M10: each registered mirror is released once, in the order of M2");
	isv(mirror_list_release(list), -EALREADY, "M10: a second release is -EALREADY");
	traced("", "M10: ... and calls nobody");
	isv(mirror_register(list, &d.m, &probe_ops), -ESHUTDOWN, "M10: register is -ESHUTDOWN from now on");
	isv(mirror_register_range(list, &d.m, &probe_ops, 0, 1), -ESHUTDOWN, "M10: ... so is register_range");
	isv(mirror_unregister(&d.m), -ENOENT, "M10: ... and nothing was registered");
	isv(mirror_list_destroy(list), -EBUSY, "M17: released mirrors are still registered");
	isv(mirror_invalidate_range(list, 5, 6), 0, "M10: brackets may go on");
	traced("", "M10: ... and call nobody who was released");
	isv(mirror_unregister(&b.m), 0, "M10: unregister after release");
	isv(mirror_unregister(&c.m), 0, "M10: ... of each");
	traced("", "M10: ... releases nobody again");
	list_gone(list);

	list = list_new();
	isv(mirror_list_release(list), 0, "M10: release of an empty list");
	isv(mirror_list_release(list), -EALREADY, "M10: ... once");
	list_gone(list);
}

/* ---- brackets and release ---- */

static struct mirror_range within;
static int within_rc;

static void publish_within(struct probe *p)
{
	struct mirror_range r = range(0, 1, BLOCKABLE);

	(void)p;
	within_rc = mirror_invalidate_range_start(the_list, &r);
	mirror_invalidate_range_end(the_list, &r);
	if (p == &b)
		mirror_invalidate_range_start(the_list, &within);
}

static void test_brackets(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range before = range(0, 1, BLOCKABLE);

	probes();
	the_list = list;
	within = range(0, 1, BLOCKABLE);
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	mirror_register(list, &c.m, &probe_ops);
	mirror_invalidate_range_start(list, &before);
	traced("ABC", "M10: a bracket starts before the release");
	b.in_release = publish_within;
	isv(mirror_list_release(list), 0, "M10: release");
	isv(within_rc, 0, "M10: a release callback may publish");
	traced("!A!BBCcbBC!C", "M10: it gets its own brackets, who is released already none, who is not yet all");
	mirror_invalidate_range_end(list, &within);
	traced("cb", "M10: the end goes to those that got the start, released since or not");
	mirror_invalidate_range_end(list, &before);
	traced("cba", "M10: ... so does the end of the one from before");
	mirror_invalidate_range(list, 0, 1);
	traced("", "M10: who was released gets no bracket that starts later");
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	mirror_unregister(&c.m);
	list_gone(list);
}

/* While release stands in X's callback: a bracket of another thread. */
static int hears_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	note('X');
	return 0;
}

static void hears_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	note('x');
}

static const struct mirror_ops hears_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hears_start,
	.invalidate_range_end = hears_end,
	.release = post_stand,
};

static int run_register(struct call *call)
{
	return mirror_register(call->list, call->m, &probe_ops);
}

static void test_during(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);
	struct call release = { .list = list }, unregister, other, late = { .list = list, .m = &d.m };
	struct post x;

	probes();
	post_init(&x);
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &x.m, &hears_ops);
	mirror_register(list, &b.m, &probe_ops);
	mirror_register(list, &c.m, &probe_ops);
	call_begin(&release, run_release);
	gate_wait(&x.entered);
	traced("!A", "M10: release goes in order and stands at X");
	isv(mirror_list_release(list), -EALREADY, "M10: a second release meanwhile is -EALREADY");
	isv(mirror_invalidate_range_start(list, &r), 0, "M10: a bracket starts during X's release");
	traced("XBC", "M10: X, whose release has not returned, hears it; A, whose has, does not");
	call_begin(&late, run_register);
	if (v->lock) {
		okv(call_blocks(&late), "M10: over a lock register waits for the release");
	} else {
		isv(call_end(&late), -ESHUTDOWN, "M10: register meanwhile is -ESHUTDOWN");
	}
	unregister = (struct call){ .m = &x.m };
	call_begin(&unregister, run_unregister);
	okv(call_blocks(&unregister), "M10: an unregister that races the release waits for it");
	other = (struct call){ .m = &b.m };
	call_begin(&other, run_unregister);
	if (v->targeted)
		isv(call_end(&other), 0, "M10: one that comes before the release does not");
	else
		okv(call_blocks(&other), "M10: so does one of a mirror whose turn is still to come");
	gate_open(&x.leave);
	isv(call_end(&unregister), 0, "M10: ... and then returns 0");
	isv(post_wrote(&x), 1, "M5: ... and sees what release wrote");
	isv(call_end(&release), 0, "M10: release is through");
	isv(call_end(&other), 0, "M10: so is the other unregister");
	if (v->lock)
		isv(call_end(&late), -ESHUTDOWN, "M10: register meanwhile is -ESHUTDOWN");
	if (v->lock)
		traced("!B!C", "M10: over a lock unregister comes after all releases");
	else
		traced("!C", "M10: an unregister that came first prevents the release");
	mirror_invalidate_range_end(list, &r);
	traced("c", "M10: the end goes to who got the start and is still registered");
	isv((int)post_calls(&x), 1, "M10: X was released once");
	mirror_unregister(&a.m);
	mirror_unregister(&c.m);
	list_gone(list);
}

/* ---- what release may do ---- */

static int rcs[6];

static void done(struct mirror *m)
{
	note('*');
	note(probe_of(m)->name);
}

static void busy_release(struct probe *p)
{
	rcs[0] = mirror_unregister(&p->m);
	rcs[1] = mirror_unregister(&b.m);
	rcs[2] = mirror_unregister_async(&c.m, done);
	rcs[3] = mirror_unregister_async(&p->m, done);
	rcs[4] = mirror_register(the_list, &d.m, &probe_ops);
	rcs[5] = mirror_list_release(the_list);
}

static void test_inside(void)
{
	struct mirror_list *list = list_new();

	probes();
	the_list = list;
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	mirror_register(list, &c.m, &probe_ops);
	a.in_release = busy_release;
	isv(mirror_list_release(list), 0, "M10: a release that changes the list");
	isv(rcs[0], -EDEADLK, "M7: unregister of itself is -EDEADLK");
	isv(rcs[1], v->targeted ? 0 : -EDEADLK, "M10: unregister of another, %s",
	    v->targeted ? "and it is not released" : "where it would wait for the walk, is -EDEADLK");
	isv(rcs[2], v->lock ? -EDEADLK : 0, "M10: another asynchronously");
	isv(rcs[3], v->lock ? -EDEADLK : 0, "M10: itself asynchronously");
	isv(rcs[4], v->lock ? -EDEADLK : -ESHUTDOWN, "M10: register in a release");
	isv(rcs[5], -EDEADLK, "M10: release in a release is -EDEADLK");
	mirror_barrier(list);
	traced(v->targeted ? "!A*C*A" : v->lock ? "!A!B!C" : "!A*C*A!B", "M10: done() after the release has returned, none released after it left");
	if (!v->targeted)
		mirror_unregister(&b.m);
	if (v->lock) {
		mirror_unregister(&a.m);
		mirror_unregister(&c.m);
	}
	list_gone(list);
}

/* ---- races ---- */

/* Mirrors that count their releases; released xor unregistered first, each once. */
struct racer {
	struct mirror m;
	unsigned releases;              /* plain: by release, then by who unregistered */
};

static void racer_release(struct mirror *m)
{
	((struct racer *)((char *)m - offsetof(struct racer, m)))->releases++;
}

static const struct mirror_ops racer_ops = {
	.size = sizeof(struct mirror_ops),
	.release = racer_release,
};

#define RACERS 64

static struct racer *racers[RACERS];
static unsigned racer_releases[RACERS];

/* All four set off at once. */
static pthread_barrier_t line;

static int run_race_release(struct call *call)
{
	pthread_barrier_wait(&line);
	return mirror_list_release(call->list);
}

static int run_race_unregister(struct call *call)
{
	int bad = 0;

	pthread_barrier_wait(&line);

	for (uint64_t i = call->start; i < RACERS; i += call->end) {
		bad += mirror_unregister(&racers[i]->m) != 0;
		racer_releases[i] = racers[i]->releases;
		memset(racers[i], 0xdb, sizeof(*racers[i]));
		free(racers[i]);
	}
	return bad;
}

static void test_race(void)
{
	unsigned rounds = (unsigned)scaled(60), releases = 0, twice = 0, bad = 0, winners = 0;

	pthread_barrier_init(&line, NULL, 4);
	for (unsigned round = 0; round < rounds; round++) {
		struct mirror_list *list = list_new();
		struct call leavers[2], release[2];

		for (int i = 0; i < RACERS; i++) {
			racers[i] = malloc(sizeof(*racers[i]));
			memset(racers[i], 0xa5, sizeof(*racers[i]));
			racers[i]->releases = 0;
			if (mirror_register(list, &racers[i]->m, &racer_ops))
				bail_out("mirror_register");
		}
		for (int i = 0; i < 2; i++) {
			leavers[i] = (struct call){ .start = (uint64_t)i, .end = 2 };
			release[i] = (struct call){ .list = list };
			call_begin(&leavers[i], run_race_unregister);
			call_begin(&release[i], run_race_release);
		}
		for (int i = 0; i < 2; i++) {
			bad += (unsigned)call_end(&leavers[i]);
			winners += call_end(&release[i]) == 0;
		}
		for (int i = 0; i < RACERS; i++) {
			releases += racer_releases[i];
			twice += racer_releases[i] > 1;
		}
		if (mirror_list_destroy(list))
			bail_out("mirror_list_destroy");
	}
	isv((int)bad, 0, "M10: unregisters that race a release succeed");
	isv((int)winners, (int)rounds, "M10: of two racing releases one wins, each time");
	isv((int)twice, 0, "M10: no mirror was released twice");
	pthread_barrier_destroy(&line);
	diag("%s: %u of %u were released", v->name, releases, rounds * RACERS);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_once();
		test_brackets();
		test_during();
		test_inside();
		test_race();
	}
	return done_testing();
}
