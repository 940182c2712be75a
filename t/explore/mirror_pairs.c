/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Pairs of operations of the mirror list that have no scenario of their own: doc/explorer.md has the
 * table of all.
 *
 * The thread with number i does its operation on device i, and those that take out several on
 * device i + 2 as well; every bracket hits all devices.  Where neither of two publishes a third thread
 * does; where both do and nothing changes it unregisters.  A mutual unregister is two threads.
 * What every callback and every bracket must be like is checked in all of them: order, pairs, ends
 * for all that stay, no use of a device that was given back.
 */
#include "mirror_scenarios.h"

/* Devices from here on are registered by a thread. */
enum { FIRST_NEW = 5 };

/* What callbacks do in a bracket whose owner is one of these, in the thread that publishes it. */
static char nests, refuses, leaves, takes_other;

static uint64_t leaving;                /* devices that somebody takes out */
static uint64_t leaving_async;          /* those that are to get their done() */
static uint64_t has_nested[X_MAX_THREADS];
static struct bracket opened[2] = { BRACKET(&opened[0]), BRACKET(&opened[1]) };
static uint64_t is_open[2];

static void over(const struct bracket *b)
{
	fence_full(); /* a bracket that passes a mirror over promises no order with who takes it out */
	x_assert(!(b->open & ~load_relaxed(&leaving)));
}

static void publish_for(const void *owner)
{
	struct bracket b = BRACKET(&b);

	b.range.owner = owner;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
	over(&b);
}

static struct device *take(int i)
{
	struct device *d = dev[i];

	fetch_or(&leaving, UINT64_C(1) << i);
	fence_full(); /* as in over() */
	dev[i] = NULL;
	return d;
}

/* ---- in callbacks ---- */

static void unregister_async_self(void)
{
	struct device *d = take(x_self());

	fetch_or(&leaving_async, d->bit);
	x_assert(mirror_unregister_async(&d->mirror, done) == 0);
}

static void leave(struct device *d)
{
	x_assert(mirror_unregister(&d->mirror) == -EDEADLK);
	unregister_async_self();
	work_with(d); /* it is ours until we return */
}

/* The first's callback takes the second, and the second's the first: whoever closes the cycle is refused. */
static void take_other(void)
{
	int i = !x_self();
	struct device *other = dev[i];
	int rc;

	fetch_or(&leaving, UINT64_C(1) << i);
	fence_full(); /* as in over() */
	rc = mirror_unregister(&other->mirror);
	x_assert(rc == 0 || rc == -EDEADLK);
	if (rc)
		return;
	dev[i] = NULL;
	port_free(other);
}

static int start(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	bool is_mine = d == dev[x_self() < 0 ? 0 : x_self()];

	if (r->owner == &refuses && d->bit == 4) {
		work_with(d);
		return -EAGAIN;
	}
	on_start(m, r);
	if (r->owner == &nests && !has_nested[x_self()]++)
		publish_for(NULL);
	if (r->owner == &leaves && is_mine)
		leave(d);
	if (r->owner == &takes_other && is_mine)
		take_other();
	return 0;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = start,
	.invalidate_range_end = on_end,
	.release = on_release,
};

/* ---- the operations ---- */

static void op_register(void)
{
	int i = FIRST_NEW + x_self();
	struct device *d = new_device(i);

	x_assert(mirror_register(list, &d->mirror, &ops) == 0);
	dev[i] = d;
}

static void op_unregister(void)
{
	struct device *d = take(x_self());

	x_assert(mirror_unregister(&d->mirror) == 0);
	port_free(d);
}

static void op_async(void)
{
	unregister_async_self();
}

static void op_timeout(void)
{
	struct device *d = take(x_self());
	int rc = mirror_unregister_timeout(&d->mirror, 1000);

	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc)
		x_assert(mirror_unregister(&d->mirror) == 0);
	port_free(d);
}

static void op_many(void)
{
	struct device *a = take(x_self()), *b = take(x_self() + 2);
	struct mirror *both[] = { &a->mirror, &b->mirror };

	x_assert(mirror_unregister_many(both, 2) == 0);
	port_free(a);
	port_free(b);
}

static void op_release(void)
{
	x_assert(mirror_list_release(list) == 0);
}

static void op_start(void)
{
	publish_for(NULL);
}

static void op_end(void)
{
	int i = x_self() == 2 ? 0 : x_self();

	mirror_invalidate_range_end(list, &opened[i].range);
	is_open[i] = false;
	over(&opened[i]);
}

static void op_nested(void)
{
	publish_for(&nests);
}

