/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The explorer's own state and the calls between its files.
 *
 *     search.c   the choices of one execution, which execution comes next, states seen before
 *     run.c      one execution, what is put back before it
 *     fiber.c    fibers, who runs next, joining
 *     memory.c   the accesses of the library, store buffers
 *     arena.c    where the library's memory comes from; use after free
 *     wait.c     futex, locks, spinning, time, membarrier, signals
 *     rc11*.c    accesses, waiting and the search under RC11: rc11.h
 *     weaken.c   one access with less order
 *     main.c     options, reports
 *
 * All static variables of the program are put back before each execution, except for what is
 * marked X_ENGINE: that is the explorer's own.  So is what it maps.
 */
#ifndef MIRROR_EXPLORE_ENGINE_H
#define MIRROR_EXPLORE_ENGINE_H

#include "explore.h"
#include "port.h"

#define X_ENGINE __attribute__((section("x_engine")))
#define likely(c) __builtin_expect(!!(c), 1)

enum {
	X_ARENA_BYTES = 1 << 18,        /* for each fiber */
	X_STACK_BYTES = 1 << 16,
	X_FIBER_BYTES = X_ARENA_BYTES + X_STACK_BYTES,
	X_REGION_BYTES = X_MAX_FIBERS * X_FIBER_BYTES,
	X_LINE = 64,
	X_LINES = X_ARENA_BYTES / X_LINE,
	X_MAX_CHUNKS = 128,             /* allocations of one fiber in one execution */
	X_MAX_HELD = 12,                /* stores in one buffer */
	X_MAX_READS = 24,
	X_MAX_CHOICES = 4096,
	X_MAX_ALTS = 32,
	X_MAX_STEPS = 100000,           /* an execution that takes more does not end */
	X_MAX_RETRIES = 200,            /* turns of spinning while nobody writes */
};

/* ---- memory ---- */

/*
 * What is known of four bytes; a larger object is known by its first four.  The sets of fibers
 * grow over all executions of a scenario: what one fiber alone uses, or nobody writes, needs
 * no choice.
 */
struct loc {
	uint64_t version;       /* names the last write; valid when epoch is E.epoch */
	uint32_t epoch;
	uint8_t readers, writers;
	uint8_t owners;         /* fibers that used own_inc or own_dec on it */
	uint16_t history;       /* RC11: its number, 0: none yet */
	bool narrow;            /* RC11: used by four bytes as well as by eight */
	bool shared;            /* two fibers use it and one writes */
	bool paired;            /* RC11: a reduction relied on it that no third fiber uses it */
};

/* A store on its way to memory. */
struct held {
	struct loc *loc;
	void *p;
	uint64_t value;
	uint64_t under;         /* the oldest to its address, of the running fiber: below it in memory */
	uint64_t version;
	const struct x_site *site;
	uint32_t step;          /* at which it was issued; its name in vectors */
	uint8_t size;
	bool release;           /* must not pass earlier stores */
	bool draining;
};

struct chunk {
	uint32_t start, bytes;
	bool pages, freed;
	const struct x_site *site;      /* of its allocation, later of its end */
	uint8_t freer;
};

/* ---- fibers ---- */

enum state {
	X_READY,
	X_NOT_STARTED,
	X_WAIT_WRITE,           /* spins until something in its reads changes */
	X_WAIT_LOCK,            /* the same, for a lock: there is no use in spinning */
	X_WAIT_FUTEX,
	X_WAIT_END,             /* of the fiber `joining`, or of all the scenario's */
	X_ENDED,
};

struct read {
	struct loc *loc;
	const volatile void *p;
	uint64_t version;
};

