/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The steps of the library under RC11.
 *
 * A fence concerns no other thread at once, so that it is no scheduling point; nor is an access of what one fiber alone
 * uses.  The futex calls are a fence and then, in one step, what they do under the kernel's lock of the bucket: calls
 * for one word are in one order, and each sees what came before it there.  A wake that finds nobody asleep takes no
 * lock: it comes before or after a wait, but sees nothing there.
 */
#include <errno.h>
#include "rc11.h"

static void trace(const char *how, uint64_t value)
{
	const struct x_site *site = E.cur->site;

	if (unlikely(E.trace))
		x_trace("%s:%d: %s %s %#lx", site->file, site->line, site->text, how, (unsigned long)value);
}

/* What the running fiber read, and how old it is. */
static void trace_read(uint16_t message, uint64_t value)
{
	const struct rc_message *m = &RC.message[message];
	int newer = RC.loc[m->loc].nr - m->place - 1;

	if (likely(!E.trace))
		return;
	trace(newer ? "-> (old)" : "->", value);
	if (newer)
		x_trace("    written by %s%d at %s:%d; %d newer", m->writer ? "thread" : "setup ", m->writer - 1,
			m->site->file, m->site->line, newer);
}

/* 0: no other fiber uses it, or it may be in no two orders. */
static uint16_t enter(const struct x_site *site, const volatile void *p, unsigned size, bool write)
{
	uint8_t bit = (uint8_t)(1u << E.cur->id);
	struct loc *loc;

	x_step(site);
	loc = x_loc(p, size);
	x_uses(loc, write);
	if (write && unlikely(loc->owners & ~bit)) {
		loc->owners = 0; /* rc_own_add took it for its own */
		x_end_execution(X_RESTART);
	}
	x_local();
	x_check_live(p, size);
	if (loc->shared)
		return rc_touch(loc, (volatile void *)(uintptr_t)p, size);
	rc_atomic_access(p, size, write);
	return 0;
}

/* The step's turn has come. */
static uint16_t turn(enum rc_kind kind, uint16_t loc, uint64_t expected, const volatile void *p, unsigned size)
{
	const struct x_site *site = E.cur->site;
	uint16_t key = rc_step((struct rc_op){ kind, loc, expected });

	E.cur->site = site;
	if (!E.quiet)
		x_check_live(p, size);
	return key;
}

/* Accesses of eight bytes where others use four are two: more may happen then, not less. */
static bool is_narrow(const volatile void *p, unsigned size)
{
	return size == 8 && (x_loc(p, 4)->narrow || x_loc((const volatile char *)p + 4, 4)->narrow);
}

uint64_t rc_load(const struct x_site *site, const volatile void *p, unsigned size, enum x_order order)
{
	uint16_t loc, key;
	uint64_t value;

	if (is_narrow(p, size)) {
		value = rc_load(site, p, 4, order);
		return value | rc_load(site, (const volatile char *)p + 4, 4, order) << 32;
	}
	loc = enter(site, p, size, false);
	if (!loc)
		return x_read_memory(p, size);
	key = turn(RC_LOAD, loc, 0, p, size);
	if (E.quiet)
		return x_read_memory(p, size);
	rc_read(RC_MINE, key, rc_weakened(site, order) == X_ACQUIRE);
	rc_atomic_access(p, size, false);
	value = rc_value(key);
	trace_read(key, value);
	rc_done(key, false);
	return value;
}

static void write_alone(volatile void *p, unsigned size, uint64_t value)
{
	x_write_memory(p, size, value);
}

void rc_store(const struct x_site *site, volatile void *p, unsigned size, uint64_t value, enum x_order order)
{
	uint16_t loc, key = 0;

	if (is_narrow(p, size)) {
		rc_store(site, p, 4, value, order);
		rc_store(site, (volatile char *)p + 4, 4, value >> 32, order);
		return;
	}
	loc = enter(site, p, size, true);
	value = x_cut(value, size);
	if (loc)
		key = turn(RC_STORE, loc, 0, p, size);
	if (!loc || E.quiet) {
		write_alone(p, size, value);
		return;
	}
	rc_atomic_access(p, size, true);
	trace(key == rc_last(loc) ? "<-" : "<- (before another)", value);
	rc_write(RC_MINE, key, value, rc_weakened(site, order) == X_RELEASE, false);
	rc_done(0, true);
}

static bool acquires(enum x_order order)
{
	return order == X_ACQUIRE || order == X_ACQ_REL;
}

static bool releases(enum x_order order)
{
	return order == X_RELEASE || order == X_ACQ_REL;
}

static void read_and_write(uint16_t key, const volatile void *p, unsigned size, uint64_t value, enum x_order order)
{
	order = rc_weakened(E.cur->site, order);
	rc_read(RC_MINE, key, acquires(order));
	rc_atomic_access(p, size, true);
	rc_write(RC_MINE, key, value, releases(order), true);
	rc_done(key, true);
}

uint64_t rc_rmw(const struct x_site *site, volatile void *p, unsigned size, uint64_t value, enum x_rmw op,
		enum x_order order)
{
	uint16_t loc = enter(site, p, size, true), key = 0;
	uint64_t old;

