/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A cache of translations in C++, told by its mirror which of them are about to go. */

#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>

#include <mirror/mirror.hpp>

namespace {

class translations {
public:
	explicit translations(libmirror::list &space) : registered_(space, *this) {}

	void add(std::uint64_t address, int translation)
	{
		std::lock_guard<std::mutex> hold(lock_);

		known_[address] = translation;
	}
	std::size_t size()
	{
		std::lock_guard<std::mutex> hold(lock_);

		return known_.size();
	}

	/* The registration calls this before the range changes. */
	void invalidate_range_start(const mirror_range &r)
	{
		std::lock_guard<std::mutex> hold(lock_);

		known_.erase(known_.lower_bound(r.start), known_.lower_bound(r.end));
	}

private:
	std::mutex lock_;
	std::map<std::uint64_t, int> known_;
	libmirror::registration<translations> registered_; /* the last member: it goes first, and waits for callbacks */
};

}

int main()
{
	libmirror::list space;
	translations cache(space);

	cache.add(0x1000, 1);
	cache.add(0x2000, 2);
	{
		libmirror::bracket change(space, 0x2000, 0x3000);

		std::printf("%zu translation is left while the range changes\n", cache.size());
	}
	return cache.size() != 1;
}
