/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A question asks something of every comparator ("how many invalidations a second?")
 *
 * A case is a question with its parameters filled in ("with 2 publishers and 16 mirrors").  One run of one case over
 * one comparator gives one record in results.json.
 */
#ifndef BENCH_QUESTION_H
#define BENCH_QUESTION_H

#include <jansson.h>

#include "../measure/bench.h"
#include "../report/descriptor.h"

struct bench_config;
struct bench_plan;

/** struct bench_question - what is asked; one file each */
struct bench_question {
	const struct report_question *report; /* its name, "throughput", and how the report shows it */
	const char *title;              /* the question in words */
	const char *how_to_read;        /* a few sentences for the report */
	bool exact;                     /* the same each time: asked once, whatever the repeats */
	/* If it does not compare mirror lists: its own comparators, ending with NULL. NULL: bench_comparators. */
	const struct bench_comparator *const *comparators;
	/* Adds the cases that @config asks for to @plan. */
	int (*plan)(const struct bench_config *config, struct bench_plan *plan);
	/* Frees what plan has loaded; NULL: nothing. */
	void (*unplan)(void);
	/* Returns why @comparator cannot be asked, or NULL. */
	const char *(*leaves_out)(const struct bench_comparator *comparator);
	/*
	 * Runs once and sets numbers (and texts that explain them) in @metrics.  -EOPNOTSUPP: this case
	 * cannot be put to this comparator; there is no record then.
	 */
	int (*run)(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics);
};

/* All of this build, in the order of the report; ends with NULL. */
extern const struct bench_question *const bench_questions[];

/** bench_report_of - what the report needs: @results, and all descriptors */
struct report bench_report_of(const json_t *results);

/** struct bench_absent_question - questions that this build leaves out, and why */
struct bench_absent_question {
	const char *names;
	const char *why;
	const struct report_question *reports[3]; /* of results that another build measured; ends with NULL */
};

/* Ends with an entry whose names are NULL. */
extern const struct bench_absent_question bench_absent_questions[];

extern const struct report_question report_counts;
extern const struct report_question report_primitive_counts;
extern const struct bench_question question_behind;
extern const struct bench_question question_bulk;
extern const struct bench_question question_call;
extern const struct bench_question question_callbacks;
extern const struct bench_question question_counts;
extern const struct bench_question question_deadlock;
extern const struct bench_question question_fences;
extern const struct bench_question question_grace_period;
extern const struct bench_question question_memory;
extern const struct bench_question question_noise;
extern const struct bench_question question_outside;
extern const struct bench_question question_oversubscription;
extern const struct bench_question question_primitive_counts;
extern const struct bench_question question_ranges;
extern const struct bench_question question_regcache;
extern const struct bench_question question_replay;
extern const struct bench_question question_section;
extern const struct bench_question question_storm;
extern const struct bench_question question_throughput;
extern const struct bench_question question_trap;
extern const struct bench_question question_unregister;

/** throughput_run, throughput_share_ns - for questions that measure the same of other cases or comparators */
int throughput_run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics);
uint64_t throughput_share_ns(const struct bench_config *config);

/* Sections of each library: section measures them, primitive-counts counts them; ends with NULL. */
extern const struct bench_comparator *const section_comparators[];

/* ---- the plan of a run ---- */

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

/** struct bench_planned - a question and one of its cases */
struct bench_planned {
	const struct bench_question *question;
	struct bench_case c;
};

/** struct bench_plan - zero it; questions add to it; free @cases */
struct bench_plan {
	struct bench_planned *cases;
	size_t nr;
};

/** bench_plan_add - one more case; copied */
int bench_plan_add(struct bench_plan *plan, const struct bench_question *question, const struct bench_case *c);

/**
 * bench_wanted - whether a filter lets "question/case/comparator" through
 *
 * With --quick a comparator that is full_only is wanted only if a filter needs its name to match.
 */
bool bench_wanted(const struct bench_config *config, const char *question, const char *name,
		  const struct bench_comparator *comparator);

/** bench_share_ns - how long each measured part may take for @budget_ns to suffice for @runs of them */
uint64_t bench_share_ns(const struct bench_config *config, uint64_t budget_ns, unsigned runs, uint64_t most_ns);

/** bench_comparators_of - the comparators that @question is put to; ends with NULL */
const struct bench_comparator *const *bench_comparators_of(const struct bench_question *question);

/** bench_nr_comparators_of - how many of them @config asks for without filters; @question NULL: of bench_comparators */
unsigned bench_nr_comparators_of(const struct bench_config *config, const struct bench_question *question);

/** bench_nr_comparators - how many ways of keeping a mirror list */
static inline unsigned bench_nr_comparators(const struct bench_config *config)
{
	return bench_nr_comparators_of(config, NULL);
}

/**
 * bench_case_describe - the parameters of @c for its records
 * @name: set to "publishers=2,mirrors=16", or to "-" if @c has no parameters: tables and filters name the case so
 */
json_t *bench_case_describe(const struct bench_case *c, char *name, size_t size);

#endif /* BENCH_QUESTION_H */
