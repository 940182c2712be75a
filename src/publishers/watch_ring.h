/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What libmirror-preload tells mirror-watch: records in a file that both map, one ring for all processes of a command
 *
 * A writer takes the next number, waits until the reader is no further behind than the ring is long, fills the record
 * and marks it with its number.  The reader takes records in order.  A writer that waits in vain for a second declares
 * the reader gone, and nobody writes any more: the command goes on.
 */
#ifndef WATCH_RING_H
#define WATCH_RING_H

#include "../port.h"

#define WATCH_VARIABLE "MIRROR_WATCH"   /* in the environment: the file */

enum { WATCH_RECORDS = 1 << 16, WATCH_MAGIC = 0x6d775231 };

/* Kinds beyond enum preload_kind. */
enum { WATCH_BEGINS = 100, WATCH_FORKS, WATCH_ENDS, WATCH_LATE };

struct watch_record {
	uint64_t ready;         /* the record's number + 1, when the rest is there */
	uint64_t entered_ns;            /* CLOCK_MONOTONIC */
	uint64_t call_ns;               /* the call itself */
	uint64_t callbacks_ns;          /* all mirrors of this process, before and after it; WATCH_LATE: one callback */
	uint32_t pid, tid;
	uint16_t kind, is_invalidation;
	int32_t error;
	uint64_t caller;                /* WATCH_LATE: the callback */
	uint64_t result;                /* WATCH_LATE: whether the callback has returned */
	uint64_t args[4];
	uint64_t start, end;            /* of the first range that it changes */
	char name[16];                  /* of the call; WATCH_LATE: of the callback */
};

struct watch_ring {
	uint32_t magic;
	uint32_t is_gone;       /* the reader: write no more */
	uint32_t nr_processes;  /* that have found the file */
	uint64_t late_ns;       /* callbacks that take longer are late */
	uint64_t head, tail;    /* next number to write, and to read */
	struct watch_record records[WATCH_RECORDS];
};

#endif /* WATCH_RING_H */
