/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What brackets do for mirrors that fill: mirror_fill.c explains it. */
#ifndef MIRROR_FILL_H
#define MIRROR_FILL_H

#include "mirror_list.h"

/*
 * entry->fill.  Walks that hit the entry and fillers write it, by read-modify-writes.
 *
 *      63                                    21      20 19               0
 *      +---------------------------------------+-------+-----------------+
 *      | STARTED: brackets ever started on it  |SLEEPER| OPEN: brackets  |
 *      +---------------------------------------+-------+-----------------+
 *
 *   OPEN     brackets that are open on the entry
 *   SLEEPER  A filler sleeps until none is open.  Set by that filler; cleared by the bracket that ends last.
 *            Stale: a filler looks at OPEN in the step that sets SLEEPER, so the last end cannot miss it.
 *   STARTED  A count.  Stale outside the lock that the mirror's callback takes: the filler asks again under it.
 */
#define FILL_OPEN     ((uint64_t)(1u << 20) - 1)
#define FILL_SLEEPER  ((uint64_t)1 << 20)
#define FILL_STARTED  ((uint64_t)1 << 21)

/* mirror__settle of a new registration. */
#define UNSETTLED ((uint64_t)3)

/* True if a bracket of @seq counts itself in @e->fill. */
static inline bool counts_fills_(const struct mirror__entry *e, uint64_t seq)
{
	return load_relaxed(&e->fills_from) <= seq;
}

/* Such a bracket starts, or is over. */
static inline void fill_started_(struct mirror__entry *e)
{
	fetch_add(&e->fill, FILL_STARTED + 1);
}

void fill_ended_(struct mirror__entry *e);

#endif /* MIRROR_FILL_H */
