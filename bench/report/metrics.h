/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the name of a metric and of a case says
 *
 * A metric's name holds its unit: ..._ns, ns_per_..., ..._per_s, ..._bytes, bytes_...; what has none of them is a
 * plain number.  Tables, figures and diff go by it, so that a new question needs no code of theirs.
 */
#ifndef BENCH_METRICS_H
#define BENCH_METRICS_H

#include <jansson.h>
#include <stddef.h>

enum metric_kind { METRIC_NS, METRIC_PER_S, METRIC_BYTES, METRIC_NUMBER };

enum metric_kind metric_kind(const char *metric);

/**
 * metric_better - 1: more is better; -1: less is; 0: neither is known, or it is the noisiest of its kind (max)
 * @less_is_better: the plain numbers of the question of which less is better, ending with NULL; or NULL
 */
int metric_better(const char *metric, const char *const *less_is_better);

/** metric_words - "unregister_p99_9_ns" as "unregister p99.9", into @text, which it returns */
const char *metric_words(const char *metric, char *text, size_t size);

/** case_words - "scene=list,publishers=1" as "list, 1 publisher", into @text, which it returns; "-" gives "" */
const char *case_words(const char *case_name, char *text, size_t size);

enum { METRICS_MAX = 64 };

/** summary_metrics - names of metrics that are numbers, as the records have them; returns how many, METRICS_MAX at most */
size_t summary_metrics(const json_t *results, const char *question, const char *case_name, const char **names);

#endif /* BENCH_METRICS_H */
