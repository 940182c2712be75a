-- SPDX-FileCopyrightText: 2026 libmirror contributors
-- SPDX-License-Identifier: MIT
--
-- LUA_CPATH=examples/.libs/?.so lua5.4 hear.lua

local mirror = require "lua_mirror"
local view = mirror.map(4096)

view[100] = 42
view:hear(function(_, gone, first, bytes)
	print(("bytes %d to %d %s"):format(first, first + bytes - 1, gone and "are gone" or "have changed"))
end)
print(view[100])
view:unmap()
mirror.wait()
print((select(2, pcall(function() return view[100] end)):gsub("^.*: ", "")))
