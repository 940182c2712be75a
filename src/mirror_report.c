/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What a list reports: callbacks that take longer than its stall_ns, and misuse; and what its errors mean. */

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
		[RELEASE] = "release", [DONE] = "done", [VISIT] = "visit",
	};

	return names[load_relaxed(&w->what[level])];
}

static void tell(const struct mirror_list *list, const struct mirror_report *report)
{
	int saved = errno;

	if (list && list->report)
		list->report(list->report_arg, report);
	else
		port_say(report->text);
	errno = saved;
}

/* ---- stalls ---- */

static void report(const struct mirror_list *list, const struct mirror_stall *stall)
{
	char text[192];

	if (list->stall) {
		int saved = errno;

		list->stall(list->stall_arg, stall);
		errno = saved;
		return;
	}
	snprintf(text, sizeof(text), "mirror list %s: %s of mirror %p has run for %llu ms in thread %d", name_of(list),
		 stall->what, (void *)stall->mirror, (unsigned long long)stall->age_ns / 1000000, stall->tid);
	tell(list, &(struct mirror_report){
		.size = sizeof(struct mirror_report),
		.kind = MIRROR_REPORT_STALL,
		.list = stall->list,
		.what = stall->what,
		.mirror = stall->mirror,
		.tid = stall->tid,
		.age_ns = stall->age_ns,
		.text = text,
	});
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

static void tell_misuse(const struct mirror_list *list, const char *what, const char *text)
{
	tell(list, &(struct mirror_report){
		.size = sizeof(struct mirror_report),
		.kind = MIRROR_REPORT_MISUSE,
		.list = list ? list->name : "",
		.what = what,
		.text = text,
	});
}

void misuse_(const struct mirror_list *list, const char *function, const char *rule)
{
	char text[192];

	snprintf(text, sizeof(text), "mirror list %s: %s: %s", name_of(list), function, rule);
	tell_misuse(list, function, text);
}

void report_of_part_(void *list, const char *text)
{
	tell_misuse(list, "a walk", text);
}

/* ---- errors ---- */

/* What an error means in the calls whose names begin so; of several lines the first holds. */
static const struct meaning {
	int error;
	const char *call, *text;
} meanings[] = {
	{ EINVAL, "mirror_list_create", "no place for the list, a wrong size, an unknown flag, half an allocator, or a "
					"sync without what its kind needs" },
	{ E2BIG, "mirror_list_create", "the attributes or their sync use what only a later library knows" },
	{ ENOSPC, "mirror_list_create", "too many lists and domains exist already" },
	{ EBUSY, "mirror_list_destroy", "mirrors, open brackets or pending done() are left, or it is called in a "
					"callback of the list" },
	{ EALREADY, "mirror_list_release", "the list has been released, or is being released" },
	{ EDEADLK, "mirror_list_release", "it is called in a callback of the list" },
	{ EINVAL, "mirror_list_get_stats", "no list, no statistics, or a wrong size of them" },
	{ EINVAL, "mirror_register", "no list, no mirror, no callbacks or a wrong size of them, or no range" },
	{ E2BIG, "mirror_register", "the table has a callback that only a later library knows" },
	{ EBUSY, "mirror_register", "the mirror is registered" },
	{ ESHUTDOWN, "mirror_register", "the list was released" },
	{ EDEADLK, "mirror_register", "the list's sync is a lock, and this is a callback of the list" },
	{ ENOENT, "mirror_set_range", "the mirror is not registered, or is being unregistered" },
	{ EINVAL, "mirror_set_range", "no mirror, no range, or the mirror subscribes to the whole list" },
	{ ESHUTDOWN, "mirror_set_range", "the list was released" },
	{ EDEADLK, "mirror_set_range", "the list's sync is a lock, and this is a callback of the list" },
	{ EINVAL, "mirror_unregister_async", "no mirror, or no done()" },
	{ EDEADLK, "mirror_unregister_async", "the list's sync is a lock, and this is a callback of the list" },
	{ EINVAL, "mirror_unregister", "no mirror" },
	{ ENOENT, "mirror_unregister", "the mirror was never registered" },
	{ EALREADY, "mirror_unregister", "the mirror is unregistered, or another call is at it" },
	{ EDEADLK, "mirror_unregister", "the wait would never end: this is a callback of the mirror, or callbacks would "
					"wait for each other" },
	{ ETIMEDOUT, "mirror_unregister", "a callback of the mirror still runs: the mirror may not be freed, call again" },
	{ EDEADLK, "mirror_barrier", "it is called in a callback or a done() of the list" },
	{ EAGAIN, "mirror_invalidate_range", "the range is not blockable, and a mirror refused, or the sync would wait" },
	{ EINVAL, "mirror_invalidate_range", "no list, no range, an unknown flag, or a range that is open already" },
	{ ELOOP, "mirror_invalidate_range", "too many brackets within callbacks of brackets, in this thread" },
	{ EINVAL, "mirror_visit", "no list, no range, or nothing to call" },
	{ ELOOP, "mirror_visit", "too many walks within callbacks, in this thread" },
	{ EINVAL, "mirror_read_begin", "no mirror, or no place for the number" },
	{ ENOENT, "mirror_read_begin", "the mirror is not registered, or an unregister has stopped its callbacks" },
	{ ETIMEDOUT, "mirror_read_begin", "a bracket over the mirror is still open" },
	{ EDEADLK, "mirror_read_begin", "this thread is in a section, and had no memory for counters of its own" },
	{ EINVAL, "", "an argument is NULL, or not as the call wants it" },
	{ ENOMEM, "", "no memory: nothing was changed" },
	{ EPERM, "", "the sync refused this thread, or the system refuses membarrier(2)" },
	{ ENOSYS, "", "the system refuses membarrier(2)" },
};

static bool begins_with(const char *text, const char *beginning)
{
	while (*beginning)
		if (*text++ != *beginning++)
			return false;
	return true;
}

const char *mirror_strerror(int error, const char *call)
{
	if (error == 0)
		return "success";
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].error == -error && begins_with(call ? call : "", meanings[i].call))
			return meanings[i].text;
	return "an error of the sync or of the system";
}
