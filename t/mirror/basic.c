/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M1, M2, M3, M4, M14 without a race: who is called, in which order, with what; over every sync. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static struct probe a, b, c, d;

static void probes(void)
{
	a = (struct probe){ .name = 'A' };
	b = (struct probe){ .name = 'B' };
	c = (struct probe){ .name = 'C' };
	d = (struct probe){ .name = 'D' };
	trace[0] = '\0';
}

static void add(struct mirror_list *list, struct probe *p)
{
	int rc = mirror_register(list, &p->m, &probe_ops);

	if (rc)
		bail_out("mirror_register: %s", strerror(-rc));
}

static void drop(struct probe *p)
{
	int rc = mirror_unregister(&p->m);

	if (rc)
		bail_out("mirror_unregister: %s", strerror(-rc));
}

static void test_order(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 10, BLOCKABLE);
	struct mirror_range other = range(5, 15, 0);

	probes();
	isv(mirror_invalidate_range_start(list, &r), 0, "M2: a bracket of an empty list starts");
	mirror_invalidate_range_end(list, &r);
	add(list, &a);
	add(list, &b);
	add(list, &c);
	isv(mirror_invalidate_range_start(list, &r), 0, "M2: a bracket starts");
	traced("ABC", "M2: start goes to each mirror, in order of registration");
	mirror_invalidate_range_end(list, &r);
	traced("cba", "M2: end in reverse order");
	drop(&b);
	add(list, &b);
	mirror_invalidate_range(list, 0, 1);
	traced("ACBbca", "M2: who registers again is the last; invalidate_range is start and end");

	mirror_invalidate_range_start(list, &r);
	mirror_invalidate_range_start(list, &other);
	traced("ACBACB", "M3: a second bracket overlaps the first");
	add(list, &d);
	mirror_invalidate_range_end(list, &r);
	mirror_invalidate_range_end(list, &other);
	traced("bcabca", "M1, M3: the first ends first; no end for who came after both starts");
	mirror_invalidate_range(list, 0, 1);
	traced("ACBDdbca", "M1: the newcomer gets the next bracket");

	mirror_invalidate_range_start(list, &r);
	was_traced("ACBD");
	drop(&a);
	drop(&d);
	mirror_invalidate_range_end(list, &r);
	traced("bc", "M2: no end for who has left");
	mirror_invalidate_range_start(list, &r);
	was_traced("CB");
	drop(&b);
	add(list, &b);
	mirror_invalidate_range_end(list, &r);
	traced("c", "M1: no end for who left and came back within the bracket");
	add(list, &a);
	mirror_invalidate_range_start(list, &r);
	traced("CBA", "M2: the order is that of today's registrations");
	mirror_invalidate_range_end(list, &r);
	drop(&a);
	drop(&b);
	drop(&c);
	list_gone(list);
}

/* [s, e) of a bracket, [lo, hi) of a mirror. */
static void test_edges(void)
{
	static const struct {
		uint64_t lo, hi, s, e;
		bool hit;
	} cases[] = {
		{ 100, 200, 100, 200, true },
		{ 100, 200, 0, 100, false },
		{ 100, 200, 0, 101, true },
		{ 100, 200, 200, 300, false },
		{ 100, 200, 199, 300, true },
		{ 100, 200, 150, 151, true },
		{ 100, 200, 0, UINT64_MAX, true },
		{ 100, 101, 100, 101, true },
		{ 100, 101, 99, 100, false },
		{ 100, 101, 101, 102, false },
		{ 0, 1, 0, 1, true },
		{ 0, 1, 1, 2, false },
		{ 0, 1, 1, UINT64_MAX, false },
		{ 0, UINT64_MAX, 0, 1, true },
		{ 0, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, true },
		{ UINT64_MAX - 1, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, true },
		{ UINT64_MAX - 1, UINT64_MAX, 0, UINT64_MAX - 1, false },
		{ UINT64_MAX - 1, UINT64_MAX, 0, UINT64_MAX, true },
		{ UINT64_C(1) << 63, UINT64_MAX, 0, UINT64_C(1) << 63, false },
		{ UINT64_C(1) << 63, UINT64_MAX, 0, (UINT64_C(1) << 63) + 1, true },
		{ 0, UINT64_C(1) << 63, UINT64_C(1) << 63, UINT64_MAX, false },
	};
	struct mirror_list *list = list_new();

	probes();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (mirror_register_range(list, &a.m, &probe_ops, cases[i].lo, cases[i].hi))
			bail_out("mirror_register_range");
		mirror_invalidate_range(list, cases[i].s, cases[i].e);
		traced(cases[i].hit ? "Aa" : "", "M2: [%" PRIx64 ",%" PRIx64 ") %s a mirror of [%" PRIx64 ",%" PRIx64 ")",
		       cases[i].s, cases[i].e, cases[i].hit ? "hits" : "misses", cases[i].lo, cases[i].hi);
		drop(&a);
	}
	add(list, &a);
	mirror_invalidate_range(list, UINT64_MAX - 1, UINT64_MAX);
	mirror_invalidate_range(list, 0, 1);
	traced("AaAa", "M2: a mirror without a range hears both ends of the space");
	drop(&a);
	list_gone(list);
}

