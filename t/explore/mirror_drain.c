/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/mirror_pin.c and src/mirror_unregister.c: unregisters against walks. */

#include "mirror_scenarios.h"

/* ---- A, B, C, D: freed after the last callback ---- */

static void one_device_whole(void)
{
	list_with(NULL, MIRROR_LIST_DRAIN_DOMAIN);
	devices(1, &device_ops);
}

/* What callbacks wrote is seen by who has unregistered their mirror. */
static uint64_t written;

static int write_note(struct mirror *m, const struct mirror_range *r)
{
	store_relaxed(&written, load_relaxed(&written) + 1);
	return on_start(m, r);
}

static const struct mirror_ops writing_ops = {
	.size = sizeof(writing_ops),
	.invalidate_range_start = write_note,
};

static void one_writing(void)
{
	list_with(NULL, 0);
	devices(1, &writing_ops);
}

/* No callback is to come, so that the number is final. */
static void unregister_and_look(void)
{
	unregister(0);
	note[0] = load_relaxed(&written);
}

static void final(void)
{
	x_assert(note[0] == written);
	destroyed();
}

/* ---- stalls: whom a report names is there, and runs a callback ---- */

static void on_stall(void *arg, const struct mirror_stall *stall)
{
	(void)arg;
	work_with((struct device *)stall->mirror);
}

static void one_watched(void)
{
	struct mirror_list_attr attr = { .size = sizeof(attr), .stall_ns = 1000, .stall = on_stall };

	x_assert(mirror_list_create(&list, &attr) == 0);
	devices(1, &device_ops);
}

/* A second later, wherever the others are. */
static void let_time_pass(void)
{
	uint64_t begin = port_now_ns();

	while (port_now_ns() == begin)
		port_relax();
}

/* ---- several ---- */

static void unregister_both(void)
{
	struct mirror *both[] = { &dev[0]->mirror, &dev[1]->mirror };

	x_assert(mirror_unregister_many(both, 2) == 0);
	for (int i = 0; i < 2; i++) {
		port_free(dev[i]);
		dev[i] = NULL;
	}
}

/* ---- two of the same ---- */

static void try_unregister(void)
{
	int rc = mirror_unregister(&dev[0]->mirror);

	x_assert(rc == 0 || rc == -EALREADY);
	if (rc == 0)
		x_assert(fetch_add(&note[0], 1) == 0);
}

static void try_async_done(struct mirror *m)
{
	(void)m;
	x_assert(fetch_add(&note[0], 1) == 0);
}

static void try_async(void)
{
	int rc = mirror_unregister_async(&dev[0]->mirror, try_async_done);

	x_assert(rc == 0 || rc == -EALREADY);
}

static void try_both(void)
{
	struct mirror *both[] = { &dev[1]->mirror, &dev[0]->mirror };
	int rc = mirror_unregister_many(both, 2);

	x_assert(rc == 0 || rc == -EALREADY);
	if (rc)
		x_assert(mirror_unregister(&dev[1]->mirror) == 0);
	else
		x_assert(fetch_add(&note[0], 1) == 0);
}

/* Once, by whichever thread. */
static void once(void)
{
	x_assert(mirror_barrier(list) == 0);
	x_assert(note[0] == 1);
	for (int i = 0; i < 2; i++) {
		if (!dev[i])
			continue;
		x_assert(mirror_unregister(&dev[i]->mirror) == -EALREADY);
		port_free(dev[i]);
		dev[i] = NULL;
	}
	destroyed();
}

/* ---- again ---- */

static void unregister_and_register(void)
{
	x_assert(mirror_unregister(&dev[0]->mirror) == 0);
	dev[0]->bit = 2; /* it is behind the other one now, and nobody's but ours */
	x_assert(mirror_register(list, &dev[0]->mirror, &device_ops) == 0);
	unregister(0);
}

/* ---- timeouts ---- */

static void unregister_in_time(void)
{
	struct device *d = dev[0];
	int rc = mirror_unregister_timeout(&d->mirror, 1000);

	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc) {
		/* No callback starts any more; one may still run. */
		x_assert(mirror_unregister(&d->mirror) == 0);
	}
	dev[0] = NULL;
	port_free(d);
}

/* ---- membarrier refused later ---- */

static void unregister_if_possible(void)
{
	struct device *d = dev[0];
	int rc = mirror_unregister(&d->mirror);

	x_assert(rc == 0 || rc == -EPERM);
	if (rc == 0) {
		dev[0] = NULL;
		port_free(d);
	}
}

/* What cannot be taken out stays. */
static void check_denied(void)
{
	if (!dev[0] && mirror_list_destroy(list))
		x_assert(mirror_unregister(&dev[0]->mirror) == -EINVAL);
}

/* ---- M6: the others' callbacks ---- */

static int wait_in_first(struct mirror *m, const struct mirror_range *r)
{
	const struct device *d = (struct device *)m;

	if (r->data && d->bit == 1)
		wait_for(&note[0]);
	return on_start(m, r);
}

static const struct mirror_ops waiting_ops = {
	.size = sizeof(waiting_ops),
	.invalidate_range_start = wait_in_first,
	.invalidate_range_end = on_end,
};

static void first_waits(void)
{
	list_with(NULL, 0);
	devices(2, &waiting_ops);
}

static void first_waits_whole(void)
{
	list_with(NULL, MIRROR_LIST_DRAIN_DOMAIN);
	devices(2, &waiting_ops);
}

