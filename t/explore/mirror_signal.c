/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Scenarios of signal handlers that publish on the list whose bracket they interrupt (M3), over src/mirror_walk.c and
 * src/mirror_pin.c.
 */

#include "mirror_scenarios.h"

/* Calls of devices that statistics must count; those of first uses too. */
static uint64_t nr_callbacks;

static int count_start(struct mirror *m, const struct mirror_range *r)
{
	fetch_add(&nr_callbacks, 1);
	x_assert(!load_relaxed(&gone));
	return on_start(m, r);
}

static void count_end(struct mirror *m, const struct mirror_range *r)
{
	fetch_add(&nr_callbacks, 1);
	x_assert(!load_relaxed(&gone));
	on_end(m, r);
}

static const struct mirror_ops counting_ops = {
	.size = sizeof(counting_ops),
	.invalidate_range_start = count_start,
	.invalidate_range_end = count_end,
};

static void counting_device(unsigned flags)
{
	list_with(NULL, flags);
	devices(1, &counting_ops);
}

static void one_counts(void)
{
	counting_device(0);
}

static void one_counts_fenced(void)
{
	counting_device(MIRROR_LIST_FULL_FENCE);
}

static void one_counts_by_domain(void)
{
	counting_device(MIRROR_LIST_DRAIN_DOMAIN);
}

static void range_counts(void)
{
	list_with(NULL, 0);
	dev[0] = new_device(0);
	x_assert(mirror_register_range(list, &dev[0]->mirror, &counting_ops, 5, 15) == 0);
}

static void one_fills(void)
{
	one_counts();
	mirror_read_begin(&dev[0]->mirror);
}

static void counted(void)
{
	struct mirror_list_stats stats = { .size = sizeof(stats) };

	x_assert(mirror_list_get_stats(list, &stats) == 0);
	x_assert(stats.callbacks == nr_callbacks);
}

static void counted_and_destroyed(void)
{
	counted();
	destroyed();
}

/* No bracket is open any more. */
static void filled_and_destroyed(void)
{
	uint64_t seq = mirror_read_begin(&dev[0]->mirror);

	x_assert(!mirror_read_retry(&dev[0]->mirror, seq));
	counted_and_destroyed();
}

/* ---- unregistered asynchronously: done() may run in the handler, where nothing is freed ---- */

static struct device *leaving;

static void note_gone(struct mirror *m)
{
	x_assert(m == &leaving->mirror);
	x_assert(!fetch_or(&gone, 1)); /* exactly once */
}

static void leave(void)
{
	leaving = dev[0];
	dev[0] = NULL;
	x_assert(mirror_unregister_async(&leaving->mirror, note_gone) == 0);
}

static void gone_once(void)
{
	x_assert(mirror_barrier(list) == 0);
	x_assert(gone == 1);
	port_free(leaving);
	counted_and_destroyed();
}

/* ---- the handler starts a bracket that its thread ends, or the other way round ---- */

static struct bracket passed = BRACKET(&passed);
static uint64_t is_passed;

static void start_passed(void)
{
	x_assert(mirror_invalidate_range_start(list, &passed.range) == 0);
	is_passed = 1;
}

static void end_passed(void)
{
	if (!is_passed)
		return;
	is_passed = 0;
	mirror_invalidate_range_end(list, &passed.range);
}

/* The handler may come in any of the calls, or never. */
static void publish_then_end(void)
{
	publish();
	end_passed();
}

static void start_then_publish(void)
{
	start_passed();
	publish();
}

static void ended_and_destroyed(void)
{
	end_passed();
	counted_and_destroyed();
}

/* ---- grace periods of the walks' domain pass meanwhile ---- */

static void come_and_go(void)
{
	for (int i = 1; i < 4; i++) {
		struct device *d = new_device(i);

		x_assert(mirror_register(list, &d->mirror, &counting_ops) == 0);
		x_assert(mirror_unregister(&d->mirror) == 0);
		port_free(d);
	}
}

#define SIGNAL .signal = publish, .signal_threads = 1

const struct x_scenario x_scenarios[] = {
	{ MIRROR, SIGNAL, .name = "list-signal",
	  .claim = "M3: a handler publishes anywhere in a bracket, beside unregister",
	  .setup = one_counts, .thread = { publish, unregister_first }, .check = counted_and_destroyed,
	  .quick = 3, .full = 5 },
	{ MIRROR, SIGNAL, .name = "list-signal-fenced", .claim = "M3: the same with full fences",
	  .setup = one_counts_fenced, .thread = { publish, unregister_first }, .check = counted_and_destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, SIGNAL, .name = "list-signal-domain", .claim = "M3: the same beside a drain of the domain",
	  .setup = one_counts_by_domain, .thread = { publish, unregister_first }, .check = counted_and_destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, SIGNAL, .name = "list-signal-range", .claim = "M3: the same with a range mirror",
	  .setup = range_counts, .thread = { publish, unregister_first }, .check = counted_and_destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, SIGNAL, .prepare = NULL, .name = "list-signal-first",
	  .claim = "M3: a handler in a thread's first bracket",
	  .setup = one_counts, .thread = { publish, unregister_first }, .check = counted_and_destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR_WITH(X_ALLOC_FAILS), SIGNAL, .prepare = NULL, .name = "list-signal-fallback",
	  .claim = "M3: the same without memory for its slot", .setup = one_counts, .thread = { publish, publish },
	  .check = counted_and_destroyed, .quick = 1, .full = 3 },
	{ MIRROR, .signal = start_passed, .signal_threads = 1, .name = "list-signal-starts",
	  .claim = "M3: a handler starts a bracket that its thread ends", .setup = one_counts,
	  .thread = { publish_then_end, unregister_first }, .check = ended_and_destroyed, .quick = 2, .full = 4 },
	{ MIRROR, .signal = end_passed, .signal_threads = 1, .name = "list-signal-ends",
	  .claim = "M3: a handler ends a bracket that its thread has started", .setup = one_counts,
	  .thread = { start_then_publish, unregister_first }, .check = ended_and_destroyed, .quick = 2, .full = 4 },
	{ MIRROR, SIGNAL, .name = "list-signal-async",
	  .claim = "M8: done() once, whichever of the two brackets comes last",
	  .setup = one_counts, .thread = { publish, leave }, .check = gone_once, .quick = 3, .full = 4 },
	{ MIRROR, SIGNAL, .name = "list-signal-fill", .claim = "M12: a handler's bracket is counted, and not for ever",
	  .setup = one_fills, .thread = { publish, publish }, .check = filled_and_destroyed, .quick = 2, .full = 4 },
	{ MIRROR, SIGNAL, .name = "list-signal-reclaim",
	  .claim = "M3: a handler beside memory that is retired and used again",
	  .setup = one_counts, .thread = { publish, come_and_go }, .check = counted_and_destroyed,
	  .quick = 2, .full = 3 },
	{ .name = NULL },
};
