/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The search under RC11: every execution graph, without a bound on preemptions.
 *
 * Reduction.  An execution is a sequence of steps; each was chosen as a thread and what its step reads or stands behind.
 * At each node the search tries all choices of one thread, and other threads only where it has seen that their order
 * matters (dynamic partial-order reduction with source sets, Abdulla et al., POPL 2014).  What was tried at a node and
 * commutes with the step taken sleeps below it (sleep sets).
 *
 *  1. A load and a store commute: the load may read what was there in either order.  But if the store came first, the
 *     load could read it.  So a store that comes after a load of its location, and does not depend on it, adds its
 *     thread at the load's node; so does a read-modify-write after another.  A load sleeps as (thread, message); a store
 *     wakes nobody, since the new message is another choice.
 *  2. Stores commute: a store stands behind a message, not at a number.  A store that sleeps behind a message goes on to
 *     sleep behind what is put there: those two were tried in both orders already.
 *  3. Calls for one futex do not commute, but for two wakes that find nobody asleep.
 *  4. A membarrier is delivered to a thread before its next step or later, which is a choice of that thread.  To deliver
 *     it before steps that were taken, the call adds its own thread at the last step of each other one that it does
 *     not depend on.  And what lets the thread go on without the delivery, a store that it could read, say, is tried
 *     before the delivery too.  rc11.c says after which steps no delivery is tried, since before them it is no weaker.
 *  5. Fences commute with all: whether an execution is consistent depends on its graph, not on the order of steps.
 *
 * What a thread chooses for itself alone, a fault or a signal, is a node of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "rc11.h"

enum { MAX_ALTS = 1 << 18, MAX_SLEEPERS = 1 << 18, MAX_SLEEP = 1024, MAX_TIMES = 20 };

struct alternative {
	uint16_t key;
	uint8_t thread, nth;
	bool done;
};

struct sleeper {
	uint16_t key;
	uint8_t thread;
};

struct node {
	uint32_t name;                  /* of its step, and which of it: the same whatever locations are shared */
	uint8_t local;                  /* of the running thread alone: so many choices; 0: of a thread */
	uint8_t taken_local;
	uint8_t backtrack, enabled;     /* sets of threads */
	uint8_t usual;                  /* the thread that goes on where nothing sleeps */
	int first, end, taken;          /* in alts */
	int first_sleeper, end_sleeper;
};

struct step {
	struct rc_op op;
	struct rc_past past;
	int node;
	uint16_t nr;                    /* of its thread */
	uint8_t thread, from;           /* from: of a delivery, the caller's */
	bool reads, writes, delivery, locks_bucket;
	uint16_t nr_relaxed, relaxed[RC_MAX_RELAXED];
};

static X_ENGINE struct node node[RC_MAX_STEPS];
static X_ENGINE int nr_nodes, nr_replay;
static X_ENGINE struct step step[RC_MAX_STEPS];
static X_ENGINE int nr_steps;
static X_ENGINE struct alternative alts[MAX_ALTS];
static X_ENGINE int nr_alts;
static X_ENGINE struct sleeper slept[MAX_SLEEPERS];
static X_ENGINE int nr_slept;
/* Those that sleep now. */
static X_ENGINE struct sleeper sleeping[MAX_SLEEP];
static X_ENGINE int nr_sleeping;

void rc_search_begin(void)
{
	nr_nodes = nr_replay = nr_alts = nr_slept = 0;
}

void rc_search_begin_execution(void)
{
	nr_nodes = nr_steps = nr_sleeping = 0;
	for (int i = 1; i < E.nr_fibers; i++)
		if (E.fiber[i].state == X_WAIT_FUTEX) {
			RC.thread[i].op.kind = RC_ASLEEP; /* since setup */
			x_loc(E.fiber[i].word, 4)->readers |= (uint8_t)(1u << i);
		}
}

