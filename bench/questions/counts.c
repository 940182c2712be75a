/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * counts, primitive-counts: what decides how an operation scales beyond the CPUs that are here?
 *
 * Two threads do each operation a few times, and then once while every instruction is counted (steps.h);
 * first the one, then the other, so that none waits.  A line is shared if the other thread, too, read
 * or wrote it: for a bracket or a section, in its own bracket or section; for an operation that changes or
 * waits, in any of what it did.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/plain.h"
#include "../comparators/primitives.h"
#include "../measure/steps.h"
#include "question.h"

enum { NR_THREADS = 2, MAX_OPERATIONS = 3, NR_WARM_UPS = 5 };

struct scene {
	const char *name;
	unsigned nr_operations;         /* of a thread; the last is the one that is asked for */
	bool shares_with_itself;        /* with the other's same operation alone; else with all that it does */
	bool stormy;                    /* the list has been changed frequently before */
};

static const struct scene scenes[] = {
	{ "bracket", 1, true, false },
	{ "register", 2, false, false },
	{ "unregister", 3, false, false },
	{ "bracket-in-storm", 1, true, true },
	{ "unregister-in-storm", 3, false, true },
	{ "section", 1, true, false },
	{ "synchronize", 2, false, false },
};

struct asked {
	const struct bench_comparator *comparator;
	const struct scene *scene;
	/* Does operation @number of the scene; marked by the slot if the slot is not negative. */
	int (*operate)(struct asked *asked, unsigned thread, unsigned number, int slot);
	struct bench_list list;
	struct bench_mirror *standing;
	struct bench_mirror comers[NR_THREADS];
	sem_t may_start[NR_THREADS], done, may_end;
};

static void begin(int slot)
{
	if (slot >= 0)
		steps_begin((unsigned)slot);
}

static void end(int slot)
{
	if (slot >= 0)
		steps_end();
}

/* ---- lists ---- */

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static int bracket(const struct asked *asked, unsigned thread, int slot)
{
	struct mirror_range range = {
		.start = ((uint64_t)thread + 1) << 20,
		.end = (((uint64_t)thread + 1) << 20) + 4096,
		.flags = MIRROR_RANGE_BLOCKABLE,
	};
	const struct bench_comparator *comparator = asked->comparator;
	const struct bench_list list = asked->list;
	int err;

	/* As in the measured loops: on line while it only publishes, and quiescent after each bracket. */
	if (comparator->thread_online)
		comparator->thread_online();
	begin(slot);
	err = bench_start(&list, &range);
	if (!err)
		bench_end(&list, &range);
	bench_quiescent(comparator);
	end(slot);
	if (comparator->thread_offline)
		comparator->thread_offline();
	return err;
}

static int operate_list(struct asked *asked, unsigned thread, unsigned number, int slot)
{
	struct bench_mirror *comer = &asked->comers[thread];
	int err;

	if (number == 0)
		return bracket(asked, thread, slot);
	if (number == 1) {
		begin(slot);
		err = bench_register(&asked->list, comer, &ops);
		end(slot);
		/* Where it is only registered, in order to be registered again. */
		if (!err && asked->scene->nr_operations == 2)
			err = bench_unregister(&asked->list, comer);
		return err;
	}
	begin(slot);
	err = bench_unregister(&asked->list, comer);
	end(slot);
	return err;
}

/* ---- primitives ---- */

static int operate_primitive(struct asked *asked, unsigned thread, unsigned number, int slot)
{
	const struct primitive *primitive = asked->comparator->own;
	int err = 0;

	(void)thread;
	begin(slot);
	if (number == 0)
		primitive->pairs(1);
	else
		err = primitive->synchronize();
	end(slot);
	return err;
}

/* ---- in the copy ---- */

struct worker {
	struct asked *asked;
	unsigned index;
};

static void work(struct asked *asked, unsigned index, bool marked)
{
	unsigned nr = asked->scene->nr_operations;

	for (unsigned number = 0; number < nr; number++)
		if (asked->operate(asked, index, number, marked ? (int)(index * MAX_OPERATIONS + number) : -1))
			abort();
}

