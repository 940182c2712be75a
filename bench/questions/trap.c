/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * trap: how long do publishers wait while one callback takes 10 ms and an unregister waits?
 *
 * Where a waiting writer makes later readers wait, one slow callback and one unregister of quite
 * another mirror stop every publisher.  Rounds of three roles:
 *
 *   slow       publishes to one mirror whose callback takes 10 ms; it sleeps, for it stands for a
 *              device that answers late
 *   leaver     once that callback runs, unregisters another mirror, which no thread publishes to
 *   publishers (one fewer than CPUs) look for a sign that the unregister waits (witness.h), and from
 *              then until the slow callback is over have an invalidation due every 20 us
 *
 * The load is open: latency counts from the time at which an invalidation was due, and what fell due
 * while the publisher was stuck is made up for and counted with its wait, so that nothing is
 * hidden by waiting (coordinated omission).  The time from the actual start is kept beside it.  One
 * preemption of the publisher makes hundreds of invalidations late; so the worst latency of
 * each round is kept too, and the median over rounds says what a round is like in which the machine
 * did nothing else.
 *
 * 'bare' and 'no-sync' have no unregister, since their lists may not change: they show the machine's own noise.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../measure/histogram.h"
#include "../measure/topology.h"
#include "../measure/witness.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

enum { NR_MIRRORS = 16 };

static const uint64_t slow_ns = 10 * NS_PER_MS;
static const uint64_t due_every_ns = 20 * NS_PER_US;
/* Far beyond the 25 us that a writer spins, and far within the callback. */
static const uint64_t sign_limit_ns = 2 * NS_PER_MS;

struct publisher {
	struct histogram latency, service;
	struct histogram worst;         /* one value a round: its worst latency */
};

struct trap {
	struct bench_mirror slow, leaver, fast[NR_MIRRORS];
	struct bench_list list;
	unsigned nr_publishers;
	int nr_rounds;
	bool frozen;
	pthread_barrier_t round_line;
	atomic_bool stop;               /* set by thread 0 before the line, read by all behind it */
	atomic_int in_callback;         /* the round whose slow callback has begun */
	atomic_int callback_over;       /* the round whose slow callback has ended */
	_Atomic uint64_t over_ns;       /* when it ended; written before callback_over */
	struct witness witness;
	struct publisher *publishers;
	struct histogram unregister;
	const char *sign;               /* the last one, by publisher 0 */
	atomic_int error;
};

static const struct mirror_range slow_range = { .start = 0, .end = 4096, .flags = MIRROR_RANGE_BLOCKABLE };
static const uint64_t leaver_start = 1 << 16;
static const uint64_t fast_start = 1 << 20, fast_end = 1 << 30;

/* The slow publisher hands over the trap and the round. */
struct slow_work {
	struct trap *trap;
	int round;
};

static int slow_callback(struct mirror *m, const struct mirror_range *r)
{
	const struct slow_work *work = r->data;
	uint64_t until = bench_now_ns() + slow_ns;
	struct timespec ts = { .tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S) };

	(void)m;
	/* A bare loop compares no ranges, and calls this for the other publishers too. */
	if (!work)
		return 0;
	atomic_store(&work->trap->in_callback, work->round);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	atomic_store(&work->trap->over_ns, bench_now_ns());
	atomic_store(&work->trap->callback_over, work->round);
	return 0;
}