static void op_refusal(void)
{
	struct bracket b = BRACKET(&b);
	int rc;

	b.range.flags = 0;
	b.range.owner = &refuses;
	rc = mirror_invalidate_range_start(list, &b.range);
	x_assert(rc == -EAGAIN || (rc == 0 && (load_relaxed(&leaving) | load_relaxed(&released)) & 4));
	if (rc == 0)
		mirror_invalidate_range_end(list, &b.range);
	over(&b);
}

static void op_self(void)
{
	publish_for(&leaves);
}

static void op_mutual(void)
{
	publish_for(&takes_other);
}

/* ---- setup and check ---- */

static void three(void)
{
	list_with(NULL, 0);
	devices(3, &ops);
}

static void five(void)
{
	list_with(NULL, 0);
	devices(5, &ops);
}

static void open_both(void)
{
	for (int i = 0; i < 2; i++) {
		x_assert(mirror_invalidate_range_start(list, &opened[i].range) == 0);
		is_open[i] = true;
	}
}

static void three_open(void)
{
	three();
	open_both();
}

static void five_open(void)
{
	five();
	open_both();
}

static void check(void)
{
	for (int i = 0; i < 2; i++)
		if (is_open[i]) {
			mirror_invalidate_range_end(list, &opened[i].range);
			over(&opened[i]);
		}
	x_assert(mirror_barrier(list) == 0);
	x_assert(gone == leaving_async);
	destroyed();
}

#define PAIR(setup_, more, a, b, ...) \
	{ MIRROR_WITH(more), .name = "pair-" #a "-" #b, .claim = #a " beside " #b, .setup = setup_, \
	  .thread = { op_##a, op_##b, ##__VA_ARGS__ }, .check = check, .quick = 1, .full = 2 }
#define MUTUAL(setup_, more, b) \
	{ MIRROR_WITH(more), .name = "pair-" #b "-mutual", .claim = #b " beside two that unregister each other", \
	  .setup = setup_, .thread = { op_mutual, op_mutual, op_##b }, .check = check, .quick = 1, .full = 2 }

const struct x_scenario x_scenarios[] = {
	PAIR(three, 0, register, unregister, op_start),
	PAIR(three, 0, register, async, op_start),
	PAIR(three, X_TIMEOUTS, register, timeout, op_start),
	PAIR(five, 0, register, many, op_start),
	PAIR(three, 0, register, nested),
	PAIR(three, 0, register, self),
	MUTUAL(three, 0, register),
	PAIR(three, X_TIMEOUTS, unregister, timeout, op_start),
	PAIR(three_open, 0, unregister, end),
	PAIR(three, 0, unregister, self),
	MUTUAL(three, 0, unregister),
	PAIR(three, X_TIMEOUTS, async, timeout, op_start),
	PAIR(five, 0, async, many, op_start),
	PAIR(three_open, 0, async, end),
	PAIR(three, 0, async, nested),
	PAIR(three, 0, async, refusal),
	PAIR(three, 0, async, self),
	MUTUAL(three, 0, async),
	PAIR(three, X_TIMEOUTS, timeout, timeout, op_start),
	PAIR(five, X_TIMEOUTS, timeout, many, op_start),
	PAIR(three, X_TIMEOUTS, timeout, release),
	PAIR(three_open, X_TIMEOUTS, timeout, end),
	PAIR(three, X_TIMEOUTS, timeout, nested),
	PAIR(three, X_TIMEOUTS, timeout, refusal),
	PAIR(three, X_TIMEOUTS, timeout, self),
	MUTUAL(three, X_TIMEOUTS, timeout),
	PAIR(five, 0, many, many, op_start),
	PAIR(five, 0, many, release),
	PAIR(five_open, 0, many, end),
	PAIR(five, 0, many, nested),
	PAIR(five, 0, many, refusal),
	PAIR(five, 0, many, self),
	MUTUAL(five, 0, many),
	PAIR(three_open, 0, release, end),
	PAIR(three, 0, release, nested),
	PAIR(three, 0, release, refusal),
	PAIR(three, 0, release, self),
	MUTUAL(three, 0, release),
	PAIR(three, 0, start, nested, op_unregister),
	PAIR(three, 0, start, refusal, op_unregister),
	MUTUAL(three, 0, start),
	PAIR(three_open, 0, end, end, op_unregister),
	PAIR(three_open, 0, end, nested, op_unregister),
	PAIR(three_open, 0, end, refusal, op_unregister),
	PAIR(three_open, 0, end, self),
	MUTUAL(three_open, 0, end),
	PAIR(three, 0, nested, nested, op_unregister),
	PAIR(three, 0, nested, refusal, op_unregister),
	PAIR(three, 0, nested, self),
	MUTUAL(three, 0, nested),
	PAIR(three, 0, refusal, refusal, op_unregister),
	PAIR(three, 0, refusal, self),
	MUTUAL(three, 0, refusal),
	MUTUAL(three, 0, self),
	{ .name = NULL },
};
