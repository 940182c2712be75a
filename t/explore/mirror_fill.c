/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Scenarios over src/mirror_fill.c: fills against brackets.
 *
 * `memory` is what brackets change and fills copy.  What is installed while a bracket is open,
 * or differs from memory at the end, is stale.
 */
#include "mirror_scenarios.h"

static uint64_t memory;
static struct port_mutex install_lock = PORT_MUTEX_INITIALIZER;
static bool installed;                  /* under install_lock */
static uint64_t copy;                   /* the same */

static int drop_copy(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	if (!r->data)
		return 0;
	port_mutex_lock(&install_lock);
	installed = false;
	port_mutex_unlock(&install_lock);
	return 0;
}

static const struct mirror_ops filling_ops = {
	.size = sizeof(filling_ops),
	.invalidate_range_start = drop_copy,
};

static void one_filling(void)
{
	list_with(NULL, 0);
	devices(1, &filling_ops);
}

static void one_filling_settled(void)
{
	one_filling();
	x_assert(!mirror_read_retry(&dev[0]->mirror, mirror_read_begin(&dev[0]->mirror)));
}

/* Nobody registered yet. */
static void no_filling(void)
{
	list_with(NULL, 0);
}

static bool is_installed(void)
{
	bool is;

	port_mutex_lock(&install_lock);
	is = installed;
	port_mutex_unlock(&install_lock);
	return is;
}

static void change(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	store_relaxed(&memory, load_relaxed(&memory) + 1);
	mirror_invalidate_range_end(list, &b.range);
}

/* With a mirror that was there before, nothing is installed while the bracket is open. */
static void change_and_look(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(!is_installed());
	store_relaxed(&memory, load_relaxed(&memory) + 1);
	x_assert(!is_installed());
	mirror_invalidate_range_end(list, &b.range);
}

static void change_twice(void)
{
	change_and_look();
	change_and_look();
}

static bool install(struct mirror *m, uint64_t seq, uint64_t value)
{
	bool stale;

	port_mutex_lock(&install_lock);
	stale = mirror_read_retry(m, seq);
	if (!stale) {
		installed = true;
		copy = value;
	}
	port_mutex_unlock(&install_lock);
	return !stale;
}

static void fill(void)
{
	struct mirror *m = &dev[0]->mirror;
	uint64_t seq, value;

	do {
		seq = mirror_read_begin(m);
		value = load_relaxed(&memory);
	} while (!install(m, seq, value));
}

static void fill_if_possible(void)
{
	struct mirror *m = &dev[0]->mirror;
	uint64_t seq;

	if (mirror_read_try_begin(m, &seq))
		install(m, seq, load_relaxed(&memory));
	if (mirror_read_try_begin(m, &seq))
		install(m, seq, load_relaxed(&memory));
}

static void register_and_fill(void)
{
	struct device *d = new_device(0);

	x_assert(mirror_register(list, &d->mirror, &filling_ops) == 0);
	dev[0] = d;
	fill();
}

static void register_and_try(void)
{
	struct device *d = new_device(0);

	x_assert(mirror_register(list, &d->mirror, &filling_ops) == 0);
	dev[0] = d;
	fill_if_possible();
}

static void nothing_stale(void)
{
	x_assert(!installed || copy == memory);
	destroyed();
}

/* A refusal by a later mirror takes the counts back. */
static int refuse(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	return r->data ? -EAGAIN : 0;
}

static const struct mirror_ops refusal_ops = {
	.size = sizeof(refusal_ops),
	.invalidate_range_start = refuse,
};

static void filling_and_refusal(void)
{
	one_filling_settled();
	dev[1] = new_device(1);
	x_assert(mirror_register(list, &dev[1]->mirror, &refusal_ops) == 0);
}

static void change_refused(void)
{
	struct bracket b = BRACKET(&b);

	b.range.flags = 0;
	x_assert(mirror_invalidate_range_start(list, &b.range) == -EAGAIN);
}

/* A bracket that another thread ends. */
static struct bracket handed = BRACKET(&handed);
static uint64_t is_handed;

static void start_and_change(void)
{
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
	store_relaxed(&memory, 1);
	store_release(&is_handed, 1);
}

static void end_handed(void)
{
	wait_for(&is_handed);
	mirror_invalidate_range_end(list, &handed.range);
}

/* One that does not overlap makes no fill wait or retry. */
static void ranges_elsewhere(void)
{
	list_with(NULL, 0);
	dev[0] = new_device(0);
	x_assert(mirror_register_range(list, &dev[0]->mirror, &filling_ops, 100, 200) == 0);
	x_assert(!mirror_read_retry(&dev[0]->mirror, mirror_read_begin(&dev[0]->mirror)));
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
}

static void fill_at_once(void)
{
	struct mirror *m = &dev[0]->mirror;
	uint64_t seq;

	x_assert(mirror_read_try_begin(m, &seq));
	x_assert(install(m, seq, 0));
}

static void destroyed_elsewhere(void)
{
	mirror_invalidate_range_end(list, &handed.range);
	destroyed();
}

/* The owner stops the callbacks while a filler waits for a bracket: the filler sleeps no longer. */
static void filling_and_open(void)
{
	one_filling_settled();
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
}

