/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* usrcu: sections of one domain, inlined, by each of its pairs; with full fences; synchronize, expedited; calls. */
#include "comparators.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <mirror/usrcu.h>

#include "primitives.h"

static struct usrcu *domain, *other;
static atomic_int nr_users;
static _Thread_local int token_elsewhere;

static void setup_as(unsigned flags)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .name = "bench", .flags = flags };

	if (atomic_fetch_add(&nr_users, 1) > 0)
		return;
	if (usrcu_create(&domain, &attr) || usrcu_create(&other, &attr)) {
		bench_complain("cannot make a domain of usrcu");
		exit(1);
	}
}

static void setup(void)
{
	setup_as(0);
}

static void setup_full_fence(void)
{
	setup_as(USRCU_FULL_FENCE);
}

static void setup_worker(void)
{
	setup_as(USRCU_WORKER);
}

static void teardown(void)
{
	if (atomic_fetch_sub(&nr_users, 1) > 1)
		return;
	if (usrcu_destroy(domain) || usrcu_destroy(other))
		bench_complain("a domain of usrcu is still in use");
}

static void pairs(unsigned n)
{
	struct usrcu *d = domain;

	for (unsigned i = 0; i < n; i++) {
		int token = usrcu_read_lock(d);

		primitive_fence();
		usrcu_read_unlock(d, token);
	}
}

static void fast_pairs(unsigned n)
{
	struct usrcu *d = domain;

	for (unsigned i = 0; i < n; i++) {
		struct usrcu_ctr *ctr = usrcu_read_lock_fast(d);

		primitive_fence();
		usrcu_read_unlock_fast(d, ctr);
	}
}

static void handed_pairs(unsigned n)
{
	struct usrcu *d = domain;

	for (unsigned i = 0; i < n; i++) {
		int token = usrcu_down_read(d);

		primitive_fence();
		usrcu_up_read(d, token);
	}
}

static void handed_fast_pairs(unsigned n)
{
	struct usrcu *d = domain;

	for (unsigned i = 0; i < n; i++) {
		struct usrcu_handed_ctr *ctr = usrcu_down_read_fast(d);

		primitive_fence();
		usrcu_up_read_fast(d, ctr);
	}
}

static int synchronize(void)
{
	return usrcu_synchronize(domain);
}

static int synchronize_expedited(void)
{
	return usrcu_synchronize_expedited(domain);
}

static void open_elsewhere(void)
{
	token_elsewhere = usrcu_read_lock(other);
}

static void close_elsewhere(void)
{
	usrcu_read_unlock(other, token_elsewhere);
}

static void freed(struct usrcu_head *head)
{
	primitive_freed((struct retired *)head);
}

static void call(struct retired *object)
{
	usrcu_call(domain, (struct usrcu_head *)object, freed);
}

/* Runs what is due, and starts the grace period of the rest. */
static void poll_calls(void)
{
	usrcu_poll_state(domain, usrcu_start_poll(domain));
}

static void barrier(void)
{
	usrcu_barrier(domain);
}

static const struct primitive plain = {
	pairs, synchronize, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};
static const struct primitive fast = {
	fast_pairs, synchronize, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};
static const struct primitive handed = {
	handed_pairs, synchronize, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};
static const struct primitive handed_fast = {
	handed_fast_pairs, synchronize, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};
static const struct primitive expedited = {
	pairs, synchronize_expedited, open_elsewhere, close_elsewhere, call, poll_calls, barrier,
};
static const struct primitive worker = {
	pairs, synchronize, open_elsewhere, close_elsewhere, call, NULL, barrier,
};

const struct bench_comparator primitive_usrcu = {
	.name = "usrcu",
	.about = "libmirror's usrcu, one domain; its read side inlined",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &plain,
};

const struct bench_comparator primitive_usrcu_fast = {
	.name = "usrcu-fast",
	.about = "the same by usrcu_read_lock_fast(), whose token is the counter's address",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &fast,
};

const struct bench_comparator primitive_usrcu_handed = {
	.name = "usrcu-handed",
	.about = "usrcu's sections that any thread may end, ended by the thread that began them",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &handed,
};

const struct bench_comparator primitive_usrcu_handed_fast = {
	.name = "usrcu-handed-fast",
	.about = "the same by usrcu_down_read_fast()",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &handed_fast,
};

const struct bench_comparator primitive_usrcu_expedited = {
	.name = "usrcu-expedited",
	.about = "the same with usrcu_synchronize_expedited()",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &expedited,
};

const struct bench_comparator primitive_usrcu_full_fence = {
	.name = "usrcu-full-fence",
	.about = "usrcu with fences in the read side and no membarrier(2)",
	.thread_setup = setup_full_fence,
	.thread_teardown = teardown,
	.own = &plain,
};

const struct bench_comparator primitive_usrcu_worker = {
	.name = "usrcu-worker",
	.about = "usrcu whose callbacks run in a thread of the domain's own",
	.thread_setup = setup_worker,
	.thread_teardown = teardown,
	.own = &worker,
};

const struct bench_comparator primitive_usrcu_poll = {
	.name = "usrcu-poll",
	.about = "usrcu whose callbacks run in the caller, which polls every 64 calls",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &plain,
};