bool rc_search_next(void)
{
	while (nr_nodes > 0) {
		struct node *n = &node[nr_nodes - 1];
		int next = -1;

		nr_replay = nr_nodes;
		nr_alts = n->end;
		nr_slept = n->end_sleeper;
		if (n->local) {
			if (++n->taken_local < n->local)
				return true;
			nr_nodes--;
			continue;
		}
		alts[n->taken].done = true;
		for (int i = n->first; i < n->end; i++)
			if (!alts[i].done && n->backtrack >> alts[i].thread & 1 &&
			    (next < 0 || alts[i].thread == alts[n->taken].thread))
				next = i;
		if (next >= 0) {
			n->taken = next;
			return true;
		}
		nr_nodes--;
	}
	return false;
}

/* ---- races ---- */

/* The last step could come before step @i: have it tried. */
static void reverse(int i)
{
	const struct step *e = &step[i];
	struct node *n = &node[e->node];
	uint16_t first[X_MAX_FIBERS] = { 0 };
	uint8_t initials = 0;
	int last = -1;

	for (int k = i + 1; k < nr_steps; k++) {
		const struct step *s = &step[k];
		bool initial = true;

		if (s->past.nr[e->thread] >= e->nr || first[s->thread])
			continue;
		for (int u = 0; u < E.nr_fibers; u++)
			if (first[u] && s->past.nr[u] >= first[u])
				initial = false;
		first[s->thread] = s->nr;
		if (initial) {
			initials |= (uint8_t)(1u << s->thread);
			last = s->thread;
		}
	}
	if (initials & n->backtrack || last < 0)
		return;
	if (initials & n->enabled)
		n->backtrack |= (uint8_t)(initials & n->enabled & -(initials & n->enabled));
	else
		n->backtrack |= n->enabled;
}

static bool is_call(const struct rc_op *op)
{
	return op->kind == RC_WAIT || op->kind == RC_WAKE;
}

static bool relaxes_on(const struct step *e, uint16_t loc)
{
	for (int i = 0; i < e->nr_relaxed; i++)
		if (e->relaxed[i] == loc)
			return true;
	return false;
}

/* A delivery to a thread that would read, or sleeps, or waits: without it the thread might go on by @s. */
static bool lets_go(const struct step *e, const struct step *s)
{
	switch (e->op.kind) {
	case RC_ASLEEP:
		return s->op.kind == RC_WAKE && s->op.loc == e->op.loc && !s->delivery;
	case RC_DELIVERED:
		return s->delivery && s->from == e->thread;
	case RC_LOAD:
	case RC_RMW:
	case RC_CAS:
	case RC_LOCK:
	case RC_WAIT:
		return s->writes && s->op.loc == e->op.loc;
	default:
		return false;
	}
}

static bool is_race(const struct step *e, const struct step *s)
{
	if (e->delivery && lets_go(e, s))
		return true;
	if (s->delivery)
		return false;
	if (is_call(&s->op) && is_call(&e->op) && s->op.loc == e->op.loc && !e->delivery)
		return e->locks_bucket || s->locks_bucket;
	if (s->writes && ((e->reads && e->op.loc == s->op.loc) || relaxes_on(e, s->op.loc)))
		return true;
	/* It may have failed since the other succeeded. */
	return s->op.kind == RC_CAS && e->op.loc == s->op.loc && e->reads && e->writes;
}

/* The last step is done; its past is yet without what it has read. */
static void find_races(void)
{
	const struct step *s = &step[nr_steps - 1];
	uint8_t seen = 0;

	for (int i = nr_steps - 2; i >= 0; i--) {
		const struct step *e = &step[i];

		if (e->thread == s->thread || e->nr <= s->past.nr[e->thread])
			continue;
		if (s->op.kind == RC_MEMBARRIER && !s->delivery ? !(seen >> e->thread & 1) : is_race(e, s))
			reverse(i);
		seen |= (uint8_t)(1u << e->thread);
	}
}

/* ---- sleep sets ---- */

static bool sleeps(uint8_t thread, uint16_t key)
{
	for (int i = 0; i < nr_sleeping; i++)
		if (sleeping[i].thread == thread && sleeping[i].key == key)
			return true;
	return false;
}

static void put_to_sleep(uint8_t thread, uint16_t key)
{
	if (nr_sleeping == MAX_SLEEP)
		x_fail("more than %d choices sleep", MAX_SLEEP);
	sleeping[nr_sleeping++] = (struct sleeper){ key, thread };
}

