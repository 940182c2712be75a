/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The one door to the machine: atomics, fences, sleep and wake, memory, threads, time.
 *
 * No other file of the library touches these.  t/explore/port.h replaces this header, and so
 * the schedule explorer runs the library's own sources.
 *
 * All atomics work on plain integers and pointers, because they live in structures that C++
 * programs embed.  Names say the order: relaxed, acquire, release; a read-modify-write without one is
 * an acquire and a release.  That is no fence: a later relaxed load may come first (on arm64 without
 * LSE it does).  Where a fence is needed there is one.
 */
#ifndef MIRROR_PORT_H
#define MIRROR_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifndef __EXCEPTIONS
#error "libmirror is compiled with -fexceptions: an exception in a callback passes through it, and locks are released"
#endif

/* gcc and clang say each in its own way that ThreadSanitizer watches. */
#if defined(__SANITIZE_THREAD__)
#define PORT_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PORT_TSAN
#endif
#endif

/* Counters of 64 bits, 256 KiB of addresses for each thread, system calls that have these numbers there alone. */
#if UINTPTR_MAX < UINT64_MAX
#error "libmirror needs a machine of 64 bits"
#endif

#include "names.h"

/* ---- atomics ---- */

#define load_relaxed(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define exchange(p, v)      __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL)
#define fetch_add(p, v)     __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL)
#define fetch_or(p, v)      __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL)
#define fetch_and(p, v)     __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL)

/* On failure *expected receives what was there.  Strong; an acquire and a release, an acquire on failure. */
#define compare_exchange(p, expected, desired) \
	__atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

#define unlikely(condition) __builtin_expect(!!(condition), 0)

/*
 * A counter that one thread alone writes, its signal handlers included; each is a release, except enter.
 * inc, add, dec: a handler in between may leave the counter changed, so that they are indivisible towards it.
 * enter, leave: each handler leaves the counter as it found it, so that they may be a load, an addition and a store
 * (12 of usrcu.c).
 *
 * On x86-64 all are one instruction, not a locked one.  arm64 has no such: inc, add and dec are a pair of exclusives,
 * which begins again after a handler, because the return from an exception clears the monitor.  A compiler that may use
 * LSE (armv8.1) makes of the atomic an instruction that returns the old value.  One that returns nothing is done far
 * away by some CPUs: 45 ns (linux-arm-kernel, "Overhead of arm64 LSE per-CPU atomics?", November 2025).
 */
#define OWN_INLINE extern inline __attribute__((__gnu_inline__, __always_inline__))
#if defined(__x86_64__) && !defined(PORT_TSAN)
OWN_INLINE void own_inc(uint64_t *counter)
{
	__asm__ volatile("addq $1, %0" : "+m"(*counter) : : "memory", "cc");
}

OWN_INLINE void own_add(uint64_t *counter, uint64_t n)
{
	__asm__ volatile("addq %1, %0" : "+m"(*counter) : "er"(n) : "memory", "cc");
}

/* own_dec, own_leave: true if the counter is below zero then. */
OWN_INLINE bool own_dec(uint64_t *counter)
{
	bool below_zero;

	__asm__ volatile("subq $1, %0" : "+m"(*counter), "=@ccs"(below_zero) : : "memory");
	return below_zero;
}

OWN_INLINE void own_enter(uint64_t *counter)
{
	own_inc(counter);
}

OWN_INLINE bool own_leave(uint64_t *counter)
{
	return own_dec(counter);
}
#else
/* The new value. */
#if defined(__aarch64__) && !defined(__ARM_FEATURE_ATOMICS) && !defined(PORT_TSAN)
OWN_INLINE uint64_t own_plus(uint64_t *counter, uint64_t n)
{
	uint64_t value;
	uint32_t failed;

	__asm__ volatile("0:\tldxr %0, %2\n\tadd %0, %0, %3\n\tstlxr %w1, %0, %2\n\tcbnz %w1, 0b"
			 : "=&r"(value), "=&r"(failed), "+Q"(*counter) : "rIJ"(n) : "memory");
	return value;
}
#else
OWN_INLINE uint64_t own_plus(uint64_t *counter, uint64_t n)
{
	return __atomic_add_fetch(counter, n, __ATOMIC_RELEASE);
}
#endif

