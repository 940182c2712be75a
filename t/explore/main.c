/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The program around the explorer: options, the deepening bound, reports.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "rc11.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define X_SANITIZED 1
#elif defined(__has_feature)
#define X_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define X_SANITIZED 0
#endif

static X_ENGINE struct {
	unsigned models;
	int bound;              /* -1: the scenario's own */
	bool full, verbose, list, kill, no_cache, naive, no_sleep;
	uint64_t max_executions;
	double time_limit;
	const char *replay;
} opt = { .models = X_ALL | X_RC11, .bound = -1 };

/* Under RC11 a scenario that is not exhausted by then passes, and says so. */
enum { RC11_QUICK = 2000, RC11_FULL = 100000 };

static X_ENGINE size_t locs_bytes;
static X_ENGINE char vector[1 << 16];

static const char *const usage =
	"usage: %s [options] [scenario...]\n"
	"  --model sc|tso|pso|rc11  this memory model alone\n"
	"  --bound N             this bound instead of the scenario's own\n"
	"  --full                the scenarios' full bounds instead of the quick ones\n"
	"  --max-executions N    give up after as many\n"
	"  --time-limit SECONDS  give up a scenario under a model after this time\n"
	"  --replay VECTOR       one execution of one scenario under one model, with a trace\n"
	"  --verbose             counts for each bound; how a failure came about\n"
	"  --kill                stop at the first scenario that is not as it should be; success is\n"
	"                        to have found one\n"
	"  --weaken ORDER:FUNCTION:TEXT\n"
	"                        RC11: that access without its acquire, release or fence\n"
	"  --no-cache            explore a state each time it is reached\n"
	"  --no-dpor, --no-sleep RC11: without that reduction\n"
	"  --table-bits N        2^N states are remembered, 8 bytes each (default 18, with --full 24)\n"
	"  --list                the scenarios\n";

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *model_name(unsigned model)
{
	return model == X_SC ? "sc" : model == X_TSO ? "tso" : model == X_PSO ? "pso" : "rc11";
}

void x_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(E.message, sizeof(E.message), format, args);
	va_end(args);
	x_end_execution(X_FAILED);
}

static void print_positions(void)
{
	static const char *const states[] = {
		[X_READY] = "runs", [X_NOT_STARTED] = "has not started",
		[X_WAIT_WRITE] = "spins", [X_WAIT_LOCK] = "waits for a lock",
		[X_WAIT_FUTEX] = "sleeps", [X_WAIT_END] = "waits for a thread", [X_ENDED] = "has ended",
	};

	for (int i = 1; i < E.nr_fibers; i++) {
		const struct fiber *f = &E.fiber[i];

		if (f->site)
			printf("#   thread%d %s: %s:%d: %s%s\n", i - 1, states[f->state],
			       f->site->file, f->site->line, f->site->text,
			       f->nr_held ? " (it holds stores)" : "");
		else
			printf("#   thread%d %s\n", i - 1, states[f->state]);
	}
}

unsigned x_model(void)
{
	return E.model;
}

static void forget_scenario(void)
{
	madvise(E.locs, locs_bytes, MADV_DONTNEED);
	x_search_forget();
	x_run_forget();
	rc_forget();
	E.nr_executions = E.nr_pruned = E.nr_restarts = E.nr_steps = 0;
}

/* One execution under the choices of @text; whether it failed. */
static bool replay(const char *text, bool trace)
{
	bool failed;

	E.replaying = true;
	E.caching = false;
	E.trace = trace;
	E.bound = 1 << 20;
	E.vector = text;
	E.nr_replay = 0;
	rc_search_begin();
	x_run_execution();
	failed = E.outcome == X_FAILED;
	E.replaying = false;
	E.trace = false;
	return failed;
}

enum end { EXHAUSTED, FOUND, GAVE_UP };

static enum end search(int bound_end, double start)
{
	uint64_t max_executions = opt.max_executions;

