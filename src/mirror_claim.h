/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which call unregisters a mirror: mirror_claim.c explains it. */
#ifndef MIRROR_CLAIM_H
#define MIRROR_CLAIM_H

#include "mirror_list.h"

/*
 * Make @count mirrors this call's to unregister, or none of them; @to_wait: it will wait for their callbacks.  0, or
 * what mirror_unregister returns.
 */
int claim_(struct mirror *const *mirrors, size_t count, bool to_wait);
/* Nothing was done with it, or the wait for its callbacks has ended early. */
void give_back_(struct mirror *m);
/* The same of all that are not GONE. */
void give_all_back_(struct mirror *const *mirrors, size_t count);
/* The claims will not be given back, unless the wait fails.  To mark a mirror dead decides it too. */
void decide_(struct mirror *const *mirrors, size_t count);
/* Under lock: claims of @list were decided; rivals look again. */
void tell_rivals_(struct mirror_list *list);

/* How many of the @count, at least one and at most @most, come first that are of the first one's list. */
static inline size_t batch_of_(struct mirror *const *m, size_t count, size_t most)
{
	size_t nr = 1;

	while (nr < count && nr < most && m[nr]->mirror__list == m[0]->mirror__list)
		nr++;
	return nr;
}

#endif /* MIRROR_CLAIM_H */
