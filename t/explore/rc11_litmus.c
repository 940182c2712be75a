/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Litmus tests of RC11: small programs and whether the model allows one outcome.
 *
 * Each program is a line of text: threads are separated by |, steps by blanks.
 *
 *      x=1   x=.1          store, relaxed; release
 *      x     x.            load, relaxed; acquire: the result goes to the next register of the thread
 *      x+1   x.+1  x+.1  x.+.1     add: relaxed, acquire, release, both; the old value goes to the next register
 *      F     M             fence; membarrier
 *
 * The outcome is what each thread's registers hold, one digit each, thread by thread, and behind ; what the locations x,
 * y and z hold at the end, where - stands for anything.  `allowed` has to be found, `forbidden` must not be: the
 * names, the programs and the verdicts are those of the literature:
 *   [A] Alglave, Maranget, Tautschnig, "Herding Cats", TOPLAS 2014: names and shapes
 *   [L] Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing Sequential Consistency in C/C++11", PLDI 2017: RC11
 *   [B] Batty, Owens, Sarkar, Sewell, Weber, "Mathematizing C++ Concurrency", POPL 2011: release sequences
 *   [M] the manual page membarrier(2): as if each thread executed a full fence between two of its accesses
 * A verdict without a letter follows from the rules of doc/explorer.md by hand.
 */
#include <stdlib.h>
#include <string.h>
#include "port.h"

enum { MAX_REGISTERS = 8, MAX_THREADS = 4 };

static const char *text, *outcome;
static uint64_t var[3];
static char result[MAX_THREADS][MAX_REGISTERS + 1];

/* Kept over all executions. */
static bool seen __attribute__((section("x_engine")));

static const char *thread_text(int number)
{
	const char *p = text;

	while (number-- && p)
		p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL;
	return p;
}

static uint64_t add(uint64_t *p, bool acquire, bool release, uint64_t v)
{
	enum x_order order = acquire ? release ? X_ACQ_REL : X_ACQUIRE : release ? X_RELEASE : X_RELAXED;

	return x_rmw(X_SITE("add"), p, sizeof(*p), v, X_ADD, order);
}

/* One step on a location: "x" is behind us. */
static void access(uint64_t *p, const char *how, char **next)
{
	bool acquire = *how == '.', release;
	char op;

	how += acquire;
	op = *how;
	if (op != '=' && op != '+') {
		*(*next)++ = (char)('0' + (acquire ? load_acquire(p) : load_relaxed(p)));
		return;
	}
	release = how[1] == '.';
	how += 1 + release;
	if (op == '+')
		*(*next)++ = (char)('0' + add(p, acquire, release, (uint64_t)(*how - '0')));
	else if (release)
		store_release(p, (uint64_t)(*how - '0'));
	else
		store_relaxed(p, (uint64_t)(*how - '0'));
}

static void run(void)
{
	const char *p = thread_text(x_self());
	char *next = result[x_self()];

	for (; p && *p && *p != '|'; p++) {
		if (*p == 'F')
			fence_full();
		else if (*p == 'M')
			(void)port_membarrier();
		else if (*p >= 'x' && *p <= 'z')
			access(&var[*p - 'x'], p + 1, &next);
	}
}

static void check(void)
{
	const char *p = outcome;

	for (int i = 0; i < MAX_THREADS && thread_text(i); i++) {
		if (strncmp(p, result[i], strlen(result[i])))
			return;
		p += strlen(result[i]);
		while (*p == ' ')
			p++;
	}
	for (int i = 0; *p == ';' && i < 3 && p[1 + i]; i++)
		if (p[1 + i] != '-' && p[1 + i] != (char)('0' + var[i]))
			return;
	seen = true;
}

static bool was_seen(void)
{
	return seen;
}

static bool was_not_seen(void)
{
	return !seen;
}

#define TEST(n, verdict, program, result_, complete_) \
	static void setup_##n(void) { text = program; outcome = result_; seen = false; }
