/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The process: which one of a line of forks this is, and which threads exist in it
 *
 * Terms.  A generation is one process of a line of forks.  The child of a fork has one thread, the one that forked; the
 * others have vanished.  To adopt a process is to count the generation on.
 *
 * State
 *   *mark             1; the kernel makes it 0 in a child (MADV_WIPEONFORK)
 *   generation, pid, survivor       written by the one thread of a child, in process_adopt
 *
 * The hook of fork() adopts the child, or the first call of the library there, if a hook of the program comes earlier.
 * After _Fork() and a raw clone() there is no hook: the thread that forked adopts the process when it comes here.
 * Until then the process is strange: threads that it has started take all others for present, and what they begin is of
 * the generation to come.  If the kernel has no MADV_WIPEONFORK, the hook alone adopts.
 *
 * What a child sees of the memory that other threads were writing at the moment of the fork is of no one time: the
 * kernel copies one page after the other.  It sees all that the thread that forked had seen.  So what is changed
 * without the gate (gate.h) is changed by single words, each of which is right whatever the others are.
 */
#ifndef MIRROR_PROCESS_H
#define MIRROR_PROCESS_H

#include "port.h"

/* Before the first use of any of these in a process; any thread, any number of times. */
void process_begin(void);

/* The generation of the process that this thread runs in. */
uint32_t process_generation(void);
/* The same, or the one to come where the process is strange. */
uint32_t process_generation_of_new(void);
bool process_is_strange(void);

/* In the child of fork(). */
void process_after_fork_in_child(void);
/*
 * @adopted runs in the thread that adopts a process, with its new generation and the thread's new process_self(),
 * before others can see them.  There is one of them.
 */
void process_on_adopt(void (*adopted)(uint32_t generation, uint64_t self));

/* Names this thread, in this process: generation << 48 | port_self(). */
uint64_t process_self(void);
/* Whether that thread exists in this process, as far as forks go; 0 does not. */
bool process_has(uint64_t self);
/* Whether it is this thread. */
bool process_is_me(uint64_t self);
/* Whether two names that process_has are of the same thread. */
static inline bool process_same(uint64_t self, uint64_t other)
{
	return !((self ^ other) << 16);
}

/* Whether the thread with this number has ended; it may take some microseconds until the kernel says so. */
bool process_has_ended(int tid);

#endif /* MIRROR_PROCESS_H */