struct fiber {
	void *sp;
	const struct x_site *site;      /* the step that it is at */
	uint64_t history;               /* what it has seen: names its local state */
	uint8_t id, state, nr_held;
	uint8_t signals_left, signals_blocked, in_signal, timed_out;
	bool reads_overflow;            /* there were more; then any write wakes */
	uint8_t nr_reads;
	int8_t joining;                 /* -1: all threads of the scenario */
	uint64_t writes_at_reset;       /* E.nr_writes when reads was last emptied, and its own since */
	uint64_t deadline;
	const uint32_t *word;           /* it sleeps on this */
	uint64_t sleep_order;           /* wakes go first in, first out */
	void **slots;
	void *(*run)(void *arg);
	void *arg;
	uint32_t fallback, fallback_gate, first_generation, walks;
	uint32_t arena_used;
	uint16_t nr_chunks;
	struct held held[X_MAX_HELD];
	struct read reads[X_MAX_READS];
	struct chunk chunk[X_MAX_CHUNKS];
	uint8_t chunk_of_line[X_LINES];         /* valid below arena_used */
};

/* ---- choices ---- */

/*
 * kind   -: what happens usually          n: cur waits, run the fiber arg
 *        s: run the fiber arg instead     h: hold the store
 *        d: drain the store of step arg   D: the same, in the middle of another drain
 *        o: stuck, drain that store       f: fail
 *        t: the sleep of fiber arg times out
 *        w: the sleep of fiber arg ends   r: the spinning of fiber arg goes on
 *        !: a signal
 */
struct alt {
	uint32_t arg;
	char kind;
	uint8_t cost;
};

struct choice {
	uint8_t taken, nr;      /* index among those that the bound allows, and their number */
	uint32_t step;
	struct alt alt;
};

enum outcome { X_RUNNING, X_SET_UP, X_PASSED, X_FAILED, X_PRUNED, X_RESTART };

struct engine {
	/* The run. */
	const struct x_scenario *scenario;
	unsigned model;
	int bound;
	bool caching;
	bool naive, no_sleep;           /* RC11: without reductions */
	bool trace;
	bool replaying;                 /* a vector from the command line, not the search */
	uint64_t nr_executions, nr_pruned, nr_states, nr_restarts, nr_steps;

	/* The execution, from here to epoch: put back before the next one. */
	struct fiber *cur;
	bool quiet;                     /* setup and check: no choices */
	bool membarrier_dead;
	bool fresh;                     /* a choice was made since the last look at the states */
	uint8_t nr_fibers;
	uint8_t nr_scenario;            /* fibers 1 .. nr_scenario are the scenario's threads */
	enum outcome outcome;
	int remaining;                  /* of the bound */
	uint32_t step;
	uint32_t nodes_of_step;         /* RC11: so far */
	uint32_t retries;
	uint64_t clock;
	uint64_t memory;                /* hash of all versions */
	uint64_t nr_writes;
	uint64_t sleepers;              /* so far: for sleep_order */
	uint32_t nr_held;               /* in all buffers */
	uint32_t drains;                /* under way, one inside another */
	size_t allocated;
	uint32_t epoch;                 /* its number */
	void *engine_sp;
	char message[512];

	/* The choices of this execution; the first nr_replay are given. */
	int nr_choices, nr_replay;
	struct alt alts[X_MAX_ALTS];
	int nr_alts;
	struct choice choice[X_MAX_CHOICES];
	const char *vector;             /* replaying: what is left of it */

	/* Memory. */
	char *region;                   /* for each fiber its arena, then its stack */
	char *statics;
	size_t statics_bytes;
	struct loc *locs;               /* of the region, then of the static variables */
	struct fiber *fiber;
};
extern struct engine E;

/* ---- search.c ---- */

static inline void x_alt(char kind, uint32_t arg, int cost)
{
	E.alts[E.nr_alts++] = (struct alt){ arg, kind, (uint8_t)cost };
}

