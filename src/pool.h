/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Objects of one size, from chunks of memory that can be given back
 *
 * State
 *   pool->chunks     a treap of all chunks: a tree by address, and a heap by a hash of the address
 *   pool->open       a list of those with room
 *   chunk->vacant    its objects that were put back
 *   chunk->nr_used   its objects that are out
 * One thread at a time is in a pool, under a lock of the owner's.
 *
 * Algorithm.  An object is taken from the first open chunk; the owner allocates another chunk if there is none.  An
 * object that is put back goes to the chunk in which it lies, which the tree finds by the address.  A chunk of which no
 * object is out leaves the pool, and is the owner's to free.
 *
 * Cost.  To take one: a constant.  To put one back: O(log n) for n chunks.  A chunk is a 32nd of what there is, so that
 * little is unused, or, from 16 MiB on, a huge page where the system gives one.
 *
 * Source: Seidel and Aragon, "Randomized Search Trees", 1996.
 */
#ifndef MIRROR_POOL_H
#define MIRROR_POOL_H

#include "port.h"

/* Memory that is not in use, in a list of such. */
struct link {
	struct link *next;
};

struct chunk {
	struct chunk *left, *right;     /* of the tree: at lower addresses, at higher ones */
	struct chunk *next, **link;     /* of the open ones; link is NULL if it is none.  Of those that left: next */
	struct link *vacant;
	size_t bytes, fresh_bytes;      /* of it; at its end, never used */
	size_t nr_used;
};

struct pool {
	size_t object_bytes;            /* constant */
	struct chunk *chunks, *open;
	size_t total_bytes;             /* of all chunks */
	size_t used_bytes;              /* of the objects that are out */
};

#define LARGEST_CHUNK (2u << 20)

/* How large the next chunk is to be. */
size_t pool_chunk_bytes_(const struct pool *pool);
/* @memory: on a cache line, zeroed, of that size. */
void pool_add_(struct pool *pool, void *memory, size_t bytes);
/* An object, with anything in it; NULL: another chunk is needed. */
void *pool_take_(struct pool *pool);
/* The chunk that has left the pool, or NULL. */
struct chunk *pool_put_(struct pool *pool, void *object);
/* At the end of the pool: any chunk, which has left it; or NULL. */
struct chunk *pool_empty_(struct pool *pool);

#endif /* MIRROR_POOL_H */
