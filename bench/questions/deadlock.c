/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * deadlock: do the three threads that hung HMM hang here?
 *
 *	A publishes; its callback   B unregisters         C holds device_lock
 *	wants device_lock           another mirror        and publishes elsewhere
 *
 * Under a lock whose waiting writer makes later readers wait, C waits behind B, B behind A and A
 * for C.  B uses mirror_unregister_timeout with 300 ms, so that a deadlock dissolves: no
 * progress until B gave up is what is reported as "deadlocks".  B lets C through and then tries
 * again until it gets 0.
 *
 * Order without sleeps: C takes device_lock; A goes into its callback; B goes into unregister; C
 * waits for a sign that B waits (witness.h) and only then publishes.  C's range touches neither
 * A's mirror nor B's, so nothing but the list itself can hold it up.
 */
#include "../measure/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../comparators/comparators.h"
#include "../comparators/families.h"
#include "../measure/witness.h"
#include "../report/summary.h"
#include "../report/units.h"
#include "question.h"

static const uint64_t give_up_ns = 300 * NS_PER_MS;
static const uint64_t sign_limit_ns = 150 * NS_PER_MS;
enum { MAX_ATTEMPTS = 10 };

struct scene {
	struct mirror a_mirror, b_mirror, c_mirror;
	struct mirror_list *list;
	pthread_mutex_t device_lock;
	atomic_int c_holds_lock;
	atomic_int a_in_callback;
	atomic_int c_is_through;
	struct witness witness;
	const char *sign;
	uint64_t b_gave_up_ns;          /* when its first try ended */
	uint64_t c_began_ns, c_ended_ns;        /* its invalidation */
	int a_error, b_first_error, b_error, c_error;
	int b_tries;
	uint64_t b_took_ns;
};

enum { A_START = 0x10000, B_START = 0x20000, C_START = 0x30000, LENGTH = 0x1000 };

static int take_device_lock(struct mirror *m, const struct mirror_range *r)
{
	struct scene *scene = r->data;

	(void)m;
	atomic_store(&scene->a_in_callback, 1);
	pthread_mutex_lock(&scene->device_lock);
	pthread_mutex_unlock(&scene->device_lock);
	return 0;
}

