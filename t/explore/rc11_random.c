/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * RC11 as the explorer has it against its axioms, on small random programs.
 *
 * The axioms are those of Lahav et al., PLDI 2017, with the release sequences of C++20, over execution graphs: a write for
 * each read (rf), an order of the writes of each location (mo), and for each membarrier(2) and each other thread a
 * position of that thread, at which it executes a fence, behind the call's first fence and before its last one.  All
 * graphs are tried, and all positions; the explorer delivers a membarrier in steps.  Both have to find the same
 * outcomes: what each load and addition has seen, and what memory holds at the end.  Half of the programs may have two
 * membarriers.
 *
 *      hb = (po | sw | fences of a membarrier)+        eco = (rf | mo | fr)+
 *      hb, eco and hb; eco are irreflexive            a read-modify-write reads what stands right before it in mo
 *      (hb | hb; eco; hb) between fences is acyclic   po | rf | fences of a membarrier is acyclic
 */
#include <stdlib.h>
#include <string.h>
#include "port.h"

enum { MAX_THREADS = 3, MAX_OPS = 4, MAX_CALLS = 2, NR_VARS = 2, MAX_OUTCOMES = 4096, MAX_EVENTS = 32 };
enum op_kind { LOAD, STORE, ADD, FENCE, MEMBARRIER };

struct op {
	enum op_kind kind;
	int var;
	bool acquire, release;
	uint64_t value;
};

static int nr_threads, nr_ops;
static struct op op[MAX_THREADS][MAX_OPS];

/* What was seen and what is left; nothing else, since it is compared as a whole. */
struct outcome {
	uint64_t seen[MAX_THREADS][MAX_OPS];
	uint64_t var[NR_VARS];
};

/* Kept over all executions, as the explorer's own variables are. */
#define KEPT __attribute__((section("x_engine")))
static KEPT struct outcome possible[MAX_OUTCOMES];
static KEPT bool found[MAX_OUTCOMES];
static KEPT int nr_possible;

static struct outcome outcome;          /* of this execution */
static uint64_t var[NR_VARS];

/* ---- programs ---- */

static uint64_t seed;

static unsigned any(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % below;
}

/* Few membarriers, since there are so many positions. */
static void make_program(uint64_t number)
{
	static const enum op_kind kinds[] = { LOAD, LOAD, LOAD, STORE, STORE, STORE, ADD, FENCE, FENCE, MEMBARRIER };
	int calls_left;

	seed = number * 7919 + 17;
	any(2);
	nr_threads = 2 + (int)any(2);
	nr_ops = nr_threads == 2 ? 4 : 3;
	calls_left = number % 2 ? 1 : MAX_CALLS;
	for (int t = 0; t < nr_threads; t++)
		for (int i = 0; i < nr_ops; i++) {
			enum op_kind kind = kinds[any(calls_left ? 10 : 9)];

			calls_left -= kind == MEMBARRIER;
			op[t][i] = (struct op){
				.kind = kind, .var = (int)any(NR_VARS), .acquire = any(2), .release = any(2),
				.value = (uint64_t)(t * MAX_OPS + i + 1),
			};
		}
}

/* ---- by the axioms ---- */

struct event {
	int thread, op;                 /* -1: the initial write of a variable; or of a fence */
	int var;                        /* -1: a fence */
	bool reads, writes, acquire, release;
};

/* Of an event the set of those behind it. */
struct relation {
	uint32_t to[MAX_EVENTS];
};

static KEPT struct event event[MAX_EVENTS];
static KEPT int nr_events;
static KEPT struct relation po, calls;                  /* program order; the fences of a membarrier */
static KEPT int rf[MAX_EVENTS];                         /* of a read: its write */
static KEPT int mo[NR_VARS][MAX_EVENTS], nr_mo[NR_VARS];

