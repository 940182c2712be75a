/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * mirror-watch: runs a command with libmirror-preload, and shows what it invalidates
 *
 * Command and watcher share a ring of records (watch_ring.h).  The watcher reads it while the command runs, and
 * afterwards what is left; input, output and signals are the command's own.
 *
 * Exit status: the command's; its signal, if one ended it; 125: mirror-watch failed; 126: the command cannot be run;
 * 127: there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "places.h"
#include "publishers/watch_ring.h"
#include "totals.h"
#include "trace.h"

enum { FAILED = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

enum { SHORT_NAP_MS = 5, LONG_NAP_MS = 40, DRAW_NS = 250000000, STUCK_NS = 200000000, LIVE_ROWS = 6, STAT_ROWS = 12 };

static struct {
	FILE *log, *live, *stat, *trace;
	const char *json;
	uint64_t late_ns;
	char **command;
} options = { .late_ns = 1000000 };

static struct watch_ring *ring;
static int bell;                /* of inotify: a process begins, it has mapped the ring and closed it */
static struct totals totals;
static uint64_t began_ns, next;         /* the number of the next record */

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
	va_list args;

	fputs("mirror-watch: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- the command line ---- */

static const char usage[] =
	"usage: mirror-watch [OPTION]... [--] COMMAND [ARGUMENT]...\n"
	"\n"
	"Runs COMMAND and its children with libmirror-preload, and says what they invalidate: unmapped, dropped and\n"
	"protected memory, by call, mapping and caller.\n"
	"\n"
	"  --stat[=FILE]   a summary at the end, on standard error or in FILE (the default, if no other output is asked for)\n"
	"  --live          a summary that changes while the command runs, on the terminal; the command's standard output\n"
	"                  and error have to go elsewhere\n"
	"  --log FILE      a line for each call\n"
	"  --json FILE     the summary as JSON\n"
	"  --trace FILE    what happens to the address spaces, for mirror-bench run --trace FILE\n"
	"  --late MS       callbacks that take longer are late (default 1)\n"
	"  --version       print the version\n"
	"  --help          show this text\n"
	"\n"
	"FILE may be - for standard output.\n"
	"Exit status: the command's, or its signal; 125: mirror-watch failed; 126: COMMAND cannot be run; 127: there is\n"
	"none.\n";

static FILE *open_output(const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");

	if (!file) {
		complain("cannot write %s: %s", path, strerror(errno));
		exit(FAILED);
	}
	return file;
}

static uint64_t parse_ms(const char *text)
{
	char *end;
	double ms = strtod(text, &end);

	if (end == text || *end || !(ms >= 0) || ms > 1e9) {
		complain("--late takes milliseconds, not \"%s\"", text);
		exit(FAILED);
	}
	return (uint64_t)(ms * 1e6);
}

static void open_live(void)
{
	if (isatty(STDOUT_FILENO) || isatty(STDERR_FILENO)) {
		complain("--live draws on the terminal: send the command's output elsewhere, as by >out 2>&1");
		exit(FAILED);
	}
	options.live = open_output("/dev/tty");
}

static void parse_options(int argc, char **argv)
{
	enum { STAT = 256, LIVE, LOG, JSON, TRACE, LATE, VERSION_, HELP };
	static const struct option known[] = {
		{ "stat", optional_argument, NULL, STAT }, { "live", no_argument, NULL, LIVE },
		{ "log", required_argument, NULL, LOG },   { "json", required_argument, NULL, JSON },
		{ "trace", required_argument, NULL, TRACE }, { "late", required_argument, NULL, LATE },
		{ "version", no_argument, NULL, VERSION_ },  { "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (option) {
		case STAT:
			options.stat = optarg ? open_output(optarg) : stderr;
			break;
		case LIVE:
			open_live();
			break;
		case LOG:
			options.log = open_output(optarg);
			break;
		case JSON:
			options.json = optarg;
			break;
		case TRACE:
			options.trace = open_output(optarg);
			break;
		case LATE:
			options.late_ns = parse_ms(optarg);
			break;
		case VERSION_:
			puts("mirror-watch " PACKAGE_VERSION);
			exit(0);
		case HELP:
			fputs(usage, stdout);
			exit(0);
		default:
			fputs("try: mirror-watch --help\n", stderr);
			exit(FAILED);
		}
	}
	options.command = argv + optind;
	if (optind == argc) {
		complain("no command given");
		fputs("try: mirror-watch --help\n", stderr);
		exit(FAILED);
	}
	if (!options.log && !options.live && !options.json && !options.trace && !options.stat)
		options.stat = stderr;
}

/* ---- the command ---- */

/* Of a build tree first, then as installed. */
static const char *find_publisher(void)
{
	static char path[PATH_MAX];
	const char *given = getenv("MIRROR_PRELOAD_LIBRARY");
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash;

	if (given)
		return given;
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash, "/.libs/libmirror-preload.so");
		if (access(path, R_OK) == 0)
			return path;
	}
	return LIBDIR "/libmirror-preload.so.0";
}

