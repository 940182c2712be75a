/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * regcache: what does a registration cache cost, and what is left in it when memory has been unmapped?
 *
 *   hit      threads look up pages that are in, use them, and put them back; all threads the same pages
 *   unmap    each thread looks up a page of its own that is not in, which pins it, puts it back, and unmaps it; then
 *            the page is pinned still, or not
 *   first    a thread looks up pages that the cache never had
 *   in use   as unmap, but another thread has the page in use when it is unmapped, and puts it back right after
 *
 * Pages are of no memory, and pinning one is counting it: what is measured is the cache.  To unmap a page is mmap over
 * it, which libucm sees, and so it costs a system call; the address stays reserved.
 *
 * libucm patches libc for good, and UCX's cache has a thread.  So each run is a child, and the other questions' process
 * stays as it is.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../comparators/comparators.h"
#include "../comparators/caches.h"
#include "question.h"

enum { NR_HIT_PAGES = 64, OWN_PAGES = 16, MAX_THREADS = 8 };

struct thread_sums {
	uint64_t nr, get_ns, unmap_ns, nr_left;
} __attribute__((__aligned__(64)));

struct regcache {
	const struct cache *cache;
	void *state;
	atomic_int error;
	struct thread_sums sums[MAX_THREADS];
};

static void look_up(struct regcache *r, unsigned number)
{
	void *region;
	int err = r->cache->get(r->state, cache_start(number), &region);

	if (err)
		atomic_store(&r->error, err);
	else
		r->cache->put(r->state, region);
}