OWN_INLINE void own_inc(uint64_t *counter)
{
	(void)own_plus(counter, 1);
}

OWN_INLINE void own_add(uint64_t *counter, uint64_t n)
{
	(void)own_plus(counter, n);
}

OWN_INLINE bool own_dec(uint64_t *counter)
{
	return (int64_t)own_plus(counter, -(uint64_t)1) < 0;
}

OWN_INLINE void own_enter(uint64_t *counter)
{
	store_relaxed(counter, load_relaxed(counter) + 1);
}

OWN_INLINE bool own_leave(uint64_t *counter)
{
	uint64_t value = load_relaxed(counter) - 1;

	store_release(counter, value);
	return (int64_t)value < 0;
}
#endif

/*
 * Comparisons without a branch, for masks: @mask twice, and 1 where *@p is below @v, or above it.
 * The load is a relaxed one.
 */
#if defined(__x86_64__) && !defined(PORT_TSAN)
OWN_INLINE uint32_t add_if_below(uint32_t mask, const uint64_t *p, uint64_t v)
{
	__asm__("cmpq %2, %1\n\tadcl %0, %0" : "+r"(mask) : "m"(*(const volatile uint64_t *)p), "r"(v) : "cc");
	return mask;
}

OWN_INLINE uint32_t add_if_above(uint32_t mask, const uint64_t *p, uint64_t v)
{
	__asm__("cmpq %1, %2\n\tadcl %0, %0" : "+r"(mask) : "m"(*(const volatile uint64_t *)p), "r"(v) : "cc");
	return mask;
}
#else
OWN_INLINE uint32_t add_if_below(uint32_t mask, const uint64_t *p, uint64_t v)
{
	return 2 * mask + (load_relaxed(p) < v);
}

OWN_INLINE uint32_t add_if_above(uint32_t mask, const uint64_t *p, uint64_t v)
{
	return 2 * mask + (load_relaxed(p) > v);
}
#endif

/*
 * A bit for each i < @nr, a multiple of 4, 64 at most, where first[i] <= @max and @min <= last[i].  All loads are
 * relaxed ones: each lane of a vector is loaded whole.
 */
#if defined(__SSE2__) && !defined(PORT_TSAN)
OWN_INLINE uint64_t port_overlapping(const int32_t *first, const int32_t *last, int nr, int32_t min, int32_t max)
{
	const volatile __m128i *firsts = (const volatile __m128i *)first, *lasts = (const volatile __m128i *)last;
	__m128i mins = _mm_set1_epi32(min), maxs = _mm_set1_epi32(max), outside;
	uint64_t mask = 0;

#pragma GCC unroll 16
	for (int i = 0; i < nr / 4; i++) {
		outside = _mm_or_si128(_mm_cmpgt_epi32(firsts[i], maxs), _mm_cmpgt_epi32(mins, lasts[i]));
		mask |= (uint64_t)(unsigned)_mm_movemask_ps(_mm_castsi128_ps(outside)) << 4 * i;
	}
	return ~mask & ~(uint64_t)0 >> (64 - nr);
}
#else
OWN_INLINE uint64_t port_overlapping(const int32_t *first, const int32_t *last, int nr, int32_t min, int32_t max)
{
	uint64_t mask = 0;

	for (int i = 0; i < nr; i++)
		mask |= (uint64_t)((load_relaxed(&first[i]) <= max) & (min <= load_relaxed(&last[i]))) << i;
	return mask;
}
#endif

/*
 * ---- fences ----
 *
 * A light fence pairs with a heavy one.  With membarrier(2) the light one only stops the
 * compiler, and the heavy one makes every running thread of the process execute a full fence;
 * without it both are full fences.
 */
#define fence_compiler() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#ifdef PORT_TSAN
/* ThreadSanitizer knows no fences: a full read-modify-write of one word stands for each. */
extern int port_tsan_fence;
#define fence_full() ((void)__atomic_fetch_add(&port_tsan_fence, 1, __ATOMIC_SEQ_CST))
#else
#define fence_full() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

static inline void fence_light(bool membarrier)
{
	if (membarrier)
		fence_compiler();
	else
		fence_full();
}

/* 0 where membarrier(2) can be used from now on, else -errno. */
int port_membarrier_register(void);
/* 0, or -errno and nothing is ordered. */
int port_membarrier(void);

