/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the count word of a struct urwsem means, for urwsem.c and for code that looks at one from outside: tests, and
 * reports of stalls.  urwsem.c explains the algorithm.
 */
#ifndef MIRROR_URWSEM_IMPL_H
#define MIRROR_URWSEM_IMPL_H

#include <mirror/urwsem.h>

#include "port.h"

#define URWSEM_WRITER    (UINT64_C(1) << 0)     /* a writer holds it */
#define URWSEM_WAITERS   (UINT64_C(1) << 1)     /* the queue is not empty */
#define URWSEM_HANDOFF   (UINT64_C(1) << 2)     /* the first in the queue gets it; no thread steals */
#define URWSEM_READER    (UINT64_C(1) << 8)     /* one reader, or one that will find that it does not hold it */
#define URWSEM_READFAIL  (UINT64_C(1) << 63)    /* more readers than can be counted */
#define URWSEM_LOCK_MASK (~(URWSEM_READER - 1) | URWSEM_WRITER)

/* The most queued readers that are let in at once. */
#define URWSEM_MAX_GRANTS 256
/* Time in the queue after which a waiter may ask for the handoff. */
#define URWSEM_HANDOFF_NS UINT64_C(4000000)

/* Both may be out of date on return; use them to wait until something has happened. */
static inline uint64_t urwsem_peek_count(const struct urwsem *sem)
{
	return load_relaxed(&sem->urwsem__count);
}

static inline uint32_t urwsem_peek_waiting(const struct urwsem *sem)
{
	return load_relaxed(&sem->urwsem__nr_waiting);
}

#endif /* MIRROR_URWSEM_IMPL_H */
