/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A module for Lua 5.4: scripts look at memory of the process, and hear before it changes or goes.
 *
 *      mirror.map(bytes)           a view of new memory, which view:unmap() gives back
 *      mirror.view(address, bytes) a view of memory that the host owns
 *      view[offset]                the byte there; an error if the memory is gone
 *      view:hear(function(view, gone, first, bytes) ... end)
 *      view:unmap()                publishes, then unmaps
 *      mirror.wait()               sleeps until there is something to hear
 *
 * A state belongs to the thread that runs it, and publishers are other threads.  So a callback touches nothing of Lua:
 * it makes the view refuse, notes what it heard, and sets a flag.  The script's own thread looks at the flag every
 * thousand instructions and in mirror.wait, and calls the function there.  Callbacks wait only for a byte to be read,
 * so that a state may be closed at any time: each view's __gc unregisters it.
 */
#include "lua_mirror.h"

#include <lauxlib.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define VIEW "lua_mirror view"

enum { INSTRUCTIONS = 1000 };

/* One for each state. */
struct ears {
	struct view *views;             /* the state's thread's own */
	pthread_mutex_t lock;           /* guards pending here and what is heard in views */
	pthread_cond_t changed;
	bool pending;                   /* also read without the lock, atomically */
};

struct view {
	struct mirror mirror;
	struct ears *ears;
	struct view *next, **link;      /* in ears->views */
	unsigned char *base;
	size_t bytes;
	bool registered, owned;         /* the state's thread's own, as is the link */
	bool gone;                      /* the rest is under ears->lock */
	unsigned brackets;
	uint64_t heard_from, heard_to;  /* equal: nothing; relative to base */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct mirror_list *list;

static void make_list(void)
{
	if (mirror_list_create(&list, NULL))
		list = NULL;
}

struct mirror_list *lua_mirror_list(void)
{
	pthread_once(&once, make_list);
	return list;
}

/* ---- in the publisher's thread ---- */

static int hear(struct mirror *m, const struct mirror_range *r)
{
	struct view *view = mirror_container_of(m, struct view, mirror);
	const uint64_t base = (uint64_t)(uintptr_t)view->base, end = base + view->bytes;
	uint64_t from = r->start > base ? r->start - base : 0, to = (r->end && r->end < end ? r->end : end) - base;
	struct ears *ears = view->ears;

	pthread_mutex_lock(&ears->lock);
	if (view->heard_from < view->heard_to) {        /* not taken yet: both */
		from = from < view->heard_from ? from : view->heard_from;
		to = to > view->heard_to ? to : view->heard_to;
	}
	view->heard_from = from;
	view->heard_to = to;
	view->gone |= r->event == MIRROR_EVENT_UNMAP;
	view->brackets++;
	__atomic_store_n(&ears->pending, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&ears->changed);
	pthread_mutex_unlock(&ears->lock);
	return 0;
}

static void may_look_again(struct mirror *m, const struct mirror_range *r)
{
	struct view *view = mirror_container_of(m, struct view, mirror);

	(void)r;
	pthread_mutex_lock(&view->ears->lock);
	view->brackets--;
	pthread_cond_broadcast(&view->ears->changed);
	pthread_mutex_unlock(&view->ears->lock);
}

static const struct mirror_ops ops = {
	.size = sizeof(ops), .invalidate_range_start = hear, .invalidate_range_end = may_look_again };

/* ---- in the script's thread ---- */

static const char views_key, ears_key;

static struct ears *ears_of(lua_State *L)
{
	struct ears *ears;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &ears_key);
	ears = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return ears;
}

/* The first view of which something was heard that the script was not told; its range is taken. */
static struct view *take(struct ears *ears, bool *gone, uint64_t *from, uint64_t *to)
{
	struct view *view = ears->views;

