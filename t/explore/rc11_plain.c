/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Plain accesses under RC11: data races, and uses of freed memory, found by what happens before.
 *
 * The library and the scenarios are compiled with the compiler's instrumentation for ThreadSanitizer, and the hooks that
 * it calls are here.  Of each byte it is known when each thread last read and wrote it, plainly and by atomics.  Two
 * accesses of which one is a write and one is plain race unless one happens before the other; freeing is a write.  A
 * race is found in whatever order its accesses come, so that plain accesses are no scheduling points.
 *
 * What a fiber does to its own stack is not checked, since frames come and go there.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "rc11.h"

enum { READS, WRITES, ATOMIC_READS, ATOMIC_WRITES, KINDS };

struct cell {
	uint32_t execution;
	uint8_t users, plain_users;     /* threads; those with plain accesses */
	uint16_t when[KINDS][X_MAX_FIBERS];
};

static X_ENGINE struct cell *cells;

void rc_plain_init(void)
{
	cells = mmap(NULL, (X_REGION_BYTES + E.statics_bytes) * sizeof(*cells), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cells == MAP_FAILED)
		abort();
}

/* NULL: it is not the program's own. */
static struct cell *cell_of(const volatile void *p)
{
	size_t offset = (size_t)((const volatile char *)p - E.region);

	if (likely(offset < X_REGION_BYTES))
		return &cells[offset];
	offset = (size_t)((const volatile char *)p - E.statics);
	return offset < E.statics_bytes ? &cells[X_REGION_BYTES + offset] : NULL;
}

static const char *const names[] = {
	[READS] = "a plain load", [WRITES] = "a plain store", [ATOMIC_READS] = "a load", [ATOMIC_WRITES] = "a store",
};

static void check(const struct cell *c, int kind, const char *mine)
{
	const struct rc_thread *t = RC_MINE;

	for (int i = 1; i < E.nr_fibers; i++)
		if (i != E.cur->id && unlikely(c->when[kind][i] > t->now.clock[i]))
			x_fail("a data race: %s after %s:%d, beside %s of thread %d", mine,
			       E.cur->site->file, E.cur->site->line, names[kind], i - 1);
}

static void note(struct cell *c, int kind)
{
	if (unlikely(c->execution != E.epoch)) {
		memset(c, 0, sizeof(*c));
		c->execution = E.epoch;
	}
	c->users |= (uint8_t)(1u << E.cur->id);
	if (kind == READS || kind == WRITES)
		c->plain_users |= (uint8_t)(1u << E.cur->id);
	c->when[kind][E.cur->id] = RC_MINE->now.clock[E.cur->id];
}

static bool on_own_stack(const volatile void *p)
{
	size_t offset = (size_t)((const volatile char *)p - E.region);

	return offset / X_FIBER_BYTES == E.cur->id && offset % X_FIBER_BYTES >= X_ARENA_BYTES;
}

void rc_atomic_access(const volatile void *p, unsigned size, bool write)
{
	struct cell *c = cell_of(p);

	if (!c || on_own_stack(p))
		return;
	for (; size--; c++) {
		if (unlikely(c->execution == E.epoch && c->plain_users & ~(1u << E.cur->id))) {
			check(c, WRITES, write ? "a store" : "a load");
			if (write)
				check(c, READS, "a store");
		}
		note(c, write ? ATOMIC_WRITES : ATOMIC_READS);
	}
}

static void check_plain(const struct cell *c, bool write, const char *what)
{
	if (c->execution != E.epoch || likely(!(c->users & ~(1u << E.cur->id))))
		return;
	check(c, WRITES, what);
	check(c, ATOMIC_WRITES, what);
	if (!write)
		return;
	check(c, READS, what);
	check(c, ATOMIC_READS, what);
}

/* A plain write of a location with a history begins a new one. */
static void plain_messages(const volatile void *p, size_t bytes)
{
	uintptr_t start = (uintptr_t)p & ~(uintptr_t)3;

	for (uintptr_t at = start; at < (uintptr_t)p + bytes; at += 4) {
		struct loc *loc = x_loc((const void *)at, 4);

		if (loc->history && RC.loc[loc->history].nr)
			rc_plain_message(loc->history);
	}
}

void rc_plain_access(const volatile void *p, size_t bytes, bool write)
{
	struct cell *c = cell_of(p);

	if (!c)
		return;
	x_check_live(p, (unsigned)bytes);
	for (uintptr_t at = (uintptr_t)p & ~(uintptr_t)3; at < (uintptr_t)p + bytes; at += 4)
		x_uses(x_loc((const void *)at, 4), write);
	if (!on_own_stack(p))
		for (size_t i = 0; i < bytes; i++, c++) {
			check_plain(c, write, write ? "a plain store" : "a plain load");
			note(c, write ? WRITES : READS);
		}
	if (write)
		plain_messages(p, bytes);
}

void rc_check_free(const volatile void *p, size_t bytes)
{
	struct cell *c = cell_of(p);

	for (size_t i = 0; i < bytes; i++)
		check_plain(&c[i], true, "freeing");
}

/* ---- what the compiler calls ---- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void hook(const void *p, size_t bytes, bool write)
{
	if (E.model == X_RC11 && E.cur && !E.quiet)
		rc_plain_access(p, bytes, write);
}

#define HOOKS(n) \
	void __tsan_read##n(void *p); \
	void __tsan_write##n(void *p); \
	void __tsan_unaligned_read##n(void *p); \
	void __tsan_unaligned_write##n(void *p); \
	void __tsan_read##n(void *p) { hook(p, n, false); } \
	void __tsan_write##n(void *p) { hook(p, n, true); } \
	void __tsan_unaligned_read##n(void *p) { hook(p, n, false); } \
	void __tsan_unaligned_write##n(void *p) { hook(p, n, true); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, size_t bytes);
void __tsan_write_range(void *p, size_t bytes);
void __tsan_init(void) { }
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) { }
void __tsan_read_range(void *p, size_t bytes) { hook(p, bytes, false); }
void __tsan_write_range(void *p, size_t bytes) { hook(p, bytes, true); }
#endif