static int do_nothing(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops a_ops = { .size = sizeof(a_ops), .invalidate_range_start = take_device_lock };
static const struct mirror_ops other_ops = { .size = sizeof(other_ops), .invalidate_range_start = do_nothing };

static int publish(struct scene *scene, uint64_t start)
{
	struct mirror_range range = {
		.start = start,
		.end = start + LENGTH,
		.flags = MIRROR_RANGE_BLOCKABLE,
		.data = scene,
	};
	int err = mirror_invalidate_range_start(scene->list, &range);

	if (!err)
		mirror_invalidate_range_end(scene->list, &range);
	return err;
}

static void thread_a(struct scene *scene)
{
	crew_wait(&scene->c_holds_lock, 1);
	scene->a_error = publish(scene, A_START);
	/* Whatever went wrong, the others must not wait for a callback that will not come. */
	atomic_store(&scene->a_in_callback, 1);
}

static void thread_b(struct scene *scene)
{
	uint64_t begun;

	crew_wait(&scene->a_in_callback, 1);
	witness_enter(&scene->witness, 1);
	begun = bench_now_ns();
	scene->b_error = scene->b_first_error = mirror_unregister_timeout(&scene->b_mirror, give_up_ns);
	scene->b_gave_up_ns = bench_now_ns();
	witness_leave(&scene->witness, 1);
	/* Queueing again at once would shut C out again before it has woken. */
	crew_wait(&scene->c_is_through, 1);
	for (scene->b_tries = 1; scene->b_error == -ETIMEDOUT && scene->b_tries < 20; scene->b_tries++)
		scene->b_error = mirror_unregister_timeout(&scene->b_mirror, NS_PER_S);
	scene->b_took_ns = bench_now_ns() - begun;
}

static int probe(void *arg)
{
	struct mirror_range range = { .start = C_START, .end = C_START + LENGTH };
	struct scene *scene = arg;
	int err = mirror_invalidate_range_start(scene->list, &range);

	if (!err)
		mirror_invalidate_range_end(scene->list, &range);
	return err;
}

static void thread_c(struct scene *scene)
{
	pthread_mutex_lock(&scene->device_lock);
	atomic_store(&scene->c_holds_lock, 1);
	crew_wait(&scene->a_in_callback, 1);
	for (unsigned turn = 0; !scene->sign; turn++) {
		scene->sign = witness_look(&scene->witness, 1, probe, scene, sign_limit_ns);
		crew_pause(turn);
	}
	scene->c_began_ns = bench_now_ns();
	scene->c_error = publish(scene, C_START);
	scene->c_ended_ns = bench_now_ns();
	atomic_store(&scene->c_is_through, 1);
	pthread_mutex_unlock(&scene->device_lock);
}

static void body(struct crew_thread *t)
{
	static void (*const roles[])(struct scene *) = { thread_a, thread_b, thread_c };

	roles[t->index](t->arg);
}

/*
 * On a busy machine C may come too late, after B gave up; or take a lapse of time for a sign although
 * the sync would have given a better one, had B been on its CPU.  Neither shows anything.
 */
static bool shows_nothing(const struct scene *scene, const struct bench_comparator *comparator)
{
	bool late = scene->b_first_error == -ETIMEDOUT && scene->c_began_ns >= scene->b_gave_up_ns;

	return late || (comparator->sync->read_trylock && strcmp(scene->sign, "bounded") == 0);
}

static void results(const struct scene *scene, int attempts, json_t *metrics)
{
	bool deadlocks = scene->b_first_error == -ETIMEDOUT && scene->c_ended_ns >= scene->b_gave_up_ns;

	json_object_set_new(metrics, "deadlocks", json_integer(deadlocks));
	json_object_set_new(metrics, "verdict", json_string(deadlocks ? "deadlocks" : "passes"));
	json_object_set_new(metrics, "publisher_waited_ns",
			    json_integer((json_int_t)(scene->c_ended_ns - scene->c_began_ns)));
	json_object_set_new(metrics, "unregister_took_ns", json_integer((json_int_t)scene->b_took_ns));
	json_object_set_new(metrics, "unregister_first",
			    json_string(scene->b_first_error ? strerrorname_np(-scene->b_first_error) : "0"));
	json_object_set_new(metrics, "unregister_tries", json_integer(scene->b_tries));
	json_object_set_new(metrics, "sign", json_string(scene->sign));
	json_object_set_new(metrics, "attempts", json_integer(attempts));
}

static int play(struct scene *scene, const struct bench_comparator *comparator)
{
	struct crew crew = {
		.comparator = comparator,
		.nr_threads = 3,
		.body = body,
		.arg = scene,
	};
	int err = mirror_register_range(scene->list, &scene->a_mirror, &a_ops, A_START, A_START + LENGTH);

	if (!err)
		err = mirror_register_range(scene->list, &scene->b_mirror, &other_ops, B_START, B_START + LENGTH);
	if (!err)
		err = mirror_register_range(scene->list, &scene->c_mirror, &other_ops, C_START, C_START + LENGTH);
	if (!err)
		err = crew_run(&crew);
	if (err)
		return err;
	if (scene->a_error || scene->b_error || scene->c_error) {
		bench_complain("deadlock over %s: A got %d, B %d, C %d", comparator->name, scene->a_error,
			       scene->b_error, scene->c_error);
		return -EIO;
	}
	return 0;
}

/* 1: the scene showed something and is in @metrics; 0: play it again; or -errno. */
static int attempt(const struct bench_comparator *comparator, int attempts, json_t *metrics)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	int err;

	if (!scene)
		return -ENOMEM;
	pthread_mutex_init(&scene->device_lock, NULL);
	err = bench_list_create(&scene->list, comparator);
	if (err)
		goto out;
	err = play(scene, comparator);
	if (err == -ETIMEDOUT)
		return err; /* its threads still use the scene */
	if (!err && (attempts == MAX_ATTEMPTS || !shows_nothing(scene, comparator))) {
		results(scene, attempts, metrics);
		err = 1;
	}
	mirror_unregister(&scene->a_mirror);
	mirror_unregister(&scene->c_mirror);
	mirror_list_destroy(scene->list);
out:
	pthread_mutex_destroy(&scene->device_lock);
	free(scene);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	int done = 0;

	(void)c;
	for (int attempts = 1; done == 0 && attempts <= MAX_ATTEMPTS; attempts++)
		done = bench_interrupted ? -EINTR : attempt(comparator, attempts, metrics);
	return done < 0 ? done : 0;
}

