/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Two registration caches in one program, UCX's and a mirror, and a plain munmap, which libucm sees.
 *
 * libmirror-ucm makes a bracket of it, in which the mirror unpins.  UCX's cache notes the range, and deregisters at a
 * later look-up: between the two the device may write to memory that is somebody else's.
 */
#include <mirror/mirror.h>
#include <mirror/ucm.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucm/api/ucm.h>
#include <ucs/memory/rcache.h>

enum { BYTES = 1 << 16 };

static bool mirror_has_pinned, ucx_has_pinned;  /* atomic: callbacks run in who unmaps */

static uint64_t start;                          /* of the memory that goes */

static void set(bool *pinned, bool value)
{
	__atomic_store_n(pinned, value, __ATOMIC_RELAXED);
}

static const char *is_pinned(const bool *pinned)
{
	return __atomic_load_n(pinned, __ATOMIC_RELAXED) ? "pinned" : "not pinned";
}

static void show(const char *when)
{
	printf("%s: by the mirror %s, by UCX's cache %s\n", when, is_pinned(&mirror_has_pinned), is_pinned(&ucx_has_pinned));
}

/* ---- the mirror ---- */

static int unpin(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	set(&mirror_has_pinned, false);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = unpin };

/* ---- UCX's cache ---- */

static ucs_status_t mem_reg(void *context, ucs_rcache_t *rcache, void *arg, ucs_rcache_region_t *region, uint16_t flags)
{
	(void)context, (void)rcache, (void)arg, (void)flags;
	if (region->super.start == start)
		set(&ucx_has_pinned, true);
	return UCS_OK;
}

static void mem_dereg(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region)
{
	(void)context, (void)rcache;
	if (region->super.start == start)
		set(&ucx_has_pinned, false);
}

static void dump_region(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region, char *text, size_t size)
{
	(void)context, (void)rcache, (void)region;
	if (size > 0)
		text[0] = '\0';
}

static const ucs_rcache_ops_t rcache_ops = { mem_reg, mem_dereg, dump_region };

static int look_up(ucs_rcache_t *rcache, void *memory)
{
	ucs_rcache_region_t *region;

	if (ucs_rcache_get(rcache, memory, BYTES, PROT_READ | PROT_WRITE, NULL, &region) != UCS_OK)
		return 1;
	ucs_rcache_region_put(rcache, region);
	return 0;
}

static void *map(void)
{
	void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int main(void)
{
	ucs_rcache_params_t params = {
		.region_struct_size = sizeof(ucs_rcache_region_t), .alignment = UCS_RCACHE_MIN_ALIGNMENT,
		.max_alignment = 4096, .ucm_events = UCM_EVENT_VM_UNMAPPED, .ucm_event_priority = 1000, .ops = &rcache_ops,
		.flags = UCS_RCACHE_FLAG_NO_PFN_CHECK, .max_regions = (unsigned long)-1, .max_size = (size_t)-1,
		.max_unreleased = (size_t)-1,
	};
	void *memory = map(), *other = map();
	struct mirror_list *list;
	ucs_rcache_t *rcache;
	struct mirror mirror;
	int failed;

	start = (uint64_t)(uintptr_t)memory;
	memset(&mirror, 0, sizeof(mirror));
	if (!memory || !other || mirror_list_create(&list, NULL) || mirror_ucm_start(list) ||
	    ucs_rcache_create(&params, "stale_pin", NULL, &rcache) != UCS_OK ||
	    mirror_register_range(list, &mirror, &ops, start, start + BYTES) || look_up(rcache, memory))
		return 1;
	set(&mirror_has_pinned, true);
	show("mapped");
	if (munmap(memory, BYTES))
		return 1;
	failed = __atomic_load_n(&mirror_has_pinned, __ATOMIC_RELAXED);
	show("munmap has returned");
	if (look_up(rcache, other))
		return 1;
	show("other memory was looked up");
	ucs_rcache_destroy(rcache);
	return failed || mirror_ucm_stop(list) || mirror_unregister(&mirror) || mirror_list_destroy(list) ||
	       munmap(other, BYTES);
}
