/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The command line of `mirror-bench run`: every wrong value is named, and nothing is measured then. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "measure/topology.h"
#include "questions/question.h"

enum { QUICK, FULL, FILTER, REPEATS, DURATION, PUBLISHERS, MIRRORS, TRACE, TRACES, JSON, REPORT, NO_FIGURES, COMMIT };

const struct cli_command cli_run = {
	.name = "run",
	.arguments = "",
	.about = "Measures every question over every comparator and writes the results.",
	.options = {
		[QUICK] = { "quick", NULL, "about three minutes (the default)" },
		[FULL] = { "full", NULL, "longer parts, more publishers than CPUs and all comparators too" },
		[FILTER] = { "filter", "PATTERN", "only what matches QUESTION/CASE/COMPARATOR, as \"throughput\",\n"
			     "\"/srcu\" or \"trap*rwsem\"; may be given several times; one that is for\n"
			     "--full is measured if its name is needed to match" },
		[REPEATS] = { "repeats", "N", "how often each is measured, 1 to 1000 (default 5, full 11)" },
		[DURATION] = { "duration", "MS", "of each measured part, 1 to 60000" },
		[PUBLISHERS] = { "publishers", "LIST", "for throughput, as 1,2,4; more than CPUs is allowed" },
		[MIRRORS] = { "mirrors", "LIST", "for throughput, as 1,16,256" },
		[TRACE] = { "trace", "FILE", "replay this trace; may be given several times" },
		[TRACES] = { "traces", "DIR", "replay all traces in DIR (default: bench/traces if it is there)" },
		[JSON] = { "json", "FILE", "where the records go (default results.json); - is standard output" },
		[REPORT] = { "report", "FILE", "also write the HTML report there; it may be - too" },
		[NO_FIGURES] = { "no-figures", NULL, "leave the figures out of it" },
		[COMMIT] = { "commit", "ID", "what was built, for the records" },
	},
	.remarks = "Ctrl-C ends the run early; what was measured so far is written and marked as partial.\n"
		   "Exit status: 0: done; 1: something could not be measured or written; 2: wrong usage;\n"
		   "130: ended by Ctrl-C.",
};

static bool parse_number(const char *text, const char **end, unsigned long least, unsigned long most, int *value)
{
	char *stop;
	unsigned long number;

	/* strtoul takes a sign and blanks; a count has neither. */
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoul(text, &stop, 10);
	if (errno || number < least || number > most)
		return false;
	*value = (int)number;
	*end = stop;
	return true;
}

static bool parse_one(const char *option, const char *text, unsigned long least, unsigned long most, int *value)
{
	const char *end;

	if (parse_number(text, &end, least, most, value) && *end == '\0')
		return true;
	bench_complain("--%s takes a number from %lu to %lu, not \"%s\"", option, least, most, text);
	return false;
}

/* The list ends with 0, which is no legal value. */
static bool parse_list(const char *option, const char *text, unsigned long most, int *values)
{
	const char *end = text;
	int n = 0;

	do {
		if (n == BENCH_MAX_LIST - 1 || !parse_number(end, &end, 1, most, &values[n++]))
			goto wrong;
	} while (*end++ == ',');
	if (end[-1] == '\0') {
		values[n] = 0;
		return true;
	}
wrong:
	bench_complain("--%s takes up to %d numbers from 1 to %lu with commas between them, not \"%s\"", option,
		       BENCH_MAX_LIST - 1, most, text);
	return false;
}

static bool append(const char *option, const char *text, const char **texts)
{
	for (int i = 0; i < BENCH_MAX_LIST - 1; i++) {
		if (!texts[i]) {
			texts[i] = text;
			return true;
		}
	}
	bench_complain("--%s may be given %d times at most", option, BENCH_MAX_LIST - 1);
	return false;
}

static void add_publishers(struct bench_config *config, int *n, unsigned publishers)
{
	if (*n < BENCH_MAX_LIST - 1)
		config->publishers[(*n)++] = (int)publishers;
	config->publishers[*n] = 0;
}

/* 1, 2, 4, ... and all CPUs; in full twice as many too. */
static void default_publishers(struct bench_config *config)
{
	unsigned places = topology_nr_places();
	int n = 0;

	for (unsigned p = 1; p < places; p *= 2)
		add_publishers(config, &n, p);
	add_publishers(config, &n, places);
	if (config->full)
		add_publishers(config, &n, 2 * places);
}

static void defaults(struct bench_config *config)
{
	static const int mirrors[] = { 1, 16, 256, 0 };

	if (config->repeats == 0)
		config->repeats = config->full ? 11 : 5;
	if (config->publishers[0] == 0)
		default_publishers(config);
	if (config->mirrors[0] == 0)
		memcpy(config->mirrors, mirrors, sizeof(mirrors));
	if (!config->traces_dir && !config->traces[0] && access("bench/traces", R_OK) == 0)
		config->traces_dir = "bench/traces";
	for (int i = 0; config->publishers[i]; i++) {
		if ((unsigned)config->publishers[i] > topology_nr_places()) {
			bench_complain("note: %d publishers are more than the %u CPUs: they share them",
				       config->publishers[i], topology_nr_places());
			break;
		}
	}
}

int bench_parse_run(int argc, char **argv, struct bench_config *config)
{
	int option, duration_ms;
	bool right = true;

	*config = (struct bench_config){ .json_path = "results.json", .commit = "unknown", .figures = true };
	while (right && (option = cli_next(&cli_run, argc, argv)) != CLI_END) {
		switch (option) {
		case QUICK:
			config->full = false;
			break;
		case FULL:
			config->full = true;
			break;
		case FILTER:
			right = append("filter", optarg, config->filters);
			break;
		case REPEATS:
			right = parse_one("repeats", optarg, 1, 1000, &config->repeats);
			break;
		case DURATION:
			right = parse_one("duration", optarg, 1, 60000, &duration_ms);
			config->duration_ns = (uint64_t)duration_ms * NS_PER_MS;
			break;
		case PUBLISHERS:
			right = parse_list("publishers", optarg, 1000, config->publishers);
			break;
		case MIRRORS:
			right = parse_list("mirrors", optarg, 1000000, config->mirrors);
			break;
		case TRACE:
			right = append("trace", optarg, config->traces);
			break;
		case TRACES:
			config->traces_dir = optarg;
			break;
		case JSON:
			config->json_path = optarg;
			break;
		case REPORT:
			config->report_path = optarg;
			break;
		case NO_FIGURES:
			config->figures = false;
			break;
		case COMMIT:
			config->commit = optarg;
			break;
		case CLI_HELP:
			config->stop = true;
			return 0;
		default:
			return 2;
		}
	}
	if (right && optind < argc) {
		bench_complain("run takes no argument: \"%s\"", argv[optind]);
		right = false;
	}
	if (!right)
		return cli_wrong(&cli_run);
	defaults(config);
	return 0;
}