static const char *leaves_out(const struct bench_comparator *comparator)
{
	if (comparator->plain && !comparator->list_is_frozen)
		return "its unregister has no time limit";
	return comparator->list_is_frozen ? "its list must not change" : comparator->hangs_for_good;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.expected_ns = give_up_ns / 2,
	};

	(void)config;
	return bench_plan_add(plan_, &question_deadlock, &c);
}

/* ---- the report ---- */

static const char name[] = "deadlock";

/* A sync that hangs once in many times is one that hangs. */
static void verdict_cell(struct table *t, const struct cell_place *of, const char *metric)
{
	size_t all = summary_count(of->results, of->question, of->case_name, of->comparator, metric, NULL);
	size_t hang = summary_count(of->results, of->question, of->case_name, of->comparator, metric, "deadlocks");

	if (all == 0)
		table_cell(t, "-");
	else if (hang > 0 && hang < all)
		table_cell(t, "deadlocks (%zu of %zu)", hang, all);
	else
		table_cell(t, "%s", hang ? "deadlocks" : "passes");
}

/* "a, b and c": the comparators that hang, or the comparators that never did; returns how many. */
static size_t name_those(const json_t *results, bool that_hang, char *text, size_t size)
{
	const char *names[SUMMARY_MAX_COMPARATORS], *those[SUMMARY_MAX_COMPARATORS];
	size_t nr = summary_comparators(results, name, names), n = 0;

	for (size_t i = 0; i < nr; i++) {
		size_t all = summary_count(results, name, NULL, names[i], "verdict", NULL);
		bool hangs = summary_count(results, name, NULL, names[i], "verdict", "deadlocks") > 0;

		if (all > 0 && hangs == that_hang)
			those[n++] = comparator_label(names[i]);
	}
	for (size_t i = 0; i < n; i++)
		text_add(text, size, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", those[i]);
	return n;
}

static bool sentence(const json_t *results, char *text, size_t size)
{
	char hang[256] = "", pass[256] = "";
	size_t nr_hang = name_those(results, true, hang, sizeof(hang));
	size_t nr_pass = name_those(results, false, pass, sizeof(pass));

	text[0] = '\0';
	if (nr_hang + nr_pass == 0)
		return false;
	if (nr_hang == 0)
		text_add(text, size, "The three-thread deadlock stops none of those measured: %s.", pass);
	else
		text_add(text, size, "The three threads that hung HMM deadlock over %s; they pass over %s.", hang,
			 nr_pass ? pass : "nobody");
	return true;
}

static const char *const less_is_better[] = { "deadlocks", NULL };

static const struct report_table tables[] = {
	{ .title = "", .columns = {
		OWN_COLUMN("verdict", "verdict", verdict_cell),
		COLUMN(NS, "C's invalidation\ntook", "publisher_waited_ns"),
		COLUMN(TEXT, "B's unregister\nfirst got", "unregister_first"),
		COLUMN(NS, "and took\nin all", "unregister_took_ns"),
		COLUMN(TEXT, "B was seen\nto wait", "sign"),
	} },
	{ .title = NULL },
};

static const struct report_figure figure = {
	.axis = "C's invalidation",
	.marks = { { "publisher_waited_ns", "" } },
	.line = 3e8,
	.caption = "At the dashed line: nothing moved until B gave up after 300 ms.",
};

static const struct report_headline headline = {
	.columns = { OWN_COLUMN("3-thread\ndeadlock", "verdict", verdict_cell) },
};

static const struct report_question report = {
	.name = name,
	.tables = tables,
	.figure = &figure,
	.headline = &headline,
	.less_is_better = less_is_better,
	.sentence = sentence,
};

const struct bench_question question_deadlock = {
	.report = &report,
	.title = "Do the three threads that hung HMM hang here?",
	.how_to_read =
		"A publishes and its callback wants device_lock; C holds device_lock and publishes to another range; "
		"B unregisters a third mirror with a time limit of 300 ms. C starts only when there is a sign that B "
		"waits. 'deadlocks': nothing moved until B gave up. 'passes': C's invalidation went through at "
		"once, and with it everybody. The time is how long C's invalidation took.",
	.plan = plan,
	.leaves_out = leaves_out,
	.run = run,
};
