/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Stands in for src/port.h: every access, fence, wait and allocation of the library becomes a
 * step of the explorer.
 *
 * It is included from the compiler's command line, before the source file.  The guard is that
 * of src/port.h, so that the source's own #include "port.h" finds nothing more to do.
 */
#ifndef MIRROR_PORT_H
#define MIRROR_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "explore.h"
#include "mutant.h"

/* ---- atomics ---- */

enum x_order { X_RELAXED, X_ACQUIRE, X_RELEASE, X_ACQ_REL };
enum x_rmw { X_EXCHANGE, X_ADD, X_OR, X_AND };

uint64_t x_load(const struct x_site *site, const volatile void *p, unsigned size, enum x_order order);
void x_store(const struct x_site *site, volatile void *p, unsigned size, uint64_t value,
	     enum x_order order);
uint64_t x_rmw(const struct x_site *site, volatile void *p, unsigned size, uint64_t value,
	       enum x_rmw op, enum x_order order);
bool x_compare_exchange(const struct x_site *site, volatile void *p, unsigned size,
			uint64_t *expected, uint64_t desired, enum x_order success, enum x_order failure);
/* @in_parts: a handler may come between the load and the store. */
uint64_t x_own_add(const struct x_site *site, uint64_t *counter, uint64_t value, enum x_order order, bool in_parts);
void x_fence(const struct x_site *site);

/* The comma drops qualifiers, so that a const object can be loaded into a variable. */
#define X_TYPE(p) __typeof__(((void)0, *(p)))
#define X_BITS(p, v) ((void)sizeof(*(p) = (v)), (uint64_t)(uintptr_t)(v))
#define X_LOAD(site, p, order) ((X_TYPE(p))(uintptr_t)x_load(site, p, sizeof(*(p)), order))
#define X_STORE(site, p, v, order) x_store(site, p, sizeof(*(p)), X_BITS(p, v), order)
#define X_RMW(site, p, v, op, order) \
	({ (X_TYPE(p))(uintptr_t)x_rmw(site, p, sizeof(*(p)), (uint64_t)(uintptr_t)(v), op, order); })

