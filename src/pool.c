/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Chunks and their objects: pool.h says how. */

#include "pool.h"

/* The explorer makes it small, so that chunks fill up soon. */
#ifndef SMALLEST_CHUNK
#define SMALLEST_CHUNK 4096u
#endif

/* Objects begin on a cache line of their own. */
_Static_assert(sizeof(struct chunk) == 64, "");

/* ---- the treap ---- */

static uint64_t priority(const struct chunk *chunk)
{
	return ((uintptr_t)chunk >> 6) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The new one goes where the priorities below are lower than its own; what was there is split at its address. */
static void tree_insert(struct chunk **at, struct chunk *new)
{
	struct chunk **below = &new->left, **above = &new->right, *tree;

	while (*at && priority(*at) >= priority(new))
		at = new < *at ? &(*at)->left : &(*at)->right;
	tree = *at;
	*at = new;
	while (tree) {
		if (tree < new) {
			*below = tree;
			below = &tree->right;
			tree = tree->right;
		} else {
			*above = tree;
			above = &tree->left;
			tree = tree->left;
		}
	}
	*below = *above = NULL;
}

/* What is below the old one takes its place: two trees become one, by priority. */
static void tree_remove(struct chunk **at, const struct chunk *old)
{
	struct chunk *below = old->left, *above = old->right;

	while (*at != old)
		at = old < *at ? &(*at)->left : &(*at)->right;
	while (below && above) {
		if (priority(below) >= priority(above)) {
			*at = below;
			at = &below->right;
			below = below->right;
		} else {
			*at = above;
			at = &above->left;
			above = above->left;
		}
	}
	*at = below ? below : above;
}

static struct chunk *chunk_of(const struct pool *pool, const void *object)
{
	const char *p = object;
	struct chunk *chunk = pool->chunks;

	while (p < (char *)chunk || p >= (char *)chunk + chunk->bytes)
		chunk = p < (char *)chunk ? chunk->left : chunk->right;
	return chunk;
}

/* ---- open chunks ---- */

static void open_chunk(struct pool *pool, struct chunk *chunk)
{
	chunk->next = pool->open;
	chunk->link = &pool->open;
	if (chunk->next)
		chunk->next->link = &chunk->next;
	pool->open = chunk;
}

static void close_chunk(struct chunk *chunk)
{
	*chunk->link = chunk->next;
	if (chunk->next)
		chunk->next->link = chunk->link;
	chunk->link = NULL;
}

/* ---- objects ---- */

size_t pool_chunk_bytes_(const struct pool *pool)
{
	size_t bytes = pool->total_bytes / 32, least = sizeof(struct chunk) + pool->object_bytes;

	if (pool->total_bytes >= 8 * LARGEST_CHUNK)
		return LARGEST_CHUNK;
	bytes = bytes < least ? least : bytes;
	return (bytes + SMALLEST_CHUNK - 1) & ~(size_t)(SMALLEST_CHUNK - 1);
}

void pool_add_(struct pool *pool, void *memory, size_t bytes)
{
	struct chunk *chunk = memory;

	chunk->bytes = bytes;
	chunk->fresh_bytes = bytes - sizeof(*chunk);
	tree_insert(&pool->chunks, chunk);
	open_chunk(pool, chunk);
	pool->total_bytes += bytes;
}

void *pool_take_(struct pool *pool)
{
	struct chunk *chunk = pool->open;
	void *object;

	if (!chunk)
		return NULL;
	if (chunk->vacant) {
		object = chunk->vacant;
		chunk->vacant = chunk->vacant->next;
	} else {
		object = (char *)chunk + chunk->bytes - chunk->fresh_bytes;
		chunk->fresh_bytes -= pool->object_bytes;
	}
	chunk->nr_used++;
	pool->used_bytes += pool->object_bytes;
	if (!chunk->vacant && chunk->fresh_bytes < pool->object_bytes)
		close_chunk(chunk);
	return object;
}

static void drop_chunk(struct pool *pool, struct chunk *chunk)
{
	if (chunk->link)
		close_chunk(chunk);
	tree_remove(&pool->chunks, chunk);
	pool->total_bytes -= chunk->bytes;
}

struct chunk *pool_put_(struct pool *pool, void *object)
{
	struct chunk *chunk = chunk_of(pool, object);
	struct link *vacant = object;

	vacant->next = chunk->vacant;
	chunk->vacant = vacant;
	if (!chunk->link)
		open_chunk(pool, chunk);
	pool->used_bytes -= pool->object_bytes;
	if (--chunk->nr_used)
		return NULL;
	drop_chunk(pool, chunk);
	return chunk;
}

struct chunk *pool_empty_(struct pool *pool)
{
	struct chunk *chunk = pool->chunks;

	if (chunk)
		drop_chunk(pool, chunk);
	return chunk;
}
