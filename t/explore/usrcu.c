/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/usrcu.c: sections against grace periods. */

#include "usrcu_scenarios.h"

/* ---- A and C: a section that is not counted sees what came before the grace period ---- */

static void sb_reader(void)
{
	int token = usrcu_read_lock(domain);

	if (!load_relaxed(&note[0]))
		x_touch(object);
	usrcu_read_unlock(domain, token);
}

static void sb_updater(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_synchronize(domain) == 0);
	port_free(object);
	object = NULL;
}

static void sb_expedited(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_synchronize_expedited(domain) == 0);
	port_free(object);
	object = NULL;
}

/* ---- B and D: what a section did is seen after the grace period ---- */

static void mp_reader(void)
{
	int token = usrcu_read_lock(domain);

	note[2] = !load_relaxed(&note[0]);
	store_relaxed(&note[1], 1);
	usrcu_read_unlock(domain, token);
}

static void mp_updater(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_synchronize(domain) == 0);
	note[3] = load_relaxed(&note[1]);
}

static void mp_check(void)
{
	x_assert(!note[2] || note[3]);
	destroyed();
}

/* ---- nesting, and ends in any order ---- */

static void nested(void)
{
	int outer = usrcu_read_lock(domain), inner;

	use(load_acquire(&object));
	inner = usrcu_read_lock(domain);
	use(load_acquire(&object));
	usrcu_read_unlock(domain, inner);
	use(load_acquire(&object));
	usrcu_read_unlock(domain, outer);
}

/* What it found inside the one that ends last it may use until then. */
static void crossed(void)
{
	int outer = usrcu_read_lock(domain), inner = usrcu_read_lock(domain);
	struct object *p = load_acquire(&object);

	usrcu_read_unlock(domain, outer);
	use(p);
	usrcu_read_unlock(domain, inner);
}

/* ---- handing over ---- */

static uint64_t token_sent;
static struct object *object_sent;

/* Begins a section, uses the object, and leaves both to another thread. */
static void hand_over(void)
{
	int token = usrcu_down_read(domain);

	object_sent = load_acquire(&object);
	use(object_sent);
	store_release(&token_sent, (uint64_t)token + 1);
}

static void take_over(void)
{
	wait_for(&token_sent);
	use(object_sent);
	usrcu_up_read(domain, (int)load_relaxed(&token_sent) - 1);
}

static void handed_section(void)
{
	int token = usrcu_down_read(domain);

	use(load_acquire(&object));
	usrcu_up_read(domain, token);
}

/* A second section of the same slot ends in another thread, while the first one is open. */
static void hand_over_second(void)
{
	int first = usrcu_down_read(domain), second;
	struct object *p = load_acquire(&object);

	second = usrcu_down_read(domain);
	store_release(&token_sent, (uint64_t)second + 1);
	use(p);
	usrcu_up_read(domain, first);
}

static void take_over_second(void)
{
	wait_for(&token_sent);
	usrcu_up_read(domain, (int)load_relaxed(&token_sent) - 1);
}

/* ---- two grace periods at once ---- */

static uint64_t turn;

/* Whoever comes second retires what the first has published. */
static void retire_mine(void)
{
	struct object *mine = port_alloc(sizeof(*mine)), *old = unpublish(mine);

	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
	fetch_add(&turn, 1);
}

/* ---- who begins after the flip does not hold the grace period up ---- */

static void overlapping(void)
{
	int first = usrcu_read_lock(domain), second;
	usrcu_cookie_t cookie = usrcu_start_poll(domain);

	x_assert(!usrcu_poll_state(domain, cookie));
	second = usrcu_read_lock(domain);
	usrcu_read_unlock(domain, first);
	x_assert(usrcu_poll_state(domain, cookie));
	usrcu_read_unlock(domain, second);
}

const struct x_scenario x_scenarios[] = {
	{ USRCU, .name = "usrcu-sb", .claim = "S2: a section is counted or sees what came before (A, C)",
	  .setup = one_domain, .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 6, .full = 12 },
	{ USRCU, .name = "usrcu-sb-expedited", .claim = "S2: the same, expedited",
	  .setup = one_domain, .thread = { sb_reader, sb_expedited }, .check = destroyed, .quick = 6, .full = 12 },
	{ USRCU, .name = "usrcu-sb-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 6, .full = 12 },
	{ USRCU, .name = "usrcu-mp", .claim = "S2: what a section did is seen after the grace period (B, D)",
	  .setup = one_domain, .thread = { mp_reader, mp_updater }, .check = mp_check, .quick = 6, .full = 12 },
	{ USRCU, .name = "usrcu-mp-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { mp_reader, mp_updater }, .check = mp_check, .quick = 6, .full = 12 },
	{ USRCU, .name = "usrcu-two-grace-periods", .claim = "S2: two sections, two grace periods",
	  .setup = one_domain, .thread = { two_sections, retire_twice }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-two-readers", .claim = "S2: two readers, one grace period",
	  .setup = one_domain, .thread = { one_section, one_section, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-two-by-two", .claim = "S2: two readers, two grace periods",
	  .setup = one_domain, .thread = { two_sections, one_section, retire_twice },
	  .check = destroyed, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-two-updaters", .claim = "S2: a reader, two grace periods at once",
	  .setup = one_domain, .thread = { one_section, retire_mine, retire_mine },
	  .check = destroyed, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-nested", .claim = "S1: sections nest",
	  .setup = one_domain, .thread = { nested, retire_twice }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-crossed", .claim = "S1: and end in any order",
	  .setup = one_domain, .thread = { crossed, retire_twice }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-handover", .claim = "S4: a section ends in another thread",
	  .setup = one_domain, .thread = { hand_over, take_over, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-handover-two", .claim = "S4: one that ends does not stand for one that is open",
	  .setup = one_domain, .thread = { handed_section, handed_section, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-handover-second", .claim = "S4: nor one of the same thread",
	  .setup = one_domain, .thread = { hand_over_second, take_over_second, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-progress", .claim = "S2: who begins after the flip holds nothing up",
	  .setup = one_domain, .thread = { overlapping }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-first-use",
	  .claim = "S1: a thread's first use, with and without memory", .setup = one_domain,
	  .thread = { two_sections, retire_once }, .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-first-fenced",
	  .claim = "S1, S8: the same with full fences", .setup = fenced_domain,
	  .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 3, .full = 6 },
	/* Without a slot a section is counted in the domain; the two kinds nest. */
	{ USRCU_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-first-nested",
	  .claim = "S1: the same, nested", .setup = one_domain,
	  .thread = { crossed, retire_once }, .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-first-handed",
	  .claim = "S1, S4: the same, handed over", .setup = one_domain,
	  .thread = { handed_section, handed_section, retire_once }, .check = destroyed, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK, .name = "usrcu-exit", .claim = "S9: a thread's slot is used by the next one",
	  .setup = one_domain, .thread = { one_section, one_section, retire_once },
	  .check = destroyed, .quick = 2, .full = 4 },
	{ .name = NULL },
};
