/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A C++ exception leaves a callback and passes through the library: sections and pins are
 * unwound, so that mirrors can be unregistered and the list destroyed afterwards.
 */
#include "tap.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <mirror/mirror.h>

/* If a callback and the done() behind it throw, the second exception goes on, and the first is lost with its memory. */
extern "C" const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
extern "C" const char *__lsan_default_suppressions(void)
{
	return "leak:__cxa_allocate_exception\n";
}

namespace {

/* What clang compiled ends the program if a callback that is called while an exception passes throws too. */
#ifdef __clang__
constexpr bool TWO_AT_ONCE = false;
#else
constexpr bool TWO_AT_ONCE = true;
#endif

struct guest {
	mirror m;
	int starts, ends, releases;
	bool throws_start, throws_end, throws_release, goes_in_release;
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

void guest_done(mirror *)
{
	throw std::runtime_error("done");
}

void guest_release(mirror *m)
{
	guest *g = guest_of(m);

	g->releases++;
	if (g->goes_in_release)
		mirror_unregister_async(m, guest_done);
	if (g->throws_release)
		throw std::runtime_error("release");
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
	a.throws_release = a.goes_in_release = TWO_AT_ONCE && sync->kind == MIRROR_SYNC_GRACE_PERIOD;
	is_int(throws([&] { mirror_list_release(list); }), a.throws_release,
	       "... and one in a release and in the done() behind it (%s)", name);
	is_int(a.throws_release ? 0 : mirror_unregister(&a.m), 0, "... of a mirror that is gone then (%s)", name);
	is_int(mirror_list_destroy(list), 0, "... whose list can be destroyed (%s)", name);

	list = list_new(sync, flags);
	a = guest();
	join(list, &a);
	ok(throws([&] { mirror_unregister_async(&a.m, guest_done); }), "so does one in done() (%s)", name);
	is_int(mirror_list_destroy(list), 0, "M8: ... which counts as returned (%s)", name);
}

/* ---- the same in a crowd: range mirrors, both kinds mixed, more hits than fit on the stack ---- */

enum place { START, FINISH, END, DONE_IN_START, DONE_IN_END, BOTH_IN_START, BOTH_IN_END, NOWHERE };
const char *const place_names[] = {
	"a start", "a finish", "an end", "done() behind a start", "done() behind an end", "a start and its done()",
	"an end and its done()",
};

struct shape {
	const char *name;
	int wholes, ranges;
	bool moved;                     /* each range is set anew before the bracket */
} const shapes[] = {
	{ "range mirrors", 0, 5, false }, { "both kinds", 3, 3, false }, { "200 hits", 0, 200, false },
	{ "200 hits and others", 4, 196, false }, { "range mirrors that were moved", 0, 5, true },
	{ "both kinds, moved", 3, 3, true },
};

struct crowd;

struct member {
	mirror m;
	crowd *all;
	int number;
	int starts, finishes, ends;
	bool gone;
};

struct crowd {
	mirror_list *list;
	std::vector<member> members;
	place where;                    /* what throws, of ... */
	int who;                        /* ... this one */
	int nests;                      /* this one's start publishes; -1: none */
	int depth, throws_at_depth;     /* of nested brackets */
	bool thrown;

	explicit crowd(size_t nr) : list(), members(nr), where(NOWHERE), who(0), nests(-1), depth(0),
				    throws_at_depth(0), thrown(false) { }

