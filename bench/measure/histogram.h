/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A log-linear histogram of nanoseconds
 *
 * Each power of two is cut into 32 equal buckets, so that a bucket is at most 1/32 (3.1%) of its
 * values wide, from 1 ns to centuries, in 15 KiB.  A percentile is the upper edge of the bucket that
 * holds its rank, never less than the true value and at most 3.2% more; the largest value is exact.
 * HdrHistogram_c does the same, but is not packaged for Debian 12.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <jansson.h>
#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 5,
	HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

/** struct histogram - zero it to start; each thread fills its own */
struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t max;
};

static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->counts[histogram_bucket(value)]++;
	h->total++;
	if (value > h->max)
		h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/** histogram_quantile - @q from 0 to 1; 0 if there are no values */
uint64_t histogram_quantile(const struct histogram *h, double q);

/** histogram_to_metrics - PREFIX_p50_ns, _p90_ns, _p99_ns, _p99_9_ns, _max_ns; nothing when empty */
void histogram_to_metrics(const struct histogram *h, const char *prefix, json_t *metrics);

#endif /* BENCH_HISTOGRAM_H */
