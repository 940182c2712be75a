/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Domains: create, destroy, reports; what becomes of a thread's sections at its exit and at fork. */

#include "usrcu_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void usrcu_report_(struct usrcu *d, const char *format, ...)
{
	char text[192];
	va_list args;
	int length;

	length = snprintf(text, sizeof(text), "usrcu domain %s: ", d->name[0] ? d->name : "(unnamed)");
	va_start(args, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
	va_end(args);
	if (d->report)
		d->report(d->report_arg, text);
	else
		fprintf(stderr, "%s\n", text);
}

/* ---- its threads, and fork ---- */

static struct usrcu *domain_of(struct slots *slots)
{
	return (struct usrcu *)((char *)slots - offsetof(struct usrcu, slots));
}

static bool vacate(struct slots *slots, void *mine)
{
	const struct usrcu_slot *slot = mine;
	uint64_t open = slot->open[0] + slot->open[1];

	if (open)
		usrcu_report_(domain_of(slots), "thread %llu exits inside %llu open section(s)",
			      (unsigned long long)slot->tid, (unsigned long long)open);
	return !open;
}

static void vanish(struct slots *slots, void *its)
{
	struct usrcu_slot *slot = its;

	(void)slots;
	slot->open[0] = slot->open[1] = 0;
}

static void before_fork(struct slots *slots)
{
	port_mutex_lock(&domain_of(slots)->lock);
}

static void after_fork(struct slots *slots, bool in_child)
{
	struct usrcu *d = domain_of(slots);
	struct usrcu_slot *mine = slots_mine(slots);

	if (in_child) {
		store_relaxed(&d->sleepers, 0);
		if (mine)
			store_relaxed(&mine->tid, (uint64_t)port_tid());
		usrcu_callbacks_after_fork_(d);
	}
	port_mutex_unlock(&d->lock);
}

static const struct slots_ops domain_slots = { vacate, vanish, before_fork, after_fork };

/* ---- create and destroy ---- */

/*
 * Destroyed domains, for use again: 7 of usrcu.c.  Taken as a whole, so that there is no ABA: then
 * what is not used is put back.
 */
static struct usrcu *spares;

static void put_spares(struct usrcu *first)
{
	struct usrcu *last = first, *head = NULL;

	if (compare_exchange(&spares, &head, first))
		return; /* as a rule: whoever takes spares leaves none */
	while (last->next_spare)
		last = last->next_spare;
	do {
		last->next_spare = head;
	} while (!compare_exchange(&spares, &head, first));
}

static struct usrcu *take_spare(void)
{
	struct usrcu *first = exchange(&spares, NULL), *d = first;

	if (!first) {
		d = port_alloc(sizeof(*d));
		if (d)
			port_mutex_init(&d->lock);
		return d;
	}
	if (first->next_spare)
		put_spares(first->next_spare);
	first->next_spare = NULL;
	return first;
}

int usrcu_create(struct usrcu **domain, const struct usrcu_attr *attr)
{
	static const struct usrcu_attr defaults = { .size = sizeof(defaults) };
	struct usrcu *d;
	int rc;

	if (!domain)
		return -EINVAL;
	if (!attr)
		attr = &defaults;
	if (attr->size != sizeof(*attr) || attr->flags & ~(unsigned)(USRCU_FULL_FENCE | USRCU_WORKER))
		return -EINVAL;
	d = take_spare();
	if (!d)
		return -ENOMEM;
	rc = slots_init(&d->slots, &domain_slots, sizeof(struct usrcu_slot));
	if (rc) {
		put_spares(d);
		return rc;
	}
	/* What a stray reader of this memory's last domain may touch, waiting and wakes, is
	 * written by atomics alone, and wakes goes on from where it was. */
	d->membarrier = !(attr->flags & USRCU_FULL_FENCE) && port_membarrier_register() == 0;
	d->head.key = d->membarrier ? d->slots.key : 0;
	store_relaxed(&d->head.index, 0);
	store_relaxed(&d->head.waiting[0], 0);
	store_relaxed(&d->head.waiting[1], 0);
	for (int i = 0; i < 2; i++)
		d->fallback.down[i] = d->fallback.up[i] = (uint64_t)-2;
	d->seq = (uint64_t)-16;
	d->need = 0;
	d->flipped = false;
	d->callbacks = (struct callbacks){ .queued = (uint64_t)-2, .ran = (uint64_t)-2 };
	d->stall_ns = attr->stall_ns;
	d->report = attr->report;
	d->report_arg = attr->report_arg;
	snprintf(d->name, sizeof(d->name), "%s", attr->name ? attr->name : "");
	if (attr->flags & USRCU_WORKER) {
		rc = usrcu_start_worker_(d);
		if (rc) {
			slots_destroy(&d->slots);
			put_spares(d);
			return rc;
		}
	}
	*domain = d;
	return 0;
}

int usrcu_destroy(struct usrcu *d)
{
	bool busy;
	int rc;

	if (!d)
		return -EINVAL;
	port_mutex_lock(&d->lock);
	rc = fence_heavy(d->membarrier); /* C, for sections that are not counted in memory yet */
	busy = rc || usrcu_open_indexes_(d, 3) || !usrcu_no_callbacks_(d);
	port_mutex_unlock(&d->lock);
	if (busy)
		return -EBUSY;
	usrcu_stop_worker_(d);
	slots_destroy(&d->slots);
	put_spares(d);
	return 0;
}

bool usrcu_uses_membarrier(const struct usrcu *d)
{
	return d && d->membarrier;
}
