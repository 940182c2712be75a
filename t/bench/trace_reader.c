/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * bench/measure/trace.c: it reads what the format says, names the line of everything else, and survives any input
 *
 * With files as arguments, it only tells whether they are whole and well-formed traces.
 */
#include <dirent.h>
#include <sys/stat.h>
#include "tap.h"
#include "measure/trace.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A trace with every operation; line 18 is its first event. */
static const char sample[] =
	"libmirror-trace 1\n"
	"command: ./sample 'with a blank'\n"
	"machine: Linux 6.1 x86_64, some CPU, 2 CPUs\n"
	"date: 2026-01-31\n"
	"ended: exit 0\n"
	"page-bytes: 4096\n"
	"events: 12\n"
	"recorded: 40\n"
	"processes: 2\n"
	"threads: 3\n"
	"peak-mappings: 3\n"
	"duration-us: 32\n"
	"failed: 1\n"
	"unfinished: 2\n"
	"empty: 3\n"
	"unknown: 4\n"
	"\n"
	"X 0 0 0\n"
	"M 5 0 0 7f0000000 10 3 8\n"
	"P 1 0 0 7f0000000 4 1 1\n"
	"A 1 0 1 7f0000008 2 4\n"
	"R 1 0 1 7f0000000 10 7e0000000 20 1\n"
	"G 1 0 0 400 2\n"
	"F a 1 2 0\n"
	"S 1 0 0 401 1\n"
	"U 1 1 2 7e0000000 20\n"
	"X 1 1 2\n"
	"E 0 1 2\n"
	"E a 0 0\n"
	"end 12\n";

/* Parses a copy of exactly this size, so that AddressSanitizer sees any step beyond it. */
static int parse(const char *text, size_t length, struct trace **trace, char *err, size_t errlen)
{
	char *copy = malloc(length != 0 ? length : 1);
	int rc;

	memcpy(copy, text, length);
	rc = trace_parse("sample", copy, length, trace, err, errlen);
	free(copy);
	return rc;
}

/* Whether what the reader promises to those who replay the trace holds. */
static bool is_sound(const struct trace *t)
{
	uint64_t time_ns = 0;

	for (size_t i = 0; i < t->nr_events; i++) {
		const struct trace_event *e = &t->events[i];
		bool ranged = strchr("FXE", e->op) == NULL;

		if (e->time_ns < time_ns || e->process >= t->nr_processes || e->thread >= t->nr_threads ||
		    (ranged ? e->start >= e->end : (e->start | e->end) != 0) ||
		    (e->op == TRACE_MREMAP ? e->new_start >= e->new_end : (e->new_start | e->new_end) != 0) ||
		    (e->op == TRACE_FORK && e->arg >= t->nr_processes) || e->how > 0xf)
			return false;
		time_ns = e->time_ns;
	}
	return t->nr_events > 0 && t->nr_recorded >= t->nr_events && time_ns <= t->duration_ns;
}

static bool same_event(const struct trace_event *a, const struct trace_event *b)
{
	return a->time_ns == b->time_ns && a->start == b->start && a->end == b->end && a->new_start == b->new_start &&
	       a->new_end == b->new_end && a->process == b->process && a->thread == b->thread && a->arg == b->arg &&
	       a->op == b->op && a->how == b->how;
}

static void test_sample(void)
{
	const struct trace_event want[] = {
		{ .op = 'X' },
		{ .time_ns = 5000, .op = 'M', .start = 0x7f0000000000, .end = 0x7f0000010000, .arg = 3, .how = 8 },
		{ .time_ns = 6000, .op = 'P', .start = 0x7f0000000000, .end = 0x7f0000004000, .arg = 1, .how = 1 },
		{ .time_ns = 7000, .op = 'A', .thread = 1, .start = 0x7f0000008000, .end = 0x7f000000a000, .arg = 4 },
		{ .time_ns = 8000, .op = 'R', .thread = 1, .start = 0x7f0000000000, .end = 0x7f0000010000,
		  .new_start = 0x7e0000000000, .new_end = 0x7e0000020000, .how = 1 },
		{ .time_ns = 9000, .op = 'G', .start = 0x400000, .end = 0x402000 },
		{ .time_ns = 19000, .op = 'F', .process = 1, .thread = 2 },
		{ .time_ns = 20000, .op = 'S', .start = 0x401000, .end = 0x402000 },
		{ .time_ns = 21000, .op = 'U', .process = 1, .thread = 2, .start = 0x7e0000000000,
		  .end = 0x7e0000020000 },
		{ .time_ns = 22000, .op = 'X', .process = 1, .thread = 2 },
		{ .time_ns = 22000, .op = 'E', .process = 1, .thread = 2 },
		{ .time_ns = 32000, .op = 'E' },
	};
	struct trace *t;
	char err[256] = "";

	if (!is_int(parse(sample, strlen(sample), &t, err, sizeof(err)), 0, "a trace with every operation is read")) {
		diag("%s", err);
		return;
	}
	is_int(t->nr_events, ARRAY_SIZE(want), "with all its events");
	for (size_t i = 0; i < t->nr_events && i < ARRAY_SIZE(want); i++)
		ok(same_event(&t->events[i], &want[i]), "event %zu is the %c that was written", i, want[i].op);
	ok(strcmp(t->command, "./sample 'with a blank'") == 0 && strcmp(t->ended, "exit 0") == 0 &&
	   strcmp(t->machine, "Linux 6.1 x86_64, some CPU, 2 CPUs") == 0 && strcmp(t->date, "2026-01-31") == 0,
	   "the header's texts are kept");
	ok(t->page_bytes == 4096 && t->nr_recorded == 40 && t->nr_processes == 2 && t->nr_threads == 3 &&
	   t->peak_mappings == 3 && t->duration_ns == 32000 && t->nr_failed == 1 && t->nr_unfinished == 2 &&
	   t->nr_empty == 3 && t->nr_unknown == 4, "and its numbers");
	trace_free(t);
}

