/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the parts of mirror-bench share: comparators, questions, cases and the configuration
 *
 * A question asks something of every comparator ("how many invalidations a second?").  A case is
 * a question with its parameters filled in ("with 2 publishers and 16 mirrors").  One run of one
 * case over one comparator gives one record in results.json.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <mirror/mirror.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/** struct bench_comparator - one way of keeping walkers and changes of the list apart */
struct bench_comparator {
	const char *name;
	const char *about;              /* half a sentence for the report */
	const char *library;            /* the outside library and its version; NULL: none */
	const struct mirror_sync *sync;
	unsigned list_flags;            /* MIRROR_LIST_... */
	bool list_is_frozen;            /* the list must not change while others walk it */
	const char *hangs_for_good;     /* why nothing would dissolve the three-thread deadlock; NULL: something does */
	bool full_only;                 /* --quick leaves it out unless a filter names it */
	void (*thread_setup)(void);     /* in each thread before it uses the list; NULL: nothing */
	void (*thread_teardown)(void);
	/* Around a measured loop that waits for no other thread, and between its operations; NULL: nothing. */
	void (*thread_online)(void);
	void (*thread_offline)(void);
	void (*quiescent)(void);
	const void *own;                /* of a question that has comparators of its own: what it asks */
};

/** struct bench_absent - a comparator that this build leaves out, and why */
struct bench_absent {
	const char *name;
	const char *why;
};

/* Both end with an entry whose name is NULL. */
extern const struct bench_comparator *const bench_comparators[];
extern const struct bench_absent bench_absent[];

enum { BENCH_UNUSED = -1 };

/** struct bench_case - the parameters of one question; a number is BENCH_UNUSED where it means nothing */
struct bench_case {
	int publishers;
	int mirrors;
	int threads;                    /* 0: means nothing, as in the next */
	int ranges;
	int callback_ns;                /* how long a start callback works; 0: it is empty */
	const char *scene;              /* what else goes on, or how things lie; NULL: means nothing */
	const char *trace;              /* its name; NULL: not a replay */
	const void *trace_data;         /* the question's own */
	uint64_t warmup_ns;
	uint64_t duration_ns;           /* of the measured part */
	uint64_t expected_ns;           /* of the whole run, for the time left */
};

struct bench_config;
struct bench_plan;

/** struct bench_question - what is asked; one file each */
struct bench_question {
	const char *name;               /* "throughput" */
	const char *title;              /* the question in words */
	const char *how_to_read;        /* a few sentences for the report */
	bool exact;                     /* the same each time: asked once, whatever the repeats */
	/* Its own, ending with NULL, where mirror lists are not what it compares; NULL: bench_comparators. */
	const struct bench_comparator *const *comparators;
	/* Adds the cases that @config asks for to @plan. */
	int (*plan)(const struct bench_config *config, struct bench_plan *plan);
	/* Returns why @comparator cannot be asked, or NULL. */
	const char *(*leaves_out)(const struct bench_comparator *comparator);
	/*
	 * Runs once and sets numbers (and texts that explain them) in @metrics.  -EOPNOTSUPP: this case
	 * cannot be put to this comparator; there is no record then.
	 */
	int (*run)(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics);
};

extern const struct bench_question question_throughput;
extern const struct bench_question question_trap;
extern const struct bench_question question_unregister;
extern const struct bench_question question_replay;
extern const struct bench_question question_deadlock;
extern const struct bench_question question_section;
extern const struct bench_question question_grace_period;
extern const struct bench_question question_call;
extern const struct bench_question question_behind;
extern const struct bench_question question_bulk;
extern const struct bench_question question_storm;
extern const struct bench_question question_ranges;
extern const struct bench_question question_memory;
extern const struct bench_question question_callbacks;
extern const struct bench_question question_noise;
extern const struct bench_question question_oversubscription;
extern const struct bench_question question_counts;
extern const struct bench_question question_primitive_counts;
/** throughput_run, throughput_share_ns - for questions that measure the same of other cases or comparators */
int throughput_run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics);
uint64_t throughput_share_ns(const struct bench_config *config);
extern const struct bench_question question_outside;
/** question_replay_unload - free the traces that its plan has loaded */
void question_replay_unload(void);
/* All of them, in the order of the report; ends with NULL. */
extern const struct bench_question *const bench_questions[];

enum { BENCH_MAX_LIST = 32 };

/** struct bench_config - what the command line asks for */
struct bench_config {
	bool full;
	int repeats;
	uint64_t duration_ns;           /* of one measured part; 0: as the question and the budget say */
	int publishers[BENCH_MAX_LIST]; /* ends with 0; empty: 1, 2, ... cores */
	int mirrors[BENCH_MAX_LIST];    /* ends with 0; empty: 1, 16, 256 */
	const char *filters[BENCH_MAX_LIST];
	const char *traces[BENCH_MAX_LIST];
	const char *traces_dir;
	const char *commit;
	const char *json_path;
	const char *report_path;
	bool figures;
	bool stop;                      /* --help was asked for and given */
};

/** bench_plan_add - one more case; copied */
int bench_plan_add(struct bench_plan *plan, const struct bench_question *question, const struct bench_case *c);

/** bench_parse_run - the options of `mirror-bench run`; 0, or the status to exit with */
int bench_parse_run(int argc, char **argv, struct bench_config *config);

/**
 * bench_wanted - whether a filter lets "question/case/comparator" through
 *
 * With --quick one that is full_only is wanted only by a filter that needs its name to match.
 */
bool bench_wanted(const struct bench_config *config, const char *question, const char *name,
		  const struct bench_comparator *comparator);

/** bench_share_ns - how long each measured part may take for @budget_ns to suffice for @runs of them */
uint64_t bench_share_ns(const struct bench_config *config, uint64_t budget_ns, unsigned runs, uint64_t most_ns);

/** bench_comparators_of - those that @question is put to; ends with NULL */
const struct bench_comparator *const *bench_comparators_of(const struct bench_question *question);

/** bench_nr_comparators_of - how many of them @config asks for without filters; @question NULL: of bench_comparators */
unsigned bench_nr_comparators_of(const struct bench_config *config, const struct bench_question *question);

/** bench_nr_comparators - how many ways of keeping a mirror list */
static inline unsigned bench_nr_comparators(const struct bench_config *config)
{
	return bench_nr_comparators_of(config, NULL);
}

/** bench_quiescent - what a publisher does between invalidations */
static inline void bench_quiescent(const struct bench_comparator *comparator)
{
	if (comparator->quiescent)
		comparator->quiescent();
}

/** bench_list_create - an empty list over @comparator's sync; 0 or -errno, already reported */
int bench_list_create(struct mirror_list **list, const struct bench_comparator *comparator);

/* Set by Ctrl-C; whoever waits for long looks at it. */
extern volatile sig_atomic_t bench_interrupted;

/** bench_complain - "mirror-bench: ..." on standard error, on a line of its own */
void bench_complain(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

int bench_command_run(int argc, char **argv);
int bench_command_report(int argc, char **argv);
int bench_command_diff(int argc, char **argv);

/**
 * bench_now_ns - the clock of every measurement
 *
 * CLOCK_MONOTONIC: read in user space, steady across CPUs, and right on machines whose time stamp
 * counter is not.  What one reading costs is measured and stands in the results.
 */
static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif /* BENCH_BENCH_H */
