/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The Lua module "lua_mirror", for hosts that publish what their scripts hear of. */
#ifndef LUA_MIRROR_H
#define LUA_MIRROR_H

#include <lua.h>
#include <mirror/mirror.h>

/* The list of this process, on which all states subscribe; NULL: there was no memory for it. */
struct mirror_list *lua_mirror_list(void);

int luaopen_lua_mirror(lua_State *L);

#endif /* LUA_MIRROR_H */
