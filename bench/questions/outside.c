/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * outside: how do systems that do this job today compare, as they are?
 *
 *   dispatch   publishers tell subscribers, who all hear of everything, of a page
 *   behind     one subscriber's callback sleeps 10 ms; meanwhile another thread takes out another
 *              subscriber and puts it in again, without a pause, and times the former
 *   cache      one thread looks a region up, which enters it, and publishes that its memory is gone, over and
 *              over, among as many other regions as there are; and publishes memory that is not cached
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../measure/histogram.h"
#include "../comparators/outside.h"
#include "../measure/topology.h"
#include "question.h"

static const uint64_t slow_ns = 10 * NS_PER_MS;
enum { NR_REGIONS = 1000 };

/* ---- dispatch ---- */

struct dispatch {
	const struct outside_dispatcher *dispatcher;
	void *state;
	_Atomic uint64_t nr_heard;
};

static void publish_some(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct dispatch *d = m->arg;
	uint64_t start = ((uint64_t)index + 1) << 20;

	outside_heard = 0;
	for (unsigned i = 0; i < n; i++)
		d->dispatcher->publish(d->state, start, start + OUTSIDE_PAGE);
	if (measured)
		atomic_fetch_add_explicit(&d->nr_heard, outside_heard, memory_order_relaxed);
}

static int dispatch(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct dispatch d = { .dispatcher = ((const struct outside *)comparator->own)->dispatcher };
	struct outside_subscriber *subscribers = calloc((size_t)c->mirrors, sizeof(subscribers[0]));
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->publishers,
		.operation = publish_some,
		.batch = 256,
		.arg = &d,
	};
	uint64_t total = 0;
	int err = -ENOMEM;

	if (subscribers)
		err = d.dispatcher->open(&d.state, (unsigned)c->mirrors, subscribers);
	if (err)
		goto out;
	for (unsigned i = 0; i < (unsigned)c->mirrors && !err; i++)
		err = d.dispatcher->join(d.state, i);
	if (!err)
		err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	if (!err) {
		for (unsigned i = 0; i < m.nr_threads; i++)
			total += m.threads[i].operations;
		json_object_set_new(metrics, "publish_ns", json_real(1e9 * c->publishers / measure_rate(&m, 0)));
		json_object_set_new(metrics, "heard_per_publish",
				    json_real((double)atomic_load(&d.nr_heard) / (double)total));
	}
	for (unsigned i = 0; i < (unsigned)c->mirrors; i++)
		d.dispatcher->leave(d.state, i);
	d.dispatcher->close(d.state);
	free(m.threads);
out:
	free(subscribers);
	return err;
}

/* ---- behind ---- */

enum { SLOW, LEAVER };

struct behind {
	struct outside_subscriber subscribers[2];       /* first: a callback is handed one of them */
	const struct outside_dispatcher *dispatcher;
	void *state;
	int nr_rounds;
	atomic_int round;               /* written by the publisher */
	atomic_int in_callback;         /* the round whose callback has begun */
	atomic_int callback_over;
	atomic_int left;                /* the round that the leaver is done with */
	struct histogram latency;       /* written by the leaver */
	atomic_int error;
};

static void sleep_in_callback(struct outside_subscriber *s)
{
	struct behind *b = (struct behind *)s;
	int round = atomic_load(&b->round);

	atomic_store(&b->in_callback, round);
	crew_sleep_ns(slow_ns);
	atomic_store(&b->callback_over, round);
}

static void behind_body(struct crew_thread *t)
{
	struct behind *b = t->arg;

	for (int round = 1; round <= b->nr_rounds; round++) {
		if (t->index == 0) {
			atomic_store(&b->round, round);
			b->dispatcher->publish(b->state, OUTSIDE_PAGE, 2 * OUTSIDE_PAGE);
			crew_wait(&b->left, round);
			continue;
		}
		crew_wait(&b->in_callback, round);
		while (atomic_load(&b->callback_over) < round) {
			uint64_t begun = bench_now_ns();
			int err = b->dispatcher->leave(b->state, LEAVER);

			histogram_add(&b->latency, bench_now_ns() - begun);
			if (!err)
				err = b->dispatcher->join(b->state, LEAVER);
			if (err)
				atomic_store(&b->error, -err);
		}
		atomic_store(&b->left, round);
	}
}

