/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Files that the user names for output
 *
 * A measurement takes minutes, so a file that cannot be written is found before it starts: output_prepare. What is in
 * the file then changes only at output_begin, when there is something to write.
 *
 * | the name is                     | what happens                                                        |
 * |---------------------------------|---------------------------------------------------------------------|
 * | -                               | standard output gets it                                             |
 * | a regular file, or none yet     | the old content stays until the new one is complete, then gives way |
 * | a symbolic link                 | the same, at the file that the link leads to; the link stays        |
 * | a device, a pipe                | it is opened by output_prepare, once, and written to                |
 */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/** struct output - private to output.c */
struct output {
	const char *name;               /* as the user wrote it */
	enum { OUTPUT_STDOUT, OUTPUT_OPEN, OUTPUT_IN_PLACE, OUTPUT_BESIDE } how;
	int fd;                         /* of OUTPUT_OPEN; -1: it has been closed */
	char target[PATH_MAX];          /* the file itself, behind all links */
	char partial[PATH_MAX + 32];    /* of OUTPUT_BESIDE: complete, it takes the target's name */
};

/**
 * output_prepare - find out whether @name can be written; @bytes: how much it may become, for which there must be room
 * Return: 0, or 1 with a message
 */
int output_prepare(struct output *output, const char *name, size_t bytes);

/** output_is_stdout - whether standard output is taken, so that other text belongs on standard error */
bool output_is_stdout(const struct output *output);

/** output_begin - open it for writing; NULL with a message */
FILE *output_begin(struct output *output);

/** output_end - complete it; 0, or 1 with a message if anything since output_begin has failed */
int output_end(struct output *output, FILE *file);

/** output_check - whether all that was printed to @file, such as standard output, was written; 0, or 1 with a message */
int output_check(FILE *file, const char *name);

#endif /* BENCH_OUTPUT_H */