#define load_relaxed(p)     X_LOAD(X_SITE("load_relaxed(" #p ")"), p, X_RELAXED)
#define load_acquire(p)     X_LOAD(X_SITE("load_acquire(" #p ")"), p, X_ACQUIRE)
#define store_relaxed(p, v) X_STORE(X_SITE("store_relaxed(" #p ", " #v ")"), p, v, X_RELAXED)
#define store_release(p, v) X_STORE(X_SITE("store_release(" #p ", " #v ")"), p, v, X_RELEASE)
#define exchange(p, v) \
	((void)sizeof(*(p) = (v)), X_RMW(X_SITE("exchange(" #p ", " #v ")"), p, v, X_EXCHANGE, X_ACQ_REL))
#define fetch_add(p, v)     X_RMW(X_SITE("fetch_add(" #p ", " #v ")"), p, v, X_ADD, X_ACQ_REL)
#define fetch_or(p, v)      X_RMW(X_SITE("fetch_or(" #p ", " #v ")"), p, v, X_OR, X_ACQ_REL)
#define fetch_and(p, v)     X_RMW(X_SITE("fetch_and(" #p ", " #v ")"), p, v, X_AND, X_ACQ_REL)
#define compare_exchange(p, expected, desired)         X_CAS(p, expected, desired, X_ACQ_REL, X_ACQUIRE)
#define X_CAS(p, expected, desired, success, failure) \
	({ \
		__typeof__(expected) x_expected_ = (expected); \
		uint64_t x_old_ = (uint64_t)(uintptr_t)*x_expected_; \
		bool x_done_ = x_compare_exchange( \
			X_SITE("compare_exchange(" #p ", " #expected ", " #desired ")"), p, \
			sizeof(*(p)), &x_old_, X_BITS(p, desired), success, failure); \
		*x_expected_ = (X_TYPE(p))(uintptr_t)x_old_; \
		x_done_; \
	})

#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define X_OWN_ORDER (MUTANT(UNLOCK_NO_RELEASE) ? X_RELAXED : X_RELEASE)
#define own_inc(counter) \
	((void)x_own_add(X_SITE("own_inc(" #counter ")"), counter, 1, X_OWN_ORDER, MUTANT(OWN_IN_PARTS)))
#define own_add(counter, n) \
	((void)x_own_add(X_SITE("own_add(" #counter ")"), counter, n, X_OWN_ORDER, MUTANT(OWN_IN_PARTS)))
#define own_dec(counter) \
	((int64_t)x_own_add(X_SITE("own_dec(" #counter ")"), counter, UINT64_MAX, X_OWN_ORDER, \
			    MUTANT(OWN_IN_PARTS)) <= 0)
#define own_enter(counter) \
	((void)x_own_add(X_SITE("own_enter(" #counter ")"), counter, 1, X_RELAXED, true))
#define own_leave(counter) \
	((int64_t)x_own_add(X_SITE("own_leave(" #counter ")"), counter, UINT64_MAX, X_OWN_ORDER, true) <= 0)

#define add_if_below(mask, p, v) (2 * (mask) + (load_relaxed(p) < (v)))
#define add_if_above(mask, p, v) (2 * (mask) + (load_relaxed(p) > (v)))

static inline uint64_t port_overlapping(const int32_t *first, const int32_t *last, int nr, int32_t min, int32_t max)
{
	uint64_t mask = 0;

	for (int i = 0; i < nr; i++)
		mask |= (uint64_t)((load_relaxed(&first[i]) <= max) & (min <= load_relaxed(&last[i]))) << i;
	return mask;
}

/* ---- fences ---- */

#define fence_compiler() ((void)0)
#define fence_full() x_fence(X_SITE("fence_full()"))
#define fence_light(membarrier) ((membarrier) ? (void)0 : x_fence(X_SITE("fence_light()")))

int port_membarrier_register(void);
#define port_membarrier() x_membarrier(X_SITE("port_membarrier()"))
int x_membarrier(const struct x_site *site);
#define fence_heavy(membarrier) \
	x_fence_heavy(X_SITE("fence_heavy(" #membarrier ")"), membarrier)
int x_fence_heavy(const struct x_site *site, bool membarrier);

/* ---- sleep and wake ---- */

#define PORT_FOREVER UINT64_MAX

#define port_futex_wait(word, expect, deadline_ns) \
	x_futex_wait(X_SITE("port_futex_wait(" #word ")"), word, expect, deadline_ns)
#define port_futex_wake(word, count) \
	x_futex_wake(X_SITE("port_futex_wake(" #word ")"), word, count)
int x_futex_wait(const struct x_site *site, const uint32_t *word, uint32_t expect,
		 uint64_t deadline_ns);
void x_futex_wake(const struct x_site *site, const uint32_t *word, int count);

uint64_t port_now_ns(void);
static inline uint64_t port_deadline(uint64_t timeout_ns)
{
	uint64_t now = port_now_ns();

	return timeout_ns > PORT_FOREVER - now ? PORT_FOREVER : now + timeout_ns;
}

#define port_prefetch(p) ((void)(p))
#define port_relax() x_relax(X_SITE("port_relax()"))
void x_relax(const struct x_site *site);
#define port_spin(deadline_ns) x_spin(X_SITE("port_spin(" #deadline_ns ")"), deadline_ns)
bool x_spin(const struct x_site *site, uint64_t deadline_ns);

/* ---- locks ---- */

/* 0: free, else the holder's number and 1. */
struct port_mutex {
	uint32_t holder;
};
#define PORT_MUTEX_INITIALIZER { 0 }

static inline void port_mutex_init(struct port_mutex *m)
{
	m->holder = 0;
}

#define port_mutex_is_wanted(m) ((void)(m), false)
#define port_mutex_destroy(m)  x_mutex_destroy(X_SITE("port_mutex_destroy(" #m ")"), m)
#define port_mutex_lock(m)     x_mutex_lock(X_SITE("port_mutex_lock(" #m ")"), m)
#define port_mutex_trylock(m)  x_mutex_trylock(X_SITE("port_mutex_trylock(" #m ")"), m)
#define port_mutex_unlock(m)   x_mutex_unlock(X_SITE("port_mutex_unlock(" #m ")"), m)
void x_mutex_destroy(const struct x_site *site, struct port_mutex *m);
void x_mutex_lock(const struct x_site *site, struct port_mutex *m);
bool x_mutex_trylock(const struct x_site *site, struct port_mutex *m);
void x_mutex_unlock(const struct x_site *site, struct port_mutex *m);

/* ---- memory ---- */

#define port_alloc(bytes)         x_alloc(X_SITE("port_alloc(" #bytes ")"), bytes, false)
#define port_free(memory)         x_free(X_SITE("port_free(" #memory ")"), memory, 0)
#define port_map(bytes)           x_alloc(X_SITE("port_map(" #bytes ")"), bytes, true)
#define port_unmap(memory, bytes) x_free(X_SITE("port_unmap(" #memory ")"), memory, bytes)
#define port_map_sparse(bytes, used) port_map(bytes)
#define port_discard(memory, bytes) x_discard(X_SITE("port_discard(" #memory ")"), memory, bytes)
#define PORT_PAGE_BYTES 64u
void *x_alloc(const struct x_site *site, size_t bytes, bool pages);
void x_discard(const struct x_site *site, void *memory, size_t bytes);
void x_free(const struct x_site *site, void *memory, size_t pages_bytes);

/* ---- threads ---- */

struct port_thread {
	int fiber;
};

#define port_thread_start(thread, run, arg) \
	x_thread_start(X_SITE("port_thread_start(" #run ")"), thread, run, arg)
#define port_thread_join(thread) x_thread_join(X_SITE("port_thread_join(" #thread ")"), thread)
int x_thread_start(const struct x_site *site, struct port_thread *thread, void *(*run)(void *arg),
		   void *arg);
void x_thread_join(const struct x_site *site, struct port_thread *thread);

int port_tid(void);
int port_pid(void);
#define port_thread_lives(pid, tid) x_thread_lives(X_SITE("port_thread_lives(" #tid ")"), tid)
bool x_thread_lives(const struct x_site *site, int tid);

typedef int port_signals;
void port_signals_block(port_signals *saved);
void port_signals_restore(const port_signals *saved);

/* Threads are not cancelled here. */
#define port_cancel_disable() 0
#define port_cancel_restore(saved) ((void)(saved))

/* Forking is not explored. */
int port_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
#define port_fork_mark() ((uint32_t *)NULL)

/* A signal may come before each use of the table, so that these are steps too. */
#define port_my_slots() (x_my_slots(X_SITE("port_my_slots()")) ?: usrcu__slots)
#define port_install_my_slots(expected, table) \
	x_install_my_slots(X_SITE("port_install_my_slots(" #table ")"), expected, table)
extern __thread void **usrcu__slots __attribute__((tls_model("initial-exec")));
void **x_my_slots(const struct x_site *site);
bool x_install_my_slots(const struct x_site *site, void **expected, void **table);

uint32_t *port_fallback_sections(void);
uint32_t *port_fallback_gate(void);
uint32_t *port_first_generation(void);
const void *port_self(void);
uint32_t *port_walks(void);

/*
 * ---- the read side of usrcu ----
 *
 * Weak, because this file comes before a source can ask for the definitions; whichever copy the
 * linker keeps is the same.
 */

#define USRCU__PORT
#define USRCU__INLINE __attribute__((weak))
#define usrcu__own_inc(counter) own_inc(counter)
#define usrcu__own_dec(counter) own_dec(counter)
#define usrcu__own_enter(counter) own_enter(counter)
#define usrcu__own_leave(counter) own_leave(counter)
#define usrcu__load(p) load_relaxed(p)
#define usrcu__fence_light() fence_compiler()
#define usrcu__my_slots() port_my_slots()

/* ---- ends ---- */

#define port_say(text) ((void)(text))
void port_fatal(const char *function, const char *rule, const void *object)
	__attribute__((noreturn, cold));

/* Assertions are always compiled in here. */
#define port_assert(condition) \
	((condition) ? (void)0 : port_fatal(__func__, "assertion failed: " #condition, NULL))

#endif /* MIRROR_PORT_H */
