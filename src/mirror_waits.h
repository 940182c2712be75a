/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which thread waits for which: mirror_waits.c explains it. */
#ifndef MIRROR_WAITS_H
#define MIRROR_WAITS_H

#include "mirror_list.h"

/* Show this thread's wait to the others: 0; -EDEADLK: it would close a cycle, and is not shown. */
int show_wait_(struct wait *wait);
/* The same, of a call that must not fail. */
void show_wait_anyway_(struct wait *wait);
void end_wait_(struct wait *wait);

/* begin_change_ and end_change_, of a call that waits for all walks of @list then: -EDEADLK as above. */
int begin_shown_change_(struct mirror_list *list, struct wait *wait);
void end_shown_change_(struct mirror_list *list, struct wait *wait);

#endif /* MIRROR_WAITS_H */
