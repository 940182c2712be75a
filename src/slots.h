/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Slots: memory that one thread writes and the others read, one for each thread and object
 *
 * Terms.  An object is a domain of usrcu, which keeps its threads' counters in slots, or a mirror list, which keeps
 * its walkers' pins there.  Each object has a key, a small number.  A thread's record holds its table: two entries for
 * each key, the addresses of busy[0] and busy[1] of its slot of that object; the first is also the slot's own, since a
 * slot begins with busy.  So a section needs one load to find the counter that an entry's number names.  Key 0 is
 * nobody's: its entries are NULL in every table.
 *
 *      usrcu__slots (thread-local) --+
 *                                    v
 *      first -> record -> record: owner, ..., slot[0]  [1]  [2]  [3]  [4] ... [2 * SLOTS_MAX_KEYS - 1]
 *                                             NULL NULL   |    |    |
 *                                      +------------------+    |    +-> busy[0] of a slot of the object with key 2
 *                                      |+-- busy[1] -----------+
 *                                      vv
 *      key 1: first:        slot  slot  slot
 *             chunk[1] ---> slot  slot  slot  slot ...
 *             chunk[2] ---> slot  ... twice as many
 *
 * State
 *   usrcu__slots      its own thread, signal handlers included; the empty table until the thread's first use
 *   record->owner     compare-and-exchange: generation (process.h), a count of claims, and the thread's number, or 0: it
 *                     is unused, or CLAIMING: a thread is about to use it
 *   record->slot[]    its owner, a key's first entry by compare-and-exchange; slots_destroy clears both
 *   record->self, present, since    its owner: its name, its generation, and the first one whose slots count
 *   record->fenced    its owner, as usrcu.c says
 *   record->next      compare-and-exchange, once: records are appended, never freed
 *   key->chunk[]      compare-and-exchange, once: the memory stays the key's, whatever object has it
 *   key->used         compare-and-exchange; slots [0, used) have had a thread since the object was made
 *   a slot            its own thread, else its object decides
 *   slot->busy        its own thread; zero: the thread is in nothing of the object
 *
 * Algorithm
 *   1. A thread's first use takes a record: one whose owner is gone, or a new page.  Nobody registers, nothing runs at
 *      thread exit, and no lock is taken, so a signal handler may do all of it.
 *   2. Nobody says when a thread ends.  So each claim of a record looks at a few others, in turn, and asks the kernel
 *      whether their owners live.  A dead owner's record is unused, and another thread may have it with its table and
 *      slots, if none of the slots is busy.  If one is, the dead thread has left something open, and the record stays
 *      its own.  A few unused records are noted for the claims to come.
 *   3. A first use of an object takes the next slot of its key, and enters it in the table: the first entry, then the
 *      second one.  A handler may come in between; it finds the slot by the first entry.
 *   4. In the child of a fork the records of the other threads are of an older generation: what their slots show is of
 *      threads that do not exist there, and does not count (slots_vanished).  Nothing has to be done at the fork, but
 *      to give the record of the thread that forked its new thread number.
 *
 * Why it is safe
 *   1. A thread reads only its own table, and only at the key of an object that exists.  slots_destroy clears the key
 *      in every table before the key can be given out again.  (slots-key-reuse)
 *   2. A scan misses no slot with something in it: a thread writes its slot after the slot is below key->used, so
 *      whatever makes the scan see the one (a heavy fence) makes it see the other.  (usrcu-first-use)
 *   3. A record has one owner: it is taken, and given up, by a compare-and-exchange of the one word that says whose it
 *      is and of which generation.  While it is made ready for its new owner nobody takes it, because the word is
 *      CLAIMING.  That it was noted as unused is a hint.  (usrcu-exit)
 *   4. A handler that interrupts a claim may claim the same thing.  Both are entered by compare-and-exchange, so one
 *      wins; a record that loses is unused again, a slot that loses stays empty, and a key's second entry is of the slot
 *      that won.  The interrupted claim's record is CLAIMING meanwhile, so the handler does not take it for a dead
 *      thread's.  (usrcu-signal-first, usrcu-signal-claims, usrcu-signal-entries; mutants RECORD_NAMED_EARLY,
 *      SLOT_ENTERED_TWICE; t/usrcu/fork_anywhere)
 *   5. A claim that asks about a dead thread's slots may read a slot of an object that is being destroyed.  Chunks and records
 *      are never unmapped.  What is read there does not matter, because the slot is not in the table any more when its
 *      key means another object.
 *   6. A thread number may be given out again.  Then a dead owner seems alive, and its record is unused later.  A
 *      thread that finds its own number on another record knows that it is a dead thread's.
 *   7. A claim looks at 3 records and needs 1.  So if more than a third of all records had dead owners, claims would
 *      find more of them than they take, and no record would be mapped.  (t/usrcu/exit)
 *
 * Cost.  A first use in a thread: three system calls and three questions of 0.2 us each; a page for each thread that
 * lives at once with others (of a reservation of 256 KiB); slot_bytes for each thread and object, 700 bytes at least
 * for each object.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | a new slot | its head before what its thread does | full | B | a section is taken for a vanished thread's | usrcu-first-use |
 * | B | slots_record_of, after the object's acquire of busy | busy before the slot's head | acquire | A | as A | usrcu-first-use |
 * | C | a record becomes unused | busy, zero, which the object stored as a release, before the owner | acquire, then full | none | two threads in one slot | usrcu-exit |
 * | D | a slot is entered in its thread's table | the memory that it stands in, mapped and zero, before its address | release | E | another thread reads memory that is not mapped yet | t/usrcu/torture under TSan |
 * | E | the look at the slots of a dead thread | their addresses before their busy, and before the table's next owner | acquire | D | as D | t/usrcu/torture under TSan |
 */
