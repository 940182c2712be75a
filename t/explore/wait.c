/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Waiting: futex, locks, spinning, time; membarrier and signals.
 *
 * A fiber that spins waits until something that it read since its last turn is written by
 * another.  Time stands still unless a sleep times out, or everybody waits.  The futex calls
 * are full fences, as the kernel's are.
 */
#include <errno.h>
#include "rc11.h"

static bool is_rc11(void)
{
	return E.model == X_RC11 && !E.quiet;
}

/* ---- waiting for a write ---- */

static bool holds_any(const struct fiber *self, const volatile void *p)
{
	for (int i = 0; i < E.nr_fibers; i++)
		if (&E.fiber[i] != self)
			for (int j = 0; j < E.fiber[i].nr_held; j++)
				if (!p || E.fiber[i].held[j].p == p)
					return true;
	return false;
}

bool x_write_seen(const struct fiber *f, bool *by_drain)
{
	*by_drain = false;
	if (E.quiet) /* there is no search, and no need to be exact */
		return true;
	if (f->reads_overflow && E.nr_writes != f->writes_at_reset)
		return true;
	for (int i = 0; i < f->nr_reads; i++)
		if (x_version(f->reads[i].loc) != f->reads[i].version)
			return true;
	if (likely(!E.nr_held))
		return false;
	*by_drain = true;
	if (f->reads_overflow)
		return holds_any(f, NULL);
	for (int i = 0; i < f->nr_reads; i++)
		if (holds_any(f, f->reads[i].p))
			return true;
	return false;
}

static bool was_read(const struct fiber *f, const volatile void *p)
{
	for (int i = 0; i < f->nr_reads; i++)
		if (f->reads[i].p == p)
			return true;
	return f->reads_overflow;
}

/* Offer to drain each store that may come next, other than those of @self; then do it. */
static void drain_one(const struct fiber *self, const struct fiber *reader)
{
	struct held *h;
	struct alt a;

	E.nr_alts = 0;
	for (int i = 0; i < E.nr_fibers; i++)
		for (int j = 0; &E.fiber[i] != self && j < E.fiber[i].nr_held; j++) {
			h = &E.fiber[i].held[j];
			if (E.nr_alts < X_MAX_ALTS && (!reader || was_read(reader, h->p)) &&
			    x_drainable(&E.fiber[i], h->p, 0) == h)
				x_alt('o', h->step, 0);
		}
	a = x_choose();
	for (int i = 0; i < E.nr_fibers; i++)
		if ((h = x_drainable(&E.fiber[i], NULL, a.arg))) {
			x_drain(&E.fiber[i], h);
			return;
		}
}

void x_drain_for(struct fiber *f)
{
	drain_one(f, f);
}

static void forget_reads(void)
{
	E.cur->nr_reads = 0;
	E.cur->reads_overflow = false;
	E.cur->writes_at_reset = E.nr_writes;
}

void x_relax(const struct x_site *site)
{
	bool by_drain;

	if (is_rc11()) {
		rc_relax(site);
		return;
	}
	x_step(site);
	x_local();
	if (E.quiet || !x_write_seen(E.cur, &by_drain) || by_drain) {
		E.cur->state = X_WAIT_WRITE;
		x_block();
	}
	if (!E.quiet)
		x_learn(10);
	forget_reads();
}

/* How long it takes until the deadline is for the scenario to say. */
bool x_spin(const struct x_site *site, uint64_t deadline_ns)
{
	if (!(E.scenario->flags & X_SPINS))
		return false;
	x_relax(site);
	return port_now_ns() < deadline_ns;
}

