/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the count word of a struct urwsem means, for urwsem.c and for whoever wants to look at one
 * from outside: tests, and reports of stalls.  urwsem.c explains the algorithm.
 */
#ifndef MIRROR_URWSEM_IMPL_H
#define MIRROR_URWSEM_IMPL_H

#include <mirror/urwsem.h>

#include "port.h"

#define URWSEM_WRITER    (UINT64_C(1) << 0)     /* a writer holds it */
#define URWSEM_WAITERS   (UINT64_C(1) << 1)     /* the queue is not empty */
#define URWSEM_HANDOFF   (UINT64_C(1) << 2)     /* it goes to the first in the queue, no stealing */
#define URWSEM_READER    (UINT64_C(1) << 8)     /* one reader, or one that is about to find out */
#define URWSEM_READFAIL  (UINT64_C(1) << 63)    /* more readers than can be counted */
#define URWSEM_LOCK_MASK (~(URWSEM_READER - 1) | URWSEM_WRITER)

/* As many queued readers are let in at once. */
#define URWSEM_MAX_GRANTS 256
/* After so long in the queue a waiter may ask for the handoff. */
#define URWSEM_HANDOFF_NS UINT64_C(4000000)

/* Both are out of date at once: good for waiting until something has happened. */
static inline uint64_t urwsem_peek_count(const struct urwsem *sem)
{
	return load_relaxed(&sem->urwsem__count);
}

static inline uint32_t urwsem_peek_waiting(const struct urwsem *sem)
{
	return load_relaxed(&sem->urwsem__nr_waiting);
}

#endif /* MIRROR_URWSEM_IMPL_H */
