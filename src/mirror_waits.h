/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Which thread waits for which: mirror_waits.c explains it. */
#ifndef MIRROR_WAITS_H
#define MIRROR_WAITS_H

#include "mirror_list.h"

/* Show this thread's wait to the others: 0; -EDEADLK: it would close a cycle, and is not shown. */
int show_wait_(struct wait *wait);
void end_wait_(struct wait *wait);

#endif /* MIRROR_WAITS_H */
