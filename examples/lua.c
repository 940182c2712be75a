/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A host of Lua scripts: threads open a state, run a script and close the state, over and over, while other threads
 * change the memory that the scripts look at.  At the end one script looks on as its memory goes.
 */
#include "lua_mirror.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, SCRIPTS = 2, PUBLISHERS = 2, ROUNDS = 25 };

static const char hears_thrice[] =
	"local mirror, heard = require 'lua_mirror', 0\n"
	"local view = mirror.view(...)\n"
	"view:hear(function(_, gone, first, bytes) assert(not gone and bytes > 0); heard = heard + 1 end)\n"
	"while heard < 3 do local byte = view[0] end\n"
	"return heard >= 3\n";

static const char sees_it_go[] =
	"local mirror, gone = require 'lua_mirror', false\n"
	"local view = mirror.view(...)\n"
	"view:hear(function(_, is_gone) gone = is_gone end)\n"
	"ready()\n"
	"while not gone do mirror.wait() end\n"
	"return not pcall(function() return view[0] end)\n";

static unsigned char *memory;           /* a page for each script */
static bool stop;                       /* atomic */
static pthread_barrier_t is_ready;

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "lua: %s failed\n", what);
	abort();
}

static int ready(lua_State *L)
{
	(void)L;
	pthread_barrier_wait(&is_ready);
	return 0;
}

/* Opens a state, runs a script over a page, closes the state. */
static bool run(const char *script, void *page)
{
	lua_State *L = luaL_newstate();
	bool right;

	check(L != NULL, "luaL_newstate");
	luaL_openlibs(L);
	luaL_requiref(L, "lua_mirror", luaopen_lua_mirror, 0);
	lua_register(L, "ready", ready);
	check(!luaL_loadstring(L, script), "compiling a script");
	lua_pushinteger(L, (lua_Integer)(uintptr_t)page);
	lua_pushinteger(L, PAGE);
	if (lua_pcall(L, 2, 1, 0))
		fprintf(stderr, "lua: %s\n", lua_tostring(L, -1));
	right = lua_isboolean(L, -1) && lua_toboolean(L, -1);
	lua_close(L);
	return right;
}

static void *run_scripts(void *page)
{
	intptr_t right = 0;

	for (int i = 0; i < ROUNDS; i++)
		right += run(hears_thrice, page);
	return (void *)right;
}

static void *see_it_go(void *page)
{
	return run(sees_it_go, page) ? page : NULL;
}

static void *publish(void *unused)
{
	for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		const uint64_t start = (uint64_t)(uintptr_t)memory + n % SCRIPTS * PAGE;
		struct mirror_range r = { .start = start, .end = start + PAGE, .event = MIRROR_EVENT_CLEAR,
					  .flags = MIRROR_RANGE_BLOCKABLE };

		check(!mirror_invalidate_range_start(lua_mirror_list(), &r), "start");
		__atomic_store_n(&memory[n % SCRIPTS * PAGE], (unsigned char)n, __ATOMIC_RELAXED);
		mirror_invalidate_range_end(lua_mirror_list(), &r);
	}
	return unused;
}

static void unmap_all(void)
{
	const uint64_t start = (uint64_t)(uintptr_t)memory;
	struct mirror_range r = { .start = start, .end = start + SCRIPTS * PAGE, .event = MIRROR_EVENT_UNMAP,
				  .flags = MIRROR_RANGE_BLOCKABLE };

	check(!mirror_invalidate_range_start(lua_mirror_list(), &r), "start");
	check(!munmap(memory, SCRIPTS * PAGE), "munmap");
	mirror_invalidate_range_end(lua_mirror_list(), &r);
}

int main(void)
{
	pthread_t scripts[SCRIPTS], publishers[PUBLISHERS];
	intptr_t right = 0;
	void *result;

	memory = mmap(NULL, SCRIPTS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED && lua_mirror_list(), "preparing");
	pthread_barrier_init(&is_ready, NULL, 2);
	for (int i = 0; i < PUBLISHERS; i++)
		check(!pthread_create(&publishers[i], NULL, publish, NULL), "pthread_create");
	for (int i = 0; i < SCRIPTS; i++)
		check(!pthread_create(&scripts[i], NULL, run_scripts, memory + i * PAGE), "pthread_create");
	for (int i = 0; i < SCRIPTS; i++) {
		pthread_join(scripts[i], &result);
		right += (intptr_t)result;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < PUBLISHERS; i++)
		pthread_join(publishers[i], NULL);
	printf("%d states opened and closed beside %d publishers; %d scripts heard of 3 changes\n", SCRIPTS * ROUNDS,
	       PUBLISHERS, (int)right);
	check(!pthread_create(&scripts[0], NULL, see_it_go, memory), "pthread_create");
	pthread_barrier_wait(&is_ready);
	unmap_all();
	pthread_join(scripts[0], &result);
	printf("a script whose memory was unmapped %s\n", result ? "heard of it, and its view refuses" : "went wrong");
	return right != SCRIPTS * ROUNDS || !result || mirror_list_destroy(lua_mirror_list());
}