/* The sample with the first `old` replaced by `new` must be refused, with this at the start of the message. */
static void test_refusals(void)
{
	static const struct {
		const char *old, *new, *message;
	} cases[] = {
		{ "libmirror-trace 1", "libmirror-trace 2",
		  "sample:1: expected 'libmirror-trace 1', the first line of a trace, got 'l" },
		{ "libmirror-trace 1\n", "\x7f" "ELF\n",
		  "sample:1: expected 'libmirror-trace 1', the first line of a trace, got '?ELF'" },
		{ "date: 2026-01-31\n", "", "sample:4: expected 'date: TEXT'" },
		{ "command: ", "command:", "sample:2: expected 'command: TEXT'" },
		{ "a blank", "a \033[31m", "sample:2: expected printable characters" },
		{ "page-bytes: 4096", "page-bytes: 0", "sample:6: expected 'page-bytes: NUMBER' between 1" },
		{ "page-bytes: 4096", "page-bytes: 4k", "sample:6: expected 'page-bytes: NUMBER'" },
		{ "events: 12", "events: 0", "sample:7: expected 'events: NUMBER' between 1" },
		{ "events: 12", "events: 11", "sample:29: expected 'end 11' after as many events" },
		{ "events: 12", "events: 13",
		  "sample:30: expected 'end 13' as in the header, after as many events (there were 12)" },
		{ "recorded: 40", "recorded: 11", "sample:8: expected at least as many recorded as events" },
		{ "recorded: 40", "recorded: 18446744073709551616", "sample:8: expected 'recorded: NUMBER'" },
		{ "processes: 2", "processes: 3", "sample:30: expected the processes and threads of the header" },
		{ "processes: 2", "processes: 1", "sample:24: expected a process below 1" },
		{ "processes: 2", "processes: 4000000000", "sample:9: expected 'processes: NUMBER' between 1 and" },
		{ "threads: 3", "threads: 2", "sample:24: expected a thread below 2" },
		{ "threads: 3", "threads: 4", "sample:30: expected the processes and threads of the header" },
		{ "duration-us: 32", "duration-us: 31", "sample:29: expected times that sum up to the duration" },
		{ "duration-us: 32", "duration-us: 33", "sample:30: expected times that sum up to the duration" },
		{ "unknown: 4\n\n", "unknown: 4\n", "sample:17: expected the empty line after the header" },
		{ "M 5", "N 5", "sample:19: expected an event" },
		{ "M 5", "\nM 5", "sample:19: expected an event" },
		{ "M 5 ", "M  5 ", "sample:19: expected 'M dt process thread start pages arg how'" },
		{ "M 5 ", "M -5 ", "sample:19: expected 'M dt" },
		{ "M 5 ", "M ffffffffffffffff ", "sample:19: expected times" },
		{ "M 5 ", "M 10000000000000000 ", "sample:19: expected 'M dt" },
		{ "10 3 8\n", "10 3 8 \n", "sample:19: expected 'M dt" },
		{ "10 3 8\n", "10 3 8\r\n", "sample:19: expected 'M dt" },
		{ "10 3 8\n", "10 3\n", "sample:19: expected 'M dt" },
		{ "10 3 8\n", "10 8 8\n", "sample:19: expected arg at most 7 and how at most f" },
		{ "10 3 8\n", "10 3 10\n", "sample:19: expected arg at most 7 and how at most f" },
		{ "10 3 8\n", "0 3 8\n", "sample:19: expected a range of at least 1 page" },
		{ "7f0000000 10 3", "7F0000000 10 3", "sample:19: expected 'M dt" },
		{ "7f0000000 10 3", "ffffffffffffe 2 3", "sample:19: expected a range that ends below 2^64" },
		{ "7f0000000 10 3", "7f0000000 ffffffffffffffff 3",
		  "sample:19: expected a range that ends below 2^64" },
		{ "P 1 0 0 7f0000000 4 1 1", "P 1 0 0 7f0000000 4 1 2", "sample:20: expected arg" },
		{ "A 1 0 1", "A 1 0 2", "sample:21: expected thread 1 before any higher one" },
		{ "20 1\n", "0 1\n", "sample:22: expected a range of at least 1 page" },
		{ "G 1 0", "G 1 1", "sample:23: expected process 1 to have begun" },
		{ "F a 1 2 0", "F a 0 2 0", "sample:24: expected process 1 to be the next" },
		{ "F a 1 2 0", "F a 1 2 1", "sample:24: expected a parent that is running" },
		{ "F a 1 2 0\nS 1", "E 0 0 0\nF a 1 2 0\nS 1", "sample:25: expected a parent that is running" },
		{ "X 1 1 2", "E 1 1 2", "sample:28: expected nothing more of process 1, which ended" },
		{ "end 12", "end 1", "sample:30: expected 'end 12'" },
		{ "end 12", "end", "sample:30: expected 'end NUMBER'" },
		{ "end 12\n", "end 12\n\n", "sample:31: expected nothing after 'end'" },
		{ "end 12\n", "",
		  "sample:30: expected an event or 'end N', got the end of the file: the trace is truncated" },
		{ "end 12\n", "end 12",
		  "sample:30: expected an event or 'end N', got the end of the file: the trace is truncated" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strstr(sample, cases[i].old);
		char text[sizeof(sample) + 64], err[256] = "";
		struct trace *t = NULL;
		int rc;

		if (at == NULL)
			bail_out("the sample has no '%s'", cases[i].old);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - sample), sample, cases[i].new,
			 at + strlen(cases[i].old));
		rc = parse(text, strlen(text), &t, err, sizeof(err));
		if (!ok(rc == -EINVAL && t == NULL && strncmp(err, cases[i].message, strlen(cases[i].message)) == 0,
			"refused: %s", cases[i].message))
			diag("case %zu: %d, '%s'", i, rc, err);
		trace_free(t);
	}
}

