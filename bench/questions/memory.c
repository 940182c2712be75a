/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * memory: what does the library take beyond the caller's own structures?
 *
 * Mirrors are counted exactly, by an allocator given to the list: what it holds for 100,000 mirrors of the
 * whole list, in order, and for as many range mirrors, registered in order and in random order.
 * What is retired and not yet freed is the most that the list holds above what stands while 10,000 more come and
 * go, one after the other: while no thread walks, and behind a walk that sleeps in a callback all the while.
 * What a domain takes is what malloc has handed out for 256 of them.  What a thread takes, and a thread in each
 * further domain, is how the process's resident memory differs between three crowds of threads:
 * threads that do nothing, threads that use one domain, threads that use 17.  Pages are whole: the last figures are of
 * that precision.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <malloc.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mirror/usrcu.h>

#include "../comparators/comparators.h"
#include "../measure/crowd.h"
#include "question.h"

enum { NR_MIRRORS = 100000, NR_DOMAINS = 256, NR_THREADS = 500, NR_USED = 17, NR_STANDING = 1000, NR_COMERS = 10000 };

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

/* ---- mirrors ---- */

/* One thread changes the list at a time, and no other allocates or frees. */
struct tally {
	size_t held, peak;
};

static void *counted_alloc(void *arg, size_t bytes)
{
	struct tally *tally = arg;
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (memory) {
		tally->held += bytes;
		if (tally->held > tally->peak)
			tally->peak = tally->held;
		memset(memory, 0, bytes);
	}
	return memory;
}

static void counted_free(void *arg, void *memory, size_t bytes)
{
	struct tally *tally = arg;

	tally->held -= bytes;
	free(memory);
}

enum order { WHOLE_LIST, ASCENDING, RANDOM };

/* A permutation: an odd factor, below a power of two; what lies beyond is left out. */
static uint64_t place_of(uint64_t i, enum order order)
{
	return order == RANDOM ? i * 0x9e3779b1 % (1 << 20) : i;
}

static int measure_mirrors(const struct bench_comparator *comparator, enum order order, const char *metric,
			   json_t *metrics)
{
	struct mirror *mirrors = calloc(NR_MIRRORS, sizeof(mirrors[0]));
	struct mirror **pointers = calloc(NR_MIRRORS, sizeof(pointers[0]));
	struct tally tally = { 0 };
	size_t empty;
	struct mirror_allocator allocator = { counted_alloc, counted_free, &tally };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = comparator->sync, .allocator = &allocator };
	struct mirror_list *list;
	int err = -ENOMEM;
	size_t nr = 0;

	if (!mirrors || !pointers)
		goto out;
	err = mirror_list_create(&list, &attr);
	if (err)
		goto out;
	empty = tally.held;
	for (; nr < NR_MIRRORS && !err; nr += !err) {
		uint64_t start = 2 * 4096 * place_of(nr, order);

		pointers[nr] = &mirrors[nr];
		err = order == WHOLE_LIST ? mirror_register(list, &mirrors[nr], &ops) :
					    mirror_register_range(list, &mirrors[nr], &ops, start, start + 4096);
	}
	if (!err) {
		json_object_set_new(metrics, metric, json_real((double)(tally.held - empty) / NR_MIRRORS));
		json_object_set_new(metrics, "bytes_of_empty_list", json_integer((json_int_t)empty));
	}
	mirror_unregister_many(pointers, nr);
	mirror_list_destroy(list);
out:
	free(pointers);
	free(mirrors);
	return err;
}

/* ---- retired memory ---- */

struct sleeper {
	struct mirror_list *list;
	sem_t inside, may_leave;
};

static int on_start_sleep(struct mirror *m, const struct mirror_range *r);

static const struct mirror_ops ops_that_sleep = {
	.size = sizeof(ops_that_sleep),
	.invalidate_range_start = on_start_sleep,
};

struct sleeping_mirror {
	struct mirror mirror;
	struct sleeper *sleeper;
};

static int on_start_sleep(struct mirror *m, const struct mirror_range *r)
{
	struct sleeper *sleeper = ((struct sleeping_mirror *)m)->sleeper;

	(void)r;
	sem_post(&sleeper->inside);
	sem_wait(&sleeper->may_leave);
	return 0;
}

static void *sleep_inside(void *arg)
{
	struct sleeper *sleeper = arg;

	mirror_invalidate_range(sleeper->list, 0, 4096);
	return NULL;
}