static int fast_callback(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops slow_ops = { .size = sizeof(slow_ops), .invalidate_range_start = slow_callback };
static const struct mirror_ops fast_ops = { .size = sizeof(fast_ops), .invalidate_range_start = fast_callback };

static void slow_round(struct trap *trap, int round)
{
	struct slow_work work = { trap, round };
	struct mirror_range range = slow_range;

	range.data = &work;
	if (bench_start(&trap->list, &range) == 0)
		bench_end(&trap->list, &range);
	else
		atomic_store(&trap->error, EIO);
}

static void leaver_round(struct trap *trap, int round)
{
	uint64_t begun;
	int err = 0;

	crew_wait(&trap->in_callback, round);
	witness_enter(&trap->witness, round);
	begun = bench_now_ns();
	if (!trap->frozen)
		err = bench_unregister(&trap->list, &trap->leaver);
	histogram_add(&trap->unregister, bench_now_ns() - begun);
	witness_leave(&trap->witness, round);
	if (!trap->frozen && !err)
		err = bench_register_range(&trap->list, &trap->leaver, &fast_ops, leaver_start,
					    leaver_start + 4096);
	if (err)
		atomic_store(&trap->error, -err);
}

static bool window_is_over(struct trap *trap, int round, uint64_t due)
{
	return atomic_load(&trap->callback_over) >= round && due >= atomic_load(&trap->over_ns);
}

/* What probe brackets. */
struct probed {
	const struct bench_list *list;
	struct mirror_range *range;
};

static int probe(void *arg)
{
	const struct probed *probed = arg;
	int err = bench_start(probed->list, probed->range);

	if (!err)
		bench_end(probed->list, probed->range);
	return err;
}

static void publisher_round(struct trap *trap, int round, unsigned index)
{
	struct publisher *me = &trap->publishers[index];
	struct mirror_range range = { .start = fast_start + index * 4096ull };
	struct probed probed = { &trap->list, &range };
	const char *sign = NULL;
	uint64_t due, begun, ended, worst = 0;

	range.end = range.start + 4096;
	crew_wait(&trap->in_callback, round);
	while (!sign && atomic_load(&trap->callback_over) < round)
		sign = witness_look(&trap->witness, round, probe, &probed, sign_limit_ns);
	if (!sign)
		return; /* the callback was over first: this round shows nothing */
	if (index == 0)
		trap->sign = sign;
	range.flags = MIRROR_RANGE_BLOCKABLE;
	for (due = bench_now_ns();; due += due_every_ns) {
		do {
			if (window_is_over(trap, round, due)) {
				if (worst > 0)
					histogram_add(&me->worst, worst);
				return;
			}
			begun = bench_now_ns();
		} while (begun < due);
		if (bench_start(&trap->list, &range) == 0)
			bench_end(&trap->list, &range);
		ended = bench_now_ns();
		histogram_add(&me->latency, ended - due);
		histogram_add(&me->service, ended - begun);
		worst = ended - due > worst ? ended - due : worst;
	}
}

static void body(struct crew_thread *t)
{
	struct trap *trap = t->arg;

	for (int round = 1;; round++) {
		if (t->index == 0)
			atomic_store(&trap->stop, round > trap->nr_rounds || bench_interrupted);
		pthread_barrier_wait(&trap->round_line);
		if (atomic_load(&trap->stop))
			return;
		if (t->index < trap->nr_publishers)
			publisher_round(trap, round, t->index);
		else if (t->index == trap->nr_publishers)
			slow_round(trap, round);
		else
			leaver_round(trap, round);
		/* Nobody may still be in this round when thread 0 decides about the next. */
		pthread_barrier_wait(&trap->round_line);
	}
}

/* The slow one and the leaver mostly sleep: they share the place that the publishers leave. */
static unsigned place(const struct crew *crew, unsigned index)
{
	const struct trap *trap = crew->arg;

	return index < trap->nr_publishers ? index : trap->nr_publishers;
}

static void results(struct trap *trap, json_t *metrics)
{
	struct histogram *latency = &trap->publishers[0].latency;
	struct histogram *service = &trap->publishers[0].service;
	struct histogram *worst = &trap->publishers[0].worst;

	for (unsigned i = 1; i < trap->nr_publishers; i++) {
		histogram_merge(latency, &trap->publishers[i].latency);
		histogram_merge(service, &trap->publishers[i].service);
		histogram_merge(worst, &trap->publishers[i].worst);
	}
	histogram_to_metrics(latency, "latency", metrics);
	histogram_to_metrics(service, "service", metrics);
	if (worst->total > 0)
		json_object_set_new(metrics, "worst_of_typical_round_ns",
				    json_integer((json_int_t)histogram_quantile(worst, 0.5)));
	if (!trap->frozen)
		histogram_to_metrics(&trap->unregister, "unregister", metrics);
	json_object_set_new(metrics, "invalidations", json_integer((json_int_t)latency->total));
	json_object_set_new(metrics, "rounds", json_integer(trap->nr_rounds));
	if (trap->sign && !trap->frozen)
		json_object_set_new(metrics, "sign", json_string(trap->sign));
}

static int fill_list(struct trap *trap)
{
	int err = bench_register_range(&trap->list, &trap->slow, &slow_ops, slow_range.start, slow_range.end);

	if (!err)
		err = bench_register_range(&trap->list, &trap->leaver, &fast_ops, leaver_start,
					    leaver_start + 4096);
	for (int i = 0; i < NR_MIRRORS && !err; i++)
		err = bench_register_range(&trap->list, &trap->fast[i], &fast_ops, fast_start, fast_end);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct trap *trap = bench_calloc(sizeof(*trap));
	struct crew crew = {
		.comparator = comparator,
		.nr_threads = (unsigned)c->publishers + 2,
		.body = body,
		.place = place,
		.arg = trap,
		/* Nothing directs: the whole run counts as patience. */
		.patience_ns = 2 * c->duration_ns + 30 * NS_PER_S,
	};
	int err = -ENOMEM;

	if (!trap)
		return err;
	trap->publishers = calloc((size_t)c->publishers, sizeof(trap->publishers[0]));
	if (!trap->publishers)
		goto out;
	trap->nr_publishers = (unsigned)c->publishers;
	trap->nr_rounds = (int)(c->duration_ns / slow_ns) + 1;
	trap->frozen = comparator->list_is_frozen;
	err = bench_list_open(&trap->list, comparator);
	if (err)
		goto out;
	pthread_barrier_init(&trap->round_line, NULL, crew.nr_threads);
	err = fill_list(trap);
	if (!err)
		err = crew_run(&crew);
	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = bench_interrupted ? -EINTR : -atomic_load(&trap->error);
	if (!err)
		results(trap, metrics);
	bench_unregister(&trap->list, &trap->slow);
	bench_unregister(&trap->list, &trap->leaver);
	for (int i = 0; i < NR_MIRRORS; i++)
		bench_unregister(&trap->list, &trap->fast[i]);
	bench_list_close(&trap->list);
	pthread_barrier_destroy(&trap->round_line);
out:
	free(trap->publishers);
	free(trap);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	unsigned places = topology_nr_places();
	struct bench_case c = {
		.publishers = places > 1 ? (int)places - 1 : 1,
		.mirrors = NR_MIRRORS,
		.duration_ns = bench_share_ns(config, 16 * NS_PER_S, bench_nr_comparators(config), NS_PER_S),
	};

	c.expected_ns = c.duration_ns + c.duration_ns / 20 + 10 * NS_PER_MS;
	return bench_plan_add(plan_, &question_trap, &c);
}

/* ---- the report ---- */

static const char name[] = "trap";

static bool sentence(const json_t *results, char *text, size_t size)
{
	struct estimate srcu, rwsem, own, bare;
	char ns[32];

	text[0] = '\0';
	if (!summary_value(results, name, NULL, "srcu", "latency_p99_9_ns", &srcu))
		return false;
	text_add(text, size, "While one callback takes 10 ms and an unregister waits, a publisher's p99.9 is %s over srcu",
		 format_ns(srcu.median, ns, sizeof(ns)));
	if (summary_value(results, name, NULL, "rwsem", "latency_p99_9_ns", &rwsem))
		text_add(text, size, ", %s over rwsem", format_ns(rwsem.median, ns, sizeof(ns)));
	if (summary_value(results, name, NULL, "list-rwlock", "latency_p99_9_ns", &own))
		text_add(text, size, ", %s over a list of your own under a pthread rwlock",
			 format_ns(own.median, ns, sizeof(ns)));
	/* Not if the interval has the goal within it: that run does not decide. */
	if (srcu.n > 1 && srcu.low >= 100e3 && summary_value(results, name, NULL, "bare", "latency_p99_9_ns", &bare)) {
		text_add(text, size, "; the goal of 100 us is missed, where the machine's own noise is %s",
			 format_ns(bare.median, ns, sizeof(ns)));
		if (summary_value(results, name, NULL, "srcu", "worst_of_typical_round_ns", &srcu))
			text_add(text, size, " (the worst of a typical round: %s over srcu",
				 format_ns(srcu.median, ns, sizeof(ns)));
		if (summary_value(results, name, NULL, "rwsem", "worst_of_typical_round_ns", &rwsem))
			text_add(text, size, ", %s over rwsem", format_ns(rwsem.median, ns, sizeof(ns)));
		text_add(text, size, ")");
	}
	text_add(text, size, ".");
	return true;
}

/* There is one case. */
static void title_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	(void)results;
	(void)case_name;
	text_add(text, size, "A publisher's latency while a callback takes 10 ms and an unregister waits");
}

