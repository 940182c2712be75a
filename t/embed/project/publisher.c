/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A program of somebody else's with a publisher, PUBLISHER, found by CMake: it hears its own munmap. */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#define NAME_(a, b, c) a##b##c
#define NAME(a, b, c)  NAME_(a, b, c)
#define TEXT_(a)       #a
#define TEXT(a)        TEXT_(a)
#include TEXT(mirror/PUBLISHER.h)

static int nr_starts;

static int start(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	nr_starts++;
	return 0;
}

int main(void)
{
	static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = start };
	void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t address = (uintptr_t)memory;
	struct mirror_list *list;
	struct mirror m;
	int err;

	if (memory == MAP_FAILED || mirror_list_create(&list, NULL) ||
	    mirror_register_range(list, &m, &ops, address, address + 4096))
		return 1;
	err = NAME(mirror_, PUBLISHER, _start)(list);
	if (munmap(memory, 4096) || mirror_unregister(&m))
		return 1;
	/* jemalloc's publisher says that malloc is another, UCX's that no hooks can be installed. */
	if (err == -ENOSYS || err == -ENOTSUP)
		return mirror_list_destroy(list);
	return err || nr_starts != 1 || NAME(mirror_, PUBLISHER, _stop)(list) || mirror_list_destroy(list);
}
