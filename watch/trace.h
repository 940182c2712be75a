/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The records as a trace that mirror-bench replays; the format stands in bench/measure/trace.h. */
#ifndef WATCH_TRACE_H
#define WATCH_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct watch_record;

/** trace_add - keep what the trace needs of @r */
void trace_add(const struct watch_record *r);

/**
 * trace_write - write the trace of all records
 * @command: its words, up to NULL
 * @status:  of the command, as waitpid gives it
 * Return:   false, and errno: it could not be written
 */
bool trace_write(FILE *file, char *const *command, int status, uint64_t nr_lost);

#endif /* WATCH_TRACE_H */
