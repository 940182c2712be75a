/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M21: a range that is set anew loses no bracket, neither of the old range nor of the new one; over every sync. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static struct probe a, b, c;

static void probes(struct mirror_list *list)
{
	a = (struct probe){ .name = 'A' };
	b = (struct probe){ .name = 'B' };
	c = (struct probe){ .name = 'C' };
	mirror_register_range(list, &a.m, &probe_ops, 10, 20);
	mirror_register_range(list, &b.m, &probe_ops, 10, 20);
	mirror_register_range(list, &c.m, &probe_ops, 10, 20);
	trace[0] = '\0';
}

static void probes_gone(struct mirror_list *list)
{
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	mirror_unregister(&c.m);
	trace[0] = '\0';
	mirror_invalidate_range(list, 0, 0);
	traced("", "M5: mirrors that were unregistered hear nothing, wherever they were");
	list_gone(list);
}

static void test_moved(void)
{
	struct mirror_list *list = list_new();
	uint64_t seq;

	probes(list);
	isv(mirror_set_range(&a.m, 100, 200), 0, "M21: a range is set anew");
	mirror_invalidate_range(list, 15, 16);
	traced("BCcb", "M21: ... and hears nothing of the old one");
	mirror_invalidate_range(list, 150, 151);
	traced("Aa", "M21: ... but of the new one");
	mirror_invalidate_range(list, 0, 0);
	traced("BCAacb", "M21: ... once");
	isv(mirror_set_range(&a.m, 10, 20), 0, "M21: and back");
	mirror_invalidate_range(list, 150, 151);
	trace[0] = '\0';
	mirror_invalidate_range(list, 15, 16);
	traced("BCAacb", "M21: ... it then stands behind those with the same start");
	mirror_set_range(&b.m, 11, 20);
	mirror_set_range(&c.m, 5, 20);
	mirror_invalidate_range(list, 15, 16);
	traced("CABbac", "M21: else in order of start");
	mirror_set_range(&a.m, 0, 0);
	mirror_set_range(&a.m, 10, 20);
	for (uint64_t i = 0; i < 100; i++)
		mirror_set_range(&a.m, 1000 + i, 0);
	mirror_invalidate_range(list, UINT64_MAX, 0);
	traced("Aa", "M21: ... a hundred times");
	seq = mirror_read_begin(&a.m);
	okv(!mirror_read_retry(&a.m, seq), "M12: it fills");
	mirror_invalidate_range(list, 15, 16);
	okv(!mirror_read_retry(&a.m, seq), "M12: ... by the new range");
	mirror_invalidate_range(list, 1200, 1201);
	okv(mirror_read_retry(&a.m, seq), "M12: ... alone");
	probes_gone(list);
}

/* Brackets that are open meanwhile end as they started. */
static void test_open(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range old = range(15, 16, BLOCKABLE), new = range(150, 151, BLOCKABLE), third = new;

	probes(list);
	mirror_invalidate_range_start(list, &old);
	mirror_invalidate_range_start(list, &new);
	trace[0] = '\0';
	mirror_set_range(&b.m, 100, 200);
	mirror_invalidate_range_start(list, &third);
	mirror_set_range(&b.m, 300, 400);
	mirror_set_range(&b.m, 500, 600);
	traced("B", "M21: two brackets of the old and of the new range, then the range is set, then another starts");
	mirror_invalidate_range_end(list, &new);
	traced("", "M21: no end without a start");
	mirror_invalidate_range_end(list, &third);
	traced("b", "M21: no start without an end, by the second range");
	mirror_invalidate_range_end(list, &old);
	traced("cba", "M21: ... and by the first, in the order of the start");
	mirror_set_range(&b.m, 10, 20);
	mirror_invalidate_range(list, 0, 0);
	okv(strlen(trace) == 6, "M21: once each afterwards");
	probes_gone(list);
}