static void test_refusal(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 10, 0), blockable = range(0, 10, BLOCKABLE);
	struct mirror_list_stats stats = { .size = sizeof(stats) };
	const char *said;

	probes();
	add(list, &a);
	add(list, &b);
	add(list, &c);
	mirror_register_range(list, &d.m, &probe_ops, 50, 60);
	isv(mirror_invalidate_range_start(list, &r), 0, "M4: a bracket that is not blockable starts");
	mirror_invalidate_range_end(list, &r);
	traced("ABCcba", "M4: ... where nobody refuses as any other");

	b.answer = -EAGAIN;
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: one refuses: the publisher hears it");
	traced("ABa", "M4: those that had accepted get their end, the refuser and later ones nothing");
	hush();
	mirror_invalidate_range_end(list, &r);
	said = hushed();
	traced("", "M16: the end of a refused bracket is misuse: nobody is called");
	okv(strstr(said, "not open") != NULL, "M16: ... and it is reported");
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: it may be tried again");
	traced("ABa", "M4: ... with the same result");
	b.answer = 0;
	isv(mirror_invalidate_range_start(list, &r), 0, "M4: ... or a better one");
	mirror_invalidate_range_end(list, &r);
	traced("ABCcba", "M4: nothing is left of the refusal");

	a.answer = -EAGAIN;
	mirror_invalidate_range_start(list, &r);
	traced("A", "M4: the first refuses: no end to give");
	a.answer = 0;
	c.answer = -EAGAIN;
	mirror_invalidate_range_start(list, &r);
	traced("ABCba", "M4: the last refuses: ends in reverse order");

	hush();
	isv(mirror_invalidate_range_start(list, &blockable), 0, "M4: a blockable bracket goes on where one refuses");
	said = hushed();
	okv(strstr(said, "refused") != NULL, "M4: ... and it is reported");
	mirror_invalidate_range_end(list, &blockable);
	traced("ABCcba", "M4: ... and ends for all");
	isv(mirror_list_get_stats(list, &stats), 0, "stats can be read");
	isv((intmax_t)stats.refusals, 4, "stats: four brackets were refused");
	isv((intmax_t)stats.registered, 4, "stats: four mirrors");
	drop(&a);
	drop(&b);
	drop(&c);
	drop(&d);
	list_gone(list);
}

static void test_finish(void)
{
	struct mirror_ops old = finish_ops;
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 10, 0);

	probes();
	old.size = offsetof(struct mirror_ops, finish);
	mirror_register(list, &a.m, &finish_ops);
	mirror_register(list, &b.m, &probe_ops);
	mirror_register(list, &c.m, &old);
	mirror_register(list, &d.m, &finish_ops);
	mirror_invalidate_range_start(list, &r);
	traced("ABCD.A.D", "all starts first, then all finishes; none for who has none or whose ops end before it");
	mirror_invalidate_range_end(list, &r);
	traced("dcba", "... and the ends once each");
	d.answer = -EAGAIN;
	mirror_invalidate_range_start(list, &r);
	traced("ABCD.Acba", "M4: a refusal: finish for who accepted, then its end");
	a.answer = -EAGAIN;
	mirror_invalidate_range_start(list, &r);
	traced("A", "M4: who refused gets no finish");
	drop(&a);
	drop(&b);
	drop(&c);
	drop(&d);
	list_gone(list);
}

