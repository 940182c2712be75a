/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Counts, exactly, what an operation does that costs more the more CPUs there are
 *
 * A copy of this process runs the operation under ptrace(2), one instruction at a time, and decodes each instruction
 * before it runs.  So the counts are what the compiled code of every library did, whether its source is here or not;
 * nothing is estimated.  A wait would be counted turn by turn; the operations that are counted wait for no thread.
 *
 * Which cache lines threads share is seen, not declared: every line that an operation reads or writes
 * is recorded, and compared with those of another thread.
 */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include <stddef.h>
#include <stdint.h>

enum { STEPS_MAX_SLOTS = 16 };

/** struct line_use - how often a cache line was read and written; an instruction that does both writes */
struct line_use {
	uint64_t line;
	uint32_t reads, writes;
};

/** struct steps - what was seen in one slot, between steps_begin and steps_end */
struct steps {
	uint64_t instructions;
	uint64_t rmws;                  /* locked read-modify-writes, xchg with memory */
	uint64_t fences;                /* mfence, and a locked addition of nothing to the own stack */
	uint64_t membarriers;           /* system calls ... */
	uint64_t futexes;
	uint64_t other_calls;
	struct line_use *lines;         /* each once */
	size_t nr_lines, room;
};

/**
 * steps_run - run @body(@arg) in a copy of this process, and watch what it marks
 * @slots:   zeroed; filled in, the caller frees with steps_free
 * Return:   0; -EPERM: ptrace is refused; -EILSEQ: an instruction that is not understood; -EIO: the copy did
 *           not end by itself, or an operation took more than ten million steps
 *
 * The copy has the calling thread alone, and may start others.
 */
int steps_run(void (*body)(void *arg), void *arg, struct steps slots[STEPS_MAX_SLOTS]);

void steps_free(struct steps slots[STEPS_MAX_SLOTS]);

/*
 * In the copy, around an operation; one slot may be filled once, and one thread at a time marks.  Outside of
 * steps_run they kill the process.
 */
static inline void steps_begin(unsigned slot)
{
#ifdef __x86_64__
	__asm__ volatile("int3" : : "D"((uint64_t)slot) : "memory");
#else
	(void)slot;
#endif
}

static inline void steps_end(void)
{
#ifdef __x86_64__
	__asm__ volatile("int3" : : : "memory");
#endif
}

/** steps_shared_writes - writes of @mine to lines that any of @others (@nr of them) reads or writes */
uint64_t steps_shared_writes(const struct steps *mine, const struct steps *const *others, size_t nr);

/** steps_contended_lines - lines that @mine and any of @others touch, and not only to read */
uint64_t steps_contended_lines(const struct steps *mine, const struct steps *const *others, size_t nr);

#endif /* BENCH_STEPS_H */
