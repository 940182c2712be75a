/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which thread has which slot: keys, records and chunks, without a lock.  What it does and why it is safe, and the
 * barriers, are explained at the top of src/slots.h.
 */

#include "slots.h"
#include "mutant.h"

#include <errno.h>

/* Records that a claim looks at: 7 of slots.h. */
#define LOOKS 3
/* Unused records that are noted. */
#define NOTES 64
#define BLOCK_KEYS (SLOTS_MAX_KEYS < 128u ? SLOTS_MAX_KEYS : 128u)
#define NR_BLOCKS ((SLOTS_MAX_KEYS + BLOCK_KEYS - 1) / BLOCK_KEYS)

/* What every thread begins with; never written. */
static struct record empty_record;

__thread void **usrcu__slots = empty_record.slot;

static struct {
	struct slots_key *block[NR_BLOCKS];     /* of BLOCK_KEYS each; compare-and-exchange, once */
	uint32_t lowest_free;                   /* a hint */
	struct record *first;
	struct record *last;                    /* a hint: at or before the last one */
	struct record *look;                    /* the next one to look at; NULL: the first */
	struct record *note[NOTES];             /* hints: unused ones */
} registry = { .lowest_free = 1 };

static struct record *my_record(void)
{
	return (struct record *)((char *)port_my_slots() - offsetof(struct record, slot));
}

/*
 * record->owner
 *
 *       63          48 47          23 22          0
 *      +--------------+--------------+-------------+
 *      | generation   | claims       | thread      |
 *      +--------------+--------------+-------------+
 */
#define OWNER_TID_BITS 23               /* Linux has numbers below 2^22 */
#define OWNER_TID      (((uint64_t)1 << OWNER_TID_BITS) - 1)
#define OWNER_CLAIM    ((uint64_t)1 << OWNER_TID_BITS)
#define OWNER_GENERATION_SHIFT 48
/* Instead of a thread number. */
#define UNUSED         ((uint64_t)0)
#define CLAIMING       OWNER_TID

static uint64_t owner_tid(uint64_t owner)
{
	return owner & OWNER_TID;
}

/* The next owner of that generation, after @owner. */
static uint64_t next_owner(uint64_t owner, uint32_t generation, uint64_t tid)
{
	uint64_t claims = (owner + OWNER_CLAIM) & (((uint64_t)1 << OWNER_GENERATION_SHIFT) - 1) & ~OWNER_TID;

	return (uint64_t)generation << OWNER_GENERATION_SHIFT | claims | tid;
}

/* Whether @owner is of a process before this one. */
static bool is_of_old(uint64_t owner)
{
	return (int16_t)((uint16_t)(owner >> OWNER_GENERATION_SHIFT) - (uint16_t)process_generation()) < 0;
}

/* ---- keys ---- */

static struct slots_key *key_at(uint32_t key)
{
	struct slots_key **at = &registry.block[key / BLOCK_KEYS], *block = load_acquire(at), *none = NULL;

	if (!block) {
		block = port_map(BLOCK_KEYS * sizeof(*block));
		if (block && !compare_exchange(at, &none, block)) {
			port_unmap(block, BLOCK_KEYS * sizeof(*block));
			block = none;
		}
	}
	return block ? &block[key % BLOCK_KEYS] : NULL;
}

static uint32_t next_key(uint32_t key)
{
	return key + 1 < SLOTS_MAX_KEYS ? key + 1 : 1;
}

int slots_init(struct slots *slots, uint32_t slot_bytes)
{
	uint32_t hint = load_relaxed(&registry.lowest_free), key = hint, not_taken;
	struct slots_key *of;

	port_assert(slot_bytes % 64 == 0);
	do {
		of = key_at(key);
		if (!of)
			return -ENOMEM;
		not_taken = 0;
		if (!load_relaxed(&of->taken) && compare_exchange(&of->taken, &not_taken, 1)) {
			*slots = (struct slots){ .of = of, .key = key, .slot_bytes = slot_bytes };
			store_relaxed(&registry.lowest_free, next_key(key));
			return 0;
		}
		key = next_key(key);
	} while (key != hint);
	return -ENOSPC;
}

