/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * replay: what would real programs pay, had every mapping of theirs been a mirror?
 *
 * replay_script.h says how a trace becomes calls into the library.  The recorded times are not
 * kept: all is played as fast as it goes, again and again until the time is up, the first time
 * unmeasured.  There are as many threads as the process with the most threads had, up to the number
 * of CPUs, since more would measure the scheduler.  Processes share these threads: side by side
 * they would send each other interrupts (membarrier) which separate processes do not.
 *
 * Unregisters that follow each other, as those of one unmapping or of an exec, are one call of
 * mirror_unregister_many; each counts as an operation.
 *
 * An operation that waits for another thread's waits outside the list: that counts for operations
 * a second, but not for the time in the list.  That time includes one reading of the clock per
 * operation.  What is still registered at a trace's end is unregistered unmeasured, so that the
 * next pass finds empty lists.
 *
 * 'no-sync' may not change its list under walkers, so it replays everything in one thread: a limit for
 * traces of one thread, and for the others only a hint.
 */
#include "../measure/crew.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../measure/replay_script.h"
#include "../measure/topology.h"
#include "../measure/trace.h"
#include "../report/units.h"
#include "question.h"

/* Unregisters in one call. */
enum { MOST_TOGETHER = 64 };

struct object {
	struct mirror mirror;
	atomic_int registered;          /* the pass in which it was */
} __attribute__((__aligned__(64)));

struct player {
	uint64_t in_list_ns[REPLAY_NR_KINDS];
	uint64_t nr[REPLAY_NR_KINDS];
	int error;
} __attribute__((__aligned__(64)));

struct replay {
	const struct replay_script *script;
	struct mirror_list **lists;
	struct object *objects;
	struct player *players;
	uint64_t duration_ns;
	uint64_t begun_ns, wall_ns;     /* thread 0's */
	int nr_passes;                  /* the same: the passes that are measured */
	atomic_bool stop;
	/* A line at which all wait for all, without the kernel: passes may take less than a wake-up. */
	atomic_uint arrived, crossed;
};

static void line(struct replay *replay)
{
	unsigned crossed = atomic_load(&replay->crossed);

	if (atomic_fetch_add(&replay->arrived, 1) + 1 == replay->script->nr_threads) {
		atomic_store(&replay->arrived, 0);
		atomic_fetch_add(&replay->crossed, 1);
		return;
	}
	for (unsigned turn = 0; atomic_load(&replay->crossed) == crossed; turn++)
		crew_pause(turn);
}

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

/* But for unregisters. */
static int play_op(struct replay *replay, const struct replay_op *op, int pass)
{
	struct object *object = &replay->objects[op->mirror];
	struct mirror_list *list = replay->lists[op->list];
	struct mirror_range range = { .start = op->start, .end = op->end, .flags = MIRROR_RANGE_BLOCKABLE };
	int err;

	if (op->kind == REPLAY_REGISTER) {
		err = mirror_register_range(list, &object->mirror, &ops, op->start, op->end);
		atomic_store_explicit(&object->registered, pass, memory_order_release);
		return err;
	}
	err = mirror_invalidate_range_start(list, &range);
	if (!err)
		mirror_invalidate_range_end(list, &range);
	return err;
}

/* Waits until the mirror is registered in this pass; whether it had to. */
static bool wait_for_mirror(struct replay *replay, const struct replay_op *op, int pass)
{
	atomic_int *registered = &replay->objects[op->mirror].registered;

	if (atomic_load_explicit(registered, memory_order_acquire) == pass)
		return false;
	crew_wait(registered, pass);
	return true;
}

/*
 * The unregisters at the head of @next, up to one call's; returns how many.  It waits for all before the
 * first is done, which locks nothing up: what it waits for waits for nothing that this thread has yet to play.
 */
static size_t unregister_together(struct replay *replay, const struct replay_op *next, size_t nr_left, int pass,
				  uint64_t *before, int *err)
{
	struct mirror *mirrors[MOST_TOGETHER];
	bool waited = false;
	size_t n = 0;

	while (n < nr_left && n < MOST_TOGETHER && next[n].kind == REPLAY_UNREGISTER) {
		waited |= wait_for_mirror(replay, &next[n], pass);
		mirrors[n] = &replay->objects[next[n].mirror].mirror;
		n++;
	}
	if (waited)
		*before = bench_now_ns();
	*err = n == 1 ? mirror_unregister(mirrors[0]) : mirror_unregister_many(mirrors, n);
	return n;
}

/* One reading of the clock per call, and one more if it had to wait. */
static void play(struct replay *replay, unsigned index, int pass)
{
	const struct replay_part *part = &replay->script->parts[index];
	struct player *me = &replay->players[index];
	uint64_t before = bench_now_ns(), after;
	size_t n;

	for (size_t i = 0; i < part->nr_ops; i += n) {
		const struct replay_op *op = &part->ops[i];
		int err;

		n = 1;
		if (op->kind == REPLAY_UNREGISTER)
			n = unregister_together(replay, op, part->nr_ops - i, pass, &before, &err);
		else
			err = play_op(replay, op, pass);
		after = bench_now_ns();
		me->in_list_ns[op->kind] += after - before;
		me->nr[op->kind] += n;
		before = after;
		if (err)
			me->error = err;
	}
}

