/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The memory of a list: where entries, nodes of the index and blocks of whole-list mirrors come from
 *
 * State.  The pools of struct mirror_list, under list->lock.
 *
 * Algorithm
 *   1. Memory comes from pools (pool.c), whose chunks come from the list's allocator.  It is taken out of the list by
 *      unlink_, waits as garbage, and is used again or freed (mirror_garbage.c).
 *   2. The allocator is never called under list->lock: the program's allocator may unmap memory, and so end up
 *      publishing, and a callback may register.  So three calls give the lock up, and chunks are freed after it.
 *      Over a lock the same is true of the sync's write_lock: it is given up around the allocator.  Other changes may
 *      come between, as they may where list->lock alone is given up; list->changing is under write_lock, so only the
 *      thread that holds it finds it set.  (t/mirror/surroundings)
 *   3. Unregistering needs no memory.
 *
 * Cost.  A mirror: 64 bytes, and 10 in a block or about 45 in the index (35 if keys ascend); the unused part of a chunk
 * of each kind; and garbage.
 */

#include "mirror_memory.h"

#include "mirror_blocks.h"

#include <errno.h>
#include <string.h>

/* From here on memory comes from the kernel, and goes back to it. */
#define SMALLEST_MAPPED (16u << 10)

/* ---- changes over a lock ---- */

int begin_change_(struct mirror_list *list, uint64_t timeout_ns)
{
	int rc;

	if (list->grace_period)
		return 0;
	rc = list->sync->write_lock(list->sync_state, timeout_ns);
	if (!rc)
		list->changing = true;
	return rc;
}

void end_change_(struct mirror_list *list)
{
	if (list->grace_period)
		return;
	list->changing = false;
	list->sync->write_unlock(list->sync_state);
}

/* True if this thread was within a change. */
static bool interrupt_change(struct mirror_list *list)
{
	if (!list->changing)
		return false;
	end_change_(list);
	return true;
}

static void resume_change(struct mirror_list *list)
{
	if (begin_change_(list, PORT_FOREVER))
		port_fatal("a change of a list", "the sync's write_lock fails without a time-out", list);
}

/* ---- the program's allocator ---- */

static void *list_alloc(struct mirror_list *list, size_t bytes)
{
	bool interrupted;
	void *memory;

	if (!list->allocator.alloc)
		return bytes < SMALLEST_MAPPED ? port_alloc(bytes) : port_map(bytes);
	interrupted = interrupt_change(list);
	memory = list->allocator.alloc(list->allocator.arg, bytes);
	if (interrupted)
		resume_change(list);
	return memory;
}

static void list_free(struct mirror_list *list, void *memory, size_t bytes)
{
	bool interrupted;

	if (list->allocator.free) {
		interrupted = interrupt_change(list);
		list->allocator.free(list->allocator.arg, memory, bytes);
		if (interrupted)
			resume_change(list);
	} else if (bytes < SMALLEST_MAPPED) {
		port_free(memory);
	} else {
		port_unmap(memory, bytes);
	}
}

void free_chunks_(struct mirror_list *list, struct garbage *garbage)
{
	struct chunk *chunk;

	while ((chunk = garbage->chunks)) {
		garbage->chunks = chunk->next;
		list_free(list, chunk, chunk->bytes);
	}
}

/* ---- for registrations; under lock, which these give up while they allocate ---- */

static int grow(struct mirror_list *list, struct pool *pool)
{
	size_t bytes = pool_chunk_bytes_(pool);
	void *memory;

	gate_unlock(&list->lock);
	memory = list_alloc(list, bytes);
	if (memory)
		memset(memory, 0, bytes); /* now, because under the lock all would wait for the system's pages */
	gate_lock(&list->lock);
	if (!memory)
		return -ENOMEM;
	pool_add_(pool, memory, bytes);
	return 0;
}

/* An object, zeroed; or NULL. */
static void *get(struct mirror_list *list, enum object_kind kind)
{
	struct pool *pool = &list->pools[kind];
	void *object;

	for (;;) {
		object = use_again_(list, kind);
		if (!object)
			object = pool_take_(pool);
		if (object)
			return memset(object, 0, pool->object_bytes);
		if (grow(list, pool))
			return NULL;
	}
}

struct mirror__entry *get_entry_(struct mirror_list *list)
{
	return get(list, ENTRIES);
}

int get_nodes_(struct mirror_list *list)
{
	struct index_node *node;

	while (list->index.nr_spare < index_needs(&list->index)) {
		node = get(list, NODES);
		if (!node)
			return -ENOMEM;
		index_give_spare(&list->index, node);
	}
	return 0;
}

int get_places_(struct mirror_list *list, size_t nr)
{
	struct block *block;

	while (nr_free_places_(list) < nr) {
		block = get(list, BLOCKS);
		if (!block)
			return -ENOMEM;
		give_spare_block_(list, block);
	}
	return 0;
}

/* ---- for unregistrations ---- */

void unlink_oldest_(struct mirror_list *list, struct mirror *m)
{
	struct mirror__entry *newest = m->mirror__proxy, *oldest = newest->newer;

	if (oldest == newest)
		m->mirror__proxy = NULL;
	store_release(&newest->newer, oldest->newer);
	index_remove(&list->index, &oldest->item);
	retire_nodes_(list);
	retire_entry_(list, oldest);
}

void unlink_(struct mirror_list *list, struct mirror *m)
{
	if (m->mirror__proxy) {
		while (m->mirror__proxy)
			unlink_oldest_(list, m);
		return;
	}
	if (m->mirror__place == IN_INDEX) {
		index_remove(&list->index, &m->mirror__entry->item);
		retire_nodes_(list);
	} else {
		take_out_of_block_(list, m);
	}
}

void retire_mirrors_(struct mirror_list *list, struct mirror *const *mirrors, size_t count)
{
	struct garbage garbage = { 0 };

	gate_lock(&list->lock);
	for (size_t i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];

		also_if(DEAD_AFTER_SCAN, fetch_or(&m->mirror__entry->state, ENTRY_DEAD));
		retire_entry_(list, m->mirror__entry);
		store_relaxed(&m->mirror__entry, NULL);
		set_state_(m, STATE_GONE);
	}
	list->nr_mirrors -= count;
	reclaim_(list, &garbage);
	trim_(list, count, &garbage); /* as fast as they come */
	gate_unlock(&list->lock);
	free_chunks_(list, &garbage);
}

/* ---- create and destroy ---- */

void memory_init_(struct mirror_list *list)
{
	list->last = &list->head;
	list->pools[ENTRIES].object_bytes = sizeof(struct mirror__entry);
	list->pools[NODES].object_bytes = sizeof(struct index_node);
	list->pools[BLOCKS].object_bytes = sizeof(struct block);
}

void memory_destroy_(struct mirror_list *list)
{
	struct chunk *chunk;

	for (enum object_kind kind = 0; kind < NR_KINDS; kind++)
		while ((chunk = pool_empty_(&list->pools[kind])))
			list_free(list, chunk, chunk->bytes);
}
