/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Memory for the library under exploration.
 *
 * Each fiber allocates from an arena of its own, so that an address depends on what that fiber
 * did and not on the schedule.  Nothing is used twice in one execution: a freed chunk stays
 * freed, and each access through the wrappers is checked against that, exactly.
 */
#include <string.h>
#include "rc11.h"

enum { POISON = 0x5a };

static struct chunk *chunk_of(const volatile void *p, struct fiber **owner)
{
	size_t offset = (size_t)((const volatile char *)p - E.region);
	struct fiber *f;
	size_t in_arena;

	if (offset >= X_REGION_BYTES)
		return NULL;
	f = &E.fiber[offset / X_FIBER_BYTES];
	in_arena = offset % X_FIBER_BYTES;
	if (in_arena >= X_ARENA_BYTES)
		return NULL; /* its stack */
	*owner = f;
	if (unlikely(f->id >= E.nr_fibers || in_arena >= f->arena_used))
		x_fail("an access of memory never allocated, at %p", (void *)(uintptr_t)p);
	return &f->chunk[f->chunk_of_line[in_arena / X_LINE]];
}

void x_check_live(const volatile void *p, unsigned size)
{
	struct fiber *owner;
	struct chunk *chunk = chunk_of(p, &owner);
	size_t offset;

	if (!chunk)
		return;
	offset = (size_t)((const volatile char *)p - E.region) % X_FIBER_BYTES;
	if (unlikely(chunk->freed))
		x_fail("use after free: byte %zu of %u, freed by thread %d at %s:%d",
		       offset - chunk->start, chunk->bytes, chunk->freer - 1, chunk->site->file,
		       chunk->site->line);
	if (unlikely(offset + size > chunk->start + chunk->bytes))
		x_fail("an access past the end: byte %zu of %u, allocated at %s:%d",
		       offset - chunk->start, chunk->bytes, chunk->site->file, chunk->site->line);
}

void *x_alloc(const struct x_site *site, size_t bytes, bool pages)
{
	struct fiber *f = E.cur;
	size_t room = (bytes + X_LINE - 1) / X_LINE * X_LINE;
	struct chunk *chunk;
	char *memory;

	x_step(site);
	x_local();
	if (!pages && f->in_signal)
		x_fail("malloc in a signal handler");
	if (bytes == 0)
		x_fail("an allocation of 0 bytes");
	if (x_faulty(X_ALLOC_FAILS)) {
		x_trace("%s:%d: %s fails", site->file, site->line, site->text);
		return NULL;
	}
	if (f->arena_used + room > X_ARENA_BYTES || f->nr_chunks == X_MAX_CHUNKS)
		x_fail("the explorer's arena of this fiber is full");
	chunk = &f->chunk[f->nr_chunks];
	*chunk = (struct chunk){ f->arena_used, (uint32_t)bytes, pages, false, site, 0 };
	memset(&f->chunk_of_line[f->arena_used / X_LINE], f->nr_chunks, room / X_LINE);
	memory = E.region + f->id * X_FIBER_BYTES + f->arena_used;
	f->nr_chunks++;
	f->arena_used += (uint32_t)room;
	E.allocated += bytes;
	memset(memory, 0, room);
	x_trace("%s:%d: %s = %p", site->file, site->line, site->text, (void *)memory);
	return memory;
}

/* Freeing writes to all that anybody used of the chunk. */
static void mark_uses(const struct chunk *chunk, const char *start)
{
	struct loc *loc = x_loc(start, 1);

	for (size_t i = 0; i < chunk->bytes / 4; i++)
		if (loc[i].readers | loc[i].writers)
			x_uses(&loc[i], true);
}

void x_free(const struct x_site *site, void *memory, size_t pages_bytes)
{
	char *start = memory;
	struct fiber *owner;
	struct chunk *chunk;

	x_step(site);
	if (!memory)
		return;
	if (!E.quiet)
		x_visible();
	chunk = chunk_of(memory, &owner);
	if (!chunk || start != E.region + owner->id * X_FIBER_BYTES + chunk->start)
		x_fail("freeing what was not allocated: %p", memory);
	if (chunk->freed)
		x_fail("double free: freed before by thread %d at %s:%d", chunk->freer - 1,
		       chunk->site->file, chunk->site->line);
	if (chunk->pages != (pages_bytes != 0) || (chunk->pages && chunk->bytes != pages_bytes))
		x_fail("freed otherwise than allocated at %s:%d", chunk->site->file,
		       chunk->site->line);
	if (!pages_bytes && E.cur->in_signal)
		x_fail("free in a signal handler");
	if (!E.quiet && E.model == X_RC11) {
		rc_check_free(start, chunk->bytes);
	} else if (!E.quiet) {
		x_learn(3);
		mark_uses(chunk, start);
		x_drain_all(E.cur);
		for (int i = 0; i < E.nr_fibers; i++)
			for (int j = 0; j < E.fiber[i].nr_held; j++) {
				const struct held *h = &E.fiber[i].held[j];

				if ((char *)h->p >= start && (char *)h->p < start + chunk->bytes)
					x_fail("a store of thread %d at %s:%d is still on its way"
					       " to memory that is freed", i - 1, h->site->file,
					       h->site->line);
			}
	}
	chunk->freed = true;
	chunk->site = site;
	chunk->freer = E.cur->id;
	E.allocated -= chunk->bytes;
	memset(start, POISON, chunk->bytes);
	x_trace("%s:%d: %s frees %p", site->file, site->line, site->text, memory);
}

/* Zero all of a chunk of pages, or its beginning, at once. */
void x_discard(const struct x_site *site, void *memory, size_t bytes)
{
	struct fiber *owner;
	struct chunk *chunk;

	x_step(site);
	if (!E.quiet)
		x_visible();
	chunk = chunk_of(memory, &owner);
	if (!chunk || !chunk->pages || chunk->freed || bytes > chunk->bytes)
		x_fail("discarding what was not mapped: %p", memory);
	if (!E.quiet && E.model == X_RC11) {
		rc_plain_access(memory, bytes, true);
	} else if (!E.quiet) {
		x_learn(15);
		mark_uses(chunk, memory);
		x_drain_all(E.cur);
	}
	memset(memory, 0, bytes);
}

void x_touch_at(const struct x_site *site, const void *p)
{
	if (E.model == X_RC11 && !E.quiet) {
		x_step(site);
		rc_plain_access(p, 1, false);
	} else {
		x_enter(site, p, 1, false);
	}
	if (!E.quiet)
		x_learn(4);
	x_trace("%s:%d: %s", site->file, site->line, site->text);
}

size_t x_allocated(void)
{
	return E.allocated;
}

void x_check_leaks(void)
{
	for (int i = 0; i < E.nr_fibers; i++)
		for (int j = 0; j < E.fiber[i].nr_chunks; j++) {
			const struct chunk *chunk = &E.fiber[i].chunk[j];

			if (!chunk->freed)
				x_fail("%u bytes allocated at %s:%d are left", chunk->bytes,
				       chunk->site->file, chunk->site->line);
		}
}
