-- SPDX-FileCopyrightText: 2026 libmirror contributors
-- SPDX-License-Identifier: MIT
--
-- A filter of pandoc's, for the HTML site: a link to a file of the tree becomes one to its page, or plain text if the
-- file has none, a picture is found beside the page, and a name of the public headers in code becomes a link to the reference. The file's folder, seen
-- from the top of the tree, is in the variable "dir", the list that doc-reference --names printed in "names".

local dir, header_of = "", {}

local function read_meta(meta)
	dir = meta.dir and pandoc.utils.stringify(meta.dir) or ""
	for line in io.lines(pandoc.utils.stringify(meta.names)) do
		local name, kind, header = line:match("^(%S+) (%S+) (%S+)$")
		-- These two are words of the text as well.
		if name ~= "mirror" and name ~= "urwsem" then
			header_of[name] = header
		end
	end
end

-- The page of a file of the tree, or nil.
local function page(path)
	if path == "doc/README.md" then
		return "index.html"
	end
	local name = path:match("^doc/([^/]+)%.md$") or path:match("^doc/man/([^/]+)%.md$") or
		path:match("^doc/([^/]+%.1)$")
	if not name and not path:match("_inline%.h$") then
		name = path:match("^include/mirror/([^/]+%.h)$")
	end
	if name then
		return name .. ".html"
	end
	name = path:match("^([A-Z]+)%.md$")
	if name then
		return name:lower() .. ".html"
	end
	return path:match("^examples/[^/]+%.c$") or path:match("^examples/[^/]+%.cpp$") or
		path:match("^examples/[^/]+%.lua$") or path:match("^examples/[^/]+%.py$")
end

local function link(element)
	local path, anchor = element.target:match("^([^#]*)(#?.*)$")
	if path == "" or path:match("^%a+:") or path:match("%.html$") then
		return nil
	end
	path = dir .. path
	while path:find("[^/]+/%.%./") do
		path = path:gsub("[^/]+/%.%./", "", 1)
	end
	local target = page(path)
	if not target then
		return element.content
	end
	element.target = target .. anchor
	return element
end

-- A picture stands beside the pages.
local function image(element)
	element.src = element.src:match("[^/]*$")
	return element
end

local function code(element)
	local name = element.text:match("^([%w_]+)$") or element.text:match("^([%w_]+)%(%)$")
	if name and header_of[name] then
		-- False: do not look for code in what replaces it.
		return pandoc.Link(element, header_of[name] .. ".html#" .. name), false
	end
end

-- A heading or the text of a link is no place for a link.
local function plain(element)
	return element, false
end

return { { Meta = read_meta }, { traverse = "topdown", Link = function(e) return link(e) or e, false end,
	Header = plain, Code = code, Image = image } }