static void test_refusal(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(15, 16, 0), open = range(15, 16, BLOCKABLE);

	probes(list);
	mirror_set_range(&a.m, 12, 18);
	a.answer = -EAGAIN;
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: a mirror that was moved refuses");
	traced("BCAcb", "M4: ... and those that stand before it get their end");
	a.answer = 0;
	c.answer = -EAGAIN;
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: one before it refuses");
	traced("BCb", "M4: ... and it is not called");
	c.answer = 0;
	mirror_set_range(&a.m, 5, 18);
	b.answer = -EAGAIN;
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: one refuses behind one that was moved");
	traced("ABa", "M4: ... which gets its end");
	b.answer = 0;
	mirror_invalidate_range_start(list, &open);
	mirror_set_range(&a.m, 12, 18);
	trace[0] = '\0';
	b.answer = -EAGAIN;
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: the first one refuses, beside a bracket from before");
	traced("B", "M4: ... and no other is called");
	b.answer = 0;
	mirror_invalidate_range_end(list, &open);
	traced("cba", "M21: ... whose end goes by the range of its start");
	probes_gone(list);
}

/* ---- fills ---- */

static void test_fills(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range old = range(15, 16, BLOCKABLE), new = range(150, 151, BLOCKABLE);
	uint64_t seq;

	probes(list);
	seq = mirror_read_begin(&a.m);
	isv(mirror_set_range(&a.m, 100, 200), 0, "M21: between begin and retry");
	okv(mirror_read_retry(&a.m, seq), "M12: a fill that was under way retries");
	isv(mirror_read_begin_timeout(&a.m, &seq, 0), 0, "M12: the next one can begin");
	mirror_invalidate_range(list, 15, 16);
	okv(!mirror_read_retry(&a.m, seq), "M12: ... and does not mind the old range");
	mirror_invalidate_range_start(list, &new);
	okv(mirror_read_retry(&a.m, seq), "M12: ... but the new one");
	mirror_invalidate_range_start(list, &old);
	mirror_set_range(&a.m, 10, 20);
	isv(mirror_read_begin_timeout(&a.m, &seq, 0), -ETIMEDOUT, "M12: a bracket from before is open on the new range");
	mirror_invalidate_range_end(list, &old);
	isv(mirror_read_begin_timeout(&a.m, &seq, 0), -ETIMEDOUT, "M12: ... and one on the old range");
	mirror_invalidate_range_end(list, &new);
	isv(mirror_read_begin_timeout(&a.m, &seq, 0), 0, "M12: ... which then are over");
	okv(!mirror_read_retry(&a.m, seq), "M12: ... and nothing has happened since");
	probes_gone(list);
}

static int run_fill(struct call *call)
{
	uint64_t seq;

	return mirror_read_begin_timeout(call->m, &seq, FOREVER);
}

/* A filler sleeps until the brackets from before the move are over, or its mirror is. */
static void test_fill_sleeps(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(150, 151, BLOCKABLE);
	struct call filler = { .list = list, .m = &a.m };
	uint64_t seq;

	probes(list);
	seq = mirror_read_begin(&a.m);
	okv(!mirror_read_retry(&a.m, seq), "M12: settled");
	mirror_invalidate_range_start(list, &r);
	mirror_set_range(&a.m, 100, 200);
	call_begin(&filler, run_fill);
	okv(call_blocks(&filler), "M12: a fill waits for a bracket that was open at the move");
	mirror_invalidate_range_end(list, &r);
	isv(call_end(&filler), 0, "M12: ... and then begins");
	probes_gone(list);
}

/* ---- unregister, release, visits ---- */

static int visited(struct mirror *m, void *arg)
{
	(void)arg;
	note(probe_of(m)->name);
	return 0;
}