#ifndef MIRROR_SLOTS_H
#define MIRROR_SLOTS_H

#include "port.h"
#include "process.h"

#ifndef SLOTS_MAX_KEYS
#define SLOTS_MAX_KEYS 16384
#endif

/* The head of every slot. */
struct slot {
	uint64_t busy[2];
	/* Constant, once busy was seen. */
	struct record *record;
	uint32_t generation;            /* in which it was taken */
	uint32_t number;                /* within its object, from 1; SLOT_REPORTED */
};

/* Set in number by usrcu.c: that its thread has ended inside a section was reported. */
#define SLOT_REPORTED ((uint32_t)1 << 31)
#define SLOTS_MAX_NUMBER ((uint32_t)1 << 26)

struct record {
	struct record *next;            /* in the order in which they were mapped */
	uint64_t owner;                 /* OWNER_... of slots.c: a generation, a count of claims, a thread number */
	uint64_t self;                  /* process_self() of the owner */
	uint32_t present;               /* the generation that the owner exists in */
	uint32_t since;                 /* slots from before this generation are a vanished thread's */
	uint32_t highest;               /* no slot is above this key */
	uint64_t gate;                  /* gate.c: how many sections of the gate the owner is in */
	struct wait *wait;              /* mirror_waits.c: what the owner waits in; under its lock */
	uint64_t fenced[2] __attribute__((aligned(16)));        /* usrcu.c: what some fast tokens point to */
	void *slot[2 * SLOTS_MAX_KEYS]; /* by key: busy[0] of its slot, the slot's own address; busy[1] */
};

#ifndef SLOTS_MAX_CHUNKS
#define SLOTS_MAX_CHUNKS 16
#endif
/* Chunk 0 stands in the key: a process with thousands of objects and few threads has few pages to copy at fork. */
#define SLOTS_FIRST_BYTES 512u
/* Chunk 1; each one after it is twice as large as the one before. */
#ifndef SLOTS_CHUNK_BYTES
#define SLOTS_CHUNK_BYTES PORT_PAGE_BYTES
#endif

