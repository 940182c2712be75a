/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * RC11, the C11 memory model as repaired by Lahav et al. (PLDI 2017), as an operational model.
 *
 *     rc11.c          messages, views, fences: what a step may read, where a store may stand
 *     rc11_steps.c    the steps of the library: accesses, futex, locks, membarrier
 *     rc11_search.c   which step comes next, and which execution
 *     rc11_plain.c    plain accesses: data races and uses after free
 *
 * Terms.  A location has a history: its messages in modification order.  A message is a store.  A view says of each
 * location up to which message its owner must have seen, of each thread up to which access it happens before, and which
 * fences happen before.  A key of a view's entry orders events at one location: twice the place of the message, and 1
 * more if the event has read it; an event is before another in extended coherence order if its key is smaller.
 *
 * doc/explorer.md has the rules.
 */
#ifndef MIRROR_EXPLORE_RC11_H
#define MIRROR_EXPLORE_RC11_H

#include "engine.h"

enum {
	RC_MAX_LOCS = 512,              /* shared locations, 0 is none */
	RC_MAX_MESSAGES = 4096,         /* in one execution, 0 is none */
	RC_MAX_HISTORY = 256,           /* of one location */
	RC_MAX_FENCES = 256,            /* in one execution */
	RC_MAX_STEPS = 6000,            /* nodes of one execution */
	RC_FENCE_WORDS = RC_MAX_FENCES / 64,
	RC_MAX_RELAXED = 64,            /* locations that one turn of a spinning loop reads */
	RC_MAX_CHOICES = RC_MAX_HISTORY + X_MAX_FIBERS,
	RC_DELIVER = 1 << 15,           /* in a choice: take the membarrier of this fiber now */
};

struct rc_fences {
	uint64_t word[RC_FENCE_WORDS];
};

struct rc_view {
	struct rc_fences fences;        /* that happen before */
	uint16_t clock[X_MAX_FIBERS];   /* of each thread the accesses that happen before */
	uint16_t seen[RC_MAX_LOCS];     /* a message, times 2, and 1 if it was read; 0: none */
};

/* The steps of each thread that a step depends on, for the search: program order, reads-from, order of locks. */
struct rc_past {
	uint16_t nr[X_MAX_FIBERS];
};

struct rc_message {
	struct rc_view view;            /* what an acquire of it joins */
	struct rc_past past;
	uint64_t value;
	const struct x_site *site;
	uint16_t loc, place;            /* in the location's order */
	uint8_t writer;
	bool is_rmw;                    /* it stands right behind what it has read: nothing goes in between */
	bool in_memory;                 /* written plainly: memory has the value */
};

struct rc_loc {
	struct loc *loc;
	volatile void *p;
	uint8_t size;
	uint16_t nr;                    /* messages; 0: not touched in this execution */
	uint16_t floor;                 /* what a plain write left: everybody has seen it */
	uint16_t order[RC_MAX_HISTORY];
	/* The kernel's bucket of a futex: its lock orders the calls for it, but for wakes that find nobody asleep. */
	struct rc_view bucket;
	struct rc_past bucket_past;     /* of all calls */
	struct rc_past locked_past;     /* of those that take the lock */
};

enum rc_kind {
	RC_NONE, RC_START, RC_LOAD, RC_STORE, RC_RMW, RC_CAS, RC_LOCK, RC_WAIT, RC_WAKE, RC_ASLEEP, RC_RELAX, RC_JOIN,
	RC_MEMBARRIER, RC_DELIVERED, RC_END,
};

/* What a thread will do next. */
struct rc_op {
	enum rc_kind kind;
	uint16_t loc;
	uint64_t expected;              /* RC_CAS */
};

struct rc_thread {
	struct rc_view now;             /* what happens before its next access */
	struct rc_view acquired;        /* what an acquire fence would join: of its relaxed loads */
	struct rc_view released;        /* what its relaxed stores show: its view at its last fence */
	struct rc_fences unsettled[X_MAX_FIBERS]; /* of membarriers of these that may come later, as far as loads go */
	uint16_t gap;                   /* its clock since its last step: plain accesses since then have it, or more */
	struct rc_past past;
	struct rc_op op;
	uint16_t key;                   /* the choice for op */
	uint16_t nr_relaxed;
	uint16_t relaxed_loc[RC_MAX_RELAXED], relaxed_message[RC_MAX_RELAXED];
	uint16_t must_loc, must_beyond; /* in this turn of a loop: no load of must_loc sees must_beyond or older */
	bool relaxed_overflow;
	bool woken;
	bool locks_bucket;              /* of a futex call: see rc_loc */
	uint8_t deliveries;             /* membarriers of these fibers are to be delivered */
	uint8_t due;                    /* of these now: before the last step would be no weaker */
	uint16_t last;                  /* what its last step has read or written; 0: it is of another kind */
	bool last_wrote;
	uint8_t awaited;                /* it waits for these fibers to take its membarrier */
	struct rc_view announced;       /* what a membarrier has all see */
	struct rc_view gathered;        /* and what it will see */
	struct rc_past gathered_past;
};