static void test_beside(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range old = range(15, 16, BLOCKABLE), new = range(150, 151, BLOCKABLE);

	probes(list);
	mirror_set_range(&a.m, 100, 200);
	mirror_visit(list, 0, 0, visited, NULL);
	traced("BCA", "M18: a visit finds a mirror that was moved once");
	mirror_visit(list, 0, 50, visited, NULL);
	traced("BC", "M18: ... by its new range");
	mirror_invalidate_range_start(list, &old);
	mirror_invalidate_range_start(list, &new);
	mirror_set_range(&b.m, 100, 200);
	trace[0] = '\0';
	isv(mirror_unregister(&b.m), 0, "M5: a mirror with two ranges in use is unregistered");
	isv(mirror_set_range(&b.m, 1, 2), -ENOENT, "M16: set_range: unregistered");
	mirror_invalidate_range_end(list, &old);
	mirror_invalidate_range_end(list, &new);
	traced("ca", "M5: ... and gets no end");
	isv(mirror_register_range(list, &b.m, &probe_ops, 10, 20), 0, "M1: ... registers again");
	mirror_invalidate_range(list, 0, 0);
	traced("CBAabc", "M1: ... and is called once");
	probes_gone(list);
}

static void release_a(struct probe *p)
{
	isv(mirror_set_range(&p->m, 1, 2), v->lock ? -EDEADLK : -ESHUTDOWN, "M21: in release");
}

static int inside_rc;

static void move_inside(struct probe *p, const struct mirror_range *r)
{
	inside_rc = mirror_set_range(&p->m, r->start + 1000, r->end + 1000);
}

static void test_calls(void)
{
	struct mirror_list *list = list_new();
	struct probe whole = { .name = 'W' }, never = { .name = 'N' };

	isv(mirror_set_range(NULL, 1, 2), -EINVAL, "M16: set_range: no mirror");
	isv(mirror_set_range(&never.m, 1, 2), -ENOENT, "M16: set_range: never registered");
	probes(list);
	isv(mirror_set_range(&a.m, 2, 2), -EINVAL, "M16: set_range: an empty range");
	isv(mirror_set_range(&a.m, 3, 2), -EINVAL, "M16: set_range: end before start");
	mirror_register(list, &whole.m, &probe_ops);
	isv(mirror_set_range(&whole.m, 1, 2), -EINVAL, "M16: set_range: a whole-list mirror");
	mirror_unregister(&whole.m);
	a.in_start = move_inside;
	mirror_invalidate_range(list, 15, 16);
	isv(inside_rc, v->lock ? -EDEADLK : 0, "M21: in the own callback");
	a.in_start = NULL;
	a.in_release = release_a;
	trace[0] = '\0';
	mirror_list_release(list);
	okv(strlen(trace) == 6 && strstr(trace, "!A"), "M10: each is released once: %s", trace);
	isv(mirror_set_range(&a.m, 1, 2), -ESHUTDOWN, "M21: of a released list");
	trace[0] = '\0';
	mirror_invalidate_range(list, 0, 0);
	traced("", "M10: ... of which nobody hears any more");
	probes_gone(list);
	isv(mirror_set_range(&a.m, 1, 2), -ENOENT, "M16: set_range: unregistered");
}

/* ---- a model ---- */

enum { NR = 12, OPEN = 6, PLACES = 60 };

/* What the model says of a mirror: its range, and when it was last set. */
static struct modelled {
	struct mirror m;
	uint64_t start, end, since;
	bool registered;
} model[NR];

/* A bracket, with the mirrors that it must call: those that it hit at its start, in order. */
struct bracket {
	struct mirror_range r;
	unsigned nr, started;
	struct modelled *want[NR];
	bool gone[NR];                  /* unregistered since */
};

static struct bracket brackets[OPEN];
static unsigned wrong, ends_left;
static struct modelled *refuses;

static int model_start(struct mirror *m, const struct mirror_range *r)
{
	struct bracket *to = r->data;
	struct modelled *x = mirror_container_of(m, struct modelled, m);

	wrong += to->started >= to->nr || to->want[to->started] != x;
	to->started++;
	return x == refuses ? -EAGAIN : 0;
}

