/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What brackets do for mirrors that fill: mirror_fill.c explains it. */
#ifndef MIRROR_FILL_H
#define MIRROR_FILL_H

#include "mirror_list.h"

/*
 * m->mirror__started and m->mirror__ended count brackets in steps of FILL_ONE.
 *
 *   SLEEPER  In ended: a filler sleeps until as many have ended as have started.  Set by that filler; cleared by the
 *            bracket that ends last, or by unregister.
 *            Stale: a filler sets it by the step that tells whether another bracket has ended meanwhile.
 *   started  Stale outside the lock that the mirror's callback takes: the filler asks again under it.
 */
#define FILL_SLEEPER  ((uint64_t)1)
#define FILL_ONE      ((uint64_t)2)

/* mirror__settle of a new registration. */
#define UNSETTLED ((uint64_t)3)

/* The bracket of @r has pinned the live @e, an ENTRY_FILLS, and is about to call its start, or has called its end. */
void fill_started_(struct mirror__entry *e, const struct mirror_range *r);
void fill_ended_(struct mirror__entry *e, const struct mirror_range *r);
/* Under lock: brackets go by another range of @m; the cookie of list->brackets says when those from before are over. */
void fill_moved_(struct mirror *m, struct mirror__entry *e, uint64_t cookie);
/* Under lock: @m, whose state says so by now, hears no bracket any more; fillers that sleep are to see that. */
void fill_died_(struct mirror *m, struct mirror__entry *e);

#endif /* MIRROR_FILL_H */