	pthread_mutex_lock(&ears->lock);
	while (view && view->heard_from >= view->heard_to)
		view = view->next;
	if (view) {
		*gone = view->gone;
		*from = view->heard_from;
		*to = view->heard_to;
		view->heard_from = view->heard_to = 0;
	} else {
		__atomic_store_n(&ears->pending, false, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&ears->lock);
	return view;
}

static void tell(lua_State *L)
{
	struct view *view;
	uint64_t from, to;
	bool gone;

	while ((view = take(ears_of(L), &gone, &from, &to))) {
		const int top = lua_gettop(L);

		luaL_checkstack(L, 8, NULL);
		lua_rawgetp(L, LUA_REGISTRYINDEX, &views_key);
		if (lua_rawgetp(L, -1, view) == LUA_TUSERDATA && lua_getiuservalue(L, -1, 1) == LUA_TFUNCTION) {
			lua_pushvalue(L, -2);
			lua_pushboolean(L, gone);
			lua_pushinteger(L, (lua_Integer)from);
			lua_pushinteger(L, (lua_Integer)(to - from));
			lua_call(L, 4, 0);
		}
		lua_settop(L, top);
	}
}

static void on_count(lua_State *L, lua_Debug *unused)
{
	(void)unused;
	if (__atomic_load_n(&ears_of(L)->pending, __ATOMIC_RELAXED))
		tell(L);
}

static int wait_to_hear(lua_State *L)
{
	struct ears *ears = ears_of(L);

	pthread_mutex_lock(&ears->lock);
	while (!ears->pending)
		pthread_cond_wait(&ears->changed, &ears->lock);
	pthread_mutex_unlock(&ears->lock);
	tell(L);
	return 0;
}

static struct view *new_view(lua_State *L, void *base, size_t bytes)
{
	struct view *view = lua_newuserdatauv(L, sizeof(*view), 1);

	memset(view, 0, sizeof(*view));
	view->ears = ears_of(L);
	view->base = base;
	view->bytes = bytes;
	view->next = view->ears->views;
	view->link = &view->ears->views;
	if (view->next)
		view->next->link = &view->next;
	view->ears->views = view;
	luaL_setmetatable(L, VIEW);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &views_key);
	lua_pushvalue(L, -2);
	lua_rawsetp(L, -2, view);
	lua_pop(L, 1);
	return view;
}

static void subscribe(lua_State *L, struct view *view)
{
	const uint64_t start = (uint64_t)(uintptr_t)view->base;
	int err = mirror_register_range(lua_mirror_list(), &view->mirror, &ops, start, start + view->bytes);

	if (err)
		luaL_error(L, "cannot subscribe: %s", mirror_strerror(err, "mirror_register_range"));
	view->registered = true;
	mirror_read_begin(&view->mirror);       /* brackets that are open already are not heard: wait for them */
}

static int view_of_host(lua_State *L)
{
	void *base = (void *)(uintptr_t)luaL_checkinteger(L, 1);
	lua_Integer bytes = luaL_checkinteger(L, 2);

	luaL_argcheck(L, bytes > 0, 2, "must be positive");
	subscribe(L, new_view(L, base, (size_t)bytes));
	return 1;
}