static void clear_chunks(struct slots_key *key)
{
	uint64_t *words = (uint64_t *)(void *)key->first;

	for (size_t i = 0; i < SLOTS_FIRST_BYTES / sizeof(*words); i++)
		store_relaxed(&words[i], 0); /* a claim may look at it: 5 of slots.h */
	for (uint32_t i = 1; i < SLOTS_MAX_CHUNKS; i++)
		if (key->chunk[i])
			port_discard(key->chunk[i], slots_chunk_bytes(i));
}

void slots_destroy(struct slots *slots)
{
	uint32_t key = slots->key;
	struct record *record;

	for (record = slots_first_record(); record; record = load_acquire(&record->next))
		/* Pages of tables that were never used stay so. */
		if (key <= load_relaxed(&record->highest) && load_relaxed(&record->slot[2 * key])) {
			/* the release below orders both */
			store_relaxed(&record->slot[2 * key], NULL);
			store_relaxed(&record->slot[2 * key + 1], NULL);
		}
	if (slots->of->used)
		clear_chunks(slots->of);
	store_relaxed(&slots->of->used, 0);
	store_release(&slots->of->taken, 0);
	if (key < load_relaxed(&registry.lowest_free))
		store_relaxed(&registry.lowest_free, key);
}

/* ---- slots ---- */

/* Where slot @i, from 0, stands: its chunk, and in *@i its place there. */
static uint32_t chunk_of(const struct slots *slots, uint32_t *i)
{
	uint32_t chunk = 0, nr;

	while (*i >= (nr = (uint32_t)(slots_chunk_bytes(chunk) / slots->slot_bytes))) {
		*i -= nr;
		chunk++;
	}
	return chunk;
}

static char *get_chunk(struct slots_key *of, uint32_t chunk)
{
	size_t bytes = slots_chunk_bytes(chunk);
	char *memory = slots_chunk(of, chunk), *none = NULL;

	if (memory)
		return memory;
	memory = port_map(bytes);
	if (memory && !compare_exchange(&of->chunk[chunk], &none, memory)) {
		port_unmap(memory, bytes);
		memory = none;
	}
	return memory;
}

/* A slot that is in no table yet; NULL: there is no memory. */
static struct slot *new_slot(struct slots *slots, struct record *record)
{
	uint32_t used = load_relaxed(&slots->of->used), i, chunk;
	char *memory;
	struct slot *slot;

	do {
		i = used;
		chunk = i < SLOTS_MAX_NUMBER ? chunk_of(slots, &i) : SLOTS_MAX_CHUNKS;
		memory = chunk < SLOTS_MAX_CHUNKS ? get_chunk(slots->of, chunk) : NULL;
		if (!memory)
			return NULL;
	} while (!compare_exchange(&slots->of->used, &used, used + 1));
	slot = (struct slot *)(void *)(memory + (size_t)i * slots->slot_bytes);
	store_relaxed(&slot->record, record);
	store_relaxed(&slot->generation, process_generation_of_new());
	store_relaxed(&slot->number, used + 1);
	fence_full(); /* A (pairs with B): the head before what the thread does */
	return slot;
}

/* This thread's slot, entered with its first word; NULL: there is no memory. */
static struct slot *enter_slot(struct slots *slots, struct record *record)
{
	uint32_t key = slots->key, highest;
	struct slot *slot = new_slot(slots, record);
	void *entered = NULL;

	if (!slot)
		return NULL;
	highest = load_relaxed(&record->highest);
	while (highest < key && !compare_exchange(&record->highest, &highest, key))
		;
	/* D (pairs with E): the slot's memory before its address in the table */
	if (compare_exchange(&record->slot[2 * key], &entered, slot))
		return slot;
	return broken_if(SLOT_ENTERED_TWICE, slot, entered); /* a signal handler's came first */
}