static inline int fence_heavy(bool membarrier)
{
	fence_full();
	return membarrier ? port_membarrier() : 0;
}

/* ---- sleep and wake ---- */

#define PORT_FOREVER UINT64_MAX

/*
 * Sleep while *word == expect, until a wake, a signal, or @deadline_ns of port_now_ns().
 * Return 0 (look again) or -ETIMEDOUT.  Not a cancellation point.
 */
int port_futex_wait(const uint32_t *word, uint32_t expect, uint64_t deadline_ns);
/* Wake at most @count sleepers. */
void port_futex_wake(const uint32_t *word, int count);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t port_now_ns(void);
/* The point of time @timeout_ns from now, PORT_FOREVER where that is past the end of time. */
static inline uint64_t port_deadline(uint64_t timeout_ns)
{
	uint64_t now = port_now_ns();

	return timeout_ns > PORT_FOREVER - now ? PORT_FOREVER : now + timeout_ns;
}

/* One turn of a loop that waits for another thread to write. */
static inline void port_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" : : : "memory");
#else
	fence_compiler();
#endif
}

/* The same in a loop that gives up: false once @deadline_ns has passed. */
static inline bool port_spin(uint64_t deadline_ns)
{
	port_relax();
	return port_now_ns() < deadline_ns;
}

/* The cache line of @p will be read soon; @p may be anything. */
#define port_prefetch(p) __builtin_prefetch(p)

/* ---- locks for the slow paths; held for short, bounded stretches, never across a callback ---- */

struct port_mutex {
	pthread_mutex_t mutex;
	uint32_t waiting;       /* threads that look whether it is free, or sleep on it; read-modify-writes */
};
#define PORT_MUTEX_INITIALIZER { PTHREAD_MUTEX_INITIALIZER, 0 }

static inline void port_mutex_init(struct port_mutex *m)
{
	pthread_mutex_init(&m->mutex, NULL);
	m->waiting = 0;
}

static inline void port_mutex_destroy(struct port_mutex *m)
{
	pthread_mutex_destroy(&m->mutex);
}

static inline void port_mutex_lock(struct port_mutex *m)
{
	/* Look before sleep: the lock is mostly free sooner than a thread can fall asleep and wake up. */
	const uint64_t looks_ns = 20000;
	uint64_t deadline_ns;

	if (pthread_mutex_trylock(&m->mutex) == 0)
		return;
	fetch_add(&m->waiting, 1);
	deadline_ns = port_deadline(looks_ns);
	while (pthread_mutex_trylock(&m->mutex))
		if (!port_spin(deadline_ns)) {
			pthread_mutex_lock(&m->mutex);
			break;
		}
	fetch_add(&m->waiting, -1u);
}

/* Whether another thread looks for it, or sleeps. */
static inline bool port_mutex_is_wanted(const struct port_mutex *m)
{
	return load_relaxed(&m->waiting) != 0;
}

static inline bool port_mutex_trylock(struct port_mutex *m)
{
	return pthread_mutex_trylock(&m->mutex) == 0;
}

static inline void port_mutex_unlock(struct port_mutex *m)
{
	pthread_mutex_unlock(&m->mutex);
}

/* ---- memory ---- */

/* Zeroed, aligned to a cache line; NULL where there is none.  Not for signal handlers. */
void *port_alloc(size_t bytes);
void port_free(void *memory);
/*
 * Zeroed pages straight from the kernel: safe in signal handlers and under hooks of malloc and
 * mmap.  Pages never touched cost nothing.
 */
void *port_map(size_t bytes);
void port_unmap(void *memory, size_t bytes);
/* The same, of which mostly the first @used bytes will be touched: mlockall(2) keeps no more of it in memory. */
void *port_map_sparse(size_t bytes, size_t used);
/* Zero pages of port_map, and give their memory back to the system. */
void port_discard(void *memory, size_t bytes);

/* All that is mapped is a multiple of this. */
#define PORT_PAGE_BYTES 4096u

/* ---- threads ---- */

struct port_thread {
	pthread_t thread;
};

/* 0 or -errno.  In the new thread all signals are blocked but those that a fault of its own raises. */
int port_thread_start(struct port_thread *thread, void *(*run)(void *arg), void *arg);
/* Not a cancellation point. */
void port_thread_join(struct port_thread *thread);

