/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Who has which slot: the registry of objects and threads.  slots.h says what and why. */

#include "slots.h"

#include <errno.h>

#define PAGE_BYTES 4096u
#define MAX_CHUNK_BYTES (256u * 1024)

union slots_owner {
	struct table *table;            /* whose slot it is */
	union slots_owner *next;        /* while vacant */
};

/* One thread's slots.  port_my_slots() is &table->slot[0]. */
struct table {
	struct table *next, **link;     /* all of them, under the registry's lock */
	uint32_t highest;               /* no slot is above this key */
	uint32_t exit_rounds;           /* its own thread's */
	void *slot[SLOTS_MAX_KEYS];
};

/* What every thread begins with; never written. */
static struct table empty_table;
/* The owner of slots whose thread left them in use. */
static struct table orphans;

__thread void **usrcu__slots __attribute__((tls_model("initial-exec"))) = empty_table.slot;

static struct {
	struct port_mutex lock;
	struct slots *object[SLOTS_MAX_KEYS];
	uint32_t lowest_free;           /* no key in [1, lowest_free) is free */
	uint32_t highest;
	struct table *tables;
	port_signals at_fork;
} registry = { .lock = PORT_MUTEX_INITIALIZER, .lowest_free = 1 };

static void registry_lock(port_signals *saved)
{
	port_signals_block(saved);
	port_mutex_lock(&registry.lock);
}

static void registry_unlock(const port_signals *saved)
{
	port_mutex_unlock(&registry.lock);
	port_signals_restore(saved);
}

static struct table *my_table(void)
{
	return (struct table *)((char *)port_my_slots() - offsetof(struct table, slot));
}

/* ---- objects ---- */

int slots_init(struct slots *slots, const struct slots_ops *ops, uint32_t slot_bytes)
{
	port_signals saved;
	uint32_t key;

	port_assert(slot_bytes % 64 == 0);
	registry_lock(&saved);
	for (key = registry.lowest_free; key < SLOTS_MAX_KEYS; key++)
		if (!registry.object[key])
			break;
	registry.lowest_free = key < SLOTS_MAX_KEYS ? key + 1 : key;
	if (key < SLOTS_MAX_KEYS) {
		*slots = (struct slots){ .key = key, .slot_bytes = slot_bytes, .ops = ops };
		registry.object[key] = slots;
		if (registry.highest < key)
			registry.highest = key;
	}
	registry_unlock(&saved);
	return key < SLOTS_MAX_KEYS ? 0 : -ENOSPC;
}

void slots_destroy(struct slots *slots)
{
	struct slots_chunk *chunk, *next;
	struct table *table;
	port_signals saved;

	registry_lock(&saved);
	for (table = registry.tables; table; table = table->next)
		store_relaxed(&table->slot[slots->key], NULL); /* the lock orders it */
	registry.object[slots->key] = NULL;
	if (registry.lowest_free > slots->key)
		registry.lowest_free = slots->key;
	registry_unlock(&saved);
	for (chunk = slots->chunks; chunk; chunk = next) {
		next = chunk->next;
		port_unmap(chunk, chunk->bytes);
	}
	slots->chunks = NULL;
}

/* ---- slots ---- */

/* Each chunk is twice as large as the one before: few chunks, little waste. */
static struct slots_chunk *add_chunk(struct slots *slots)
{
	struct slots_chunk *chunk, *last = slots->chunks;
	size_t bytes = last && last->bytes < MAX_CHUNK_BYTES ? 2 * last->bytes :
		       last ? MAX_CHUNK_BYTES : PAGE_BYTES;
	size_t head;
	uint32_t nr;

	nr = (uint32_t)((bytes - sizeof(*chunk)) / (slots->slot_bytes + sizeof(chunk->owner[0])));
	head = (sizeof(*chunk) + nr * sizeof(chunk->owner[0]) + 63) & ~(size_t)63;
	while (head + (size_t)nr * slots->slot_bytes > bytes)
		nr--;
	chunk = port_map(bytes);
	if (!chunk)
		return NULL;
	chunk->next = last;
	chunk->bytes = bytes;
	chunk->owner = (union slots_owner *)(chunk + 1);
	chunk->slot = (char *)chunk + head;
	chunk->nr = nr;
	store_release(&slots->chunks, chunk);
	return chunk;
}