void *slots_claim(struct slots *slots)
{
	struct record *record = slots_record();
	struct slot *slot;

	if (!record)
		return NULL;
	slot = slots_mine(slots); /* a signal handler may have been here since the caller looked */
	if (!slot)
		slot = enter_slot(slots, record);
	if (slot) /* D (pairs with E): as for the first */
		store_release(&record->slot[2 * slots->key + 1], &slot->busy[1]);
	return slot;
}

void *slots_numbered(const struct slots *slots, uint32_t number)
{
	uint32_t i = number - 1, chunk;

	if (i >= load_acquire(&slots->of->used))
		return NULL;
	chunk = chunk_of(slots, &i);
	return slots_chunk(slots->of, chunk) + (size_t)i * slots->slot_bytes;
}

/* ---- records ---- */

struct record *slots_first_record(void)
{
	return load_acquire(&registry.first);
}

/* In the thread that forked. */
static void adopted(uint32_t generation, uint64_t self)
{
	struct record *mine = my_record();

	store_relaxed(&registry.last, NULL); /* a vanished thread may have stored it, and not what it leads to */
	if (mine == &empty_record)
		return;
	store_relaxed(&mine->self, self);
	store_release(&mine->present, generation);
	store_release(&mine->owner, next_owner(mine->owner, generation, (uint64_t)port_tid()));
}

/* Whether @record's slots show that its thread is in nothing. */
static bool is_idle(const struct record *record)
{
	const struct slot *slot;

	for (uint32_t key = 1; key <= load_relaxed(&record->highest); key++) {
		/* E (pairs with D): before busy, and before the table is another thread's, which reads it plainly. */
		slot = load_acquire(&record->slot[2 * key]);
		(void)load_acquire(&record->slot[2 * key + 1]);
		/* C (pairs with none): zero before the owner changes. */
		if (slot && (load_acquire(&slot->busy[0]) | load_acquire(&slot->busy[1])))
			return false;
	}
	return load_acquire(&record->gate) == 0;
}

/* Whether the owner is gone, and has left nothing open. */
static bool is_left(const struct record *record, uint64_t owner, uint64_t my_tid)
{
	if (is_of_old(owner))
		return true;
	if (owner_tid(owner) == CLAIMING || record == my_record()) /* which a handler has claimed since we came here */
		return false;
	return (owner_tid(owner) == my_tid || process_has_ended((int)owner_tid(owner))) && is_idle(record);
}

/* If @record is unused, or can be from now on, note it. */
static void look_at(struct record *record, uint64_t my_tid)
{
	uint64_t owner = load_acquire(&record->owner);
	struct record *none;

	if (owner_tid(owner) != UNUSED &&
	    (process_is_strange() || !is_left(record, owner, my_tid) ||
	     !compare_exchange(&record->owner, &owner,
			       next_owner(owner, (uint32_t)(owner >> OWNER_GENERATION_SHIFT), UNUSED))))
		return;
	for (int i = 0; i < NOTES; i++) {
		none = load_relaxed(&registry.note[i]);
		if (none == record || (!none && compare_exchange(&registry.note[i], &none, record)))
			return;
	}
}

/* The mutant says too early whose it is. */
static uint64_t claimer(void)
{
	return broken_if(RECORD_NAMED_EARLY, (uint64_t)port_tid(), CLAIMING);
}

