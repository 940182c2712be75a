/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The schedule explorer, as a scenario sees it.
 *
 * A scenario is a setup, up to six threads and a check.  The explorer runs it again and again,
 * each time under another schedule, until every schedule up to a bound was tried.  The bound
 * counts what makes a schedule odd: a preemption, a store held in a store buffer, a failed
 * allocation, a timeout, a signal each cost 1.  doc/explorer.md explains it all.
 *
 * Rules for the code of a scenario:
 *  - Between threads, data pass through port.h's wrappers (load_relaxed, store_release ...), or
 *    plainly where wrappers order the accesses.  The explorer sees wrappers only.
 *  - Nothing random, no clock but port_now_ns: the same choices must give the same run.
 *  - Static variables are put back before every execution, the scenario's own too.
 */
#ifndef MIRROR_EXPLORE_H
#define MIRROR_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The fiber of setup and check, the threads of the scenario, and those that the library starts. */
enum { X_MAX_THREADS = 6, X_MAX_FIBERS = 8 };

/* Memory models, as a set. */
enum {
	X_SC  = 1u << 0,        /* no store is ever late */
	X_TSO = 1u << 1,        /* each thread's stores become visible late, in their order */
	X_PSO = 1u << 2,        /* late, in order for each address alone and for releases */
	X_RC11 = 1u << 3,       /* all that C11 allows; faults alone are bounded */
	X_WEAK = X_TSO | X_PSO,
	X_ALL = X_SC | X_WEAK,
};

/* What may go wrong besides; each time it does costs 1 of the bound. */
enum {
	X_ALLOC_FAILS     = 1u << 0,  /* an allocation returns NULL */
	X_MEMBARRIER_DIES = 1u << 1,  /* membarrier(2) fails, and from then on always */
	X_TIMEOUTS        = 1u << 2,  /* a sleep with a deadline ends by it, however early */
	X_SPURIOUS        = 1u << 3,  /* a sleep ends for no reason */
	X_IMPATIENT       = 1u << 4,  /* port_relax returns although nothing was written */
	X_THREAD_FAILS    = 1u << 5,  /* a thread cannot be started */
	X_NO_MEMBARRIER   = 1u << 6,  /* membarrier(2) was never there; costs nothing */
	X_LEAKS_OK        = 1u << 7,  /* memory may be left allocated after check */
	X_QUIET_EXIT      = 1u << 8,  /* nobody is told that a thread has ended */
	X_SPINS           = 1u << 9,  /* port_spin waits for a write; otherwise it gives up at once */
};

struct x_scenario {
	const char *name;
	const char *claim;                      /* the sentence that the TAP line prints */
	void (*setup)(void);                    /* may be NULL */
	void (*prepare)(void);                  /* run by each thread before, as part of setup */
	void (*thread[X_MAX_THREADS])(void);
	void (*check)(void);                    /* after all threads have ended; may be NULL */
	bool (*complete)(void);                 /* once exhausted: was all seen that should be? may be NULL */
	void (*signal)(void);                   /* a handler that interrupts threads; may be NULL */
	unsigned signal_threads;                /* which ones: bit 0 is the first thread */
	unsigned models;                        /* the models to run under */
	unsigned must_fail;                     /* those under which a failure has to be found */
	const char *failure;                    /* how it has to be called; NULL: as it likes */
	unsigned flags;
	int quick, full;                        /* bounds for make check and for check-explore */
};

/* The scenarios of a program, ended by one without a name. */
extern const struct x_scenario x_scenarios[];

/* A line of source: where a fiber is. */
struct x_site {
	const char *file;
	int line;
	const char *text;
	const char *function;
};

#define X_SITE(text_) \
	({ static const struct x_site x_site_ = { __FILE__, __LINE__, text_, __func__ }; &x_site_; })

/* The execution has shown a fault: report it, with the choices that led to it. */
void x_fail(const char *format, ...) __attribute__((noreturn, cold, format(printf, 1, 2)));

#define x_assert(condition) \
	((condition) ? (void)0 : x_fail("%s:%d: not true: %s", __FILE__, __LINE__, #condition))

/* The number of the running thread: 0 for the first of the scenario, -1 in setup and check. */
int x_self(void);

/* The memory model that is explored. */
unsigned x_model(void);

/* A use of the object at @p: it must not have been freed. */
#define x_touch(p) x_touch_at(X_SITE("x_touch(" #p ")"), p)
void x_touch_at(const struct x_site *site, const void *p);

/* A point at which another thread may be chosen, and nothing else. */
#define x_yield() x_yield_at(X_SITE("x_yield()"))
void x_yield_at(const struct x_site *site);

/* Bytes allocated and not freed so far in this execution. */
size_t x_allocated(void);

#endif /* MIRROR_EXPLORE_H */
