/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Accesses of memory, and store buffers.
 *
 * A store goes to memory at once, or it is held, which costs 1 of the bound.  A held store
 * reaches memory ("is drained") as late as possible: just before somebody else's access of the
 * same address, if the search chooses so; at a fence, an atomic read-modify-write or the end.
 * That loses nothing: a drain that no access of the address follows yet could as well be
 * later.  Under TSO a buffer is one queue.  Under PSO it is a queue for each address, and a
 * release waits for all that was issued before it.
 *
 * The library may read plainly what it has just stored through a wrapper.  Therefore the
 * memory of the process is always what the running fiber sees: its held stores are in there,
 * and what others would see below them is kept aside until it makes way for another fiber.
 */
#include <stdarg.h>
#include <stdio.h>
#include "rc11.h"

uint64_t x_read_memory(const volatile void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const volatile uint16_t *)p;
	case 4: return *(const volatile uint32_t *)p;
	case 8: return *(const volatile uint64_t *)p;
	}
	x_fail("an access of %u bytes", size);
}

void x_write_memory(volatile void *p, unsigned size, uint64_t value)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)value; return;
	case 2: *(volatile uint16_t *)p = (uint16_t)value; return;
	case 4: *(volatile uint32_t *)p = (uint32_t)value; return;
	case 8: *(volatile uint64_t *)p = value; return;
	}
	x_fail("an access of %u bytes", size);
}

uint64_t x_cut(uint64_t value, unsigned size)
{
	return size == 8 ? value : value & ((UINT64_C(1) << (size * 8)) - 1);
}

struct loc *x_loc(const volatile void *p, unsigned size)
{
	size_t offset = (size_t)((const volatile char *)p - E.region);

	if (unlikely((uintptr_t)p & (size - 1)))
		x_fail("a misaligned access at %p", (void *)(uintptr_t)p);
	if (likely(offset < X_REGION_BYTES))
		return &E.locs[offset / 4];
	offset = (size_t)((const volatile char *)p - E.statics);
	if (likely(offset < E.statics_bytes))
		return &E.locs[(X_REGION_BYTES + offset) / 4];
	x_fail("an access outside all memory, at %p", (void *)(uintptr_t)p);
}

