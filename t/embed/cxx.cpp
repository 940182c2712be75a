/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* <mirror/mirror.hpp>: what its classes hold ends with them, in the right order; errors and exceptions are as it says. */
#include "tap.h"

#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>

#include <mirror/mirror.hpp>

namespace {

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<libmirror::section> && !std::is_move_constructible_v<libmirror::section>);
static_assert(!std::is_copy_constructible_v<libmirror::bracket> && !std::is_move_constructible_v<libmirror::bracket>);
static_assert(std::is_nothrow_move_constructible_v<libmirror::handed_section>);
static_assert(!std::is_copy_constructible_v<libmirror::handed_section>);
static_assert(!std::is_move_constructible_v<libmirror::registration<libmirror::virtual_mirror>>);

/* The errno that an expression throws; 0: none. */
template <class F>
int thrown_by(F f)
{
	try {
		f();
	} catch (const libmirror::error &e) {
		return e.code().value();
	}
	return 0;
}

/* Whether it ends the process by SIGABRT, as std::terminate does. */
template <class F>
bool terminates(F f)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		fclose(stderr);
		f();
		_exit(0);
	}
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

void domains()
{
	libmirror::domain d;

	{
		libmirror::section one(d), two(d.get());

		ok(usrcu_read_lock_held(d.get()), "a section is open in its scope");
		is_int(thrown_by([&] { d.synchronize(); }), EDEADLK, "synchronize throws in a section");
	}
	ok(!usrcu_read_lock_held(d.get()), "... and ends with it");
	is_int(thrown_by([&] { d.synchronize(); }), 0, "synchronize returns");

	{
		libmirror::handed_section outer(d);
		libmirror::handed_section moved(std::move(outer));

		ok(!d.synchronize_for(1ms), "a handed section is open after a move");
		std::thread([handed = std::move(moved)] {}).join();
		ok(d.synchronize_for(10s), "... and ends in the thread that it was moved to");
		libmirror::handed_section again(d);
		outer = std::move(again);
		ok(!d.synchronize_for(-1s), "... and is open after a move by assignment");
	}
	d.synchronize();
	d.barrier();
	ok(terminates([] {
		libmirror::domain busy;

		usrcu_read_lock(busy.get());
	}), "a domain with an open section cannot be destroyed");

	usrcu_attr wrong{};
	is_int(thrown_by([&] { libmirror::domain refused(wrong); }), EINVAL, "a domain that cannot be made throws");
}

/* Plain members; no finish. */
struct counts {
	int starts = 0, ends = 0, releases = 0;

	int invalidate_range_start(const mirror_range &)
	{
		starts++;
		return 0;
	}
	void invalidate_range_end(const mirror_range &) { ends++; }
	void release() { releases++; }
};

/* Virtual ones. */
struct derived : libmirror::virtual_mirror {
	int starts = 0, finishes = 0, result = 0;

	int invalidate_range_start(const mirror_range &) override
	{
		starts++;
		return result;
	}
	void finish(const mirror_range &) override { finishes++; }
};

