/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/usrcu_call.c and src/usrcu_domain.c: callbacks, destroying, memory used again. */

#include "usrcu_scenarios.h"

/* ---- callbacks ---- */

static uint64_t calls;

static void free_object(struct usrcu_head *head)
{
	calls++;
	port_free((struct object *)(void *)head);
	/* Last, because to free is a fence here. */
	store_relaxed(&note[0], load_relaxed(&note[0]) + 1);
}

static void retire_by_call(void)
{
	struct object *mine = port_alloc(sizeof(*mine)), *old = unpublish(mine);

	x_assert(usrcu_call(domain, &old->head, free_object) == 0);
}

static void synchronize(void)
{
	x_assert(usrcu_synchronize(domain) == 0);
}

static void run_callbacks(void)
{
	x_assert(usrcu_run_callbacks(domain) == 0);
}

static void call_and_run(void)
{
	retire_by_call();
	run_callbacks();
}

/* Its own callback has run, whoever ran it, and what it did is seen. */
static void call_and_barrier(void)
{
	retire_by_call();
	x_assert(usrcu_barrier(domain) == 0);
	note[1 + x_self()] = load_relaxed(&note[0]);
	x_assert(note[1 + x_self()] >= 1);
}

/* Nothing runs a callback but the calls that are made for it. */
static void call_and_wait(void)
{
	retire_by_call();
	synchronize();
	usrcu_poll_state(domain, usrcu_start_poll(domain));
	x_assert(calls == 0);
}

static void call_twice(void)
{
	retire_by_call();
	retire_by_call();
}

static void barrier(void)
{
	x_assert(usrcu_barrier(domain) == 0);
}

/* The worker is refused a membarrier: barrier says so, and does not wait for what cannot come.  The domain stays. */
static void call_and_barrier_if_possible(void)
{
	int rc;

	retire_by_call();
	rc = usrcu_barrier(domain);
	x_assert(rc == -EPERM || (rc == 0 && load_relaxed(&note[0]) == 1));
}

static void drained(uint64_t nr)
{
	x_assert(usrcu_barrier(domain) == 0);
	x_assert(calls == nr && note[0] == nr);
	destroyed();
}

static void one_call(void) { drained(1); }
static void two_calls(void) { drained(2); }

static void worker_domain(void)
{
	domain_with(USRCU_WORKER);
}

/* ---- destroying ---- */

/* Opened in setup, so that destroy never races with a new section. */
static int open_token;

static void open_section(void)
{
	int token = usrcu_read_lock(domain);

	if (x_self() == 0)
		open_token = token;
	else
		usrcu_read_unlock(domain, token);
}

static void open_handed(void)
{
	first_use();
	if (x_self() == 0)
		open_token = usrcu_down_read(domain);
}

static void end_section(void)
{
	use(object);
	usrcu_read_unlock(domain, open_token);
}

static void end_handed(void)
{
	use(object);
	usrcu_up_read(domain, open_token);
}

static void destroy_when_idle(void)
{
	int rc;

	while ((rc = usrcu_destroy(domain)) == -EBUSY)
		port_relax();
	x_assert(rc == 0);
	port_free(object);
	object = NULL;
}

/* The memory of the domain serves another one, while the reader is maybe still in its unlock. */
static void destroy_and_create(void)
{
	destroy_when_idle();
	one_domain();
	first_use();
	retire_once();
}

static void nothing_left(void)
{
	if (object)
		destroyed();
}

static void new_destroyed(void)
{
	destroyed();
}

/* ---- slots ---- */

static struct usrcu *second;

/* A new domain in the slot of an old one that the other threads have slots for. */
static void swap_domains(void)
{
	struct usrcu *fresh;

	x_assert(usrcu_destroy(domain) == 0);
	x_assert(usrcu_create(&fresh, NULL) == 0);
	domain = fresh;
	store_release(&second, fresh);
	retire_once();
}

static void use_second(void)
{
	struct usrcu *d;
	int token;

	while (!(d = load_acquire(&second)))
		port_relax();
	token = usrcu_read_lock(d);
	use(load_acquire(&object));
	usrcu_read_unlock(d, token);
}

/* ---- domains do not delay each other ---- */

static struct usrcu *other;

static void two_domains(void)
{
	one_domain();
	x_assert(usrcu_create(&other, NULL) == 0);
}

