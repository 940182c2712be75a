/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which side pays for the fence between pins and drains: mirror_fence.c explains it. */
#ifndef MIRROR_FENCE_H
#define MIRROR_FENCE_H

#include "mirror_list.h"

/* A publisher looks at the number of drains once in so many walks; 0: never. */
#ifndef FENCE_MODE_PERIOD
#define FENCE_MODE_PERIOD 256
#endif
/* The number of walks over which it counts them. */
#define FENCE_MODE_WINDOW (32 * FENCE_MODE_PERIOD)

/* @w's publisher looks: let walks fence if drains are frequent, and stop if there are none. */
void choose_fence_mode_(struct mirror_list *list, struct walker *w);
/* Under lock. */
void begin_fencing_(struct mirror_list *list);
void end_fencing_(struct mirror_list *list);

/*
 * Under lock, after the drain's entries were marked dead: count a fence of a drain, move the fence mode on if it is
 * about to settle, and say whether this drain must interrupt the walks.
 */
bool advance_fence_mode_(struct mirror_list *list);
/* The fence of a drain (C and F), heavy if advance_fence_mode_ said so: 0 or -errno. */
int fence_drain_(bool interrupt);

#endif /* MIRROR_FENCE_H */
