/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * `mirror-bench run`: plans the cases, measures them, writes the records
 *
 * Repeats are outermost and comparators innermost (A B C A B C), so that whatever else happens on
 * the machine hurts all comparators alike, and an early end leaves something of everything.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "comparators/comparators.h"
#include "measure/machine.h"
#include "measure/progress.h"
#include "measure/topology.h"
#include "questions/question.h"
#include "report/output.h"
#include "report/projection.h"
#include "report/report.h"

/* One measurement, one record; a failure is a record too, with the reason in place of numbers. */
static int measure_one(const struct bench_planned *planned, const struct bench_comparator *comparator, int repeat,
		       json_t *records)
{
	json_t *metrics = json_object(), *record;
	uint64_t begun = bench_now_ns();
	char name[128];
	int err;

	if (comparator->thread_setup)
		comparator->thread_setup();
	err = planned->question->run(&planned->c, comparator, metrics);
	if (comparator->thread_teardown)
		comparator->thread_teardown();
	if (err == -EINTR || err == -EOPNOTSUPP) {
		json_decref(metrics);
		return err == -EINTR ? err : 0;
	}
	record = json_object();
	json_object_set_new(record, "question", json_string(planned->question->report->name));
	json_object_set_new(record, "parameters", bench_case_describe(&planned->c, name, sizeof(name)));
	json_object_set_new(record, "case", json_string(name));
	json_object_set_new(record, "comparator", json_string(comparator->name));
	json_object_set_new(record, "repeat", json_integer(repeat));
	json_object_set_new(record, "took_ns", json_integer((json_int_t)(bench_now_ns() - begun)));
	if (planned->c.publishers != BENCH_UNUSED && (unsigned)planned->c.publishers > topology_nr_places())
		json_object_set_new(record, "threads_share_cpus", json_true());
	if (err) {
		bench_complain("%s/%s/%s: %s", planned->question->report->name, name, comparator->name,
			       err == -ETIMEDOUT ? "hangs" : strerror(-err));
		json_object_set_new(record, "error",
				    json_string(err == -ETIMEDOUT ? "hangs" : strerror(-err)));
	}
	json_object_set_new(record, "metrics", metrics);
	json_array_append_new(records, record);
	return err;
}

/*
 * Calls @visit for everything that is to be measured, in the order of the run.  Exact questions come before
 * the repeats, in a process that has done nothing yet: they copy it, and what others leave behind, such as
 * the threads of outside libraries, would be known to the copy and not be there.
 */
static int for_each_run(const struct bench_config *config, const struct bench_plan *plan,
			int (*visit)(void *arg, const struct bench_planned *planned,
				     const struct bench_comparator *comparator, const char *name, int repeat),
			void *arg)
{
	char name[128];
	int err;

	for (int repeat = -1; repeat < config->repeats; repeat++) {
		for (size_t i = 0; i < plan->nr; i++) {
			const struct bench_question *question = plan->cases[i].question;
			const struct bench_comparator *const *comparators = bench_comparators_of(question);

			if (question->exact != (repeat < 0))
				continue;
			json_decref(bench_case_describe(&plan->cases[i].c, name, sizeof(name)));
			for (int k = 0; comparators[k]; k++) {
				if (question->leaves_out && question->leaves_out(comparators[k]))
					continue;
				if (!bench_wanted(config, question->report->name, name, comparators[k]))
					continue;
				err = visit(arg, &plan->cases[i], comparators[k], name, repeat < 0 ? 0 : repeat);
				if (err)
					return err;
			}
		}
	}
	return 0;
}

struct expected {
	size_t nr_records;
	uint64_t ns;
};

static int add_expected(void *arg, const struct bench_planned *planned, const struct bench_comparator *comparator,
			const char *name, int repeat)
{
	struct expected *expected = arg;

	(void)comparator;
	(void)name;
	(void)repeat;
	expected->nr_records++;
	expected->ns += planned->c.expected_ns;
	return 0;
}

struct counted {
	const struct bench_planned *planned;
	const struct bench_comparator *comparator;
	json_t *records;
	int err;
};

static void *run_counted(void *arg)
{
	struct counted *counted = arg;

	counted->err = measure_one(counted->planned, counted->comparator, 0, counted->records);
	return NULL;
}

/*
 * The kernel puts the first thread's stack at a random place in its cache line, and what lies on it decides which lines
 * are shared: on a thread of its own, whose stack begins with a page, two runs count the same.
 */
static int count_one(const struct bench_planned *planned, const struct bench_comparator *comparator, json_t *records)
{
	struct counted counted = { planned, comparator, records, 0 };
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run_counted, &counted);

	if (err)
		return -err;
	pthread_join(thread, NULL);
	return counted.err;
}

struct running {
	json_t *records;
	int nr_failed;
};

