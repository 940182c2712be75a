/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The explorer against a search without any reduction, on small random programs.
 *
 * The other search is written down here from the definition of the memory models alone: any
 * thread takes a step, or any store buffer gives up a store, in any order, and no state is left
 * out.  Both have to find the same outcomes: what each load, addition and exchange has seen,
 * and what memory holds at the end.
 */
#include <stdlib.h>
#include <string.h>
#include "port.h"

enum { MAX_THREADS = 3, MAX_OPS = 4, NR_VARS = 3, MAX_OUTCOMES = 4096 };
enum op_kind { LOAD, STORE, RELEASE, ADD, CAS, FENCE, NR_KINDS };

struct op {
	enum op_kind kind;
	int var;
	uint64_t value, expected;
};

struct program {
	int nr_threads, nr_ops;
	struct op op[MAX_THREADS][MAX_OPS];
};

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

static struct program program;
static struct outcome outcome;          /* of this execution */
static uint64_t var[NR_VARS];

/* ---- programs ---- */

static uint64_t seed;

static unsigned any(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % below;
}

static void make_program(uint64_t number)
{
	seed = number * 7919 + 17;
	any(2);
	program.nr_threads = 2 + (int)any(2);
	program.nr_ops = program.nr_threads == 2 ? 4 : 2;
	for (int t = 0; t < program.nr_threads; t++)
		for (int i = 0; i < program.nr_ops; i++) {
			/* Loads and stores most of all, since that is where models differ. */
			static const enum op_kind kinds[] = { LOAD, LOAD, STORE, STORE, RELEASE, ADD, CAS, FENCE };

			program.op[t][i] = (struct op){
				.kind = kinds[any(8)], .var = (int)any(NR_VARS - (program.nr_threads == 2)),
				.value = (uint64_t)(t * MAX_OPS + i + 1), .expected = any(3),
			};
		}
}

/* ---- without reductions ---- */

struct buffered {
	int var;
	uint64_t value;
	bool release;
};

struct machine {
	int pc[MAX_THREADS];
	int nr[MAX_THREADS];                    /* stores held */
	struct buffered held[MAX_THREADS][MAX_OPS];
	struct outcome o;
};

static KEPT bool pso;

static void note_possible(const struct outcome *o)
{
	for (int i = 0; i < nr_possible; i++)
		if (!memcmp(&possible[i], o, sizeof(*o)))
			return;
	if (nr_possible == MAX_OUTCOMES)
		abort();
	possible[nr_possible++] = *o;
}

static bool may_drain(const struct machine *m, int t, int i)
{
	for (int j = 0; j < i; j++)
		if (!pso || m->held[t][i].release || m->held[t][j].var == m->held[t][i].var)
			return false;
	return true;
}

static void drain_at(struct machine *m, int t, int i)
{
	m->o.var[m->held[t][i].var] = m->held[t][i].value;
	m->nr[t]--;
	for (; i < m->nr[t]; i++)
		m->held[t][i] = m->held[t][i + 1];
}

static uint64_t seen_by(const struct machine *m, int t, int v)
{
	for (int i = m->nr[t]; i-- > 0; )
		if (m->held[t][i].var == v)
			return m->held[t][i].value;
	return m->o.var[v];
}

static void explore_all(const struct machine *before);

static void step(const struct machine *before, int t)
{
	struct machine m = *before;
	int pc = m.pc[t]++;
	const struct op *op = &program.op[t][pc];
	uint64_t *seen = &m.o.seen[t][pc];

	switch (op->kind) {
	case LOAD:
		*seen = seen_by(&m, t, op->var);
		break;
	case STORE:
	case RELEASE:
		m.held[t][m.nr[t]++] = (struct buffered){ op->var, op->value, op->kind == RELEASE };
		break;
	case CAS:
		/* One that fails is but a load, under PSO. */
		*seen = seen_by(&m, t, op->var);
		if (pso && *seen != op->expected)
			break;
		if (m.nr[t])
			return;
		if (*seen == op->expected)
			m.o.var[op->var] = op->value;
		break;
	case ADD:
		if (m.nr[t])
			return;
		*seen = m.o.var[op->var];
		m.o.var[op->var] += 16;
		break;
	default:
		if (m.nr[t])
			return;
	}
	explore_all(&m);
}

static void explore_all(const struct machine *before)
{
	bool end = true;

	for (int t = 0; t < program.nr_threads; t++) {
		for (int i = 0; i < before->nr[t]; i++) {
			struct machine m = *before;

			end = false;
			if (!may_drain(&m, t, i))
				continue;
			drain_at(&m, t, i);
			explore_all(&m);
		}
		if (before->pc[t] < program.nr_ops) {
			end = false;
			step(before, t);
		}
	}
	if (end)
		note_possible(&before->o);
}

/* ---- the same by the explorer ---- */

static void run(void)
{
	int t = x_self();

	for (int i = 0; i < program.nr_ops; i++) {
		const struct op *op = &program.op[t][i];
		uint64_t *seen = &outcome.seen[t][i], value = op->expected;

		switch (op->kind) {
		case LOAD: *seen = load_relaxed(&var[op->var]); break;
		case STORE: store_relaxed(&var[op->var], op->value); break;
		case RELEASE: store_release(&var[op->var], op->value); break;
		case ADD: *seen = fetch_add(&var[op->var], 16); break;
		case CAS: compare_exchange(&var[op->var], &value, op->value); *seen = value; break;
		default: fence_full();
		}
	}
}

static void third(void)
{
	if (program.nr_threads == 3)
		run();
}

static void check(void)
{
	memcpy(outcome.var, var, sizeof(var));
	for (int i = 0; i < nr_possible; i++)
		if (!memcmp(&possible[i], &outcome, sizeof(outcome))) {
			found[i] = true;
			return;
		}
	x_fail("an outcome that is not possible");
}

/* Whether all that is possible was found. */
static bool all_found(void)
{
	int nr = 0;

	for (int i = 0; i < nr_possible; i++)
		nr += found[i];
	return nr == nr_possible;
}

static void prepare_program(uint64_t number)
{
	static const struct machine start;

	make_program(number);
	pso = x_model() == X_PSO;
	nr_possible = 0;
	memset(found, 0, sizeof(found));
	explore_all(&start);
}

#define RANDOM(n) \
	static void setup##n(void) { prepare_program(n); }
#define TEN(F, n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define ALL(F) TEN(F, 1) TEN(F, 2) TEN(F, 3) TEN(F, 4) TEN(F, 5) TEN(F, 6) TEN(F, 7) TEN(F, 8)

ALL(RANDOM)

#define SCENARIO(n) { \
	.name = "random-" #n, .claim = "the explorer finds what a search without reductions does", \
	.setup = setup##n, .thread = { run, run, third }, .check = check, .complete = all_found, \
	.models = X_WEAK, .quick = 14, .full = 14 },

const struct x_scenario x_scenarios[] = {
	ALL(SCENARIO)
	{ .name = NULL },
};
