/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Walks through a trace with a model of its address spaces; replay_script.h says what comes out. */
#include "replay_script.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	uint64_t start, end;
	uint32_t mirror;
};

/* The mappings of one process, in no order: a few hundred at most. */
struct space {
	struct mapping *mappings;
	size_t nr, nr_allocated;
};

struct builder {
	struct replay_script *script;
	struct space *spaces;
	unsigned *part_of_thread;       /* replay thread of each recorded one */
	struct replay_part *part;       /* of the event under way */
	uint32_t list;                  /* the same */
	bool failed;                    /* memory ran out */
};

/* Makes room for one element more of an array that doubles. */
static bool grow(void **array, size_t nr, size_t *nr_allocated, size_t bytes)
{
	size_t wanted = *nr_allocated ? 2 * *nr_allocated : 64;
	void *grown;

	if (nr < *nr_allocated)
		return true;
	grown = realloc(*array, wanted * bytes);
	if (!grown)
		return false;
	*array = grown;
	*nr_allocated = wanted;
	return true;
}

static void emit(struct builder *b, enum replay_kind kind, uint32_t mirror, uint64_t start, uint64_t end)
{
	struct replay_part *part = b->part;

	if (!grow((void **)&part->ops, part->nr_ops, &part->nr_allocated, sizeof(part->ops[0]))) {
		b->failed = true;
		return;
	}
	part->ops[part->nr_ops++] = (struct replay_op){ (uint8_t)kind, b->list, mirror, start, end };
	b->script->nr_ops++;
}

static void map(struct builder *b, uint64_t start, uint64_t end)
{
	struct space *space = &b->spaces[b->list];

	if (!grow((void **)&space->mappings, space->nr, &space->nr_allocated, sizeof(space->mappings[0]))) {
		b->failed = true;
		return;
	}
	space->mappings[space->nr++] = (struct mapping){ start, end, (uint32_t)b->script->nr_mirrors };
	emit(b, REPLAY_REGISTER, (uint32_t)b->script->nr_mirrors++, start, end);
}

/* Ends the mirrors in the range, after one invalidation of it. */
static void unmap(struct builder *b, uint64_t start, uint64_t end)
{
	struct space *space = &b->spaces[b->list];

	emit(b, REPLAY_INVALIDATE, 0, start, end);
	/* From the last to the first: pieces that stay are appended, and need not be looked at. */
	for (size_t i = space->nr; i-- > 0;) {
		struct mapping old = space->mappings[i];

		if (old.start >= end || old.end <= start)
			continue;
		space->mappings[i] = space->mappings[--space->nr];
		emit(b, REPLAY_UNREGISTER, old.mirror, old.start, old.end);
		if (old.start < start)
			map(b, old.start, start);
		if (old.end > end)
			map(b, end, old.end);
	}
}

static void fork_space(struct builder *b, uint32_t parent)
{
	size_t nr = b->spaces[parent].nr;

	for (size_t i = 0; i < nr && parent != b->list; i++)
		map(b, b->spaces[parent].mappings[i].start, b->spaces[parent].mappings[i].end);
}

/* Whether the pages of the range are gone after this advice; others are hints. */
static bool advice_drops(uint32_t advice)
{
	enum { DONTNEED_LOCKED = 24 }; /* MADV_DONTNEED_LOCKED, which older headers lack */

	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE || advice == DONTNEED_LOCKED;
}

