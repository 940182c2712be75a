/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* From a command's table to getopt's and to --help. */
#include "cli.h"

#include <getopt.h>
#include <string.h>

static const struct cli_option help_option = { "help", NULL, "show this text" };

static void one_option(const struct cli_option *option, FILE *out)
{
	int width = fprintf(out, "  --%s%s%s", option->name, option->argument ? " " : "",
			    option->argument ? option->argument : "");

	fprintf(out, "%*s  ", width < 21 ? 21 - width : 0, "");
	for (const char *c = option->help; *c; c++) {
		fputc(*c, out);
		if (*c == '\n')
			fprintf(out, "%23s", "");
	}
	fputc('\n', out);
}

void cli_usage(const struct cli_command *command, FILE *out)
{
	fprintf(out, "usage: mirror-bench %s [options]%s%s\n\n%s\n\n", command->name, command->arguments[0] ? " " : "",
		command->arguments, command->about);
	for (int i = 0; command->options[i].name; i++)
		one_option(&command->options[i], out);
	one_option(&help_option, out);
	if (command->remarks[0])
		fprintf(out, "\n%s\n", command->remarks);
}

int cli_wrong(const struct cli_command *command)
{
	fprintf(stderr, "try: mirror-bench %s --help\n", command->name);
	return 2;
}

int cli_next(const struct cli_command *command, int argc, char **argv)
{
	/* getopt's own value for what it does not know is '?', which none of these may be. */
	enum { FIRST = 256 };
	struct option options[CLI_MAX_OPTIONS + 1] = { 0 };
	int n = 0, found;

	for (; command->options[n].name; n++)
		options[n] = (struct option){ command->options[n].name,
					      command->options[n].argument ? required_argument : no_argument, NULL, FIRST + n };
	options[n] = (struct option){ help_option.name, no_argument, NULL, FIRST + n };
	found = getopt_long(argc, argv, "", options, NULL);
	if (found == -1)
		return CLI_END;
	if (found < FIRST) {
		cli_wrong(command); /* getopt_long has said what is wrong */
		return CLI_WRONG;
	}
	if (found - FIRST == n) {
		cli_usage(command, stdout);
		return CLI_HELP;
	}
	return found - FIRST;
}