static int behind(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct behind *b = calloc(1, sizeof(*b));
	struct crew crew = {
		.comparator = comparator,
		.nr_threads = 2,
		.body = behind_body,
		.arg = b,
		.patience_ns = 2 * c->duration_ns + 30 * NS_PER_S,
	};
	int err;

	if (!b)
		return -ENOMEM;
	b->dispatcher = ((const struct outside *)comparator->own)->dispatcher;
	b->nr_rounds = (int)(c->duration_ns / slow_ns) + 1;
	b->subscribers[SLOW].act = sleep_in_callback;
	err = b->dispatcher->open(&b->state, 2, b->subscribers);
	if (err)
		goto out;
	err = b->dispatcher->join(b->state, SLOW);
	if (!err)
		err = b->dispatcher->join(b->state, LEAVER);
	if (!err)
		err = crew_run(&crew);
	if (err == -ETIMEDOUT)
		return err;
	if (!err)
		err = bench_interrupted ? -EINTR : -atomic_load(&b->error);
	if (!err) {
		histogram_to_metrics(&b->latency, "leave", metrics);
		json_object_set_new(metrics, "leaves", json_integer((json_int_t)b->latency.total));
	}
	b->dispatcher->leave(b->state, SLOW);
	b->dispatcher->leave(b->state, LEAVER);
	b->dispatcher->close(b->state);
out:
	free(b);
	return err;
}

/* ---- cache ---- */

/* Region @number; the page before it and the page behind it belong to no region. */
static uint64_t start_of(unsigned number)
{
	return ((uint64_t)1 << 40) + 2 * (uint64_t)number * OUTSIDE_PAGE;
}

static int cycles(const struct outside_cache *cache, void *state, uint64_t until_ns, json_t *metrics)
{
	uint64_t nr = 0, nr_prompt = 0, get_ns = 0, publish_ns = 0, begun, got, published;
	int err = 0;

	do {
		unsigned number = (unsigned)(nr * 7919 % NR_REGIONS);
		uint64_t start = start_of(number), dropped;

		begun = bench_now_ns();
		err = cache->get(state, number, start);
		got = bench_now_ns();
		/* What was dropped late, of the publication before, was dropped by the look-up at the latest. */
		dropped = cache->nr_dropped(state);
		cache->publish(state, start, start + OUTSIDE_PAGE);
		published = bench_now_ns();
		nr_prompt += cache->nr_dropped(state) > dropped;
		get_ns += got - begun;
		publish_ns += published - got;
		nr++;
	} while (!err && published < until_ns);
	json_object_set_new(metrics, "get_ns", json_real((double)get_ns / (double)nr));
	json_object_set_new(metrics, "publish_hit_ns", json_real((double)publish_ns / (double)nr));
	json_object_set_new(metrics, "cycle_ns", json_real((double)(get_ns + publish_ns) / (double)nr));
	json_object_set_new(metrics, "dropped_on_return", json_real((double)nr_prompt / (double)nr));
	return err;
}

static void misses(const struct outside_cache *cache, void *state, uint64_t until_ns, json_t *metrics)
{
	uint64_t nr = 0, begun = bench_now_ns(), now;

	do {
		for (int i = 0; i < 64; i++, nr++) {
			uint64_t start = start_of((unsigned)(nr * 7919 % NR_REGIONS)) + OUTSIDE_PAGE;

			cache->publish(state, start, start + OUTSIDE_PAGE);
		}
		now = bench_now_ns();
	} while (now < until_ns);
	json_object_set_new(metrics, "publish_miss_ns", json_real((double)(now - begun) / (double)nr));
}

static int cache(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	const struct outside_cache *cache_ = ((const struct outside *)comparator->own)->cache;
	void *state;
	int err = cache_->open(&state, NR_REGIONS);

	if (err)
		return err;
	for (unsigned i = 0; i < NR_REGIONS && !err; i++)
		err = cache_->get(state, i, start_of(i));
	if (!err) {
		misses(cache_, state, bench_now_ns() + c->duration_ns / 2, metrics);
		/* Each publication takes one out that is put in again before the next. */
		err = cycles(cache_, state, bench_now_ns() + c->duration_ns / 2, metrics);
	}
	cache_->close(state);
	return err;
}

