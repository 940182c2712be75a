/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What a domain reports: grace periods that are late, and threads that have ended inside sections. */

#include "usrcu_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void report(struct usrcu *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void report(struct usrcu *d, const char *format, ...)
{
	int saved = errno, length;
	char text[192];
	va_list args;

	length = snprintf(text, sizeof(text), "usrcu domain %s: ", d->name[0] ? d->name : "(unnamed)");
	va_start(args, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
	va_end(args);
	if (d->report)
		d->report(d->report_arg, text);
	else
		port_say(text);
	errno = saved;
}

static uint64_t open_in(const struct usrcu_slot *slot)
{
	return load_acquire(&slot->open[0]) + load_acquire(&slot->open[1]);
}

/* How many sections its thread has left open when it ended. */
static uint64_t left_open(const struct usrcu_slot *slot)
{
	const struct slot *head = (const struct slot *)(const void *)slot;
	uint64_t owner, open;

	if (!open_in(slot)) /* nor need the head be written yet */
		return 0;
	owner = load_acquire(&slots_record_of(head)->owner);
	if (slots_vanished(head) || !slots_owner_ended(head))
		return 0;
	/* Since the first look it may have ended the sections, then itself, and another thread may have its record. */
	open = open_in(slot);
	return load_acquire(&slots_record_of(head)->owner) == owner ? open : 0;
}

void usrcu_report_ended_(struct usrcu *d)
{
	struct usrcu_slot *slot;
	struct slot *head;
	uint64_t open;

	if (d->part == USRCU_HANDED_OVER)
		return;
	for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); ) {
		head = (struct slot *)(void *)slot;
		open = left_open(slot);
		if (!open || fetch_or(&head->number, SLOT_REPORTED) & SLOT_REPORTED)
			continue;
		report(d, "thread %d has exited inside %llu open section(s)", slots_thread_number(head),
		       (unsigned long long)open);
	}
}

void usrcu_report_stall_(struct usrcu *d)
{
	uint64_t gp = load_acquire(&d->gp), reported = load_relaxed(&d->reported), age_ns;
	struct usrcu_slot *slot;
	int tid = 0;

	if (!d->stall_ns || !usrcu_needed_(gp) || reported == (gp & GP_NUMBER))
		return;
	age_ns = port_now_ns() - load_relaxed(&d->began_ns);
	if ((int64_t)age_ns < 0 || age_ns <= d->stall_ns || !compare_exchange(&d->reported, &reported, gp & GP_NUMBER))
		return;
	/* A hint, since sections come and go meanwhile. */
	for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); )
		for (int i = 0; i < 2; i++)
			if (d->part != USRCU_HANDED_OVER && usrcu_needed_(gp) & 1u << i &&
			    load_acquire(&slot->open[i]))
				tid = slots_thread_number((struct slot *)(void *)slot);
	if (tid)
		report(d, "a grace period has waited %llu ms, for a section of thread %d",
		       (unsigned long long)age_ns / 1000000, tid);
	else
		report(d, "a grace period has waited %llu ms, for a handed-over section",
		       (unsigned long long)age_ns / 1000000);
}

uint64_t usrcu_late_at_(const struct usrcu *d)
{
	uint64_t began_ns = load_relaxed(&d->began_ns);

	if (!d->stall_ns || d->stall_ns >= PORT_FOREVER - began_ns ||
	    load_relaxed(&d->reported) == (load_relaxed(&d->gp) & GP_NUMBER))
		return PORT_FOREVER;
	return began_ns + d->stall_ns + 1;
}
