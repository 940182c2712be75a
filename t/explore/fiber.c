/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Fibers: who runs, who waits, who is next; signals, and threads that the library starts.
 *
 * Fiber 0 runs setup, waits for the threads of the scenario, which are the fibers 1, 2 ..., and
 * runs check.  The library may start more.
 */
#include <stdlib.h>
#include <string.h>
#include "rc11.h"

enum { FIRST_TID = 100 };

/* ---- the switch ---- */

#if defined(__x86_64__)
/* Store the caller's context, go on with another. */
void x_switch(void **from, void *to);
__asm__(
	".text\n"
	".p2align 4\n"
	".globl x_switch\n"
	".hidden x_switch\n"
	".type x_switch, @function\n"
	"x_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size x_switch, . - x_switch\n");

static void *new_context(char *stack_end, void (*entry)(void))
{
	uintptr_t *sp = (uintptr_t *)(void *)stack_end;

	*--sp = 0;
	*--sp = (uintptr_t)entry;
	for (int i = 0; i < 6; i++)
		*--sp = 0;
	return sp;
}
#else
/* Slower, as each switch makes a system call.  A context lives at the end of its stack. */
#include <ucontext.h>

static void x_switch(void **from, void *to)
{
	ucontext_t here;

	*from = &here;
	swapcontext(&here, to);
}

static void *new_context(char *stack_end, void (*entry)(void))
{
	ucontext_t *context = (ucontext_t *)(void *)(stack_end - sizeof(ucontext_t) - 64);

	getcontext(context);
	context->uc_stack.ss_sp = stack_end - X_STACK_BYTES;
	context->uc_stack.ss_size = X_STACK_BYTES - sizeof(ucontext_t) - 128;
	context->uc_link = NULL;
	makecontext(context, entry, 0);
	return context;
}
#endif

void x_switch_to(struct fiber *f)
{
	struct fiber *from = E.cur;

	f->state = X_READY;
	if (f == from)
		return;
	if (E.nr_held) {
		x_show_held(from, false);
		x_show_held(f, true);
	}
	E.cur = f;
	x_switch(&from->sp, f->sp);
}

void x_end_execution(enum outcome outcome)
{
	void *nowhere;

	E.outcome = outcome;
	x_switch(&nowhere, E.engine_sp);
	abort();
}

void x_enter_fiber(void)
{
	x_switch(&E.engine_sp, E.cur->sp);
}

void x_leave_fiber(void)
{
	x_switch(&E.cur->sp, E.engine_sp);
}

/* ---- fibers ---- */

/*
 * Which fibers the kernel knows to have ended; a variable of the scenario, to be read and written as such.  A system
 * call that finds a thread gone comes after all that the thread did.
 */
static uint32_t has_ended[X_MAX_FIBERS];

static void tell_end(const struct fiber *f)
{
	x_fence(X_SITE("a thread ends"));
	x_store(X_SITE("a thread ends"), &has_ended[f->id], sizeof(has_ended[0]), 1, X_RELEASE);
}

bool x_thread_lives(const struct x_site *site, int tid)
{
	if (E.scenario->flags & X_QUIET_EXIT)
		return true;
	return !x_load(site, &has_ended[tid - FIRST_TID], sizeof(has_ended[0]), X_ACQUIRE);
}

static void fiber_entry(void)
{
	struct fiber *f = E.cur;

	f->run(f->arg);
	/* The check of fiber 0 has ended the execution before this. */
	if (!(E.scenario->flags & X_QUIET_EXIT))
		tell_end(f);
	x_learn(5);
	f->state = X_ENDED;
	x_block();
}

struct fiber *x_fiber_new(void *(*run)(void *arg), void *arg)
{
	struct fiber *f;

	if (E.nr_fibers == X_MAX_FIBERS)
		x_fail("more than %d threads", X_MAX_FIBERS);
	f = &E.fiber[E.nr_fibers];
	memset(f, 0, offsetof(struct fiber, held));
	f->id = E.nr_fibers++;
	f->history = f->id + 1u;
	f->run = run;
	f->arg = arg;
	f->writes_at_reset = E.nr_writes;
	f->sp = new_context(E.region + (f->id + 1) * X_FIBER_BYTES, fiber_entry);
	return f;
}

int x_self(void)
{
	return E.cur->id - 1;
}

/* ---- who runs next ---- */

static bool ended(const struct fiber *waiter)
{
	if (waiter->joining >= 0)
		return E.fiber[waiter->joining].state == X_ENDED;
	for (int i = 1; i <= E.nr_scenario; i++)
		if (E.fiber[i].state != X_ENDED)
			return false;
	return true;
}

static bool can_run(const struct fiber *f)
{
	bool by_drain;

	switch (f->state) {
	case X_READY:
		return true;
	case X_WAIT_WRITE:
	case X_WAIT_LOCK:
		return x_write_seen(f, &by_drain);
	case X_WAIT_END:
		return ended(f);
	}
	return false;
}

