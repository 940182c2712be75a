/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Forks, and which threads exist after them.  process.h says what and why. */

#include "process.h"

#define SELF_BITS 48

static struct {
	uint32_t *mark;                 /* NULL: the kernel has none */
	uint32_t generation;
	int pid;
	const void *survivor;           /* port_self() of the thread that forked this process ... */
	uint32_t survivor_since;        /* ... and the generation in which it was named first */
	void (*adopted)(uint32_t generation, uint64_t self);
} process = { .generation = 1 };

void process_begin(void)
{
	uint32_t *mark, *none = NULL;

	if (load_acquire(&process.pid))
		return;
	mark = port_fork_mark();
	if (mark) {
		store_relaxed(mark, 1);
		if (!compare_exchange(&process.mark, &none, mark))
			port_unmap(mark, PORT_PAGE_BYTES); /* a thread or a handler was faster */
	}
	store_release(&process.pid, port_pid());
}

void process_on_adopt(void (*adopted)(uint32_t generation, uint64_t self))
{
	store_release(&process.adopted, adopted);
}

static uint64_t self_in(uint32_t generation)
{
	return (uint64_t)generation << SELF_BITS | (uint64_t)(uintptr_t)port_self();
}

static void adopt(void)
{
	uint32_t generation = process.generation + 1;
	void (*adopted)(uint32_t generation, uint64_t self) = load_relaxed(&process.adopted);

	store_relaxed(&process.pid, port_pid());
	store_relaxed(&process.survivor, port_self());
	store_relaxed(&process.survivor_since, *port_first_generation() ? *port_first_generation() : generation);
	if (adopted)
		adopted(generation, self_in(generation));
	store_relaxed(&process.generation, generation);
	if (process.mark)
		store_release(process.mark, 1);
}

static bool is_marked(void)
{
	const uint32_t *mark = load_relaxed(&process.mark);

	return !mark || load_acquire(mark);
}

bool process_is_strange(void)
{
	port_signals saved;

	if (is_marked())
		return false;
	if (port_tid() != port_pid())
		return true;
	port_signals_block(&saved); /* a handler would adopt it too */
	if (!is_marked())
		adopt();
	port_signals_restore(&saved);
	return false;
}

uint32_t process_generation(void)
{
	process_is_strange();
	return load_relaxed(&process.generation);
}

uint32_t process_generation_of_new(void)
{
	uint32_t generation;
	bool is_strange;

	do {
		generation = load_acquire(&process.generation);
		is_strange = process_is_strange();
	} while (generation != load_acquire(&process.generation));
	return generation + is_strange;
}

/* The pid tells too where the kernel says that it wipes the mark and does not, as emulators may. */
void process_after_fork_in_child(void)
{
	if (!process_is_strange() && process.pid != port_pid())
		adopt();
}

static const void *pointer_of(uint64_t self)
{
	return (const void *)(uintptr_t)(self & (((uint64_t)1 << SELF_BITS) - 1));
}

uint64_t process_self(void)
{
	if (!*port_first_generation())
		*port_first_generation() = process_generation();
	return self_in(process_generation());
}

/* The survivor's name may be of an older generation, but not from before it was named: another thread's then. */
bool process_has(uint64_t self)
{
	uint16_t generation = (uint16_t)(self >> SELF_BITS);

	return self && (generation == (uint16_t)process_generation() ||
			(pointer_of(self) == load_relaxed(&process.survivor) &&
			 (int16_t)(generation - (uint16_t)load_relaxed(&process.survivor_since)) >= 0));
}

bool process_is_me(uint64_t self)
{
	return pointer_of(self) == port_self() && process_has(self);
}

bool process_has_ended(int tid)
{
	return !process_is_strange() && !port_thread_lives(load_relaxed(&process.pid), tid);
}