/* The running step has put @message behind @behind: stores that sleep there sleep behind it too. */
static void sleep_on(uint16_t behind, uint16_t message)
{
	int nr = nr_sleeping;

	for (int i = 0; i < nr; i++)
		if (sleeping[i].key == behind && RC.thread[sleeping[i].thread].op.kind == RC_STORE)
			put_to_sleep(sleeping[i].thread, message);
}

static void wake_if(bool (*dependent)(const struct sleeper *s, const void *arg), const void *arg)
{
	int nr = 0;

	for (int i = 0; i < nr_sleeping; i++)
		if (!dependent(&sleeping[i], arg))
			sleeping[nr++] = sleeping[i];
	nr_sleeping = nr;
}

static bool is_thread(const struct sleeper *s, const void *arg)
{
	return s->thread == *(const uint8_t *)arg;
}

/* A call for the futex of the step @arg that it does not commute with. */
static bool is_call_of(const struct sleeper *s, const void *arg)
{
	const struct rc_op *op = &RC.thread[s->thread].op;
	const struct step *call = arg;

	return !(s->key & RC_DELIVER) && is_call(op) && op->loc == call->op.loc &&
		(call->locks_bucket || op->kind == RC_WAIT);
}

/* ---- steps ---- */

bool rc_can_run(const struct rc_thread *t, int id)
{
	const struct fiber *f = &E.fiber[id];

	switch (t->op.kind) {
	case RC_ASLEEP:
		return t->woken;
	case RC_DELIVERED:
		return !t->awaited;
	case RC_JOIN:
		if (f->joining >= 0)
			return E.fiber[f->joining].state == X_ENDED;
		for (int i = 1; i <= E.nr_scenario; i++)
			if (E.fiber[i].state != X_ENDED)
				return false;
		return true;
	default:
		return true;
	}
}

/* Names a thread's choice in a vector: a delivery by its caller, whatever else is due. */
static uint8_t nth_of(uint16_t key, int index)
{
	return (uint8_t)(key & RC_DELIVER ? 128 + (key & ~RC_DELIVER) : index);
}

/* The choices of all threads but the one that waits for all; @from comes first. */
static void add_alternatives(struct node *n, int from)
{
	static X_ENGINE uint16_t key[RC_MAX_CHOICES];
	bool found = false;

	n->first = nr_alts;
	n->enabled = 0;
	n->usual = 0;
	for (int i = 0; i < E.nr_fibers; i++) {
		int thread = (from + i) % E.nr_fibers, nr = thread ? rc_choices(thread, key) : 0;

		if (nr) {
			n->enabled |= (uint8_t)(1u << thread);
			if (!found)
				n->usual = (uint8_t)thread;
			found = true;
		}
		for (int j = 0; j < nr; j++) {
			if (sleeps((uint8_t)thread, key[j]))
				continue;
			if (nr_alts == MAX_ALTS)
				x_fail("more than %d choices in one execution", MAX_ALTS);
			alts[nr_alts++] = (struct alternative){ key[j], (uint8_t)thread, nth_of(key[j], j), false };
		}
	}
	n->end = nr_alts;
}

/* Nobody can run: time passes, or it is a deadlock. */
static void stuck(void)
{
	struct fiber *first = NULL;
	struct rc_past all = { { 0 } };
	bool spinning = false;

	for (int i = 1; i < E.nr_fibers; i++) {
		struct fiber *f = &E.fiber[i];

		rc_join_past(&all, &RC.thread[i].past);
		spinning |= RC.thread[i].op.kind == RC_RELAX;
		if (RC.thread[i].op.kind == RC_ASLEEP && f->deadline != PORT_FOREVER &&
		    (!first || f->deadline < first->deadline))
			first = f;
	}
	if (!first && (!spinning || E.retries++ == MAX_TIMES))
		x_fail("deadlock");
	if (first) {
		x_trace("    nobody can run: the sleep of thread%d times out", first->id - 1);
		first->timed_out = true;
		if (E.clock < first->deadline)
			E.clock = first->deadline;
	} else {
		x_trace("    nobody can run: time passes, spinning goes on");
		E.clock += 1000000;
	}
	for (int i = 1; i < E.nr_fibers; i++)
		if (first ? &E.fiber[i] == first : RC.thread[i].op.kind == RC_RELAX) {
			RC.thread[i].woken = true;
			rc_join_past(&RC.thread[i].past, &all);
		}
}

