/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What publishers share whose calls return to the place where they began: a change within its brackets
 *
 * Each library has lists of its own: the file is built into each.
 */
#ifndef PUBLISHERS_ANNOUNCE_H
#define PUBLISHERS_ANNOUNCE_H

#include <mirror/mirror.h>

#include "names.h"

enum { ANNOUNCE_MAX_LISTS = 8 };

/** struct announce_change - a change that is to be made, on the stack of whoever makes it */
struct announce_change {
	int event;
	unsigned nr_parts;              /* 0: nothing is invalidated */
	struct mirror_extent parts[2];
	void *data;                     /* of the brackets */
	void (*make)(struct announce_change *c);
	void (*refuse)(struct announce_change *c); /* in place of make, where a bracket could not be opened */
};

/** announce - make the change, within a bracket for each of its parts on each list */
void announce(struct announce_change *c);

/**
 * announce_start - announce on @list too, by these functions of the libmirror that made it
 * Return: 0; -EINVAL; -EALREADY; -ENOSPC
 */
int announce_start(struct mirror_list *list, int (*start)(struct mirror_list *list, struct mirror_range *r),
		   void (*end)(struct mirror_list *list, struct mirror_range *r));

/**
 * announce_stop - announce on @list no more
 * Return: 0 when no bracket is open there; -EINVAL; -ENOENT; -EDEADLK in a callback of one of this thread's
 */
int announce_stop(struct mirror_list *list);

#endif /* PUBLISHERS_ANNOUNCE_H */
