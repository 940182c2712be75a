/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The mirror list, shared by its files:
 *
 *   mirror_list.c    lists: create, register, release, destroy
 *   mirror_memory.c  their memory, and when it can be used again
 *   mirror_walk.c    publishing: brackets
 *   mirror_order.c   which mirrors a walk calls, and in what order
 *   index.c          the index of range mirrors
 *   mirror_unregister.c   unregister: pins, and the wait for them
 *   mirror_async.c   unregister without waiting
 *   mirror_fence.c   who pays for the fence between pins and drains
 *   mirror_waits.c   who waits for whom
 *   mirror_report.c   callbacks that take too long
 *   mirror_fill.c    fills that retry when a bracket races them
 *   sync.c           mirror_sync_srcu and mirror_sync_rwsem
 *
 * Lock order, outermost first: list->lock, the locks of usrcu.c.  The registry's lock of slots.c
 * comes before them, at fork.  waits_lock (mirror_waits.c) is held with none of them, but at
 * fork.  None is held in a callback, but for fallback_lock, by which threads for which there was
 * no memory take turns.
 */
#ifndef MIRROR_LIST_H
#define MIRROR_LIST_H

#include "port.h"
#include "slots.h"
#include "index.h"
#include "mutant.h"

#include <mirror/mirror.h>
#include <mirror/urwsem.h>
#include <mirror/usrcu.h>

#define NEVER UINT64_MAX

/* Memory that is not in use, in a list of such. */
struct link {
	struct link *next;
};

/* ---- what walkers look at ---- */

/*
 * One registration.  A cache line of the library's own, because walkers may still look at it
 * when the mirror has been given back; freed when no walk can.
 */
struct mirror__entry {
	union {
		struct mirror *mirror;          /* read by who has pinned the live entry */
		struct link link;               /* retired: the list of such */
	};
	uint64_t first, last;           /* bytes, both inclusive; constant */
	uint64_t joined;                /* list->seq since it is registered; NEVER until then */
	uint64_t released;              /* list->seq since its release has returned, else NEVER */
	uint64_t fills_from;            /* list->seq since brackets count themselves in fill, or NEVER */
	uint64_t fill;                  /* FILL_...; read-modify-writes */
	uint32_t state;                 /* ENTRY_...; read-modify-writes */
	uint32_t wakes;                 /* changes when a sleeper on this entry should look again */
};

enum {
	ENTRY_DEAD     = 1u << 0,       /* no callback starts any more; unpinning wakes */
	ENTRY_ASYNC    = 1u << 1,       /* dead, and whoever sees it unpinned finishes it */
	ENTRY_COMPLETED = 1u << 2,       /* one thread has taken that upon itself */
};

/* mirror_fill.c: brackets open on the entry, whether a filler sleeps, brackets ever started. */
#define FILL_OPEN     ((uint64_t)(1u << 20) - 1)
#define FILL_SLEEPER  ((uint64_t)1 << 20)
#define FILL_STARTED  ((uint64_t)1 << 21)

/* Entries in order of registration; NULL where one was taken out.  Copied when it is full. */
struct whole_array {
	uint64_t room;
	uint64_t used;                  /* written under list->lock; no entry is in a place from there on */
	struct whole_array *next;       /* retired: the list of such */
	struct mirror__entry *place[];
};

/* ---- what each walking thread shows ---- */

/* Starts nest MIRROR_MAX_DEPTH deep; ends of others' brackets may come on top. */
#define MAX_PINS (2 * MIRROR_MAX_DEPTH)

/* A slot: written by its thread. */
struct walker {
	struct mirror__entry *pin[MAX_PINS];    /* the callback that runs at each depth, or NULL */
	const char *what[MAX_PINS];             /* its name */
	uint64_t since[MAX_PINS];               /* when it began, ns; where stalls are reported */
	uint32_t depth;                         /* how many walks it is in; others read it to find cycles */
	int token;                              /* of the sync's read_lock, taken at depth 0 */
	const void *thread;                     /* port_self() of its thread */
	uint64_t tid;
	uint64_t walks, callbacks, refusals;    /* totals */
	/* mirror_fence.c */
	uint64_t fences_before;                  /* list->nr_fences when its window began */
	uint64_t looks_at, window_ends;         /* numbers of walks; 0: it never has looked */
} __attribute__((aligned(64)));                 /* whole cache lines: others write the next */