enum { NODES_OF_STEP = 32 };

static uint32_t name_of_node(void)
{
	if (E.nodes_of_step == NODES_OF_STEP)
		x_fail("more than %d nodes of one step", NODES_OF_STEP);
	return E.step * NODES_OF_STEP + E.nodes_of_step++;
}

/* What the vector from the command line wants at the node @name; -1: what is usual. */
static int wanted(uint32_t name, char kind)
{
	uint32_t at, arg;
	char is;
	int length;

	if (!E.vector || sscanf(E.vector, "%u%c%u%n", &at, &is, &arg, &length) != 3 || at != name || is != kind)
		return -1;
	E.vector += length + (E.vector[length] == ',');
	return (int)arg;
}

static void take_wanted(struct node *n)
{
	int thread = wanted(n->name, 't'), nth = wanted(n->name, 'm');

	n->taken = n->first;
	for (int i = n->first; i < n->end; i++)
		if (alts[i].thread == (thread < 0 ? n->usual : thread) && alts[i].nth == (nth < 0 ? 0 : nth))
			n->taken = i;
}

static void keep_sleepers(struct node *n)
{
	n->first_sleeper = nr_slept;
	if (nr_slept + nr_sleeping > MAX_SLEEPERS)
		x_fail("more than %d choices sleep in one execution", MAX_SLEEPERS);
	memcpy(&slept[nr_slept], sleeping, (size_t)nr_sleeping * sizeof(*sleeping));
	nr_slept += nr_sleeping;
	n->end_sleeper = nr_slept;
}

/* The next node; false: nobody but the one that waits for all can run. */
static bool next_node(void)
{
	struct node *n = &node[nr_nodes];
	uint32_t name = name_of_node();

	if (nr_nodes == RC_MAX_STEPS)
		x_fail("the execution does not end");
	if (nr_nodes < nr_replay) {
		if (n->local || n->name != name)
			x_fail("the scenario depends on something besides the choices");
		nr_sleeping = 0;
		for (int i = n->first_sleeper; i < n->end_sleeper; i++)
			put_to_sleep(slept[i].thread, slept[i].key);
	} else {
		*n = (struct node){ .name = name };
		keep_sleepers(n);
		add_alternatives(n, E.cur->id);
		while (!n->enabled) {
			if (rc_can_run(&RC.thread[0], 0))
				return false;
			stuck();
			nr_alts = n->first;
			add_alternatives(n, E.cur->id);
		}
		if (n->first == n->end)
			x_end_execution(X_PRUNED);
		n->taken = n->first;
		if (unlikely(E.replaying))
			take_wanted(n);
		n->backtrack = E.naive ? 255 : (uint8_t)(1u << alts[n->taken].thread);
	}
	for (int i = n->first; i < n->end && !E.no_sleep; i++)
		if (alts[i].done)
			put_to_sleep(alts[i].thread, alts[i].key);
	nr_nodes++;
	return true;
}

static void begin_step(const struct alternative *a)
{
	struct rc_thread *t = &RC.thread[a->thread];
	struct step *s = &step[nr_steps++];

	wake_if(is_thread, &a->thread);
	t->key = a->key;
	if (!(a->key & RC_DELIVER))
		t->last = 0;
	*s = (struct step){
		.op = t->op, .node = nr_nodes - 1, .nr = ++t->past.nr[a->thread], .thread = a->thread,
		.delivery = (a->key & RC_DELIVER) != 0, .from = (uint8_t)a->key,
	};
	if (t->op.kind == RC_RELAX) {
		s->nr_relaxed = t->nr_relaxed;
		memcpy(s->relaxed, t->relaxed_loc, sizeof(s->relaxed));
		t->woken &= s->delivery;
	}
	s->past = t->past;
}

static void deliver(int to, int from)
{
	struct rc_thread *t = &RC.thread[to];

	rc_deliver(to, from);
	rc_join_past(&t->past, &RC.thread[from].past);
	rc_join_past(&RC.thread[from].gathered_past, &t->past);
	x_trace("    thread%d executes the membarrier of thread%d", to - 1, from - 1);
}

