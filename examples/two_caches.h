/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* One range of memory in two registration caches: UCX's, and a mirror.  For stale_pin.c and stale_heap.c. */
#ifndef EXAMPLES_TWO_CACHES_H
#define EXAMPLES_TWO_CACHES_H

#include <mirror/mirror.h>
#include <stdbool.h>
#include <stddef.h>

enum { TWO_CACHES_BYTES = 1 << 22 };

/** two_caches_open - pin @memory by both, with the mirror on @list; UCX's cache hears through libucm; false: no */
bool two_caches_open(struct mirror_list *list, void *memory);

/** two_caches_look_up - look @memory up in UCX's cache; false: an error */
bool two_caches_look_up(void *memory);

/** two_caches_show - print who has the memory of two_caches_open pinned; Return: whether the mirror has */
bool two_caches_show(const char *when);

/** two_caches_close - false: an error */
bool two_caches_close(void);

#endif /* EXAMPLES_TWO_CACHES_H */