static void unregister_second_and_tell(void)
{
	unregister(1);
	store_release(&note[0], 1);
}

/* ---- nested brackets ---- */

static int nest(struct mirror *m, const struct mirror_range *r)
{
	struct bracket inner = BRACKET(&inner);
	struct bracket *b = r->data;
	int rc = on_start(m, r);

	if (b && b->range.start == 1)
		publish();
	return rc;
}

static const struct mirror_ops nesting_ops = {
	.size = sizeof(nesting_ops),
	.invalidate_range_start = nest,
	.invalidate_range_end = on_end,
};

static void two_nesting(void)
{
	list_with(NULL, 0);
	devices(2, &nesting_ops);
}

static void publish_nested(void)
{
	struct bracket b = BRACKET(&b);

	b.range.start = 1;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
}

/* A visit writes to what it is shown. */
static int work_on(struct mirror *m, void *arg)
{
	(void)arg;
	((struct device *)m)->work[0]++;
	return 0;
}

static void visit(void)
{
	x_assert(mirror_visit(list, 10, 20, work_on, NULL) == 0);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "drain-walk", .claim = "M5: no callback after unregister (A, B, C, D)",
	  .setup = one_device, .thread = { publish, unregister_first }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "drain-walk-fenced", .claim = "M5: the same with full fences",
	  .setup = one_device_fenced, .thread = { publish, unregister_first }, .check = destroyed,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "drain-visit", .claim = "M18: no visit of a mirror that was unregistered",
	  .setup = one_device, .thread = { visit, unregister_first }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "drain-walk-seen", .claim = "M5: what callbacks wrote is seen after unregister (B, D)",
	  .setup = one_writing, .thread = { publish, unregister_and_look }, .check = final, .quick = 4, .full = 8 },
	{ MIRROR, .name = "drain-walk-two", .claim = "M5: the same with two publishers",
	  .setup = one_device, .thread = { publish, publish, unregister_first }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "drain-walk-whole", .claim = "M5: the same, waiting for a grace period",
	  .setup = one_device_whole, .thread = { publish, unregister_first }, .check = destroyed,
	  .quick = 4, .full = 8 },
	{ MIRROR_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "drain-walk-first",
	  .claim = "M5: the same, walkers without a slot, or getting one", .setup = one_device,
	  .thread = { publish, publish, unregister_first }, .check = destroyed, .quick = 1, .full = 2 },
	{ MIRROR_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "drain-walk-first-one",
	  .claim = "M5: the same with one publisher", .setup = one_device,
	  .thread = { publish, unregister_first }, .check = destroyed, .quick = 2, .full = 4 },
	{ MIRROR_WITH(X_SPURIOUS), .name = "drain-sleep", .claim = "no drain sleeps for ever (C, E)",
	  .setup = one_device, .thread = { publish, unregister_first }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR_WITH(X_SPURIOUS), .name = "drain-sleep-fenced", .claim = "the same with full fences",
	  .setup = one_device_fenced, .thread = { publish_twice, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "drain-two", .claim = "M5: two mirrors leave beside a bracket",
	  .setup = two_devices, .thread = { publish, unregister_first, unregister_second }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "drain-many", .claim = "M5: both at once", .setup = two_devices,
	  .thread = { publish, publish, unregister_both }, .check = destroyed, .quick = 1, .full = 2 },
	{ MIRROR, .name = "drain-same", .claim = "M9: of two that unregister one mirror one succeeds",
	  .setup = one_device, .thread = { publish, try_unregister, try_unregister }, .check = once,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "drain-same-async", .claim = "M8, M9: the same, one of them asynchronously",
	  .setup = one_device, .thread = { publish, try_unregister, try_async }, .check = once,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "drain-same-many", .claim = "M9: the same, one of them with another mirror",
	  .setup = two_devices, .thread = { publish, try_unregister, try_both }, .check = once,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "drain-again", .claim = "M1, M5: registered again beside a bracket",
	  .setup = one_device, .thread = { publish_twice, unregister_and_register }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR_WITH(X_TIMEOUTS), .name = "drain-timeout", .claim = "M9: a timeout, then the rest",
	  .setup = one_device, .thread = { publish_twice, unregister_in_time }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR_WITH(X_IMPATIENT), .name = "drain-stall", .claim = "M15: a report names a mirror that is there",
	  .setup = one_watched, .thread = { publish, unregister_first, let_time_pass }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR_WITH(X_MEMBARRIER_DIES), .name = "drain-membarrier-fails",
	  .claim = "M5: membarrier refused: an error, nothing freed early", .setup = one_device,
	  .thread = { publish, unregister_if_possible }, .check = check_denied, .quick = 4, .full = 8 },
	{ MIRROR, .name = "drain-targeted", .claim = "M6: another mirror's callback holds nothing up",
	  .setup = first_waits, .thread = { publish, unregister_second_and_tell }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "drain-untargeted", .claim = "M6: with a drain of the domain it does",
	  .setup = first_waits_whole, .thread = { publish, unregister_second_and_tell }, .check = destroyed,
	  .must_fail = X_ALL | X_RC11, .quick = 3, .full = 6 },
	{ MIRROR, .name = "drain-nested", .claim = "M3, M5: a bracket in a callback", .setup = two_nesting,
	  .thread = { publish_nested, unregister_first }, .check = destroyed, .quick = 3, .full = 5 },
	{ .name = NULL },
};
