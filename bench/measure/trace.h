/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Traces of how real programs change their address spaces, as tools/record-trace writes them
 *
 * The format, version 1, is plain text. First the header, each line in its place and none left out:
 *
 *     libmirror-trace 1
 *     command: TEXT            what was recorded
 *     machine: TEXT            kernel, CPU
 *     date: YYYY-MM-DD
 *     ended: TEXT              "exit 0", "signal 9", "interrupted, exit 130": how the recording ended
 *     page-bytes: N
 *     events: N                in this file
 *     recorded: N              in the recording; more than events if its tail was left out
 *     processes: N
 *     threads: N
 *     peak-mappings: N         the most mappings that stood at once, in all processes together
 *     duration-us: N           the sum of all dt
 *     failed: N                calls left out because they failed,
 *     unfinished: N            because they never returned,
 *     empty: N                 because they changed nothing,
 *     unknown: N               because the thread that called could not be told
 *     (an empty line)
 *
 * Then the events, one a line, a letter and lower-case hexadecimal fields, each after one blank:
 *
 *     M dt process thread start pages prot how             mmap
 *     U dt process thread start pages                      munmap
 *     R dt process thread start pages start pages how      mremap: the old range, then the new
 *     A dt process thread start pages advice               madvise
 *     P dt process thread start pages prot how             mprotect, pkey_mprotect
 *     G dt process thread start pages                      brk: the heap grew by this range
 *     S dt process thread start pages                      brk: the heap shrank by this range
 *     F dt process thread parent                           process begins as a copy of parent
 *     X dt process thread                                  execve: process begins (anew), with nothing mapped
 *     E dt process thread                                  process ended; what it had mapped is gone
 *
 * and at last "end N" with the number of events. dt is in microseconds after the event before; start is a page number.
 * A process is an address space: a child of vfork belongs to its parent's until it calls execve. Processes and threads
 * are numbered from 0 in the order in which they appear, threads through all processes. prot and advice are the numbers
 * of <sys/mman.h>; how is a sum of TRACE_HOW_... What execve itself maps (the program, its stack) is not recorded, so
 * that ranges may be unmapped or protected which nothing in the trace has mapped.
 *
 * Deriving a replay. Each mapping made (M, G, the new range of R) is a mirror of its range. Invalidations are U, S,
 * R (of the old range, and a new one that TRACE_HOW_MOVE_FIXED lays over something), M with TRACE_HOW_REPLACES, P
 * with TRACE_HOW_LOWERS, and A with an advice that drops pages (MADV_DONTNEED, _FREE, _REMOVE, _DONTNEED_LOCKED; the
 * others are hints). U, S, R and a replacing M also unmap: they end the mirrors in the range, and a mirror that
 * reaches beyond it goes on as one or two smaller ones. After TRACE_HOW_MOVE_DONTUNMAP the old range stays mapped,
 * empty. F gives the new process a mirror for each of its parent's; X and E invalidate and end all mirrors of their
 * process.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum trace_op {
	TRACE_MMAP = 'M',
	TRACE_MUNMAP = 'U',
	TRACE_MREMAP = 'R',
	TRACE_MADVISE = 'A',
	TRACE_MPROTECT = 'P',
	TRACE_BRK_GROW = 'G',
	TRACE_BRK_SHRINK = 'S',
	TRACE_FORK = 'F',
	TRACE_EXEC = 'X',
	TRACE_EXIT = 'E',
};

/* Of M. */
#define TRACE_HOW_SHARED    0x1u        /* MAP_SHARED */
#define TRACE_HOW_FILE      0x2u        /* of a file */
#define TRACE_HOW_FIXED     0x4u        /* MAP_FIXED */
#define TRACE_HOW_REPLACES  0x8u        /* something in the trace was mapped there */
/* Of P. */
#define TRACE_HOW_LOWERS    0x1u        /* some page lost a permission */
/* Of R. */
#define TRACE_HOW_MOVE_FIXED      0x1u  /* MREMAP_FIXED */
#define TRACE_HOW_MOVE_DONTUNMAP  0x2u  /* MREMAP_DONTUNMAP */

/** struct trace_event - one change of an address space; fields that its operation lacks are 0 */
struct trace_event {
	uint64_t time_ns;               /* since the recording began */
	uint64_t start, end;            /* bytes, half-open */
	uint64_t new_start, new_end;    /* of R */
	uint32_t process, thread;
	uint32_t arg;                   /* M, P: protection; A: advice; F: parent process */
	uint8_t op;                     /* enum trace_op */
	uint8_t how;                    /* TRACE_HOW_... */
};

/** struct trace - a trace in memory */
struct trace {
	char *command, *machine, *date, *ended;
	uint64_t page_bytes;
	uint64_t nr_recorded;           /* more than nr_events if the tail was left out */
	uint64_t nr_processes, nr_threads;
	uint64_t peak_mappings;
	uint64_t duration_ns;
	uint64_t nr_failed, nr_unfinished, nr_empty, nr_unknown;
	size_t nr_events;
	struct trace_event *events;
};

/**
 * trace_load - read a trace
 * @path:    the file
 * @out:     where the trace goes; NULL after an error; freed with trace_free()
 * @err:     after an error: what is wrong, as "path:line: expected ..., got ..."
 * @errlen:  bytes in @err
 * Return:   0; -EINVAL if this is no whole, well-formed trace; -EFBIG beyond 256 MiB; -ENOMEM; an error of open or read
 */
int trace_load(const char *path, struct trace **out, char *err, size_t errlen);

/**
 * trace_parse - the same, of a trace that is in memory already
 * @name:    stands for the path in @err
 * @text:    @length bytes, which need no end
 */
int trace_parse(const char *name, const char *text, size_t length, struct trace **out, char *err, size_t errlen);

void trace_free(struct trace *trace);

#endif /* BENCH_TRACE_H */
