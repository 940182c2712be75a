/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The memory of a list: entries, nodes of the index, arrays of whole-list mirrors
 *
 * Terms.  To unlink a mirror is to take its entry out of the array or the index.  Garbage is memory that is no longer
 * in the list, but that a walk may still see; to retire memory is to make it garbage.
 *
 * State: the pools, chunks, retired, due and due_cookie of struct mirror_list, all under list->lock.
 *
 * Algorithm
 *   1. Entries and nodes come from pools.  A pool takes chunks from the allocator, each a 32nd of the pool, or, from
 *      16 MiB on, a huge page.  Chunks are given back when the list is destroyed.
 *   2. When the array of whole-list mirrors is full, its live entries are copied to a new one, at most half full.  So
 *      a registration costs a constant on average.  The old array keeps its places, and is retired.
 *   3. To unlink a whole-list mirror, its place is emptied.  Empty places behind the last entry are used again.
 *   4. Garbage waits in two batches.  One is due when the sync's cookie says so; the other collects what is retired
 *      meanwhile, and gets its cookie then.  Registrations and unregistrations poll the cookie once 256 KiB and a 128th
 *      of the live memory are retired.  No thread waits for it.
 *   5. If the sync has no cookies, all that was retired before a synchronize is free after it.
 *
 * Why it is safe
 *   1. The allocator is never called under list->lock: the program's allocator may unmap memory, and so end up
 *      publishing, and a callback may register.  So three calls give the lock up, and arrays are freed after it.
 *      Over a lock the same is true of the sync's write_lock: it is given up around the allocator.  Other changes may
 *      come between, as they may where list->lock alone is given up; list->changing is under write_lock, so only the
 *      thread that holds it finds it set.  (t/mirror/surroundings)
 *   2. Unregistering needs no memory.
 *   3. A walk along an array that was replaced, or that was made shorter meanwhile, misses no entry that it should call
 *      and calls none that it should not: it asks each entry when it joined (mirror_register.c).
 *
 * Cost.  A mirror: 64 bytes, and 8 to 16 in the array or about 45 in the index (35 if keys ascend); the unused part of
 * a chunk of each kind; garbage of a 64th at most, unless a walk sleeps.
 */

#include "mirror_memory.h"

#include <errno.h>
#include <string.h>

/* The explorer makes both small, so that they fill up soon. */
#ifndef SMALLEST_ARRAY
#define SMALLEST_ARRAY 16
#endif
#ifndef SMALLEST_CHUNK
#define SMALLEST_CHUNK 4096u
#endif
#define LARGEST_CHUNK (2u << 20)
/* Each grace period may interrupt all publishers, so that a small list does not ask for too many. */
#ifndef SMALLEST_GARBAGE
#define SMALLEST_GARBAGE (256u << 10)
#endif

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
		return bytes < LARGEST_CHUNK ? port_alloc(bytes) : port_map(bytes);
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
	} else if (bytes < LARGEST_CHUNK) {
		port_free(memory);
	} else {
		port_unmap(memory, bytes);
	}
}

/* ---- pools ---- */

struct chunk {
	struct chunk *next;
	size_t bytes;
	char pad[48];                   /* objects begin on a cache line of their own */
};

static void *pool_get(struct pool *pool)
{
	struct link *object = pool->vacant;

	if (object) {
		pool->vacant = object->next;
		return memset(object, 0, pool->object_bytes);
	}
	if (pool->fresh_bytes < pool->object_bytes)
		return NULL;
	pool->fresh_bytes -= pool->object_bytes;
	pool->fresh += pool->object_bytes;
	return pool->fresh - pool->object_bytes;
}

static void pool_put(struct pool *pool, void *memory)
{
	struct link *object = memory;

	object->next = pool->vacant;
	pool->vacant = object;
}