#define TESTS(T) \
	/* store buffering [A, L] */ \
	T(SB, "allowed", "x=1 y|y=1 x", "0 0", was_seen) \
	T(SB_rel_acq, "allowed", "x=.1 y.|y=.1 x.", "0 0", was_seen) \
	T(SB_fence, "forbidden", "x=1 F y|y=1 F x", "0 0", was_not_seen) \
	T(SB_one_fence, "allowed", "x=1 F y|y=1 x", "0 0", was_seen) \
	T(SB_rmw, "allowed: a read-modify-write is no fence", "x.+.1 y|y.+.1 x", "00 00", was_seen) \
	T(SB_rmw_fence, "forbidden", "x.+.1 F y|y.+.1 F x", "00 00", was_not_seen) \
	/* message passing [A, L] */ \
	T(MP, "allowed", "x=1 y=1|y x", "10", was_seen) \
	T(MP_rel, "allowed: no acquire", "x=1 y=.1|y x", "10", was_seen) \
	T(MP_acq, "allowed: no release", "x=1 y=1|y. x", "10", was_seen) \
	T(MP_rel_acq, "forbidden", "x=1 y=.1|y. x", "10", was_not_seen) \
	T(MP_fences, "forbidden", "x=1 F y=1|y F x", "10", was_not_seen) \
	T(MP_fence_acq, "forbidden", "x=1 F y=1|y. x", "10", was_not_seen) \
	T(MP_rel_fence, "forbidden", "x=1 y=.1|y F x", "10", was_not_seen) \
	T(MP_later, "allowed: a release orders what comes before", "x=.1 y=1|y. x", "10", was_seen) \
	/* load buffering, which RC11 forbids in all its forms [L] */ \
	T(LB, "forbidden: RC11 has no load buffering", "x y=1|y x=1", "1 1", was_not_seen) \
	T(LB_rel_acq, "forbidden", "x. y=.1|y. x=.1", "1 1", was_not_seen) \
	/* independent reads of independent writes [A, L] */ \
	T(IRIW, "allowed", "x=1|y=1|x y|y x", "10 10", was_seen) \
	T(IRIW_acq, "allowed", "x=.1|y=.1|x. y.|y. x.", "10 10", was_seen) \
	T(IRIW_one_fence, "allowed", "x=1|y=1|x F y|y. x", "10 10", was_seen) \
	T(IRIW_fences, "forbidden", "x=1|y=1|x F y|y F x", "10 10", was_not_seen) \
	/* 2+2W, R, S [A, L] */ \
	T(W22, "allowed", "x=1 y=2|y=1 x=2", " ;11-", was_seen) \
	T(W22_rel, "allowed", "x=1 y=.2|y=1 x=.2", " ;11-", was_seen) \
	T(W22_fences, "forbidden", "x=1 F y=2|y=1 F x=2", " ;11-", was_not_seen) \
	T(R, "allowed", "x=1 y=1|y=2 x", "0;-2-", was_seen) \
	T(R_rel_acq, "allowed", "x=1 y=.1|y=2 x.", "0;-2-", was_seen) \
	T(R_fences, "forbidden", "x=1 F y=1|y=2 F x", "0;-2-", was_not_seen) \
	T(R_one_fence, "allowed", "x=1 y=.1|y=2 F x", "0;-2-", was_seen) \
	T(S, "allowed", "x=2 y=1|y x=1", "1;2--", was_seen) \
	T(S_rel, "allowed", "x=2 y=.1|y x=1", "1;2--", was_seen) \
	T(S_rel_acq, "forbidden", "x=2 y=.1|y. x=1", "1;2--", was_not_seen) \
	T(S_fences, "forbidden", "x=2 F y=1|y F x=1", "1;2--", was_not_seen) \
	/* three threads [A, L] */ \
	T(WRC, "allowed", "x=1|x y=1|y x", "1 10", was_seen) \
	T(WRC_rel_acq, "forbidden", "x=1|x y=.1|y. x", "1 10", was_not_seen) \
	T(WRC_rel, "allowed", "x=1|x y=.1|y x", "1 10", was_seen) \
	T(RWC, "allowed", "x=1|x y|y=1 x", "10 0", was_seen) \
	T(RWC_acq, "allowed", "x=.1|x. y.|y=.1 x.", "10 0", was_seen) \
	T(RWC_fences, "forbidden", "x=1|x F y|y=1 F x", "10 0", was_not_seen) \
	T(RWC_one_fence, "allowed", "x=1|x. y|y=1 F x", "10 0", was_seen) \
	T(W_RWC, "allowed", "x=1 y=.1|y. z|z=1 F x", "10 0", was_seen) \
	T(W_RWC_fences, "forbidden", "x=1 y=.1|y F z|z=1 F x", "10 0", was_not_seen) \
	T(ISA2, "allowed", "x=1 y=1|y z=1|z x", "1 10", was_seen) \
	T(ISA2_rel_acq, "forbidden", "x=1 y=.1|y. z=.1|z. x", "1 10", was_not_seen) \
	T(ISA2_outer_fences, "allowed: the middle orders nothing", "x=1 F y=1|y z=1|z F x", "1 10", was_seen) \
	T(ISA2_fences, "forbidden", "x=1 F y=1|y F z=1|z F x", "1 10", was_not_seen) \
	T(Z6, "allowed", "x=1 y=.1|y=2 F z=1|z F x", "10;-2-", was_seen) \
	T(Z6_fences, "forbidden", "x=1 F y=1|y=2 F z=1|z F x", "10;-2-", was_not_seen) \
	/* coherence [B, L] */ \
	T(CoRR, "forbidden", "x=1|x x", "10", was_not_seen) \
	T(CoRR2, "forbidden", "x=1|x=2|x x|x x", "12 21", was_not_seen) \
	T(CoWR, "forbidden", "x=1 x|x=2", "2;1--", was_not_seen) \
	T(CoRW, "forbidden", "x x=1|x=2", "2;2--", was_not_seen) \
	T(CoWW, "forbidden", "x=1 x=2", " ;1--", was_not_seen) \
	/* release sequences [B]; C++20 and RC11 as explored here: read-modify-writes alone go on with one */ \
	T(RS_rmw, "forbidden: it goes on through any read-modify-write", "x=1 y=.1|y+1|y. x", "1 20", was_not_seen) \
	T(RS_rmw_two, "forbidden", "x=1 y=.1|y+1 y+1|y. x", "12 30", was_not_seen) \
	T(RS_store, "allowed: not through another thread's store", "x=1 y=.1|y. y=2|y. x", "1 20", was_seen) \
	T(RS_own_store, "allowed: nor, since C++20, through its own", "x=1 y=.1 y=2|y. x", "20", was_seen) \
	/* read-modify-writes are atomic [B] */ \
	T(RMW_both, "forbidden", "x+1|x+1", "0 0", was_not_seen) \
	T(RMW_store, "forbidden: no store comes in between", "x+1|x=5", "0;6--", was_not_seen) \
	T(RMW_then_load, "allowed: it orders no later load", "x.+.1 y|y=1 F x", "00 0", was_seen) \
	T(RMW_sleep, "allowed: how a barrier slept for ever", "x.+.1 y|y.+.1 x", "00 00", was_seen) \
	/* membarrier [M] */ \
	T(SB_membarrier, "forbidden", "x=1 M y|y=1 x", "0 0", was_not_seen) \
	T(SB_membarrier_none, "allowed", "x=1 y|y=1 x M", "0 0", was_seen) \
	T(SB_membarrier_late, "allowed", "M x=1 y|y=1 x", "0 0", was_seen) \
	T(MP_membarrier, "forbidden", "x=1 M y=1|y x", "10", was_not_seen) \
	T(MP_membarrier_reader, "forbidden", "x=1 y=1|y M x", "10", was_not_seen) \
	T(R_membarrier, "forbidden", "x=1 M y=1|y=2 x", "0;-2-", was_not_seen) \
	T(W22_membarrier, "forbidden", "x=1 M y=2|y=1 x=2", " ;11-", was_not_seen) \
	T(RWC_membarrier, "forbidden", "x=1|x y|y=1 M x", "10 0", was_not_seen) \
	T(IRIW_membarrier, "forbidden", "x=1|y=1|x M y|y x", "10 10", was_not_seen) \
	T(SB_three_membarrier, "forbidden", "x=1 M y|y=1 z|z=1 M x", "0 0 0", was_not_seen) \
	T(SB_three_light, "allowed: two light sides", "x=1 M y|y=1 z|z=1 x", "0 0 0", was_seen)

TESTS(TEST)

#define SCENARIO(n, verdict, program, result_, complete_) { \
	.name = #n, .claim = program "  " result_ "  " verdict, .setup = setup_##n, .thread = { run, run, run, run }, \
	.check = check, .complete = complete_, .models = X_RC11 },

const struct x_scenario x_scenarios[] = {
	TESTS(SCENARIO)
	{ .name = NULL },
};
