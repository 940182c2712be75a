/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Names are looked up for each invalidation; a cache by process and address keeps that cheap. */
#include "totals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"
#include "publishers/watch_ring.h"

enum { CACHE = 4096 };

/* Where the caller's total is, by process and address. */
static struct {
	uint32_t pid;
	uint64_t address;
	size_t place;
} callers[CACHE];

static size_t place_of(struct table *table, const char *name)
{
	for (size_t i = 0; i < table->nr; i++)
		if (strcmp(table->totals[i].name, name) == 0)
			return i;
	if (table->nr == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->totals = realloc(table->totals, table->room * sizeof(*table->totals));
	}
	if (table->totals) {
		table->totals[table->nr] = (struct total){ .name = strdup(name) };
		if (table->totals[table->nr].name)
			return table->nr++;
	}
	fputs("mirror-watch: out of memory\n", stderr);
	exit(125);
}

static struct total *total_of(struct table *table, const char *name)
{
	size_t place = place_of(table, name);

	return &table->totals[place];
}

static void count(struct total *t, const struct watch_record *r)
{
	t->nr++;
	t->bytes += r->end - r->start;
	t->call_ns += r->call_ns;
	t->callbacks_ns += r->callbacks_ns;
	if (r->callbacks_ns > t->longest_ns)
		t->longest_ns = r->callbacks_ns;
}

/* Sorting moves totals, so that the cache is for the time between two sorts. */
static struct total *caller_of(struct totals *t, const struct watch_record *r)
{
	size_t at = (r->caller ^ r->pid) % CACHE;

	if (callers[at].pid != r->pid || callers[at].address != r->caller) {
		callers[at].pid = r->pid;
		callers[at].address = r->caller;
		callers[at].place = place_of(&t->callers, places_caller(r->pid, r->caller));
	}
	return &t->callers.totals[callers[at].place];
}

/* The heap grows after its process's mappings have been read. */
static const char *mapping_of(const struct watch_record *r)
{
	return strstr(r->name, "brk") ? "[heap]" : places_mapping(r->pid, r->start);
}

static void note_late(struct totals *t, const struct watch_record *r)
{
	t->nr_late++;
	if (r->callbacks_ns <= t->latest_ns)
		return;
	t->latest_ns = r->callbacks_ns;
	snprintf(t->latest, sizeof(t->latest), "%.3f ms around %s of %s, in thread %" PRIu32 " of process %" PRIu32
		 ", called by %s",
		 (double)r->callbacks_ns / 1e6, r->name, mapping_of(r), r->tid, r->pid,
		 places_caller(r->pid, r->caller));
}

/* One that still runs is told of again when it has returned. */
static void count_late(struct total *t, const struct watch_record *r)
{
	bool has_returned = r->result;

	if (r->callbacks_ns > t->longest_ns)
		t->longest_ns = r->callbacks_ns;
	t->nr += has_returned;
	t->callbacks_ns += has_returned ? r->callbacks_ns : 0;
}

static void add_late(struct totals *t, const struct watch_record *r)
{
	char name[320];

	snprintf(name, sizeof(name), "%s: %s", r->name, places_function(r->pid, r->caller));
	count_late(total_of(&t->late, name), r);
}

void totals_add(struct totals *t, const struct watch_record *r)
{
	if (r->kind == WATCH_LATE) {
		add_late(t, r);
		return;
	}
	t->nr_calls++;
	t->nr_failed += r->error != 0;
	if (!r->is_invalidation)
		return;
	t->nr_invalidations++;
	count(total_of(&t->kinds, r->name), r);
	count(total_of(&t->mappings, mapping_of(r)), r);
	count(caller_of(t, r), r);
	if (r->callbacks_ns > t->late_ns)
		note_late(t, r);
}

static int most_first(const void *a, const void *b)
{
	uint64_t x = ((const struct total *)a)->nr, y = ((const struct total *)b)->nr;

	return x < y ? 1 : x > y ? -1 : strcmp(((const struct total *)a)->name, ((const struct total *)b)->name);
}

const struct total *table_sorted(struct table *table)
{
	memset(callers, 0, sizeof(callers));
	if (table->nr)
		qsort(table->totals, table->nr, sizeof(*table->totals), most_first);
	return table->totals;
}

/* ---- text ---- */

static void print_bytes(char *text, size_t room, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	for (; value >= 1024 && unit < 4; unit++)
		value /= 1024;
	snprintf(text, room, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void print_rest(const struct table *table, size_t rows, void (*line)(const char *text, bool is_title))
{
	char text[64];

	if (table->nr <= rows)
		return;
	snprintf(text, sizeof(text), "... and %zu more", table->nr - rows);
	line(text, false);
}

static void print_table(struct table *table, const char *title, double seconds, size_t rows,
			void (*line)(const char *text, bool is_title))
{
	const struct total *totals = table_sorted(table);
	char text[256], bytes[32];

	line("", false);
	snprintf(text, sizeof(text), "%-44s %9s %9s %11s %9s %9s", title, "number", "per s", "bytes", "call us", "callb. us");
	line(text, true);
	for (size_t i = 0; i < table->nr && i < rows; i++) {
		const struct total *t = &totals[i];

		print_bytes(bytes, sizeof(bytes), t->bytes);
		snprintf(text, sizeof(text), "%-44.44s %9" PRIu64 " %9.0f %11s %9.2f %9.2f", t->name, t->nr,
			 (double)t->nr / seconds, bytes, (double)t->call_ns / 1e3 / (double)t->nr,
			 (double)t->callbacks_ns / 1e3 / (double)t->nr);
		line(text, false);
	}
	print_rest(table, rows, line);
}

static void print_late(struct table *late, size_t rows, void (*line)(const char *text, bool is_title))
{
	const struct total *totals = table_sorted(late);
	char text[256];

	if (!late->nr)
		return;
	snprintf(text, sizeof(text), "%-44s %9s %9s %11s", "late callbacks", "number", "all ms", "longest ms");
	line(text, true);
	for (size_t i = 0; i < late->nr && i < rows; i++) {
		snprintf(text, sizeof(text), "%-44.44s %9" PRIu64 " %9.3f %11.3f", totals[i].name, totals[i].nr,
			 (double)totals[i].callbacks_ns / 1e6, (double)totals[i].longest_ns / 1e6);
		line(text, false);
	}
	print_rest(late, rows, line);
}

void totals_print(struct totals *t, double seconds, size_t rows, void (*line)(const char *text, bool is_title))
{
	char text[512];

	if (seconds <= 0)
		seconds = 1e-9;
	snprintf(text, sizeof(text),
		 "%" PRIu64 " invalidations in %.2f s, of %" PRIu64 " calls, %" PRIu64 " failed; processes: %" PRIu32,
		 t->nr_invalidations, seconds, t->nr_calls, t->nr_failed, t->nr_processes);
	line(text, false);
	print_table(&t->kinds, "by call", seconds, rows, line);
	print_table(&t->mappings, "by mapping", seconds, rows, line);
	print_table(&t->callers, "by caller", seconds, rows, line);
	line("", false);
	snprintf(text, sizeof(text), "late: %" PRIu64 " calls whose callbacks took longer than %.3f ms%s%s", t->nr_late,
		 (double)t->late_ns / 1e6, t->latest[0] ? "; the worst: " : "", t->latest);
	line(text, false);
	print_late(&t->late, rows, line);
	if (t->nr_lost) {
		snprintf(text, sizeof(text), "lost: %" PRIu64 " records", t->nr_lost);
		line(text, false);
	}
}