static void fill_fails(void)
{
	uint64_t seq;

	x_assert(mirror_read_begin_timeout(&dev[0]->mirror, &seq, UINT64_MAX) == -ENOENT);
	x_assert(mirror_read_retry(&dev[0]->mirror, seq));
}

/* The device stays, because fills end before it may be freed. */
static void stopped(struct mirror *m)
{
	(void)m;
}

static void stop_callbacks(void)
{
	x_assert(mirror_unregister_async(&dev[0]->mirror, stopped) == 0);
}

static void both_over(void)
{
	mirror_invalidate_range_end(list, &handed.range);
	x_assert(mirror_barrier(list) == 0);
	port_free(dev[0]);
	dev[0] = NULL;
	destroyed();
}

/* The mirror's range moves to where the bracket is.  Under install_lock: where the owner says that it is. */
static bool is_here;

static void filling_elsewhere(void)
{
	list_with(NULL, 0);
	dev[0] = new_device(0);
	x_assert(mirror_register_range(list, &dev[0]->mirror, &filling_ops, 100, 200) == 0);
}

static void filling_elsewhere_settled(void)
{
	filling_elsewhere();
	x_assert(!mirror_read_retry(&dev[0]->mirror, mirror_read_begin(&dev[0]->mirror)));
}

static void move_here(void)
{
	port_mutex_lock(&install_lock);
	x_assert(mirror_set_range(&dev[0]->mirror, 10, 20) == 0);
	is_here = true;
	port_mutex_unlock(&install_lock);
}

/* What the owner says is asked after begin. */
static void fill_what_is_noted(void)
{
	struct mirror *m = &dev[0]->mirror;
	uint64_t seq = mirror_read_begin(m);
	bool here;

	port_mutex_lock(&install_lock);
	here = is_here;
	port_mutex_unlock(&install_lock);
	if (here)
		install(m, seq, load_relaxed(&memory));
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "fill-bracket", .claim = "M12: nothing stale is installed (A, B)",
	  .setup = one_filling_settled, .thread = { change_and_look, fill }, .check = nothing_stale,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "fill-bracket-two", .claim = "M12: the same with two brackets that overlap",
	  .setup = one_filling_settled, .thread = { change, change, fill }, .check = nothing_stale,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "fill-bracket-twice", .claim = "M12: the same, one bracket after the other",
	  .setup = one_filling_settled, .thread = { change_twice, fill }, .check = nothing_stale,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "fill-bracket-try", .claim = "M12: the same without waiting",
	  .setup = one_filling_settled, .thread = { change_and_look, fill_if_possible }, .check = nothing_stale,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "fill-two", .claim = "M12: two fills beside a bracket", .setup = one_filling_settled,
	  .thread = { change, fill, fill }, .check = nothing_stale, .quick = 2, .full = 4 },
	{ MIRROR, .name = "fill-first", .claim = "M12: the first fill beside a bracket", .setup = one_filling,
	  .thread = { change_and_look, fill }, .check = nothing_stale, .quick = 3, .full = 6 },
	{ MIRROR, .name = "fill-first-two", .claim = "M12: two first fills at once", .setup = one_filling,
	  .thread = { change, fill, fill }, .check = nothing_stale, .quick = 1, .full = 3 },
	{ MIRROR, .name = "fill-late-joiner", .claim = "M12: a mirror that joins beside an open bracket",
	  .setup = no_filling, .thread = { change, register_and_fill }, .check = nothing_stale,
	  .quick = 4, .full = 6 },
	{ MIRROR, .name = "fill-late-joiner-try", .claim = "M12: the same without waiting",
	  .setup = no_filling, .thread = { change, register_and_try }, .check = nothing_stale,
	  .quick = 4, .full = 6 },
	{ MIRROR, .name = "fill-late-joiner-handed", .claim = "M12: the same, ended by another thread",
	  .setup = no_filling, .thread = { start_and_change, end_handed, register_and_fill },
	  .check = nothing_stale, .quick = 1, .full = 3 },
	{ MIRROR, .name = "fill-refused", .claim = "M4, M12: a refused bracket makes no fill wait for ever",
	  .setup = filling_and_refusal, .thread = { change_refused, fill }, .check = nothing_stale,
	  .quick = 4, .full = 8 },
	{ MIRROR, .prepare = NULL, .name = "fill-elsewhere", .claim = "M12: nor does one elsewhere at all",
	  .setup = ranges_elsewhere, .thread = { fill_at_once }, .check = destroyed_elsewhere,
	  .quick = 4, .full = 8 },
	{ MIRROR, .prepare = NULL, .name = "fill-dies", .claim = "M12: unregister wakes a filler, which gives up",
	  .setup = filling_and_open, .thread = { fill_fails, stop_callbacks }, .check = both_over,
	  .quick = 4, .full = 8 },
	{ MIRROR, .name = "fill-move", .claim = "M12, M21: a fill beside a move, and a bracket from before it (C, D)",
	  .setup = filling_elsewhere_settled, .thread = { change, move_here, fill_what_is_noted },
	  .check = nothing_stale, .quick = 2, .full = 4 },
	{ MIRROR, .name = "fill-move-first", .claim = "M12, M21: the same, and it is the first fill",
	  .setup = filling_elsewhere, .thread = { change, move_here, fill_what_is_noted },
	  .check = nothing_stale, .quick = 2, .full = 4 },
	{ .name = NULL },
};