/* A membarrier, and where the other threads execute its fence. */
struct call {
	int thread, op;
	int position[MAX_THREADS];      /* before the op of this number, or nr_ops + 1 + its number: during that call */
	int first_fence, last_fence, served[MAX_THREADS];
};
static KEPT struct call call[MAX_CALLS];
static KEPT int nr_calls;
static KEPT bool reversed[MAX_THREADS];                 /* of two calls at one position the second comes first */

static void relate(struct relation *r, int a, int b)
{
	r->to[a] |= UINT32_C(1) << b;
}

static bool related(const struct relation *r, int a, int b)
{
	return r->to[a] >> b & 1;
}

static void unite(struct relation *r, const struct relation *with)
{
	for (int i = 0; i < nr_events; i++)
		r->to[i] |= with->to[i];
}

static void close(struct relation *r)
{
	for (int k = 0; k < nr_events; k++)
		for (int i = 0; i < nr_events; i++)
			if (related(r, i, k))
				r->to[i] |= r->to[k];
}

static struct relation then(const struct relation *a, const struct relation *b)
{
	struct relation r = { { 0 } };

	for (int i = 0; i < nr_events; i++)
		for (int k = 0; k < nr_events; k++)
			if (related(a, i, k))
				r.to[i] |= b->to[k];
	return r;
}

static bool irreflexive(const struct relation *r)
{
	for (int i = 0; i < nr_events; i++)
		if (related(r, i, i))
			return false;
	return true;
}

static bool is_fence(int i)
{
	return event[i].var < 0;
}

static int add_event(struct event e)
{
	event[nr_events] = e;
	for (int i = 0; i < nr_events; i++)
		if (event[i].thread == e.thread || event[i].thread < 0)
			relate(&po, i, nr_events);
	return nr_events++;
}

/* The fences of calls whose position in the thread is @position. */
static void serve(int thread, int position)
{
	for (int i = 0; i < nr_calls; i++) {
		struct call *c = &call[reversed[thread] ? nr_calls - 1 - i : i];

		if (c->thread != thread && c->position[thread] == position)
			c->served[thread] = add_event((struct event){ .thread = thread, .op = -1, .var = -1 });
	}
}

/* The events of the program, with the membarriers' fences in the other threads where their positions say. */
static void lay_out(void)
{
	struct call *mine;
	int at;

	nr_events = 0;
	memset(&po, 0, sizeof(po));
	memset(&calls, 0, sizeof(calls));
	for (int v = 0; v < NR_VARS; v++)
		event[nr_events++] = (struct event){ .thread = -1, .op = -1, .var = v, .writes = true };
	for (int t = 0; t < nr_threads; t++) {
		for (int i = 0; i <= nr_ops; i++) {
			const struct op *o = &op[t][i];

			serve(t, i);
			if (i == nr_ops)
				break;
			at = add_event((struct event){
				.thread = t, .op = i, .var = o->kind == FENCE || o->kind == MEMBARRIER ? -1 : o->var,
				.reads = o->kind == LOAD || o->kind == ADD, .writes = o->kind == STORE || o->kind == ADD,
				.acquire = o->acquire, .release = o->release,
			});
			if (o->kind != MEMBARRIER)
				continue;
			for (mine = call; mine->thread != t || mine->op != i; mine++)
				;
			mine->first_fence = at;
			serve(t, nr_ops + 1 + i);
			mine->last_fence = add_event((struct event){ .thread = t, .op = -1, .var = -1 });
		}
	}
	for (int c = 0; c < nr_calls; c++)
		for (int t = 0; t < nr_threads; t++)
			if (t != call[c].thread) {
				relate(&calls, call[c].first_fence, call[c].served[t]);
				relate(&calls, call[c].served[t], call[c].last_fence);
			}
}

