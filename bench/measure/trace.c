/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The reader of traces; the format stands in trace.h
 *
 * It takes nothing on trust: a trace is whole and well-formed, or it is refused and its first wrong line is named. So a
 * replay need not check it again: ranges are not empty and do not wrap, processes live when something happens to them,
 * and all numbers of processes and threads are below the counts.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trace.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)
#define MAX_IDS        65536u           /* processes, threads */
#define MAX_FIELDS     8
#define SHORTEST_EVENT 8                /* strlen("X 0 0 0\n") */

/* Where the reader stands. line and line_length are the current line without its newline. */
struct cursor {
	const char *name;
	const char *next, *end;
	const char *line;
	size_t line_length;
	unsigned long line_nr;
	char *err;
	size_t errlen;
};

/* Which processes and threads the events so far have named. */
struct census {
	uint8_t *alive;                 /* of each process that was named */
	uint32_t nr_processes, nr_threads;
	uint64_t time_us;
};

/* ---- complaints ----------------------------------------------------------------------------------------------- */

/* Fills err with "name:line: expected WHAT, got 'LINE'" and returns -EINVAL. */
__attribute__((format(printf, 2, 3)))
static int malformed(const struct cursor *c, const char *fmt, ...)
{
	char what[160], got[48];
	size_t shown = c->line_length < sizeof(got) - 4 ? c->line_length : sizeof(got) - 4;
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (c->line == NULL) {
		snprintf(c->err, c->errlen, "%s:%lu: expected %s, got the end of the file: the trace is truncated",
			 c->name, c->line_nr, what);
		return -EINVAL;
	}
	for (size_t i = 0; i < shown; i++)
		got[i] = isprint((unsigned char)c->line[i]) ? c->line[i] : '?';
	strcpy(got + shown, shown < c->line_length ? "..." : "");
	snprintf(c->err, c->errlen, "%s:%lu: expected %s, got '%s'", c->name, c->line_nr, what, got);
	return -EINVAL;
}

static int failed(const char *name, const char *what, int error, char *err, size_t errlen)
{
	snprintf(err, errlen, "%s: %s: %s", name, what, strerror(error));
	return -error;
}

/* ---- lines and numbers ---------------------------------------------------------------------------------------- */