void x_trace(const char *format, ...)
{
	va_list args;

	if (likely(!E.trace))
		return;
	printf("# %5u  %-8.*s ", E.step, 8, E.cur->id == 0 ? "main" :
	       (char[]){ 't', 'h', 'r', 'e', 'a', 'd', (char)('0' + E.cur->id - 1), 0 });
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void trace_step(const char *how, uint64_t value)
{
	const struct x_site *site = E.cur->site;

	if (unlikely(E.trace))
		x_trace("%s:%d: %s %s %#lx", site->file, site->line, site->text, how,
			(unsigned long)value);
}

void x_step(const struct x_site *site)
{
	E.cur->site = site;
	E.nodes_of_step = 0;
	if (unlikely(++E.step > X_MAX_STEPS))
		x_fail("the execution does not end");
}

void x_uses(struct loc *loc, bool write)
{
	uint8_t bit = (uint8_t)(1u << E.cur->id), all;

	if (likely((write ? loc->writers : loc->readers) & bit))
		return;
	if (E.replaying)
		loc->shared = true;
	if (write)
		loc->writers |= bit;
	else
		loc->readers |= bit;
	if (unlikely(loc->paired)) {
		loc->paired = false;
		x_end_execution(X_RESTART);
	}
	all = loc->readers | loc->writers;
	if (loc->shared || !loc->writers || !(all & (all - 1)))
		return;
	/* The executions so far lack choices at this location: begin again. */
	loc->shared = true;
	x_end_execution(X_RESTART);
}

struct loc *x_enter(const struct x_site *site, const volatile void *p, unsigned size, bool write)
{
	struct loc *loc;

	x_step(site);
	loc = x_loc(p, size);
	if (likely(!E.quiet)) {
		x_uses(loc, write);
		if (loc->shared)
			x_visible();
		else
			x_local();
	}
	x_check_live(p, size);
	return loc;
}

void x_saw(struct loc *loc, const volatile void *p)
{
	struct fiber *f = E.cur;

	if (f->nr_reads == X_MAX_READS)
		f->reads_overflow = true;
	else
		f->reads[f->nr_reads++] = (struct read){ loc, p, x_version(loc) };
}

static struct held *oldest(struct fiber *f, const volatile void *p)
{
	for (int i = 0; i < f->nr_held; i++)
		if (f->held[i].p == p)
			return &f->held[i];
	return NULL;
}

void x_show_held(struct fiber *f, bool show)
{
	for (int i = 0; i < f->nr_held; i++) {
		struct held *h = &f->held[i];
		bool first = oldest(f, h->p) == h;

		if (show && first)
			h->under = x_read_memory(h->p, h->size);
		if (show)
			x_write_memory(h->p, h->size, h->value);
		else if (first)
			x_write_memory(h->p, h->size, h->under);
	}
}

/* What a smaller object is part of keeps the name of every write. */
static void write_loc(const struct fiber *writer, struct loc *loc, volatile void *p, unsigned size,
		      uint64_t value, uint64_t version)
{
	uint64_t old = x_version(loc), index = (uint64_t)(loc - E.locs);
	struct held *above = E.nr_held ? oldest(E.cur, p) : NULL;

	if (above)
		above->under = value;
	else
		x_write_memory(p, size, value);
	E.nr_writes++;
	if (size < 4)
		version = x_mix(old, version);
	if (old)
		E.memory ^= x_mix(index, old);
	E.memory ^= x_mix(index, version);
	loc->version = version;
	loc->epoch = E.epoch;
	/* Nobody waits for what he wrote himself. */
	if (writer == E.cur) {
		E.cur->writes_at_reset++;
		for (int i = 0; i < E.cur->nr_reads; i++)
			if (E.cur->reads[i].loc == loc && E.cur->reads[i].version == old)
				E.cur->reads[i].version = version;
	}
}

/* ---- held stores ---- */

static struct held *newest(struct fiber *f, const volatile void *p, unsigned size)
{
	for (int i = f->nr_held - 1; i >= 0; i--)
		if (f->held[i].p == p) {
			if (f->held[i].size != size)
				x_fail("accesses of %u and %u bytes at one address",
				       f->held[i].size, size);
			return &f->held[i];
		}
	return NULL;
}

/* Whether @earlier has to reach memory before @h. */
static bool must_precede(const struct held *earlier, const struct held *h)
{
	return E.model == X_TSO || h->release || earlier->p == h->p;
}

struct held *x_drainable(struct fiber *f, const volatile void *p, uint32_t step)
{
	for (int i = 0; i < f->nr_held; i++) {
		struct held *h = &f->held[i];

		if (p ? h->p != p : h->step != step)
			continue;
		if (h->draining)
			return NULL;
		for (int j = 0; j < i; j++)
			if (f->held[j].draining && must_precede(&f->held[j], h))
				return NULL;
		return h;
	}
	return NULL;
}

static void drain_only(struct fiber *f, struct held *h)
{
	uint32_t step = h->step;
	struct held done;
	int i;

	h->draining = true;
	E.drains++;
	x_settle(h->p, f);
	E.drains--;
	/* Other stores of this fiber may have been drained meanwhile. */
	for (i = 0; f->held[i].step != step || !f->held[i].draining; i++)
		;
	done = f->held[i];
	if (unlikely(E.trace))
		x_trace("    thread%d's %s:%d: %s reaches memory", f->id - 1, done.site->file,
			done.site->line, done.site->text);
	x_check_live(done.p, done.size);
	f->nr_held--;
	for (; i < f->nr_held; i++)
		f->held[i] = f->held[i + 1];
	write_loc(f, done.loc, done.p, done.size, done.value, done.version);
	E.nr_held--;
}

void x_drain(struct fiber *f, struct held *h)
{
	uint32_t step = h->step;

	for (;;) {
		int i, first = -1;

		for (i = 0; i < f->nr_held && f->held[i].step != step; i++)
			;
		if (i == f->nr_held)
			return;
		for (int j = i - 1; j >= 0; j--)
			if (must_precede(&f->held[j], &f->held[i]))
				first = j;
		drain_only(f, &f->held[first < 0 ? i : first]);
	}
}

void x_drain_all(struct fiber *f)
{
	while (f->nr_held)
		drain_only(f, &f->held[0]);
}

void x_settle(const volatile void *p, const struct fiber *self)
{
	if (likely(!E.nr_held))
		return;
	for (;;) {
		struct held *h;
		struct alt a;

		E.nr_alts = 0;
		x_alt('-', 0, 0);
		for (int i = 0; i < E.nr_fibers; i++)
			if (&E.fiber[i] != self && (h = x_drainable(&E.fiber[i], p, 0)))
				x_alt(E.drains ? 'D' : 'd', h->step, 0);
		a = x_choose();
		if (a.kind == '-')
			return;
		for (int i = 0; i < E.nr_fibers; i++)
			if (&E.fiber[i] != self && (h = x_drainable(&E.fiber[i], NULL, a.arg))) {
				x_drain(&E.fiber[i], h);
				break;
			}
	}
}

/* ---- the steps ---- */

static bool is_rc11(void)
{
	return E.model == X_RC11 && !E.quiet;
}

uint64_t x_load(const struct x_site *site, const volatile void *p, unsigned size, enum x_order order)
{
	struct loc *loc;
	struct held *h;
	uint64_t value;

	if (is_rc11())
		return rc_load(site, p, size, order);
	loc = x_enter(site, p, size, false);

	if (E.quiet || !loc->shared) {
		value = x_read_memory(p, size);
	} else if ((h = newest(E.cur, p, size))) {
		value = h->value;
		x_learn(h->version);
	} else {
		x_settle(p, E.cur);
		value = x_read_memory(p, size);
		x_learn(x_version(loc));
		x_saw(loc, p);
	}
	trace_step("->", value);
	return value;
}

void x_store_here(struct loc *loc, volatile void *p, unsigned size, uint64_t value,
		  enum x_order order)
{
	struct fiber *f = E.cur;
	uint64_t version;
	bool hold;

	if (E.quiet || !loc->shared) {
		x_write_memory(p, size, value);
		return;
	}
	version = x_mix(f->history, 0x5704e);
	x_learn(1);
	hold = E.model == X_TSO ? f->nr_held : newest(f, p, size) || (order == X_RELEASE && f->nr_held);
	if (!hold && E.model != X_SC) {
		E.nr_alts = 0;
		x_alt('-', 0, 0);
		x_alt('h', 0, 1);
		hold = x_choose().kind == 'h';
	}
	if (!hold) {
		x_settle(p, f);
		write_loc(f, loc, p, size, value, version);
		return;
	}
	if (f->nr_held == X_MAX_HELD)
		drain_only(f, &f->held[0]);
	f->held[f->nr_held++] = (struct held){
		.loc = loc, .p = (void *)(uintptr_t)p, .value = value, .version = version,
		.site = f->site, .step = E.step, .size = (uint8_t)size, .release = order == X_RELEASE,
	};
	if (oldest(f, p) == &f->held[f->nr_held - 1])
		f->held[f->nr_held - 1].under = x_read_memory(p, size);
	x_write_memory(p, size, value);
	E.nr_held++;
	trace_step("is held:", value);
}

void x_store(const struct x_site *site, volatile void *p, unsigned size, uint64_t value,
	     enum x_order order)
{
	struct loc *loc;

	if (is_rc11()) {
		rc_store(site, p, size, value, order);
		return;
	}
	loc = x_enter(site, p, size, true);
	value = x_cut(value, size);
	trace_step("<-", value);
	x_store_here(loc, p, size, value, order);
}

/* Read and write in one step, with the buffer drained: nothing comes between. */
uint64_t x_rmw_begin(struct loc *loc, volatile void *p, unsigned size)
{
	if (!E.quiet && loc->shared) {
		x_settle(p, E.cur);
		x_learn(x_version(loc));
	}
	return x_read_memory(p, size);
}

void x_rmw_end(struct loc *loc, volatile void *p, unsigned size, uint64_t value)
{
	if (!E.quiet && loc->shared) {
		write_loc(E.cur, loc, p, size, value, x_mix(E.cur->history, 0x124a7));
	} else {
		x_write_memory(p, size, value);
	}
}

uint64_t x_changed(uint64_t old, uint64_t value, enum x_rmw op)
{
	switch (op) {
	case X_EXCHANGE: return value;
	case X_ADD: return old + value;
	case X_OR: return old | value;
	case X_AND: return old & value;
	}
	return value;
}

uint64_t x_rmw(const struct x_site *site, volatile void *p, unsigned size, uint64_t value,
	       enum x_rmw op, enum x_order order)
{
	struct loc *loc;
	uint64_t old;

	if (is_rc11())
		return rc_rmw(site, p, size, value, op, order);
	loc = x_enter(site, p, size, true);
	x_drain_all(E.cur);
	old = x_rmw_begin(loc, p, size);
	x_rmw_end(loc, p, size, x_cut(x_changed(old, value, op), size));
	trace_step("was", old);
	return old;
}

bool x_compare_exchange(const struct x_site *site, volatile void *p, unsigned size,
			uint64_t *expected, uint64_t desired, enum x_order success, enum x_order failure)
{
	uint64_t old, want = x_cut(*expected, size);
	struct loc *loc;
	struct held *h;

	if (is_rc11())
		return rc_compare_exchange(site, p, size, expected, desired, success, failure);
	loc = x_enter(site, p, size, true);

	/*
	 * On x86 a failing one is a full fence, too; elsewhere it is only a load, and so it is
	 * under PSO: it fails before the buffer is drained.
	 */
	if (E.model == X_PSO && E.cur->nr_held) {
		h = newest(E.cur, p, size);
		if (!h)
			x_settle(p, E.cur);
		old = h ? h->value : x_read_memory(p, size);
		if (old != want) {
			x_learn(h ? h->version : x_version(loc));
			goto failed;
		}
	}
	x_drain_all(E.cur);
	old = x_rmw_begin(loc, p, size);
	if (old != want)
		goto failed;
	x_rmw_end(loc, p, size, x_cut(desired, size));
	trace_step("succeeds, was", old);
	return true;
failed:
	if (!E.quiet && loc->shared)
		x_saw(loc, p);
	trace_step("fails, was", old);
	*expected = old;
	return false;
}

uint64_t x_own_add(const struct x_site *site, uint64_t *counter, uint64_t value, enum x_order order, bool in_parts)
{
	const uint8_t bit = (uint8_t)(1u << E.cur->id);
	struct loc *loc;
	struct held *h;
	uint64_t old;

	if (is_rc11())
		return rc_own_add(site, counter, value, order, in_parts);
	loc = x_enter(site, counter, sizeof(*counter), true);

	if (E.quiet || !loc->shared) {
		old = x_read_memory(counter, sizeof(*counter));
	} else if ((h = newest(E.cur, counter, sizeof(*counter)))) {
		old = h->value;
		x_learn(h->version);
	} else {
		x_settle(counter, E.cur);
		old = x_read_memory(counter, sizeof(*counter));
		x_learn(x_version(loc));
	}
	if (!E.quiet && unlikely(!(loc->owners & bit))) {
		loc->owners |= bit;
		if ((loc->owners & (loc->owners - 1)) && !E.replaying)
			x_end_execution(X_RESTART);
	}
	/* Not atomic towards other threads: where there is another writer, it may come between. */
	x_step(site);
	if (in_parts)
		x_local();
	if (!E.quiet && (E.replaying || (loc->owners & (loc->owners - 1)))) {
		E.cur->signals_blocked++;
		x_visible();
		E.cur->signals_blocked--;
		x_check_live(counter, sizeof(*counter));
	}
	trace_step("was", old);
	x_store_here(loc, counter, sizeof(*counter), old + value, order);
	return old;
}

void x_fence(const struct x_site *site)
{
	if (is_rc11()) {
		rc_fence_step(site);
		return;
	}
	x_step(site);
	if (E.quiet)
		return;
	if (!E.cur->nr_held) {
		x_local();
		return;
	}
	x_visible();
	x_drain_all(E.cur);
	x_learn(2);
	trace_step("", 0);
}