/* What @w releases, or fences before it, happens before what @r acquires, or fences behind it. */
static void synchronize(struct relation *hb, int w, int r)
{
	for (int a = 0; a < nr_events; a++) {
		if (!(a == w ? event[a].release && event[a].thread >= 0 : is_fence(a) && related(&po, a, w)))
			continue;
		for (int b = 0; b < nr_events; b++)
			if (b == r ? event[b].acquire : is_fence(b) && related(&po, r, b))
				relate(hb, a, b);
	}
}

static uint64_t written_by(int w)
{
	const struct event *e = &event[w];

	if (e->thread < 0)
		return 0;
	return op[e->thread][e->op].kind == ADD ? written_by(rf[w]) + 16 : op[e->thread][e->op].value;
}

static bool is_consistent(void)
{
	struct relation hb = po, eco = { { 0 } }, causes = po, fences, all;

	unite(&hb, &calls);
	unite(&causes, &calls);
	for (int r = 0; r < nr_events; r++)
		if (event[r].reads)
			relate(&causes, rf[r], r);
	close(&causes);
	if (!irreflexive(&causes))
		return false;
	for (int v = 0; v < NR_VARS; v++)
		for (int i = 0; i < nr_mo[v]; i++)
			for (int j = i + 1; j < nr_mo[v]; j++)
				relate(&eco, mo[v][i], mo[v][j]);
	for (int r = 0; r < nr_events; r++) {
		if (!event[r].reads)
			continue;
		for (int v = event[r].var, i = 0, behind = 0; i < nr_mo[v]; i++) {
			if (behind && mo[v][i] != r)
				relate(&eco, r, mo[v][i]); /* fr */
			if (behind == 1 && event[r].writes && mo[v][i] != r)
				return false;
			behind += behind || mo[v][i] == rf[r];
		}
		relate(&eco, rf[r], r);
		/* The release sequence, from its last write to its head. */
		for (int w = rf[r]; ; w = rf[w]) {
			synchronize(&hb, w, r);
			if (!event[w].reads)
				break;
		}
	}
	close(&hb);
	close(&eco);
	all = then(&hb, &eco);
	if (!irreflexive(&hb) || !irreflexive(&eco) || !irreflexive(&all))
		return false;
	all = then(&all, &hb);
	unite(&all, &hb);
	memset(&fences, 0, sizeof(fences));
	for (int a = 0; a < nr_events; a++)
		for (int b = 0; b < nr_events; b++)
			if (is_fence(a) && is_fence(b) && related(&all, a, b))
				relate(&fences, a, b);
	close(&fences);
	return irreflexive(&fences);
}

static void note_possible(void)
{
	struct outcome o = { .var = { 0 } };

	for (int r = 0; r < nr_events; r++)
		if (event[r].reads)
			o.seen[event[r].thread][event[r].op] = written_by(rf[r]);
	for (int v = 0; v < NR_VARS; v++)
		o.var[v] = written_by(mo[v][nr_mo[v] - 1]);
	for (int i = 0; i < nr_possible; i++)
		if (!memcmp(&possible[i], &o, sizeof(o)))
			return;
	if (nr_possible == MAX_OUTCOMES)
		abort();
	possible[nr_possible++] = o;
}

/* A write for each read from @r on. */
static void each_rf(int r)
{
	while (r < nr_events && !event[r].reads)
		r++;
	if (r == nr_events) {
		if (is_consistent())
			note_possible();
		return;
	}
	for (int w = 0; w < nr_events; w++)
		if (w != r && event[w].writes && event[w].var == event[r].var) {
			rf[r] = w;
			each_rf(r + 1);
		}
}

/* A place for each write from @w on. */
static void each_mo(int w)
{
	int v;

	while (w < nr_events && !event[w].writes)
		w++;
	if (w == nr_events) {
		each_rf(0);
		return;
	}
	v = event[w].var;
	nr_mo[v]++;
	for (int at = nr_mo[v] - 1; ; at--) {
		mo[v][at] = w;
		each_mo(w + 1);
		if (at <= 1) /* the initial write is the first */
			break;
		mo[v][at] = mo[v][at - 1];
	}
	for (int i = nr_mo[v] > 1 ? 1 : 0; i + 1 < nr_mo[v]; i++)
		mo[v][i] = mo[v][i + 1];
	nr_mo[v]--;
}