static void *vacant_slot(struct slots *slots, struct table *owner)
{
	struct slots_chunk *chunk = slots->chunks;
	union slots_owner *vacant = slots->vacant;
	uint32_t i;

	if (vacant) {
		slots->vacant = vacant->next;
		while (vacant < chunk->owner || vacant >= chunk->owner + chunk->nr)
			chunk = chunk->next;
		i = (uint32_t)(vacant - chunk->owner);
	} else {
		if (!chunk || chunk->used == chunk->nr)
			chunk = add_chunk(slots);
		if (!chunk)
			return NULL;
		i = chunk->used;
		store_release(&chunk->used, i + 1);
	}
	chunk->owner[i].table = owner;
	return chunk->slot + (size_t)i * slots->slot_bytes;
}

static union slots_owner *owner_of(const struct slots *slots, const void *slot)
{
	const struct slots_chunk *chunk = slots->chunks;
	const char *p = slot;

	while (p < chunk->slot || p >= chunk->slot + (size_t)chunk->nr * slots->slot_bytes)
		chunk = chunk->next;
	return &chunk->owner[(size_t)(p - chunk->slot) / slots->slot_bytes];
}

static void make_vacant(struct slots *slots, union slots_owner *owner)
{
	owner->next = slots->vacant;
	slots->vacant = owner;
}

/* ---- threads ---- */

/* In the last round: until then the program's own hooks may end sections, or begin some. */
static void thread_exits(void)
{
	struct table *table = my_table();
	struct slots *slots;
	port_signals saved;
	uint32_t key;

	if (++table->exit_rounds < PORT_EXIT_ROUNDS && port_at_thread_exit(thread_exits) == 0)
		return;
	registry_lock(&saved);
	port_set_my_slots(empty_table.slot);
	for (key = 1; key <= table->highest; key++) {
		if (!table->slot[key])
			continue;
		slots = registry.object[key];
		if (slots->ops->vacate(slots, table->slot[key]))
			make_vacant(slots, owner_of(slots, table->slot[key]));
		else
			owner_of(slots, table->slot[key])->table = &orphans;
	}
	*table->link = table->next;
	if (table->next)
		table->next->link = table->link;
	registry_unlock(&saved);
	port_unmap(table, sizeof(*table));
}

/* This thread's own table; NULL where there is no memory for one. */
static struct table *writable_table(void)
{
	struct table *table = my_table();

	if (table != &empty_table)
		return table;
	table = port_map(sizeof(*table));
	if (!table)
		return NULL;
	if (port_at_thread_exit(thread_exits)) {
		port_unmap(table, sizeof(*table));
		return NULL;
	}
	table->link = &registry.tables;
	table->next = registry.tables;
	if (table->next)
		table->next->link = &table->next;
	registry.tables = table;
	port_set_my_slots(table->slot);
	return table;
}

void *slots_claim(struct slots *slots)
{
	struct table *table;
	port_signals saved;
	void *slot;

	registry_lock(&saved);
	slot = slots_mine(slots); /* a signal handler may have been here since the caller looked */
	if (!slot) {
		table = writable_table();
		slot = table ? vacant_slot(slots, table) : NULL;
		if (slot) {
			store_relaxed(&table->slot[slots->key], slot);
			if (table->highest < slots->key)
				table->highest = slots->key;
		}
	}
	registry_unlock(&saved);
	return slot;
}

/* ---- fork ---- */

static void before_fork(void)
{
	port_signals saved;
	uint32_t key;

	registry_lock(&saved);
	registry.at_fork = saved;
	for (key = 1; key <= registry.highest; key++)
		if (registry.object[key])
			registry.object[key]->ops->before_fork(registry.object[key]);
}

static void after_fork(bool in_child)
{
	port_signals saved = registry.at_fork;
	uint32_t key;

	for (key = registry.highest; key > 0; key--)
		if (registry.object[key])
			registry.object[key]->ops->after_fork(registry.object[key], in_child);
	registry_unlock(&saved);
}

static void after_fork_in_parent(void)
{
	after_fork(false);
}

/* The other threads do not exist here: their slots are vacant, their tables go. */
static void after_fork_in_child(void)
{
	struct table *table, *next, *mine = my_table();
	struct slots *slots;
	uint32_t key;

	for (table = registry.tables; table; table = next) {
		next = table->next;
		if (table == mine)
			continue;
		for (key = 1; key <= table->highest; key++) {
			if (!table->slot[key])
				continue;
			slots = registry.object[key];
			slots->ops->vanish(slots, table->slot[key]);
			make_vacant(slots, owner_of(slots, table->slot[key]));
		}
		port_unmap(table, sizeof(*table));
	}
	registry.tables = mine == &empty_table ? NULL : mine;
	if (registry.tables) {
		mine->next = NULL;
		mine->link = &registry.tables;
	}
	after_fork(true);
}

__attribute__((constructor)) static void hook_fork(void)
{
	port_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}
