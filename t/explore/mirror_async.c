/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/mirror_pin.c, src/mirror_unregister.c: unregister without waiting, and cycles of waits. */

#include "mirror_scenarios.h"

static void barrier(void)
{
	x_assert(mirror_barrier(list) == 0);
}

/* ---- one walk of a bracket ---- */

/* Each thread has its own. */
static struct bracket opened[X_MAX_FIBERS];

static void begin(void)
{
	struct bracket *b = &opened[x_self() + 1];

	*b = (struct bracket)BRACKET(b);
	x_assert(mirror_invalidate_range_start(list, &b->range) == 0);
}

static void end(void)
{
	mirror_invalidate_range_end(list, &opened[x_self() + 1].range);
}

/* The first two threads have a bracket open. */
static void open_brackets(void)
{
	first_use();
	if (x_self() < 2)
		begin();
}

/* ---- from a callback ---- */

/* The callback of the first device takes that device out, once. */
static int leave(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	int rc = on_start(m, r), err;

	if (!r->data || d->bit != 1)
		return rc;
	err = mirror_unregister_async(m, done);
	x_assert(err == 0 || err == -EALREADY);
	if (err == 0)
		dev[0] = NULL;
	work_with(d); /* it is ours until we return */
	return rc;
}

static const struct mirror_ops leaving_ops = {
	.size = sizeof(leaving_ops),
	.invalidate_range_start = leave,
	.invalidate_range_end = on_end,
};

/* The same in the end of a bracket. */
static void leave_in_end(struct mirror *m, const struct mirror_range *r)
{
	on_end(m, r);
	if (!r->data || x_self() != 0)
		return;
	x_assert(mirror_unregister_async(m, done) == 0);
	dev[0] = NULL;
	work_with((struct device *)m);
}