/* ---- the list ---- */

/* Objects of one size; under list->lock. */
struct pool {
	size_t object_bytes;
	struct link *vacant;            /* given back */
	char *fresh;                    /* never used: of the newest chunk */
	size_t fresh_bytes;
	size_t total_bytes;             /* of its chunks */
};

/* Memory that is not in the list any more: mirror_memory.c. */
struct garbage {
	struct link *entries, *oldest_entry;
	struct whole_array *arrays;
	struct index_node *nodes;
	size_t bytes;
};

/* mirror_fence.c */
enum {
	FENCING_OFF,                    /* walks leave fences to membarrier(2) */
	FENCING_BEGUN,                  /* those that begin from now on fence */
	FENCING_SETTLES,                /* the same, and fencing_cookie says when those from before are over */
	FENCING_ALL,                    /* all that run do */
};

struct mirror_list {
	/* Read by every walk; only these three and fencing change, under lock. */
	struct whole_array *whole;      /* whole-list mirrors */
	struct index index;             /* range mirrors: walks read its root */
	uint64_t seq;                   /* counts registrations and what else divides brackets */
	const struct mirror_sync *sync;
	void *sync_state;
	bool membarrier;                /* pins go without fences, drains use membarrier(2); unless fencing */
	uint32_t fencing;               /* FENCING_...; written under lock */
	bool grace_period;              /* the kind of sync */
	bool targeted;                  /* drains wait for pins, else for a grace period */
	struct slots walkers;           /* struct walker for each thread */
	struct usrcu *brackets;         /* open brackets are handed-over sections of it */

	struct port_mutex lock __attribute__((aligned(64)));
	/* All below under lock. */
	uint64_t nr_mirrors;            /* registered or not yet given back */
	uint64_t nr_live;               /* in the array */
	struct pool entries, nodes;
	struct chunk *chunks;           /* of both pools */
	bool released;
	uint64_t nr_pending;            /* unregistered asynchronously, done() not yet returned */
	struct mirror *pending;         /* those for which it has not been called either */
	struct garbage retired;         /* since due got its cookie */
	struct garbage due;             /* to be freed when ... */
	uint64_t due_cookie;            /* ... this cookie of the sync's is over */
	uint64_t fencing_cookie;        /* of the sync's: whether FENCING_SETTLES is FENCING_ALL by now */
	uint64_t nr_fences;              /* how often a drain had to fence; walkers read it */
	uint64_t nr_drains, longest_drain_ns;

	uint32_t nr_barriers;           /* calls of mirror_barrier that may sleep */

	uint32_t wakes;                 /* changes when a done() has returned */

	/* Constant. */
	struct mirror_allocator allocator;
	uint64_t stall_ns;
	void (*stall)(void *arg, const struct mirror_stall *stall);
	void *stall_arg;
	char name[32];

	/* The one walker of all threads for which memory ran out: they publish one at a time. */
	struct port_mutex fallback_lock;
	const void *fallback_owner;
	struct walker fallback;
};

/* mirror_memory.c; all but the last three under lock */

/* These give the lock up to allocate: an entry, zeroed; nodes enough for one insertion in the
 * index; @nr free places in the array. */
struct mirror__entry *get_entry_(struct mirror_list *list);
int get_nodes_(struct mirror_list *list);
int get_places_(struct mirror_list *list, size_t nr);
/* Keep what walks may still see: an entry; the index's retired nodes. */
static inline void retire_entry_(struct mirror_list *list, struct mirror__entry *e)
{
	if (!list->retired.entries)
		list->retired.oldest_entry = &e->link;
	e->link.next = list->retired.entries;
	list->retired.entries = &e->link;
	list->retired.bytes += sizeof(*e);
}

