/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * throughput: how many invalidations a second, by publishers and mirrors?
 *
 * Each publisher repeats a bracket, start and end, over its own page, without a change between
 * the two.  Every mirror covers everything.  A callback counts into a variable of its thread, so
 * that the records show how often it ran; it touches no line that another thread touches, since
 * that would measure the counter and not the list.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "../measure/spin.h"
#include "question.h"

struct object {
	struct mirror mirror;
} __attribute__((__aligned__(64)));

static _Thread_local uint64_t nr_callbacks;
/* Of all threads, each adding once per batch: a share of a nanosecond per bracket. */
static _Atomic uint64_t nr_callbacks_measured;

/* Set before a run, and read alone during it. */
static uint64_t callback_turns;

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
	return 0;
}

static int on_start_work(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
	spin(callback_turns);
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_callbacks++;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static const struct mirror_ops ops_that_work = {
	.size = sizeof(ops_that_work),
	.invalidate_range_start = on_start_work,
	.invalidate_range_end = on_end,
};

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct mirror_list *list = m->arg;
	struct mirror_range range = {
		.start = ((uint64_t)index + 1) << 20,
		.end = (((uint64_t)index + 1) << 20) + 4096,
		.flags = MIRROR_RANGE_BLOCKABLE,
	};

	nr_callbacks = 0;
	for (unsigned i = 0; i < n; i++) {
		if (mirror_invalidate_range_start(list, &range) == 0)
			mirror_invalidate_range_end(list, &range);
		bench_quiescent(m->comparator);
	}
	if (measured)
		atomic_fetch_add_explicit(&nr_callbacks_measured, nr_callbacks, memory_order_relaxed);
}

/* The more the callbacks take the fewer, so that the end of the measured part is seen soon. */
static unsigned batch_of(const struct bench_case *c)
{
	uint64_t bracket_ns = (uint64_t)c->callback_ns * (unsigned)c->mirrors;
	unsigned most = c->mirrors >= 64 ? 64 : 256, batch;

	if (bracket_ns == 0)
		return most;
	batch = (unsigned)(50 * NS_PER_US / bracket_ns) + 1;
	return batch < most ? batch : most;
}

static int measure(const struct bench_case *c, const struct bench_comparator *comparator,
		   struct mirror_list *list, json_t *metrics)
{
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers,
		.operation = operation,
		.batch = batch_of(c),
		.arg = list,
	};
	uint64_t total = 0;
	double rate;
	int err;

	atomic_store(&nr_callbacks_measured, 0);
	callback_turns = spin_turns_of((uint64_t)c->callback_ns);
	err = measure_run(&m);
	if (!err) {
		rate = measure_rate(&m, 0);
		for (unsigned i = 0; i < m.nr_threads; i++)
			total += m.threads[i].operations;
		json_object_set_new(metrics, "invalidations_per_s", json_real(rate));
		json_object_set_new(metrics, "ns_per_invalidation", json_real(1e9 * c->publishers / rate));
		json_object_set_new(metrics, "callbacks_per_invalidation",
				    json_real((double)atomic_load(&nr_callbacks_measured) / (double)total));
		if (c->callback_ns)
			json_object_set_new(metrics, "callback_measured_ns", json_real(spin_measured_ns(callback_turns)));
	}
	if (err != -ETIMEDOUT)
		free(m.threads);
	return err;
}

int throughput_run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct object *objects = aligned_alloc(64, (size_t)c->mirrors * sizeof(*objects));
	struct mirror_list *list;
	int err;

	if (!objects)
		return -ENOMEM;
	err = bench_list_create(&list, comparator);
	if (err)
		goto out;
	for (int i = 0; i < c->mirrors && !err; i++)
		err = mirror_register(list, &objects[i].mirror, c->callback_ns ? &ops_that_work : &ops);
	if (!err)
		err = measure(c, comparator, list, metrics);
	/* A thread that hangs still uses all of it. */
	if (err == -ETIMEDOUT)
		return err;
	for (int i = 0; i < c->mirrors; i++)
		mirror_unregister(&objects[i].mirror);
	mirror_list_destroy(list);
out:
	free(objects);
	return err;
}

uint64_t throughput_share_ns(const struct bench_config *config)
{
	unsigned nr_cases = 0;

	for (int i = 0; config->publishers[i]; i++)
		for (int j = 0; config->mirrors[j]; j++)
			nr_cases++;
	return bench_share_ns(config, 40 * NS_PER_S, nr_cases * bench_nr_comparators(config), 250 * NS_PER_MS);
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = { .warmup_ns = 20 * NS_PER_MS };
	int err;

	c.duration_ns = throughput_share_ns(config);
	c.expected_ns = c.warmup_ns + c.duration_ns + 2 * NS_PER_MS;
	for (int i = 0; config->publishers[i]; i++) {
		for (int j = 0; config->mirrors[j]; j++) {
			c.publishers = config->publishers[i];
			c.mirrors = config->mirrors[j];
			err = bench_plan_add(plan_, &question_throughput, &c);
			if (err)
				return err;
		}
	}
	return 0;
}

const struct bench_question question_throughput = {
	.name = "throughput",
	.title = "How many invalidations a second?",
	.how_to_read =
		"Each publisher repeats a bracket (start and end) over its own page; every mirror covers "
		"everything, and its two callbacks count into a variable of their thread. More is better. "
		"'none' is the same walk without any synchronisation: no sync can beat it by more than noise. "
		"With one publisher the figure shows the cost of the sync itself; with more it shows what "
		"publishers do to each other through a lock's shared cache line. The table that is marked as a projection "
		"fits the Universal Scalability Law, X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1)), to each repeat: "
		"it is arithmetic and no measurement, as good as the few points under it, which noise moves more than many "
		"CPUs would forgive. What decides scale is counted exactly below.",
	.plan = plan,
	.run = throughput_run,
};