static const struct mirror_ops leaving_in_end_ops = {
	.size = sizeof(leaving_in_end_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = leave_in_end,
};

static void one_leaves_in_end(void)
{
	list_with(NULL, 0);
	devices(1, &leaving_in_end_ops);
}

static void one_leaves_in_end_fenced(void)
{
	list_with(NULL, MIRROR_LIST_FULL_FENCE);
	devices(1, &leaving_in_end_ops);
}

static void one_leaves(void)
{
	list_with(NULL, 0);
	devices(1, &leaving_ops);
}

static void one_leaves_fenced(void)
{
	list_with(NULL, MIRROR_LIST_FULL_FENCE);
	devices(1, &leaving_ops);
}

static void gone_once(void)
{
	barrier();
	x_assert(gone == 1);
	destroyed();
}

/* ---- barrier ---- */

/* After the barrier, done() has returned: what it uses may go. */
static uint64_t *ledger;

static void done_and_note(struct mirror *m)
{
	done(m);
	store_relaxed(ledger, 1);
}

static void with_ledger(void)
{
	one_device();
	ledger = port_alloc(sizeof(*ledger));
}

static void async_then_barrier(void)
{
	struct device *d = dev[0];

	dev[0] = NULL;
	x_assert(mirror_unregister_async(&d->mirror, done_and_note) == 0);
	barrier();
	x_assert(gone == 1);
	port_free(ledger);
}

/* Where membarrier is refused meanwhile it says so, and does not wait for what nobody can finish. */
static void async_then_try_barrier(void)
{
	int rc;

	unregister_async(0);
	rc = mirror_barrier(list);
	x_assert(rc == 0 ? gone == 1 : rc == -EPERM);
}

static void async_and_note(void)
{
	struct device *d = dev[0];

	dev[0] = NULL;
	x_assert(mirror_unregister_async(&d->mirror, done_and_note) == 0);
	store_release(&note[0], 1);
}

static void barrier_of_other(void)
{
	wait_for(&note[0]);
	barrier();
	x_assert(fetch_or(&gone, 0) == 1);
	port_free(ledger);
}

/* ---- done() uses the list ---- */

static void done_takes_next(struct mirror *m)
{
	done(m);
	unregister_async(1);
}

static void async_chain(void)
{
	struct device *d = dev[0];

	dev[0] = NULL;
	x_assert(mirror_unregister_async(&d->mirror, done_takes_next) == 0);
}

static void both_gone(void)
{
	barrier();
	x_assert(gone == 3);
	destroyed();
}

static void unregister_second_async(void)
{
	unregister_async(1);
}

static void async_first_and_barrier(void)
{
	unregister_async(0);
	barrier();
}

/* ---- waits in callbacks ---- */

/* Each device's callback unregisters another: 1 takes 2, and so on in a cycle of nr_cycle. */
static int nr_cycle;
static uint64_t nr_refused;

static int take_next(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	uint64_t me = d->bit == 1 ? 0 : d->bit == 2 ? 1 : 2;
	int next, rc;

	work_with(d);
	if (!r->data || r->owner != (const void *)(dev + me))
		return 0; /* another thread's bracket */
	next = (int)(me + 1) % nr_cycle;
	rc = mirror_unregister(&dev[next]->mirror);
	x_assert(rc == 0 || rc == -EDEADLK);
	if (rc)
		fetch_add(&nr_refused, 1);
	else
		note[next] = 1;
	work_with(d);
	return 0;
}

static const struct mirror_ops cycle_ops = {
	.size = sizeof(cycle_ops),
	.invalidate_range_start = take_next,
};

static void cycle_of(int nr)
{
	list_with(NULL, 0);
	devices(nr, &cycle_ops);
	nr_cycle = nr;
}

static void cycle_of_one(void)
{
	cycle_of(1);
}

static void cycle_of_two(void)
{
	cycle_of(2);
}

static void cycle_of_three(void)
{
	cycle_of(3);
}

static void publish_mine(void)
{
	struct bracket b = BRACKET(&b);

	b.range.owner = dev + x_self();
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
}

/* At least one that was refused would have closed the cycle, and those not taken are there still. */
static void cycle_ended(void)
{
	x_assert(nr_cycle > 1 || nr_refused == 1);
	for (int i = 0; i < nr_cycle; i++) {
		int rc = mirror_unregister(&dev[i]->mirror);

		x_assert(rc == (note[i] ? -EALREADY : 0));
		port_free(dev[i]);
		dev[i] = NULL;
	}
	destroyed();
}

/* Its own callback may not take it out; what that has claimed for a moment, another thread may. */
static int try_myself(struct mirror *m, const struct mirror_range *r)
{
	int rc = r->data ? mirror_unregister(m) : -EDEADLK;

	x_assert(rc == -EDEADLK || rc == -EALREADY);
	return on_start(m, r);
}

static const struct mirror_ops trying_ops = {
	.size = sizeof(trying_ops),
	.invalidate_range_start = try_myself,
};

static void one_tries(void)
{
	list_with(NULL, 0);
	devices(1, &trying_ops);
}

/* A callback that unregisters the other, beside who unregisters its own. */
static void unregister_cycle_first(void)
{
	x_assert(mirror_unregister(&dev[0]->mirror) == 0);
	note[0] = 1;
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "drain-async", .claim = "M8: done() once, after the last callback (F)",
	  .setup = one_device, .thread = { publish, publish, unregister_first_async }, .check = gone_once,
	  .quick = 3, .full = 4 },
	{ MIRROR, .name = "drain-async-fenced", .claim = "M8: the same with full fences (F)",
	  .setup = one_device_fenced, .thread = { publish, publish, unregister_first_async },
	  .check = gone_once, .quick = 2, .full = 4 },
	{ MIRROR, .prepare = open_brackets, .name = "drain-async-ends", .claim = "M8: the same beside two ends (F)",
	  .setup = one_device, .thread = { end, end, unregister_first_async }, .check = gone_once,
	  .quick = 3, .full = 4 },
	{ MIRROR, .prepare = open_brackets, .name = "drain-async-ends-fenced", .claim = "M8: with full fences (F)",
	  .setup = one_device_fenced, .thread = { end, end, unregister_first_async }, .check = gone_once,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "drain-async-own", .claim = "M8: from its own callback", .setup = one_leaves,
	  .thread = { publish, publish }, .check = gone_once, .quick = 3, .full = 5 },
	{ MIRROR, .name = "drain-async-own-fenced", .claim = "M8: the same with full fences",
	  .setup = one_leaves_fenced, .thread = { publish, publish }, .check = gone_once,
	  .quick = 3, .full = 5 },
	{ MIRROR, .prepare = open_brackets, .name = "drain-async-own-ends", .claim = "M8: the same in one of two ends",
	  .setup = one_leaves_in_end, .thread = { end, end }, .check = gone_once, .quick = 3, .full = 5 },
	{ MIRROR, .prepare = open_brackets, .name = "drain-async-own-ends-fenced",
	  .claim = "M8: the same with full fences", .setup = one_leaves_in_end_fenced, .thread = { end, end },
	  .check = gone_once, .quick = 3, .full = 5 },
	{ MIRROR, .name = "drain-async-barrier", .claim = "M8: after barrier done() has returned",
	  .setup = with_ledger, .thread = { publish, async_then_barrier }, .check = destroyed,
	  .quick = 4, .full = 5 },
	{ MIRROR, .name = "drain-async-barrier-other", .claim = "M8: the same, for another's",
	  .setup = with_ledger, .thread = { publish, async_and_note, barrier_of_other }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "drain-async-chain", .claim = "M8: done() unregisters the next", .setup = two_devices,
	  .thread = { publish, async_chain }, .check = both_gone, .quick = 3, .full = 5 },
	{ MIRROR, .name = "drain-async-two", .claim = "M8: two at once beside a bracket", .setup = two_devices,
	  .thread = { publish, unregister_first_async, unregister_second }, .check = gone_once,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "drain-async-both", .claim = "M8: the same, both asynchronously: each by its own fence (C)",
	  .setup = two_devices, .thread = { publish, unregister_first_async, unregister_second_async },
	  .check = both_gone, .quick = 2, .full = 3 },
	{ MIRROR, .name = "drain-async-both-barrier", .claim = "M8: the same beside a barrier",
	  .setup = two_devices, .thread = { publish, async_first_and_barrier, unregister_second_async },
	  .check = both_gone, .quick = 1, .full = 3 },
	{ MIRROR_WITH(X_MEMBARRIER_DIES), .name = "drain-async-membarrier",
	  .claim = "M8: membarrier refused: not done early", .setup = one_device,
	  .thread = { publish, unregister_first_async }, .quick = 3, .full = 6 },
	{ MIRROR_WITH(X_MEMBARRIER_DIES), .name = "drain-async-barrier-denied",
	  .claim = "M8: barrier returns the error of a membarrier that is refused while it waits", .setup = one_device,
	  .thread = { publish, async_then_try_barrier }, .quick = 3, .full = 5 },
	{ MIRROR, .name = "drain-cycle-self", .claim = "M7: a mirror cannot wait for its own callback",
	  .setup = cycle_of_one, .thread = { publish_mine }, .check = cycle_ended, .quick = 3, .full = 6 },
	{ MIRROR, .name = "drain-rival", .claim = "M9: an unregister that is refused makes no other fail",
	  .setup = one_tries, .thread = { publish, unregister_first }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "drain-cycle", .claim = "M7: nor two for each other's", .setup = cycle_of_two,
	  .thread = { publish_mine, publish_mine }, .check = cycle_ended, .quick = 3, .full = 5 },
	{ MIRROR, .name = "drain-cycle-three", .claim = "M7: nor three", .setup = cycle_of_three,
	  .thread = { publish_mine, publish_mine, publish_mine }, .check = cycle_ended, .quick = 1, .full = 2 },
	{ MIRROR, .name = "drain-cycle-none", .claim = "M7: a chain of waits is no cycle", .setup = cycle_of_two,
	  .thread = { publish_mine, unregister_cycle_first }, .check = cycle_ended, .quick = 3, .full = 6 },
	{ .name = NULL },
};