static void body(struct crew_thread *t)
{
	struct replay *replay = t->arg;

	for (int pass = 1;; pass++) {
		uint64_t begun;

		if (t->index == 0)
			atomic_store(&replay->stop, pass > 2 && (bench_interrupted || bench_now_ns() -
						    replay->begun_ns > replay->duration_ns));
		line(replay);
		if (atomic_load(&replay->stop))
			return;
		if (pass == 2)
			replay->players[t->index] = (struct player){ .error = replay->players[t->index].error };
		begun = bench_now_ns();
		play(replay, t->index, pass);
		line(replay);
		if (t->index != 0)
			continue;
		if (pass == 1) {
			replay->begun_ns = bench_now_ns();
		} else {
			replay->wall_ns += bench_now_ns() - begun;
			replay->nr_passes++;
		}
		for (size_t i = 0; i < replay->script->nr_left; i++)
			mirror_unregister(&replay->objects[replay->script->left[i]].mirror);
	}
}

static void results(const struct replay *replay, json_t *metrics)
{
	static const char *const names[REPLAY_NR_KINDS] = {
		"register_mean_ns", "invalidate_mean_ns", "unregister_mean_ns",
	};
	uint64_t all_ns = 0, all = 0;

	for (int kind = 0; kind < REPLAY_NR_KINDS; kind++) {
		uint64_t ns = 0, nr = 0;

		for (unsigned i = 0; i < replay->script->nr_threads; i++) {
			ns += replay->players[i].in_list_ns[kind];
			nr += replay->players[i].nr[kind];
		}
		if (nr > 0)
			json_object_set_new(metrics, names[kind], json_real((double)ns / (double)nr));
		all_ns += ns;
		all += nr;
	}
	json_object_set_new(metrics, "operations_per_s", json_real((double)all * 1e9 / (double)replay->wall_ns));
	json_object_set_new(metrics, "in_list_ns_per_operation", json_real((double)all_ns / (double)all));
	json_object_set_new(metrics, "in_list_ns_per_pass", json_real((double)all_ns / replay->nr_passes));
	json_object_set_new(metrics, "operations_per_pass", json_integer((json_int_t)replay->script->nr_ops));
	json_object_set_new(metrics, "threads", json_integer(replay->script->nr_threads));
	json_object_set_new(metrics, "passes", json_integer(replay->nr_passes));
}

static int play_all(struct replay *replay, const struct bench_comparator *comparator, json_t *metrics)
{
	struct crew crew = {
		.comparator = comparator,
		.nr_threads = replay->script->nr_threads,
		.body = body,
		.arg = replay,
		.patience_ns = replay->duration_ns + 60 * NS_PER_S,
	};
	int err = crew_run(&crew);

	for (unsigned i = 0; i < crew.nr_threads && !err; i++)
		err = replay->players[i].error;
	if (!err && bench_interrupted)
		err = -EINTR;
	if (!err)
		results(replay, metrics);
	return err;
}

/* The most recorded threads that change one address space. */
static unsigned most_threads(const struct trace *trace)
{
	uint8_t *counted = calloc(trace->nr_threads, 1);
	unsigned *threads = calloc(trace->nr_processes, sizeof(threads[0]));
	unsigned most = 1;

	for (size_t i = 0; counted && threads && i < trace->nr_events; i++) {
		const struct trace_event *e = &trace->events[i];

		if (counted[e->thread])
			continue;
		counted[e->thread] = 1;
		if (++threads[e->process] > most)
			most = threads[e->process];
	}
	free(counted);
	free(threads);
	return most;
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	return comparator->plain ? "it cannot unregister many at once" : NULL;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	const struct trace *trace = c->trace_data;
	struct replay *replay = calloc(1, sizeof(*replay));
	struct replay_script *script = NULL;
	unsigned nr_threads = topology_nr_places();
	size_t nr_lists = 0;
	int err = -ENOMEM;

	if (most_threads(trace) < nr_threads)
		nr_threads = most_threads(trace);
	if (comparator->list_is_frozen)
		nr_threads = 1;
	if (!replay || replay_script_create(trace, nr_threads, &script))
		goto out;
	replay->script = script;
	replay->duration_ns = c->duration_ns;
	replay->lists = calloc(script->nr_lists, sizeof(replay->lists[0]));
	replay->objects = aligned_alloc(64, (script->nr_mirrors + 1) * sizeof(replay->objects[0]));
	replay->players = aligned_alloc(64, nr_threads * sizeof(replay->players[0]));
	if (!replay->lists || !replay->objects || !replay->players)
		goto out;
	memset(replay->objects, 0, (script->nr_mirrors + 1) * sizeof(replay->objects[0]));
	memset(replay->players, 0, nr_threads * sizeof(replay->players[0]));
	for (err = 0; nr_lists < script->nr_lists && !err; nr_lists += !err)
		err = bench_list_create(&replay->lists[nr_lists], comparator);
	if (!err)
		err = play_all(replay, comparator, metrics);
	if (err == -ETIMEDOUT)
		return err;
	while (nr_lists > 0)
		mirror_list_destroy(replay->lists[--nr_lists]);
out:
	if (replay) {
		free(replay->lists);
		free(replay->objects);
		free(replay->players);
	}
	free(replay);
	replay_script_free(script);
	return err;
}

