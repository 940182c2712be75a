/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * urwsem - a reader-writer semaphore with the rules of Linux's rwsem
 *
 * Queued writers are first in, first out; but a writer that arrives tries and spins before it
 * queues, so it may come before those in the queue (as in Linux), until the first of them has
 * waited for 4 ms.  A waiting writer makes later readers wait while another reader holds it: that
 * rule is why callbacks under it can deadlock (see mirror.h).  Not recursive.  The thread that took
 * it need not be the one that releases it.
 *
 * May its last holder free it?  Only when each other thread's call on it has returned: a release
 * that found threads waiting still touches it for a moment after the next of them has it.
 */
#ifndef MIRROR_URWSEM_H
#define MIRROR_URWSEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct urwsem__waiter;

/** struct urwsem - embed it; private; all zero is a valid, free one */
struct urwsem {
	uint64_t urwsem__count;
	uint64_t urwsem__owner;
	uint32_t urwsem__wait_lock;
	uint32_t urwsem__spinner;
	struct urwsem__waiter *urwsem__first;
	struct urwsem__waiter *urwsem__last;
	uint32_t urwsem__nr_waiting;
	uint32_t urwsem__pad;
	uint64_t urwsem__reserved[2];
};

/**
 * urwsem_init - make it free
 * Return:  0; -EINVAL: NULL
 * Context: all other calls but destroy may run at once; this one runs alone
 */
int urwsem_init(struct urwsem *sem);

/**
 * urwsem_destroy - check that nobody uses it any more
 * Return:  0; -EINVAL: NULL; -EBUSY: held or waited for, and nothing changed
 */
int urwsem_destroy(struct urwsem *sem);

/**
 * urwsem_down_read - wait until it is held for reading
 * urwsem_down_write - wait until it is held for writing
 * Return:  0; -EINVAL: NULL
 */
int urwsem_down_read(struct urwsem *sem);
int urwsem_down_write(struct urwsem *sem);

/**
 * urwsem_down_read_trylock - hold it for reading, without waiting
 * urwsem_down_write_trylock - hold it for writing, without waiting
 * Return:  0: held; -EBUSY: not; -EINVAL: NULL
 */
int urwsem_down_read_trylock(struct urwsem *sem);
int urwsem_down_write_trylock(struct urwsem *sem);

/**
 * urwsem_down_read_timeout - wait for at most @timeout_ns until it is held for reading
 * urwsem_down_write_timeout - wait for at most @timeout_ns until it is held for writing
 * Return:  0: held; -ETIMEDOUT: not held, not queued; -EINVAL: NULL
 */
int urwsem_down_read_timeout(struct urwsem *sem, uint64_t timeout_ns);
int urwsem_down_write_timeout(struct urwsem *sem, uint64_t timeout_ns);

/**
 * urwsem_up_read - give up a hold for reading
 * urwsem_up_write - give up a hold for writing
 * Context: any thread, not only the one that took it; if it is not held the program stops
 */
void urwsem_up_read(struct urwsem *sem);
void urwsem_up_write(struct urwsem *sem);

/** urwsem_downgrade_write - turn a hold for writing into one for reading; queued readers come in too */
void urwsem_downgrade_write(struct urwsem *sem);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_URWSEM_H */