static char *set_environment(int ring_fd)
{
	const char *publisher = find_publisher(), *others = getenv("LD_PRELOAD");
	char *preload, *file;

	if (access(publisher, R_OK)) {
		complain("cannot read %s: %s", publisher, strerror(errno));
		exit(FAILED);
	}
	if (asprintf(&preload, "%s%s%s", publisher, others ? ":" : "", others ? others : "") < 0 ||
	    asprintf(&file, "/proc/%d/fd/%d", (int)getpid(), ring_fd) < 0 || setenv("LD_PRELOAD", preload, 1) ||
	    setenv(WATCH_VARIABLE, file, 1)) {
		complain("out of memory");
		exit(FAILED);
	}
	free(preload);
	return file;
}

/* In memory alone: nothing is left behind, however this ends. */
static void make_ring(void)
{
	int fd = memfd_create("mirror-watch", MFD_CLOEXEC);
	char *path;

	if (fd < 0 || ftruncate(fd, sizeof(*ring))) {
		complain("cannot make a ring of %zu bytes: %s", sizeof(*ring), strerror(errno));
		exit(FAILED);
	}
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		complain("cannot map a ring: %s", strerror(errno));
		exit(FAILED);
	}
	ring->magic = WATCH_MAGIC;
	ring->late_ns = options.late_ns;
	path = set_environment(fd);
	bell = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (bell >= 0)
		inotify_add_watch(bell, path, IN_CLOSE_WRITE);
	free(path);
}

static volatile sig_atomic_t to_forward;
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
enum { NR_FORWARDED = sizeof(forwarded) / sizeof(forwarded[0]) };