/* Choose among E.alts, of which the first costs nothing; empties the list. */
struct alt x_choose(void);
/* Whether a fault that the scenario enables by @flag happens here. */
bool x_faulty(unsigned flag);
/* End the execution here if this state was explored with as much of the bound left. */
void x_state_seen(bool waiting);
void x_end_execution(enum outcome outcome) __attribute__((noreturn));
void x_search_init(unsigned table_bits);
void x_search_forget(void);
/* Prepare the next execution; false: there is none left. */
bool x_search_next(void);
/* The choices that are not the usual ones, as text. */
void x_vector(char *text, size_t bytes);

/* ---- run.c ---- */

void x_run_execution(void);
/* The next execution runs setup again. */
void x_run_forget(void);
void x_statics_init(void);
void x_crash_handler(void);

/* ---- fiber.c ---- */

/* From the engine to E.cur; returns when the execution has ended or is set up. */
void x_enter_fiber(void);
/* From E.cur to the engine, which may come back more than once. */
void x_leave_fiber(void);
void x_switch_to(struct fiber *f);
/* Wait at the start line, until setup is over. */
void x_start_line(void);
struct fiber *x_fiber_new(void *(*run)(void *arg), void *arg);
/* A step that others may see: maybe let somebody else run first, or a signal come. */
void x_visible(void);
/* A step that only this thread's signal handlers can notice. */
void x_local(void);
/* The running fiber's state is not X_READY: let others run until it is again. */
void x_block(void);

/* ---- memory.c ---- */

struct loc *x_loc(const volatile void *p, unsigned size);
static inline uint64_t x_mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ (x >> 32);
}

static inline uint64_t x_version(const struct loc *loc)
{
	return loc->epoch == E.epoch ? loc->version : 0;
}

/* The start of every step. */
void x_step(const struct x_site *site);
/* The start of every step on memory; returns after other fibers have maybe run. */
struct loc *x_enter(const struct x_site *site, const volatile void *p, unsigned size, bool write);
/* Note that the running fiber uses @loc. */
void x_uses(struct loc *loc, bool write);
uint64_t x_read_memory(const volatile void *p, unsigned size);
void x_write_memory(volatile void *p, unsigned size, uint64_t value);
uint64_t x_cut(uint64_t value, unsigned size);
/* What @op makes of @old. */
uint64_t x_changed(uint64_t old, uint64_t value, enum x_rmw op);
/* Before an access of @p by @self: others' held stores to it may come first. */
void x_settle(const volatile void *p, const struct fiber *self);
/* The store of the running fiber, to memory or to its buffer. */
void x_store_here(struct loc *loc, volatile void *p, unsigned size, uint64_t value,
		  enum x_order order);
/* Read and write in one step, the buffer drained before: nothing comes between. */
uint64_t x_rmw_begin(struct loc *loc, volatile void *p, unsigned size);
void x_rmw_end(struct loc *loc, volatile void *p, unsigned size, uint64_t value);
void x_drain_all(struct fiber *f);
/* @f will run, or runs no more: let memory be what it sees, or what others see. */
void x_show_held(struct fiber *f, bool show);
/* The first store of @f that may be drained and was issued at @step or goes to @p. */
struct held *x_drainable(struct fiber *f, const volatile void *p, uint32_t step);
void x_drain(struct fiber *f, struct held *h);
void x_saw(struct loc *loc, const volatile void *p);
void x_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The running fiber has seen @what: two runs of it with the same history are in the same state. */
static inline void x_learn(uint64_t what)
{
	E.cur->history = x_mix(E.cur->history, what);
}

/* ---- arena.c ---- */

void x_check_live(const volatile void *p, unsigned size);
void x_check_leaks(void);

/* ---- wait.c ---- */

/* Whether a fiber that waits for a write may go on; *by_drain: only once a store is drained. */
bool x_write_seen(const struct fiber *f, bool *by_drain);
void x_drain_for(struct fiber *f);
/* Nobody can go on: let time pass or a store reach memory, or report a deadlock. */
void x_stuck(void);

#endif /* MIRROR_EXPLORE_ENGINE_H */
