/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which side pays for the fence between pins and drains.
 * The barriers (the letters) are explained at the top of src/mirror_fence.c.
 */
#ifndef MIRROR_FENCE_H
#define MIRROR_FENCE_H

#include "mirror_list.h"

/* A publisher looks at the number of drains once in so many walks; 0: never. */
#ifndef FENCE_MODE_PERIOD
#define FENCE_MODE_PERIOD 256
#endif
/* The number of walks over which it counts them. */
#define FENCE_MODE_WINDOW (32 * FENCE_MODE_PERIOD)

/* A walk of @w begins: all that it has shown comes before its looks at the state of entries. */
static inline void fence_walk_(struct walker *w)
{
	own_inc(&w->fences);
	fence_full(); /* B (pairs with C): after depth, before the state of entries */
}

/* A walk that looks at no entry for a while. */
struct rest {
	struct walker *walker;          /* NULL: there is no walk */
	uint32_t outer;                 /* the walk that rested before, further out */
};

/* The innermost walk of this thread, if any, looks at no entry but under the list's lock: no drain waits for it. */
static inline struct rest rest_(struct walker *w)
{
	struct rest rest = { NULL, 0 };

	if (w && depth_of_(w)) {
		rest = (struct rest){ w, load_relaxed(&w->rests) };
		store_release_unless(REST_NO_RELEASE, &w->rests, depth_of_(w)); /* D (pairs with C): the pins before */
	}
	return rest;
}

/* A cleanup: it goes on, also when an exception passes. */
static inline void resume_(struct rest *rest)
{
	if (rest->walker) {
		store_relaxed(&rest->walker->rests, rest->outer);
		unless(RESUME_NO_FENCE, fence_walk_(rest->walker));
	}
}

/* @w's publisher looks: let walks fence if drains are frequent, and stop if there are none. */
void choose_fence_mode_(struct mirror_list *list, struct walker *w);
/* Under lock. */
void begin_fencing_(struct mirror_list *list);
void end_fencing_(struct mirror_list *list);

/* What C and F must be. */
enum drain_fence {
	DRAIN_FENCES,                   /* a full fence: walks fence at each callback, or are excluded */
	DRAIN_ASKS,                     /* the same, and each walk must end, or begin with a fence; else it interrupts */
	DRAIN_INTERRUPTS,               /* membarrier(2) */
};

/*
 * Under lock, after the drain's entries were marked dead: count a fence of a drain, move the fence mode on if it is
 * about to settle, and say what fence this drain needs.
 */
enum drain_fence advance_fence_mode_(struct mirror_list *list);
/* The fence of a drain (C and F): 0 or -errno. */
int fence_drain_(struct mirror_list *list, enum drain_fence fence);

#endif /* MIRROR_FENCE_H */
