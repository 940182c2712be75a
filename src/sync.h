/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The syncs that come with the library, besides the two that <mirror/mirror.h> declares. */
#ifndef MIRROR_SYNC_H
#define MIRROR_SYNC_H

#include <mirror/mirror.h>

/* What mirror_sync_srcu stands for in a list with MIRROR_LIST_FULL_FENCE: a domain that needs no membarrier(2). */
extern const struct mirror_sync sync_srcu_fenced_;

#endif /* MIRROR_SYNC_H */
