/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Parts that the scenarios of usrcu share.
 *
 * The pattern of most: an object is published in `object`.  A reader uses it inside a section if
 * it finds it there.  An updater takes it away, waits for a grace period and frees it, where any
 * use, and any late store, is a failure.
 */
#ifndef MIRROR_EXPLORE_USRCU_SCENARIOS_H
#define MIRROR_EXPLORE_USRCU_SCENARIOS_H

#include <errno.h>
#include "port.h"
#include <mirror/usrcu.h>

struct object {
	struct usrcu_head head;
	uint64_t a, b[X_MAX_FIBERS];    /* each thread writes its own of b: the order of theirs tells nothing */
};

static struct usrcu *domain;
static struct object *object;
static struct object *kept;     /* could not be freed; check does */
static uint64_t note[4];        /* what threads saw */

/* ---- setup, preparation, check ---- */

static inline void one_domain(void)
{
	x_assert(usrcu_create(&domain, NULL) == 0);
	object = port_alloc(sizeof(*object));
}

static inline void domain_with(unsigned flags)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = flags };

	x_assert(usrcu_create(&domain, &attr) == 0);
	object = port_alloc(sizeof(*object));
}

static inline void fenced_domain(void)
{
	domain_with(USRCU_FULL_FENCE);
	x_assert(!usrcu_uses_membarrier(domain));
}

/* A slot for each thread, so that its first use is not explored again and again. */
static inline void first_use(void)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
}

static inline void destroyed(void)
{
	port_free(object);
	port_free(kept);
	x_assert(usrcu_destroy(domain) == 0);
}

/* ---- readers ---- */

/* What a section does with the object: it reads and it writes. */
static inline void use(struct object *p)
{
	if (!p)
		return;
	x_assert(load_relaxed(&p->a) == 0);
	store_relaxed(&p->b[x_self() + 1], 1);
}

static inline void one_section(void)
{
	int token = usrcu_read_lock(domain);

	use(load_acquire(&object));
	usrcu_read_unlock(domain, token);
}

static inline void two_sections(void)
{
	one_section();
	one_section();
}

/* ---- updaters ---- */

/* Take the object away, with @next in its place; the old one may go after a grace period. */
static inline struct object *unpublish(struct object *next)
{
	return exchange(&object, next);
}

static inline void retire_once(void)
{
	struct object *old = load_relaxed(&object);

	/* No more than a plain store: the grace period has to order it. */
	store_relaxed(&object, NULL);
	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
}

static inline void retire_twice(void)
{
	struct object *old = load_relaxed(&object), *next = port_alloc(sizeof(*next));

	store_release(&object, next);
	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
	retire_once();
}

static inline void wait_for(const uint64_t *flag)
{
	while (!load_acquire(flag))
		port_relax();
}

/* Domains are never given back to the system. */
#define USRCU .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT, .prepare = first_use
#define USRCU_WITH(more) .models = X_WEAK | X_RC11, .flags = X_LEAKS_OK | X_QUIET_EXIT | (more), .prepare = first_use

#endif /* MIRROR_EXPLORE_USRCU_SCENARIOS_H */
