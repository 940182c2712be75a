/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Stands before src/port.h, and counts what goes through it: what the benchmark counts by instruction is
 * compared with this (t/bench/counts_agree).
 *
 * It is included from the compiler's command line.  src/port.h's own functions and macros do the work; an
 * uncontended mutex of the C library is one read-modify-write to lock and one to unlock, a
 * change of the cancellation state is one, and none where it is as wanted already.
 */
#ifndef COUNTED_PORT_H
#define COUNTED_PORT_H

#include "../../src/port.h"

struct counted {
	uint64_t rmws, fences, membarriers, futexes;
};

extern __thread struct counted counted;

#define COUNTED(what, call) (counted.what++, call)

#undef exchange
#undef fetch_add
#undef fetch_or
#undef fetch_and
#undef compare_exchange
#define exchange(p, v)  COUNTED(rmws, __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define fetch_add(p, v) COUNTED(rmws, __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))
#define fetch_or(p, v)  COUNTED(rmws, __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))
#define fetch_and(p, v) COUNTED(rmws, __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))
#define compare_exchange(p, expected, desired) \
	COUNTED(rmws, __atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))

#undef fence_full
#define fence_full() COUNTED(fences, __atomic_thread_fence(__ATOMIC_SEQ_CST))
#define fence_light(membarrier) ((membarrier) ? fence_compiler() : fence_full())
#define fence_heavy(membarrier) (fence_full(), (membarrier) ? port_membarrier() : 0)
#define port_membarrier() COUNTED(membarriers, (port_membarrier)())

#define port_futex_wait(word, expect, deadline_ns) COUNTED(futexes, (port_futex_wait)(word, expect, deadline_ns))
#define port_futex_wake(word, count)               COUNTED(futexes, (port_futex_wake)(word, count))

#define port_mutex_lock(m)    COUNTED(rmws, (port_mutex_lock)(m))
#define port_mutex_trylock(m) COUNTED(rmws, (port_mutex_trylock)(m))
#define port_mutex_unlock(m)  COUNTED(rmws, (port_mutex_unlock)(m))

static inline int counted_cancel_disable(void)
{
	int saved = port_cancel_disable();

	counted.rmws += saved != PTHREAD_CANCEL_DISABLE;
	return saved;
}

static inline void counted_cancel_restore(int saved)
{
	counted.rmws += saved != PTHREAD_CANCEL_DISABLE;
	port_cancel_restore(saved);
}

#define port_cancel_disable() counted_cancel_disable()
#define port_cancel_restore(saved) counted_cancel_restore(saved)

/* As in t/explore/port.h: this comes before a source can ask for the definitions. */
#undef USRCU__INLINE
#define USRCU__INLINE __attribute__((weak))

#endif /* COUNTED_PORT_H */