static const struct report_table tables[] = {
	{ .title_of = title_of, .columns = {
		COLUMN(NS, "since due\np50", "latency_p50_ns"),
		COLUMN(NS, "\np99", "latency_p99_ns"),
		COLUMN(NS, "\np99.9", "latency_p99_9_ns"),
		COLUMN(NS, "\nmax", "latency_max_ns"),
		COLUMN(NS, "typical\nworst", "worst_of_typical_round_ns"),
		COLUMN(NS, "since start\np99.9", "service_p99_9_ns"),
		COLUMN(NS, "unregister\np50", "unregister_p50_ns"),
		COLUMN(TEXT, "it was seen\nto wait", "sign"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "since due",
	.marks = { { "latency_p50_ns", "p50" }, { "latency_p99_9_ns", "p99.9" } },
	.caption = "A sync under which publishers queue behind the waiting unregister shows the callback's 10 ms.",
};

static const struct report_headline headline = {
	.columns = { COLUMN(NS, "p99.9 beside\n10 ms callback", "latency_p99_9_ns") },
	.panels = {
		{ .title = "A publisher behind a callback of 10 ms and an unregister", .axis = "p99.9 since due",
		  .metric = "latency_p99_9_ns" },
		{ .title = NULL },
	},
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.headline = &headline,
	.sentence = sentence,
};

const struct bench_question question_trap = {
	.report = &report,
	.title = "How long does a publisher wait while another's callback takes 10 ms and an unregister waits behind it?",
	.how_to_read =
		"One publisher's callback sleeps 10 ms, another thread unregisters a mirror that nobody publishes "
		"to. From the moment the unregister waits until the callback is over, the other publishers have an "
		"invalidation due every 20 microseconds; latency counts from when it was due, and what fell due "
		"while one was stuck is counted too, so waiting hides nothing. Lower is better. A sync that makes "
		"publishers queue behind the waiting unregister shows the callback's 10 ms. 'bare' and 'no-sync' run "
		"without the unregister, since their lists may not change: they are the noise of the machine. Whenever the machine "
		"takes the CPU from the publisher, hundreds of invalidations are late at once; 'typical worst' is free of "
		"that: the worst latency of each 10 ms round, and of those the median.",
	.plan = plan,
	.run = run,
};
