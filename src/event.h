/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * An event: threads sleep until another thread has changed something that they look at
 *
 * State: one word.  Bit 0: a thread may sleep.  The bits above count signals.
 *
 *      sleeper                                 signaller
 *        seen = event_prepare()                  change
 *          sets bit 0; fence A                   event_signal()
 *        look; if nothing has changed:             fence B; if bit 0 is set, clear it,
 *        event_wait(seen)                          count, wake
 *
 * A and B are the two sides of a store buffering test: the signaller sees the bit, or the sleeper sees the change.
 * A bit that nobody needs any more costs one wake.  So nothing has to be repaired where a sleeper goes away or a
 * process forks.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | event_prepare | bit 0 before the look | full | B | a thread sleeps for ever | usrcu-barrier-other, usrcu-two-synchronizers |
 * | B | event_signal | the change before the look at bit 0 | full | A | as A | usrcu-barrier-other, usrcu-two-synchronizers |
 */
#ifndef MIRROR_EVENT_H
#define MIRROR_EVENT_H

#include "port.h"
#include "mutant.h"

#include <limits.h>

struct event {
	uint32_t word;
};

static inline uint32_t event_prepare(struct event *event)
{
	uint32_t seen = fetch_or(&event->word, 1) | 1;

	unless(PREPARE_NO_FENCE, fence_full()); /* A (pairs with B): bit 0 before the look */
	return seen;
}

/* Sleep until a signal since event_prepare, or the deadline: 0 (look again) or -ETIMEDOUT. */
static inline int event_wait(struct event *event, uint32_t seen, uint64_t deadline_ns)
{
	return port_futex_wait(&event->word, seen, deadline_ns);
}

static inline void event_signal(struct event *event)
{
	uint32_t word;

	unless(SIGNAL_NO_FENCE, fence_full()); /* B (pairs with A): the change before the look at bit 0 */
	word = load_relaxed(&event->word);
	while (word & 1)
		if (compare_exchange(&event->word, &word, word + 1)) {
			port_futex_wake(&event->word, INT_MAX);
			return;
		}
}

#endif /* MIRROR_EVENT_H */