static int run_one(void *arg, const struct bench_planned *planned, const struct bench_comparator *comparator,
		   const char *name, int repeat)
{
	struct running *running = arg;
	char what[256];
	int err;

	if (bench_interrupted)
		return -EINTR;
	snprintf(what, sizeof(what), "%s %s %s", planned->question->report->name, name, comparator->name);
	progress_step(what, planned->c.expected_ns);
	err = planned->question->exact ? count_one(planned, comparator, running->records) :
					 measure_one(planned, comparator, repeat, running->records);
	if (err == -EINTR)
		return err;
	if (err)
		running->nr_failed++;
	/* Threads that hang keep CPUs busy, so that nothing measured from now on would be right. */
	return err == -ETIMEDOUT ? err : 0;
}

struct search {
	const struct bench_comparator *comparator;
	bool found;
};

static int find_comparator(void *arg, const struct bench_planned *planned, const struct bench_comparator *comparator,
			   const char *name, int repeat)
{
	struct search *search = arg;

	(void)planned;
	(void)name;
	(void)repeat;
	search->found |= comparator == search->comparator;
	return search->found;
}

/* A comparator for --full is described only if it is measured. */
static json_t *describe_comparators(const struct bench_config *config, const struct bench_plan *plan,
				    const struct bench_comparator *const *comparators)
{
	json_t *all = json_array();

	for (int i = 0; comparators[i]; i++) {
		const struct bench_comparator *c = comparators[i];
		struct search search = { .comparator = c };
		json_t *one;

		if (c->full_only && !for_each_run(config, plan, find_comparator, &search))
			continue;
		one = json_pack("{s:s, s:s}", "name", c->name, "about", c->about);
		if (c->library)
			json_object_set_new(one, "library", json_string(c->library));
		json_array_append_new(all, one);
	}
	return all;
}

static json_t *describe_questions(const struct bench_config *config, const struct bench_plan *plan)
{
	json_t *all = json_array();

	for (int i = 0; bench_questions[i]; i++) {
		const struct bench_question *q = bench_questions[i];
		const struct bench_comparator *const *comparators = bench_comparators_of(q);
		json_t *left_out = json_object(), *one;
		size_t nr_cases = 0;

		for (size_t k = 0; k < plan->nr; k++)
			nr_cases += plan->cases[k].question == q;
		for (int k = 0; q->leaves_out && comparators[k]; k++)
			if (q->leaves_out(comparators[k]))
				json_object_set_new(left_out, comparators[k]->name,
						    json_string(q->leaves_out(comparators[k])));
		one = json_pack("{s:s, s:s, s:s, s:i, s:o}", "name", q->report->name, "title", q->title,
				"how_to_read", q->how_to_read, "cases", (int)nr_cases,
				"left_out", left_out);
		json_object_set_new(one, "exact", json_boolean(q->exact));
		if (q->comparators)
			json_object_set_new(one, "comparators", describe_comparators(config, plan, q->comparators));
		json_array_append_new(all, one);
	}
	return all;
}

