/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which mirrors a walk calls, and in which order, against a model that knows no more than the contract (M1 to M4, M8,
 * M10, M12, statistics).
 *
 * Random calls, one after the other: register and unregister, of one or many, of the whole list or of ranges, brackets
 * that end in any order, refusals, fills, release.  Callbacks make further calls on the same list, and have another
 * thread make some.  The model is a stack of the walks under way.  Each holds the registrations that take part, and says
 * at every callback which one has to come now; when the call returns, none may be left.
 */
#include "mirror_test.h"

enum { MAX_MIRRORS = 320, NR_BRACKETS = 10, MAX_WALKS = 24, MAX_REGS = 4096, NR_THREADS = 2 };

/* ---- the model ---- */

/* One registration. */
struct reg {
	struct subject *subject;
	const struct mirror_ops *ops;
	uint64_t start, end;
	bool whole;
	bool dead, async, is_done, released;
	unsigned pins;                  /* its callbacks that run */
	/* Fills. */
	bool takes_part, settled, has_seq;
	unsigned unsettled;             /* brackets that were open when it began to take part, by bit */
	uint64_t seq;
	bool stale, maybe_stale;        /* an overlapping bracket has started since; or was refused before its turn */
};

struct subject {
	struct mirror m;
	struct reg *reg;                /* NULL: not registered */
	bool was_registered, refuses;
};

struct bracket {
	struct mirror_range range;
	bool open, in_use;
	struct reg *regs[MAX_MIRRORS];  /* those that take part, in order */
	int nr;
};

enum phase { STARTS, FINISHES, ENDS, RELEASES, OVER };

struct walk {
	enum phase phase;
	int thread;
	struct bracket *bracket;        /* NULL: release */
	struct reg **regs;
	int pos, nr, accepted;
	bool refused;
	struct reg *calling;
	unsigned calls;                 /* in this phase's direction: starts and finishes, or ends */
};

static struct mirror_list *list;
static bool list_released;
static struct subject subjects[MAX_MIRRORS];
static int nr_subjects;
static struct bracket brackets[NR_BRACKETS];
static struct reg regs[MAX_REGS];       /* in order of registration */
static int nr_regs;
static struct walk walks[MAX_WALKS];
static int nr_walks;
static int depth[NR_THREADS];
static int this_thread;                 /* whose turn it is: the others wait */
static unsigned nr_unfinished;          /* done() has to be called at once */

/* What statistics must say.  A walk that calls nobody need not be counted. */
static uint64_t callbacks, refusals, walks_least, walks_most, registered;

static struct rng rng;
static unsigned dive;                   /* of 100 callbacks, how many make calls */
static int nr_nested_left;
static uint64_t nr_calls;

static void fails(int line, const char *what) __attribute__((noreturn));
static void fails(int line, const char *what)
{
	ok(false, "M2: line %d of the model: not so: %s", line, what);
	diag("%" PRIu64 " calls, %d walks deep, %d mirrors", nr_calls, nr_walks, nr_subjects);
	fflush(stdout);
	_exit(1);
}

#define must(condition) ((condition) ? (void)0 : fails(__LINE__, #condition))

static bool chance(unsigned percent)
{
	return rng_below(&rng, 100) < percent;
}

static bool overlaps(const struct reg *g, const struct mirror_range *r)
{
	return g->start < r->end && r->start < g->end;
}

static bool has_finish(const struct mirror_ops *ops)
{
	return ops->size == sizeof(*ops) && ops->finish;
}

/* The callback that has to come now, or NULL. */
static struct reg *next_call(struct walk *w)
{
	struct reg *g;

	for (;;)
		switch (w->phase) {
		case STARTS:
			while (w->pos < w->nr) {
				g = w->regs[w->pos++];
				if (!g->dead && g->ops->invalidate_range_start)
					return g;
			}
			w->accepted = w->nr;
			w->phase = FINISHES;
			w->pos = 0;
			break;
		case FINISHES:
			while (w->pos < w->accepted) {
				g = w->regs[w->pos++];
				if (!g->dead && has_finish(g->ops))
					return g;
			}
			w->phase = w->refused ? ENDS : OVER;
			w->pos = w->accepted;
			break;
		case ENDS:
			while (w->pos > 0) {
				g = w->regs[--w->pos];
				if (!g->dead && g->ops->invalidate_range_end)
					return g;
			}
			w->phase = OVER;
			break;
		case RELEASES:
			if (w->calling)
				w->calling->released = true;
			while (w->pos < w->nr) {
				g = w->regs[w->pos++];
				if (!g->dead && g->ops->release)
					return g;
				g->released = true;
			}
			w->phase = OVER;
			break;
		default:
			return NULL;
		}
}

