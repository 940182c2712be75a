/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* UCX's registration cache, which hears through libucm's hooks when memory is unmapped. */
#include "comparators.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucm/api/ucm.h>
#include <ucs/memory/rcache.h>

#include "caches.h"

#ifndef UCX_VERSION
#define UCX_VERSION "UCX"
#endif

static ucs_status_t mem_reg(void *context, ucs_rcache_t *rcache, void *arg, ucs_rcache_region_t *region, uint16_t flags)
{
	(void)context, (void)rcache, (void)arg, (void)flags;
	cache_pin(region->super.start);
	return UCS_OK;
}

static void mem_dereg(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region)
{
	(void)context, (void)rcache;
	cache_unpin(region->super.start);
}

static void dump_region(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region, char *text, size_t size)
{
	(void)context, (void)rcache, (void)region;
	if (size > 0)
		text[0] = '\0';
}

static const ucs_rcache_ops_t ops = { mem_reg, mem_dereg, dump_region };

static int open_cache(void **state)
{
	ucs_rcache_params_t params = {
		.region_struct_size = sizeof(ucs_rcache_region_t),
		.alignment = UCS_RCACHE_MIN_ALIGNMENT,
		.max_alignment = CACHE_PAGE,
		.ucm_events = UCM_EVENT_VM_UNMAPPED,
		.ucm_event_priority = 1000,
		.ops = &ops,
		.flags = UCS_RCACHE_FLAG_NO_PFN_CHECK,
		.max_regions = CACHE_MAX_REGIONS,
		.max_size = (size_t)-1,
		.max_unreleased = (size_t)-1,
	};

	/* Other questions have libucm install no hooks. */
	ucm_unset_external_event(UCM_EVENT_VM_UNMAPPED);
	return ucs_rcache_create(&params, "mirror-bench", NULL, (ucs_rcache_t **)state) == UCS_OK ? 0 : -EIO;
}

static void close_cache(void *state)
{
	ucs_rcache_destroy(state);
}

static int get(void *state, uint64_t start, void **region)
{
	return ucs_rcache_get(state, (void *)(uintptr_t)start, CACHE_PAGE, PROT_READ | PROT_WRITE, NULL,
			      (ucs_rcache_region_t **)region) == UCS_OK ? 0 : -EIO;
}

static void put(void *state, void *region)
{
	ucs_rcache_region_put(state, region);
}

static const struct cache cache = { open_cache, close_cache, get, put };

const struct bench_comparator cache_ucs_rcache = {
	.name = "ucs-rcache",
	.about = "UCX's registration cache: ucs_rcache_get and ucs_rcache_region_put, under libucm",
	.library = UCX_VERSION,
	.own = &cache,
};