	if (!max_executions && !opt.kill && E.model == X_RC11)
		max_executions = opt.full ? RC11_FULL : RC11_QUICK;
	/* RC11 has no bound but that on faults, which is taken at once. */
	for (E.bound = E.model == X_RC11 ? bound_end : 0; E.bound <= bound_end; E.bound++) {
		uint64_t before = E.nr_executions;

		E.nr_choices = E.nr_replay = 0;
		rc_search_begin();
		for (;;) {
			x_run_execution();
			if (E.outcome == X_FAILED)
				return FOUND;
			if (E.outcome == X_RESTART) {
				x_search_forget();
				E.nr_restarts++;
				E.nr_choices = E.nr_replay = 0;
				rc_search_begin();
				continue;
			}
			E.nr_pruned += E.outcome == X_PRUNED;
			if (max_executions && E.nr_executions >= max_executions)
				return GAVE_UP;
			if (opt.time_limit > 0 && E.nr_executions % 1024 == 0 &&
			    now() - start > opt.time_limit)
				return GAVE_UP;
			if (!(E.model == X_RC11 ? rc_search_next() : x_search_next()))
				break;
		}
		if (opt.verbose)
			printf("#   bound %d: %lu executions, %lu states, %.2f s\n", E.bound,
			       (unsigned long)(E.nr_executions - before),
			       (unsigned long)E.nr_states, now() - start);
	}
	E.bound--;
	return EXHAUSTED;
}

/* One TAP line; whether all is as it should be. */
static bool explore(const struct x_scenario *s, unsigned model, int number)
{
	int bound_end = opt.bound >= 0 ? opt.bound : model == X_RC11 ? 1 + opt.full : opt.full ? s->full : s->quick;
	bool should_fail = (s->must_fail & model) != 0, good;
	double start = now(), seconds;
	unsigned long nr;
	enum end end;

	forget_scenario();
	E.scenario = s;
	E.model = model;
	E.caching = !opt.no_cache;
	E.naive = opt.naive;
	E.no_sleep = opt.no_sleep;
	end = search(bound_end, start);
	seconds = now() - start;
	nr = (unsigned long)E.nr_executions;
	good = end == (should_fail ? FOUND : EXHAUSTED) || (model == X_RC11 && !should_fail && end == GAVE_UP);
	if (end == FOUND && should_fail && s->failure && strcmp(E.message, s->failure))
		good = false;
	if (end == EXHAUSTED && s->complete && !s->complete())
		good = false;
	if (opt.kill) {
		bool killed = !good && end != GAVE_UP;

		if (killed)
			printf("killed by %s under %s, bound %d, %lu executions: %s\n", s->name,
			       model_name(model), E.bound, nr,
			       end == FOUND ? E.message : "no failure where there is one");
		return !killed;
	}
	printf("%sok %d - %s %s: %s\n", good ? "" : "not ", number, s->name, model_name(model), s->claim);
	printf("#   %s: bound %d, %lu executions (%lu cut short), %lu states, %.2f s, %.2f M/s\n",
	       end == EXHAUSTED ? "exhausted" : end == FOUND ? "found" : model == X_RC11 ? "NOT EXHAUSTED" : "GAVE UP", E.bound, nr,
	       (unsigned long)E.nr_pruned, (unsigned long)E.nr_states, seconds,
	       (double)nr / seconds * 1e-6);
	if (end == FOUND) {
		char message[sizeof(E.message)];
		bool again;

		strcpy(message, E.message);
		x_vector(vector, sizeof(vector));
		printf("#   %s: %s\n", good ? "as it should" : "FAILED", message);
		if (!good || opt.verbose) {
			print_positions();
			printf("#   to see it: --model %s --replay '%s' %s\n", model_name(model), vector, s->name);
		}
		again = replay(vector, opt.verbose) && !strcmp(message, E.message);
		if (!again) {
			printf("#   the vector does not show it again: %s\n",
			       E.outcome == X_FAILED ? E.message : "passed");
			good = false;
		}
	} else if (should_fail) {
		printf("#   no failure was found, though there is one\n");
	} else if (!good && end == EXHAUSTED) {
		printf("#   not all was seen that is possible\n");
	}
	fflush(stdout);
	return good;
}

static bool chosen(const struct x_scenario *s, int nr_names, char **names)
{
	if (nr_names == 0)
		return true;
	for (int i = 0; i < nr_names; i++)
		if (!strcmp(names[i], s->name))
			return true;
	return false;
}