	/* Whether @m is to throw, out of @here: once. */
	bool due(const member *m, place here)
	{
		if (thrown || m->number != who || here != where || depth != throws_at_depth)
			return false;
		thrown = true;
		return true;
	}
};

/* Counts the nested brackets also if an exception ends one. */
struct deeper {
	crowd *all;
	explicit deeper(crowd *c) : all(c) { all->depth++; }
	~deeper() { all->depth--; }
	deeper(const deeper &) = delete;
	deeper &operator=(const deeper &) = delete;
};

member *member_of(mirror *m)
{
	return reinterpret_cast<member *>(m); /* m is its first member */
}

void member_done(mirror *m)
{
	member_of(m)->gone = true;
	throw std::runtime_error("done");
}

int member_start(mirror *mirror, const mirror_range *)
{
	member *m = member_of(mirror);
	crowd *all = m->all;

	m->starts++;
	if (m->number == all->nests && all->depth == 0) {
		deeper nested(all);

		mirror_invalidate_range(all->list, 0, 1);
	}
	if (all->due(m, DONE_IN_START))
		mirror_unregister_async(mirror, member_done);
	if (all->due(m, BOTH_IN_START)) {
		mirror_unregister_async(mirror, member_done);
		throw std::runtime_error("start");
	}
	if (all->due(m, START))
		throw std::runtime_error("start");
	return 0;
}

void member_finish(mirror *mirror, const mirror_range *)
{
	member *m = member_of(mirror);

	m->finishes++;
	if (m->all->due(m, FINISH))
		throw std::runtime_error("finish");
}

void member_end(mirror *mirror, const mirror_range *)
{
	member *m = member_of(mirror);

	m->ends++;
	if (m->all->due(m, DONE_IN_END))
		mirror_unregister_async(mirror, member_done);
	if (m->all->due(m, BOTH_IN_END)) {
		mirror_unregister_async(mirror, member_done);
		throw std::runtime_error("end");
	}
	if (m->all->due(m, END))
		throw std::runtime_error("end");
}

struct member_ops : mirror_ops {
	member_ops() : mirror_ops()
	{
		size = sizeof(mirror_ops);
		invalidate_range_start = member_start;
		invalidate_range_end = member_end;
		finish = member_finish;
	}
};

const member_ops crowd_ops;

mirror_list_stats stats_of(mirror_list *list)
{
	mirror_list_stats s = mirror_list_stats();

	s.size = sizeof(s);
	if (mirror_list_get_stats(list, &s))
		bail_out("mirror_list_get_stats");
	return s;
}

/* Each of them fills, and whole-list and range mirrors take turns. */
void crowd_join(crowd *c, const shape &shape)
{
	int wholes = shape.wholes, ranges = shape.ranges, number;

	for (size_t i = 0; i < c->members.size(); i++) {
		member *m = &c->members[i];
		int rc;

		*m = member();
		m->all = c;
		if (wholes && (i % 2 == 0 || !ranges)) {
			number = shape.wholes - wholes--;
			rc = mirror_register(c->list, &m->m, &crowd_ops);
		} else {
			number = shape.wholes + shape.ranges - ranges--;
			rc = mirror_register_range(c->list, &m->m, &crowd_ops, 0, 1 + 7 * i % 100);
			if (!rc && shape.moved)
				rc = mirror_set_range(&m->m, 0, 2 + 7 * i % 100);
		}
		if (rc)
			bail_out("mirror_register");
		m->number = number; /* in the order in which they are called */
		mirror_read_begin(&m->m);
	}
}

/* What the contract says of one bracket that was interrupted so. */
bool called_as_promised(const crowd &c)
{
	bool good = true;

	for (const member &m : c.members) {
		int i = m.number, k = c.who, starts, ends, least_finishes = 0, most_finishes;
		bool nested = c.nests >= 0;

		switch (c.where) {
		case START:
		case BOTH_IN_START:
			starts = i <= k;
			ends = most_finishes = i < k;
			break;
		case FINISH:
			starts = ends = 1;
			least_finishes = i <= k;
			most_finishes = 1;
			break;
		case DONE_IN_START:
			/* The others are told of what they have started, and of nothing else. */
			starts = i <= k ? 1 : m.starts - (nested && i <= c.nests);
			ends = i == k ? 0 : starts;
			most_finishes = starts;
			break;
		default:
			starts = ends = least_finishes = most_finishes = 1;
			break;
		}
		/* The bracket around it: its start ends by the exception in that callback. */
		starts += nested && i <= c.nests;
		ends += nested && i < c.nests && !m.gone;
		most_finishes += nested && i < c.nests;
		good &= m.starts == starts && m.ends == ends && m.finishes >= least_finishes &&
			m.finishes <= most_finishes;
		if (m.starts != starts || m.ends != ends || m.finishes < least_finishes || m.finishes > most_finishes)
			diag("mirror %d: %d starts, not %d; %d ends, not %d; %d finishes, not %d to %d", i, m.starts,
			     starts, m.ends, ends, m.finishes, least_finishes, most_finishes);
	}
	return good;
}

/* The nested bracket, if any, is published by the mirror in front of the middle, and the middle one throws in it. */
void test_crowd(const char *name, const mirror_sync *sync, unsigned flags, const shape &shape, place where, bool nested)
{
	crowd c(static_cast<size_t>(shape.wholes + shape.ranges));
	mirror_range r = mirror_range();
	mirror_list_stats before, after;
	uint64_t calls = 0, seq;
	bool thrown, fills = true, gone = true, goes_on = true;
	std::string text = std::string(nested ? "a nested bracket, " : "") + place_names[where] + ", " + shape.name +
			   ", " + name;
	const char *what = text.c_str();

	r.end = 1;
	c.list = list_new(sync, flags);
	crowd_join(&c, shape);
	c.where = where;
	c.who = static_cast<int>(c.members.size() / 2);
	if (nested) {
		c.nests = c.who - 1;
		c.throws_at_depth = 1;
	}
	before = stats_of(c.list);
	thrown = throws([&] {
		if (!mirror_invalidate_range_start(c.list, &r))
			mirror_invalidate_range_end(c.list, &r);
	});
	after = stats_of(c.list);
	ok(thrown && c.thrown, "an exception reaches the publisher (%s)", what);
	ok(called_as_promised(c), "... and each mirror got what the contract says (%s)", what);
	for (const member &m : c.members)
		calls += static_cast<uint64_t>(m.starts + m.finishes + m.ends);
	is_int(static_cast<intmax_t>(after.callbacks - before.callbacks), static_cast<intmax_t>(calls),
	       "... each call was counted (%s)", what);
	for (member &m : c.members)
		if (!m.gone) {
			fills &= mirror_read_try_begin(&m.m, &seq);
			fills &= !mirror_read_retry(&m.m, mirror_read_begin(&m.m));
		}
	ok(fills, "M12: ... no bracket counts as open (%s)", what);
	for (member &m : c.members)
		m.starts = m.finishes = m.ends = 0;
	c.nests = -1;
	goes_on = mirror_invalidate_range(c.list, 0, 1) == 0;
	for (const member &m : c.members)
		goes_on &= m.gone || (m.starts == 1 && m.finishes == 1 && m.ends == 1);
	ok(goes_on, "... the next bracket calls all of them (%s)", what);
	for (member &m : c.members)
		gone &= m.gone || mirror_unregister_timeout(&m.m, 5000000000) == 0;
	ok(gone, "... all can be unregistered (%s)", what);
	is_int(mirror_list_destroy(c.list), 0, "... and the list destroyed: no section is open (%s)", what);
}

void test_crowds(const char *name, const mirror_sync *sync, unsigned flags)
{
	for (const shape &shape : shapes)
		for (int where = START; where < (TWO_AT_ONCE ? NOWHERE : BOTH_IN_START); where++)
			for (int nested = 0; nested < 2; nested++)
				/* Over a lock no callback may unregister. */
				if (sync->kind == MIRROR_SYNC_GRACE_PERIOD || where < DONE_IN_START)
					test_crowd(name, sync, flags, shape, static_cast<place>(where), nested);
}

} // namespace

int main()
{
	test("srcu", &mirror_sync_srcu, 0);
	test("srcu, full fences", &mirror_sync_srcu, MIRROR_LIST_FULL_FENCE);
	test("srcu, domain drain", &mirror_sync_srcu, MIRROR_LIST_DRAIN_DOMAIN);
	test("rwsem", &mirror_sync_rwsem, 0);
	test_crowds("srcu", &mirror_sync_srcu, 0);
	test_crowds("srcu, full fences", &mirror_sync_srcu, MIRROR_LIST_FULL_FENCE);
	test_crowds("srcu, domain drain", &mirror_sync_srcu, MIRROR_LIST_DRAIN_DOMAIN);
	test_crowds("rwsem", &mirror_sync_rwsem, 0);
	return done_testing();
}