/* Steps to the next line. False at the end of the file, and at a last line that has no newline: that one is cut off. */
static bool next_line(struct cursor *c)
{
	const char *newline = c->next < c->end ? memchr(c->next, '\n', (size_t)(c->end - c->next)) : NULL;

	c->line_nr++;
	if (newline == NULL) {
		c->line = NULL;
		c->line_length = 0;
		return false;
	}
	c->line = c->next;
	c->line_length = (size_t)(newline - c->next);
	c->next = newline + 1;
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* Reads a number up to the first character that is no digit of the base. False if there is none or it is too large. */
static bool read_number(const char **at, const char *end, unsigned base, uint64_t *value)
{
	const char *begin = *at;

	*value = 0;
	for (; *at < end && (unsigned)digit(**at) < base; (*at)++) {
		unsigned d = (unsigned)digit(**at);

		if (*value > (UINT64_MAX - d) / base)
			return false;
		*value = *value * base + d;
	}
	return *at > begin;
}

static bool line_starts_with(const struct cursor *c, const char *text)
{
	size_t length = strlen(text);

	return c->line_length >= length && memcmp(c->line, text, length) == 0;
}

/* ---- header --------------------------------------------------------------------------------------------------- */

/* Steps to the line "key: value". Returns the value, NULL if the line is another or has none. */
static const char *next_value(struct cursor *c, const char *key)
{
	size_t skip = strlen(key) + 2;

	if (!next_line(c) || !line_starts_with(c, key) || c->line_length <= skip ||
	    memcmp(c->line + skip - 2, ": ", 2) != 0)
		return NULL;
	return c->line + skip;
}

static int read_text(struct cursor *c, const char *key, char **text)
{
	const char *at = next_value(c, key), *end = c->line + c->line_length;

	if (at == NULL)
		return malformed(c, "'%s: TEXT'", key);
	for (const char *p = at; p < end; p++)
		if (!isprint((unsigned char)*p))
			return malformed(c, "printable characters");
	*text = strndup(at, (size_t)(end - at));
	return *text != NULL ? 0 : failed(c->name, "header", ENOMEM, c->err, c->errlen);
}

static int read_count(struct cursor *c, const char *key, uint64_t least, uint64_t most, uint64_t *value)
{
	const char *at = next_value(c, key), *end = c->line + c->line_length;

	if (at == NULL)
		return malformed(c, "'%s: NUMBER'", key);
	if (!read_number(&at, end, 10, value) || at != end || *value < least || *value > most)
		return malformed(c, "'%s: NUMBER' between %llu and %llu", key, (unsigned long long)least,
				 (unsigned long long)most);
	return 0;
}

static int read_header(struct cursor *c, struct trace *t, uint64_t *nr_events)
{
	static const char magic[] = "libmirror-trace 1";
	uint64_t duration_us;
	const struct {
		const char *key;
		char **text;            /* or else: */
		uint64_t *value, least, most;
	} lines[] = {
		{ "command", .text = &t->command },
		{ "machine", .text = &t->machine },
		{ "date", .text = &t->date },
		{ "ended", .text = &t->ended },
		{ "page-bytes", .value = &t->page_bytes, .least = 1, .most = (uint64_t)1 << 30 },
		{ "events", .value = nr_events, .least = 1, .most = UINT32_MAX },
		{ "recorded", .value = &t->nr_recorded, .most = UINT64_MAX },
		{ "processes", .value = &t->nr_processes, .least = 1, .most = MAX_IDS },
		{ "threads", .value = &t->nr_threads, .least = 1, .most = MAX_IDS },
		{ "peak-mappings", .value = &t->peak_mappings, .most = UINT64_MAX },
		{ "duration-us", .value = &duration_us, .most = UINT64_MAX / 1000 },
		{ "failed", .value = &t->nr_failed, .most = UINT64_MAX },
		{ "unfinished", .value = &t->nr_unfinished, .most = UINT64_MAX },
		{ "empty", .value = &t->nr_empty, .most = UINT64_MAX },
		{ "unknown", .value = &t->nr_unknown, .most = UINT64_MAX },
	};

	if (!next_line(c) || c->line_length != strlen(magic) || !line_starts_with(c, magic))
		return malformed(c, "'%s', the first line of a trace", magic);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int rc = lines[i].text != NULL ? read_text(c, lines[i].key, lines[i].text) :
			 read_count(c, lines[i].key, lines[i].least, lines[i].most, lines[i].value);

		if (rc != 0)
			return rc;
		if (lines[i].value == &t->nr_recorded && t->nr_recorded < *nr_events)
			return malformed(c, "at least as many recorded as events");
	}
	if (!next_line(c) || c->line_length != 0)
		return malformed(c, "the empty line after the header");
	t->duration_ns = duration_us * 1000;
	return 0;
}

/* ---- events --------------------------------------------------------------------------------------------------- */

enum field { DT, PROCESS, THREAD, START, PAGES, ARG, HOW, PARENT, NEW_START, NEW_PAGES, NR_FIELDS };

static const char *const field_names[NR_FIELDS] = {
	[DT] = "dt", [PROCESS] = "process", [THREAD] = "thread", [START] = "start", [PAGES] = "pages",
	[ARG] = "arg", [HOW] = "how", [PARENT] = "parent", [NEW_START] = "new-start", [NEW_PAGES] = "new-pages",
};

/* The fields of each operation after DT, PROCESS and THREAD, which all have, and how large ARG and HOW may be. */
static const struct shape {
	char op;
	uint8_t nr;
	uint8_t fields[MAX_FIELDS - 3];
	uint64_t max_arg, max_how;
} shapes[] = {
	{ 'M', 4, { START, PAGES, ARG, HOW }, 7,
	  TRACE_HOW_SHARED | TRACE_HOW_FILE | TRACE_HOW_FIXED | TRACE_HOW_REPLACES },
	{ 'U', 2, { START, PAGES }, 0, 0 },
	{ 'R', 5, { START, PAGES, NEW_START, NEW_PAGES, HOW }, 0, TRACE_HOW_MOVE_FIXED | TRACE_HOW_MOVE_DONTUNMAP },
	{ 'A', 3, { START, PAGES, ARG }, UINT16_MAX, 0 },
	{ 'P', 4, { START, PAGES, ARG, HOW }, 7, TRACE_HOW_LOWERS },
	{ 'G', 2, { START, PAGES }, 0, 0 },
	{ 'S', 2, { START, PAGES }, 0, 0 },
	{ 'F', 1, { PARENT }, 0, 0 },
	{ 'X', 0, { 0 }, 0, 0 },
	{ 'E', 0, { 0 }, 0, 0 },
};

static int wrong_fields(const struct cursor *c, const struct shape *shape)
{
	char text[128] = "dt process thread";

	for (unsigned i = 0; i < shape->nr; i++) {
		strcat(text, " ");
		strcat(text, field_names[shape->fields[i]]);
	}
	return malformed(c, "'%c %s' in hexadecimal", shape->op, text);
}