	if (loc)
		key = turn(RC_RMW, loc, 0, p, size);
	if (!loc || E.quiet) {
		old = x_read_memory(p, size);
		write_alone(p, size, x_cut(x_changed(old, value, op), size));
		return old;
	}
	old = rc_value(key);
	trace("was", old);
	read_and_write(key, p, size, x_cut(x_changed(old, value, op), size), order);
	return old;
}

bool rc_compare_exchange(const struct x_site *site, volatile void *p, unsigned size, uint64_t *expected,
			 uint64_t desired, enum x_order success, enum x_order failure)
{
	uint16_t loc = enter(site, p, size, true), key = 0;
	uint64_t old, want = x_cut(*expected, size);

	if (loc)
		key = turn(RC_CAS, loc, want, p, size);
	if (!loc || E.quiet) {
		*expected = old = x_read_memory(p, size);
		if (old == want)
			write_alone(p, size, x_cut(desired, size));
		return old == want;
	}
	*expected = old = rc_value(key);
	trace(old == want ? "succeeds, was" : "fails, was", old);
	if (old == want) {
		read_and_write(key, p, size, x_cut(desired, size), success);
		return true;
	}
	rc_read(RC_MINE, key, acquires(rc_weakened(site, failure)));
	rc_atomic_access(p, size, false);
	rc_done(key, false);
	return false;
}

/* Two accesses; if nobody else writes, the first one can only see the fiber's own last one. */
uint64_t rc_own_add(const struct x_site *site, uint64_t *counter, uint64_t value, enum x_order order, bool in_parts)
{
	const uint8_t bit = (uint8_t)(1u << E.cur->id);
	struct loc *loc = x_loc(counter, sizeof(*counter));
	uint64_t old;

	x_uses(loc, true);
	if (loc->shared && loc->writers != bit) {
		old = rc_load(site, counter, sizeof(*counter), X_RELAXED);
	} else {
		loc->owners |= bit;
		x_check_live(counter, sizeof(*counter));
		old = x_read_memory(counter, sizeof(*counter));
	}
	if (!in_parts)
		E.cur->signals_blocked++;
	rc_store(site, counter, sizeof(*counter), old + value, order);
	if (!in_parts)
		E.cur->signals_blocked--;
	return old;
}

void rc_fence_step(const struct x_site *site)
{
	x_step(site);
	x_local();
	if (!rc_fence_weakened(site))
		rc_fence(RC_MINE);
	if (unlikely(E.trace))
		x_trace("%s:%d: %s", site->file, site->line, site->text);
}

/* ---- spinning ---- */

void rc_relax(const struct x_site *site)
{
	struct rc_thread *t = RC_MINE;

	x_step(site);
	x_local();
	if (t->relaxed_overflow)
		x_fail("a turn of spinning reads more than %d times", RC_MAX_RELAXED);
	if (x_faulty(X_IMPATIENT)) {
		E.clock += 1000000000;
	} else {
		E.cur->state = X_WAIT_WRITE;
		rc_block((struct rc_op){ .kind = RC_RELAX });
		E.cur->state = X_READY;
		t->must_loc = t->key ? RC.message[t->key].loc : 0;
		t->must_beyond = t->key;
	}
	t->nr_relaxed = 0;
}

/* ---- futex ---- */

static void enter_bucket(struct rc_thread *t, uint16_t loc)
{
	rc_join(&t->now, &RC.loc[loc].bucket);
}

static void leave_bucket(struct rc_thread *t, uint16_t loc)
{
	rc_join(&RC.loc[loc].bucket, &t->now);
	rc_join_past(&RC.loc[loc].bucket_past, &t->past);
	if (t->locks_bucket)
		rc_join_past(&RC.loc[loc].locked_past, &t->past);
	t->now.clock[E.cur->id]++;
}

int rc_futex_wait(const struct x_site *site, const uint32_t *word, uint32_t expect, uint64_t deadline_ns)
{
	struct rc_thread *t = RC_MINE;
	struct fiber *f = E.cur;
	uint16_t loc = enter(site, word, sizeof(*word), false), key = 0;
	uint64_t value;

	rc_fence(t);
	if (loc)
		key = turn(RC_WAIT, loc, 0, word, sizeof(*word));
	if (E.quiet)
		return x_futex_wait(site, word, expect, deadline_ns);
	if (loc) {
		t->locks_bucket = true;
		enter_bucket(t, loc);
		rc_read(t, key, false);
		rc_atomic_access(word, sizeof(*word), false);
		value = rc_value(key);
		trace_read(key, value);
		rc_done(key, false);
		leave_bucket(t, loc);
	} else {
		value = x_read_memory(word, sizeof(*word));
	}
	if (value != expect)
		return 0;
	if (deadline_ns <= E.clock || (deadline_ns != PORT_FOREVER && x_faulty(X_TIMEOUTS))) {
		if (E.clock < deadline_ns)
			E.clock = deadline_ns;
		return -ETIMEDOUT;
	}
	if (x_faulty(X_SPURIOUS))
		return 0;
	f->word = word;
	f->deadline = deadline_ns;
	f->timed_out = false;
	f->sleep_order = E.sleepers++;
	f->state = X_WAIT_FUTEX;
	t->woken = false;
	rc_block((struct rc_op){ .kind = RC_ASLEEP, .loc = loc });
	f->state = X_READY;
	f->word = NULL;
	t->woken = false;
	return f->timed_out ? -ETIMEDOUT : 0;
}