/* What a sync or a list may learn from: a change for every hundred walks, for as long as that takes to be noticed. */
static void brew_storm(struct asked *asked, unsigned index)
{
	for (int i = 0; i < 500; i++) {
		if (bench_register(&asked->list, &asked->comers[index], &ops) ||
		    bench_unregister(&asked->list, &asked->comers[index]))
			abort();
		for (int k = 0; k < 100; k++)
			if (bracket(asked, index, -1))
				abort();
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct asked *asked = w->asked;

	sem_wait(&asked->may_start[w->index]);
	if (asked->comparator->thread_setup)
		asked->comparator->thread_setup();
	if (asked->scene->stormy)
		brew_storm(asked, w->index);
	for (int i = 0; i < NR_WARM_UPS; i++)
		work(asked, w->index, false);
	work(asked, w->index, true);
	sem_post(&asked->done);
	/* What a thread has to itself stays its own until all have been counted. */
	sem_wait(&asked->may_end);
	if (asked->comparator->thread_teardown)
		asked->comparator->thread_teardown();
	return NULL;
}

static void in_the_copy(void *arg)
{
	struct asked *asked = arg;
	struct worker workers[NR_THREADS];
	pthread_t threads[NR_THREADS];

	/* The caller's thread was set up, and will not use the list here. */
	if (asked->comparator->thread_teardown)
		asked->comparator->thread_teardown();
	sem_init(&asked->done, 0, 0);
	sem_init(&asked->may_end, 0, 0);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		sem_init(&asked->may_start[i], 0, 0);
		workers[i] = (struct worker){ asked, i };
		if (pthread_create(&threads[i], NULL, worker_main, &workers[i]))
			abort();
	}
	for (unsigned i = 0; i < NR_THREADS; i++) {
		sem_post(&asked->may_start[i]);
		sem_wait(&asked->done);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		sem_post(&asked->may_end);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- in the caller ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void set(json_t *metrics, const char *name, uint64_t value)
{
	json_object_set_new(metrics, name, json_integer((json_int_t)value));
}

/* The larger of the two threads' counts: they differ if one finds what the other has left. */
static void evaluate(const struct scene *scene, struct steps *slots, json_t *metrics)
{
	unsigned last = scene->nr_operations - 1, nr = scene->shares_with_itself ? 1 : scene->nr_operations;
	const struct steps *mine[NR_THREADS], *theirs[MAX_OPERATIONS];
	uint64_t writes = 0, lines = 0;

	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct steps *other = &slots[(1 - i) * MAX_OPERATIONS];

		mine[i] = &slots[i * MAX_OPERATIONS + last];
		for (unsigned k = 0; k < nr; k++)
			theirs[k] = &other[k];
		writes = larger(writes, steps_shared_writes(mine[i], theirs, nr));
		lines = larger(lines, steps_contended_lines(mine[i], theirs, nr));
	}
	set(metrics, "shared_writes", writes);
	set(metrics, "contended_lines", lines);
	set(metrics, "rmws", larger(mine[0]->rmws, mine[1]->rmws));
	set(metrics, "fences", larger(mine[0]->fences, mine[1]->fences));
	set(metrics, "membarriers", larger(mine[0]->membarriers, mine[1]->membarriers));
	set(metrics, "futexes", larger(mine[0]->futexes, mine[1]->futexes));
	set(metrics, "other_calls", larger(mine[0]->other_calls, mine[1]->other_calls));
	set(metrics, "instructions", larger(mine[0]->instructions, mine[1]->instructions));
}

static int count(struct asked *asked, json_t *metrics)
{
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };
	int err = steps_run(in_the_copy, asked, slots);

	if (!err)
		evaluate(asked->scene, slots, metrics);
	steps_free(slots);
	return bench_interrupted ? -EINTR : err;
}

static const struct scene *scene_of(const struct bench_case *c)
{
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)
		if (strcmp(scenes[i].name, c->scene) == 0)
			return &scenes[i];
	abort();
}

