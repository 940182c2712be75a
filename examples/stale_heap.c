/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The same two caches in a program whose malloc is jemalloc.
 *
 * jemalloc keeps what was freed and drops its pages later, so that free alone changes nothing and nobody has to unpin.
 * At the purge, libmirror-jemalloc makes a bracket.
 */
#include <jemalloc/jemalloc.h>
#include <mirror/jemalloc.h>
#include <string.h>

#include "two_caches.h"

#define NAME_(arena) "arena." #arena ".purge"
#define NAME(arena)  NAME_(arena)

/* By jemalloc's own names, so that a sanitizer's malloc does not come between. */
static void *allocate(void)
{
	void *memory = mallocx(TWO_CACHES_BYTES, 0);

	return memory ? memset(memory, 1, TWO_CACHES_BYTES) : NULL;
}

int main(void)
{
	void *memory = allocate(), *other = allocate();
	struct mirror_list *list;
	bool failed;

	if (!memory || !other || mirror_list_create(&list, NULL) || mirror_jemalloc_start(list) ||
	    !two_caches_open(list, memory))
		return 1;
	two_caches_show("allocated");
	dallocx(memory, 0);
	two_caches_show("freed");
	if (mallctl(NAME(MALLCTL_ARENAS_ALL), NULL, NULL, NULL, 0))
		return 1;
	failed = two_caches_show("purged");
	if (!two_caches_look_up(other))
		return 1;
	two_caches_show("other memory was looked up");
	dallocx(other, 0);
	return failed || mirror_jemalloc_stop(list) || !two_caches_close() || mirror_list_destroy(list);
}