struct rc {
	int nr_locs, nr_messages, nr_fences;
	struct rc_loc *loc;
	struct rc_message *message;
	struct rc_thread thread[X_MAX_FIBERS];
	struct rc_view *fence_view;
	uint16_t (*first_after)[RC_MAX_LOCS];   /* of a fence: the first event that it happens before, as in a view */
	struct rc_fences *reaches;              /* of a fence: itself and those behind it in the order of fences */
};
extern struct rc RC;

#define RC_MINE (&RC.thread[E.cur->id])

/* ---- rc11.c ---- */

void rc_init(void);
/* Another scenario, with other locations. */
void rc_forget(void);
void rc_begin_execution(void);
/* The number of the location, with its history begun. */
uint16_t rc_touch(struct loc *loc, volatile void *p, unsigned size);
uint64_t rc_value(uint16_t message);
uint16_t rc_last(uint16_t loc);
/* Of each thread: what its next step may read or stand behind; the newest first.  Returns how many. */
int rc_choices(int thread, uint16_t *key);
void rc_join(struct rc_view *view, const struct rc_view *with);
void rc_join_past(struct rc_past *past, const struct rc_past *with);
void rc_read(struct rc_thread *t, uint16_t message, bool acquire);
/* A store behind @behind; returns its message. */
uint16_t rc_write(struct rc_thread *t, uint16_t behind, uint64_t value, bool release, bool rmw);
void rc_fence(struct rc_thread *t);
/* A plain write of @loc, which everybody has to have seen who comes after it. */
void rc_plain_message(uint16_t loc);
/* The thread's step is done: it has read @message, or @wrote it. */
void rc_passed(struct rc_thread *t, uint16_t message, bool wrote);
/* The membarrier of @from is to be delivered to @to, now or later. */
void rc_announce(int to, int from);
void rc_deliver(int to, int from);
/* What a membarrier of @caller learns of the thread @of. */
void rc_gather(struct rc_thread *caller, int of);

/* ---- rc11_steps.c ---- */

uint64_t rc_load(const struct x_site *site, const volatile void *p, unsigned size, enum x_order order);
void rc_store(const struct x_site *site, volatile void *p, unsigned size, uint64_t value, enum x_order order);
uint64_t rc_rmw(const struct x_site *site, volatile void *p, unsigned size, uint64_t value, enum x_rmw op,
		enum x_order order);
bool rc_compare_exchange(const struct x_site *site, volatile void *p, unsigned size, uint64_t *expected,
			 uint64_t desired, enum x_order success, enum x_order failure);
uint64_t rc_own_add(const struct x_site *site, uint64_t *counter, uint64_t value, enum x_order order, bool in_parts);
void rc_fence_step(const struct x_site *site);
void rc_relax(const struct x_site *site);
int rc_futex_wait(const struct x_site *site, const uint32_t *word, uint32_t expect, uint64_t deadline_ns);
void rc_futex_wake(const struct x_site *site, const uint32_t *word, int count);
void rc_mutex_lock(const struct x_site *site, struct port_mutex *m);
bool rc_mutex_trylock(const struct x_site *site, struct port_mutex *m);
void rc_mutex_unlock(const struct x_site *site, struct port_mutex *m);
int rc_membarrier(const struct x_site *site);
void rc_thread_started(struct fiber *child);
void rc_thread_joined(int child);

/* ---- rc11_search.c ---- */

void rc_search_begin(void);
bool rc_search_next(void);
void rc_search_begin_execution(void);
/* The running fiber comes to @op: others may go first.  Returns its choice; in quiet times 0, and nobody chooses. */
uint16_t rc_step(struct rc_op op);
/* It waits, or has ended: others go on. */
void rc_block(struct rc_op op);
/* The step that rc_step returned for is done: it has read @message, or 0, and written or not. */
void rc_done(uint16_t message, bool wrote);
/* A choice of the running thread alone, among E.alts. */
struct alt rc_choose(void);
void rc_vector(char *text, size_t bytes);
bool rc_can_run(const struct rc_thread *t, int id);

/* ---- weaken.c ---- */

bool x_weaken(const char *what);
/* False: what is to be weaker was never met. */
bool x_weakened_at_all(void);
enum x_order rc_weakened(const struct x_site *site, enum x_order order);
bool rc_fence_weakened(const struct x_site *site);

/* ---- rc11_plain.c ---- */

void rc_plain_init(void);
void rc_atomic_access(const volatile void *p, unsigned size, bool write);
void rc_plain_access(const volatile void *p, size_t bytes, bool write);
void rc_check_free(const volatile void *p, size_t bytes);

#endif /* MIRROR_EXPLORE_RC11_H */