static struct walk *walk_begin(enum phase phase, struct bracket *b, struct reg **taking_part, int nr)
{
	struct walk *w = &walks[nr_walks++];

	must(nr_walks < MAX_WALKS);
	*w = (struct walk){ .phase = phase, .thread = this_thread, .bracket = b, .regs = taking_part, .nr = nr,
			    .pos = phase == ENDS ? nr : 0 };
	depth[this_thread]++;
	if (b)
		b->in_use = true;
	return w;
}

static void walk_end(struct walk *w)
{
	must(w == &walks[nr_walks - 1] && w->thread == this_thread);
	must(next_call(w) == NULL); /* none is left out */
	must(nr_unfinished == 0);
	depth[this_thread]--;
	nr_walks--;
	if (w->bracket)
		w->bracket->in_use = false;
}

static void act(void);

/* A callback: it is the one that has to come. */
static struct walk *callback_begin(enum phase phase, struct mirror *m, const struct mirror_range *r)
{
	struct walk *w = &walks[nr_walks - 1];
	struct subject *s = (struct subject *)m;

	must(nr_unfinished == 0); /* done() comes before the next callback */
	must(nr_walks > 0 && w->thread == this_thread);
	w->calling = next_call(w);
	must(w->calling != NULL);
	must(w->phase == phase && w->calling->subject == s && s->reg == w->calling);
	w->calling->pins++;
	if (r) {
		must(r == &w->bracket->range && r->data == w->bracket && r->owner == &brackets && r->event == 7);
		callbacks++;
		w->calls++;
	}
	if (chance(dive))
		act();
	must(w == &walks[nr_walks - 1]);
	return w;
}

static void callback_end(struct walk *w)
{
	struct reg *g = w->calling;

	if (--g->pins == 0 && g->async)
		nr_unfinished++;
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	struct walk *w = callback_begin(STARTS, m, r);
	bool refuses = ((struct subject *)m)->refuses && !(r->flags & MIRROR_RANGE_BLOCKABLE);

	if (refuses) {
		w->refused = true;
		w->accepted = w->pos - 1;
		w->phase = FINISHES;
		w->pos = 0;
	}
	callback_end(w);
	return refuses ? (chance(50) ? -EAGAIN : 1) : 0;
}

static void on_finish(struct mirror *m, const struct mirror_range *r)
{
	callback_end(callback_begin(FINISHES, m, r));
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	struct walk *w = &walks[nr_walks - 1];

	/* The undo of a refusal: its ends are counted apart. */
	if (nr_walks > 0 && w->phase == FINISHES && w->refused)
		w->calls = 0;
	callback_end(callback_begin(ENDS, m, r));
}

static void on_release(struct mirror *m)
{
	callback_end(callback_begin(RELEASES, m, NULL));
}

static void on_done(struct mirror *m)
{
	struct reg *g = ((struct subject *)m)->reg;

	must(g && g->async && g->pins == 0 && !g->is_done);
	must(nr_unfinished > 0);
	nr_unfinished--;
	g->is_done = true;
	g->subject->reg = NULL;
	registered--;
}

/* With and without each callback: bit 0 start, 1 end, 2 finish, 3 release; 4: a table that ends before finish. */
static struct mirror_ops ops[32];

static void ops_init(void)
{
	for (unsigned i = 0; i < 32; i++)
		ops[i] = (struct mirror_ops){
			.size = i & 16 ? offsetof(struct mirror_ops, finish) : sizeof(ops[i]),
			.invalidate_range_start = i & 1 ? on_start : NULL,
			.invalidate_range_end = i & 2 ? on_end : NULL,
			.finish = i & 4 ? on_finish : NULL,
			.release = i & 8 ? on_release : NULL,
		};
}

/* ---- calls, and what they must do ---- */

static struct subject *any_subject(void)
{
	return &subjects[rng_below(&rng, (uint32_t)nr_subjects)];
}

static struct bracket *any_bracket(bool open)
{
	for (int turn = 0; turn < 20; turn++) {
		struct bracket *b = &brackets[rng_below(&rng, NR_BRACKETS)];

		if (b->open == open && !b->in_use)
			return b;
	}
	return NULL;
}