static int read_fields(const struct cursor *c, const struct shape *shape, uint64_t values[NR_FIELDS])
{
	const char *at = c->line + 1, *end = c->line + c->line_length;

	memset(values, 0, NR_FIELDS * sizeof(values[0]));
	for (unsigned i = 0; i < 3u + shape->nr; i++) {
		unsigned field = i < 3 ? i : shape->fields[i - 3];

		if (at == end || *at++ != ' ' || !read_number(&at, end, 16, &values[field]))
			return wrong_fields(c, shape);
	}
	return at == end ? 0 : wrong_fields(c, shape);
}

static int make_range(const struct cursor *c, uint64_t page_bytes, uint64_t first, uint64_t pages, uint64_t *start,
		      uint64_t *end)
{
	uint64_t most = UINT64_MAX / page_bytes;

	if (pages == 0)
		return malformed(c, "a range of at least 1 page");
	if (first > most || pages > most - first)
		return malformed(c, "a range that ends below 2^64");
	*start = first * page_bytes;
	*end = *start + pages * page_bytes;
	return 0;
}

/* Numbers come in the order in which they first appear, and a process must be there for anything to happen to it. */
static int count_ids(const struct cursor *c, const struct trace *t, struct census *seen, char op,
		     const uint64_t *values)
{
	uint64_t process = values[PROCESS], thread = values[THREAD];
	bool begins = op == TRACE_FORK || op == TRACE_EXEC;

	if (process >= t->nr_processes)
		return malformed(c, "a process below %llu, as in the header", (unsigned long long)t->nr_processes);
	if (thread >= t->nr_threads)
		return malformed(c, "a thread below %llu, as in the header", (unsigned long long)t->nr_threads);
	if (thread > seen->nr_threads)
		return malformed(c, "thread %x before any higher one", (unsigned)seen->nr_threads);
	if (op == TRACE_FORK && process != seen->nr_processes)
		return malformed(c, "process %x to be the next that F begins", (unsigned)seen->nr_processes);
	if (op == TRACE_FORK && (values[PARENT] >= seen->nr_processes || !seen->alive[values[PARENT]]))
		return malformed(c, "a parent that is running");
	if (process > seen->nr_processes || (process == seen->nr_processes && !begins))
		return malformed(c, "process %llx to have begun, with F or X", (unsigned long long)process);
	if (process < seen->nr_processes && !seen->alive[process])
		return malformed(c, "nothing more of process %llx, which ended", (unsigned long long)process);
	seen->nr_threads += thread == seen->nr_threads;
	seen->nr_processes += process == seen->nr_processes;
	seen->alive[process] = op != TRACE_EXIT;
	return 0;
}

static int read_event(const struct cursor *c, const struct trace *t, struct census *seen, struct trace_event *e)
{
	const struct shape *shape = NULL;
	uint64_t values[NR_FIELDS];
	int rc;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (c->line_length > 0 && shapes[i].op == c->line[0])
			shape = &shapes[i];
	if (shape == NULL)
		return malformed(c, "an event (one of M U R A P G S F X E) or 'end N'");
	rc = read_fields(c, shape, values);
	if (rc != 0)
		return rc;
	if (values[ARG] > shape->max_arg || values[HOW] > shape->max_how)
		return malformed(c, "arg at most %llx and how at most %llx", (unsigned long long)shape->max_arg,
				 (unsigned long long)shape->max_how);
	if (values[DT] > t->duration_ns / 1000 - seen->time_us)
		return malformed(c, "times that sum up to the duration-us of the header");
	rc = count_ids(c, t, seen, shape->op, values);
	if (rc != 0)
		return rc;
	seen->time_us += values[DT];
	*e = (struct trace_event) {
		.time_ns = seen->time_us * 1000,
		.process = (uint32_t)values[PROCESS],
		.thread = (uint32_t)values[THREAD],
		.arg = (uint32_t)(shape->op == TRACE_FORK ? values[PARENT] : values[ARG]),
		.op = (uint8_t)shape->op,
		.how = (uint8_t)values[HOW],
	};
	if (shape->nr >= 2)
		rc = make_range(c, t->page_bytes, values[START], values[PAGES], &e->start, &e->end);
	if (rc == 0 && shape->op == TRACE_MREMAP)
		rc = make_range(c, t->page_bytes, values[NEW_START], values[NEW_PAGES], &e->new_start, &e->new_end);
	return rc;
}