/* ---- the question ---- */

/* Alone libmirror's lists would have nothing to be compared with. */
#ifdef HAVE_UCX
static const bool has_outside = true;
#else
static const bool has_outside = false;
#endif

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	const struct outside *outside = comparator->own;

	if (strcmp(c->scene, "cache") == 0)
		return outside->cache ? cache(c, comparator, metrics) : -EOPNOTSUPP;
	if (!outside->dispatcher || (comparator->list_is_frozen && strcmp(c->scene, "behind") == 0))
		return -EOPNOTSUPP;
	return strcmp(c->scene, "behind") == 0 ? behind(c, comparator, metrics) : dispatch(c, comparator, metrics);
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 5 * NS_PER_S, 32, 200 * NS_PER_MS),
	};
	unsigned places = topology_nr_places();
	int err = 0;

	if (!has_outside)
		return 0;
	c.expected_ns = c.warmup_ns + c.duration_ns + 5 * NS_PER_MS;
	c.scene = "dispatch";
	for (c.publishers = 1; c.publishers <= (places > 1 ? 2 : 1) && !err; c.publishers++)
		for (c.mirrors = 1; c.mirrors <= 16 && !err; c.mirrors *= 16)
			err = bench_plan_add(plan_, &question_outside, &c);
	c.publishers = c.mirrors = BENCH_UNUSED;
	c.scene = "behind";
	if (!err)
		err = bench_plan_add(plan_, &question_outside, &c);
	c.scene = "cache";
	c.ranges = NR_REGIONS;
	if (!err)
		err = bench_plan_add(plan_, &question_outside, &c);
	return err;
}

static const struct bench_comparator *const comparators[] = {
	&outside_srcu,
	&outside_rwsem,
#ifdef HAVE_UCX
	&outside_ucm,
	&outside_ucs_rcache,
#endif
	&outside_list_rwlock,
#ifdef HAVE_URCU
	&outside_list_urcu,
#endif
	&outside_bare,
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Systems of today", .columns = {
		COLUMN(NS, "a publication", "publish_ns"),
		RATIO_COLUMN("/srcu", "publish_ns", "srcu"),
		COLUMN(NS, "taking out\np50", "leave_p50_ns"),
		COLUMN(NS, "taking out\np99", "leave_p99_ns"),
		COLUMN(NS, "miss", "publish_miss_ns"),
		COLUMN(NS, "look up\nand enter", "get_ns"),
		COLUMN(NS, "hit", "publish_hit_ns"),
		COLUMN(NS, "both", "cycle_ns"),
		COLUMN(NUMBER, "dropped\non return", "dropped_on_return"),
	} },
	{ .title = NULL },
};

/* The mirrors have a start callback alone, as a handler of UCX is called once. */
static const struct report_goal goals[] = {
	{ .cases = "scene=dispatch,publishers=1,mirrors=1", .comparator = "srcu", .metric = "publish_ns", .base = "ucm",
	  .bound = 1.1, .words = "a publication, relative to UCX's dispatcher (the aim is 1)" },
	{ .cases = "scene=dispatch,publishers=2,mirrors=1", .comparator = "srcu", .metric = "publish_ns", .base = "ucm",
	  .bound = 0.5, .words = "a publication, relative to UCX's dispatcher" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "outside",
	.tables = tables,
	.goals = goals,
};

const struct bench_question question_outside = {
	.report = &report,
	.title = "How do systems that do this job today compare, as they are?",
	.how_to_read =
		"dispatch: the time that one publication takes a publisher whose subscribers all hear of everything; less "
		"is better. libmirror's, and a list of your own, has two passes, start and end, of which the second calls "
		"nobody here; UCX's has one. behind: how long it takes to take out a subscriber while the callback of another "
		"sleeps 10 ms. cache: a region is looked up, which enters it, and its memory is published as gone; 'dropped on return' is "
		"how often the region had been deregistered when the publication returned: 1 is always, 0 is never, and "
		"then a device may still use the memory. A miss is a publication of memory that nobody caches, among 1000 "
		"cached regions.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
