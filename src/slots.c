/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which thread has which slot: keys, records and chunks, without a lock.  What, why and the barriers: at the top of src/slots.h. */

#include "slots.h"

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

static int owner_tid(uint64_t owner)
{
	return (int)(uint32_t)owner;
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
		if (key <= load_relaxed(&record->highest) && load_relaxed(&record->slot[key]))
			store_relaxed(&record->slot[key], NULL); /* the release below orders it */
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
	/* A (pairs with B): the object's release, when the thread enters something, comes after these. */
	slot->record = record;
	slot->generation = process_generation_of_new();
	slot->number = used + 1;
	return slot;
}

void *slots_claim(struct slots *slots)
{
	struct record *record = slots_record();
	uint32_t key = slots->key, highest;
	void *slot, *none = NULL;

	if (!record)
		return NULL;
	slot = slots_mine(slots);
	if (slot) /* a signal handler has been here since the caller looked */
		return slot;
	slot = new_slot(slots, record);
	if (!slot)
		return NULL;
	highest = load_relaxed(&record->highest);
	while (highest < key && !compare_exchange(&record->highest, &highest, key))
		;
	return compare_exchange(&record->slot[key], &none, slot) ? slot : none;
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

	if (mine == &empty_record)
		return;
	store_relaxed(&mine->owner, (mine->owner >> 32) << 32 | (uint32_t)port_tid());
	store_relaxed(&mine->self, self);
	store_relaxed(&mine->present, generation);
}

static bool has_vanished(const struct record *record)
{
	return load_relaxed(&record->present) < process_generation();
}

/* Whether @record's slots show that its thread is in nothing. */
static bool is_idle(const struct record *record)
{
	const struct slot *slot;

	for (uint32_t key = 1; key <= load_relaxed(&record->highest); key++) {
		slot = load_relaxed(&record->slot[key]);
		/* C (pairs with none): zero before the owner changes. */
		if (slot && (load_acquire(&slot->busy[0]) | load_acquire(&slot->busy[1])))
			return false;
	}
	return load_acquire(&record->gate) == 0;
}

/* Whether the owner is gone, and has left nothing open. */
static bool is_left(const struct record *record, int tid, int my_tid)
{
	return has_vanished(record) || ((tid == my_tid || process_has_ended(tid)) && is_idle(record));
}

/* If @record is unused, or can be from now on, note it. */
static void look_at(struct record *record, int my_tid)
{
	uint64_t owner = load_acquire(&record->owner), unused = (owner >> 32 << 32) + ((uint64_t)1 << 32);
	int tid = owner_tid(owner);
	struct record *none;

	if (tid && (process_is_strange() || !is_left(record, tid, my_tid) ||
		    !compare_exchange(&record->owner, &owner, unused)))
		return;
	for (int i = 0; i < NOTES; i++) {
		none = load_relaxed(&registry.note[i]);
		if (none == record || (!none && compare_exchange(&registry.note[i], &none, record)))
			return;
	}
}

/* Make @record this thread's, if it is unused. */
static bool take(struct record *record, int tid)
{
	uint64_t owner = load_acquire(&record->owner);

	if (owner_tid(owner) ||
	    !compare_exchange(&record->owner, &owner, (owner >> 32 << 32) + ((uint64_t)1 << 32) + (uint32_t)tid))
		return false;
	if (has_vanished(record)) {
		/* The slots of a vanished thread stay where they are, and count no more. */
		for (uint32_t key = 1; key <= record->highest; key++)
			store_relaxed(&record->slot[key], NULL);
		store_relaxed(&record->highest, 0);
		store_relaxed(&record->gate, 0);
		store_relaxed(&record->wait, NULL);
		store_relaxed(&record->since, process_generation());
	}
	store_relaxed(&record->self, process_self());
	store_relaxed(&record->present, process_generation_of_new());
	return true;
}

static void give_back(struct record *record)
{
	store_release(&record->owner, record->owner >> 32 << 32);
}

static struct record *noted_record(int tid)
{
	struct record *record;

	for (int i = 0; i < NOTES; i++) {
		if (!load_relaxed(&registry.note[i]))
			continue;
		record = exchange(&registry.note[i], NULL);
		if (record && take(record, tid))
			return record;
	}
	return NULL;
}

static struct record *new_record(int tid)
{
	struct record *record = port_map_sparse(sizeof(*record), PORT_PAGE_BYTES), *last, *none, **at = &registry.first;

	if (!record)
		return NULL;
	record->owner = (uint32_t)tid;
	record->self = process_self();
	record->present = process_generation_of_new();
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

static struct record *get_record(void)
{
	struct record *look = load_acquire(&registry.look), *record;
	int tid = port_tid();

	for (int i = 0; i < LOOKS; i++) {
		if (!look)
			look = slots_first_record();
		if (!look)
			break;
		look_at(look, tid);
		look = load_acquire(&look->next);
	}
	store_release(&registry.look, look);
	record = noted_record(tid);
	return record ? record : new_record(tid);
}

struct record *slots_record(void)
{
	struct record *record = my_record();

	if (record != &empty_record)
		return record;
	process_begin();
	process_on_adopt(adopted);
	record = get_record();
	if (record && !port_install_my_slots(empty_record.slot, record->slot)) {
		give_back(record); /* a signal handler has claimed one meanwhile */
		record = my_record();
	}
	return record;
}

bool slots_owner_ended(const struct slot *slot)
{
	int tid = slots_thread_number(slot);

	if (tid == port_tid())
		return slot->record != my_record();
	return !tid || process_has_ended(tid);
}

bool slots_record_is_live(const struct record *record)
{
	int tid = owner_tid(load_acquire(&record->owner));

	return tid && !has_vanished(record) && (record == my_record() || (tid != port_tid() && !process_has_ended(tid)));
}
