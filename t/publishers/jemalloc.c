/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* libmirror-jemalloc: what jemalloc gives back or drops is a bracket round the old hook, whose result counts */
#include "tap.h"

#include <jemalloc/jemalloc.h>
#include <mirror/jemalloc.h>
#include <mirror/preload.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { BLOCK = 8 << 20 };

static struct mirror_list *list;

/* ---- hooks of the test's own, which stand behind the publisher's ---- */

static extent_hooks_t *default_hooks;
static bool keeps;                      /* every extent */
static char order[64];                  /* s: start, e: end, d: dalloc, D: destroy, l, f: purges, c: decommit */

static void note(char what)
{
	size_t n = strlen(order);

	if (n + 1 < sizeof(order))
		order[n] = what;
}

static bool own_dalloc(extent_hooks_t *hooks, void *address, size_t size, bool committed, unsigned arena)
{
	(void)hooks, (void)committed, (void)arena;
	note('d');
	return keeps || munmap(address, size) != 0;
}

static void own_destroy(extent_hooks_t *hooks, void *address, size_t size, bool committed, unsigned arena)
{
	(void)hooks, (void)committed, (void)arena;
	note('D');
	munmap(address, size);
}

static bool own_decommit(extent_hooks_t *hooks, void *address, size_t size, size_t offset, size_t length,
			 unsigned arena)
{
	(void)hooks, (void)address, (void)size, (void)offset, (void)length, (void)arena;
	note('c');
	return true;
}

static bool own_purge_lazy(extent_hooks_t *hooks, void *address, size_t size, size_t offset, size_t length,
			 unsigned arena)
{
	(void)hooks, (void)address, (void)size, (void)offset, (void)length, (void)arena;
	note('l');
	return true;
}

static bool own_purge_forced(extent_hooks_t *hooks, void *address, size_t size, size_t offset, size_t length,
			     unsigned arena)
{
	(void)hooks, (void)size, (void)arena;
	note('f');
	return madvise((char *)address + offset, length, MADV_DONTNEED) != 0;
}

static extent_hooks_t own_hooks;

/* ---- a mirror ---- */

static unsigned nr_starts, nr_ends, events[2];
static uint64_t low = UINT64_MAX, high;

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	note('s');
	nr_starts++;
	if (r->event == MIRROR_EVENT_UNMAP || r->event == MIRROR_EVENT_CLEAR)
		events[r->event == MIRROR_EVENT_CLEAR]++;
	low = r->start < low ? r->start : low;
	high = r->end > high ? r->end : high;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	note('e');
	nr_ends++;
}

static const struct mirror_ops ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};
static struct mirror listener;

static void forget(void)
{
	memset(order, 0, sizeof(order));
	memset(events, 0, sizeof(events));
	nr_starts = nr_ends = 0;
	low = UINT64_MAX;
	high = 0;
}

static unsigned new_arena(void)
{
	unsigned arena;
	size_t size = sizeof(arena);
	extent_hooks_t *hooks = &own_hooks;

	if (mallctl("arenas.create", &arena, &size, &hooks, sizeof(hooks)))
		bail_out("cannot create an arena");
	return arena;
}

/* Allocates and frees a block of the arena, of which nothing stays cached. */
static char *use(unsigned arena, char *block)
{
	if (!block)
		return mallocx(BLOCK, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	dallocx(block, MALLOCX_TCACHE_NONE);
	return NULL;
}

static void purge(unsigned arena)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.purge", arena);
	if (mallctl(name, NULL, NULL, NULL, 0))
		bail_out("cannot purge");
}

static void test_arena(void)
{
	unsigned arena = new_arena();
	char *block, name[64];

	is_int(mirror_jemalloc_hook(arena), 0, "an arena with hooks of its own is hooked");
	is_int(mirror_jemalloc_hook(arena), 0, "... also a second time");
	block = use(arena, NULL);
	forget();
	use(arena, block);
	purge(arena);
	ok(strstr(order, "sde") && nr_starts == nr_ends, "dalloc: start, old hook, end (%s)", order);
	ok(events[0] >= 1 && low <= (uintptr_t)block && high >= (uintptr_t)block + BLOCK, "... of the whole extent, unmapped");

	keeps = true;
	block = use(arena, NULL);
	memset(block, 1, BLOCK);
	forget();
	use(arena, block);
	purge(arena);
	ok(strstr(order, "sde") && nr_starts == nr_ends, "a dalloc that keeps the extent: start and end too (%s)", order);
	ok(strstr(order, "sce") && strstr(order, "sfe") && events[1] >= 2,
	   "... then decommit, which refuses, and the purge: each a bracket of pages dropped");
	block = use(arena, NULL);
	ok(block && (block[0] = 2) == 2, "what was kept is used again");
	use(arena, block);
	forget();
	snprintf(name, sizeof(name), "arena.%u.destroy", arena);
	ok(mallctl(name, NULL, NULL, NULL, 0) == 0 && strstr(order, "sDe") && nr_starts == nr_ends,
	   "destroy: start, old hook, end (%s)", order);
	keeps = false;
}

