/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The types of a mirror list: what its files share, and who writes which field
 *
 * The order of the files is in CONTRIBUTING.md, "Layers".  Each file says at its top what it does; what it offers to
 * the files above it is in its header.
 *
 * A list, its mirrors and their entries:
 *
 *      struct mirror_list
 *      +-------------+
 *      | head        |  struct block: the whole-list mirrors, in order of registration, along a chain of blocks
 *      | +------+----|---+--------+--------+--------+ - - - -+          +------+--------+--------+ - - - -+
 *      | | used | ne | t |  [0]   |  [1]   |  [2]   |        |          | used |  [0]   |  [1]   |        |
 *      | |  3   |  ------------------------------------------|--------->|  2   |   |    |   |    |  free  |
 *      | |      |    |   |   |    |  NULL  |   |    |  free  |<---------|-prev |   |    |   |    |        |
 *      | +------+----|---+---|----+--------+---|----+ - - - -+          +------+---|----+---|----+ - - - -+
 *      |             |       v    taken out    v                          ^        v        v
 *      |             |     entry             entry                        |      entry    entry   joined rises from
 *      | last --------------------------------------------------------- --+                       left to right
 *      |             |
 *      | index.root  |---> nodes of the index (index.h): the range mirrors, by address
 *      |             |     leaf -> entry, entry, ...
 *      | walkers     |---> struct walker, one for each thread that has called mirrors: pin[] -> entry
 *      +-------------+
 *
 *      struct mirror (the caller's)             struct mirror__entry (the library's): 64 bytes, a cache line
 *      +---------------+                     0  +------------+---------------------------------+
 *      | mirror__entry |----------------------->| mirror     | the caller's mirror             |
 *      | mirror__list  |                     8  | start      | its callbacks                   |
 *      | mirror__place |  a block, or        16 | end        |                                 |
 *      |               |  IN_INDEX           24 | joined     | a number of list->seq           |
 *      | mirror__state |  see below          32 | item.first | bytes, both inclusive           |
 *      | mirror__ended |  mirror_fill.h      40 | item.last  |                                 |
 *      +---------------+                     48 | item.tie   | rises with each registration    |
 *                                            56 | state      | ENTRY_...                       |
 *                                            60 | wakes      | changes when sleepers must look |
 *                                               +------------+---------------------------------+
 *
 * An entry outlives its mirror: a walk may still look at the entry after the mirror was given back to its owner.
 *
 * The states of a mirror:
 *
 *      NONE, GONE --register--> JOINING --> REGISTERED --+            +--dead, unlinked--> DRAINING --drained--> GONE
 *                                            ^   DYING --+--claim--> CLAIMED                  |                   ^
 *                                            |     ^                  |  +--dead, unlinked--> ASYNC ---drained----+
 *                                            +--+--+--not possible----+                       |
 *                                               +-------------timeout, error (DRAINING)-------+
 *
 * CLAIMED is short: no thread waits for a callback in it.
 *
 * Lock order: waits_lock (mirror_waits.c), list->lock.  Each is held within a section of the gate, which a thread that
 * forks closes, and for a bounded time: a change of many mirrors takes list->lock for LOCK_BATCH of them at a time
 * (gate_relock).  No lock is held in a callback; threads that could not allocate a slot share one walker, one thread at
 * a time.
 */
#ifndef MIRROR_LIST_H
#define MIRROR_LIST_H

#include "port.h"
#include "event.h"
#include "gate.h"
#include "slots.h"
#include "index.h"
#include "pool.h"
#include "mutant.h"

#include "usrcu_impl.h"

#include <mirror/mirror.h>

#define NEVER UINT64_MAX

/*
 * How many mirrors are changed in one section of list->lock.  To put one of a million ranges into the index, or to take
 * it out, costs 1 to 4 us; what else is done to a mirror, 0.2 us if it is not in the cache (AMD EPYC, 2026-11-28).  In
 * the explorer both are 1.
 */
#ifndef LOCK_BATCH
#define LOCK_BATCH 8
#endif
#ifndef LIGHT_BATCH
#define LIGHT_BATCH 64
#endif

/* ---- what walks look at ---- */

