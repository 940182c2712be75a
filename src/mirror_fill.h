/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What brackets do for mirrors that fill: mirror_fill.c explains it. */
#ifndef MIRROR_FILL_H
#define MIRROR_FILL_H

#include "mirror_list.h"

/*
 * m->mirror__fill.  Walks that hit the mirror and fillers write it, by read-modify-writes.
 *
 *      63                                    21      20 19               0
 *      +---------------------------------------+-------+-----------------+
 *      | STARTED: brackets ever started on it  |SLEEPER| OPEN: brackets  |
 *      +---------------------------------------+-------+-----------------+
 *
 *   OPEN     brackets that are open on the mirror
 *   SLEEPER  A filler sleeps until none is open.  Set by that filler; cleared by the bracket that ends last.
 *            Stale: a filler looks at OPEN in the step that sets SLEEPER, so the last end cannot miss it.
 *   STARTED  A count.  Stale outside the lock that the mirror's callback takes: the filler asks again under it.
 */
#define FILL_OPEN     ((uint64_t)(1u << 20) - 1)
#define FILL_SLEEPER  ((uint64_t)1 << 20)
#define FILL_STARTED  ((uint64_t)1 << 21)

/* mirror__settle of a new registration. */
#define UNSETTLED ((uint64_t)3)

/* A bracket of @seq has pinned the live @e, an ENTRY_FILLS, and is about to call its start, or has called its end. */
void fill_started_(struct mirror__entry *e, uint64_t seq);
void fill_ended_(struct mirror__entry *e, uint64_t seq);

#endif /* MIRROR_FILL_H */
