/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror for C++17: domains, sections, lists, registrations and brackets that end with their scope
 *
 * All is in this header, in namespace libmirror (the global name mirror is C's structure), over the functions of
 * <mirror/mirror.h> and <mirror/usrcu.h>; get() gives what those take.  A guard compiles to the calls that C would
 * make.
 *
 * Errors.  What cannot be made or begun throws libmirror::error, a std::system_error whose code is the errno of the
 * function in C; nothing has happened then.  A destructor does not throw: where the call in C would fail, the object is
 * still in use, nothing can free it safely, and std::terminate is called.  Each class says when that is.
 *
 * Exceptions out of callbacks pass through the library, as doc/contract.md says ("Exceptions"): out of a start or a
 * finish to who makes the bracket, out of an end to tried_bracket::end; out of a destructor they terminate the program.
 *
 * A program that contains the library in two files includes mirror-amalgamation.h first.
 */
#ifndef MIRROR_MIRROR_HPP
#define MIRROR_MIRROR_HPP

#ifndef MIRROR_AMALGAMATION_H
#include <mirror/mirror.h>
#include <mirror/usrcu.h>
#include <mirror/version.h>
#endif

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>

namespace libmirror {

/** class error - what a call refused; code().value() is its errno, what() names the call */
class error : public std::system_error {
public:
	/** From what the call in C returned, -errno. */
	error(int result, const char *call) : std::system_error(-result, std::generic_category(), call) {}
};

namespace detail {

[[noreturn, gnu::noinline, gnu::cold]] inline void fail(int result, const char *call)
{
	throw error(result, call);
}

inline void check(int result, const char *call)
{
	if (result)
		fail(result, call);
}

/* In a destructor: the object is still in use. */
inline void must(int result) noexcept
{
	if (result)
		std::terminate();
}

/* Below zero is none, and past the end of time is for ever. */
template <class Rep, class Period>
std::uint64_t timeout_ns(std::chrono::duration<Rep, Period> timeout) noexcept
{
	using ns = std::chrono::duration<double, std::nano>;

	if (timeout <= timeout.zero())
		return 0;
	if (std::chrono::duration_cast<ns>(timeout).count() >= 1.8e19)
		return std::numeric_limits<std::uint64_t>::max();
	return std::chrono::duration_cast<std::chrono::duration<std::uint64_t, std::nano>>(timeout).count();
}

/* true: done; false: not in time. */
inline bool in_time(int result, const char *call)
{
	if (result == -ETIMEDOUT)
		return false;
	check(result, call);
	return true;
}

}

/**
 * class domain - a domain of usrcu
 *
 * The destructor terminates the program if a section is open or a callback of usrcu_call is queued: end the sections,
 * and call barrier first.
 */
class domain {
public:
	domain() { detail::check(usrcu_create(&domain_, nullptr), "usrcu_create"); }
	explicit domain(const usrcu_attr &attr) { detail::check(usrcu_create(&domain_, &attr), "usrcu_create"); }
	~domain() { detail::must(usrcu_destroy(domain_)); }
	domain(const domain &) = delete;
	domain &operator=(const domain &) = delete;

	usrcu *get() const noexcept { return domain_; }
	/** Throws error: EDEADLK inside a section, or membarrier(2) is refused: nothing may be freed then. */
	void synchronize() { detail::check(usrcu_synchronize(domain_), "usrcu_synchronize"); }
	/** Return: false: not in time; the next caller goes on with the grace period. */
	template <class Rep, class Period>
	bool synchronize_for(std::chrono::duration<Rep, Period> timeout)
	{
		return detail::in_time(usrcu_synchronize_timeout(domain_, detail::timeout_ns(timeout)),
				       "usrcu_synchronize_timeout");
	}
	/** Wait until the callbacks of usrcu_call have returned that were queued before. */
	void barrier() { detail::check(usrcu_barrier(domain_), "usrcu_barrier"); }

private:
	usrcu *domain_ = nullptr;
};

/** class section - from construction to destruction, in one thread */
class [[nodiscard]] section {
public:
	explicit section(domain &d) noexcept : section(d.get()) {}
	explicit section(usrcu *d) noexcept : domain_(d), ctr_(usrcu_read_lock_fast(d)) {}
	~section() { usrcu_read_unlock_fast(domain_, ctr_); }
	section(const section &) = delete;
	section &operator=(const section &) = delete;

private:
	usrcu *const domain_;
	usrcu_ctr *const ctr_;
};

/** class handed_section - can be moved, and ends in any thread; an object that was moved from has no section */
class [[nodiscard]] handed_section {
public:
	explicit handed_section(domain &d) noexcept : handed_section(d.get()) {}
	explicit handed_section(usrcu *d) noexcept : domain_(d), ctr_(usrcu_down_read_fast(d))
	{
		if (!ctr_)
			__builtin_unreachable();
	}
	handed_section(handed_section &&other) noexcept
		: domain_(other.domain_), ctr_(std::exchange(other.ctr_, nullptr)) {}
	handed_section &operator=(handed_section &&other) noexcept
	{
		handed_section moved(std::move(other));

		std::swap(domain_, moved.domain_);
		std::swap(ctr_, moved.ctr_);
		return *this;
	}
	handed_section(const handed_section &) = delete;
	handed_section &operator=(const handed_section &) = delete;
	~handed_section()
	{
		if (ctr_)
			usrcu_up_read_fast(domain_, ctr_);
	}

private:
	usrcu *domain_;
	usrcu_handed_ctr *ctr_;
};

/**
 * class list - a mirror list
 *
 * The destructor terminates the program if mirrors, brackets or a pending done() are left.
 */
class list {
public:
	list() { detail::check(mirror_list_create(&list_, nullptr), "mirror_list_create"); }
	explicit list(const mirror_list_attr &attr)
	{
		detail::check(mirror_list_create(&list_, &attr), "mirror_list_create");
	}
	~list() { detail::must(mirror_list_destroy(list_)); }
	list(const list &) = delete;
	list &operator=(const list &) = delete;

	mirror_list *get() const noexcept { return list_; }
	/** A whole bracket, for what has changed already. */
	void invalidate(std::uint64_t start, std::uint64_t end)
	{
		detail::check(mirror_invalidate_range(list_, start, end), "mirror_invalidate_range");
	}
	/** The address space goes away: each mirror's release, once. */
	void release() { detail::check(mirror_list_release(list_), "mirror_list_release"); }
	/** Wait until the done() that are pending have returned. */
	void barrier() { detail::check(mirror_barrier(list_), "mirror_barrier"); }

private:
	mirror_list *list_ = nullptr;
};

/** class virtual_mirror - callbacks that a class derived from it overrides; register it by registration */
class virtual_mirror {
public:
	/** As in struct mirror_ops: 0, or -EAGAIN to refuse. */
	virtual int invalidate_range_start(const mirror_range &r) = 0;
	virtual void finish(const mirror_range &) {}
	virtual void invalidate_range_end(const mirror_range &) {}
	virtual void release() {}

protected:
	virtual_mirror() = default;
	~virtual_mirror() = default;
	virtual_mirror(const virtual_mirror &) = default;
	virtual_mirror &operator=(const virtual_mirror &) = default;
};

namespace detail {

/* What a mirror lacks is NULL in its table: the library then does not call at all. */
template <class T, class = void> struct has_start : std::false_type {};
template <class T>
struct has_start<T, std::void_t<decltype(std::declval<T &>().invalidate_range_start(
	std::declval<const mirror_range &>()))>> : std::true_type {};
template <class T, class = void> struct has_finish : std::false_type {};
template <class T>
struct has_finish<T, std::void_t<decltype(std::declval<T &>().finish(
	std::declval<const mirror_range &>()))>> : std::true_type {};
template <class T, class = void> struct has_end : std::false_type {};
template <class T>
struct has_end<T, std::void_t<decltype(std::declval<T &>().invalidate_range_end(
	std::declval<const mirror_range &>()))>> : std::true_type {};
template <class T, class = void> struct has_release : std::false_type {};
template <class T>
struct has_release<T, std::void_t<decltype(std::declval<T &>().release())>> : std::true_type {};

}

/**
 * class registration - @target is registered from construction to destruction
 *
 * @target is any object with some of the members invalidate_range_start, finish, invalidate_range_end, each for one
 * const mirror_range &, and release.  They may be virtual (virtual_mirror), plain functions, or members that can be
 * called, such as lambdas.  A start returns int as in struct mirror_ops, or void, which accepts.
 *
 * The destructor waits until no callback of @target can run, so that what follows it may destroy @target.  It
 * terminates the program where mirror_unregister would fail: inside a callback of this @target, where the wait would
 * close a cycle of callbacks, or where membarrier(2) is refused by then.  So no @target is destroyed while it is
 * registered, if its registration is destroyed first: declare it behind @target, or as the last member of the class that
 * is meant.  A class to be derived from leaves it to the last of those derived.
 *
 * Neither copied nor moved.  Cost: that of struct mirror, and a pointer.
 */
template <class T>
class [[nodiscard]] registration : private ::mirror {
public:
	/** All of the list.  Throws error: ENOMEM, ESHUTDOWN, or over a lock EDEADLK in a callback. */
	registration(list &l, T &target) : registration(l.get(), target) {}
	registration(mirror_list *l, T &target) : ::mirror(), target_(target)
	{
		detail::check(mirror_register(l, this, &ops), "mirror_register");
	}
	/** What overlaps [@start, @end).  Throws error: EINVAL too: start >= end. */
	registration(list &l, T &target, std::uint64_t start, std::uint64_t end)
		: registration(l.get(), target, start, end) {}
	registration(mirror_list *l, T &target, std::uint64_t start, std::uint64_t end) : ::mirror(), target_(target)
	{
		detail::check(mirror_register_range(l, this, &ops, start, end), "mirror_register_range");
	}
	~registration()
	{
		if (!is_gone_)
			detail::must(mirror_unregister(this));
	}
	registration(const registration &) = delete;
	registration &operator=(const registration &) = delete;

	/** What overlaps [@start, @end) from now on; not of a whole list.  Throws error: EINVAL, ENOMEM, ESHUTDOWN. */
	void set_range(std::uint64_t start, std::uint64_t end)
	{
		detail::check(mirror_set_range(this, start, end), "mirror_set_range");
	}
	/** Unregister before the end of the scope, and hear why not: throws error, and it is still registered. */
	void unregister()
	{
		if (!is_gone_)
			detail::check(mirror_unregister(this), "mirror_unregister");
		is_gone_ = true;
	}
	/** Return: false: not in time; call again. */
	template <class Rep, class Period>
	bool unregister_for(std::chrono::duration<Rep, Period> timeout)
	{
		if (!is_gone_)
			is_gone_ = detail::in_time(mirror_unregister_timeout(this, detail::timeout_ns(timeout)),
						   "mirror_unregister_timeout");
		return is_gone_;
	}

	/** Fills, as <mirror/mirror.h> says. */
	std::uint64_t read_begin() noexcept { return mirror_read_begin(this); }
	bool read_try_begin(std::uint64_t &seq) noexcept { return mirror_read_try_begin(this, &seq); }
	bool read_retry(std::uint64_t seq) noexcept { return mirror_read_retry(this, seq); }

	::mirror *get() noexcept { return this; }

private:
	static T &target_of(::mirror *m) noexcept { return static_cast<registration *>(m)->target_; }
	static int start(::mirror *m, const mirror_range *r)
	{
		if constexpr (std::is_void_v<decltype(target_of(m).invalidate_range_start(*r))>) {
			target_of(m).invalidate_range_start(*r);
			return 0;
		} else {
			return target_of(m).invalidate_range_start(*r);
		}
	}
	static void finish(::mirror *m, const mirror_range *r) { target_of(m).finish(*r); }
	static void end(::mirror *m, const mirror_range *r) { target_of(m).invalidate_range_end(*r); }
	static void release(::mirror *m) { target_of(m).release(); }

	static constexpr mirror_ops table() noexcept
	{
		mirror_ops table{};

		table.size = sizeof(table);
		if constexpr (detail::has_start<T>::value)
			table.invalidate_range_start = start;
		if constexpr (detail::has_finish<T>::value)
			table.finish = finish;
		if constexpr (detail::has_end<T>::value)
			table.invalidate_range_end = end;
		if constexpr (detail::has_release<T>::value)
			table.release = release;
		return table;
	}

	static const mirror_ops ops;
	T &target_;
	bool is_gone_ = false;
};

template <class T> registration(list &, T &) -> registration<T>;
template <class T> registration(list &, T &, std::uint64_t, std::uint64_t) -> registration<T>;
template <class T> registration(mirror_list *, T &) -> registration<T>;
template <class T> registration(mirror_list *, T &, std::uint64_t, std::uint64_t) -> registration<T>;

template <class T>
const mirror_ops registration<T>::ops = registration<T>::table();

namespace detail {

template <class Start>
struct start_of {
	Start invalidate_range_start;
};

template <class Start, class End>
struct start_and_end_of {
	Start invalidate_range_start;
	End invalidate_range_end;
};

template <class Start, class End>
using callables = std::conditional_t<std::is_void_v<End>, start_of<Start>, start_and_end_of<Start, End>>;

}

/**
 * class callback_mirror - two callables, or one, and their registration
 *
 *	libmirror::callback_mirror drop(list, [&](const mirror_range &r) { cache.drop(r.start, r.end); });
 *
 * What is said of registration holds.
 */
template <class Start, class End = void>
class [[nodiscard]] callback_mirror : private detail::callables<Start, End>,
				      public registration<detail::callables<Start, End>> {
	using target = detail::callables<Start, End>;

public:
	callback_mirror(list &l, Start start)
		: target{std::move(start)}, registration<target>(l, static_cast<target &>(*this)) {}
	callback_mirror(list &l, std::uint64_t from, std::uint64_t to, Start start)
		: target{std::move(start)}, registration<target>(l, static_cast<target &>(*this), from, to) {}
	template <class E>
	callback_mirror(list &l, Start start, E end)
		: target{std::move(start), std::move(end)}, registration<target>(l, static_cast<target &>(*this)) {}
	template <class E>
	callback_mirror(list &l, std::uint64_t from, std::uint64_t to, Start start, E end)
		: target{std::move(start), std::move(end)},
		  registration<target>(l, static_cast<target &>(*this), from, to) {}
};

template <class Start> callback_mirror(list &, Start) -> callback_mirror<Start>;
template <class Start> callback_mirror(list &, std::uint64_t, std::uint64_t, Start) -> callback_mirror<Start>;
template <class Start, class End> callback_mirror(list &, Start, End) -> callback_mirror<Start, End>;
template <class Start, class End>
callback_mirror(list &, std::uint64_t, std::uint64_t, Start, End) -> callback_mirror<Start, End>;

/**
 * class bracket - a change of a range, from the start that the constructor calls to the end that the destructor calls
 *
 * Make the change between.  It stays where it is, and may be destroyed in another thread than made it.  The program is
 * terminated if an end throws: let a tried_bracket end where one may.
 */
class [[nodiscard]] bracket {
public:
	/** Blockable.  Throws error: EINVAL, ELOOP, or what the sync's read_lock returned; and what a start throws. */
	bracket(list &l, std::uint64_t start, std::uint64_t end, int event = MIRROR_EVENT_UNMAP) : list_(l.get())
	{
		range_.start = start;
		range_.end = end;
		range_.event = event;
		range_.flags = MIRROR_RANGE_BLOCKABLE;
		detail::check(mirror_invalidate_range_start(list_, &range_), "mirror_invalidate_range_start");
	}
	/** With all that a range says.  Throws error: EAGAIN too: not blockable, and a mirror refused. */
	bracket(list &l, const mirror_range &range) : list_(l.get()), range_(range)
	{
		detail::check(mirror_invalidate_range_start(list_, &range_), "mirror_invalidate_range_start");
	}
	~bracket() { mirror_invalidate_range_end(list_, &range_); }
	bracket(const bracket &) = delete;
	bracket &operator=(const bracket &) = delete;

private:
	mirror_list *const list_;
	mirror_range range_{};
};

/** class tried_bracket - one that may be refused without an exception, and may end before its scope does */
class [[nodiscard]] tried_bracket {
public:
	/** Throws what a start throws. */
	tried_bracket(list &l, const mirror_range &range)
		: list_(l.get()), range_(range), result_(mirror_invalidate_range_start(list_, &range_)),
		  is_open_(result_ == 0) {}
	/** Terminates the program if an end throws. */
	~tried_bracket() { end(); }
	tried_bracket(const tried_bracket &) = delete;
	tried_bracket &operator=(const tried_bracket &) = delete;

	/** 0, or -errno as mirror_invalidate_range_start. */
	int result() const noexcept { return result_; }
	explicit operator bool() const noexcept { return is_open_; }
	/** Throws what an end throws; the other mirrors have had theirs, and it is over. */
	void end()
	{
		if (std::exchange(is_open_, false))
			mirror_invalidate_range_end(list_, &range_);
	}

private:
	mirror_list *const list_;
	mirror_range range_;
	const int result_;
	bool is_open_;
};

}

#endif /* MIRROR_MIRROR_HPP */
