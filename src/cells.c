/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Who has which cell: the registry of objects and threads.  cells.h says what and why. */

#include "cells.h"

#include <errno.h>

#define PAGE_BYTES 4096u
#define MAX_CHUNK_BYTES (256u * 1024)

union cells_owner {
	struct table *table;            /* whose cell it is */
	union cells_owner *next;        /* while vacant */
};

/* One thread's cells.  port_my_cells() is &table->cell[0]. */
struct table {
	struct table *next, **link;     /* all of them, under the registry's lock */
	uint32_t highest;               /* no cell is above this slot */
	uint32_t exit_rounds;           /* its own thread's */
	void *cell[CELLS_MAX_SLOTS];
};

/* What every thread begins with; never written. */
static struct table empty_table;
/* The owner of cells whose thread left them in use. */
static struct table orphans;

__thread void **usrcu__cells __attribute__((tls_model("initial-exec"))) = empty_table.cell;

static struct {
	struct port_mutex lock;
	struct cells *object[CELLS_MAX_SLOTS];
	uint32_t lowest_free;           /* no slot in [1, lowest_free) is free */
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
	return (struct table *)((char *)port_my_cells() - offsetof(struct table, cell));
}

/* ---- objects ---- */

int cells_init(struct cells *cells, const struct cells_ops *ops, uint32_t cell_bytes)
{
	port_signals saved;
	uint32_t slot;

	port_assert(cell_bytes % 64 == 0);
	registry_lock(&saved);
	for (slot = registry.lowest_free; slot < CELLS_MAX_SLOTS; slot++)
		if (!registry.object[slot])
			break;
	registry.lowest_free = slot < CELLS_MAX_SLOTS ? slot + 1 : slot;
	if (slot < CELLS_MAX_SLOTS) {
		*cells = (struct cells){ .slot = slot, .cell_bytes = cell_bytes, .ops = ops };
		registry.object[slot] = cells;
		if (registry.highest < slot)
			registry.highest = slot;
	}
	registry_unlock(&saved);
	return slot < CELLS_MAX_SLOTS ? 0 : -ENOSPC;
}

void cells_destroy(struct cells *cells)
{
	struct cells_chunk *chunk, *next;
	struct table *table;
	port_signals saved;

	registry_lock(&saved);
	for (table = registry.tables; table; table = table->next)
		store_relaxed(&table->cell[cells->slot], NULL); /* the lock orders it */
	registry.object[cells->slot] = NULL;
	if (registry.lowest_free > cells->slot)
		registry.lowest_free = cells->slot;
	registry_unlock(&saved);
	for (chunk = cells->chunks; chunk; chunk = next) {
		next = chunk->next;
		port_unmap(chunk, chunk->bytes);
	}
	cells->chunks = NULL;
}

/* ---- cells ---- */

/* Each chunk is twice as large as the one before: few chunks, little waste. */
static struct cells_chunk *add_chunk(struct cells *cells)
{
	struct cells_chunk *chunk, *last = cells->chunks;
	size_t bytes = last && last->bytes < MAX_CHUNK_BYTES ? 2 * last->bytes :
		       last ? MAX_CHUNK_BYTES : PAGE_BYTES;
	size_t head;
	uint32_t nr;

	nr = (uint32_t)((bytes - sizeof(*chunk)) / (cells->cell_bytes + sizeof(chunk->owner[0])));
	head = (sizeof(*chunk) + nr * sizeof(chunk->owner[0]) + 63) & ~(size_t)63;
	while (head + (size_t)nr * cells->cell_bytes > bytes)
		nr--;
	chunk = port_map(bytes);
	if (!chunk)
		return NULL;
	chunk->next = last;
	chunk->bytes = bytes;
	chunk->owner = (union cells_owner *)(chunk + 1);
	chunk->cell = (char *)chunk + head;
	chunk->nr = nr;
	store_release(&cells->chunks, chunk);
	return chunk;
}