/* The most that the list holds above what stands, while mirrors come and go. */
static int come_and_go(struct mirror_list *list, bool ranges, struct tally *tally, size_t *peak)
{
	struct mirror comer = { 0 };
	size_t before = tally->held;
	int err = 0;

	tally->peak = before;
	for (uint64_t i = 0; i < NR_COMERS && !err; i++) {
		uint64_t start = (1 << 20) + 4096 * (i % 100);

		err = ranges ? mirror_register_range(list, &comer, &ops, start, start + 4096) :
			       mirror_register(list, &comer, &ops);
		if (!err)
			err = mirror_unregister(&comer);
	}
	*peak = tally->peak - before;
	return err;
}

/*
 * Nobody walks (idle), then a walk sleeps in a callback all the while (behind): what it might still
 * look at cannot be freed.  Among 1000 mirrors of the list's kind.
 */
static int measure_retired(const struct bench_comparator *comparator, bool ranges, const char *idle_metric,
			   const char *behind_metric, json_t *metrics)
{
	static struct mirror standing[NR_STANDING];
	struct tally tally = { 0 };
	struct mirror_allocator allocator = { counted_alloc, counted_free, &tally };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = comparator->sync, .allocator = &allocator };
	struct sleeper sleeper = { 0 };
	struct sleeping_mirror sleeping = { .sleeper = &sleeper };
	size_t peak = 0;
	pthread_t thread;
	uint64_t nr = 0;
	int err = mirror_list_create(&sleeper.list, &attr);

	if (err)
		return err;
	sem_init(&sleeper.inside, 0, 0);
	sem_init(&sleeper.may_leave, 0, 0);
	err = mirror_register_range(sleeper.list, &sleeping.mirror, &ops_that_sleep, 0, 4096);
	for (; nr < NR_STANDING && !err; nr += !err)
		err = ranges ? mirror_register_range(sleeper.list, &standing[nr], &ops, (2 << 20) + 4096 * nr,
						     (2 << 20) + 4096 * nr + 4096) :
			       mirror_register(sleeper.list, &standing[nr], &ops);
	if (!err)
		err = come_and_go(sleeper.list, ranges, &tally, &peak);
	if (!err)
		json_object_set_new(metrics, idle_metric, json_integer((json_int_t)peak));
	if (!err)
		err = -pthread_create(&thread, NULL, sleep_inside, &sleeper);
	if (!err) {
		sem_wait(&sleeper.inside);
		err = come_and_go(sleeper.list, ranges, &tally, &peak);
		sem_post(&sleeper.may_leave);
		pthread_join(thread, NULL);
	}
	if (!err)
		json_object_set_new(metrics, behind_metric, json_integer((json_int_t)peak));
	while (nr > 0)
		mirror_unregister(&standing[--nr]);
	mirror_unregister(&sleeping.mirror);
	mirror_list_destroy(sleeper.list);
	return err;
}

/* ---- domains and threads ---- */

static int create_domains(struct usrcu **domains, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int err = usrcu_create(&domains[i], NULL);

		if (err) {
			while (i > 0)
				usrcu_destroy(domains[--i]);
			return err;
		}
	}
	return 0;
}