static struct gate in_callback = GATE_INITIALIZER;
static int stop_rc;

static int stop_here(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	stop_rc = mirror_jemalloc_stop(list);
	gate_open(&in_callback);
	return 0;
}

static void *allocate(void *arg)
{
	for (uint64_t i = scaled(200); i > 0; i--) {
		char *p = malloc(BLOCK);

		if (p)
			*(volatile char *)p = 1;
		free(p);
	}
	return arg;
}

static void test_process(void)
{
	static const struct mirror_ops stop_ops = { .size = sizeof(stop_ops), .invalidate_range_start = stop_here };
	pthread_t threads[4];
	struct mirror m;
	unsigned arena = new_arena();
	int status = -1;
	pid_t child;

	forget();
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, allocate, NULL))
			bail_out("cannot start a thread");
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	purge(MALLCTL_ARENAS_ALL);
	if (getenv("MIRROR_SANITIZER") && strcmp(getenv("MIRROR_SANITIZER"), "no") != 0)
		skip(1, "malloc is the sanitizer's");
	else
		ok(nr_starts > 0, "arenas that jemalloc makes by itself are hooked, also those it makes later");

	is_int(mirror_jemalloc_start(list), -EALREADY, "a list that is published on already");
	is_int(mirror_jemalloc_start(NULL), -EINVAL, "no list");
	is_int(mirror_jemalloc_stop(NULL), -EINVAL, "... to stop");
	is_int(mirror_jemalloc_hook(99999), -EINVAL, "no such arena");
	if (mirror_register(list, &m, &stop_ops) || mirror_jemalloc_hook(arena))
		bail_out("cannot register");
	use(arena, use(arena, NULL));
	purge(arena);
	ok(gate_wait_ms(&in_callback, 0) && stop_rc == -EDEADLK, "stop in a callback is -EDEADLK");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");

	child = fork();
	if (child == 0) {
		forget();
		use(arena, use(arena, NULL));
		purge(arena);
		_exit(nr_starts == 0 || mirror_jemalloc_stop(list) != 0);
	}
	waitpid(child, &status, 0);
	is_int(status, 0, "the child of a fork publishes, and stops");
}

/* The same extent is given back by a hook, and then by the munmap in it. */
static void test_beside_preload(void)
{
	unsigned arena = new_arena();
	int rc = mirror_preload_start(list);

	if (rc == -ENOSYS) {
		skip(2, "libmirror-preload was not built");
		return;
	}
	is_int(rc, 0, "libmirror-preload beside it, on the same list");
	if (mirror_jemalloc_hook(arena))
		bail_out("cannot hook");
	forget();
	use(arena, use(arena, NULL));
	purge(arena);
	ok(strstr(order, "sdsee") && nr_starts == nr_ends, "... a change is heard once from each, one within the other (%s)",
	   order);
	if (mirror_preload_stop(list))
		bail_out("cannot stop");
}

int main(void)
{
	size_t size = sizeof(default_hooks);

#ifdef __SANITIZE_THREAD__
	skip_all("at a fork jemalloc takes more locks than ThreadSanitizer counts");
#endif
	if (mallctl("arena.0.extent_hooks", &default_hooks, &size, NULL, 0))
		skip_all("malloc is not jemalloc");
	own_hooks = *default_hooks;
	own_hooks.dalloc = own_dalloc;
	own_hooks.destroy = own_destroy;
	own_hooks.decommit = own_decommit;
	own_hooks.purge_lazy = own_purge_lazy;
	own_hooks.purge_forced = own_purge_forced;
	if (mirror_list_create(&list, NULL) || mirror_register(list, &listener, &ops))
		bail_out("cannot create a list");
	is_int(mirror_jemalloc_stop(list), -ENOENT, "nothing to stop");
	is_int(mirror_jemalloc_start(list), 0, "start");
	test_arena();
	test_process();
	test_beside_preload();
	is_int(mirror_jemalloc_stop(list), 0, "stop");
	forget();
	free(malloc(BLOCK));
	purge(MALLCTL_ARENAS_ALL);
	ok(nr_starts == 0, "... and nothing is heard any more");
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	is_int(mirror_list_destroy(list), 0, "nothing is left behind");
	return done_testing();
}
