/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The part of the log-linear histogram that is not measured; histogram.h describes it. */
#include "histogram.h"

#include <stdio.h>

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->counts[i] += from->counts[i];
	into->total += from->total;
	if (from->max > into->max)
		into->max = from->max;
}

/* The largest value that falls into the bucket. */
static uint64_t upper_edge(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * HISTOGRAM_SUB)
		return bucket;
	shift = bucket / HISTOGRAM_SUB - 1;
	return (((uint64_t)bucket - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank, seen = 0;

	if (h->total == 0)
		return 0;
	rank = (uint64_t)(q * (double)h->total);
	if (rank >= h->total)
		rank = h->total - 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen > rank)
			return upper_edge(i) < h->max ? upper_edge(i) : h->max;
	}
	return h->max;
}

void histogram_to_metrics(const struct histogram *h, const char *prefix, json_t *metrics)
{
	static const struct { const char *name; double q; } quantiles[] = {
		{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99_9", 0.999 },
	};
	char name[64];

	if (h->total == 0)
		return;
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		snprintf(name, sizeof(name), "%s_%s_ns", prefix, quantiles[i].name);
		json_object_set_new(metrics, name,
				    json_integer((json_int_t)histogram_quantile(h, quantiles[i].q)));
	}
	snprintf(name, sizeof(name), "%s_max_ns", prefix);
	json_object_set_new(metrics, name, json_integer((json_int_t)h->max));
}