static void add_reg(struct subject *s, const struct mirror_ops *o, const struct mirror_extent *range)
{
	struct reg *g = &regs[nr_regs++];

	*g = (struct reg){ .subject = s, .ops = o, .end = UINT64_MAX, .whole = !range };
	if (range) {
		g->start = range->start;
		g->end = range->end;
	}
	s->reg = g;
	s->was_registered = true;
	s->refuses = chance(8);
	registered++;
}

static struct mirror_extent any_extent(void)
{
	uint64_t start = rng_below(&rng, 60), length = 1 + rng_below(&rng, chance(50) ? 60 : 6);

	return (struct mirror_extent){ start, start + length };
}

static void do_register(void)
{
	struct subject *s[5] = { NULL };
	struct mirror *m[5];
	struct mirror_extent ranges[5];
	const struct mirror_ops *o = &ops[chance(40) ? 3 + 8 : rng_below(&rng, 32)];
	bool whole = chance(40), busy = false;
	int nr = chance(25) ? 1 + (int)rng_below(&rng, 5) : 1, rc;

	if (nr_regs + 5 >= MAX_REGS)
		return;
	for (int i = 0; i < nr; i++) {
		s[i] = any_subject();
		m[i] = &s[i]->m;
		ranges[i] = any_extent();
		busy |= s[i]->reg != NULL;
		for (int k = 0; k < i; k++)
			busy |= s[k] == s[i];
	}
	if (nr > 1)
		rc = mirror_register_many(list, m, o, whole ? NULL : ranges, (size_t)nr);
	else if (whole)
		rc = mirror_register(list, m[0], o);
	else
		rc = mirror_register_range(list, m[0], o, ranges[0].start, ranges[0].end);
	must(rc == (busy ? -EBUSY : list_released ? -ESHUTDOWN : 0));
	for (int i = 0; !rc && i < nr; i++)
		add_reg(s[i], o, whole ? NULL : &ranges[i]);
}

static void do_unregister(void)
{
	struct subject *s = any_subject();
	struct reg *g = s->reg;
	int rc;

	rc = mirror_unregister(&s->m);
	if (!g || g->dead) {
		must(rc == (g || s->was_registered ? -EALREADY : -ENOENT));
	} else if (g->pins || (!v->targeted && depth[0])) {
		must(rc == -EDEADLK);
	} else {
		must(rc == 0);
		g->dead = true;
		s->reg = NULL;
		registered--;
	}
}

static void do_unregister_many(void)
{
	struct mirror *m[4];
	struct reg *g[4];
	int nr = 0;

	for (int i = 0; i < 4; i++) {
		struct subject *s = any_subject();
		bool twice = false;

		for (int k = 0; k < nr; k++)
			twice |= m[k] == &s->m;
		if (!s->reg || s->reg->dead || s->reg->pins || twice)
			continue;
		g[nr] = s->reg;
		m[nr++] = &s->m;
	}
	if (nr && !v->targeted && depth[0]) {
		must(mirror_unregister_many(m, (size_t)nr) == -EDEADLK);
		return;
	}
	must(mirror_unregister_many(m, (size_t)nr) == 0);
	for (int i = 0; i < nr; i++) {
		g[i]->dead = true;
		g[i]->subject->reg = NULL;
		registered--;
	}
}

static void do_unregister_async(void)
{
	struct subject *s = any_subject();
	struct reg *g = s->reg;

	if (!g || g->dead) {
		must(mirror_unregister_async(&s->m, on_done) == (g || s->was_registered ? -EALREADY : -ENOENT));
		return;
	}
	g->dead = g->async = true;
	nr_unfinished += g->pins == 0;
	must(mirror_unregister_async(&s->m, on_done) == 0);
	must(nr_unfinished == 0);
}

/* What a bracket means to those that fill. */
static void note_fills(const struct walk *w, int rc)
{
	for (int i = 0; i < w->nr; i++) {
		struct reg *g = w->regs[i];

		if (rc && i > w->accepted)
			g->maybe_stale = true;
		else
			g->stale = true;
	}
}

