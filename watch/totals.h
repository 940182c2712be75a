/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Sums over all records: by kind, by mapping, by caller; the calls whose callbacks were late, and these callbacks. */
#ifndef WATCH_TOTALS_H
#define WATCH_TOTALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_record;

/** struct total - what one kind, mapping, caller or late callback comes to */
struct total {
	char *name;
	uint64_t nr;                    /* invalidations; of a late callback: how often it was late */
	uint64_t bytes;
	uint64_t call_ns, callbacks_ns, longest_ns; /* the longest callbacks of one call */
};

/** struct table - totals by name */
struct table {
	struct total *totals;
	size_t nr, room;
};

struct totals {
	struct table kinds, mappings, callers, late;
	uint64_t nr_calls;              /* with those that invalidate nothing */
	uint64_t nr_failed;
	uint64_t nr_invalidations;
	uint64_t nr_late;
	uint64_t late_ns;               /* callbacks that take longer are late */
	char latest[256];               /* the worst of them, for a person; "" */
	uint64_t latest_ns;
	uint32_t nr_processes;
	uint64_t nr_lost;               /* records whose writer did not come to write them */
};

void totals_add(struct totals *t, const struct watch_record *r);

/** table_sorted - the totals of a table, most first; the table's own order changes */
const struct total *table_sorted(struct table *table);

/** totals_print - a summary of text, line by line, at most @rows of each table */
void totals_print(struct totals *t, double seconds, size_t rows, void (*line)(const char *text, bool is_title));

#endif /* WATCH_TOTALS_H */