static int measure_domains(json_t *metrics)
{
	struct usrcu *domains[NR_DOMAINS];
	size_t before = mallinfo2().uordblks;
	int err = create_domains(domains, NR_DOMAINS);

	if (err)
		return err;
	json_object_set_new(metrics, "bytes_per_domain",
			    json_real((double)(mallinfo2().uordblks - before) / NR_DOMAINS));
	for (unsigned i = 0; i < NR_DOMAINS; i++)
		usrcu_destroy(domains[i]);
	return 0;
}

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long all = 0, resident = 0;

	if (file && fscanf(file, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

struct visit {
	struct usrcu *domains[NR_USED];
	unsigned nr;
};

static void use_domains(void *arg)
{
	struct visit *visit = arg;

	for (unsigned i = 0; i < visit->nr; i++)
		usrcu_read_unlock(visit->domains[i], usrcu_read_lock(visit->domains[i]));
}

static void nothing(void *arg)
{
	(void)arg;
}

static int resident_with(struct visit *visit, unsigned nr, size_t *bytes)
{
	struct crowd *crowd;
	int err;

	visit->nr = nr;
	err = crowd_gather(&crowd, NR_THREADS, use_domains, nothing, visit);
	if (err)
		return err;
	*bytes = resident_bytes();
	crowd_disperse(crowd);
	return 0;
}

static int measure_threads(json_t *metrics)
{
	struct visit visit;
	size_t none, one, many;
	int err = create_domains(visit.domains, NR_USED);

	if (err)
		return err;
	/* Once for the C library, which keeps the stacks. */
	err = resident_with(&visit, 0, &none);
	if (!err)
		err = resident_with(&visit, 0, &none);
	if (!err)
		err = resident_with(&visit, 1, &one);
	if (!err)
		err = resident_with(&visit, NR_USED, &many);
	if (!err) {
		json_object_set_new(metrics, "bytes_per_thread", json_real(((double)one - (double)none) / NR_THREADS));
		json_object_set_new(metrics, "bytes_per_thread_and_domain",
				    json_real(((double)many - (double)one) / NR_THREADS / (NR_USED - 1)));
	}
	for (unsigned i = 0; i < NR_USED; i++)
		usrcu_destroy(visit.domains[i]);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	int err;

	(void)c;
	err = measure_threads(metrics);
	if (!err)
		err = measure_domains(metrics);
	if (!err)
		err = measure_mirrors(comparator, WHOLE_LIST, "bytes_per_mirror", metrics);
	if (!err)
		err = measure_mirrors(comparator, ASCENDING, "bytes_per_range_mirror_in_order", metrics);
	if (!err)
		err = measure_mirrors(comparator, RANDOM, "bytes_per_range_mirror", metrics);
	if (!err)
		err = measure_retired(comparator, false, "peak_retired_bytes", "peak_retired_behind_callback_bytes", metrics);
	if (!err)
		err = measure_retired(comparator, true, "peak_retired_bytes_ranges",
				      "peak_retired_behind_callback_bytes_ranges", metrics);
	json_object_set_new(metrics, "bytes_of_struct_mirror", json_integer((json_int_t)sizeof(struct mirror)));
	return !err && bench_interrupted ? -EINTR : err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.expected_ns = 300 * NS_PER_MS,
	};

	(void)config;
	return bench_plan_add(plan_, &question_memory, &c);
}

static const struct bench_comparator *const comparators[] = {
	&comparator_srcu,
	NULL,
};

/* ---- the report ---- */

static const struct report_table tables[] = {
	{ .title = "Bytes beyond the caller's own", .columns = {
		COLUMN(NUMBER, "a domain", "bytes_per_domain"),
		COLUMN(NUMBER, "a thread", "bytes_per_thread"),
		COLUMN(NUMBER, "a thread in\na domain more", "bytes_per_thread_and_domain"),
		COLUMN(NUMBER, "an empty\nlist", "bytes_of_empty_list"),
		COLUMN(NUMBER, "a mirror", "bytes_per_mirror"),
		COLUMN(NUMBER, "a range mirror,\nby address", "bytes_per_range_mirror_in_order"),
		COLUMN(NUMBER, "a range mirror,\nin random order", "bytes_per_range_mirror"),
		COLUMN(NUMBER, "(struct mirror\nitself)", "bytes_of_struct_mirror"),
	} },
	{ .title = "Retired and not yet freed, at most", .columns = {
		COLUMN(BYTES, "nobody\nwalks", "peak_retired_bytes"),
		COLUMN(BYTES, "behind a\ncallback", "peak_retired_behind_callback_bytes"),
		COLUMN(BYTES, "ranges,\nnobody walks", "peak_retired_bytes_ranges"),
		COLUMN(BYTES, "ranges, behind\na callback", "peak_retired_behind_callback_bytes_ranges"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "a mirror beyond the caller's own",
	.marks = { { "bytes_per_mirror", "plain" }, { "bytes_per_range_mirror", "range" } },
};

static const struct report_goal goals[] = {
	{ .cases = "*", .comparator = "srcu", .metric = "bytes_per_mirror", .bound = 128,
	  .unit = GOAL_BYTES, .words = "a mirror beyond the caller's struct" },
	{ .cases = "*", .comparator = "srcu", .metric = "bytes_per_range_mirror", .bound = 128,
	  .unit = GOAL_BYTES, .words = "a range mirror beyond the caller's struct, registered in random order" },
	{ .words = NULL },
};

static const struct report_question report = {
	.name = "memory",
	.tables = tables,
	.figure = &figure,
	.goals = goals,
};

const struct bench_question question_memory = {
	.report = &report,
	.title = "How much memory does the library take?",
	.how_to_read =
		"Bytes beyond the caller's own structures; struct mirror itself stands in the caller's. Mirrors are counted "
		"through the list's allocator, with 100,000 of them. A thread's share is the difference in resident "
		"memory between 500 threads that use a domain and 500 that do not; whole pages count. Retired is what the list has "
		"unlinked and not yet freed, at its peak over 10,000 mirrors that come and go one after the other among 1000 "
		"that stay; behind a callback: while one walk sleeps in a callback from the first to the last of them.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