void retire_nodes_(struct mirror_list *list);
/* Use again what no walk can see any more.  What comes back is for free_arrays_. */
void reclaim_(struct mirror_list *list, struct garbage *garbage);
/* The same by hand, around a synchronize: take all; then use it again, or put it back. */
void take_garbage_(struct mirror_list *list, struct garbage *garbage);
void recycle_(struct mirror_list *list, struct garbage *garbage);
void put_garbage_back_(struct mirror_list *list, struct garbage *garbage);
/* Without lock: the arrays of garbage that was recycled. */
void free_arrays_(struct mirror_list *list, struct garbage *garbage);
int memory_init_(struct mirror_list *list);
void memory_destroy_(struct mirror_list *list);

/* sync.c */

/* What mirror_sync_srcu stands for in a list with MIRROR_LIST_FULL_FENCE. */
extern const struct mirror_sync sync_srcu_fenced_;

/* mirror_list.c */

/* Under lock: a number greater than that of every bracket so far. */
void next_seq_(struct mirror_list *list);
void misuse_(const struct mirror_list *list, const char *function, const char *rule);

/* A mirror's own state: the address is mixed in, so that uninitialised memory is not mistaken. */
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

/* mirror__place of a mirror that is in the index, not in the array. */
#define IN_INDEX UINT64_MAX

/* Under lock: no walk that begins from now on sees @m. */
static inline void unlink_(struct mirror_list *list, const struct mirror *m)
{
	const struct mirror__entry *e = m->mirror__entry;
	struct whole_array *array = list->whole;
	uint64_t used;

	if (m->mirror__place == IN_INDEX) {
		index_remove(&list->index, e->first, e);
		retire_nodes_(list);
		return;
	}
	store_release(&array->place[m->mirror__place], NULL);
	/* Places behind the last entry are used again: walks ask each entry when it joined. */
	used = --list->nr_live ? array->used : 0;
	while (used && !array->place[used - 1])
		used--;
	if (used != array->used)
		store_relaxed(&array->used, used);
}

/* mirror_walk.c */

/* This thread's walker of @list, or the one that threads without memory take turns with. */
struct walker *walker_(struct mirror_list *list);
/* A walk: one level of callbacks of one list in this thread. */
struct walk {
	struct mirror_list *list;
	struct walker *walker;          /* NULL: not begun, or ended */
	struct mirror__entry **pin;     /* walker's, of this level */
	bool membarrier;                /* its pins go without fences */
	bool timed;                     /* whether stalls are reported */
};
/*
 * Begin one that calls @what, at most the @deepest in this thread: 0, -ELOOP, or what the sync
 * returned.  @wait: for a lock that others hold.
 */
int enter_(struct walk *walk, struct mirror_list *list, const char *what, uint32_t deepest,
	   bool wait);
/* End it; does nothing where it was not begun.  Also run when an exception passes. */
void leave_(struct walk *walk);
/* mirror_fill.c: mirror__settle of a new registration. */
#define UNSETTLED ((uint64_t)3)
/* A bracket that was counted in @e->fill is over. */
void fill_ended_(struct mirror__entry *e);
/* Whether this thread is in a callback of @list. */
bool in_callback_(struct mirror_list *list);

/* mirror_waits.c */

/* An unregister under way. */
struct wait {
	struct wait *next, **link;
	const void *thread;             /* as walker->thread */
	struct mirror *const *mirrors;
	size_t count;
};
/* Show it to the others; -EDEADLK: it would close a cycle, and is not shown. */
int show_wait_(struct wait *wait);
void end_wait_(struct wait *wait);

/* mirror_report.c */

/* Note when a callback begins; report it at its end where it took too long. */
void begin_timing_(const struct walk *walk);
void end_timing_(const struct walk *walk, struct mirror__entry *e);
/* The callback that holds up the drain of @m. */
void report_drain_(struct mirror_list *list, struct mirror *m);

/* mirror_fence.c */