/* One registration. */
struct mirror__entry {
	union {
		struct mirror *mirror;          /* read by a thread that has pinned the live entry */
		struct link link;               /* of a retired entry; under list->lock */
		uint64_t cookie;                /* of a proxy; under list->lock */
	};
	/* Of a proxy, the second of each: mirror_move.c. */
	union {
		int (*start)(struct mirror *m, const struct mirror_range *r);   /* constant; if ENTRY_HAS_START */
		struct mirror__entry *main;     /* constant */
	};
	union {
		void (*end)(struct mirror *m, const struct mirror_range *r);    /* constant; if ENTRY_HAS_END */
		struct mirror__entry *newer;    /* written under list->lock */
	};
	uint64_t joined;                /* list->seq since it is registered, else NEVER; set once, under list->lock */
	struct index_item item;         /* bytes, and the number of the registration; tie 0: the whole list; constant */
	uint32_t state;                 /* ENTRY_...; see there */
	uint32_t wakes;                 /* read-modify-writes; a sleeper on this entry compares it before it sleeps */
};

_Static_assert(sizeof(struct mirror__entry) == 64, "an entry is a cache line");

static inline bool is_whole_(const struct mirror__entry *e)
{
	return !e->item.tie;
}

/*
 * The bits of an entry's state: all that a walk must know of it besides joined, in one load.  None is ever cleared.
 *
 *   DEAD       No callback starts any more; a thread that unpins the entry wakes its drain.
 *              Set by the thread that claimed the mirror, under list->lock.
 *              Stale: a walk that pinned the entry before fence C of the drain may read it clear, and calls the mirror;
 *              the drain then sees that pin.
 *   ASYNC      The owner does not wait: a thread that sees the dead entry unpinned completes the unregister.
 *              Set with DEAD or after it, by mirror_unregister_async, under list->lock.
 *              Stale: a thread that unpins may read DEAD without ASYNC, and leaves the completion to the thread that
 *              sets ASYNC: that thread fences after it, and then looks at the pins.
 *   COMPLETED  A thread has claimed the call of done().
 *              Set by a read-modify-write of that thread, so no other thread can claim it too, and none sees it stale.
 *   RELEASED   Brackets with a seq from mirror__released on pass over the entry.
 *   FILLS      Brackets with a seq from mirror__fills_from on count themselves (mirror_fill.c).
 *              Both are set under list->lock, before the seq from which they hold.
 *              Stale: a bracket that reads an older seq may see the bit; it compares the numbers.
 *   RETIRED    The mirror is its owner's again: the entry does not lead to it any more.  Set and read under list->lock.
 *   WATCHED    The list's walks fence at each callback, or its callbacks are timed.  Constant.
 *   PROXY      The entry stands for another one of the same mirror (mirror_move.c).  Constant.
 *   HAS_...    Which callbacks the mirror has.  Constant.
 */
enum {
	ENTRY_DEAD       = 1u << 0,
	ENTRY_ASYNC      = 1u << 1,
	ENTRY_COMPLETED  = 1u << 2,
	ENTRY_RELEASED   = 1u << 3,
	ENTRY_FILLS      = 1u << 4,
	ENTRY_WATCHED    = 1u << 5,
	ENTRY_HAS_START  = 1u << 6,
	ENTRY_HAS_END    = 1u << 7,
	ENTRY_HAS_FINISH = 1u << 8,
	ENTRY_RETIRED    = 1u << 9,
	ENTRY_PROXY      = 1u << 10,
	/* With one of these it takes more than a call. */
	ENTRY_SPECIAL    = ENTRY_DEAD | ENTRY_RELEASED | ENTRY_FILLS | ENTRY_WATCHED | ENTRY_PROXY,
};

/* The explorer has fewer, so that blocks fill up soon. */
#ifndef NR_PLACES
#define NR_PLACES 20
#endif

/* A few whole-list mirrors, in order of registration; the next ones are in the next block (mirror_blocks.c). */
struct block {
	struct link link;               /* of a retired block, and of a spare one; under list->lock */
	struct block *next, *prev;      /* NULL: none; written under list->lock */
	uint32_t used;                  /* written under list->lock; no entry is in a place from there on */
	uint32_t nr_entries;            /* in places; under list->lock */
	struct mirror__entry *place[NR_PLACES]; /* NULL: taken out; written under list->lock */
} __attribute__((aligned(64)));         /* three cache lines */

/* ---- what each thread shows ---- */

/* Starts nest MIRROR_MAX_DEPTH deep; ends of other threads' brackets may come on top. */
#define MAX_PINS (2 * MIRROR_MAX_DEPTH)

enum callback { START, END, FINISH, RELEASE, DONE, VISIT };

