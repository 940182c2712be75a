/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What a list reports: callbacks that take longer than its stall_ns, and misuse. */

#include "mirror_report.h"

#include <errno.h>
#include <stdio.h>

static const char *name_of(const struct mirror_list *list)
{
	return list && list->name[0] ? list->name : "(unnamed)";
}

static const char *callback_of(const struct walker *w, int level)
{
	static const char *const names[] = {
		[START] = "invalidate_range_start", [END] = "invalidate_range_end", [FINISH] = "finish",
		[RELEASE] = "release", [DONE] = "done",
	};

	return names[load_relaxed(&w->what[level])];
}

/* ---- stalls ---- */

static void report(struct mirror_list *list, const struct mirror_stall *stall)
{
	int saved = errno;
	char text[192];

	if (list->stall) {
		list->stall(list->stall_arg, stall);
	} else {
		snprintf(text, sizeof(text), "mirror list %s: %s of mirror %p has run for %llu ms in thread %d",
			 name_of(list), stall->what, (void *)stall->mirror,
			 (unsigned long long)stall->age_ns / 1000000, stall->tid);
		port_say(text);
	}
	errno = saved;
}

static struct mirror_stall stall_at(const struct mirror_list *list, const struct walker *w, int level,
				    struct mirror *m)
{
	return (struct mirror_stall){
		.list = list->name,
		.mirror = m,
		.what = callback_of(w, level),
		.tid = w == &list->fallback ? load_relaxed(&list->fallback_tid) : slots_thread_number(&w->slot),
		.age_ns = port_now_ns() - load_relaxed(&w->since[level]),
	};
}

void begin_timing_(const struct walk *walk)
{
	struct walker *w = walk->walker;

	store_relaxed(&w->since[walk->pin - w->pin], port_now_ns());
}

/* The entry is still pinned, so its mirror exists. */
void end_timing_(const struct walk *walk, struct mirror__entry *e)
{
	struct mirror_stall stall;

	if (!walk->list->stall_ns)
		return;
	stall = stall_at(walk->list, walk->walker, (int)(walk->pin - walk->walker->pin), e->mirror);
	if (stall.age_ns > walk->list->stall_ns)
		report(walk->list, &stall);
}

void report_stall_(struct mirror_list *list, const struct walker *w, int level, struct mirror *m)
{
	struct mirror_stall stall = stall_at(list, w, level, m);

	report(list, &stall);
}

/* ---- misuse ---- */

void report_ended_(struct mirror_list *list, struct walker *w, int level, const struct mirror__entry *e)
{
	const struct record *record;
	uint64_t owner;

	if (w == &list->fallback)
		return;
	record = slots_record_of(&w->slot);
	owner = load_acquire(&record->owner);
	/* Since the caller's look it may have left the callback, then ended, and another thread may have its record. */
	if (slots_owner_ended(&w->slot) && load_acquire(&w->pin[level]) == e &&
	    load_acquire(&record->owner) == owner &&
	    !(fetch_or(&w->slot.number, SLOT_REPORTED) & SLOT_REPORTED))
		misuse_(list, callback_of(w, level), "its thread has exited inside this callback");
}

void misuse_(const struct mirror_list *list, const char *function, const char *rule)
{
	int saved = errno;
	char text[192];

	snprintf(text, sizeof(text), "mirror list %s: %s: %s", name_of(list), function, rule);
	port_say(text);
	errno = saved;
}