void x_stuck(void)
{
	struct fiber *first = NULL;
	bool spinning = false;
	static X_ENGINE uint64_t writes;

	if (E.nr_held) {
		drain_one(NULL, NULL);
		return;
	}
	for (int i = 0; i < E.nr_fibers; i++) {
		struct fiber *f = &E.fiber[i];

		if (f->state == X_WAIT_FUTEX && f->deadline != PORT_FOREVER &&
		    (!first || f->deadline < first->deadline))
			first = f;
		spinning |= f->state == X_WAIT_WRITE;
	}
	if (first) {
		first->timed_out = true;
		first->state = X_READY;
		if (E.clock < first->deadline)
			E.clock = first->deadline;
		x_trace("    nobody can run: the sleep of thread%d times out", first->id - 1);
		return;
	}
	/* Spinning may have a limit of turns or of time. */
	if (E.retries == 0 || writes != E.nr_writes)
		E.retries = 0;
	writes = E.nr_writes;
	if (!spinning || E.retries++ >= X_MAX_RETRIES)
		x_fail("deadlock");
	E.clock += 1000000;
	for (int i = 0; i < E.nr_fibers; i++)
		if (E.fiber[i].state == X_WAIT_WRITE)
			E.fiber[i].state = X_READY;
	x_trace("    nobody can run: time passes, spinning goes on");
}

/* ---- futex ---- */

int x_futex_wait(const struct x_site *site, const uint32_t *word, uint32_t expect,
		 uint64_t deadline_ns)
{
	struct fiber *f = E.cur;
	struct loc *loc;
	uint64_t value;

	if (is_rc11())
		return rc_futex_wait(site, word, expect, deadline_ns);
	loc = x_enter(site, word, sizeof(*word), false);
	x_drain_all(f);
	x_settle(word, f);
	value = x_read_memory(word, sizeof(*word));
	if (!E.quiet && loc->shared)
		x_learn(x_version(loc));
	if (value != expect) {
		x_trace("%s:%d: %s: it is %#lx, not %#x", site->file, site->line, site->text,
			(unsigned long)value, expect);
		return 0;
	}
	if (deadline_ns <= E.clock)
		return -ETIMEDOUT;
	x_trace("%s:%d: %s sleeps", site->file, site->line, site->text);
	f->word = word;
	f->deadline = deadline_ns;
	f->timed_out = false;
	f->sleep_order = E.sleepers++;
	f->state = X_WAIT_FUTEX;
	x_block();
	f->word = NULL;
	if (!E.quiet)
		x_learn(f->timed_out ? 11 : 12);
	return f->timed_out ? -ETIMEDOUT : 0;
}

void x_futex_wake(const struct x_site *site, const uint32_t *word, int count)
{
	struct loc *loc;

	if (is_rc11()) {
		rc_futex_wake(site, word, count);
		return;
	}
	/* As a write, because it matters whether a sleep begins before or after. */
	loc = x_enter(site, word, sizeof(*word), true);

	x_drain_all(E.cur);
	if (!E.quiet && loc->shared)
		x_learn(13);
	x_trace("%s:%d: %s", site->file, site->line, site->text);
	while (count-- > 0) {
		struct fiber *first = NULL;

		for (int i = 0; i < E.nr_fibers; i++) {
			struct fiber *f = &E.fiber[i];

			if (f->state == X_WAIT_FUTEX && f->word == word &&
			    (!first || f->sleep_order < first->sleep_order))
				first = f;
		}
		if (!first)
			return;
		first->state = X_READY;
		x_trace("    thread%d wakes", first->id - 1);
	}
}

uint64_t port_now_ns(void)
{
	if (!E.quiet)
		x_learn(E.clock);
	return E.clock;
}

/* ---- locks ---- */

/* The holder's number and 1, or 0 and the lock is taken. */
static uint32_t take(struct loc *loc, struct port_mutex *m)
{
	uint32_t holder;

	x_drain_all(E.cur);
	holder = (uint32_t)x_rmw_begin(loc, &m->holder, sizeof(m->holder));
	if (!holder)
		x_rmw_end(loc, &m->holder, sizeof(m->holder), E.cur->id + 1u);
	return holder;
}

void x_mutex_lock(const struct x_site *site, struct port_mutex *m)
{
	struct loc *loc;
	uint32_t holder;

	if (is_rc11()) {
		rc_mutex_lock(site, m);
		return;
	}
	loc = x_enter(site, &m->holder, sizeof(m->holder), true);
	while ((holder = take(loc, m))) {
		if (holder == E.cur->id + 1u)
			x_fail("a thread locks a mutex that it holds");
		if (holder > X_MAX_FIBERS)
			x_fail("not a mutex: its holder is %u", holder);
		forget_reads();
		x_saw(loc, &m->holder);
		E.cur->state = X_WAIT_LOCK;
		x_block();
		x_check_live(m, sizeof(*m));
	}
	forget_reads();
	x_trace("%s:%d: %s", site->file, site->line, site->text);
}