static void test_owner(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(7, 9, BLOCKABLE);
	const struct mirror_range *seen;
	int data;

	probes();
	add(list, &a);
	r.event = MIRROR_EVENT_USER + 3;
	r.owner = &a;
	r.data = &data;
	mirror_invalidate_range_start(list, &r);
	seen = a.range;
	okv(seen == &r && seen->owner == &a && seen->data == &data, "M14: a callback sees the publisher's range, owner and data");
	okv(seen->start == 7 && seen->end == 9 && seen->event == MIRROR_EVENT_USER + 3 && seen->flags == BLOCKABLE,
	    "M14: ... bounds, event and flags as they were given");
	mirror_invalidate_range_end(list, &r);
	okv(r.owner == &a && r.data == &data && r.start == 7 && r.end == 9, "M14: ... and so does the publisher afterwards");
	drop(&a);
	list_gone(list);
}

/* ---- from inside callbacks ---- */

static struct mirror_list *nest_list;
static int nest_depth, nest_deepest, nest_rc;

static void nest(struct probe *p, const struct mirror_range *r)
{
	struct mirror_range inner = range(r->start, r->end, BLOCKABLE);
	int rc;

	(void)p;
	rc = mirror_invalidate_range_start(nest_list, &inner);
	if (rc) {
		nest_rc = rc;
		return;
	}
	nest_depth++;
	if (nest_deepest < nest_depth)
		nest_deepest = nest_depth;
	mirror_invalidate_range_end(nest_list, &inner);
	nest_depth--;
}

static void test_nesting(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);

	probes();
	add(list, &a);
	nest_list = list;
	nest_deepest = nest_depth = nest_rc = 0;
	a.in_start = nest;
	isv(mirror_invalidate_range_start(list, &r), 0, "M3: a bracket whose callbacks start brackets");
	isv(nest_rc, -ELOOP, "M3: deeper than MIRROR_MAX_DEPTH is -ELOOP");
	traced("AAAAAAAAaaaaaaa", "M3: MIRROR_MAX_DEPTH starts deep, and each nested one ends");
	mirror_invalidate_range_end(list, &r);
	traced("a", "M3: so does the outer one");
	nest_rc = 0;
	mirror_invalidate_range(list, 0, 1);
	isv(nest_rc, -ELOOP, "M3: the same depth the second time: nothing was left behind");
	trace[0] = '\0';
	a.in_start = NULL;
	a.in_end = nest;
	mirror_invalidate_range(list, 0, 1);
	isv(nest_rc, -ELOOP, "M3: brackets nest in end callbacks too");
	trace[0] = '\0';
	drop(&a);
	list_gone(list);
}

static struct mirror_list *other_list;
static int other_rc;

static void start_on_other(struct probe *p, const struct mirror_range *r)
{
	(void)p;
	(void)r;
	other_rc = mirror_invalidate_range(other_list, 0, 1);
}

static void test_two_lists(void)
{
	struct mirror_list *list = list_new();
	int deepest = -1;

	other_list = list_new();
	probes();
	add(list, &a);
	add(other_list, &b);
	a.in_start = start_on_other;
	isv(mirror_invalidate_range(list, 0, 1), 0, "M3: a callback publishes on another list");
	isv(other_rc, 0, "M3: ... with success");
	traced("ABba", "M3: ... and its mirrors are called meanwhile");
	b.in_start = nest;
	nest_list = other_list;
	nest_rc = 0;
	mirror_invalidate_range(list, 0, 1);
	deepest = (int)strspn(trace + 1, "B");
	isv(deepest, MIRROR_MAX_DEPTH, "M3: depth is counted for each list alone");
	trace[0] = '\0';
	drop(&a);
	drop(&b);
	list_gone(list);
	list_gone(other_list);
}

static int in_callback_rc[4];