static struct fiber *first_sleeper(const uint32_t *word)
{
	struct fiber *first = NULL;

	for (int i = 0; i < E.nr_fibers; i++) {
		struct fiber *f = &E.fiber[i];

		if (f->state == X_WAIT_FUTEX && f->word == word && !RC.thread[i].woken &&
		    (!first || f->sleep_order < first->sleep_order))
			first = f;
	}
	return first;
}

void rc_futex_wake(const struct x_site *site, const uint32_t *word, int count)
{
	struct rc_thread *t = RC_MINE;
	uint16_t loc = enter(site, word, sizeof(*word), true);
	struct fiber *sleeper;

	rc_fence(t);
	if (!loc)
		return;
	turn(RC_WAKE, loc, 0, word, sizeof(*word));
	if (E.quiet) {
		x_futex_wake(site, word, count);
		return;
	}
	t->locks_bucket = first_sleeper(word) != NULL;
	if (t->locks_bucket)
		enter_bucket(t, loc);
	rc_done(0, false);
	while (count-- > 0 && (sleeper = first_sleeper(word))) {
		RC.thread[sleeper->id].woken = true;
		rc_join(&RC.thread[sleeper->id].now, &t->now);
		rc_join_past(&RC.thread[sleeper->id].past, &t->past);
		x_trace("    thread%d wakes", sleeper->id - 1);
	}
	leave_bucket(t, loc);
}

/* ---- locks ---- */

void rc_mutex_lock(const struct x_site *site, struct port_mutex *m)
{
	uint16_t loc = enter(site, &m->holder, sizeof(m->holder), true), key = 0;

	if (m->holder == E.cur->id + 1u)
		x_fail("a thread locks a mutex that it holds");
	if (loc) {
		E.cur->state = X_WAIT_LOCK;
		key = turn(RC_LOCK, loc, 0, m, sizeof(*m));
		E.cur->state = X_READY;
	}
	if (!loc || E.quiet) {
		m->holder = E.cur->id + 1u;
		return;
	}
	trace("", 0);
	read_and_write(key, &m->holder, sizeof(m->holder), E.cur->id + 1u, X_ACQUIRE);
}

bool rc_mutex_trylock(const struct x_site *site, struct port_mutex *m)
{
	uint64_t free = 0;

	return rc_compare_exchange(site, &m->holder, sizeof(m->holder), &free, E.cur->id + 1u, X_ACQUIRE, X_RELAXED);
}

void rc_mutex_unlock(const struct x_site *site, struct port_mutex *m)
{
	if (m->holder != E.cur->id + 1u)
		x_fail("a thread unlocks a mutex that it does not hold");
	rc_store(site, &m->holder, sizeof(m->holder), 0, X_RELEASE);
}

/* ---- membarrier ---- */

int rc_membarrier(const struct x_site *site)
{
	struct rc_thread *t = RC_MINE;
	struct fiber *f = E.cur;

	x_step(site);
	x_local();
	if (!E.membarrier_dead && x_faulty(X_MEMBARRIER_DIES))
		E.membarrier_dead = true;
	if (E.membarrier_dead)
		return -EPERM;
	rc_fence(t);
	rc_step((struct rc_op){ .kind = RC_MEMBARRIER });
	if (E.quiet)
		return 0;
	x_trace("%s:%d: %s", site->file, site->line, site->text);
	t->announced = t->now;
	t->gathered = t->now;
	t->gathered_past = t->past;
	for (int i = 1; i < E.nr_fibers; i++) {
		if (&E.fiber[i] == f)
			continue;
		if (E.fiber[i].state == X_ENDED) {
			rc_gather(t, i);
			rc_join_past(&t->gathered_past, &RC.thread[i].past);
		} else {
			rc_announce(i, f->id);
		}
	}
	rc_done(0, false);
	rc_block((struct rc_op){ .kind = RC_DELIVERED });
	E.cur->site = site;
	if (E.quiet)
		return 0;
	rc_join(&t->now, &t->gathered);
	rc_join_past(&t->past, &t->gathered_past);
	rc_fence(t);
	return 0;
}

/* ---- threads ---- */

void rc_thread_started(struct fiber *child)
{
	struct rc_thread *t = &RC.thread[child->id], *parent = RC_MINE;

	rc_join(&t->now, &parent->now);
	rc_join(&t->released, &parent->now);
	t->past = parent->past;
	t->op.kind = RC_START;
	parent->now.clock[E.cur->id]++;
}

void rc_thread_joined(int child)
{
	rc_join(&RC_MINE->now, &RC.thread[child].now);
	rc_join_past(&RC_MINE->past, &RC.thread[child].past);
}
