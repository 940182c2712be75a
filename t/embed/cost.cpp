/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The same in C's way and with the classes of <mirror/mirror.hpp>; cxx_cost counts the instructions. */

#include <mirror/mirror.hpp>

extern "C" {

void work() noexcept;
[[noreturn, gnu::cold]] void fail(int result, const char *call);
void drop(std::uint64_t start, std::uint64_t end);

void c_section(usrcu *domain)
{
	usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	work();
	usrcu_read_unlock_fast(domain, ctr);
}

void cxx_section(usrcu *domain)
{
	libmirror::section s(domain);

	work();
}

void c_handed_section(usrcu *domain)
{
	usrcu_handed_ctr *ctr = usrcu_down_read_fast(domain);

	work();
	usrcu_up_read_fast(domain, ctr);
}

void cxx_handed_section(usrcu *domain)
{
	libmirror::handed_section s(domain);

	work();
}

void c_bracket(libmirror::list &l, std::uint64_t start, std::uint64_t end)
{
	mirror_range r{};
	mirror_list *list = l.get();
	int result;

	r.start = start;
	r.end = end;
	r.flags = MIRROR_RANGE_BLOCKABLE;
	result = mirror_invalidate_range_start(list, &r);
	if (result)
		fail(result, "start");
	work();
	mirror_invalidate_range_end(list, &r);
}

void cxx_bracket(libmirror::list &l, std::uint64_t start, std::uint64_t end)
{
	libmirror::bracket b(l, start, end);

	work();
}

}

/* What the library calls, and from there on: an object, and its registration beside it. */
struct cache {
	std::uint64_t base;

	void invalidate_range_start(const mirror_range &r) { drop(r.start - base, r.end - base); }
};

struct c_registration {
	mirror m;
	cache *target;
};

extern "C" int c_start(mirror *m, const mirror_range *r)
{
	const cache *target = reinterpret_cast<c_registration *>(m)->target;

	drop(r->start - target->base, r->end - target->base);
	return 0;
}

/* It brings registration<cache>::start, which cxx_cost calls cxx_start. */
extern "C" void register_cache(libmirror::list &l, cache &target)
{
	libmirror::registration registered(l, target);

	work();
}

/* What the check must notice. */
extern "C" void c_dearer(usrcu *domain)
{
	c_section(domain);
}

extern "C" void cxx_dearer(usrcu *domain)
{
	libmirror::section outer(domain), inner(domain);

	work();
}