static int map(lua_State *L)
{
	lua_Integer bytes = luaL_checkinteger(L, 1);
	struct view *view;
	void *base;

	luaL_argcheck(L, bytes > 0, 1, "must be positive");
	view = new_view(L, NULL, (size_t)bytes);
	base = mmap(NULL, view->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return luaL_error(L, "there is no memory for a view of %d bytes", (int)bytes);
	view->base = base;
	view->owned = true;
	subscribe(L, view);
	return 1;
}

static struct view *check_view(lua_State *L)
{
	return luaL_checkudata(L, 1, VIEW);
}

/* The byte at an offset, after the brackets that are open; the callbacks wait for the lock. */
static unsigned char *lock_byte(lua_State *L, struct view *view)
{
	lua_Integer offset = luaL_checkinteger(L, 2);

	luaL_argcheck(L, offset >= 0 && (uint64_t)offset < view->bytes, 2, "is outside of the view");
	pthread_mutex_lock(&view->ears->lock);
	while (view->brackets && !view->gone)
		pthread_cond_wait(&view->ears->changed, &view->ears->lock);
	if (!view->gone)
		return view->base + offset;
	pthread_mutex_unlock(&view->ears->lock);
	luaL_error(L, "the memory is gone");
	return NULL;
}

static int get(lua_State *L)
{
	struct view *view = check_view(L);
	unsigned char byte;

	if (lua_type(L, 2) == LUA_TSTRING) {    /* a method */
		lua_getmetatable(L, 1);
		lua_pushvalue(L, 2);
		lua_rawget(L, -2);
		return 1;
	}
	/* Atomic, as is the store below: nothing else orders it before a bracket that begins when the view has gone. */
	byte = __atomic_load_n(lock_byte(L, view), __ATOMIC_RELAXED);
	pthread_mutex_unlock(&view->ears->lock);
	lua_pushinteger(L, byte);
	return 1;
}

static int set(lua_State *L)
{
	struct view *view = check_view(L);
	lua_Integer value = luaL_checkinteger(L, 3);

	__atomic_store_n(lock_byte(L, view), (unsigned char)value, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&view->ears->lock);
	return 0;
}

static int on_change(lua_State *L)
{
	check_view(L);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_setiuservalue(L, 1, 1);
	return 0;
}

static int unmap(lua_State *L)
{
	struct view *view = check_view(L);
	const uint64_t start = (uint64_t)(uintptr_t)view->base;
	struct mirror_range r = { .start = start, .end = start + view->bytes, .event = MIRROR_EVENT_UNMAP,
				  .flags = MIRROR_RANGE_BLOCKABLE };
	int err;

	luaL_argcheck(L, view->owned, 1, "is of memory that the host owns, or that is gone");
	err = mirror_invalidate_range_start(lua_mirror_list(), &r);
	if (err)
		return luaL_error(L, "cannot publish: %s", mirror_strerror(err, "mirror_invalidate_range_start"));
	view->owned = false;
	munmap(view->base, view->bytes);
	mirror_invalidate_range_end(lua_mirror_list(), &r);
	return 0;
}

/* Also for each view of a state that is closed.  Other views of memory that was never unmapped hear of it. */
static int collect(lua_State *L)
{
	struct view *view = check_view(L);

	if (view->owned)
		unmap(L);
	if (view->registered && mirror_unregister(&view->mirror))
		return luaL_error(L, "cannot unsubscribe");
	if (view->link) {
		*view->link = view->next;
		if (view->next)
			view->next->link = view->link;
	}
	view->registered = false;
	view->link = NULL;
	return 0;
}

int luaopen_lua_mirror(lua_State *L)
{
	static const luaL_Reg functions[] = { { "map", map }, { "view", view_of_host }, { "wait", wait_to_hear }, { 0 } };
	static const luaL_Reg methods[] = { { "__index", get }, { "__newindex", set }, { "__gc", collect },
					    { "__close", collect }, { "hear", on_change }, { "unmap", unmap }, { 0 } };
	struct ears *ears;

	if (!lua_mirror_list())
		return luaL_error(L, "there is no memory for a list");
	/* Made first, so that it is freed after all views. */
	ears = lua_newuserdatauv(L, sizeof(*ears), 0);
	memset(ears, 0, sizeof(*ears));
	pthread_mutex_init(&ears->lock, NULL);
	pthread_cond_init(&ears->changed, NULL);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &ears_key);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushliteral(L, "v");        /* a view that the script has dropped hears nothing */
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &views_key);
	luaL_newmetatable(L, VIEW);
	luaL_setfuncs(L, methods, 0);
	lua_sethook(L, on_count, LUA_MASKCOUNT, INSTRUCTIONS);
	luaL_newlib(L, functions);
	return 1;
}