/* A 32nd of what there is, so that little is unused; whole huge pages once that is much. */
static size_t chunk_bytes(const struct pool *pool)
{
	size_t bytes = (pool->total_bytes / 32 + SMALLEST_CHUNK) & ~(size_t)(SMALLEST_CHUNK - 1);

	return pool->total_bytes < 8 * LARGEST_CHUNK ? bytes : LARGEST_CHUNK;
}

/* Under lock, which it gives up while it allocates. */
static int pool_grow(struct mirror_list *list, struct pool *pool)
{
	size_t bytes = chunk_bytes(pool);
	struct chunk *chunk;

	gate_unlock(&list->lock);
	chunk = list_alloc(list, bytes);
	gate_lock(&list->lock);
	if (!chunk)
		return -ENOMEM;
	chunk->bytes = bytes;
	chunk->next = list->chunks;
	list->chunks = chunk;
	while (pool->fresh_bytes >= pool->object_bytes) /* another thread has grown it too */
		pool_put(pool, pool->fresh + (pool->fresh_bytes -= pool->object_bytes));
	pool->fresh = (char *)(chunk + 1);
	pool->fresh_bytes = bytes - sizeof(*chunk);
	pool->total_bytes += bytes;
	return 0;
}

/* ---- arrays of whole-list mirrors ---- */

static size_t array_bytes(uint64_t room)
{
	return sizeof(struct whole_array) + room * sizeof(struct mirror__entry *);
}

static struct whole_array *new_array(struct mirror_list *list, uint64_t room)
{
	struct whole_array *array = list_alloc(list, array_bytes(room));

	if (array)
		array->room = room;
	return array;
}

/* No more than half full when the live entries and @nr more are in it. */
static uint64_t room_wanted(const struct mirror_list *list, size_t nr)
{
	uint64_t room = 2 * (list->nr_live + nr);

	return room < SMALLEST_ARRAY ? SMALLEST_ARRAY : room;
}

static void retire_array(struct mirror_list *list, struct whole_array *array)
{
	array->next = list->retired.arrays;
	list->retired.arrays = array;
	list->retired.bytes += array_bytes(array->room);
}

static void replace_array(struct mirror_list *list, struct whole_array *new)
{
	struct whole_array *old = list->whole;
	struct mirror__entry *e;

	for (uint64_t i = 0; i < old->used; i++) {
		e = old->place[i];
		if (!e)
			continue;
		e->mirror->mirror__place = new->used;
		new->place[new->used++] = e;
	}
	store_release(&list->whole, new);
	retire_array(list, old);
}

/* ---- for registrations; under lock, which these give up while they allocate ---- */

struct mirror__entry *get_entry_(struct mirror_list *list)
{
	struct mirror__entry *e;

	while (!(e = pool_get(&list->entries)))
		if (pool_grow(list, &list->entries))
			return NULL;
	return e;
}

int get_nodes_(struct mirror_list *list)
{
	struct index_node *node;

	while (list->index.nr_spare < index_needs(&list->index)) {
		node = pool_get(&list->nodes);
		if (node)
			index_give_spare(&list->index, node);
		else if (pool_grow(list, &list->nodes))
			return -ENOMEM;
	}
	return 0;
}

int get_places_(struct mirror_list *list, size_t nr)
{
	struct whole_array *new = NULL;
	uint64_t room;

	while (list->whole->used + nr > list->whole->room) {
		room = room_wanted(list, nr);
		if (new && new->room >= room) {
			replace_array(list, new);
			return 0;
		}
		if (new)
			retire_array(list, new); /* too small by now: freed as garbage */
		gate_unlock(&list->lock);
		new = new_array(list, room);
		gate_lock(&list->lock);
		if (!new)
			return -ENOMEM;
	}
	if (new)
		retire_array(list, new); /* another thread has made room */
	return 0;
}