/* Either order of two calls at one position of a thread. */
static void each_order(int t)
{
	if (t == nr_threads) {
		memset(nr_mo, 0, sizeof(nr_mo));
		lay_out();
		each_mo(0);
		return;
	}
	reversed[t] = false;
	each_order(t + 1);
	if (nr_calls < 2 || call[0].thread == t || call[1].thread == t || call[0].position[t] != call[1].position[t])
		return;
	reversed[t] = true;
	each_order(t + 1);
}

static void each_position(int c, int t)
{
	if (t == nr_threads) {
		c++;
		t = 0;
	}
	if (c >= nr_calls) {
		each_order(0);
		return;
	}
	if (t == call[c].thread) {
		each_position(c, t + 1);
		return;
	}
	for (int p = 0; p <= 2 * nr_ops; p++) {
		if (p > nr_ops && op[t][p - nr_ops - 1].kind != MEMBARRIER)
			continue;
		call[c].position[t] = p;
		each_position(c, t + 1);
	}
}

static void explore_all(void)
{
	nr_calls = 0;
	for (int t = 0; t < nr_threads; t++)
		for (int i = 0; i < nr_ops; i++)
			if (op[t][i].kind == MEMBARRIER)
				call[nr_calls++] = (struct call){ .thread = t, .op = i };
	each_position(0, 0);
}

/* ---- the same by the explorer ---- */

static enum x_order order_of(const struct op *o)
{
	return o->acquire ? o->release ? X_ACQ_REL : X_ACQUIRE : o->release ? X_RELEASE : X_RELAXED;
}

static void run(void)
{
	int t = x_self();

	for (int i = 0; t < nr_threads && i < nr_ops; i++) {
		const struct op *o = &op[t][i];
		uint64_t *seen = &outcome.seen[t][i], *p = &var[o->var];

		switch (o->kind) {
		case LOAD: *seen = o->acquire ? load_acquire(p) : load_relaxed(p); break;
		case STORE: o->release ? store_release(p, o->value) : store_relaxed(p, o->value); break;
		case ADD: *seen = x_rmw(X_SITE("add"), p, sizeof(*p), 16, X_ADD, order_of(o)); break;
		case FENCE: fence_full(); break;
		default: (void)port_membarrier();
		}
	}
}

static void check(void)
{
	memcpy(outcome.var, var, sizeof(var));
	for (int i = 0; i < nr_possible; i++)
		if (!memcmp(&possible[i], &outcome, sizeof(outcome))) {
			found[i] = true;
			return;
		}
	x_fail("an outcome that the axioms forbid");
}

/* Whether all that is possible was found. */
static bool all_found(void)
{
	for (int i = 0; i < nr_possible; i++)
		if (!found[i])
			return false;
	return true;
}

static void prepare_program(uint64_t number)
{
	make_program(number);
	nr_possible = 0;
	memset(found, 0, sizeof(found));
	explore_all();
}

#define RANDOM(n) \
	static void setup##n(void) { prepare_program(n); }
#define TEN(F, n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define ALL(F) TEN(F, 1) TEN(F, 2) TEN(F, 3) TEN(F, 4) TEN(F, 5) TEN(F, 6) TEN(F, 7) TEN(F, 8) TEN(F, 9) TEN(F, 10)

ALL(RANDOM)

#define SCENARIO(n) { \
	.name = "rc11-random-" #n, .claim = "the explorer finds what the axioms allow", .setup = setup##n, \
	.thread = { run, run, run }, .check = check, .complete = all_found, .models = X_RC11 },

const struct x_scenario x_scenarios[] = {
	ALL(SCENARIO)
	{ .name = NULL },
};
