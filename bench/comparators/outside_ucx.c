/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * ucm, ucs-rcache: UCX's dispatcher of memory events and its registration cache
 *
 * The event "memory is unmapped" is declared external, so that UCX patches no function of this program, and is
 * raised by ucm_vm_munmap, as its documentation has it for programs with hooks of their own.  The memory of
 * the cache's regions is not looked at, and registering one is free.
 */
#include "comparators.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucm/api/ucm.h>
#include <ucs/memory/rcache.h>

#include "outside.h"

#ifndef UCX_VERSION
#define UCX_VERSION "UCX"
#endif

static void hear(ucm_event_type_t type, ucm_event_t *event, void *arg)
{
	(void)type;
	(void)event;
	outside_hear(arg);
}

static int open_handlers(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	(void)nr;
	ucm_set_external_event(UCM_EVENT_VM_UNMAPPED);
	*state = subscribers;
	return 0;
}

static void close_handlers(void *state)
{
	(void)state;
}

static int join(void *state, unsigned subscriber)
{
	struct outside_subscriber *all = state;
	ucs_status_t status = ucm_set_event_handler(UCM_EVENT_VM_UNMAPPED, 0, hear, &all[subscriber]);

	return status == UCS_OK ? 0 : -EIO;
}

static int leave(void *state, unsigned subscriber)
{
	struct outside_subscriber *all = state;

	ucm_unset_event_handler(UCM_EVENT_VM_UNMAPPED, hear, &all[subscriber]);
	return 0;
}

static void publish(void *state, uint64_t start, uint64_t end)
{
	(void)state;
	ucm_vm_munmap((void *)(uintptr_t)start, end - start);
}

static const struct outside_dispatcher dispatcher = {
	open_handlers, close_handlers, join, leave, publish,
};

/* ---- the cache ---- */

struct cache {
	ucs_rcache_t *rcache;
	uint64_t nr_dropped;
};

static ucs_status_t mem_reg(void *context, ucs_rcache_t *rcache, void *arg, ucs_rcache_region_t *region, uint16_t flags)
{
	(void)context;
	(void)rcache;
	(void)arg;
	(void)region;
	(void)flags;
	return UCS_OK;
}

static void mem_dereg(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region)
{
	(void)rcache;
	(void)region;
	((struct cache *)context)->nr_dropped++;
}

static void dump_region(void *context, ucs_rcache_t *rcache, ucs_rcache_region_t *region, char *text, size_t size)
{
	(void)context;
	(void)rcache;
	(void)region;
	if (size > 0)
		text[0] = '\0';
}

static const ucs_rcache_ops_t ops = { mem_reg, mem_dereg, dump_region };

static int open_cache(void **state, unsigned nr)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	ucs_rcache_params_t params = {
		.region_struct_size = sizeof(ucs_rcache_region_t),
		.alignment = UCS_RCACHE_MIN_ALIGNMENT,
		.max_alignment = OUTSIDE_PAGE,
		.ucm_events = UCM_EVENT_VM_UNMAPPED,
		.ucm_event_priority = 1000,
		.ops = &ops,
		.context = cache,
		.flags = UCS_RCACHE_FLAG_NO_PFN_CHECK,
		.max_regions = (unsigned long)-1,
		.max_size = (size_t)-1,
		.max_unreleased = (size_t)-1,
	};

	(void)nr;
	if (!cache)
		return -ENOMEM;
	ucm_set_external_event(UCM_EVENT_VM_UNMAPPED);
	if (ucs_rcache_create(&params, "mirror-bench", NULL, &cache->rcache) != UCS_OK) {
		free(cache);
		return -EIO;
	}
	*state = cache;
	return 0;
}

static void close_cache(void *state)
{
	struct cache *cache = state;

	ucs_rcache_destroy(cache->rcache);
	free(cache);
}

static int get(void *state, unsigned number, uint64_t start)
{
	struct cache *cache = state;
	ucs_rcache_region_t *region;

	(void)number;
	if (ucs_rcache_get(cache->rcache, (void *)(uintptr_t)start, OUTSIDE_PAGE, PROT_READ | PROT_WRITE, NULL,
			   &region) != UCS_OK)
		return -EIO;
	ucs_rcache_region_put(cache->rcache, region);
	return 0;
}

static uint64_t nr_dropped(void *state)
{
	return ((struct cache *)state)->nr_dropped;
}

static const struct outside_cache cache = {
	open_cache, close_cache, get, publish, nr_dropped,
};

static const struct outside as_dispatcher = { &dispatcher, NULL };
static const struct outside as_cache = { NULL, &cache };

const struct bench_comparator outside_ucm = {
	.name = "ucm",
	.about = "UCX's dispatcher: ucm_set_event_handler and ucm_vm_munmap",
	.library = UCX_VERSION,
	.own = &as_dispatcher,
};

const struct bench_comparator outside_ucs_rcache = {
	.name = "ucs-rcache",
	.about = "UCX's registration cache: ucs_rcache_get and ucm_vm_munmap",
	.library = UCX_VERSION,
	.own = &as_cache,
};