static void register_others(struct probe *p, const struct mirror_range *r)
{
	(void)r;
	if (p != &a || in_callback_rc[0] != 1)
		return;
	in_callback_rc[0] = mirror_register(nest_list, &c.m, &probe_ops);
	in_callback_rc[1] = mirror_register_range(nest_list, &d.m, &probe_ops, 0, 5);
	in_callback_rc[2] = mirror_unregister(&b.m);
	in_callback_rc[3] = mirror_unregister(&p->m);
}

/* A starts, and in its callback C and D come, B goes. */
static void test_changes_in_callback(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);
	int want = v->lock ? -EDEADLK : 0;

	probes();
	nest_list = list;
	in_callback_rc[0] = 1;
	add(list, &a);
	add(list, &b);
	a.in_start = register_others;
	isv(mirror_invalidate_range_start(list, &r), 0, "M3: a bracket whose callback changes the list");
	isv(in_callback_rc[0], want, "M3: register in a callback %s", v->lock ? "is -EDEADLK over a lock" : "succeeds");
	isv(in_callback_rc[1], want, "M3: so %s register_range", v->lock ? "is" : "does");
	isv(in_callback_rc[2], v->targeted ? 0 : -EDEADLK, "M3: unregister of another mirror in a callback %s",
	    v->targeted ? "succeeds" : "is -EDEADLK where it would wait for the walk");
	isv(in_callback_rc[3], -EDEADLK, "M7: unregister of the mirror that is called is -EDEADLK");
	traced(v->targeted ? "A" : "AB", "M1: who registered in a callback does not get the bracket under way");
	mirror_invalidate_range_end(list, &r);
	traced(v->targeted ? "a" : "ba", "M1: ... nor its end");
	mirror_invalidate_range(list, 0, 1);
	traced(v->targeted ? "ACDdca" : v->lock ? "ABba" : "ABCDdcba", "M1: the next it gets");
	mirror_invalidate_range(list, 5, 6);
	trace[0] = '\0';
	drop(&a);
	if (!v->targeted)
		drop(&b);
	if (!v->lock) {
		drop(&c);
		drop(&d);
	}
	list_gone(list);
}

static void test_other_thread(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);
	struct call call = { .list = list, .r = &r };

	probes();
	add(list, &a);
	add(list, &b);
	mirror_invalidate_range_start(list, &r);
	call_begin(&call, run_range_end);
	call_end(&call);
	traced("ABba", "M3: another thread may end a bracket");
	drop(&a);
	drop(&b);
	list_gone(list);
}

/* The array of whole-list mirrors grows, and is copied, with holes in it. */
static void test_many_mirrors(void)
{
	enum { NR = 600 };
	static struct probe probes_of[NR];
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);
	char want[NR + 1] = "";
	size_t length = 0;
	int i;

	trace[0] = '\0';
	memset(probes_of, 0xa5, sizeof(probes_of));
	for (i = 0; i < NR; i++) {
		probes_of[i].name = (char)('A' + i % 26);
		probes_of[i].answer = 0;
		probes_of[i].in_start = probes_of[i].in_end = NULL;
		probes_of[i].in_release = NULL;
		add(list, &probes_of[i]);
		if (i % 3 == 2)
			drop(&probes_of[i - 1]);
	}
	for (i = 0; i < NR; i++)
		if (i % 3 != 1)
			want[length++] = (char)('A' + i % 26);
	mirror_invalidate_range_start(list, &r);
	traced(want, "M2: hundreds of mirrors with holes between: in order of registration");
	for (i = 0; i < NR; i++)
		if (i % 3 != 1 && i % 5)
			drop(&probes_of[i]);
	for (i = NR - 1, length = 0; i >= 0; i--)
		if (i % 3 != 1 && i % 5 == 0)
			want[length++] = (char)('a' + i % 26);
	want[length] = '\0';
	mirror_invalidate_range_end(list, &r);
	traced(want, "M2: ... and the end in reverse, to those that are left");
	for (i = 0; i < NR; i++)
		if (i % 3 != 1 && i % 5 == 0)
			drop(&probes_of[i]);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_order();
		test_edges();
		test_refusal();
		test_finish();
		test_owner();
		test_nesting();
		test_two_lists();
		test_changes_in_callback();
		test_other_thread();
		test_many_mirrors();
	}
	return done_testing();
}