static json_t *describe_run(const struct bench_config *config, const struct bench_plan *plan, int argc, char **argv)
{
	json_t *results = json_object(), *absent = json_object(), *command = json_array();
	char started[32];
	time_t now = time(NULL);
	struct tm utc;

	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	for (int i = 0; bench_absent[i].name; i++)
		json_object_set_new(absent, bench_absent[i].name, json_string(bench_absent[i].why));
	for (int i = 0; bench_absent_questions[i].names; i++)
		json_object_set_new(absent, bench_absent_questions[i].names, json_string(bench_absent_questions[i].why));
	json_array_append_new(command, json_string("mirror-bench"));
	for (int i = 0; i < argc; i++)
		json_array_append_new(command, json_string(argv[i]));
	json_object_set_new(results, "format", json_string("mirror-bench 1"));
	json_object_set_new(results, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(results, "commit", json_string(config->commit));
	json_object_set_new(results, "command", command);
	json_object_set_new(results, "mode", json_string(config->full ? "full" : "quick"));
	json_object_set_new(results, "repeats", json_integer(config->repeats));
	json_object_set_new(results, "started", json_string(started));
	json_object_set_new(results, "machine", machine_describe());
	json_object_set_new(results, "comparators", describe_comparators(config, plan, bench_comparators));
	json_object_set_new(results, "absent", absent);
	json_object_set_new(results, "questions", describe_questions(config, plan));
	return results;
}

static json_t *describe_projections(const json_t *results)
{
	struct report report = bench_report_of(results);
	json_t *all = json_array(), *some;

	for (size_t i = 0; report.questions[i]; i++) {
		const struct report_question *q = report.questions[i];

		if (!q->projected)
			continue;
		some = projection_describe(results, q->name, q->projected, report_headline_case(&report, q));
		json_array_extend(all, some);
		json_decref(some);
	}
	return all;
}

static int write_json(const json_t *results, struct output *output)
{
	FILE *file = output_begin(output);

	if (!file)
		return 1;
	/* An error stays with the file. */
	json_dumpf(results, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	fputc('\n', file);
	return output_end(output, file);
}

/* Minutes of measurement are not thrown away because a disk filled up meanwhile. */
static void rescue_json(const json_t *results)
{
	const char *folder = getenv("TMPDIR");
	struct output output;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/mirror-bench-%ld.json", folder ? folder : "/tmp", (long)getpid());
	if (output_prepare(&output, path, 0) == 0 && write_json(results, &output) == 0)
		bench_complain("the records are in %s instead", path);
}

static void on_interrupt(int signal)
{
	(void)signal;
	bench_interrupted = 1;
}

/** struct outputs - where the records go, and the page */
struct outputs {
	struct output json, page;
};

/* Before anything is measured: what cannot be written is said now. */
static int prepare_outputs(const struct bench_config *config, size_t nr_records, struct outputs *outputs)
{
	/* Of a full run a record takes some 400 bytes; the page has them too, and figures. */
	enum { RECORD_BYTES = 1024, PAGE_BYTES = 1024 * 1024 };

	if (config->report_path && strcmp(config->json_path, config->report_path) == 0) {
		bench_complain("--json and --report name the same file: \"%s\"", config->json_path);
		return cli_wrong(&cli_run);
	}
	if (output_prepare(&outputs->json, config->json_path, nr_records * RECORD_BYTES))
		return 1;
	return config->report_path &&
	       output_prepare(&outputs->page, config->report_path, PAGE_BYTES + nr_records * RECORD_BYTES);
}

static int write_results(const struct bench_config *config, const json_t *results, struct outputs *outputs)
{
	bool page = config->report_path != NULL;
	FILE *text = output_is_stdout(&outputs->json) || (page && output_is_stdout(&outputs->page)) ? stderr : stdout;
	struct report report = bench_report_of(results);
	int status = write_json(results, &outputs->json);

	if (status)
		rescue_json(results);
	report_text(&report, text);
	if (page && report_page(&report, &outputs->page, config->figures))
		status = 1;
	if (!status) {
		fprintf(text, "\nrecords: %s\n", outputs->json.name);
		if (page)
			fprintf(text, "report:  %s\n", outputs->page.name);
	}
	return status;
}

static int run_plan(const struct bench_config *config, const struct bench_plan *plan, int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
	struct running running = { 0 };
	struct machine_use use;
	json_t *results;
	struct expected expected = { 0 };
	struct outputs outputs;
	uint64_t begun;
	double percent;
	int err, status;

	for_each_run(config, plan, add_expected, &expected);
	if (expected.nr_records == 0) {
		bench_complain("nothing to measure: no filter matches; see mirror-bench list");
		return 2;
	}
	status = prepare_outputs(config, expected.nr_records, &outputs);
	if (status)
		return status;
	begun = bench_now_ns();
	results = describe_run(config, plan, argc, argv);
	running.records = json_array();
	/* A second Ctrl-C ends the program at once. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	machine_look(&use);
	progress_begin(expected.ns);
	err = for_each_run(config, plan, run_one, &running);
	progress_clear();
	if (err == -EINTR)
		bench_complain("interrupted: writing what was measured so far");
	machine_describe_use(&use, json_object_get(results, "machine"));
	if (machine_is_busy(json_object_get(results, "machine"), &percent))
		bench_complain("note: others used %.0f%% of the CPUs during the run: the figures are noisy", percent);
	json_object_set_new(results, "partial", json_boolean(err != 0));
	json_object_set_new(results, "took_s", json_real((double)(bench_now_ns() - begun) / 1e9));
	json_object_set_new(results, "records", running.records);
	json_object_set_new(results, "projections", describe_projections(results));
	status = write_results(config, results, &outputs);
	if (err == -ETIMEDOUT) {
		/* The memory of the threads that hang must stay. */
		output_check(stdout, "standard output");
		_exit(1);
	}
	json_decref(results);
	if (err == -EINTR && !status)
		return 130;
	return status || running.nr_failed ? 1 : 0;
}

int bench_command_run(int argc, char **argv)
{
	struct bench_config config;
	struct bench_plan plan = { 0 };
	int status, err = topology_load();

	if (err) {
		bench_complain("cannot find out which CPUs there are: %s", strerror(-err));
		return 1;
	}
	status = bench_parse_run(argc, argv, &config);
	if (status || config.stop)
		goto out;
	for (int i = 0; bench_questions[i] && !err; i++)
		err = bench_questions[i]->plan(&config, &plan);
	if (err) {
		status = 2;
		goto out;
	}
	status = run_plan(&config, &plan, argc, argv);
out:
	for (int i = 0; bench_questions[i]; i++)
		if (bench_questions[i]->unplan)
			bench_questions[i]->unplan();
	free(plan.cases);
	topology_unload();
	return status;
}