bool x_mutex_trylock(const struct x_site *site, struct port_mutex *m)
{
	struct loc *loc;
	uint32_t holder;

	if (is_rc11())
		return rc_mutex_trylock(site, m);
	loc = x_enter(site, &m->holder, sizeof(m->holder), true);
	holder = take(loc, m);

	x_trace("%s:%d: %s %s", site->file, site->line, site->text, holder ? "fails" : "succeeds");
	if (holder && !E.quiet && loc->shared)
		x_saw(loc, &m->holder);
	return !holder;
}

/* A release and no more: what relies on a full fence here is wrong. */
void x_mutex_unlock(const struct x_site *site, struct port_mutex *m)
{
	struct loc *loc;

	if (is_rc11()) {
		rc_mutex_unlock(site, m);
		return;
	}
	loc = x_enter(site, &m->holder, sizeof(m->holder), true);
	if (m->holder != E.cur->id + 1u)
		x_fail("a thread unlocks a mutex that it does not hold");
	x_trace("%s:%d: %s", site->file, site->line, site->text);
	x_store_here(loc, &m->holder, sizeof(m->holder), 0, X_RELEASE);
}

void x_mutex_destroy(const struct x_site *site, struct port_mutex *m)
{
	if (is_rc11())
		rc_plain_access(m, sizeof(*m), true);
	else
		x_enter(site, &m->holder, sizeof(m->holder), true);
	x_drain_all(E.cur);
	x_settle(&m->holder, E.cur);
	if (m->holder)
		x_fail("a mutex is destroyed while thread %d holds it", (int)m->holder - 2);
}

/* ---- membarrier ---- */

int port_membarrier_register(void)
{
	return E.membarrier_dead ? -ENOSYS : 0;
}

int x_membarrier(const struct x_site *site)
{
	if (is_rc11())
		return rc_membarrier(site);
	x_step(site);
	if (E.quiet)
		return E.membarrier_dead ? -EPERM : 0;
	if (E.model != X_SC) {
		x_visible();
		x_learn(14);
	} else {
		x_local();
	}
	if (!E.membarrier_dead && x_faulty(X_MEMBARRIER_DIES))
		E.membarrier_dead = true;
	x_trace("%s:%d: %s%s", site->file, site->line, site->text,
		E.membarrier_dead ? " fails" : "");
	if (E.membarrier_dead)
		return -EPERM;
	for (int i = 0; i < E.nr_fibers; i++)
		x_drain_all(&E.fiber[i]);
	return 0;
}

int x_fence_heavy(const struct x_site *site, bool membarrier)
{
	x_fence(site);
	return membarrier ? x_membarrier(site) : 0;
}

/* ---- signals, and what a handler may find ---- */

void **x_my_slots(const struct x_site *site)
{
	x_step(site);
	x_local();
	return E.cur->slots;
}

bool x_install_my_slots(const struct x_site *site, void **expected, void **table)
{
	x_step(site);
	x_local();
	if ((E.cur->slots ?: usrcu__slots) != expected)
		return false;
	E.cur->slots = table;
	return true;
}

void port_signals_block(port_signals *saved)
{
	E.step++;
	x_local();
	*saved = E.cur->signals_blocked;
	E.cur->signals_blocked++;
}

void port_signals_restore(const port_signals *saved)
{
	E.step++;
	E.cur->signals_blocked = (uint8_t)*saved;
	x_local();
}

uint32_t *port_fallback_sections(void)
{
	return &E.cur->fallback;
}

uint32_t *port_fallback_gate(void)
{
	return &E.cur->fallback_gate;
}

uint32_t *port_first_generation(void)
{
	return &E.cur->first_generation;
}

const void *port_self(void)
{
	return E.cur;
}

uint32_t *port_walks(void)
{
	return &E.cur->walks;
}

void port_fatal(const char *function, const char *rule, const void *object)
{
	x_fail("%s stops the program: %s (%p)", function, rule, object);
}
