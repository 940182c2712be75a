/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* One range of memory in two registration caches.  To pin is to set a flag. */
#include "two_caches.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucm/api/ucm.h>
#include <ucs/memory/rcache.h>

static bool mirror_has_pinned, ucx_has_pinned;  /* atomic: callbacks run in who unmaps */
static uint64_t start;                          /* of the memory that goes */
static struct mirror mirror;
static ucs_rcache_t *rcache;

static void set(bool *pinned, bool value)
{
	__atomic_store_n(pinned, value, __ATOMIC_RELAXED);
}

static const char *is_pinned(const bool *pinned)
{
	return __atomic_load_n(pinned, __ATOMIC_RELAXED) ? "pinned" : "not pinned";
}

bool two_caches_show(const char *when)
{
	printf("%s: by the mirror %s, by UCX's cache %s\n", when, is_pinned(&mirror_has_pinned), is_pinned(&ucx_has_pinned));
	return __atomic_load_n(&mirror_has_pinned, __ATOMIC_RELAXED);
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

static ucs_status_t mem_reg(void *context, ucs_rcache_t *cache, void *arg, ucs_rcache_region_t *region, uint16_t flags)
{
	(void)context, (void)cache, (void)arg, (void)flags;
	if (region->super.start == start)
		set(&ucx_has_pinned, true);
	return UCS_OK;
}

static void mem_dereg(void *context, ucs_rcache_t *cache, ucs_rcache_region_t *region)
{
	(void)context, (void)cache;
	if (region->super.start == start)
		set(&ucx_has_pinned, false);
}

static void dump_region(void *context, ucs_rcache_t *cache, ucs_rcache_region_t *region, char *text, size_t size)
{
	(void)context, (void)cache, (void)region;
	if (size > 0)
		text[0] = '\0';
}

static const ucs_rcache_ops_t rcache_ops = { mem_reg, mem_dereg, dump_region };

bool two_caches_look_up(void *memory)
{
	ucs_rcache_region_t *region;

	if (ucs_rcache_get(rcache, memory, TWO_CACHES_BYTES, PROT_READ | PROT_WRITE, NULL, &region) != UCS_OK)
		return false;
	ucs_rcache_region_put(rcache, region);
	return true;
}

bool two_caches_open(struct mirror_list *list, void *memory)
{
	ucs_rcache_params_t params = {
		.region_struct_size = sizeof(ucs_rcache_region_t), .alignment = UCS_RCACHE_MIN_ALIGNMENT,
		.max_alignment = 4096, .ucm_events = UCM_EVENT_VM_UNMAPPED, .ucm_event_priority = 1000, .ops = &rcache_ops,
		.flags = UCS_RCACHE_FLAG_NO_PFN_CHECK, .max_regions = (unsigned long)-1, .max_size = (size_t)-1,
		.max_unreleased = (size_t)-1,
	};

	start = (uint64_t)(uintptr_t)memory;
	if (ucs_rcache_create(&params, "two_caches", NULL, &rcache) != UCS_OK ||
	    mirror_register_range(list, &mirror, &ops, start, start + TWO_CACHES_BYTES))
		return false;
	set(&mirror_has_pinned, true);
	return two_caches_look_up(memory);
}

bool two_caches_close(void)
{
	ucs_rcache_destroy(rcache);
	return mirror_unregister(&mirror) == 0;
}