static void model_end(struct mirror *m, const struct mirror_range *r)
{
	struct bracket *to = r->data;
	struct modelled *x = mirror_container_of(m, struct modelled, m);

	while (ends_left && to->gone[ends_left - 1])
		ends_left--;
	wrong += !ends_left || to->want[ends_left - 1] != x;
	ends_left -= ends_left > 0;
}

static const struct mirror_ops model_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = model_start,
	.invalidate_range_end = model_end,
};

static bool is_before(const struct modelled *x, const struct modelled *y)
{
	return x->start < y->start || (x->start == y->start && x->since < y->since);
}

static void find_wanted(struct bracket *to)
{
	for (unsigned i = 0; i < NR; i++) {
		struct modelled *x = &model[i];
		unsigned at = to->nr;

		if (!x->registered || x->start >= to->r.end || to->r.start >= x->end)
			continue;
		for (; at > 0 && is_before(x, to->want[at - 1]); at--)
			to->want[at] = to->want[at - 1];
		to->want[at] = x;
		to->nr++;
	}
}

/* All that have started and are still there have got their end. */
static void ended(struct bracket *to)
{
	while (ends_left && to->gone[ends_left - 1])
		ends_left--;
	wrong += ends_left != 0;
	to->r.data = NULL;
}

static void toggle(struct mirror_list *list, struct bracket *to, struct rng *rng)
{
	unsigned refuser;
	int rc;

	if (to->r.data) {
		ends_left = to->nr;
		mirror_invalidate_range_end(list, &to->r);
		ended(to);
		return;
	}
	*to = (struct bracket){ 0 };
	to->r = range(rng_below(rng, PLACES - 10), 0, rng_below(rng, 3) ? BLOCKABLE : 0);
	to->r.end = to->r.start + 1 + rng_below(rng, 20);
	to->r.data = to;
	find_wanted(to);
	refuser = rng_below(rng, NR);
	refuses = !to->r.flags && refuser < to->nr ? to->want[refuser] : NULL;
	ends_left = refuses ? refuser : 0;
	rc = mirror_invalidate_range_start(list, &to->r);
	wrong += rc != (refuses ? -EAGAIN : 0) || to->started != (refuses ? refuser + 1 : to->nr);
	if (refuses)
		ended(to);
	refuses = NULL;
}

static void set_gone(const struct modelled *x)
{
	for (struct bracket *to = brackets; to < brackets + OPEN; to++)
		for (unsigned i = 0; to->r.data && i < to->nr; i++)
			to->gone[i] |= to->want[i] == x;
}

static void change(struct mirror_list *list, struct modelled *x, struct rng *rng, uint64_t now)
{
	if (x->registered && !rng_below(rng, 8)) {
		wrong += mirror_unregister(&x->m) != 0;
		set_gone(x);
		x->registered = false;
		return;
	}
	x->start = rng_below(rng, PLACES);
	x->end = x->start + 1 + rng_below(rng, 10);
	x->since = now;
	if (x->registered)
		wrong += mirror_set_range(&x->m, x->start, x->end) != 0;
	else
		wrong += mirror_register_range(list, &x->m, &model_ops, x->start, x->end) != 0;
	x->registered = true;
}

static void test_model(unsigned steps)
{
	struct mirror_list *list = list_new();
	struct rng rng;

	rng_init(&rng, 1);
	wrong = 0;
	memset(brackets, 0, sizeof(brackets));
	memset(model, 0, sizeof(model));
	for (unsigned step = 0; step < steps; step++) {
		if (rng_below(&rng, 2))
			toggle(list, &brackets[rng_below(&rng, OPEN)], &rng);
		else
			change(list, &model[rng_below(&rng, NR)], &rng, step);
	}
	for (unsigned i = 0; i < OPEN; i++)
		if (brackets[i].r.data)
			toggle(list, &brackets[i], &rng);
	isv((int)wrong, 0, "M21: each bracket calls those that it overlaps at its start, in order, and ends the same");
	for (unsigned i = 0; i < NR; i++)
		if (model[i].registered)
			mirror_unregister(&model[i].m);
	list_gone(list);
}

