/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * bulk: what does it cost to unregister many mirrors?
 *
 * One thread goes in circles: it registers mirrors and unregisters ten singly, 1000 in one
 * call, and 1000 asynchronously with one barrier at the end.  All register the whole list, and no callback runs
 * long.  Publishers, one fewer than CPUs, are idle or repeat brackets over the list.  Times are
 * medians over the circles; a circle that begins in the measured part counts.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "../measure/histogram.h"
#include "../measure/topology.h"
#include "question.h"

enum { NR_SINGLE = 10, NR_MANY = 1000 };

struct bulk {
	struct mirror mirrors[NR_MANY], *pointers[NR_MANY];
	struct mirror_list *list;
	/* Written by thread 0; each value is of a whole group. */
	struct histogram registers, ten, many, async;
	uint64_t nr_circles;
	int error;
};

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

static void done(struct mirror *m)
{
	(void)m;
}

static int fill(struct bulk *bulk, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++)
		err = mirror_register(bulk->list, &bulk->mirrors[i], &ops);
	return err;
}

static int leave_singly(struct bulk *bulk)
{
	int err = 0;

	for (unsigned i = 0; i < NR_SINGLE && !err; i++)
		err = mirror_unregister(&bulk->mirrors[i]);
	return err;
}

static int leave_together(struct bulk *bulk)
{
	return mirror_unregister_many(bulk->pointers, NR_MANY);
}

static int leave_asynchronously(struct bulk *bulk)
{
	int err = 0;

	for (unsigned i = 0; i < NR_MANY && !err; i++)
		err = mirror_unregister_async(&bulk->mirrors[i], done);
	return err ? err : mirror_barrier(bulk->list);
}

static void part(struct bulk *bulk, unsigned n, int (*leave)(struct bulk *bulk), struct histogram *latency,
		 bool measured)
{
	uint64_t begun = bench_now_ns(), registered;
	int err = fill(bulk, n);

	registered = bench_now_ns();
	if (!err)
		err = leave(bulk);
	if (err)
		bulk->error = err;
	if (!measured)
		return;
	histogram_add(latency, bench_now_ns() - registered);
	if (n == NR_MANY)
		histogram_add(&bulk->registers, registered - begun);
}

static void operation(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct bulk *bulk = m->arg;
	struct mirror_range range = { .start = index * 4096ull, .flags = MIRROR_RANGE_BLOCKABLE };

	range.end = range.start + 4096;
	if (index > 0) {
		if (mirror_invalidate_range_start(bulk->list, &range) == 0)
			mirror_invalidate_range_end(bulk->list, &range);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		part(bulk, NR_SINGLE, leave_singly, &bulk->ten, measured);
		part(bulk, NR_MANY, leave_together, &bulk->many, measured);
		part(bulk, NR_MANY, leave_asynchronously, &bulk->async, measured);
	}
}

static void results(const struct bulk *bulk, json_t *metrics)
{
	double ten = (double)histogram_quantile(&bulk->ten, 0.5);
	double many = (double)histogram_quantile(&bulk->many, 0.5);
	double async = (double)histogram_quantile(&bulk->async, 0.5);

	json_object_set_new(metrics, "ten_singly_ns", json_real(ten));
	json_object_set_new(metrics, "thousand_together_ns", json_real(many));
	json_object_set_new(metrics, "together_in_singles", json_real(many / (ten / NR_SINGLE)));
	json_object_set_new(metrics, "async_per_s", json_real(NR_MANY * 1e9 / async));
	json_object_set_new(metrics, "register_ns",
			    json_real((double)histogram_quantile(&bulk->registers, 0.5) / NR_MANY));
	json_object_set_new(metrics, "circles", json_integer((json_int_t)bulk->many.total));
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct bulk *bulk = calloc(1, sizeof(*bulk));
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers + 1,
		.operation = operation,
		.batch = 1,
		.arg = bulk,
	};
	int err;

	if (!bulk)
		return -ENOMEM;
	for (unsigned i = 0; i < NR_MANY; i++)
		bulk->pointers[i] = &bulk->mirrors[i];
	err = bench_list_create(&bulk->list, comparator);
	if (err)
		goto out;
	err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = bulk->error;
	if (!err && bulk->async.total > 0)
		results(bulk, metrics);
	mirror_list_destroy(bulk->list);
	free(m.threads);
out:
	free(bulk);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.mirrors = BENCH_UNUSED,
		.warmup_ns = 10 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 4 * NS_PER_S, 2 * bench_nr_comparators_of(config, &question_bulk),
					      200 * NS_PER_MS),
	};
	int err;

	c.expected_ns = c.warmup_ns + c.duration_ns + 5 * NS_PER_MS;
	err = bench_plan_add(plan_, &question_bulk, &c);
	if (err)
		return err;
	c.publishers = places > 1 ? (int)places - 1 : 1;
	return bench_plan_add(plan_, &question_bulk, &c);
}

static const struct bench_comparator *const comparators[] = {
	&comparator_srcu,
	&comparator_srcu_full_fence,
	&comparator_srcu_domain,
#ifdef HAVE_URCU
	&comparator_urcu_memb,
#endif
	&comparator_rwsem,
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Many at once", .columns = {
		COLUMN(NS, "10\nsingly", "ten_singly_ns"),
		COLUMN(NS, "1000\ntogether", "thousand_together_ns"),
		COLUMN(NUMBER, "1000 together\nin singles", "together_in_singles"),
		COLUMN(RATE, "async\nM/s", "async_per_s"),
		COLUMN(NS, "a register", "register_ns"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "unregistering",
	.marks = { { "ten_singly_ns", "10 singly" }, { "thousand_together_ns", "1000 together" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "srcu", .metric = "together_in_singles", .bound = 10,
	  .words = "1000 unregisters in one call, relative to a single one" },
	{ .cases = "publishers=0", .comparator = "srcu", .metric = "async_per_s", .bound = 1e6,
	  .at_least = true, .unit = GOAL_PER_S, .words = "asynchronous unregisters with publishers idle" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "bulk",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_bulk = {
	.report = &report,
	.title = "What does it cost to unregister many mirrors?",
	.how_to_read =
		"One thread registers mirrors and unregisters ten of them singly, 1000 in one call, and 1000 "
		"asynchronously with one barrier at the end. 'in singles' is how many single unregisters the call for 1000 "
		"takes as long as; less is better, but it also rises where single ones get faster. With publishers=0 nobody "
		"publishes; else the other CPUs publish to the list without a pause, and so call up to 1000 mirrors each time.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
