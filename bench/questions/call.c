/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * call: how fast are objects retired, and how much memory waits meanwhile?
 *
 * Each thread allocates objects of 64 bytes and hands them to the deferred call as fast as it goes;
 * each is freed by its callback.  What is held back is what has been handed over and is not yet
 * freed, looked at every 64 calls.  Two rates: that of the calls while they last, and that of
 * objects freed, which counts until the last is.  A library that only collects is fast by the first.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/primitives.h"
#include "../measure/topology.h"
#include "question.h"

struct caller {
	atomic_ullong nr_called;
	uint64_t most_held;
} __attribute__((__aligned__(64)));

struct calls {
	const struct primitive *primitive;
	unsigned nr_callers;
	struct caller *callers;
	_Atomic uint64_t begun_ns;      /* the first call */
};

static uint64_t nr_called(const struct calls *calls)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < calls->nr_callers; i++)
		all += atomic_load_explicit(&calls->callers[i].nr_called, memory_order_relaxed);
	return all;
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct calls *calls = m->arg;
	struct caller *me = &calls->callers[index];
	uint64_t zero = 0, all, freed;

	(void)measured;
	if (atomic_load_explicit(&calls->begun_ns, memory_order_relaxed) == 0)
		atomic_compare_exchange_strong(&calls->begun_ns, &zero, bench_now_ns());
	for (unsigned i = 0; i < n; i++) {
		struct retired *object = malloc(sizeof(*object));

		if (!object)
			return;
		calls->primitive->call(object);
	}
	atomic_fetch_add_explicit(&me->nr_called, n, memory_order_relaxed);
	/* Freed first: what others call meanwhile counts as held, never the reverse. */
	freed = atomic_load_explicit(&primitive_nr_freed, memory_order_acquire);
	all = nr_called(calls);
	if (all > freed && all - freed > me->most_held)
		me->most_held = all - freed;
	if (calls->primitive->housekeeping)
		calls->primitive->housekeeping();
}

static void results(struct calls *calls, const struct measure *m, uint64_t took_ns, json_t *metrics)
{
	uint64_t most = 0, all = nr_called(calls);

	for (unsigned i = 0; i < calls->nr_callers; i++)
		most = calls->callers[i].most_held > most ? calls->callers[i].most_held : most;
	json_object_set_new(metrics, "calls_per_s", json_real(measure_rate(m, 0)));
	json_object_set_new(metrics, "freed_per_s", json_real((double)all * 1e9 / (double)took_ns));
	json_object_set_new(metrics, "most_held_objects", json_integer((json_int_t)most));
	json_object_set_new(metrics, "most_held_bytes", json_integer((json_int_t)(most * sizeof(struct retired))));
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct calls calls = { .primitive = comparator->own, .nr_callers = (unsigned)c->threads };
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = calls.nr_callers,
		.operation = operation,
		.batch = 64,
		.arg = &calls,
	};
	int err;

	calls.callers = aligned_alloc(64, calls.nr_callers * sizeof(calls.callers[0]));
	if (!calls.callers)
		return -ENOMEM;
	memset(calls.callers, 0, calls.nr_callers * sizeof(calls.callers[0]));
	atomic_store(&primitive_nr_freed, 0);
	err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	calls.primitive->barrier();
	if (!err)
		results(&calls, &m, bench_now_ns() - atomic_load(&calls.begun_ns), metrics);
	free(m.threads);
	free(calls.callers);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.threads = 1,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 3 * NS_PER_S,
					      2 * bench_nr_comparators_of(config, &question_call), 100 * NS_PER_MS),
	};
	int err;

	/* What was only collected is freed later. */
	c.expected_ns = c.warmup_ns + 2 * c.duration_ns;
	err = bench_plan_add(plan_, &question_call, &c);
	if (err || places == 1 || !config->full)
		return err;
	c.threads = (int)places;
	return bench_plan_add(plan_, &question_call, &c);
}

static const struct bench_comparator *const comparators[] = {
	&primitive_usrcu_worker,
	&primitive_usrcu_poll,
#ifdef HAVE_URCU
	&primitive_urcu_memb,
	&primitive_urcu_bp,
#endif
#ifdef HAVE_CK
	&primitive_ck_epoch,
#endif
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Deferred calls", .columns = {
		COLUMN(RATE, "calls\nM/s", "calls_per_s"),
		COLUMN(RATE, "freed\nM/s", "freed_per_s"),
		RATIO_COLUMN("freed\n/urcu-memb", "freed_per_s", "urcu-memb"),
		COLUMN(NUMBER, "objects\nheld", "most_held_objects"),
		COLUMN(BYTES, "held", "most_held_bytes"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "objects freed",
	.marks = { { "freed_per_s", "" } },
};

static const struct report_question report = {
	.name = "call",
	.tables = tables,
	.figure = &figure,
};

const struct bench_question question_call = {
	.report = &report,
	.title = "How fast are objects retired, and how much memory waits meanwhile?",
	.how_to_read =
		"A thread allocates objects of 64 bytes and hands each to the library's deferred call, which frees it "
		"after a grace period. 'calls' counts what is handed over while it lasts, 'freed' counts until the last "
		"is freed: a library that only collects is fast by the first alone. 'held' is the most that was handed "
		"over and not yet freed. In the worker's, and liburcu's, another thread frees; with poll, and ck, the "
		"caller does. More calls are better, less held is better.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
