/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * mirror-bench: measures what walking a mirror list costs over different ways of synchronising it
 *
 * Exit status: 0; 1: something could not be measured or written; 2: wrong usage or unreadable
 * input; 130: ended by Ctrl-C, with what was measured so far written.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "progress.h"

const struct bench_question *const bench_questions[] = {
	&question_throughput,
	&question_trap,
	&question_unregister,
	&question_replay,
	&question_deadlock,
	&question_behind,
	&question_bulk,
	&question_storm,
	&question_outside,
	&question_ranges,
	&question_section,
	&question_grace_period,
	&question_call,
	&question_memory,
	NULL,
};

volatile sig_atomic_t bench_interrupted;

void bench_complain(const char *format, ...)
{
	va_list args;

	progress_clear();
	fputs("mirror-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static void usage(FILE *out)
{
	fputs("usage: mirror-bench COMMAND [options]\n"
	      "\n"
	      "  list                 the questions and comparators of this build\n"
	      "  run                  measure; see mirror-bench run --help\n"
	      "  report RESULTS.json  tables and figures; see mirror-bench report --help\n"
	      "  diff A.json B.json   what differs between two runs by more than their noise\n"
	      "  --help               show this text\n", out);
}

static int command_list(int argc, char **argv)
{
	if (argc > 1) {
		bench_complain("list takes no argument: \"%s\"", argv[1]);
		return 2;
	}
	puts("Questions:");
	for (int i = 0; bench_questions[i]; i++)
		printf("  %-24s %s\n", bench_questions[i]->name, bench_questions[i]->title);
	puts("\nComparators:");
	for (int i = 0; bench_comparators[i]; i++)
		printf("  %-24s %s%s%s%s%s\n", bench_comparators[i]->name, bench_comparators[i]->about,
		       bench_comparators[i]->library ? " (" : "",
		       bench_comparators[i]->library ? bench_comparators[i]->library : "",
		       bench_comparators[i]->library ? ")" : "",
		       bench_comparators[i]->full_only ? "; with --full, or named by --filter" : "");
	for (int i = 0; bench_absent[i].name; i++)
		printf("  %-24s left out: %s\n", bench_absent[i].name, bench_absent[i].why);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*command)(int argc, char **argv);
	} commands[] = {
		{ "list", command_list },
		{ "run", bench_command_run },
		{ "report", bench_command_report },
		{ "diff", bench_command_diff },
	};

	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].command(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	bench_complain("unknown %s: \"%s\"", argv[1][0] == '-' ? "option" : "command", argv[1]);
	usage(stderr);
	return 2;
}