/* If @record is unused, it is this thread's to make ready. */
static bool take(struct record *record)
{
	uint64_t owner = load_acquire(&record->owner);

	if (owner_tid(owner) != UNUSED ||
	    !compare_exchange(&record->owner, &owner, next_owner(owner, process_generation_of_new(), claimer())))
		return false;
	if (load_relaxed(&record->present) < process_generation()) {
		/* The slots of a vanished thread stay where they are, and count no more. */
		for (uint32_t key = 1; key <= record->highest; key++) {
			store_relaxed(&record->slot[2 * key], NULL);
			store_relaxed(&record->slot[2 * key + 1], NULL);
		}
		store_relaxed(&record->highest, 0);
		store_relaxed(&record->gate, 0);
		store_relaxed(&record->wait, NULL);
		store_relaxed(&record->since, process_generation());
	}
	return true;
}

static struct record *noted_record(void)
{
	struct record *record;

	for (int i = 0; i < NOTES; i++) {
		if (!load_relaxed(&registry.note[i]))
			continue;
		record = exchange(&registry.note[i], NULL);
		if (record && take(record))
			return record;
	}
	return NULL;
}

static struct record *new_record(void)
{
	struct record *record = port_map_sparse(sizeof(*record), PORT_PAGE_BYTES), *last, *none, **at = &registry.first;

	if (!record)
		return NULL;
	record->owner = next_owner(0, process_generation_of_new(), claimer());
	last = load_acquire(&registry.last);
	if (last)
		at = &last->next;
	do {
		while ((last = load_acquire(at)))
			at = &last->next;
		none = NULL;
	} while (!compare_exchange(at, &none, record));
	store_release(&registry.last, record);
	return record;
}

/* A record that is this thread's to make ready. */
static struct record *get_record(uint64_t tid)
{
	struct record *look = load_acquire(&registry.look), *record;

	for (int i = 0; i < LOOKS; i++) {
		if (!look)
			look = slots_first_record();
		if (!look)
			break;
		look_at(look, tid);
		look = load_acquire(&look->next);
	}
	store_release(&registry.look, look);
	record = noted_record();
	return record ? record : new_record();
}

/*
 * Take a record, enter its table, then say whose it is.  Handlers may come anywhere.  One that claims finds CLAIMING,
 * and takes another record, which stays; one that forks makes this claim one of an older generation, so that another
 * thread of the child may take the record.  False: that has happened.
 */
static bool claim_record(void)
{
	struct record *record = get_record((uint64_t)port_tid());
	uint32_t generation;
	uint64_t claiming;

	if (!record)
		return true;
	claiming = load_relaxed(&record->owner);
	generation = process_generation_of_new();
	store_relaxed(&record->self, process_self());
	store_release(&record->present, generation);
	if (!port_install_my_slots(empty_record.slot, record->slot)) {
		compare_exchange(&record->owner, &claiming, next_owner(claiming, generation, UNUSED));
		return true;
	}
	if (compare_exchange(&record->owner, &claiming, next_owner(claiming, generation, (uint64_t)port_tid())) ||
	    owner_tid(claiming) == (uint64_t)port_tid()) /* adopted, in a child, by this thread */
		return true;
	port_install_my_slots(record->slot, empty_record.slot);
	return false;
}

struct record *slots_record(void)
{
	if (my_record() == &empty_record) {
		process_begin();
		process_on_adopt(adopted);
		while (!claim_record())
			;
	}
	return my_record() == &empty_record ? NULL : my_record();
}

int slots_thread_number(const struct slot *slot)
{
	return (int)owner_tid(load_acquire(&slots_record_of(slot)->owner));
}

static bool is_live(const struct record *record, uint64_t owner)
{
	if (owner_tid(owner) == UNUSED || is_of_old(owner))
		return false;
	if (record == my_record() || owner_tid(owner) == CLAIMING)
		return true;
	return owner_tid(owner) != (uint64_t)port_tid() && !process_has_ended((int)owner_tid(owner));
}

bool slots_owner_ended(const struct slot *slot)
{
	const struct record *record = slots_record_of(slot);

	return !is_live(record, load_acquire(&record->owner));
}

bool slots_record_is_live(const struct record *record)
{
	return is_live(record, load_acquire(&record->owner));
}
