/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Cells: memory that one thread writes and the others read, one for each thread and object
 *
 * A domain of usrcu keeps its threads' counters in cells, a mirror list its walkers' pins.  No
 * thread registers: its first use of an object claims a cell, its exit gives it back.
 *
 * Every live object has a slot, a small number; every thread that uses any object has a table
 * of pointers to its cells, by slot (usrcu__cells).  So a thread finds its own cell by one load,
 * and an object finds all its cells by walking its chunks.  Slot 0 is nobody's: its entry is
 * NULL in every table.
 *
 * State
 *   table->cell[slot]   under the registry's lock; read by its own thread without it
 *   cells->chunks       under the registry's lock, published by release; never shrinks
 *   chunk->used         the same: cells [0, used) have had a thread
 *   chunk->owner        under the registry's lock
 *   a cell              its own thread, else its object decides
 *
 * Why it is safe
 *   1. A thread reads only its own table, and only at the slot of an object that exists.
 *      cells_destroy clears that slot in every table before the slot can be given out again.
 *      (explorer: cells-slot-reuse)
 *   2. A scan misses no cell with something in it: a thread writes its cell after it has
 *      published it, so that whatever makes the scan see the one (a heavy fence) makes it see
 *      the other.  (usrcu-first-use)
 *   3. A signal handler may claim: signals are blocked while the registry's lock is held, and
 *      memory comes straight from the kernel.
 *
 * Lock order: the registry's lock first, then the locks that cells_ops take at fork.
 *
 * Cost: a page for each thread (of a reservation of 128 KiB), a page at least for each object
 * in use, cell_bytes for each thread and object, taken again when the thread is gone.
 */
#ifndef MIRROR_CELLS_H
#define MIRROR_CELLS_H

#include "port.h"

#ifndef CELLS_MAX_SLOTS
#define CELLS_MAX_SLOTS 16384
#endif

struct cells;

/* What the owner of cells wants to know.  All under the registry's lock. */
struct cells_ops {
	/* Its thread exits.  True: another thread may have it; false: it stays as it is for good. */
	bool (*vacate)(struct cells *cells, void *cell);
	/* In the child of a fork: its thread does not exist here. */
	void (*vanish)(struct cells *cells, void *cell);
	/* Around a fork: take and give back the object's own lock; make it good in the child. */
	void (*before_fork)(struct cells *cells);
	void (*after_fork)(struct cells *cells, bool in_child);
};

struct cells_chunk;
union cells_owner;

struct cells {
	uint32_t slot;
	uint32_t cell_bytes;
	struct cells_chunk *chunks;     /* newest first */
	union cells_owner *vacant;      /* given back, linked */
	const struct cells_ops *ops;
};

struct cells_chunk {
	struct cells_chunk *next;
	size_t bytes;
	char *cell;                     /* nr cells of cells->cell_bytes */
	union cells_owner *owner;       /* of each */
	uint32_t nr;
	uint32_t used;
};

/* 0, or -ENOSPC: every slot is taken.  @cell_bytes is a multiple of 64. */
int cells_init(struct cells *cells, const struct cells_ops *ops, uint32_t cell_bytes);
/* Nobody uses the object any more, or will. */
void cells_destroy(struct cells *cells);

/* This thread's cell; NULL where it has none yet. */
static inline void *cells_mine(const struct cells *cells)
{
	return port_my_cells()[cells->slot];
}

/* The same, claiming one; NULL where memory ran out. */
void *cells_claim(struct cells *cells);

/*
 * for (struct cells_walk w = cells_first(cells); (cell = cells_next(&w)); )
 */
struct cells_walk {
	const struct cells_chunk *chunk;
	char *cell;
	uint32_t left, cell_bytes;
};

static inline void cells_enter(struct cells_walk *w, const struct cells_chunk *chunk)
{
	w->chunk = chunk;
	if (chunk) {
		w->cell = chunk->cell;
		w->left = load_acquire(&chunk->used);
	}
}

static inline struct cells_walk cells_first(const struct cells *cells)
{
	struct cells_walk w = { .cell_bytes = cells->cell_bytes };

	cells_enter(&w, load_acquire(&cells->chunks));
	return w;
}

static inline void *cells_next(struct cells_walk *w)
{
	void *cell;

	while (w->chunk && !w->left)
		cells_enter(w, w->chunk->next);
	if (!w->chunk)
		return NULL;
	cell = w->cell;
	w->cell += w->cell_bytes;
	w->left--;
	return cell;
}

#endif /* MIRROR_CELLS_H */