static int run_list(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct asked asked = { .comparator = comparator, .scene = scene_of(c), .operate = operate_list };
	int err, nr = 0;

	asked.standing = bench_calloc((size_t)c->mirrors * sizeof(asked.standing[0]));
	if (!asked.standing)
		return -ENOMEM;
	err = bench_list_open(&asked.list, comparator);
	if (err)
		goto out;
	for (; nr < c->mirrors && !err; nr += !err)
		err = bench_register(&asked.list, &asked.standing[nr], &ops);
	if (!err)
		err = count(&asked, metrics);
	while (nr > 0)
		bench_unregister(&asked.list, &asked.standing[--nr]);
	bench_list_close(&asked.list);
out:
	free(asked.standing);
	return err;
}

static int run_primitive(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	struct asked asked = { .comparator = comparator, .scene = scene_of(c), .operate = operate_primitive };
	const struct primitive *primitive = comparator->own;

	if (asked.scene->nr_operations > 1 && !primitive->synchronize)
		return -EOPNOTSUPP;
	return count(&asked, metrics);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Some sandboxes refuse ptrace(2). */
static const char *refused(const struct bench_comparator *comparator)
{
	static int known, err;
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };

	(void)comparator;
	if (!known)
		err = steps_run(nothing, NULL, slots);
	known = 1;
	return err ? "ptrace(2) is refused here" : NULL;
}

static int plan_lists(const struct bench_config *config, struct bench_plan *plan)
{
	static const char *const later[] = { "register", "unregister", "bracket-in-storm", "unregister-in-storm" };
	/* A step takes 10 us or so, in a virtual machine several times that. */
	struct bench_case c = {
		.scene = "bracket",
		.publishers = BENCH_UNUSED,
		.mirrors = 1,
		.expected_ns = 150 * NS_PER_MS,
	};
	int err = bench_plan_add(plan, &question_counts, &c);

	(void)config;
	c.mirrors = 16;
	if (!err)
		err = bench_plan_add(plan, &question_counts, &c);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]) && !err; i++) {
		c.scene = later[i];
		err = bench_plan_add(plan, &question_counts, &c);
	}
	return err;
}

static int plan_primitives(const struct bench_config *config, struct bench_plan *plan)
{
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.scene = "section",
		.expected_ns = 30 * NS_PER_MS,
	};
	int err = bench_plan_add(plan, &question_primitive_counts, &c);

	(void)config;
	c.scene = "synchronize";
	return err ? err : bench_plan_add(plan, &question_primitive_counts, &c);
}

const struct bench_question question_counts = {
	.report = &report_counts,
	.title = "What decides how a list scales beyond the CPUs that are here?",
	.how_to_read =
		"Exact counts, not times: one operation of the compiled code, run instruction by instruction while nobody "
		"else is at work, so that nothing waits. A locked instruction (read-modify-write) is a full fence too on "
		"x86-64. A shared write is one to a cache line that another thread's operation was seen to read or write; "
		"each such line travels between CPUs every time, which is what a machine with many of them pays for. A "
		"contended line is one that both touch and not both only read. An operation whose counts of these are zero "
		"does nothing that other CPUs could slow down. A bracket (start and end, 16 mirrors with two empty callbacks "
		"each unless said otherwise) is compared with the other thread's bracket; register and unregister with all "
		"that the other thread does. In a storm: after 500 changes, one for every hundred walks, which "
		"srcu answers with fences in its walks, so that unregisters need not interrupt them.",
	.exact = true,
	.plan = plan_lists,
	.leaves_out = refused,
	.run = run_list,
};

const struct bench_question question_primitive_counts = {
	.report = &report_primitive_counts,
	.title = "What decides how sections and grace periods scale?",
	.how_to_read =
		"The same counts for one empty section, compared with another thread's section, and for one grace period "
		"while no reader is in a section, compared with all that the other thread does.",
	.exact = true,
	.comparators = section_comparators,
	.plan = plan_primitives,
	.leaves_out = refused,
	.run = run_primitive,
};