static void test_files(void)
{
	char dir[] = "/tmp/trace-reader.XXXXXX", path[64], err[256] = "";
	struct trace *t;
	FILE *file;

	if (mkdtemp(dir) == NULL)
		bail_out("cannot make a directory in /tmp");
	snprintf(path, sizeof(path), "%s/missing", dir);
	ok(trace_load(path, &t, err, sizeof(err)) == -ENOENT && t == NULL && strstr(err, path) != NULL,
	   "a file that is not there is -ENOENT, and named");
	ok(trace_load(dir, &t, err, sizeof(err)) == -EISDIR && t == NULL && strstr(err, dir) != NULL,
	   "a directory is -EISDIR");
	ok(trace_load("/dev/zero", &t, err, sizeof(err)) == -EFBIG && t == NULL, "a file without end is -EFBIG");
	ok(trace_load("/dev/null", &t, err, sizeof(err)) == -EINVAL && t == NULL &&
	   strcmp(err, "/dev/null:1: expected 'libmirror-trace 1', the first line of a trace, got the end of the file: "
		  "the trace is truncated") == 0, "an empty file is refused");
	snprintf(path, sizeof(path), "%s/sample", dir);
	file = fopen(path, "w");
	if (file == NULL || fputs(sample, file) < 0 || fclose(file) != 0)
		bail_out("cannot write %s", path);
	ok(trace_load(path, &t, err, sizeof(err)) == 0 && t->nr_events == 12, "a file is read");
	trace_free(t);
	unlink(path);
	rmdir(dir);
}

static void test_truncations(void)
{
	size_t nr_refused = 0;

	for (size_t length = 0; length < strlen(sample); length++) {
		struct trace *t;
		char err[256];

		nr_refused += parse(sample, length, &t, err, sizeof(err)) == -EINVAL;
		trace_free(t);
	}
	is_int(nr_refused, strlen(sample), "each of the sample's beginnings is refused");
}

