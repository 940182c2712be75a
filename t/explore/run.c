/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * One execution from start to end; what has to be put back before each; crashes.
 *
 * Setup runs once.  What it left behind, stacks included, is kept, and put back before each
 * execution.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "rc11.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31) /* linux/signal.h, which cannot be included with signal.h */
#endif

static void *run_thread(void *arg)
{
	if (E.scenario->prepare) {
		E.scenario->prepare();
		x_start_line();
	}
	E.scenario->thread[(intptr_t)arg]();
	return NULL;
}

static void set_up(const struct x_scenario *s)
{
	int i;

	for (i = 0; i < X_MAX_THREADS && s->thread[i]; i++) {
		struct fiber *f = x_fiber_new(run_thread, (void *)(intptr_t)i);

		f->state = X_NOT_STARTED;
		f->signals_left = s->signal && (s->signal_threads & (1u << i));
	}
	E.nr_scenario = (uint8_t)i;
	if (s->setup)
		s->setup();
	for (i = 1; s->prepare && i <= E.nr_scenario; i++)
		x_switch_to(&E.fiber[i]);
	for (i = 1; i <= E.nr_scenario; i++)
		E.fiber[i].state = X_READY;
}

static void *run_main(void *arg)
{
	const struct x_scenario *s = E.scenario;
	int i;

	(void)arg;
	set_up(s);
	E.outcome = X_SET_UP;
	x_leave_fiber();
	/* Every execution begins here, with all memory as it was then. */
	E.quiet = false;
	E.cur->joining = -1;
	E.cur->state = X_WAIT_END;
	x_block();
	for (i = 0; i < E.nr_fibers; i++)
		x_drain_all(&E.fiber[i]);
	E.quiet = true;
	if (s->check)
		s->check();
	if (!(s->flags & X_LEAKS_OK))
		x_check_leaks();
	x_end_execution(X_PASSED);
}

/* ---- what is put back ---- */

/* A stretch of memory as it is to be at the start. */
struct kept {
	char *start;
	size_t bytes;
	char *copy;
};

/* The program's writable variables, in at most two parts: before and after the engine's. */
extern char __data_start[], _end[], __start_x_engine[], __stop_x_engine[];
struct engine E X_ENGINE;
static X_ENGINE struct kept pristine[2];

/* After setup: these, and of each fiber its state, its allocations, its arena, its stack. */
static X_ENGINE struct kept kept[2 + 4 * X_MAX_FIBERS];
static X_ENGINE int nr_kept;
#define EXECUTION_BYTES (offsetof(struct engine, epoch) - offsetof(struct engine, cur))
static X_ENGINE char kept_execution[EXECUTION_BYTES];

static struct kept keep(char *start, char *end)
{
	struct kept k = { start, start < end ? (size_t)(end - start) : 0, NULL };

	k.copy = malloc(k.bytes + 1);
	if (!k.copy)
		abort();
	memcpy(k.copy, start, k.bytes);
	return k;
}

static void put_back(const struct kept *k, int nr)
{
	for (int i = 0; i < nr; i++)
		memcpy(k[i].start, k[i].copy, k[i].bytes);
}

void x_statics_init(void)
{
	char *stop = __stop_x_engine;

	E.statics = __data_start;
	E.statics_bytes = (size_t)(_end - __data_start);
	pristine[0] = keep(__data_start, __start_x_engine);
	pristine[1] = keep(stop > E.statics ? stop : E.statics, _end);
}

static void keep_all(void)
{
	for (int i = 0; i < 2; i++)
		kept[nr_kept++] = keep(pristine[i].start, pristine[i].start + pristine[i].bytes);
	for (int i = 0; i < E.nr_fibers; i++) {
		struct fiber *f = &E.fiber[i];
		char *arena = E.region + i * X_FIBER_BYTES;

		kept[nr_kept++] = keep((char *)f, (char *)f + offsetof(struct fiber, held));
		kept[nr_kept++] = keep((char *)f->chunk, (char *)(f->chunk + f->nr_chunks));
		kept[nr_kept++] = keep(arena, arena + f->arena_used);
		/* Where a context is a ucontext_t, its function may have saved something below. */
		kept[nr_kept++] = keep((char *)f->sp - 128, arena + X_FIBER_BYTES);
	}
	memcpy(kept_execution, &E.cur, EXECUTION_BYTES);
}

void x_run_forget(void)
{
	while (nr_kept)
		free(kept[--nr_kept].copy);
}

void x_run_execution(void)
{
	if (!nr_kept) {
		put_back(pristine, 2);
		memset(&E.cur, 0, EXECUTION_BYTES);
		E.quiet = true;
		E.clock = 1000000000;
		E.membarrier_dead = (E.scenario->flags & X_NO_MEMBARRIER) != 0;
		E.epoch++;
		E.cur = x_fiber_new(run_main, NULL);
		x_enter_fiber();
		if (E.outcome != X_SET_UP)
			return; /* setup failed */
		keep_all();
	} else {
		put_back(kept, nr_kept);
		memcpy(&E.cur, kept_execution, EXECUTION_BYTES);
	}
	E.epoch++;
	E.nr_executions++;
	E.nr_choices = 0;
	E.fresh = true;
	E.remaining = E.bound;
	E.outcome = X_RUNNING;
	if (E.model == X_RC11)
		rc_begin_execution();
	x_enter_fiber();
	E.nr_steps += E.step;
}

/* ---- crashes ---- */

static void crashed(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (E.outcome != X_RUNNING || !E.cur)
		_Exit(128 + number);
	x_fail("crash: %s at address %p", strsignal(number), info->si_addr);
}

/* A crash ends the execution: its handler leaves for the engine and never returns. */
void x_crash_handler(void)
{
	static X_ENGINE char stack[1 << 16];
	stack_t alternative = { .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = (int)SS_AUTODISARM };
	struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigaltstack(&alternative, NULL);
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGABRT, &action, NULL);
}