/* Ctrl-C goes to all of the foreground, the command included; what kill(1) sends reaches this process alone. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (signal != SIGCHLD && info->si_code <= 0)
		to_forward = signal;
}

/* What was ignored from the start stays so, here and in the command.  The command's end cuts a wait short. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO }, before;

	sigaction(SIGCHLD, &action, NULL);
	for (int i = 0; i < NR_FORWARDED; i++)
		if (sigaction(forwarded[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(forwarded[i], &action, NULL);
}

/* In the child, which shares this process's memory until it has become the command: the error is left in @error. */
static void run_here(volatile int *error, const sigset_t *mask)
{
	for (int i = 0; i < NR_FORWARDED; i++) {
		struct sigaction action;

		if (sigaction(forwarded[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
			action = (struct sigaction){ .sa_handler = SIG_DFL };
			sigaction(forwarded[i], &action, NULL);
		}
	}
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(options.command[0], options.command);
	*error = errno;
	_exit(FAILED);
}

/* By vfork: a copy of this process's page tables would cost a short command more than all the rest. */
static pid_t run_command(void)
{
	volatile int error = 0;
	sigset_t all, mask;
	pid_t child;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	child = vfork();
	if (child == 0)
		run_here(&error, &mask);
	if (child > 0)
		catch_signals();
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (child < 0) {
		complain("cannot start a process: %s", strerror(errno));
		exit(FAILED);
	}
	if (error) {
		waitpid(child, NULL, 0);
		complain("cannot run %s: %s", options.command[0], strerror(error));
		exit(error == ENOENT ? NOT_FOUND : CANNOT_RUN);
	}
	unsetenv("LD_PRELOAD");
	return child;
}

/* ---- records ---- */

static void log_record(const struct watch_record *r)
{
	fprintf(options.log, "%.6f %" PRIu32 " %" PRIu32 " ", (double)(r->entered_ns - began_ns) / 1e9, r->pid, r->tid);
	switch (r->kind) {
	case WATCH_BEGINS:
		fputs("begins\n", options.log);
		return;
	case WATCH_FORKS:
		fprintf(options.log, "forked by %" PRIu64 "\n", r->args[0]);
		return;
	case WATCH_ENDS:
		fputs("ends\n", options.log);
		return;
	case WATCH_LATE:
		fprintf(options.log, "late: %s %s, %s %" PRIu64 " ns\n", r->name, places_function(r->pid, r->caller),
			r->result ? "took" : "has run for", r->callbacks_ns);
		return;
	}
	fprintf(options.log, "%s(%#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ")", r->name, r->args[0], r->args[1],
		r->args[2], r->args[3]);
	if (r->error)
		fprintf(options.log, " = -1 (%s)", strerror(r->error));
	else
		fprintf(options.log, " = %#" PRIx64, r->result);
	if (r->is_invalidation)
		fprintf(options.log, " invalidates %#" PRIx64 "-%#" PRIx64 " %s", r->start, r->end,
			places_mapping(r->pid, r->start));
	fprintf(options.log, " %" PRIu64 " ns, callbacks %" PRIu64 " ns, by %s\n", r->call_ns, r->callbacks_ns,
		places_caller(r->pid, r->caller));
}

static void take_record(const struct watch_record *r)
{
	if (r->kind == WATCH_BEGINS) {
		totals.nr_processes++;
		places_read(r->pid);
	} else if (r->kind == WATCH_FORKS) {
		totals.nr_processes++;
		places_fork(r->pid, (uint32_t)r->args[0]);
	} else if (r->kind != WATCH_ENDS) {
		totals_add(&totals, r);
	}
	if (options.trace && r->kind != WATCH_LATE)
		trace_add(r);
	if (options.log)
		log_record(r);
}

/*
 * Takes what is there.  A record whose writer has been killed on its way never comes: it is passed over.  Whoever reads
 * the log beside the command has it up to here.
 */
static void take_records(void)
{
	static uint64_t stuck_ns;
	uint64_t first = next;

	while (next < load_acquire(&ring->head)) {
		struct watch_record *r = &ring->records[next % WATCH_RECORDS];

		if (load_acquire(&r->ready) == next + 1) {
			take_record(r);
		} else {
			if (!stuck_ns)
				stuck_ns = now_ns();
			if (now_ns() - stuck_ns < STUCK_NS)
				break;
			totals.nr_lost++;
		}
		stuck_ns = 0;
		store_release(&ring->tail, ++next);
	}
	if (options.log && next != first)
		fflush(options.log);
}

/* ---- output ---- */

static unsigned live_columns, live_rows, live_row;

static void live_line(const char *text, bool is_title)
{
	if (live_row++ < live_rows)
		fprintf(options.live, "%s%.*s%s\033[K\r\n", is_title ? "\033[1m" : "", (int)live_columns, text,
			is_title ? "\033[m" : "");
}

static void draw(void)
{
	struct winsize size = { .ws_col = 80, .ws_row = 24 };

	ioctl(fileno(options.live), TIOCGWINSZ, &size);
	live_columns = size.ws_col ? size.ws_col : 80;
	live_rows = size.ws_row ? size.ws_row - 1u : 23;
	live_row = 0;
	fputs("\033[H", options.live);
	totals_print(&totals, (double)(now_ns() - began_ns) / 1e9, LIVE_ROWS, live_line);
	fputs("\033[J", options.live);
	fflush(options.live);
}

static void stat_line(const char *text, bool is_title)
{
	(void)is_title;
	fprintf(options.stat, "%s\n", text);
}

static json_t *json_of(struct table *table)
{
	const struct total *all = table_sorted(table);
	json_t *array = json_array();

	for (size_t i = 0; i < table->nr; i++)
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "name", all[i].name,
						       "invalidations", (json_int_t)all[i].nr, "bytes",
						       (json_int_t)all[i].bytes, "call_ns", (json_int_t)all[i].call_ns,
						       "callbacks_ns", (json_int_t)all[i].callbacks_ns,
						       "longest_callbacks_ns", (json_int_t)all[i].longest_ns));
	return array;
}