static int replay_one(int nr_names, char **names)
{
	for (const struct x_scenario *s = x_scenarios; s->name; s++) {
		if (!chosen(s, nr_names, names))
			continue;
		forget_scenario();
		E.scenario = s;
		E.model = opt.models & (opt.models - 1) ? X_TSO : opt.models;
		if (replay(opt.replay, true)) {
			printf("# FAILED: %s\n", E.message);
			print_positions();
			return 1;
		}
		printf("# passed\n");
		return 0;
	}
	fprintf(stderr, "no such scenario\n");
	return 2;
}

static void map_memory(void)
{
	x_statics_init();
	locs_bytes = (X_REGION_BYTES + E.statics_bytes) / 4 * sizeof(struct loc) + sizeof(struct loc);
	E.region = mmap(NULL, X_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	E.locs = mmap(NULL, locs_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	E.fiber = calloc(X_MAX_FIBERS, sizeof(*E.fiber));
	if (E.region == MAP_FAILED || E.locs == MAP_FAILED || !E.fiber) {
		perror("mmap");
		exit(2);
	}
}

static unsigned parse_model(const char *name)
{
	for (unsigned model = X_SC; model <= X_RC11; model <<= 1)
		if (!strcmp(name, model_name(model)))
			return model;
	fprintf(stderr, "no such memory model: %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "model", 1, NULL, 'm' }, { "bound", 1, NULL, 'b' }, { "full", 0, NULL, 'f' },
		{ "max-executions", 1, NULL, 'x' }, { "time-limit", 1, NULL, 't' },
		{ "replay", 1, NULL, 'r' }, { "verbose", 0, NULL, 'v' }, { "list", 0, NULL, 'l' },
		{ "kill", 0, NULL, 'k' }, { "no-cache", 0, NULL, 'n' }, { "table-bits", 1, NULL, 'B' },
		{ "weaken", 1, NULL, 'w' }, { "no-dpor", 0, NULL, 'D' }, { "no-sleep", 0, NULL, 'S' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	unsigned table_bits = 0;
	int c, number = 0, nr_bad = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'm': opt.models = parse_model(optarg); break;
		case 'b': opt.bound = atoi(optarg); break;
		case 'f': opt.full = true; break;
		case 'x': opt.max_executions = strtoull(optarg, NULL, 10); break;
		case 't': opt.time_limit = strtod(optarg, NULL); break;
		case 'r': opt.replay = optarg; break;
		case 'v': opt.verbose = true; break;
		case 'l': opt.list = true; break;
		case 'k': opt.kill = true; break;
		case 'w':
			if (!x_weaken(optarg)) {
				fprintf(stderr, "not ORDER:FUNCTION:TEXT: %s\n", optarg);
				return 2;
			}
			break;
		case 'n': opt.no_cache = true; break;
		case 'D': opt.naive = true; break;
		case 'S': opt.no_sleep = true; break;
		case 'B': table_bits = (unsigned)atoi(optarg); break;
		default: fprintf(stderr, usage, argv[0]); return 2;
		}
#if X_SANITIZED
	printf("1..0 # SKIP sanitizers do not know the explorer's fibers\n");
	return 0;
#endif
	map_memory();
	rc_init();
	/* Each scenario begins with an empty table: of a large one that costs more than a small scenario itself. */
	x_search_init(table_bits ? table_bits : opt.full ? 24 : 18);
	x_crash_handler();
	if (opt.replay)
		return replay_one(argc - optind, argv + optind);
	for (const struct x_scenario *s = x_scenarios; s->name; s++) {
		if (!chosen(s, argc - optind, argv + optind))
			continue;
		if (opt.list) {
			printf("%-20s%s%s%s%s  bound %d, %d  %s\n", s->name, s->models & X_SC ? " sc" : "",
			       s->models & X_TSO ? " tso" : "", s->models & X_PSO ? " pso" : "",
			       s->models & X_RC11 ? " rc11" : "", s->quick, s->full, s->claim);
			continue;
		}
		for (unsigned model = X_SC; model <= X_RC11; model <<= 1) {
			if (!(s->models & opt.models & model))
				continue;
			if (!explore(s, model, ++number)) {
				nr_bad++;
				if (opt.kill)
					return 0;
			}
		}
	}
	if (!x_weakened_at_all()) {
		fprintf(stderr, "what is to be weaker was never met\n");
		return 2;
	}
	if (opt.kill || opt.list)
		return opt.kill;
	printf("1..%d\n", number);
	return nr_bad != 0;
}