/* How many starts a walker lets pass between two looks at how many drains there were; 0: it never looks. */
#ifndef FENCE_MODE_PERIOD
#define FENCE_MODE_PERIOD 256
#endif
/* And over how many it counts them. */
#define FENCE_MODE_WINDOW (32 * FENCE_MODE_PERIOD)
/* Where drains are frequent let walks fence; where there are none, no more. */
void choose_fence_mode_(struct mirror_list *list, struct walker *w);
/* Under lock. */
void begin_fencing_(struct mirror_list *list);
void end_fencing_(struct mirror_list *list);
/* Under lock, the entries marked: whether a drain must interrupt the walks to order them with that. */
bool advance_fence_mode_(struct mirror_list *list);
/* C of mirror_unregister.c, as advance_fence_mode_ said: 0 or -errno. */
int fence_drain_(bool interrupt);

/* mirror_async.c */

/* The drains of those that went without waiting: this entry is not pinned here any more. */
void unpinned_async_(struct mirror_list *list, struct mirror__entry *e);

/* mirror_unregister.c; barriers are explained at the top of src/mirror_unregister.c */

/* Make @count mirrors ours to unregister; where one cannot be, the others are given back. */
int claim_(struct mirror *const *mirrors, size_t count, bool to_wait);
void give_back_(struct mirror *m);
/*
 * Under lock: no callback of those of @list that come first in @mirrors starts any more, but where a walk has
 * pinned the entry already; how many they are.
 */
size_t mark_dead_(struct mirror_list *list, struct mirror *const *mirrors, size_t count, uint32_t how);
/* Nobody will call them: forget them. */
void forget_(struct mirror_list *list, struct mirror *const *mirrors, size_t count);
void unpinned_dead_(struct mirror_list *list, struct mirror__entry *e);
/* Whether an unregister waits for callbacks of its own mirror alone. */
static inline bool is_targeted_(const struct mirror_list *list)
{
	return list->grace_period && list->targeted;
}

/* At which level @w shows a pin of @e; -1: nowhere. */
int pin_level_(const struct walker *w, const struct mirror__entry *e);
/* Whether @w shows any pin; whether any walker of @list does. */
static inline bool has_pin_(const struct walker *w)
{
	for (int i = 0; i < MAX_PINS; i++)
		if (load_acquire(&w->pin[i])) /* D of mirror_unregister.c, where none is found */
			return true;
	return false;
}
bool any_pin_(struct mirror_list *list);
/* A walker that shows a pin of @e, and at which level; NULL: none does. */
struct walker *pinned_(struct mirror_list *list, const struct mirror__entry *e, int *level);

/* Take the pin of @e away. */
static inline void clear_pin_(const struct walk *walk, struct mirror__entry *e)
{
	if (MUTANT(UNPIN_NO_RELEASE))
		store_relaxed(walk->pin, NULL);
	else
		store_release(walk->pin, NULL); /* B (pairs with D): the callback before the empty pin */
	if (!MUTANT(NO_WAKE_AFTER_UNPIN)) {
		fence_light(walk->membarrier || MUTANT(UNPIN_NO_FENCE)); /* E (pairs with C): the empty pin before the state */
		if (load_relaxed(&e->state) & ENTRY_DEAD)
			unpinned_dead_(walk->list, e);
	}
}

/* No callback of @e runs here any more. */
static inline void unpin_(const struct walk *walk, struct mirror__entry *e)
{
	if (walk->timed)
		end_timing_(walk, e);
	clear_pin_(walk, e);
}

/* A callback of @e is about to run here; false: @e is dead, and none may. */
static inline bool pin_(const struct walk *walk, struct mirror__entry *e)
{
	if (MUTANT(PIN_AFTER_CHECK) && load_acquire(&e->state) & ENTRY_DEAD)
		return false;
	if (walk->timed)
		begin_timing_(walk);
	store_relaxed(walk->pin, e);
	fence_light(walk->membarrier || MUTANT(PIN_NO_FENCE)); /* A (pairs with C, F): the pin before the state */
	if (MUTANT(PIN_AFTER_CHECK) || !(load_acquire(&e->state) & ENTRY_DEAD))
		return true;
	clear_pin_(walk, e); /* there was no callback to be timed, and there may be no mirror */
	return false;
}

#endif /* MIRROR_LIST_H */