void mirrors()
{
	libmirror::list l;
	counts all, part;
	derived over;
	int calls = 0, ends = 0;
	mirror_range soft{};

	{
		libmirror::registration on_all(l, all);
		libmirror::registration on_part(l, part, 100, 200);
		libmirror::registration<libmirror::virtual_mirror> on_over(l, over);
		libmirror::callback_mirror one(l, [&](const mirror_range &) { calls++; });
		libmirror::callback_mirror two(l, 0, 50, [&](const mirror_range &) { calls += 10; return 0; },
					       [&](const mirror_range &) { ends++; });

		l.invalidate(0, 10);
		ok(all.starts == 1 && all.ends == 1, "plain members are called");
		ok(part.starts == 0 && part.ends == 0, "... for their range alone");
		ok(over.starts == 1 && over.finishes == 1, "virtual members are called, finish too");
		ok(calls == 11 && ends == 1, "callables are called, with an end and without");
		is_int(thrown_by([&] { mirror_register(l.get(), nullptr, nullptr); }), 0, "C's calls take get()");
		is_int(thrown_by([&] { libmirror::registration bad(l, part, 200, 100); }), EINVAL,
		       "a registration that is refused throws");
		{
			libmirror::bracket b(l, 150, 160);

			ok(part.starts == 1 && part.ends == 0, "a bracket is open in its scope");
		}
		is_int(part.ends, 1, "... and ends with it");
		{
			soft.start = 150, soft.end = 160;
			libmirror::tried_bracket b(l, soft);

			ok(b && b.result() == 0 && part.starts == 2, "a tried bracket is open, and says so");
			b.end();
			ok(!b && part.ends == 2, "... and can be ended before its scope");
		}
		is_int(part.ends, 2, "... and is not ended twice");

		over.result = -EAGAIN;
		soft.start = 100, soft.end = 101;
		is_int(thrown_by([&] { libmirror::bracket b(l, soft); }), EAGAIN, "a bracket that is refused throws");
		{
			libmirror::tried_bracket b(l, soft);

			ok(!b && b.result() == -EAGAIN, "... and a tried one says so");
		}
		is_int(part.starts - part.ends, 0, "... and what had started is undone");
		over.result = 0;
		ok(on_part.unregister_for(10s), "a registration can end before its scope");
		int before = part.starts;
		l.invalidate(150, 160);
		is_int(part.starts, before, "... and is not called any more");
		on_part.unregister();
		std::uint64_t seq = on_all.read_begin();
		ok(!on_all.read_retry(seq) && on_all.read_try_begin(seq), "a fill without a change is good");
		l.invalidate(7, 8);
		ok(on_all.read_retry(seq), "... and with one it is not");
		l.release();
		is_int(all.releases, 1, "release is called");
	}
	all.starts = 0;
	l.invalidate(0, 10);
	is_int(all.starts, 0, "after their scope none is called");
	l.barrier();
}

/* The destructor of a registration, beside a callback that runs. */
void scope_waits()
{
	libmirror::list l;
	gate inside = GATE_INITIALIZER, leave = GATE_INITIALIZER;
	bool returned = false;

	std::thread publisher, helper;
	{
		libmirror::callback_mirror m(l, [&](const mirror_range &) {
			gate_open(&inside);
			gate_wait(&leave);
			returned = true;
		});

		publisher = std::thread([&] { l.invalidate(0, 1); });
		gate_wait(&inside);
		ok(!m.unregister_for(1ms), "a registration whose callback runs does not end in time");
		helper = std::thread([&, waiter = gettid()] {
			if (!thread_asleep_ms(waiter, 10000))
				diag("the destructor does not sleep");
			gate_open(&leave);
		});
	}
	ok(returned, "its destructor waits for the callback");
	publisher.join();
	helper.join();

	ok(terminates([] {
		libmirror::list own;
		libmirror::registration<libmirror::virtual_mirror> *made = nullptr;
		struct suicide : libmirror::virtual_mirror {
			libmirror::registration<libmirror::virtual_mirror> **made;

			int invalidate_range_start(const mirror_range &) override
			{
				delete *made;
				return 0;
			}
		} target;

		target.made = &made;
		made = new libmirror::registration<libmirror::virtual_mirror>(own, target);
		own.invalidate(0, 1);
	}), "a registration cannot be destroyed in its own callback");
	ok(terminates([] {
		auto *lost = new libmirror::list;
		counts target;
		auto *m = new libmirror::registration(*lost, target);

		delete lost;
		delete m;
	}), "a list cannot be destroyed while a mirror is registered");
}

void exceptions()
{
	libmirror::list l;
	struct cause {};
	bool throws_start = true, throws_end = false, caught = false;
	counts before;
	libmirror::registration first(l, before);
	libmirror::callback_mirror m(l, [&](const mirror_range &) {
		if (throws_start)
			throw cause();
	}, [&](const mirror_range &) {
		if (throws_end)
			throw cause();
	});

	try {
		libmirror::bracket b(l, 0, 1);
	} catch (const cause &) {
		caught = true;
	}
	ok(caught && before.starts == 1 && before.ends == 1, "an exception out of a start leaves the bracket, undone");
	throws_start = false;
	throws_end = true;
	caught = false;
	{
		mirror_range range{};

		range.end = 1;
		libmirror::tried_bracket b(l, range);
		try {
			b.end();
		} catch (const cause &) {
			caught = true;
		}
	}
	ok(caught && before.ends == 2, "one out of an end leaves end(), and the others have had theirs");
	ok(terminates([&] { libmirror::bracket b(l, 0, 1); }), "... and out of a destructor it terminates");
	throws_end = false;
}

}

int main()
{
	domains();
	mirrors();
	scope_waits();
	exceptions();
	is_int(mirror_version(), MIRROR_VERSION, "the header's version is the library's");
	return done_testing();
}