static void use_both(void)
{
	first_use();
	usrcu_read_unlock(other, usrcu_read_lock(other));
}

/* The section of the other domain ends only after this one's grace period. */
static void reader_of_other(void)
{
	int token = usrcu_read_lock(other);

	wait_for(&note[0]);
	usrcu_read_unlock(other, token);
}

static void synchronize_and_tell(void)
{
	synchronize();
	store_release(&note[0], 1);
}

static void both_destroyed(void)
{
	x_assert(usrcu_destroy(other) == 0);
	destroyed();
}

const struct x_scenario x_scenarios[] = {
	{ USRCU, .name = "usrcu-call", .claim = "S7: a callback runs once, after a grace period",
	  .setup = one_domain, .thread = { one_section, call_and_run }, .check = one_call,
	  .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-call-other", .claim = "S7: whichever thread runs it",
	  .setup = one_domain, .thread = { one_section, retire_by_call, run_callbacks }, .check = one_call,
	  .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-call-wait", .claim = "S7: not in synchronize, not in poll",
	  .setup = one_domain, .thread = { one_section, call_and_wait }, .check = one_call,
	  .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-barrier", .claim = "S7: barrier waits for what was queued before",
	  .setup = one_domain, .thread = { one_section, call_and_barrier }, .check = one_call,
	  .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-barrier-other", .claim = "S7: whoever runs it",
	  .setup = one_domain, .thread = { call_and_barrier, run_callbacks }, .check = one_call,
	  .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-two-barriers", .claim = "S7: two barriers at once",
	  .setup = one_domain, .thread = { call_and_barrier, call_and_barrier }, .check = two_calls,
	  .quick = 2, .full = 5 },
	{ USRCU, .name = "usrcu-two-runners", .claim = "S7: two threads that run callbacks",
	  .setup = one_domain, .thread = { call_and_run, call_and_run }, .check = two_calls,
	  .quick = 3, .full = 5 },
	/* Without the membarriers of the grace periods, which order the runners too. */
	{ USRCU, .name = "usrcu-two-runners-fenced", .claim = "S7, S8: the same with full fences",
	  .setup = fenced_domain, .thread = { call_and_run, call_and_run }, .check = two_calls,
	  .quick = 3, .full = 5 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = first_use, .name = "usrcu-worker",
	  .claim = "S7: a worker runs callbacks", .setup = worker_domain,
	  .thread = { one_section, retire_by_call }, .check = one_call, .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-worker-barrier", .claim = "S7: barrier waits for the worker",
	  .setup = worker_domain, .thread = { call_twice, barrier }, .check = two_calls, .quick = 2, .full = 4 },
	{ USRCU_WITH(X_MEMBARRIER_DIES), .name = "usrcu-worker-refused", .claim = "S7, S8: or returns the worker's error",
	  .setup = worker_domain, .thread = { one_section, call_and_barrier_if_possible },
	  .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = open_section, .name = "usrcu-destroy",
	  .claim = "S11: destroy against the end of a section", .setup = one_domain,
	  .thread = { end_section, destroy_when_idle }, .check = nothing_left, .quick = 4, .full = 8 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = open_section, .name = "usrcu-destroy-create",
	  .claim = "S11: and its memory in a new domain", .setup = one_domain,
	  .thread = { end_section, destroy_and_create }, .check = new_destroyed, .quick = 3, .full = 6 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = open_handed, .name = "usrcu-destroy-handed",
	  .claim = "S11: a handed-over section", .setup = one_domain,
	  .thread = { end_handed, destroy_and_create }, .check = new_destroyed, .quick = 3, .full = 6 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK, .prepare = open_section, .name = "usrcu-destroy-exit",
	  .claim = "S11: and the exit of its thread", .setup = one_domain,
	  .thread = { end_section, destroy_when_idle }, .check = nothing_left, .quick = 3, .full = 6 },
	{ USRCU, .name = "slots-key-reuse", .claim = "S1: a slot of an old domain is not one of a new domain",
	  .setup = one_domain, .thread = { use_second, swap_domains }, .check = destroyed, .quick = 3, .full = 6 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = use_both, .name = "usrcu-two-domains",
	  .claim = "S3: a section of another domain delays nothing", .setup = two_domains,
	  .thread = { reader_of_other, synchronize_and_tell }, .check = both_destroyed, .quick = 4, .full = 8 },
	{ .name = NULL },
};
