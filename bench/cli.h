/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Commands and their options: one table each, from which both --help and what is accepted are made
 *
 * t/bench/options compares the program with its man page and its completions.
 */
#ifndef BENCH_CLI_H
#define BENCH_CLI_H

#include <stdio.h>

enum { CLI_MAX_OPTIONS = 24 };

struct bench_config;

struct cli_option {
	const char *name;               /* without the "--" */
	const char *argument;           /* what --help calls it; NULL: takes none */
	const char *help;               /* lines after the first begin with "\n" */
};

struct cli_command {
	const char *name;
	const char *arguments;          /* what follows the options; "" for nothing */
	const char *about;              /* one line */
	const char *remarks;            /* below the options; "" for nothing */
	/* Ends with an entry whose name is NULL; every command has --help besides. */
	struct cli_option options[CLI_MAX_OPTIONS];
};

enum { CLI_END = -1, CLI_WRONG = -2, CLI_HELP = -3 };

/**
 * cli_next - the next option
 * Return: its place in @command->options, its argument then is getopt's optarg; CLI_END: what is left begins at
 *         optind; CLI_HELP: --help was asked for and given; CLI_WRONG: said to the user
 */
int cli_next(const struct cli_command *command, int argc, char **argv);

/** cli_wrong - "try: ... --help" on standard error; returns 2, the exit status of wrong usage */
int cli_wrong(const struct cli_command *command);

void cli_usage(const struct cli_command *command, FILE *out);

/** bench_parse_run - the options of `mirror-bench run`; 0, or the status to exit with */
int bench_parse_run(int argc, char **argv, struct bench_config *config);

int bench_command_run(int argc, char **argv);
int bench_command_report(int argc, char **argv);
int bench_command_diff(int argc, char **argv);

extern const struct cli_command cli_list, cli_run, cli_report, cli_diff;

#endif /* BENCH_CLI_H */