/* M2: the whole list's first, then ranges by address; each by registration, as regs stands. */
static int in_order(const void *a, const void *b)
{
	const struct reg *x = *(struct reg *const *)a, *y = *(struct reg *const *)b;

	if (x->whole != y->whole)
		return x->whole ? -1 : 1;
	if (!x->whole && x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x < y ? -1 : 1;
}

static void do_start(void)
{
	struct bracket *b = any_bracket(false);
	struct mirror_extent extent = any_extent();
	struct walk *w;
	int rc;

	if (!b)
		return;
	b->range = range(extent.start, extent.end, chance(60) ? MIRROR_RANGE_BLOCKABLE : 0);
	b->range.event = 7;
	b->range.owner = &brackets;
	b->range.data = b;
	if (chance(2)) {
		b->range.start = b->range.end; /* an end of 0 would be 2^64 */
		must(mirror_invalidate_range_start(list, &b->range) == -EINVAL);
		return;
	}
	if (depth[this_thread] >= MIRROR_MAX_DEPTH) {
		must(mirror_invalidate_range_start(list, &b->range) == -ELOOP);
		return;
	}
	b->nr = 0;
	for (int i = 0; i < nr_regs; i++)
		if (!regs[i].dead && !regs[i].released && overlaps(&regs[i], &b->range))
			b->regs[b->nr++] = &regs[i];
	qsort(b->regs, (size_t)b->nr, sizeof(b->regs[0]), in_order);
	w = walk_begin(STARTS, b, b->regs, b->nr);
	rc = mirror_invalidate_range_start(list, &b->range);
	must(rc == (w->refused ? -EAGAIN : 0));
	refusals += w->refused;
	walks_least++;
	walks_most += 1 + w->refused;
	walks_least += w->refused && w->phase == ENDS && w->calls;
	walk_end(w);
	note_fills(w, rc);
	b->open = rc == 0;
}

static void end(struct bracket *b)
{
	struct walk *w;

	b->open = false;
	w = walk_begin(ENDS, b, b->regs, b->nr);
	mirror_invalidate_range_end(list, &b->range);
	walks_most++;
	walks_least += w->calls > 0;
	walk_end(w);
	for (int i = 0; i < nr_regs; i++)
		regs[i].unsettled &= ~(1u << (b - brackets));
}

static void do_end(void)
{
	struct bracket *b = any_bracket(true);

	if (b && depth[this_thread] < 12)
		end(b);
}

/* Outside of callbacks, where each walk has either begun or ended. */
static void do_fill(void)
{
	struct subject *s = any_subject();
	struct reg *g = s->reg;
	bool open = false, any_open = false, began = false;
	uint64_t seq;

	if (!g)
		return;
	if (!g->takes_part) {
		g->takes_part = true;
		for (int i = 0; i < NR_BRACKETS; i++)
			g->unsettled |= brackets[i].open ? 1u << i : 0;
	}
	for (int i = 0; i < NR_BRACKETS; i++)
		if (brackets[i].open) {
			any_open = true;
			for (int k = 0; k < brackets[i].nr; k++)
				open |= brackets[i].regs[k] == g;
		}
	if (g->has_seq && chance(70)) {
		bool retry = mirror_read_retry(&s->m, g->seq);

		must(retry || !g->stale);
		must(!retry || g->stale || g->maybe_stale);
	}
	if (open || g->unsettled) {
		must(!mirror_read_try_begin(&s->m, &seq));
		return;
	}
	/* The first one may wait for brackets that started while it waited. */
	if (chance(50) && (g->settled || !any_open)) {
		seq = mirror_read_begin(&s->m);
		began = true;
	}
	for (int turn = 0; !began && turn < 50; turn++)
		began = mirror_read_try_begin(&s->m, &seq);
	must(began || (!g->settled && any_open));
	if (!began)
		return;
	must(!mirror_read_retry(&s->m, seq));
	g->seq = seq;
	g->settled = g->has_seq = true;
	g->stale = g->maybe_stale = false;
}

static void do_release(void)
{
	static struct reg *all[MAX_MIRRORS];
	struct walk *w;
	int nr = 0;

	if (list_released || nr_walks) {
		must(mirror_list_release(list) == (nr_walks && walks[nr_walks - 1].thread == this_thread ? -EDEADLK :
						   -EALREADY));
		return;
	}
	for (int i = 0; i < nr_regs; i++)
		if (!regs[i].dead)
			all[nr++] = &regs[i];
	qsort(all, (size_t)nr, sizeof(all[0]), in_order);
	list_released = true;
	w = walk_begin(RELEASES, NULL, all, nr);
	must(mirror_list_release(list) == 0);
	walk_end(w);
}

/* ---- the other thread ---- */

static void (*other_work)(void);
static bool other_quits;
static struct gate other_begins, other_has_ended;

static void *other_thread(void *unused)
{
	for (;;) {
		gate_wait(&other_begins);
		gate_close(&other_begins);
		if (other_quits)
			return unused;
		other_work();
		gate_open(&other_has_ended);
	}
}

static void do_elsewhere(void)
{
	if (this_thread != 0 || nr_walks > 8)
		return;
	this_thread = 1;
	other_work = chance(60) ? do_end : do_start;
	gate_open(&other_begins);
	gate_wait(&other_has_ended);
	gate_close(&other_has_ended);
	this_thread = 0;
}

/* ---- rounds ---- */

/* In a callback.  The other thread does not wait for what this one holds. */
static void act(void)
{
	uint32_t what = rng_below(&rng, 100);

	if (nr_walks > 12 || nr_nested_left-- <= 0)
		return;
	if (what < 40)
		do_start();
	else if (what < 60)
		do_end();
	else if (what < 68)
		do_register();
	else if (what < 80)
		do_unregister_async();
	else if (what < 85 && this_thread == 0)
		do_unregister();
	else if (what < 88 && this_thread == 0)
		do_unregister_many();
	else if (what < 90 && walks[nr_walks - 1].phase != RELEASES)
		do_release();
	else
		do_elsewhere();
}

static void check_stats(void)
{
	struct mirror_list_stats s = { .size = sizeof(s) };

	must(mirror_list_get_stats(list, &s) == 0);
	must(s.callbacks == callbacks);
	must(s.refusals == refusals);
	must(s.registered == registered);
	must(s.walks >= walks_least && s.walks <= walks_most);
	/* So that a walk too many now does not hide one too few later. */
	walks_least = walks_most = s.walks;
}

static void call_once(unsigned release_percent)
{
	uint32_t what = rng_below(&rng, 100);

	nr_nested_left = 30;
	if (what < 25)
		do_register();
	else if (what < 33)
		do_unregister();
	else if (what < 36)
		do_unregister_many();
	else if (what < 41)
		do_unregister_async();
	else if (what < 64)
		do_start();
	else if (what < 82)
		do_end();
	else if (what < 90)
		do_fill();
	else if (what < 99)
		do_elsewhere();
	else if (chance(release_percent))
		do_release();
	must(nr_walks == 0 && depth[0] == 0 && depth[1] == 0);
	check_stats();
	nr_calls++;
}

static void finish_round(void)
{
	for (int i = 0; i < NR_BRACKETS; i++)
		if (brackets[i].open) {
			must(mirror_list_destroy(list) == -EBUSY);
			end(&brackets[i]);
		}
	for (int i = 0; i < nr_subjects; i++)
		if (subjects[i].reg) {
			must(mirror_unregister(&subjects[i].m) == 0);
			registered--;
		}
	check_stats();
	must(mirror_barrier(list) == 0);
	must(mirror_list_destroy(list) == 0);
}

static void play_round(int nr_mirrors)
{
	bool crowd = nr_mirrors > 100;

	memset(subjects, 0, sizeof(subjects));
	memset(brackets, 0, sizeof(brackets));
	nr_subjects = nr_mirrors;
	nr_regs = 0;
	list_released = false;
	callbacks = refusals = walks_least = walks_most = registered = 0;
	dive = crowd ? rng_below(&rng, 2) : rng_below(&rng, 4) ? rng_below(&rng, 10) : 50;
	list = list_new();
	for (int i = 0; i < nr_mirrors; i++) /* most are registered before the rest begins */
		do_register();
	check_stats();
	for (int i = 0; i < (crowd ? 60 : 150); i++)
		call_once(chance(50) ? 60 : 0);
	nr_nested_left = 0;
	finish_round();
}

int main(void)
{
	pthread_t other;
	uint64_t nr = 0;

	rng_init(&rng, 0);
	ops_init();
	gate_init(&other_begins);
	gate_init(&other_has_ended);
	if (pthread_create(&other, NULL, other_thread, NULL))
		bail_out("no thread");
	for (size_t i = 0; i < 3; i++) {
		uint64_t rounds = scaled(i ? 400 : 1000);

		v = &variants[i];
		for (uint64_t round = 0; round < rounds; round++)
			play_round(round % 16 == 15 ? 300 : round % 4 == 3 ? 40 : 2 + (int)rng_below(&rng, 10));
		okv(true, "M2: %" PRIu64 " random calls, and what they call", nr_calls - nr);
		nr = nr_calls;
	}
	other_quits = true;
	gate_open(&other_begins);
	pthread_join(other, NULL);
	return done_testing();
}
