/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over mirror_list_release, and the deadlock of three threads. */

#include "mirror_scenarios.h"

/* ---- M10 ---- */

static void release(void)
{
	x_assert(mirror_list_release(list) == 0);
}

static void try_release(void)
{
	int rc = mirror_list_release(list);

	x_assert(rc == 0 || rc == -EALREADY);
	if (rc == 0)
		x_assert(fetch_add(&note[0], 1) == 0);
}

static void released_all(void)
{
	x_assert(released == 1 || released == 3);
	x_assert(!dev[0] || (released & 1));
	x_assert(!dev[1] || (released & 2));
	destroyed();
}

static void released_once(void)
{
	x_assert(note[0] == 1);
	released_all();
}

/* Until its release has returned a mirror gets every bracket. */
static uint64_t release_returns;

static void release_and_say(struct mirror *m)
{
	on_release(m);
	x_yield();
	store_relaxed(&release_returns, 1);
}

static const struct mirror_ops saying_ops = {
	.size = sizeof(saying_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.release = release_and_say,
};

static void one_saying(void)
{
	list_with(NULL, 0);
	devices(1, &saying_ops);
}

static void publish_until_release(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	if (!load_relaxed(&release_returns))
		x_assert(b.started == 1);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

/* The release of the first unregisters it, without waiting, or the second. */
static void release_and_leave(struct mirror *m)
{
	struct device *d = (struct device *)m;

	on_release(m);
	if (d->bit != 1)
		return;
	dev[0] = NULL;
	x_assert(mirror_unregister(m) == -EDEADLK);
	x_assert(mirror_unregister_async(m, done) == 0);
	work_with(d);
}

static void release_and_take_second(struct mirror *m)
{
	const struct device *d = (struct device *)m;

	on_release(m);
	if (d->bit == 1)
		unregister(1);
}

static const struct mirror_ops release_leaving_ops = {
	.size = sizeof(release_leaving_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.release = release_and_leave,
};

static const struct mirror_ops release_taking_ops = {
	.size = sizeof(release_taking_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.release = release_and_take_second,
};

static void two_release_leaving(void)
{
	list_with(NULL, 0);
	devices(2, &release_leaving_ops);
}

static void two_release_taking(void)
{
	list_with(NULL, 0);
	devices(2, &release_taking_ops);
}

static void released_and_gone(void)
{
	x_assert(mirror_barrier(list) == 0);
	x_assert(gone == 1 && released == 3);
	destroyed();
}

static void released_first(void)
{
	x_assert(released == 1 && !dev[1]);
	destroyed();
}

/* Either it comes before release, which then calls it, or it is refused. */
static void try_register(void)
{
	struct device *d = new_device(1);
	int rc = mirror_register(list, &d->mirror, &device_ops);

	x_assert(rc == 0 || rc == -ESHUTDOWN);
	if (rc)
		port_free(d);
	else
		dev[1] = d;
}

static void async_or_released(void)
{
	x_assert(mirror_barrier(list) == 0);
	x_assert(gone == 1 && (released & 2));
	destroyed();
}

/* ---- M11: the deadlock of section 1 of the contract ---- */

static struct port_mutex device_lock = PORT_MUTEX_INITIALIZER;

/* A device knows its own invalidations, whose thread holds its lock already. */
static int lock_device(struct mirror *m, const struct mirror_range *r)
{
	if (!r->data || r->owner == m)
		return 0;
	port_mutex_lock(&device_lock);
	work_with((struct device *)m);
	port_mutex_unlock(&device_lock);
	return 0;
}

static const struct mirror_ops locking_ops = {
	.size = sizeof(locking_ops),
	.invalidate_range_start = lock_device,
};

static void rwsem_setup(void)
{
	list_with(&mirror_sync_rwsem, 0);
	devices(1, &locking_ops);
}

static void srcu_setup(void)
{
	list_with(&mirror_sync_srcu, 0);
	devices(1, &locking_ops);
}

/* Thread B: changes the list. */
static void change_list(void)
{
	dev[1] = new_device(1);
	x_assert(mirror_register(list, &dev[1]->mirror, &device_ops) == 0);
}

static void change_list_back(void)
{
	change_list();
	unregister(1);
}

/* Thread C: migrates, which invalidates, under its own lock. */
static void migrate(void)
{
	struct bracket b = BRACKET(&b);

	b.range.owner = &dev[0]->mirror;
	port_mutex_lock(&device_lock);
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &b.range);
	port_mutex_unlock(&device_lock);
}

/* Over the rwsem without the deadlock: brackets and changes exclude each other. */
static void rwsem_devices(void)
{
	list_with(&mirror_sync_rwsem, 0);
	devices(1, &device_ops);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "list-release", .claim = "M10: a bracket beside release misses nobody",
	  .setup = one_saying, .thread = { publish_until_release, release }, .check = released_all,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-release-unregister", .claim = "M10: release once, or unregister prevents it",
	  .setup = two_devices, .thread = { release, unregister_second }, .check = released_all,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-release-async", .claim = "M8, M10: the same, asynchronously",
	  .setup = two_devices, .thread = { release, unregister_first_async }, .check = async_or_released,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-release-three", .claim = "M10: release, unregister, and a bracket",
	  .setup = two_devices, .thread = { release, unregister_second, publish }, .check = released_all,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "list-release-twice", .claim = "M10: of two calls one does it", .setup = two_devices,
	  .thread = { try_release, try_release, unregister_second }, .check = released_once,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-release-register", .claim = "M10: who registers late is refused or released",
	  .setup = one_device, .thread = { release, try_register }, .check = released_all,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-release-own", .claim = "M8, M10: release unregisters its own mirror",
	  .setup = two_release_leaving, .thread = { release, publish }, .check = released_and_gone,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-release-other", .claim = "M10: release unregisters another mirror",
	  .setup = two_release_taking, .thread = { release, publish }, .check = released_first,
	  .quick = 3, .full = 6 },
	{ MIRROR_WITH(X_IMPATIENT), .name = "list-deadlock-rwsem", .claim = "M11: over the rwsem three threads deadlock",
	  .setup = rwsem_setup, .thread = { publish, change_list, migrate }, .check = destroyed,
	  .must_fail = X_ALL, .models = X_WEAK, .quick = 2, .full = 2 },
	{ MIRROR, .name = "list-deadlock-srcu", .claim = "M11: over srcu they do not", .setup = srcu_setup,
	  .thread = { publish, change_list_back, migrate }, .check = destroyed, .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-rwsem", .claim = "M5: over the rwsem, too, no callback comes after unregister",
	  .setup = rwsem_devices, .thread = { publish, unregister_first }, .check = destroyed,
	  .quick = 3, .full = 5 },
	{ .name = NULL },
};