/* What only the whole trace can tell: everything that the header counted has come. */
static int read_end(struct cursor *c, const struct trace *t, const struct census *seen, uint64_t nr_events)
{
	const char *at = c->line + strlen("end "), *end = c->line + c->line_length;
	uint64_t nr;

	if (!line_starts_with(c, "end ") || !read_number(&at, end, 10, &nr) || at != end)
		return malformed(c, "'end NUMBER'");
	if (nr != nr_events || t->nr_events != nr_events)
		return malformed(c, "'end %llu' as in the header, after as many events (there were %zu)",
				 (unsigned long long)nr_events, t->nr_events);
	if (seen->nr_processes != t->nr_processes || seen->nr_threads != t->nr_threads)
		return malformed(c, "the processes and threads of the header before the end (there were %u and %u)",
				 (unsigned)seen->nr_processes, (unsigned)seen->nr_threads);
	if (seen->time_us * 1000 != t->duration_ns)
		return malformed(c, "times that sum up to the duration-us of the header");
	if (c->next != c->end) {
		c->line = c->next;
		c->line_length = (size_t)(c->end - c->next);
		c->line_nr++;
		return malformed(c, "nothing after 'end'");
	}
	return 0;
}

static int read_events(struct cursor *c, struct trace *t, uint64_t nr_events)
{
	/* The header may claim anything; the file bounds what there can be. */
	size_t room = (size_t)(c->end - c->next) / SHORTEST_EVENT + 1;
	struct census seen = { .alive = calloc(t->nr_processes, 1) };
	int rc = 0;

	if (nr_events < room)
		room = (size_t)nr_events;
	t->events = calloc(room, sizeof(*t->events));
	if (t->events == NULL || seen.alive == NULL)
		rc = failed(c->name, "events", ENOMEM, c->err, c->errlen);
	while (rc == 0) {
		if (!next_line(c)) {
			rc = malformed(c, "an event or 'end N'");
		} else if (c->line_length > 0 && c->line[0] == 'e') {
			rc = read_end(c, t, &seen, nr_events);
			break;
		} else if (t->nr_events == room) {
			rc = malformed(c, "'end %llu' after as many events", (unsigned long long)nr_events);
		} else {
			rc = read_event(c, t, &seen, &t->events[t->nr_events]);
			t->nr_events += rc == 0;
		}
	}
	free(seen.alive);
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

int trace_parse(const char *name, const char *text, size_t length, struct trace **out, char *err, size_t errlen)
{
	struct cursor c = { .name = name, .next = text, .end = text + length, .err = err, .errlen = errlen };
	struct trace *t = calloc(1, sizeof(*t));
	uint64_t nr_events = 0;
	int rc;

	*out = NULL;
	if (t == NULL)
		return failed(name, "trace", ENOMEM, err, errlen);
	rc = read_header(&c, t, &nr_events);
	if (rc == 0)
		rc = read_events(&c, t, nr_events);
	if (rc != 0) {
		trace_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* Reads the whole file; a stream's size is known only at its end. */
static int read_file(const char *path, char **text, size_t *length, char *err, size_t errlen)
{
	size_t room = 0;
	int rc = 0;
	FILE *file = fopen(path, "rbe");

	*text = NULL;
	*length = 0;
	if (file == NULL)
		return failed(path, "cannot open", errno, err, errlen);
	while (!feof(file)) {
		if (*length == room) {
			char *more;

			room = room != 0 ? 2 * room : (size_t)1 << 16;
			more = room <= 2 * MAX_FILE_BYTES ? realloc(*text, room) : NULL;
			if (more == NULL) {
				rc = failed(path, "cannot hold a file this large",
					    room <= 2 * MAX_FILE_BYTES ? ENOMEM : EFBIG, err, errlen);
				break;
			}
			*text = more;
		}
		*length += fread(*text + *length, 1, room - *length, file);
		if (ferror(file)) {
			rc = failed(path, "cannot read", errno, err, errlen);
			break;
		}
	}
	fclose(file);
	if (rc == 0 && *length > MAX_FILE_BYTES)
		rc = failed(path, "cannot hold a file this large", EFBIG, err, errlen);
	return rc;
}

int trace_load(const char *path, struct trace **out, char *err, size_t errlen)
{
	char *text;
	size_t length;
	int rc = read_file(path, &text, &length, err, errlen);

	*out = NULL;
	if (rc == 0)
		rc = trace_parse(path, text, length, out, err, errlen);
	free(text);
	return rc;
}

void trace_free(struct trace *trace)
{
	if (trace == NULL)
		return;
	free(trace->command);
	free(trace->machine);
	free(trace->date);
	free(trace->ended);
	free(trace->events);
	free(trace);
}