static void *vacant_cell(struct cells *cells, struct table *owner)
{
	struct cells_chunk *chunk = cells->chunks;
	union cells_owner *vacant = cells->vacant;
	uint32_t i;

	if (vacant) {
		cells->vacant = vacant->next;
		while (vacant < chunk->owner || vacant >= chunk->owner + chunk->nr)
			chunk = chunk->next;
		i = (uint32_t)(vacant - chunk->owner);
	} else {
		if (!chunk || chunk->used == chunk->nr)
			chunk = add_chunk(cells);
		if (!chunk)
			return NULL;
		i = chunk->used;
		store_release(&chunk->used, i + 1);
	}
	chunk->owner[i].table = owner;
	return chunk->cell + (size_t)i * cells->cell_bytes;
}

static union cells_owner *owner_of(const struct cells *cells, const void *cell)
{
	const struct cells_chunk *chunk = cells->chunks;
	const char *p = cell;

	while (p < chunk->cell || p >= chunk->cell + (size_t)chunk->nr * cells->cell_bytes)
		chunk = chunk->next;
	return &chunk->owner[(size_t)(p - chunk->cell) / cells->cell_bytes];
}

static void make_vacant(struct cells *cells, union cells_owner *owner)
{
	owner->next = cells->vacant;
	cells->vacant = owner;
}

/* ---- threads ---- */

/* In the last round: until then the program's own hooks may end sections, or begin some. */
static void thread_exits(void)
{
	struct table *table = my_table();
	struct cells *cells;
	port_signals saved;
	uint32_t slot;

	if (++table->exit_rounds < PORT_EXIT_ROUNDS && port_at_thread_exit(thread_exits) == 0)
		return;
	registry_lock(&saved);
	port_set_my_cells(empty_table.cell);
	for (slot = 1; slot <= table->highest; slot++) {
		if (!table->cell[slot])
			continue;
		cells = registry.object[slot];
		if (cells->ops->vacate(cells, table->cell[slot]))
			make_vacant(cells, owner_of(cells, table->cell[slot]));
		else
			owner_of(cells, table->cell[slot])->table = &orphans;
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
	port_set_my_cells(table->cell);
	return table;
}

void *cells_claim(struct cells *cells)
{
	struct table *table;
	port_signals saved;
	void *cell;

	registry_lock(&saved);
	cell = cells_mine(cells); /* a signal handler may have been here since the caller looked */
	if (!cell) {
		table = writable_table();
		cell = table ? vacant_cell(cells, table) : NULL;
		if (cell) {
			store_relaxed(&table->cell[cells->slot], cell);
			if (table->highest < cells->slot)
				table->highest = cells->slot;
		}
	}
	registry_unlock(&saved);
	return cell;
}

/* ---- fork ---- */

static void before_fork(void)
{
	port_signals saved;
	uint32_t slot;

	registry_lock(&saved);
	registry.at_fork = saved;
	for (slot = 1; slot <= registry.highest; slot++)
		if (registry.object[slot])
			registry.object[slot]->ops->before_fork(registry.object[slot]);
}

static void after_fork(bool in_child)
{
	port_signals saved = registry.at_fork;
	uint32_t slot;

	for (slot = registry.highest; slot > 0; slot--)
		if (registry.object[slot])
			registry.object[slot]->ops->after_fork(registry.object[slot], in_child);
	registry_unlock(&saved);
}

static void after_fork_in_parent(void)
{
	after_fork(false);
}

/* The other threads do not exist here: their cells are vacant, their tables go. */
static void after_fork_in_child(void)
{
	struct table *table, *next, *mine = my_table();
	struct cells *cells;
	uint32_t slot;

	for (table = registry.tables; table; table = next) {
		next = table->next;
		if (table == mine)
			continue;
		for (slot = 1; slot <= table->highest; slot++) {
			if (!table->cell[slot])
				continue;
			cells = registry.object[slot];
			cells->ops->vanish(cells, table->cell[slot]);
			make_vacant(cells, owner_of(cells, table->cell[slot]));
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
