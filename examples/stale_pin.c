/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Two registration caches in one program, UCX's and a mirror, and a plain munmap, which libucm sees.
 *
 * libmirror-ucm makes a bracket of it, in which the mirror unpins.  UCX's cache notes the range, and deregisters at a
 * later look-up: between the two the device may write to memory that is somebody else's.
 */
#include <mirror/ucm.h>
#include <sys/mman.h>

#include "two_caches.h"

static void *map(void)
{
	void *memory = mmap(NULL, TWO_CACHES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int main(void)
{
	void *memory = map(), *other = map();
	struct mirror_list *list;
	bool failed;

	if (!memory || !other || mirror_list_create(&list, NULL) || mirror_ucm_start(list) || !two_caches_open(list, memory))
		return 1;
	two_caches_show("mapped");
	if (munmap(memory, TWO_CACHES_BYTES))
		return 1;
	failed = two_caches_show("munmap has returned");
	if (!two_caches_look_up(other))
		return 1;
	two_caches_show("other memory was looked up");
	return failed || mirror_ucm_stop(list) || !two_caches_close() || mirror_list_destroy(list) ||
	       munmap(other, TWO_CACHES_BYTES);
}