/* Changes a few places of text, which has room for `room` bytes; returns the new length. */
static size_t mutate(struct rng *rng, char *text, size_t length, size_t room)
{
	static const char likely[] = "0123456789abcdef \nMURAPGSFXE-";

	for (uint32_t left = 1 + rng_below(rng, 3); left > 0 && length > 0; left--) {
		size_t at = rng_below(rng, (uint32_t)length);
		size_t span = 1 + rng_below(rng, 40);

		if (span > length - at)
			span = length - at;
		switch (rng_below(rng, 6)) {
		case 0:
			text[at] = (char)rng_next(rng);
			break;
		case 1:
			text[at] = likely[rng_below(rng, sizeof(likely) - 1)];
			break;
		case 2:
			memmove(text + at, text + at + span, length - at - span);
			length -= span;
			break;
		case 3:
			if (length + span > room)
				break;
			memmove(text + at + span, text + at, length - at);
			length += span;
			break;
		case 4:
			memmove(text + at, text + rng_below(rng, (uint32_t)(length - span + 1)), span);
			break;
		default:
			if (rng_below(rng, 8) == 0)
				length = at;
			break;
		}
	}
	return length;
}

static void test_mutants(const char *name, const char *text, size_t length, uint64_t rounds)
{
	size_t room = length + 4096;
	char *mutant = malloc(room);
	uint64_t nr_read = 0, nr_refused = 0, nr_wrong = 0;
	struct rng rng;

	rng_init(&rng, length);
	for (uint64_t round = 0; round < rounds; round++) {
		char err[256] = "";
		size_t mutant_length;
		struct trace *t;
		bool good;
		int rc;

		memcpy(mutant, text, length);
		mutant_length = mutate(&rng, mutant, length, room);
		rc = parse(mutant, mutant_length, &t, err, sizeof(err));
		good = rc == 0 ? is_sound(t) : rc == -EINVAL && t == NULL && strncmp(err, "sample:", 7) == 0 &&
					       strtoul(err + 7, NULL, 10) > 0;
		if (!good && nr_wrong++ < 3)
			diag("round %" PRIu64 ": %d, '%s'", round, rc, err);
		nr_read += rc == 0;
		nr_refused += rc != 0;
		trace_free(t);
	}
	diag("%s: %" PRIu64 " mutants were refused, %" PRIu64 " are still traces", name, nr_refused, nr_read);
	is_int((intmax_t)nr_wrong, 0, "%s: each of %" PRIu64 " mutants is refused with its line, or sound", name,
	       rounds);
	ok(nr_refused > rounds / 4, "%s: most mutants are refused", name);
	free(mutant);
}

static char *slurp(const char *path, size_t *length)
{
	struct stat status;
	char *text = NULL;
	FILE *file = fopen(path, "r");

	*length = 0;
	if (file != NULL && fstat(fileno(file), &status) == 0 && (text = malloc((size_t)status.st_size + 1)) != NULL)
		*length = fread(text, 1, (size_t)status.st_size, file);
	if (file != NULL)
		fclose(file);
	return text;
}

/* The recorded traces are whole, fit in their 2 MiB, and their mutants are handled. */
static void test_recorded(void)
{
	const char *top = getenv("top_srcdir");
	size_t total_bytes = 0, nr_traces = 0;
	char dir[4096];
	struct dirent *entry;
	DIR *stream;

	snprintf(dir, sizeof(dir), "%s/bench/traces", top != NULL ? top : ".");
	stream = opendir(dir);
	if (stream == NULL)
		bail_out("cannot open %s; run this from the top of the sources or set top_srcdir", dir);
	while ((entry = readdir(stream)) != NULL) {
		const char *suffix = strrchr(entry->d_name, '.');
		char path[8192], err[256] = "";
		struct trace *t;
		size_t length;
		char *text;

		if (suffix == NULL || strcmp(suffix, ".trace") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (!ok(trace_load(path, &t, err, sizeof(err)) == 0 && is_sound(t), "%s is whole and sound",
			entry->d_name))
			diag("%s", err);
		text = slurp(path, &length);
		if (text != NULL && length > 0 && t != NULL)
			test_mutants(entry->d_name, text, length, scaled(500));
		free(text);
		trace_free(t);
		total_bytes += length;
		nr_traces++;
	}
	closedir(stream);
	ok(nr_traces >= 4, "there are traces of at least four programs");
	ok(total_bytes <= (size_t)2 << 20, "together they take at most 2 MiB: %zu bytes", total_bytes);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char err[4096] = "";
		struct trace *t;

		if (!ok(trace_load(argv[i], &t, err, sizeof(err)) == 0 && is_sound(t), "%s is whole and sound",
			argv[i]))
			diag("%s", err);
		trace_free(t);
	}
	if (argc > 1)
		return done_testing();
	test_sample();
	test_refusals();
	test_files();
	test_truncations();
	test_mutants("sample", sample, strlen(sample), scaled(5000));
	test_recorded();
	return done_testing();
}
