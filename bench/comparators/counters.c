/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What comparators count while a question measures them. */
#include <stdlib.h>

#include "outside.h"
#include "primitives.h"
#include "ranges.h"

_Thread_local uint64_t outside_heard;
_Thread_local uint64_t ranges_hits;

/* On a line of its own: many threads add to it. */
_Alignas(64) atomic_ullong primitive_nr_freed;

void primitive_freed(struct retired *object)
{
	free(object);
	atomic_fetch_add_explicit(&primitive_nr_freed, 1, memory_order_relaxed);
}