/* ---- threads ---- */

/* Two ranges between which the mirrors move; a bracket or a visit over both hits each mirror once. */
static const uint64_t place[] = { 10, 1000, 500 };

static struct moved {
	struct mirror m;
} moved[4];

struct tour {
	struct mirror_list *list;
	unsigned rounds;
	unsigned calls[NR], open[NR];
	unsigned wrong;
};

static int tour_start(struct mirror *m, const struct mirror_range *r)
{
	struct tour *t = r->data;
	size_t i = (size_t)(mirror_container_of(m, struct moved, m) - moved);

	t->calls[i]++;
	t->open[i]++;
	return 0;
}

static void tour_end(struct mirror *m, const struct mirror_range *r)
{
	struct tour *t = r->data;

	t->open[mirror_container_of(m, struct moved, m) - moved]--;
}

static const struct mirror_ops tour_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = tour_start,
	.invalidate_range_end = tour_end,
};

static int tour_visit(struct mirror *m, void *arg)
{
	struct tour *t = arg;

	t->calls[mirror_container_of(m, struct moved, m) - moved]++;
	return 0;
}

/* The last one is unregistered and registered again meanwhile, so it may be missing. */
static void check_tour(struct tour *t)
{
	for (int i = 0; i < 4; i++) {
		t->wrong += i < 3 ? t->calls[i] != 1 || t->open[i] : t->calls[i] > 1;
		t->calls[i] = t->open[i] = 0;
	}
}

static void *publish(void *arg)
{
	struct tour *t = arg;
	struct mirror_range r;

	variant_thread_begin();
	for (unsigned i = 0; i < t->rounds; i++) {
		r = range(0, 2000, BLOCKABLE);
		r.data = t;
		mirror_invalidate_range_start(t->list, &r);
		mirror_invalidate_range_end(t->list, &r);
		check_tour(t);
		mirror_visit(t->list, 0, 2000, tour_visit, t);
		check_tour(t);
	}
	variant_thread_end();
	return NULL;
}

static void *move_about(void *arg)
{
	struct tour *t = arg;

	variant_thread_begin();
	for (unsigned i = 0; i < t->rounds; i++) {
		uint64_t start = place[i % 3];

		for (int k = 0; k < 4; k++)
			t->wrong += mirror_set_range(&moved[k].m, start, start + 10) != 0;
		t->wrong += mirror_unregister(&moved[3].m) != 0;
		t->wrong += mirror_register_range(t->list, &moved[3].m, &tour_ops, start, start + 10) != 0;
	}
	variant_thread_end();
	return NULL;
}

static void test_threads(unsigned rounds)
{
	struct mirror_list *list = list_new();
	struct tour tours[3];
	pthread_t thread[3];

	for (int i = 0; i < 4; i++)
		mirror_register_range(list, &moved[i].m, &tour_ops, 10, 20);
	for (int i = 0; i < 3; i++) {
		tours[i] = (struct tour){ .list = list, .rounds = rounds };
		pthread_create(&thread[i], NULL, i ? publish : move_about, &tours[i]);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	isv((int)tours[0].wrong, 0, "M21: the range is set time and again beside brackets and visits");
	isv((int)(tours[1].wrong + tours[2].wrong), 0, "M21: ... each hits a mirror once, and ends what it started");
	for (int i = 0; i < 4; i++)
		mirror_unregister(&moved[i].m);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_moved();
		test_open();
		test_refusal();
		test_fills();
		test_fill_sleeps();
		test_beside();
		test_calls();
		test_model(scaled(4000));
		test_threads(scaled(2000));
	}
	return done_testing();
}