/* Choose until a fiber is to run; return when it is the one that called. */
static void schedule(void)
{
	const struct alternative *a;

	while (next_node()) {
		a = &alts[node[nr_nodes - 1].taken];
		begin_step(a);
		if (!(a->key & RC_DELIVER)) {
			x_switch_to(&E.fiber[a->thread]);
			return;
		}
		find_races();
		deliver(a->thread, a->key & ~RC_DELIVER);
		step[nr_steps - 1].past = RC.thread[a->thread].past;
	}
	x_switch_to(&E.fiber[0]);
}

uint16_t rc_step(struct rc_op op)
{
	struct rc_thread *t = RC_MINE;

	t->op = op;
	schedule();
	return t->key;
}

void rc_block(struct rc_op op)
{
	struct rc_thread *t = RC_MINE;

	if (op.kind == RC_END)
		for (int i = 1; i < E.nr_fibers; i++)
			if (t->deliveries >> i & 1)
				deliver(E.cur->id, i);
	t->op = op;
	schedule();
}

void rc_done(uint16_t message, bool wrote)
{
	struct rc_thread *t = RC_MINE;
	struct step *s = &step[nr_steps - 1];

	s->reads = message != 0;
	s->writes = wrote;
	s->locks_bucket = is_call(&s->op) && t->locks_bucket;
	find_races();
	if (message)
		rc_join_past(&t->past, &RC.message[message].past);
	if (is_call(&s->op)) {
		rc_join_past(&t->past, s->locks_bucket ? &RC.loc[s->op.loc].bucket_past :
							 &RC.loc[s->op.loc].locked_past);
		wake_if(is_call_of, s);
	}
	if (wrote) {
		sleep_on(t->key, (uint16_t)RC.nr_messages);
		RC.message[RC.nr_messages].past = t->past;
	}
	if (is_call(&s->op))
		t->due = t->deliveries;
	else if (message || wrote)
		rc_passed(t, wrote ? (uint16_t)RC.nr_messages : message, wrote);
	if ((message || wrote) && t->must_loc == s->op.loc)
		t->must_loc = 0;
	t->gap = ++t->now.clock[E.cur->id];
	s->past = t->past;
}

struct alt rc_choose(void)
{
	struct node *n = &node[nr_nodes];
	uint32_t name = name_of_node();
	int nr = 0, want;

	/* A node even if the bound leaves but one: a vector counts them. */
	for (int i = 0; i < E.nr_alts; i++)
		if (E.alts[i].cost <= E.remaining)
			E.alts[nr++] = E.alts[i];
	E.nr_alts = 0;
	if (nr_nodes == RC_MAX_STEPS)
		x_fail("the execution does not end");
	if (nr_nodes >= nr_replay) {
		*n = (struct node){
			.name = name, .local = (uint8_t)nr, .first = nr_alts, .end = nr_alts,
			.first_sleeper = nr_slept, .end_sleeper = nr_slept,
		};
		want = E.replaying ? wanted(name, 'f') : -1;
		n->taken_local = want < 0 || want >= nr ? 0 : (uint8_t)want;
	} else if (n->local != nr || n->name != name) {
		x_fail("the scenario depends on something besides the choices");
	}
	nr_nodes++;
	E.remaining -= E.alts[n->taken_local].cost;
	return E.alts[n->taken_local];
}

void rc_vector(char *text, size_t bytes)
{
	size_t used = 0;

	*text = 0;
	for (int i = 0; i < nr_nodes && used + 32 < bytes; i++) {
		const struct node *n = &node[i];

		if (n->local && n->taken_local)
			used += (size_t)sprintf(text + used, "%s%uf%d", used ? "," : "", n->name, n->taken_local);
		if (n->local)
			continue;
		if (alts[n->taken].thread != n->usual)
			used += (size_t)sprintf(text + used, "%s%ut%d", used ? "," : "", n->name, alts[n->taken].thread);
		if (alts[n->taken].nth)
			used += (size_t)sprintf(text + used, "%s%um%d", used ? "," : "", n->name, alts[n->taken].nth);
	}
}