static void unmap(struct regcache *r, unsigned number)
{
	void *page = (void *)(uintptr_t)cache_start(number);

	if (mmap(page, CACHE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != page)
		atomic_store(&r->error, -errno);
}

static void hit(struct measure *m, unsigned index, unsigned n, bool measured)
{
	(void)measured;
	for (unsigned i = 0; i < n; i++)
		look_up(m->arg, (i * 7 + index) % NR_HIT_PAGES);
}

static void get_and_unmap(struct measure *m, unsigned index, unsigned n, bool measured)
{
	struct regcache *r = m->arg;
	struct thread_sums sums = { .nr = n };

	for (unsigned i = 0; i < n; i++) {
		unsigned number = NR_HIT_PAGES + index * OWN_PAGES + i % OWN_PAGES;
		uint64_t begun = bench_now_ns(), got, unmapped;

		look_up(r, number);
		got = bench_now_ns();
		unmap(r, number);
		unmapped = bench_now_ns();
		sums.nr_left += atomic_load(&cache_pins[number]) != 0;
		sums.get_ns += got - begun;
		sums.unmap_ns += unmapped - got;
	}
	if (!measured)
		return;
	r->sums[index].nr += sums.nr;
	r->sums[index].get_ns += sums.get_ns;
	r->sums[index].unmap_ns += sums.unmap_ns;
	r->sums[index].nr_left += sums.nr_left;
}

static int first(struct regcache *r, json_t *metrics)
{
	uint64_t begun = bench_now_ns();

	for (unsigned i = 0; i < CACHE_MAX_REGIONS; i++)
		look_up(r, i);
	json_object_set_new(metrics, "first_ns", json_real((double)(bench_now_ns() - begun) / CACHE_MAX_REGIONS));
	return 0;
}

/* ---- in use: thread 0 uses and puts back, thread 1 unmaps ---- */

struct in_use {
	struct regcache *r;
	int nr_rounds;
	atomic_int taken, unmapping, looked;    /* the round in which that was done */
	int nr_left;                    /* thread 1's */
};

static void use(struct in_use *u)
{
	for (int round = 1; round <= u->nr_rounds; round++) {
		void *region = NULL;
		int err = u->r->cache->get(u->r->state, cache_start(0), &region);

		atomic_store(&u->taken, round);
		/* A cache whose unmap waits for users cannot return before the put, and one that does not may. */
		crew_wait(&u->unmapping, round);
		for (unsigned turn = 0; turn < 100 && atomic_load(&u->looked) < round; turn++)
			crew_pause(turn);
		if (err)
			atomic_store(&u->r->error, err);
		else
			u->r->cache->put(u->r->state, region);
		crew_wait(&u->looked, round);
	}
}

static void unmap_used(struct in_use *u)
{
	for (int round = 1; round <= u->nr_rounds; round++) {
		crew_wait(&u->taken, round);
		atomic_store(&u->unmapping, round);
		unmap(u->r, 0);
		u->nr_left += atomic_load(&cache_pins[0]) != 0;
		atomic_store(&u->looked, round);
	}
}

static void in_use_body(struct crew_thread *t)
{
	if (t->index == 0)
		use(t->arg);
	else
		unmap_used(t->arg);
}

static int in_use(struct regcache *r, const struct bench_comparator *comparator, json_t *metrics)
{
	struct in_use u = { .r = r, .nr_rounds = 200 };
	struct crew crew = { .comparator = comparator, .nr_threads = 2, .body = in_use_body, .arg = &u };
	int err = crew_run(&crew);

	if (!err)
		json_object_set_new(metrics, "left_after_unmap", json_real((double)u.nr_left / u.nr_rounds));
	return err;
}

/* ---- the question ---- */

static int many(struct regcache *r, const struct bench_case *c, const struct bench_comparator *comparator,
		json_t *metrics)
{
	const bool hits = strcmp(c->scene, "hit") == 0;
	struct measure m = {
		.comparator = comparator,
		.c = c,
		.nr_threads = (unsigned)c->threads,
		.operation = hits ? hit : get_and_unmap,
		.batch = hits ? 1024 : 64,
		.arg = r,
	};
	struct thread_sums all = { 0 };
	int err;

	for (unsigned i = 0; i < NR_HIT_PAGES; i++)
		look_up(r, i);
	err = measure_run(&m);
	if (err == -ETIMEDOUT)
		return err;
	for (unsigned i = 0; i < m.nr_threads; i++) {
		all.nr += r->sums[i].nr;
		all.get_ns += r->sums[i].get_ns;
		all.unmap_ns += r->sums[i].unmap_ns;
		all.nr_left += r->sums[i].nr_left;
	}
	if (!err && hits)
		json_object_set_new(metrics, "hit_ns", json_real(1e9 * c->threads / measure_rate(&m, 0)));
	if (!err && all.nr) {
		json_object_set_new(metrics, "miss_ns", json_real((double)all.get_ns / (double)all.nr));
		json_object_set_new(metrics, "unmap_ns", json_real((double)all.unmap_ns / (double)all.nr));
		json_object_set_new(metrics, "left_after_unmap", json_real((double)all.nr_left / (double)all.nr));
	}
	free(m.threads);
	return err;
}

static int run_here(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct regcache r = { .cache = comparator->own };
	void *pages = mmap(NULL, 2 * CACHE_NR_PAGES * CACHE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	int err;

	if (pages == MAP_FAILED)
		return -errno;
	cache_pages = (uintptr_t)pages;
	err = r.cache->open(&r.state);
	if (err)
		return err;
	if (strcmp(c->scene, "first") == 0)
		err = first(&r, metrics);
	else if (strcmp(c->scene, "in use") == 0)
		err = in_use(&r, comparator, metrics);
	else
		err = many(&r, c, comparator, metrics);
	if (err == -ETIMEDOUT)
		return err;
	r.cache->close(r.state);
	return err ? err : atomic_load(&r.error);
}

/* The child's result is its status, and its metrics come through the pipe. */
static void be_child(const struct bench_case *c, const struct bench_comparator *comparator, int out)
{
	json_t *metrics = json_object();
	int err = run_here(c, comparator, metrics);

	if (json_dumpfd(metrics, out, 0) && !err)
		err = -EIO;
	_exit(-err);
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	int ends[2], status;
	json_t *result;
	pid_t child;

	if (pipe(ends))
		return -errno;
	child = fork();
	if (child == 0)
		be_child(c, comparator, ends[1]);
	close(ends[1]);
	result = json_loadfd(ends[0], 0, NULL);
	close(ends[0]);
	if (child < 0)
		return -EAGAIN;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	/* Ctrl-C may have ended the reading. */
	if (!WIFEXITED(status) || !result) {
		json_decref(result);
		return bench_interrupted ? -EINTR : -EIO;
	}
	json_object_update(metrics, result);
	json_decref(result);
	return -WEXITSTATUS(status);
}

/* Without UCX there is no publisher and nothing to be compared with.  Its hooks are not for ThreadSanitizer. */
#if defined(HAVE_UCX) && !defined(__SANITIZE_THREAD__)
static const bool has_hooks = true;
#else
static const bool has_hooks = false;
#endif

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	static const int threads[] = { 1, 2, MAX_THREADS };
	static const char *const scenes[] = { "hit", "unmap" };
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.warmup_ns = 5 * NS_PER_MS,
		.duration_ns = bench_share_ns(config, 3 * NS_PER_S, 16, 100 * NS_PER_MS),
	};
	int err = 0;

	if (!has_hooks)
		return 0;
	c.expected_ns = c.warmup_ns + c.duration_ns + 5 * NS_PER_MS;
	for (int i = 0; i < 2; i++) {
		c.scene = scenes[i];
		for (int k = 0; k < 3 && !err; k++) {
			c.threads = threads[k];
			err = bench_plan_add(plan_, &question_regcache, &c);
		}
	}
	c.scene = "first";
	c.threads = 1;
	if (!err)
		err = bench_plan_add(plan_, &question_regcache, &c);
	c.scene = "in use";
	c.threads = 2;
	return err ? err : bench_plan_add(plan_, &question_regcache, &c);
}