/* A thread's slot in a list.  Only its thread writes it, but for counts.gone, and what is said below. */
struct walker {
	union {
		struct slot slot;               /* NULL record: the shared walker */
		/*
		 * open: the section of the outermost walk, whatever the sync; lent, gone: brackets, sections of
		 * list->brackets.
		 */
		struct usrcu_slot counts;
	};
	/* Others read these three. */
	uint32_t depth;                         /* how many walks the thread is in */
	uint32_t rests;                         /* the walk of this depth looks at no entry (mirror_fence.c); 0: none */
	uint64_t completing;                    /* mirror__fence of the oldest mirror whose done() the thread is in, or 0 */
	uint64_t fences;                        /* how many its walks have executed; drains read it (mirror_fence.c) */
	uint32_t slow;                          /* mirror_fence.c: a drain has found it in a slow callback; drains write it */
	uint64_t walks, nested, others;         /* outermost ones; within others; of both those that call no start or end */
	uint64_t callbacks, refusals;           /* totals; statistics read them */
	/* mirror_fence.c */
	uint64_t fences_before;                 /* list->nr_fences when its window began */
	uint64_t looks_at, window_ends;         /* numbers of walks; 0: it has not looked yet */
	uint64_t slept_in, may_see;             /* mirror_garbage.c, under list->lock: numbers of walks, or 0 */
	struct mirror__entry *pin[MAX_PINS];    /* at each depth the entry whose callback runs, or NULL; drains read it */
	uint8_t what[MAX_PINS];                 /* enum callback; reports read it */
	uint64_t since[MAX_PINS];               /* when it began, ns, if stalls are reported; the same */
} __attribute__((aligned(64)));                 /* whole cache lines, because another thread writes the next walker */

_Static_assert(sizeof(struct walker) <= SLOTS_FIRST_BYTES, "the first walker stands in the key");

/* A walk: one level of callbacks of one list in this thread (mirror_pin.h). */
struct walk {
	struct mirror_list *list;
	struct walker *walker;
	struct mirror__entry **pin;     /* walker's, of this level */
	struct mirror__entry *left;     /* unpinned, and found dead: what follows may call done() */
	uint32_t depth;                 /* this level */
	bool rests_in_callbacks;        /* mirror_fence.c */
	int token;                      /* of the section, if this is the outermost walk */
};

/* A call that waits for walks (mirror_waits.h).  The caller sets one of the first two. */
struct wait {
	const struct mirror *mirror;    /* for callbacks of what the thread has claimed: the first one of each list ... */
	const struct mirror_list *list; /* ... or for all walks of this list */
	bool is_shown;
	struct wait *outer;             /* of the same thread: this one's thread was interrupted in it */
	struct record *record;          /* of the thread; NULL: it has none */
	uint64_t thread;                /* process_self() */
	/* Under waits_lock. */
	uint64_t search;                /* the last search that came here */
	struct wait *next;              /* in the order in which it did */
};

/* ---- the list ---- */

enum object_kind { ENTRIES, NODES, BLOCKS, NR_KINDS };

/* Objects that are not in the list any more (mirror_garbage.c). */
struct garbage {
	struct {
		struct link *newest, *oldest;
	} pile[NR_KINDS];
	size_t bytes;
	struct chunk *chunks;           /* no object of them is in use: to be freed without the lock */
};

/*
 * Which side of the fence between pins and drains pays for it (mirror_fence.c).  Written under list->lock: by a
 * publisher from OFF to BEGUN, and from any other to OFF; by a drain from BEGUN to SETTLES to ALL.  Each walk reads it
 * once.
 * Stale: a walk may have read OFF before BEGUN was stored; until ALL, drains allow for such walks.
 */
enum {
	FENCING_OFF,                    /* walks leave fences to membarrier(2) */
	FENCING_BEGUN,                  /* walks that begin from now on begin with a fence */
	FENCING_SETTLES,                /* the same; fencing_cookie says when the walks from before are over */
	FENCING_ALL,                    /* every walk that runs has begun with a fence */
};

struct mirror_list {
	/* Read by every walk.  What changes, under lock: last, index.root, seq, nr_frees, fencing, and the blocks. */
	struct block *last;             /* of the blocks */
	struct index index;             /* range mirrors: walks read its root */
	uint64_t seq;                   /* numbers the moments that divide brackets: registrations, for one */
	uint64_t nr_frees;              /* how often what is not old was set free beside walks that sleep */
	struct usrcu *sections;         /* walks are sections of this domain; NULL: of another sync */
	struct usrcu *brackets;         /* open brackets are handed-over sections of this domain */
	const struct mirror_sync *sync;
	void *sync_state;
	bool membarrier;                /* pins go without fences, because drains can use membarrier(2) */
	uint32_t fencing;               /* FENCING_... */
	bool grace_period;              /* the kind of sync */
	bool targeted;                  /* drains wait for pins; false: for a grace period */
	bool changing;                  /* over a lock: its write_lock is held; under write_lock (mirror_memory.c) */
	struct slots walkers;           /* struct walker for each thread */
	struct block head;              /* the first of the blocks */

