/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What walks do with proxies, the entries of ranges that were set anew: mirror_move.c explains it. */
#ifndef MIRROR_MOVE_H
#define MIRROR_MOVE_H

#include "mirror_pin.h"

/* True if walks of @seq go by a newer proxy than @p. */
static inline bool is_superseded(const struct mirror__entry *p, uint64_t seq)
{
	uint64_t newer = load_relaxed(&load_acquire(&p->newer)->joined);

	return broken_if(MOVE_BOTH_RANGES, false, load_relaxed(&p->joined) < newer && newer <= seq);
}

/*
 * The walk, of @seq, has found the proxy *@e: pin the entry for which it stands, put that in *@e, and return its state.
 * DEAD: the walk passes over the proxy, which stays in *@e.
 */
static inline uint32_t pin_main(struct walk *walk, struct mirror__entry **e, uint64_t seq)
{
	if (is_superseded(*e, seq))
		return ENTRY_DEAD;
	*e = (*e)->main;
	return broken_if(MOVE_PINS_PROXY, load_acquire(&(*e)->state), pin_(walk, *e));
}

#endif /* MIRROR_MOVE_H */