static void play_event(struct builder *b, const struct trace_event *e)
{
	switch (e->op) {
	case TRACE_MMAP:
		if (e->how & TRACE_HOW_REPLACES)
			unmap(b, e->start, e->end);
		map(b, e->start, e->end);
		break;
	case TRACE_BRK_GROW:
		map(b, e->start, e->end);
		break;
	case TRACE_MUNMAP:
	case TRACE_BRK_SHRINK:
		unmap(b, e->start, e->end);
		break;
	case TRACE_MREMAP:
		if (e->how & TRACE_HOW_MOVE_DONTUNMAP)
			emit(b, REPLAY_INVALIDATE, 0, e->start, e->end);
		else
			unmap(b, e->start, e->end);
		if (e->how & TRACE_HOW_MOVE_FIXED)
			unmap(b, e->new_start, e->new_end);
		map(b, e->new_start, e->new_end);
		break;
	case TRACE_MADVISE:
		if (advice_drops(e->arg))
			emit(b, REPLAY_INVALIDATE, 0, e->start, e->end);
		break;
	case TRACE_MPROTECT:
		if (e->how & TRACE_HOW_LOWERS)
			emit(b, REPLAY_INVALIDATE, 0, e->start, e->end);
		break;
	case TRACE_FORK:
		fork_space(b, e->arg);
		break;
	case TRACE_EXEC:
	case TRACE_EXIT:
		if (b->spaces[b->list].nr > 0)
			unmap(b, 0, UINT64_MAX);
		break;
	default:
		break;
	}
}

/* Deals recorded threads to replay threads: always the busiest one left to the one with the least so far. */
static void deal_threads(struct builder *b, const struct trace *trace, size_t *events, size_t *load)
{
	for (size_t i = 0; i < trace->nr_events; i++)
		events[trace->events[i].thread]++;
	for (uint64_t dealt = 0; dealt < trace->nr_threads; dealt++) {
		uint64_t busiest = 0;
		unsigned least = 0;

		for (uint64_t t = 1; t < trace->nr_threads; t++)
			if (events[t] != SIZE_MAX && (events[busiest] == SIZE_MAX || events[t] > events[busiest]))
				busiest = t;
		for (unsigned p = 1; p < b->script->nr_threads; p++)
			if (load[p] < load[least])
				least = p;
		b->part_of_thread[busiest] = least;
		load[least] += events[busiest];
		events[busiest] = SIZE_MAX;
	}
}

static int build(struct builder *b, const struct trace *trace)
{
	struct replay_script *script = b->script;
	size_t nr_left = 0;

	for (size_t i = 0; i < trace->nr_events && !b->failed; i++) {
		b->part = &script->parts[b->part_of_thread[trace->events[i].thread]];
		b->list = trace->events[i].process;
		play_event(b, &trace->events[i]);
	}
	for (size_t p = 0; p < script->nr_lists; p++)
		nr_left += b->spaces[p].nr;
	script->left = calloc(nr_left ? nr_left : 1, sizeof(script->left[0]));
	if (!script->left || b->failed)
		return -ENOMEM;
	for (size_t p = 0; p < script->nr_lists; p++)
		for (size_t i = 0; i < b->spaces[p].nr; i++)
			script->left[script->nr_left++] = b->spaces[p].mappings[i].mirror;
	return 0;
}

int replay_script_create(const struct trace *trace, unsigned nr_threads, struct replay_script **script)
{
	struct builder b = { .script = calloc(1, sizeof(*b.script)) };
	size_t *events = calloc(trace->nr_threads, sizeof(events[0]));
	size_t *load = calloc(nr_threads, sizeof(load[0]));
	int err = -ENOMEM;

	b.spaces = calloc(trace->nr_processes, sizeof(b.spaces[0]));
	b.part_of_thread = calloc(trace->nr_threads, sizeof(b.part_of_thread[0]));
	if (b.script) {
		b.script->nr_threads = nr_threads;
		b.script->nr_lists = trace->nr_processes;
		b.script->parts = calloc(nr_threads, sizeof(b.script->parts[0]));
	}
	if (events && load && b.spaces && b.part_of_thread && b.script && b.script->parts) {
		deal_threads(&b, trace, events, load);
		err = build(&b, trace);
	}
	for (size_t p = 0; b.spaces && p < trace->nr_processes; p++)
		free(b.spaces[p].mappings);
	free(b.spaces);
	free(b.part_of_thread);
	free(events);
	free(load);
	if (err)
		replay_script_free(b.script);
	else
		*script = b.script;
	return err;
}

void replay_script_free(struct replay_script *script)
{
	if (!script)
		return;
	for (unsigned i = 0; script->parts && i < script->nr_threads; i++)
		free(script->parts[i].ops);
	free(script->parts);
	free(script->left);
	free(script);
}