/* The traces that were asked for, with the names that the records give them. */
static struct {
	struct trace *trace;
	char name[32];
} loaded[BENCH_MAX_LIST];
static unsigned nr_loaded;

static int load(const char *path)
{
	const char *base = strrchr(path, '/');
	char message[512];
	int err;

	base = base ? base + 1 : path;
	if (nr_loaded == BENCH_MAX_LIST) {
		bench_complain("%s: %d traces at most", path, BENCH_MAX_LIST);
		return -E2BIG;
	}
	err = trace_load(path, &loaded[nr_loaded].trace, message, sizeof(message));
	if (err) {
		bench_complain("%s", message);
		return err;
	}
	snprintf(loaded[nr_loaded].name, sizeof(loaded[0].name), "%.*s", (int)strcspn(base, ".,"), base);
	nr_loaded++;
	return 0;
}

static int is_trace(const struct dirent *entry)
{
	const char *suffix = strrchr(entry->d_name, '.');

	return suffix && strcmp(suffix, ".trace") == 0;
}

static int load_directory(const char *directory)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, is_trace, alphasort), err = 0;
	char path[4096];

	if (n < 0) {
		err = -errno;
		bench_complain("%s: %s", directory, strerror(errno));
		return err;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		if (!err)
			err = load(path);
		free(entries[i]);
	}
	free(entries);
	return err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = { .publishers = BENCH_UNUSED, .mirrors = BENCH_UNUSED };
	int err = config->traces_dir ? load_directory(config->traces_dir) : 0;

	for (int i = 0; config->traces[i] && !err; i++)
		err = load(config->traces[i]);
	if (err)
		return err;
	if (nr_loaded == 0) {
		bench_complain("note: no traces to replay: see --traces");
		return 0;
	}
	c.duration_ns = bench_share_ns(config, 28 * NS_PER_S, nr_loaded * bench_nr_comparators(config), 200 * NS_PER_MS);
	c.expected_ns = c.duration_ns + 20 * NS_PER_MS;
	for (unsigned i = 0; i < nr_loaded && !err; i++) {
		c.trace = loaded[i].name;
		c.trace_data = loaded[i].trace;
		err = bench_plan_add(plan_, &question_replay, &c);
	}
	return err;
}

static void unplan(void)
{
	while (nr_loaded > 0)
		trace_free(loaded[--nr_loaded].trace);
}

/* ---- the report ---- */

/* "gcc" of "trace=gcc,...". */
static void title_of(const json_t *results, const char *case_name, char *text, size_t size)
{
	const char *equals = strchr(case_name, '='), *trace = equals ? equals + 1 : case_name;

	(void)results;
	text_add(text, size, "%.*s: operations, how many times rwsem, and the mean time in the list",
		 (int)strcspn(trace, ","), trace);
}

static const struct report_table tables[] = {
	{ .title_of = title_of, .columns = {
		COLUMN(RATE, "operations\nM/s", "operations_per_s"),
		RATIO_COLUMN("\n/rwsem", "operations_per_s", "rwsem"),
		COLUMN(NS, "an\noperation", "in_list_ns_per_operation"),
		COLUMN(NS, "an in-\nvalidation", "invalidate_mean_ns"),
		COLUMN(NS, "an un-\nregister", "unregister_mean_ns"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "mean of an operation in the list",
	.marks = { { "in_list_ns_per_operation", "" } },
};

static const struct report_question report = {
	.name = "replay",
	.tables = tables,
	.figure = &figure,
};

const struct bench_question question_replay = {
	.report = &report,
	.title = "What would real programs pay, had every mapping of theirs been a mirror?",
	.how_to_read =
		"Recorded changes of real programs' address spaces are played as fast as they go. Mapping registers a "
		"mirror of the range, unmapping invalidates the range and unregisters what was in it (in one call), madvise and "
		"mprotect invalidate. There are as many threads as the busiest process had, up to the number of CPUs. The time in the "
		"list is the mean of an operation, one reading of the clock included; waiting for another thread's "
		"earlier operation is not in it. 'no-sync' replays in one thread, since its list may not change under "
		"others: compare with it only where the program had one thread.",
	.plan = plan,
	.unplan = unplan,
	.leaves_out = leaves_out,
	.run = run,
};
