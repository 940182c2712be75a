/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Domains: create and destroy. */

#include "usrcu_impl.h"

#include <errno.h>
#include <stdio.h>

/* Through kept_next all that were ever made: leak checkers do not look into the keys' pages.  Compare-and-exchange. */
static struct usrcu *last_kept;

/* A destroyed domain stays at @kept, for the next one: 8 of usrcu.c. */
static struct usrcu *memory_at(void **kept)
{
	struct usrcu *d = *kept;

	if (d)
		return d;
	d = *kept = port_alloc(sizeof(*d));
	if (d) {
		d->kept_next = load_relaxed(&last_kept);
		while (!compare_exchange(&last_kept, &d->kept_next, d))
			;
	}
	return d;
}

/* It stays with its key; of the two domains of a list the second one stays with the first. */
static struct usrcu *memory_of(const struct slots *slots, enum usrcu_part part)
{
	struct usrcu *d = memory_at(&slots->of->kept);

	return d && part == USRCU_SECTIONS ? memory_at(&d->kept_beside) : d;
}

static int init(struct usrcu *d, const struct usrcu_attr *attr, const struct slots *slots, enum usrcu_part part)
{
	d->slots = *slots;
	d->part = part;
	store_relaxed(&d->membarrier, !(attr->flags & USRCU_FULL_FENCE) && port_membarrier_register() == 0);
	/* What a stray reader of this memory's last domain may touch, membarrier, waiting and event, is written by
	 * atomics alone, and event goes on from where it was. */
	d->head.first = d->membarrier ? 2 * d->slots.key : 0;
	store_relaxed(&d->head.entry, d->head.first);
	store_relaxed(&d->head.waiting, 0);
	d->fallback = (struct usrcu_slot){ .lent = { (uint64_t)-2, (uint64_t)-2 }, .gone = { (uint64_t)-2, (uint64_t)-2 } };
	d->gp = (uint64_t)-512;
	d->lease_ns = 0;
	d->reported = 1; /* none */
	d->callbacks = (struct callbacks){ .batches = (uint64_t)-4 };
	d->stall_ns = attr->stall_ns;
	d->report = attr->report;
	d->report_arg = attr->report_arg;
	snprintf(d->name, sizeof(d->name), "%s", attr->name ? attr->name : "");
	return attr->flags & USRCU_WORKER ? usrcu_start_worker_(d) : 0;
}

int usrcu_create_part_(struct usrcu **domain, const struct usrcu_attr *attr, const struct slots *slots,
		       enum usrcu_part part)
{
	struct usrcu *d = memory_of(slots, part);
	int rc = d ? init(d, attr, slots, part) : -ENOMEM;

	if (!rc)
		*domain = d;
	return rc;
}

int usrcu_create(struct usrcu **domain, const struct usrcu_attr *attr)
{
	static const struct usrcu_attr defaults = { .size = sizeof(defaults) };
	const unsigned known = USRCU_FULL_FENCE | USRCU_WORKER;
	struct slots slots;
	int rc;

	if (!domain)
		return -EINVAL;
	if (!attr)
		attr = &defaults;
	if (attr->size != sizeof(*attr) || attr->flags & ~known)
		return -EINVAL;
	process_begin();
	rc = slots_init(&slots, sizeof(struct usrcu_slot));
	if (rc)
		return rc;
	rc = usrcu_create_part_(domain, attr, &slots, USRCU_WHOLE);
	if (rc)
		slots_destroy(&slots);
	return rc;
}

int usrcu_destroy(struct usrcu *d)
{
	int rc;

	if (!d)
		return -EINVAL;
	rc = fence_heavy(d->membarrier); /* C of usrcu.c, for sections that are not counted in memory yet */
	if (rc)
		return rc;
	if (usrcu_open_indexes_(d, 3) || !usrcu_no_callbacks_(d))
		return -EBUSY;
	usrcu_stop_worker_(d);
	if (d->part == USRCU_WHOLE)
		slots_destroy(&d->slots);
	return 0;
}

bool usrcu_uses_membarrier(const struct usrcu *d)
{
	return d && d->membarrier;
}