/* The calling thread's number, as other tools show it; its process's. */
int port_tid(void);
int port_pid(void);
/* Whether the thread with that number in process @pid lives, as far as the kernel tells. */
bool port_thread_lives(int pid, int tid);

/* From block to restore no signal handler runs in this thread, but those for faults of its own. */
typedef sigset_t port_signals;
void port_signals_block(port_signals *saved);
void port_signals_restore(const port_signals *saved);

/* From disable to restore pthread_cancel waits. */
static inline int port_cancel_disable(void)
{
	int saved;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &saved);
	return saved;
}

static inline void port_cancel_restore(int saved)
{
	pthread_setcancelstate(saved, NULL);
}

/* Have the hooks run around each fork, from now on.  0 or -ENOMEM. */
int port_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
/* A word on a page of its own that is 0 in the child of any fork (MADV_WIPEONFORK); NULL: the kernel has no such. */
uint32_t *port_fork_mark(void);

/* ./configure --with-tls-model says how thread-local variables are reached. */
#define PORT_TLS_MODEL __attribute__((tls_model(MIRROR_TLS_MODEL)))
/* That of the one which programs reach too: no program can reach another library's in the local-dynamic way. */
#ifdef USRCU_DYNAMIC_TLS
#define PORT_SLOTS_TLS_MODEL __attribute__((tls_model("global-dynamic")))
#else
#define PORT_SLOTS_TLS_MODEL __attribute__((tls_model("initial-exec")))
#endif

/* This thread's table of slots (slots.h). */
extern __thread void **usrcu__slots PORT_SLOTS_TLS_MODEL __attribute__((visibility("default")));
#define port_my_slots() usrcu__slots
/* Whether it was @expected: a signal handler may have been here. */
static inline bool port_install_my_slots(void **expected, void **table)
{
	return compare_exchange(&usrcu__slots, &expected, table);
}

/* How many sections of this thread, of all domains, are in no slot of its own because there was no memory for one. */
extern __thread uint32_t port_fallback_count PORT_TLS_MODEL;
#define port_fallback_sections() (&port_fallback_count)
/* In how many sections of the gate this thread is, counted there because there was no memory for a record. */
extern __thread uint32_t port_fallback_gate_count PORT_TLS_MODEL;
#define port_fallback_gate() (&port_fallback_gate_count)
/* process.c: the generation in which this thread was named first; 0: it has no name yet. */
extern __thread uint32_t port_first_generation_count PORT_TLS_MODEL;
#define port_first_generation() (&port_first_generation_count)
/* The address of that names the calling thread; two threads that live have different ones. */
#define port_self() ((const void *)&port_first_generation_count)
/* How many walks of mirror lists, of whatever lists, this thread is in. */
extern __thread uint32_t port_walks_count PORT_TLS_MODEL;
#define port_walks() (&port_walks_count)

/*
 * ---- the read side of usrcu, as <mirror/usrcu_inline.h> wants it ----
 *
 * usrcu.c defines USRCU__DEFINE, and so has the functions themselves.
 */
#define USRCU__PORT
#ifdef USRCU__DEFINE
#define USRCU__INLINE
#else
#define USRCU__INLINE extern inline __attribute__((__gnu_inline__))
#endif
#define usrcu__own_inc(counter) own_inc(counter)
#define usrcu__own_dec(counter) own_dec(counter)
#define usrcu__own_enter(counter) own_enter(counter)
#define usrcu__own_leave(counter) own_leave(counter)
#define usrcu__load(p) load_relaxed(p)
#define usrcu__fence_light() fence_compiler()
#define usrcu__my_slots() port_my_slots()

/* ---- ends ---- */

/* Write a line to standard error, without stdio; errno is kept, and SIGPIPE is not raised. */
void port_say(const char *text);
/* A rule of the library was broken in a way that would corrupt memory: say so and stop. */
void port_fatal(const char *function, const char *rule, const void *object)
	__attribute__((noreturn, cold));

#ifdef MIRROR_DEBUG
#define port_assert(condition) \
	((condition) ? (void)0 : port_fatal(__func__, "assertion failed: " #condition, NULL))
#else
#define port_assert(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif /* MIRROR_PORT_H */