static const struct bench_comparator *const comparators[] = {
#ifdef HAVE_UCX
	&cache_srcu,
	&cache_ucs_rcache,
#endif
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "A registration cache", .columns = {
		COLUMN(NS, "hit", "hit_ns"),
		COLUMN(NS, "first use", "first_ns"),
		COLUMN(NS, "miss", "miss_ns"),
		COLUMN(NS, "unmap", "unmap_ns"),
		COLUMN(NUMBER, "left\nafter unmap", "left_after_unmap"),
	} },
	{ .title = NULL },
};

static const char *const less_is_better[] = { "left_after_unmap", NULL };

static const struct report_goal goals[] = {
	{ .cases = "scene=hit,threads=1", .comparator = "srcu", .metric = "hit_ns", .base = "ucs-rcache",
	  .bound = 1, .words = "a hit in a registration cache, relative to UCX's" },
	{ .cases = "scene=hit,threads=2", .comparator = "srcu", .metric = "hit_ns", .base = "ucs-rcache",
	  .bound = 1, .words = "a hit in a registration cache, 2 threads, relative to UCX's" },
	{ .cases = "scene=hit,threads=8", .comparator = "srcu", .metric = "hit_ns", .base = "ucs-rcache",
	  .bound = 1, .words = "a hit in a registration cache, 8 threads, relative to UCX's" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "regcache",
	.tables = tables,
	.goals = goals,
	.less_is_better = less_is_better,
};

const struct bench_question question_regcache = {
	.report = &report,
	.title = "What does a registration cache cost, and what is left in it after an unmap?",
	.how_to_read =
		"hit: the time that a thread takes to look up a page that is in, and to put it back; lower is better. unmap: "
		"a page that is not in is looked up, which pins it (miss), and is unmapped by a system call, which libucm sees "
		"and both caches hear of (unmap); a page comes again and again. first: pages that the cache never had. in use: "
		"as unmap, and another thread has the page in use meanwhile, and puts it back later. 'left after unmap' is how "
		"often the page was still pinned when the unmap had returned, so that a device may write into memory that is "
		"another's by then: 0 is never. "
		"Pages are of no memory and pinning is counting, so that the times but the unmap's are the cache's own.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
