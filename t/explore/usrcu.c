/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Scenarios over src/usrcu.c: sections and grace periods.
 *
 * The pattern of most: an object is published in `object`.  A reader uses it inside a section if
 * it finds it there.  An updater takes it away, waits for a grace period and frees it, where any
 * use, and any late store, is a failure.
 */
#include <errno.h>
#include <mirror/usrcu.h>
#include "usrcu_scenarios.h"

struct usrcu *domain;
struct object *object;
static uint64_t note[4];        /* what threads saw */

/* ---- parts ---- */

struct object *new_object(void)
{
	return port_alloc(sizeof(struct object));
}

void one_domain(void)
{
	x_assert(usrcu_create(&domain, NULL) == 0);
	object = new_object();
}

void fenced_domain(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_FULL_FENCE };

	x_assert(usrcu_create(&domain, &attr) == 0);
	x_assert(!usrcu_uses_membarrier(domain));
	object = new_object();
}

/* A cell for each thread, so that its first use is not explored again and again. */
void first_use(void)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
}

/* What a section does with the object: it reads and it writes. */
void use(struct object *p)
{
	if (!p)
		return;
	x_assert(load_relaxed(&p->a) == 0);
	store_relaxed(&p->b, 1);
}

void one_section(void)
{
	int token = usrcu_read_lock(domain);

	use(load_acquire(&object));
	usrcu_read_unlock(domain, token);
}

static void two_sections(void)
{
	one_section();
	one_section();
}

/* Exchange the object for @next; the old one may be freed after a grace period. */
static struct object *replace(struct object *next)
{
	struct object *old = load_relaxed(&object);

	store_release(&object, next);
	return old;
}

void destroyed(void)
{
	port_free(object);
	x_assert(usrcu_destroy(domain) == 0);
}

static void retire_once(void)
{
	struct object *old = replace(NULL);

	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
}

static void retire_twice(void)
{
	struct object *old = replace(new_object());

	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
	retire_once();
}

/* ---- A and C: a reader that is not counted sees what came before the grace period ---- */

static void sb_reader(void)
{
	int token = usrcu_read_lock(domain);

	x_touch(load_relaxed(&note[0]) ? (void *)note : (void *)object);
	usrcu_read_unlock(domain, token);
}

static void sb_updater(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_synchronize(domain) == 0);
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

#define USRCU .prepare = first_use, .models = X_WEAK, .flags = X_LEAKS_OK | X_QUIET_EXIT

const struct x_scenario x_scenarios[] = {
	{ USRCU, .name = "usrcu-sb", .claim = "S2: a section is counted or sees what came before",
	  .setup = one_domain, .thread = { sb_reader, sb_updater }, .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-mp", .claim = "S2: what a section did is seen after the grace period",
	  .setup = one_domain, .thread = { mp_reader, mp_updater }, .check = mp_check, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-two-sections", .claim = "S2: two sections, two grace periods",
	  .setup = one_domain, .thread = { two_sections, retire_twice }, .check = destroyed, .quick = 3, .full = 4 },
	{ USRCU, .name = "usrcu-two-readers", .claim = "S2: two readers, one grace period",
	  .setup = one_domain, .thread = { one_section, one_section, retire_once }, .check = destroyed, .quick = 2, .full = 4 },
	{ .name = NULL },
};