static json_t *json_of_late(void)
{
	const struct total *late = table_sorted(&totals.late);
	json_t *array = json_array();

	for (size_t i = 0; i < totals.late.nr; i++)
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I}", "name", late[i].name, "late",
						       (json_int_t)late[i].nr, "late_ns", (json_int_t)late[i].callbacks_ns,
						       "longest_ns", (json_int_t)late[i].longest_ns));
	return array;
}

static bool write_json(uint64_t duration_ns)
{
	json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "duration_ns",
				 (json_int_t)duration_ns, "calls", (json_int_t)totals.nr_calls, "failed", (json_int_t)totals.nr_failed,
				 "invalidations", (json_int_t)totals.nr_invalidations, "late", (json_int_t)totals.nr_late,
				 "processes", (json_int_t)totals.nr_processes, "lost", (json_int_t)totals.nr_lost,
				 "by_call", json_of(&totals.kinds), "by_mapping", json_of(&totals.mappings), "by_caller",
				 json_of(&totals.callers), "late_callbacks", json_of_late());
	FILE *file = open_output(options.json);
	bool right = root && json_dumpf(root, file, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 && fputc('\n', file) != EOF &&
		     fflush(file) == 0;

	json_decref(root);
	if (!right)
		complain("cannot write %s: %s", options.json, strerror(errno));
	return right;
}

/* What was asked for; false: something could not be written. */
static bool write_outputs(uint64_t duration_ns, int status)
{
	bool right = true;

	if (options.stat) {
		totals_print(&totals, (double)duration_ns / 1e9, STAT_ROWS, stat_line);
		right = fflush(options.stat) == 0;
	}
	if (options.log)
		right = fflush(options.log) == 0 && right;
	if (options.trace)
		right = trace_write(options.trace, options.command, status, totals.nr_lost) && right;
	if (!right)
		complain("cannot write: %s", strerror(errno));
	if (options.json)
		right = write_json(duration_ns) && right;
	return right;
}

/* Until a process begins, a signal comes, or time is up.  It is short while something happens. */
static void nap(bool short_one)
{
	static int ms = SHORT_NAP_MS;
	struct pollfd ring_at = { .fd = bell, .events = POLLIN };
	char events[4096];

	ms = short_one ? SHORT_NAP_MS : ms < LONG_NAP_MS ? 2 * ms : LONG_NAP_MS;
	if (poll(&ring_at, 1, ms) <= 0)
		return;
	while (read(bell, events, sizeof(events)) > 0)
		;
	ms = SHORT_NAP_MS / 2; /* the record that it has begun comes now */
}

static int wait_for(pid_t child)
{
	uint64_t drawn_ns = 0;
	int status;

	while (waitpid(child, &status, WNOHANG) == 0) {
		uint64_t before = next;

		take_records();
		if (to_forward) {
			kill(child, to_forward);
			to_forward = 0;
		}
		if (options.live && now_ns() - drawn_ns > DRAW_NS) {
			draw();
			drawn_ns = now_ns();
		}
		nap(next != before);
	}
	return status;
}

/* Ends as the command did, so that a shell sees the same. */
static void end_by(int signal)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t mask;

	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	sigaction(signal, &action, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, signal);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	raise(signal);
}

int main(int argc, char **argv)
{
	uint64_t duration_ns;
	bool right;
	int status;
	pid_t child;

	parse_options(argc, argv);
	totals.late_ns = options.late_ns;
	make_ring();
	began_ns = now_ns();
	child = run_command();
	if (options.live)
		fputs("\033[?1049h\033[2J", options.live);
	status = wait_for(child);
	duration_ns = now_ns() - began_ns;
	while (next < load_acquire(&ring->head))
		take_records();
	store_relaxed(&ring->is_gone, 1);
	if (options.live) {
		draw();
		fputs("\033[?1049l", options.live);
		fflush(options.live);
	}
	if (ring->nr_processes == 0)
		complain("nothing was seen: %s is linked statically, runs with the rights of another user, or clears its environment",
			 options.command[0]);
	right = write_outputs(duration_ns, status);
	if (WIFSIGNALED(status)) {
		end_by(WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return right ? WEXITSTATUS(status) : FAILED;
}