/* What a key has: it stays when the object goes. */
struct slots_key {
	uint32_t taken;
	uint32_t used;
	char *chunk[SLOTS_MAX_CHUNKS];  /* [0] is not used */
	void *kept;                     /* the object's: memory that must not be given back, for the next object */
	char first[SLOTS_FIRST_BYTES] __attribute__((aligned(64)));
};

static inline size_t slots_chunk_bytes(uint32_t chunk)
{
	return chunk ? (size_t)SLOTS_CHUNK_BYTES << (chunk - 1) : SLOTS_FIRST_BYTES;
}

/* NULL: it has not been mapped, or by a thread that vanished (process.h). */
static inline char *slots_chunk(struct slots_key *key, uint32_t chunk)
{
	return chunk ? load_acquire(&key->chunk[chunk]) : key->first;
}

struct slots {
	struct slots_key *of;
	uint32_t key;
	uint32_t slot_bytes;
};

/* 0; -ENOSPC: every key is taken; -ENOMEM.  @slot_bytes is a multiple of 64; a slot begins with struct slot. */
int slots_init(struct slots *slots, uint32_t slot_bytes);
/* Nobody uses the object any more, or will. */
void slots_destroy(struct slots *slots);

/* This thread's record, claiming one; NULL: there is no memory. */
struct record *slots_record(void);

/* This thread's slot; NULL: it has none yet. */
static inline void *slots_mine(const struct slots *slots)
{
	return port_my_slots()[2 * slots->key];
}

/* The same, claiming one; NULL: there is no memory. */
void *slots_claim(struct slots *slots);

static inline struct record *slots_record_of(const struct slot *slot)
{
	return load_relaxed(&slot->record); /* B (pairs with A): the caller has seen busy. */
}

/* Whether the thread that @slot shows something of does not exist in this process, but in one before a fork. */
static inline bool slots_vanished(const struct slot *slot)
{
	const struct record *record = slots_record_of(slot);

	/* since was written before present. */
	return load_acquire(&record->present) < process_generation() ||
	       load_relaxed(&slot->generation) < load_relaxed(&record->since);
}

/* The number of that thread. */
int slots_thread_number(const struct slot *slot);

/* Whether that thread has ended. */
bool slots_owner_ended(const struct slot *slot);

/* for (struct slots_walk w = slots_first(slots); (slot = slots_next(&w)); ) */
struct slots_walk {
	struct slots_key *key;
	char *slot;
	uint32_t chunk;                 /* the next one */
	uint32_t left_here, left, slot_bytes;
};

static inline struct slots_walk slots_first(const struct slots *slots)
{
	return (struct slots_walk){
		.key = slots->of,
		.left = load_acquire(&slots->of->used),
		.slot_bytes = slots->slot_bytes,
	};
}

static inline void *slots_next(struct slots_walk *w)
{
	void *slot;

	while (!w->left_here) {
		if (!w->left || w->chunk == SLOTS_MAX_CHUNKS)
			return NULL;
		w->slot = slots_chunk(w->key, w->chunk);
		w->left_here = (uint32_t)(slots_chunk_bytes(w->chunk++) / w->slot_bytes);
		if (w->left_here > w->left)
			w->left_here = w->left;
		w->left -= w->left_here;
		if (!w->slot)
			w->left_here = 0;
	}
	slot = w->slot;
	w->slot += w->slot_bytes;
	w->left_here--;
	return slot;
}

/* The slot with this number, which was taken; NULL: none was. */
void *slots_numbered(const struct slots *slots, uint32_t number);

/* for (r = slots_first_record(); r; r = load_acquire(&r->next)) */
struct record *slots_first_record(void);
/* Whether @record is used by a thread of this process that has not ended. */
bool slots_record_is_live(const struct record *record);

#endif /* MIRROR_SLOTS_H */
