/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/usrcu.c: the fast pairs, alone and mixed with the ordinary ones. */

#include "usrcu_scenarios.h"

static void fast_section(void)
{
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	use(load_acquire(&object));
	usrcu_read_unlock_fast(domain, ctr);
}

static void two_fast_sections(void)
{
	fast_section();
	fast_section();
}

/* A slot for each thread, with both of its entries. */
static void first_fast_use(void)
{
	usrcu_read_unlock_fast(domain, usrcu_read_lock_fast(domain));
}

/* ---- A and C ---- */

static void sb_reader(void)
{
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	if (!load_relaxed(&note[0]))
		x_touch(object);
	usrcu_read_unlock_fast(domain, ctr);
}

static void sb_updater(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_synchronize(domain) == 0);
	port_free(object);
	object = NULL;
}

/* ---- B and D ---- */

static void mp_reader(void)
{
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	note[2] = !load_relaxed(&note[0]);
	store_relaxed(&note[1], 1);
	usrcu_read_unlock_fast(domain, ctr);
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

/* ---- both kinds in one thread, in any order of ending ---- */

/* What the inner one, which ends last, has found it may use until then. */
static void fast_inside(void)
{
	int outer = usrcu_read_lock(domain);
	struct usrcu_ctr *inner = usrcu_read_lock_fast(domain);
	struct object *p = load_acquire(&object);

	usrcu_read_unlock(domain, outer);
	x_assert(usrcu_read_lock_held(domain));
	use(p);
	usrcu_read_unlock_fast(domain, inner);
	x_assert(!usrcu_read_lock_held(domain));
}

static void fast_outside(void)
{
	struct usrcu_ctr *outer = usrcu_read_lock_fast(domain);
	int inner = usrcu_read_lock(domain);
	struct object *p = load_acquire(&object);

	usrcu_read_unlock_fast(domain, outer);
	use(p);
	usrcu_read_unlock(domain, inner);
}

static void fast_nested(void)
{
	struct usrcu_ctr *outer = usrcu_read_lock_fast(domain), *inner;

	use(load_acquire(&object));
	inner = usrcu_read_lock_fast(domain);
	use(load_acquire(&object));
	usrcu_read_unlock_fast(domain, inner);
	use(load_acquire(&object));
	usrcu_read_unlock_fast(domain, outer);
}

/* ---- handing over ---- */

static struct usrcu_handed_ctr *sent;
static struct object *object_sent;

static void hand_over(void)
{
	struct usrcu_handed_ctr *ctr = usrcu_down_read_fast(domain);

	object_sent = load_acquire(&object);
	use(object_sent);
	store_release(&sent, ctr);
}

static void take_over(void)
{
	struct usrcu_handed_ctr *ctr;

	while (!(ctr = load_acquire(&sent)))
		port_relax();
	use(object_sent);
	usrcu_up_read_fast(domain, ctr);
}

static void handed_section(void)
{
	struct usrcu_handed_ctr *ctr = usrcu_down_read_fast(domain);

	use(load_acquire(&object));
	usrcu_up_read_fast(domain, ctr);
}

/* Sections of one slot: one thread ends the second one while the first begins and ends a third. */
static void hand_over_second(void)
{
	struct usrcu_handed_ctr *first = usrcu_down_read_fast(domain);
	struct object *p = load_acquire(&object);

	store_release(&sent, usrcu_down_read_fast(domain));
	usrcu_up_read(domain, usrcu_down_read(domain));
	use(p);
	usrcu_up_read_fast(domain, first);
}

static void take_over_second(void)
{
	struct usrcu_handed_ctr *ctr;

	while (!(ctr = load_acquire(&sent)))
		port_relax();
	usrcu_up_read_fast(domain, ctr);
}

/* ---- signals ---- */

static void handler_nested(void)
{
	struct usrcu_ctr *outer = usrcu_read_lock_fast(domain);

	fast_section();
	usrcu_read_unlock_fast(domain, outer);
}

static void handler_mixed(void)
{
	int outer = usrcu_read_lock(domain);
	struct usrcu_ctr *inner = usrcu_read_lock_fast(domain);

	usrcu_read_unlock(domain, outer);
	use(load_acquire(&object));
	usrcu_read_unlock_fast(domain, inner);
}

/* The handler's claim of a slot, and the one that it interrupts, are of one slot, under both indexes. */
static void held_sections(void)
{
	for (int i = 0; i < 2; i++) {
		struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

		x_assert(usrcu_read_lock_held(domain));
		use(load_acquire(&object));
		usrcu_read_unlock_fast(domain, ctr);
		x_assert(!usrcu_read_lock_held(domain));
	}
}

static void handler_flips(void)
{
	int token = usrcu_read_lock(domain);
	usrcu_cookie_t cookie = usrcu_start_poll(domain);

	x_assert(!usrcu_poll_state(domain, cookie));
	x_assert(usrcu_read_lock_held(domain));
	usrcu_read_unlock(domain, token);
	token = usrcu_read_lock(domain);
	x_assert(usrcu_read_lock_held(domain));
	usrcu_read_unlock(domain, token);
}

/* ---- destroying ---- */

static struct usrcu_ctr *open_ctr;

/* Opened before, so that destroy never races with a new section. */
static void open_section(void)
{
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	if (x_self() == 0)
		open_ctr = ctr;
	else
		usrcu_read_unlock_fast(domain, ctr);
}

static void end_section(void)
{
	use(object);
	usrcu_read_unlock_fast(domain, open_ctr);
}

/* The memory of the domain serves another one, while the reader is maybe still in its unlock. */
static void destroy_and_create(void)
{
	int rc;

	while ((rc = usrcu_destroy(domain)) == -EBUSY)
		port_relax();
	x_assert(rc == 0);
	port_free(object);
	one_domain();
	first_fast_use();
	retire_once();
}

#define FAST .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = first_fast_use
#define FAST_WITH(more) .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT | (more), .prepare = first_fast_use

const struct x_scenario x_scenarios[] = {
	{ FAST, .name = "usrcu-fast-sb", .claim = "S2: a fast section is counted or sees what came before (A, C)",
	  .setup = one_domain, .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 6, .full = 12 },
	{ FAST, .name = "usrcu-fast-sb-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 6, .full = 12 },
	{ FAST, .name = "usrcu-fast-mp", .claim = "S2: what it did is seen after the grace period (B, D)",
	  .setup = one_domain, .thread = { mp_reader, mp_updater }, .check = mp_check, .quick = 6, .full = 12 },
	{ FAST, .name = "usrcu-fast-mp-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { mp_reader, mp_updater }, .check = mp_check, .quick = 6, .full = 12 },
	{ FAST, .name = "usrcu-fast-two-grace-periods", .claim = "S2: two fast sections, two grace periods",
	  .setup = one_domain, .thread = { two_fast_sections, retire_twice }, .check = destroyed, .quick = 4, .full = 6 },
	{ FAST, .name = "usrcu-fast-two-readers", .claim = "S2: an ordinary and a fast reader, one grace period",
	  .setup = one_domain, .thread = { one_section, fast_section, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-fast-nested", .claim = "S1: fast sections nest",
	  .setup = one_domain, .thread = { fast_nested, retire_twice }, .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-fast-inside", .claim = "S1: a fast section outlives an ordinary one around it",
	  .setup = one_domain, .thread = { fast_inside, retire_twice }, .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-fast-outside", .claim = "S1: an ordinary one outlives a fast one",
	  .setup = one_domain, .thread = { fast_outside, retire_twice }, .check = destroyed, .quick = 3, .full = 6 },
	{ FAST_WITH(X_SPURIOUS), .name = "usrcu-fast-sleep", .claim = "no sleeper is left behind (E, F)",
	  .setup = one_domain, .thread = { two_fast_sections, retire_once }, .check = destroyed, .quick = 4, .full = 6 },
	{ FAST_WITH(X_SPURIOUS), .name = "usrcu-fast-sleep-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { two_fast_sections, retire_once }, .check = destroyed, .quick = 4, .full = 6 },
	{ FAST_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-fast-first-use",
	  .claim = "S1: a thread's first use, with and without memory", .setup = one_domain,
	  .thread = { two_fast_sections, retire_once }, .check = destroyed, .quick = 3, .full = 6 },
	/* The two share the counter that such tokens point to. */
	{ FAST_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-fast-first-two",
	  .claim = "S1: the same in two threads", .setup = one_domain,
	  .thread = { fast_section, fast_section, retire_once }, .check = destroyed, .quick = 1, .full = 4 },
	{ FAST_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-fast-first-mixed",
	  .claim = "S1: the same, with an ordinary one around it", .setup = one_domain,
	  .thread = { fast_inside, retire_once }, .check = destroyed, .quick = 2, .full = 6 },
	{ FAST, .name = "usrcu-fast-handover", .claim = "S4: a fast section ends in another thread",
	  .setup = one_domain, .thread = { hand_over, take_over, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-fast-handover-fenced", .claim = "S4, S8: the same with full fences",
	  .setup = fenced_domain, .thread = { hand_over, take_over, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-fast-handover-second", .claim = "S4: while another of the slot is open",
	  .setup = one_domain, .thread = { hand_over_second, take_over_second, retire_once },
	  .check = destroyed, .quick = 2, .full = 6 },
	{ FAST_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-fast-first-handed",
	  .claim = "S1, S4: without memory, handed over", .setup = one_domain,
	  .thread = { handed_section, handed_section, retire_once }, .check = destroyed, .quick = 1, .full = 4 },
	{ FAST, .name = "usrcu-signal-fast", .claim = "S1: a handler's fast sections anywhere in another one",
	  .setup = one_domain, .thread = { fast_section, retire_once }, .check = destroyed,
	  .signal = handler_nested, .signal_threads = 1, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-signal-fast-fenced", .claim = "S1, S8: the same with full fences",
	  .setup = fenced_domain, .thread = { fast_section, retire_once }, .check = destroyed,
	  .signal = handler_nested, .signal_threads = 1, .quick = 3, .full = 6 },
	{ FAST, .name = "usrcu-signal-mixed", .claim = "S1: both kinds in the handler",
	  .setup = one_domain, .thread = { fast_inside, retire_once }, .check = destroyed,
	  .signal = handler_mixed, .signal_threads = 1, .quick = 2, .full = 6 },
	{ FAST_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-signal-fast-first",
	  .claim = "S1: a handler in its thread's first use", .setup = one_domain,
	  .thread = { fast_section, retire_once }, .check = destroyed, .signal = handler_nested,
	  .signal_threads = 1, .quick = 2, .full = 5 },
	{ FAST, .prepare = open_section, .name = "usrcu-fast-destroy",
	  .claim = "S11: destroy against the end of a fast section", .setup = one_domain,
	  .thread = { end_section, destroy_and_create }, .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .prepare = open_section, .name = "usrcu-fast-destroy-fenced",
	  .claim = "S8, S11: the same with full fences", .setup = fenced_domain,
	  .thread = { end_section, destroy_and_create }, .check = destroyed, .quick = 3, .full = 6 },
	{ FAST, .prepare = NULL, .name = "usrcu-signal-entries",
	  .claim = "S1: the same, and the index changes meanwhile", .setup = one_domain,
	  .thread = { held_sections }, .check = destroyed, .signal = handler_flips,
	  .signal_threads = 1, .quick = 6, .full = 12 },
	{ .name = NULL },
};