/* What the scenario lets go wrong for fibers that wait. */
static void add_oddities(void)
{
	unsigned flags = E.scenario->flags;

	if (E.quiet || !(flags & (X_TIMEOUTS | X_SPURIOUS | X_IMPATIENT)))
		return;
	for (int i = 0; i < E.nr_fibers; i++) {
		struct fiber *f = &E.fiber[i];

		if (f->state == X_WAIT_FUTEX) {
			if ((flags & X_TIMEOUTS) && f->deadline != PORT_FOREVER)
				x_alt('t', f->id, 1);
			if (flags & X_SPURIOUS)
				x_alt('w', f->id, 1);
		} else if (f->state == X_WAIT_WRITE && (flags & X_IMPATIENT) && !can_run(f)) {
			x_alt('r', f->id, 1);
		}
	}
}

static void run(struct alt a)
{
	struct fiber *f = &E.fiber[a.arg];
	bool by_drain;

	switch (a.kind) {
	case 's':
	case 'n':
		if (f->state == X_WAIT_WRITE || f->state == X_WAIT_LOCK) {
			if (x_write_seen(f, &by_drain) && by_drain)
				x_drain_for(f);
		}
		break;
	case 't':
		f->timed_out = true;
		if (E.clock < f->deadline)
			E.clock = f->deadline;
		x_trace("    the sleep of thread%d times out", f->id - 1);
		break;
	case 'w':
		x_trace("    the sleep of thread%d ends for no reason", f->id - 1);
		break;
	case 'r':
		E.clock += 1000000000;
		x_trace("    the spinning of thread%d goes on for a second", f->id - 1);
		break;
	}
	x_switch_to(f);
}

void x_block(void)
{
	bool first = true;

	if (E.model == X_RC11 && !E.quiet) {
		rc_block((struct rc_op){ .kind = E.cur->state == X_ENDED ? RC_END : RC_JOIN });
		if (!E.quiet)
			return;
	}
	for (;; first = false) {
		E.nr_alts = 0;
		for (int i = 1; i <= E.nr_fibers; i++) {
			struct fiber *f = &E.fiber[(E.cur->id + i) % E.nr_fibers];

			if (can_run(f))
				x_alt('n', f->id, 0);
		}
		if (E.nr_alts) {
			if (first)
				x_state_seen(true);
			add_oddities();
			run(x_choose());
			return;
		}
		x_stuck();
	}
}

void x_start_line(void)
{
	E.cur->state = X_NOT_STARTED;
	x_block();
}

static bool signal_possible(const struct fiber *f)
{
	return f->signals_left && !f->signals_blocked && !f->in_signal;
}

static void take_signal(void)
{
	struct fiber *f = E.cur;

	f->signals_left--;
	f->in_signal = 1;
	/* Where it came is part of the state: accesses of what nobody shares are not. */
	x_learn(6 + (uintptr_t)f->site);
	x_trace("    a signal");
	E.scenario->signal();
	f->in_signal = 0;
	x_learn(7);
}

void x_local(void)
{
	const struct x_site *site = E.cur->site;

	if (likely(!signal_possible(E.cur)) || E.quiet)
		return;
	E.nr_alts = 0;
	x_alt('-', 0, 0);
	x_alt('!', 0, 1);
	if (x_choose().kind == '!') {
		take_signal();
		E.cur->site = site;
	}
}

void x_visible(void)
{
	const struct x_site *site = E.cur->site;
	struct alt a;

	if (E.model == X_RC11) {
		x_local();
		return;
	}
	do {
		x_state_seen(false);
		if (E.remaining == 0)
			return;
		E.nr_alts = 0;
		x_alt('-', 0, 0);
		for (int i = 0; i < E.nr_fibers; i++)
			if (&E.fiber[i] != E.cur && can_run(&E.fiber[i]))
				x_alt('s', (uint32_t)i, 1);
		add_oddities();
		if (signal_possible(E.cur))
			x_alt('!', 0, 1);
		a = x_choose();
		if (a.kind == '!') {
			take_signal();
			E.cur->site = site;
		} else if (a.kind != '-') {
			run(a);
		}
	} while (a.kind == '!');
}

void x_yield_at(const struct x_site *site)
{
	x_step(site);
	if (E.quiet)
		return;
	x_learn(8);
	x_visible();
}

/* ---- threads of the library ---- */

int x_thread_start(const struct x_site *site, struct port_thread *thread, void *(*run_)(void *arg),
		   void *arg)
{
	struct fiber *f;

	x_step(site);
	if (!E.quiet) {
		x_visible();
		x_learn(9);
		x_drain_all(E.cur);
	}
	if (x_faulty(X_THREAD_FAILS))
		return -11; /* -EAGAIN */
	f = x_fiber_new(run_, arg);
	f->history = x_mix(E.cur->history, f->id);
	f->signals_blocked = 1;
	thread->fiber = f->id;
	if (E.model == X_RC11 && !E.quiet)
		rc_thread_started(f);
	return 0;
}

void x_thread_join(const struct x_site *site, struct port_thread *thread)
{
	struct fiber *f = &E.fiber[thread->fiber];

	x_step(site);
	x_drain_all(E.cur);
	E.cur->joining = (int8_t)thread->fiber;
	if (f->state != X_ENDED) {
		E.cur->state = X_WAIT_END;
		x_block();
	}
	if (E.model == X_RC11 && !E.quiet)
		rc_thread_joined(thread->fiber);
	x_drain_all(f);
	x_learn(f->history);
}

int port_tid(void)
{
	return FIRST_TID + E.cur->id;
}

int port_pid(void)
{
	return FIRST_TID;
}

int port_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	/* Forking is not explored. */
	(void)prepare, (void)parent, (void)child;
	return 0;
}
