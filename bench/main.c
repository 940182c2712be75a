/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * mirror-bench: measures what walking a mirror list costs over different ways of synchronising it
 *
 * Exit status: 0; 1: something could not be measured or written, or got worse; 2: wrong usage or unreadable input;
 * 130: ended by Ctrl-C, with what was measured so far written.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "comparators/comparators.h"
#include "questions/question.h"
#include "report/output.h"

const struct cli_command cli_list = {
	.name = "list",
	.arguments = "",
	.about = "Names the questions and comparators of this build.",
	.remarks = "",
};

static int command_list(int argc, char **argv)
{
	int option = cli_next(&cli_list, argc, argv);

	if (option != CLI_END)
		return option == CLI_HELP ? 0 : 2;
	if (optind < argc) {
		bench_complain("list takes no argument: \"%s\"", argv[optind]);
		return cli_wrong(&cli_list);
	}
	puts("Questions:");
	for (int i = 0; bench_questions[i]; i++)
		printf("  %-24s %s\n", bench_questions[i]->report->name, bench_questions[i]->title);
	puts("\nComparators:");
	for (int i = 0; bench_comparators[i]; i++)
		printf("  %-24s %s%s%s%s%s\n", bench_comparators[i]->name, bench_comparators[i]->about,
		       bench_comparators[i]->library ? " (" : "",
		       bench_comparators[i]->library ? bench_comparators[i]->library : "",
		       bench_comparators[i]->library ? ")" : "",
		       bench_comparators[i]->full_only ? "; with --full, or named by --filter" : "");
	for (int i = 0; bench_absent[i].name; i++)
		printf("  %-24s left out: %s\n", bench_absent[i].name, bench_absent[i].why);
	for (int i = 0; bench_absent_questions[i].names; i++)
		printf("  %-24s left out: %s\n", bench_absent_questions[i].names, bench_absent_questions[i].why);
	return 0;
}

static const struct {
	const struct cli_command *cli;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ &cli_list, command_list },
	{ &cli_run, bench_command_run },
	{ &cli_report, bench_command_report },
	{ &cli_diff, bench_command_diff },
};

static void usage(FILE *out)
{
	fputs("usage: mirror-bench COMMAND [options]\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int width = fprintf(out, "  %s %s", commands[i].cli->name, commands[i].cli->arguments);

		fprintf(out, "%*s  %s\n", width < 21 ? 21 - width : 0, "", commands[i].cli->about);
	}
	fputs("\n  --version            print the version\n"
	      "  --help               show this text; mirror-bench COMMAND --help shows the command's\n", out);
}

/*
 * A reader that ends early and a limit of file sizes become errors of write(2), which are said with the file's name.
 * A standard stream that was closed is taken by /dev/null, so that no file of results gets its number; open for
 * reading only, so that what is printed there is missed.
 */
static void prepare_streams(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int run_command(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].cli->name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("mirror-bench " PACKAGE_VERSION);
		return 0;
	}
	bench_complain("unknown %s: \"%s\"", argv[1][0] == '-' ? "option" : "command", argv[1]);
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	int status;

	prepare_streams();
	status = run_command(argc, argv);
	if (output_check(stdout, "standard output") && status == 0)
		status = 1;
	return status;
}
