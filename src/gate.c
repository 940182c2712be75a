/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The gate, and the hooks of fork().  What, why and the barriers: at the top of src/gate.h. */

#include "gate.h"
#include "event.h"
#include "mutant.h"

static struct {
	uint64_t closer;
	uint32_t nested;                /* the closer's: hooks of a fork within those of a fork */
	struct event opened;
	uint64_t fallback;
} gate;

static bool is_closed_for_me(void)
{
	uint64_t closer = load_acquire(&gate.closer);

	return process_has(closer) && !process_is_me(closer);
}

/* Count this thread in: how many sections it was in before. */
static uint64_t count_in(struct record *record)
{
	port_signals saved;
	uint64_t before;

	if (record) {
		own_inc(&record->gate);
		return load_relaxed(&record->gate) - 1;
	}
	port_signals_block(&saved); /* a handler that forks would wait for the one count, without the other */
	fetch_add(&gate.fallback, 1);
	before = (*port_fallback_gate())++;
	port_signals_restore(&saved);
	return before;
}

static void count_out(struct record *record)
{
	port_signals saved;

	if (record) {
		own_dec(&record->gate);
		return;
	}
	port_signals_block(&saved);
	--*port_fallback_gate();
	fetch_add(&gate.fallback, -(uint64_t)1);
	port_signals_restore(&saved);
}

/* Where this thread is counted.  One without memory stays in the fallback until it has left all its sections. */
static struct record *counted_in(void)
{
	return *port_fallback_gate() ? NULL : slots_record();
}

bool gate_try_enter(void)
{
	struct record *record = counted_in();
	bool nested = count_in(record) != 0;

	fence_full(); /* A (pairs with B): my count before the look at closer */
	if (nested || !is_closed_for_me())
		return true;
	count_out(record);
	return false;
}

void gate_enter(void)
{
	uint32_t seen;

	while (!gate_try_enter()) {
		seen = event_prepare(&gate.opened);
		if (is_closed_for_me())
			event_wait(&gate.opened, seen, port_deadline(1000000));
	}
}

void gate_leave(void)
{
	count_out(counted_in());
}

static void wait_a_moment(void)
{
	static const uint32_t never;

	port_futex_wait(&never, 0, port_deadline(1000000));
}

/* How long a section of the gate is, at most, if its thread runs; and how long a thread needs to wake up. */
#define LOOKS_NS 50000

void gate_give_way(const struct port_mutex *m)
{
	uint64_t deadline = port_deadline(LOOKS_NS);

	while (port_mutex_is_wanted(m) && port_spin(deadline))
		;
}

static void wait_for_others(void)
{
	const struct record *mine = slots_record();
	uint64_t deadline = port_deadline(LOOKS_NS);

	fence_full(); /* B (pairs with A): closer before the look at the counts */
	for (const struct record *record = slots_first_record(); record; record = load_acquire(&record->next))
		while (record != mine && load_acquire(&record->gate) && slots_record_is_live(record))
			if (!port_spin(deadline))
				wait_a_moment();
	while (load_acquire(&gate.fallback) != *port_fallback_gate())
		wait_a_moment();
}

static void close_gate(void)
{
	uint64_t closer = load_relaxed(&gate.closer);

	if (process_is_me(closer)) {
		gate.nested++;
		unless(GATE_NO_WAIT, wait_for_others()); /* the fork that was interrupted may not have come so far */
		return;
	}
	while (process_has(closer) || !compare_exchange(&gate.closer, &closer, process_self())) {
		wait_a_moment();
		closer = load_relaxed(&gate.closer);
	}
	gate.nested = 0;
	unless(GATE_NO_WAIT, wait_for_others());
}

static void open_gate(void)
{
	if (gate.nested) {
		gate.nested--;
		return;
	}
	store_release(&gate.closer, 0);
	event_signal(&gate.opened);
}

static void after_fork_in_child(void)
{
	process_after_fork_in_child();
	/* Those who were counted here and are not this thread do not exist. */
	store_relaxed(&gate.fallback, *port_fallback_gate());
	open_gate();
}

__attribute__((constructor)) static void hook_fork(void)
{
	/* There is nobody to tell, as this runs before main: without hooks a fork is what it is without the gate. */
	(void)port_at_fork(close_gate, open_gate, after_fork_in_child);
}