/* ---- for unregistrations; under lock ---- */

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
	struct whole_array *array = list->whole;
	uint64_t used;

	if (m->mirror__proxy) {
		while (m->mirror__proxy)
			unlink_oldest_(list, m);
		return;
	}
	if (m->mirror__place == IN_INDEX) {
		index_remove(&list->index, &m->mirror__entry->item);
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

/* ---- garbage ---- */

void retire_entry_(struct mirror_list *list, struct mirror__entry *e)
{
	if (!list->retired.entries)
		list->retired.oldest_entry = &e->link;
	e->link.next = list->retired.entries;
	list->retired.entries = &e->link;
	list->retired.bytes += sizeof(*e);
}

void retire_nodes_(struct mirror_list *list)
{
	struct index_node *node;

	while ((node = list->index.retired)) {
		list->index.retired = node->next;
		node->next = list->retired.nodes;
		list->retired.nodes = node;
		list->retired.bytes += sizeof(*node);
	}
}

/* Enough to be worth a grace period: a part of what is live, so that garbage stays in bounds. */
static bool is_worth_it(const struct mirror_list *list)
{
	size_t live_bytes = list->nr_mirrors * sizeof(struct mirror__entry) +
			    list->index.nr_nodes * sizeof(struct index_node);

	return list->retired.bytes >= SMALLEST_GARBAGE + live_bytes / 128;
}

void take_garbage_(struct mirror_list *list, struct garbage *garbage)
{
	*garbage = list->retired;
	list->retired = (struct garbage){ 0 };
}

void recycle_(struct mirror_list *list, struct garbage *garbage)
{
	struct index_node *node;

	if (garbage->entries) {
		garbage->oldest_entry->next = list->entries.vacant;
		list->entries.vacant = garbage->entries;
		garbage->entries = NULL;
	}
	while ((node = garbage->nodes)) {
		garbage->nodes = node->next;
		pool_put(&list->nodes, node);
	}
}

void reclaim_(struct mirror_list *list, struct garbage *garbage)
{
	const struct mirror_sync *sync = list->sync;

	if (!list->grace_period) {
		take_garbage_(list, garbage);
		recycle_(list, garbage);
		return;
	}
	if (!sync->poll_state || !is_worth_it(list))
		return;
	if (list->due.bytes && broken_if(RECLAIM_EARLY, true, sync->poll_state(list->sync_state, list->due_cookie))) {
		*garbage = list->due;
		list->due = (struct garbage){ 0 };
		recycle_(list, garbage);
	}
	if (!list->due.bytes) {
		take_garbage_(list, &list->due);
		list->due_cookie = sync->get_state(list->sync_state);
	}
}

void put_garbage_back_(struct mirror_list *list, struct garbage *garbage)
{
	struct link *entry;
	struct index_node *node;
	struct whole_array *array;

	while ((entry = garbage->entries)) {
		garbage->entries = entry->next;
		retire_entry_(list, (struct mirror__entry *)entry);
	}
	while ((node = garbage->nodes)) {
		garbage->nodes = node->next;
		node->next = list->index.retired;
		list->index.retired = node;
	}
	retire_nodes_(list);
	while ((array = garbage->arrays)) {
		garbage->arrays = array->next;
		retire_array(list, array);
	}
}

void free_arrays_(struct mirror_list *list, struct garbage *garbage)
{
	struct whole_array *array;

	while ((array = garbage->arrays)) {
		garbage->arrays = array->next;
		list_free(list, array, array_bytes(array->room));
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
	gate_unlock(&list->lock);
	free_arrays_(list, &garbage);
}

/* ---- create and destroy ---- */

int memory_init_(struct mirror_list *list)
{
	list->entries = (struct pool){ .object_bytes = sizeof(struct mirror__entry) };
	list->nodes = (struct pool){ .object_bytes = sizeof(struct index_node) };
	list->whole = new_array(list, SMALLEST_ARRAY);
	return list->whole ? 0 : -ENOMEM;
}

void memory_destroy_(struct mirror_list *list)
{
	struct chunk *chunk;

	free_arrays_(list, &list->retired);
	free_arrays_(list, &list->due);
	list_free(list, list->whole, array_bytes(list->whole->room));
	while ((chunk = list->chunks)) {
		list->chunks = chunk->next;
		list_free(list, chunk, chunk->bytes);
	}
}
