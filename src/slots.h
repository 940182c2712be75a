/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Slots: memory that one thread writes and the others read, one for each thread and object
 *
 * A domain of usrcu keeps its threads' counters in slots, a mirror list its walkers' pins.  No
 * thread registers: its first use of an object claims a slot, its exit gives it back.
 *
 * Every live object has a key, a small number; every thread that uses any object has a table
 * of pointers to its slots, by key (usrcu__slots).  So a thread finds its own slot by one load,
 * and an object finds all its slots by walking its chunks.  Key 0 is nobody's: its entry is
 * NULL in every table.
 *
 * State
 *   table->slot[key]   under the registry's lock; read by its own thread without it
 *   slots->chunks       under the registry's lock, published by release; never shrinks
 *   chunk->used         the same: slots [0, used) have had a thread
 *   chunk->owner        under the registry's lock
 *   a slot              its own thread, else its object decides
 *
 * Why it is safe
 *   1. A thread reads only its own table, and only at the key of an object that exists.
 *      slots_destroy clears that key in every table before the key can be given out again.
 *      (explorer: slots-key-reuse)
 *   2. A scan misses no slot with something in it: a thread writes its slot after it has
 *      published it, so that whatever makes the scan see the one (a heavy fence) makes it see
 *      the other.  (usrcu-first-use)
 *   3. A signal handler may claim: signals are blocked while the registry's lock is held, and
 *      memory comes straight from the kernel.
 *
 * Lock order: the registry's lock first, then the locks that slots_ops take at fork.
 *
 * Cost: a page for each thread (of a reservation of 128 KiB), a page at least for each object
 * in use, slot_bytes for each thread and object, taken again when the thread is gone.
 */
#ifndef MIRROR_SLOTS_H
#define MIRROR_SLOTS_H

#include "port.h"

#ifndef SLOTS_MAX_KEYS
#define SLOTS_MAX_KEYS 16384
#endif

struct slots;

/* What the owner of slots wants to know.  All under the registry's lock. */
struct slots_ops {
	/* Its thread exits.  True: another thread may have it; false: it stays as it is for good. */
	bool (*vacate)(struct slots *slots, void *slot);
	/* In the child of a fork: its thread does not exist here. */
	void (*vanish)(struct slots *slots, void *slot);
	/* Around a fork: take and give back the object's own lock; make it good in the child. */
	void (*before_fork)(struct slots *slots);
	void (*after_fork)(struct slots *slots, bool in_child);
};

struct slots_chunk;
union slots_owner;

struct slots {
	uint32_t key;
	uint32_t slot_bytes;
	struct slots_chunk *chunks;     /* newest first */
	union slots_owner *vacant;      /* given back, linked */
	const struct slots_ops *ops;
};

struct slots_chunk {
	struct slots_chunk *next;
	size_t bytes;
	char *slot;                     /* nr slots of slots->slot_bytes */
	union slots_owner *owner;       /* of each */
	uint32_t nr;
	uint32_t used;
};

/* 0, or -ENOSPC: every key is taken.  @slot_bytes is a multiple of 64. */
int slots_init(struct slots *slots, const struct slots_ops *ops, uint32_t slot_bytes);
/* Nobody uses the object any more, or will. */
void slots_destroy(struct slots *slots);

/* This thread's slot; NULL where it has none yet. */
static inline void *slots_mine(const struct slots *slots)
{
	return port_my_slots()[slots->key];
}

/* The same, claiming one; NULL where memory ran out. */
void *slots_claim(struct slots *slots);

/*
 * for (struct slots_walk w = slots_first(slots); (slot = slots_next(&w)); )
 */
struct slots_walk {
	const struct slots_chunk *chunk;
	char *slot;
	uint32_t left, slot_bytes;
};

static inline void slots_enter(struct slots_walk *w, const struct slots_chunk *chunk)
{
	w->chunk = chunk;
	if (chunk) {
		w->slot = chunk->slot;
		w->left = load_acquire(&chunk->used);
	}
}

static inline struct slots_walk slots_first(const struct slots *slots)
{
	struct slots_walk w = { .slot_bytes = slots->slot_bytes };

	slots_enter(&w, load_acquire(&slots->chunks));
	return w;
}

static inline void *slots_next(struct slots_walk *w)
{
	void *slot;

	while (w->chunk && !w->left)
		slots_enter(w, w->chunk->next);
	if (!w->chunk)
		return NULL;
	slot = w->slot;
	w->slot += w->slot_bytes;
	w->left--;
	return slot;
}

#endif /* MIRROR_SLOTS_H */