	struct port_mutex lock __attribute__((aligned(64)));
	/* All below under lock. */
	uint64_t nr_mirrors;            /* registered or not yet given back */
	uint64_t nr_ranges;             /* that were ever registered */
	struct pool pools[NR_KINDS];
	struct link *spare_blocks;      /* for registrations */
	uint64_t nr_spare_blocks;
	bool released;
	struct mirror *pending;         /* unregistered asynchronously, done() has not been called: the oldest first */
	struct mirror **pending_end;    /* where the next one goes */
	uint64_t nr_left;               /* how often a thread could not look whether a pending one can be completed */
	uint64_t joiner;                /* process_self() of the thread whose turn it is to join, or 0 (mirror_register.c) */
	struct garbage retired;         /* since due got its cookie */
	struct garbage due;             /* over when ... */
	uint64_t due_cookie;            /* ... this cookie of the sync is */
	struct garbage over;            /* no walk sees it any more: the next objects are taken from here */
	/* While a walk that sleeps holds up due: */
	uint64_t stalled_at;            /* seq when it was noticed; 0: none is known */
	struct garbage old;             /* what it may hold: this follows due */
	struct garbage young;           /* what it cannot hold: over once the walks of may_see are */
	uint64_t fencing_cookie;        /* of the sync: when it is over, FENCING_SETTLES can become FENCING_ALL */
	uint64_t nr_fences;             /* fences that drains have needed so far; walkers read it */
	uint64_t nr_drains, longest_drain_ns;

	struct event event;             /* a done() has returned, a claim is decided, a turn is over */

	/* Constant. */
	struct mirror_allocator allocator;
	uint64_t stall_ns;
	void (*stall)(void *arg, const struct mirror_stall *stall);
	void *stall_arg;
	void (*report)(void *arg, const struct mirror_report *report);
	void *report_arg;
	char name[32];

	/* The walker that the threads share for which memory ran out, one at a time. */
	uint64_t fallback_owner;        /* process_self() of the thread that has it, or 0; compare-and-exchange */
	int fallback_tid;               /* its number; written by the owner */
	struct event fallback_event;    /* the owner has changed */
	struct walker fallback;
};

/* How many walks of the list @w's thread is in. */
static inline uint32_t depth_of_(const struct walker *w)
{
	return load_acquire(&w->depth);
}

/* True if @w shows something of a thread that does not exist in this process. */
static inline bool vanished_(const struct mirror_list *list, const struct walker *w)
{
	return w == &list->fallback ? !process_has(load_acquire(&list->fallback_owner)) : slots_vanished(&w->slot);
}

/* True if an unregister waits for the callbacks of its own mirrors only. */
static inline bool is_targeted_(const struct mirror_list *list)
{
	return list->grace_period && list->targeted;
}

/* Under lock: let brackets that start from now on have a greater number than all before. */
static inline void next_seq_(struct mirror_list *list)
{
	store_release(&list->seq, list->seq + 1);
}

/*
 * Under lock, which it gives up meanwhile: until no thread is about to join by several sections of the lock.  It does
 * so without waiting for anything.  One that vanished with a fork is not waited for.
 */
static inline void wait_for_turn_(struct mirror_list *list)
{
	uint32_t seen;

	while (process_has(list->joiner)) {
		seen = event_prepare(&list->event);
		gate_unlock(&list->lock);
		event_wait(&list->event, seen, PORT_FOREVER);
		gate_lock(&list->lock);
	}
}

/* ---- a mirror's own state ---- */

/*
 * Written under list->lock; while the mirror is JOINING, by the call that registers it.  The address is mixed in, so
 * that memory that was never initialised, or a copy of a mirror, is not mistaken for a registered one.
 */
enum mirror_state { STATE_NONE, STATE_JOINING, STATE_REGISTERED, STATE_CLAIMED, STATE_DYING, STATE_DRAINING,
		    STATE_ASYNC, STATE_GONE };

static inline uintptr_t state_seal_(const struct mirror *m)
{
	return ((uintptr_t)m << 4) ^ (uintptr_t)0x6d6972726f724000;
}

static inline enum mirror_state get_state_(const struct mirror *m)
{
	uintptr_t state = load_acquire(&m->mirror__state) ^ state_seal_(m);

	return state <= STATE_GONE ? (enum mirror_state)state : STATE_NONE;
}

static inline void set_state_(struct mirror *m, enum mirror_state state)
{
	store_release(&m->mirror__state, state_seal_(m) ^ (uintptr_t)state);
}

/* mirror__place of a mirror that is in the index, not in a block. */
#define IN_INDEX UINT64_MAX

#endif /* MIRROR_LIST_H */
