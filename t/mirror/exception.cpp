/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A C++ exception leaves a callback and passes through the library: sections and pins are
 * unwound, so that mirrors can be unregistered and the list destroyed afterwards.
 */
#include "tap.h"

#include <stdexcept>

#include <mirror/mirror.h>

namespace {

struct guest {
	mirror m;
	int starts, ends, releases;
	bool throws_start, throws_end, throws_release;
	mirror_list *nested;            /* publish on it first */
};

guest *guest_of(mirror *m)
{
	return reinterpret_cast<guest *>(m); /* m is its first member */
}

int guest_start(mirror *m, const mirror_range *)
{
	guest *g = guest_of(m);

	g->starts++;
	if (g->nested && g->starts < 4)
		mirror_invalidate_range(g->nested, 0, 1);
	if (g->throws_start)
		throw std::runtime_error("start");
	return 0;
}

void guest_end(mirror *m, const mirror_range *)
{
	guest *g = guest_of(m);

	g->ends++;
	if (g->throws_end)
		throw std::runtime_error("end");
}

void guest_release(mirror *m)
{
	guest *g = guest_of(m);

	g->releases++;
	if (g->throws_release)
		throw std::runtime_error("release");
}

void guest_done(mirror *)
{
	throw std::runtime_error("done");
}

struct ops : mirror_ops {
	ops() : mirror_ops()
	{
		size = sizeof(mirror_ops);
		invalidate_range_start = guest_start;
		invalidate_range_end = guest_end;
		release = guest_release;
	}
};

const ops guest_ops;

mirror_list *list_new(const mirror_sync *sync, unsigned flags)
{
	mirror_list_attr attr = mirror_list_attr();
	mirror_list *list;

	attr.size = sizeof(attr);
	attr.sync = sync;
	attr.flags = flags;
	if (mirror_list_create(&list, &attr))
		bail_out("mirror_list_create");
	return list;
}

/* With a first fill, so that brackets are counted from now on. */
void join(mirror_list *list, guest *g)
{
	if (mirror_register(list, &g->m, &guest_ops))
		bail_out("mirror_register");
	mirror_read_begin(&g->m);
}

template <typename F> bool throws(F f)
{
	try {
		f();
	} catch (const std::runtime_error &) {
		return true;
	}
	return false;
}

/* Nothing is left behind: all can be given back. */
void leave(const char *name, const char *after, mirror_list *list, guest *a, guest *b, bool fills)
{
	uint64_t seq;

	if (fills)
		ok(mirror_read_try_begin(&a->m, &seq) && mirror_read_try_begin(&b->m, &seq),
		   "M12: after an exception in %s no bracket counts as open (%s)", after, name);
	is_int(mirror_unregister_timeout(&a->m, 5000000000), 0, "after an exception in %s its mirror can be unregistered (%s)",
	       after, name);
	a->throws_start = b->throws_start = a->throws_end = false;
	is_int(mirror_invalidate_range(list, 0, 1), 0, "... and the list goes on (%s)", name);
	is_int(mirror_unregister_timeout(&b->m, 5000000000), 0, "... and another unregistered (%s)", name);
	is_int(mirror_list_destroy(list), 0, "... and the list destroyed (%s)", name);
}

void test(const char *name, const mirror_sync *sync, unsigned flags)
{
	mirror_list *list = list_new(sync, flags);
	guest a = guest(), b = guest();
	mirror_range r = mirror_range();

	r.end = 1;
	join(list, &a);
	join(list, &b);
	a.throws_start = true;
	ok(throws([&] { mirror_invalidate_range_start(list, &r); }), "an exception in a start reaches the publisher (%s)", name);
	is_int(b.starts, 0, "... and later mirrors are not called (%s)", name);
	leave(name, "start", list, &a, &b, true);

	list = list_new(sync, flags);
	join(list, &b);
	join(list, &a);
	a.throws_end = true;
	is_int(mirror_invalidate_range_start(list, &r), 0, "a bracket starts (%s)", name);
	ok(throws([&] { mirror_invalidate_range_end(list, &r); }), "an exception in an end reaches the publisher (%s)", name);
	leave(name, "end", list, &a, &b, true);

	/* Through several brackets at once. */
	list = list_new(sync, flags);
	a = guest();
	join(list, &a);
	join(list, &b);
	a.nested = list;
	a.throws_start = true;
	ok(throws([&] { mirror_invalidate_range(list, 0, 1); }), "an exception passes through nested brackets (%s)", name);
	is_int(a.starts, 4, "... four of them (%s)", name);
	leave(name, "a nested start", list, &a, &b, true);

	list = list_new(sync, flags);
	a = guest();
	join(list, &a);
	join(list, &b);
	a.throws_release = true;
	ok(throws([&] { mirror_list_release(list); }), "an exception in a release reaches its caller (%s)", name);
	is_int(mirror_list_release(list), -EALREADY, "M10: ... the list is released all the same (%s)", name);
	is_int(a.releases, 1, "M10: ... its mirror once (%s)", name);
	leave(name, "release", list, &a, &b, false);

	list = list_new(sync, flags);
	a = guest();
	join(list, &a);
	ok(throws([&] { mirror_unregister_async(&a.m, guest_done); }), "so does one in done() (%s)", name);
	is_int(mirror_list_destroy(list), 0, "M8: ... which counts as returned (%s)", name);
}

} // namespace

int main()
{
	test("srcu", &mirror_sync_srcu, 0);
	test("srcu, full fences", &mirror_sync_srcu, MIRROR_LIST_FULL_FENCE);
	test("srcu, domain drain", &mirror_sync_srcu, MIRROR_LIST_DRAIN_DOMAIN);
	test("rwsem", &mirror_sync_rwsem, 0);
	return done_testing();
}
