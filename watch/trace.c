/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * From records to a trace, as tools/record-trace makes one from strace's lines
 *
 * A call took effect somewhere between its begin and its return.  Calls that give memory back are placed where they
 * began, calls that take memory where they returned: so memory is never handed out before it was given back.  The
 * records are sorted by these times when all are there, and then followed.
 *
 * Two maps of each address space are kept: the mappings as they were made, and the protections of their pages.  One
 * would not do: a protection in the middle of a mapping leaves the mapping one.
 *
 * What the publisher does not see is missing: what the dynamic linker maps before it begins, and the end of a process
 * that was killed or called _exit; such a one ends with the trace, or when its number is used again.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "publishers/watch_ring.h"

/* The field "how". */
enum { SHARED = 1, OF_FILE = 2, FIXED = 4, REPLACES = 8, LOWERS = 1, MOVE_FIXED = 1, MOVE_DONTUNMAP = 2 };
enum { ALL_PROT = PROT_READ | PROT_WRITE | PROT_EXEC, ABSENT = -1, NOBODY = -1 };

struct kept {
	uint64_t when_ns;
	uint64_t number;                /* the order in which records came */
	uint64_t args[4], result;
	uint32_t pid, tid;
	int32_t error;
	uint16_t kind;
	char name[16];
};

struct piece {
	uint64_t start, end;
	int prot;
};

/* Without overlaps, in order. */
struct map {
	struct piece *pieces;
	size_t nr, room;
};

struct space {
	uint32_t pid;
	bool is_alive;
	int id;                         /* in the trace; NOBODY: it has not been named yet */
	uint64_t heap_end;              /* 0: not known yet */
	struct map mappings, protections;
};

static struct kept *records;
static size_t nr_records, room_records;
static struct space *spaces;            /* a number's latest comes last */
static size_t nr_spaces, room_spaces;
static uint32_t *threads;
static size_t nr_threads, room_threads;

static struct {
	FILE *events;
	uint64_t nr, now_ns, first_ns, last_us, nr_pieces, peak_pieces, nr_failed, nr_empty, nr_unknown;
	int nr_named;
} out;

/* The array, with room for one more. */
static void *grown(void *array, size_t nr, size_t *room, size_t bytes)
{
	if (nr < *room)
		return array;
	*room = *room ? 2 * *room : 64;
	array = realloc(array, *room * bytes);
	if (!array) {
		fputs("mirror-watch: out of memory\n", stderr);
		exit(125);
	}
	return array;
}

/* ---- while the command runs ---- */

static bool takes_memory(const struct watch_record *r)
{
	return strcmp(r->name, "mmap") == 0 || (strstr(r->name, "brk") && !r->is_invalidation);
}

void trace_add(const struct watch_record *r)
{
	struct kept *k;

	records = grown(records, nr_records, &room_records, sizeof(*records));
	k = &records[nr_records];
	*k = (struct kept){
		.when_ns = r->entered_ns + (takes_memory(r) ? r->call_ns + r->callbacks_ns : 0), .number = nr_records,
		.result = r->result, .pid = r->pid, .tid = r->tid, .error = r->error, .kind = r->kind,
	};
	memcpy(k->args, r->args, sizeof(k->args));
	memcpy(k->name, r->name, sizeof(k->name));
	nr_records++;
}

/* ---- maps ---- */

static void insert(struct map *m, size_t at, struct piece piece)
{
	m->pieces = grown(m->pieces, m->nr, &m->room, sizeof(*m->pieces));
	memmove(&m->pieces[at + 1], &m->pieces[at], (m->nr++ - at) * sizeof(*m->pieces));
	m->pieces[at] = piece;
}

/* The first piece that ends behind @address. */
static size_t piece_at(const struct map *m, uint64_t address)
{
	size_t low = 0, high = m->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->pieces[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void split(struct map *m, uint64_t address)
{
	size_t at = piece_at(m, address);

	if (at == m->nr || m->pieces[at].start >= address)
		return;
	insert(m, at, m->pieces[at]);
	m->pieces[at].end = m->pieces[at + 1].start = address;
}

/* Whether something was there. */
static bool set(struct map *m, uint64_t start, uint64_t end, int prot)
{
	size_t from, to;

	if (start >= end)
		return false;
	split(m, start);
	split(m, end);
	from = piece_at(m, start);
	for (to = from; to < m->nr && m->pieces[to].start < end;)
		to++;
	if (to > from)
		memmove(&m->pieces[from], &m->pieces[to], (m->nr - to) * sizeof(*m->pieces));
	m->nr -= to - from;
	if (prot != ABSENT)
		insert(m, from, (struct piece){ start, end, prot });
	return to > from;
}

static bool place(struct space *s, uint64_t start, uint64_t end, int prot)
{
	size_t before = s->mappings.nr;
	bool was_there = set(&s->mappings, start, end, prot);

	out.nr_pieces += s->mappings.nr - before;
	set(&s->protections, start, end, prot);
	return was_there;
}

static void copy(struct map *to, const struct map *from)
{
	for (size_t i = 0; i < from->nr; i++)
		insert(to, i, from->pieces[i]);
}

static void clear(struct space *s)
{
	out.nr_pieces -= s->mappings.nr;
	s->mappings.nr = s->protections.nr = 0;
	s->heap_end = 0;
}

/* ---- events ---- */

static uint64_t page(void)
{
	static uint64_t bytes;

	if (!bytes)
		bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	return bytes;
}

static uint64_t up(uint64_t bytes)
{
	return (bytes + page() - 1) / page() * page();
}

static size_t thread_id(uint32_t tid)
{
	for (size_t i = nr_threads; i > 0; i--)
		if (threads[i - 1] == tid)
			return i - 1;
	threads = grown(threads, nr_threads, &room_threads, sizeof(*threads));
	threads[nr_threads] = tid;
	return nr_threads++;
}

static void event(char op, struct space *s, uint32_t tid)
{
	uint64_t us = (out.now_ns - out.first_ns) / 1000;

	if (s->id == NOBODY)
		s->id = out.nr_named++;
	if (out.nr_pieces > out.peak_pieces)
		out.peak_pieces = out.nr_pieces;
	fprintf(out.events, "%s%c %" PRIx64 " %x %zx", out.nr++ ? "\n" : "", op, us - out.last_us, (unsigned)s->id,
		thread_id(tid));
	out.last_us = us;
}

static void number(uint64_t value)
{
	fprintf(out.events, " %" PRIx64, value);
}

static void range(uint64_t start, uint64_t end)
{
	number(start / page());
	number((end - start) / page());
}

/* ---- calls; each returns whether something changed ---- */

static bool do_mmap(struct space *s, const struct kept *k)
{
	uint64_t end = k->result + up(k->args[1]), flags = k->args[3];
	bool is_fixed = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
	bool was_there = place(s, k->result, end, (int)k->args[2] & ALL_PROT);

	event('M', s, k->tid);
	range(k->result, end);
	number(k->args[2] & ALL_PROT);
	number((flags & MAP_SHARED ? SHARED : 0) | (flags & MAP_ANONYMOUS ? 0 : OF_FILE) | (is_fixed ? FIXED : 0) |
	       (is_fixed && was_there ? REPLACES : 0));
	return true;
}

static bool do_munmap(struct space *s, const struct kept *k)
{
	uint64_t end = k->args[0] + up(k->args[1]);

	place(s, k->args[0], end, ABSENT);
	event('U', s, k->tid);
	range(k->args[0], end);
	return true;
}

static bool do_mremap(struct space *s, const struct kept *k)
{
	uint64_t start = k->args[0], end = start + up(k->args[1]), to = k->result, to_end = to + up(k->args[2]);
	size_t at = piece_at(&s->protections, start);
	bool is_known = at < s->protections.nr && s->protections.pieces[at].start <= start;
	int prot = is_known ? s->protections.pieces[at].prot : ALL_PROT;

	if (start == end) {
		/* A shared mapping gets a second place and keeps its first. */
		place(s, to, to_end, prot);
		event('M', s, k->tid);
		range(to, to_end);
		number((uint64_t)prot);
		number(SHARED);
		return true;
	}
	if (!(k->args[3] & MREMAP_DONTUNMAP))
		place(s, start, end, ABSENT);
	place(s, to, to_end, prot);
	event('R', s, k->tid);
	range(start, end);
	range(to, to_end);
	number((k->args[3] & MREMAP_FIXED ? MOVE_FIXED : 0) | (k->args[3] & MREMAP_DONTUNMAP ? MOVE_DONTUNMAP : 0));
	return true;
}

static bool do_madvise(struct space *s, const struct kept *k)
{
	if (!k->args[1])
		return false;
	event('A', s, k->tid);
	range(k->args[0], k->args[0] + up(k->args[1]));
	number(k->args[2] & 0xffff);
	return true;
}

/* What is not known was mapped by others, and is taken to have had every permission. */
static bool do_mprotect(struct space *s, const struct kept *k)
{
	uint64_t start = k->args[0], end = start + up(k->args[1]), covered = 0;
	int prot = (int)k->args[2] & ALL_PROT, before = 0;
	struct map *m = &s->protections;

	if (start == end)
		return false;
	split(m, start);
	split(m, end);
	for (size_t i = piece_at(m, start); i < m->nr && m->pieces[i].start < end; i++) {
		covered += m->pieces[i].end - m->pieces[i].start;
		before |= m->pieces[i].prot;
		m->pieces[i].prot = prot;
	}
	if (covered < end - start)
		before = ALL_PROT;
	event('P', s, k->tid);
	range(start, end);
	number((uint64_t)prot);
	number(before & ~prot ? LOWERS : 0);
	return true;
}

static bool move_heap_end(struct space *s, uint64_t new_end, uint32_t tid)
{
	uint64_t from = up(s->heap_end), to = up(new_end);
	bool is_known = s->heap_end != 0;

	s->heap_end = new_end;
	if (!is_known || from == to)
		return false;
	if (to > from) {
		place(s, from, to, PROT_READ | PROT_WRITE);
		event('G', s, tid);
		range(from, to);
	} else {
		place(s, to, from, ABSENT);
		event('S', s, tid);
		range(to, from);
	}
	return true;
}

static bool do_brk(struct space *s, const struct kept *k)
{
	return k->args[0] && move_heap_end(s, k->args[0], k->tid);
}

/* libc's sbrk calls its brk; that is a record of its own, where it is seen. */
static bool do_sbrk(struct space *s, const struct kept *k)
{
	if (!s->heap_end)
		s->heap_end = k->result;
	return move_heap_end(s, k->result + k->args[0], k->tid);
}

static const struct {
	const char *name;
	bool (*follow)(struct space *s, const struct kept *k);
} calls[] = {
	{ "mmap", do_mmap },         { "munmap", do_munmap },     { "mremap", do_mremap },
	{ "madvise", do_madvise },   { "mprotect", do_mprotect }, { "pkey_mprotect", do_mprotect },
	{ "brk", do_brk },           { "sbrk", do_sbrk },
};

/* ---- address spaces ---- */

static struct space *space_of(uint32_t pid)
{
	for (size_t i = nr_spaces; i > 0; i--)
		if (spaces[i - 1].pid == pid)
			return spaces[i - 1].is_alive ? &spaces[i - 1] : NULL;
	return NULL;
}

static void end(struct space *s, uint32_t tid)
{
	clear(s);
	free(s->mappings.pieces);
	free(s->protections.pieces);
	s->mappings = s->protections = (struct map){ NULL, 0, 0 };
	s->is_alive = false;
	event('E', s, tid);
}

static struct space *new_space(uint32_t pid)
{
	spaces = grown(spaces, nr_spaces, &room_spaces, sizeof(*spaces));
	spaces[nr_spaces] = (struct space){ .pid = pid, .is_alive = true, .id = NOBODY };
	return &spaces[nr_spaces++];
}

static void begins(const struct kept *k)
{
	struct space *s = space_of(k->pid);

	if (s)
		clear(s);
	else
		s = new_space(k->pid);
	event('X', s, k->tid);
}

static void forks(const struct kept *k)
{
	struct space *s = space_of(k->pid), *parent;

	if (s)
		end(s, k->pid);
	s = new_space(k->pid);
	parent = space_of((uint32_t)k->args[0]);
	if (!parent) {
		event('X', s, k->tid);
		return;
	}
	copy(&s->mappings, &parent->mappings);
	copy(&s->protections, &parent->protections);
	out.nr_pieces += s->mappings.nr;
	s->heap_end = parent->heap_end;
	event('F', s, k->tid);
	number((uint64_t)parent->id);
}

static void follow_call(const struct kept *k)
{
	struct space *s = space_of(k->pid);

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, k->name) != 0)
			continue;
		if (k->error)
			out.nr_failed++;
		else if (!s)
			out.nr_unknown++;
		else if (!calls[i].follow(s, k))
			out.nr_empty++;
		return;
	}
}

static void follow(const struct kept *k)
{
	out.now_ns = k->when_ns;
	if (k->kind == WATCH_BEGINS)
		begins(k);
	else if (k->kind == WATCH_FORKS)
		forks(k);
	else if (k->kind != WATCH_ENDS)
		follow_call(k);
	else if (space_of(k->pid))
		end(space_of(k->pid), k->tid);
}

/* ---- the whole ---- */

static int by_time(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->when_ns != y->when_ns)
		return x->when_ns < y->when_ns ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

/* Destructors that come after the publisher's may still make calls: a process ends after its last one. */
static void postpone_ends(void)
{
	for (size_t i = 0; i < nr_records; i++)
		for (size_t j = i + 1; records[i].kind == WATCH_ENDS && j < nr_records; j++) {
			if (records[j].pid != records[i].pid)
				continue;
			if (records[j].kind == WATCH_BEGINS || records[j].kind == WATCH_FORKS)
				break;
			if (records[j].when_ns >= records[i].when_ns)
				records[i].when_ns = records[j].when_ns + 1;
		}
}

static void write_command(FILE *file, char *const *command)
{
	fputs("command:", file);
	for (; *command; command++) {
		fputc(' ', file);
		for (const char *c = *command; *c; c++)
			fputc(*c >= ' ' && *c <= '~' ? *c : '?', file);
	}
	fputc('\n', file);
}

static void write_header(FILE *file, char *const *command, int status, uint64_t nr_lost)
{
	struct utsname system;
	char date[32];
	time_t now = time(NULL);

	uname(&system);
	system.release[strspn(system.release, "0123456789.")] = '\0';
	strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
	fputs("libmirror-trace 1\n", file);
	write_command(file, command);
	fprintf(file, "machine: %s %s %s, %ld CPUs\ndate: %s\n", system.sysname, system.release, system.machine,
		sysconf(_SC_NPROCESSORS_ONLN), date);
	fprintf(file, "ended: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	fprintf(file, "page-bytes: %" PRIu64 "\nevents: %" PRIu64 "\nrecorded: %" PRIu64 "\nprocesses: %d\nthreads: %zu\n",
		page(), out.nr, out.nr, out.nr_named, nr_threads);
	fprintf(file, "peak-mappings: %" PRIu64 "\nduration-us: %" PRIu64 "\nfailed: %" PRIu64 "\nunfinished: 0\n",
		out.peak_pieces, out.last_us, out.nr_failed);
	fprintf(file, "empty: %" PRIu64 "\nunknown: %" PRIu64 "\n\n", out.nr_empty, out.nr_unknown + nr_lost);
}

bool trace_write(FILE *file, char *const *command, int status, uint64_t nr_lost)
{
	char *events = NULL;
	size_t bytes = 0;

	out.events = open_memstream(&events, &bytes);
	if (!out.events)
		return false;
	postpone_ends();
	qsort(records, nr_records, sizeof(*records), by_time);
	out.first_ns = nr_records ? records[0].when_ns : 0;
	for (size_t i = 0; i < nr_records; i++)
		follow(&records[i]);
	for (size_t i = 0; i < nr_spaces; i++)
		if (spaces[i].is_alive)
			end(&spaces[i], spaces[i].pid);
	if (fclose(out.events))
		return false;
	if (out.nr) {
		write_header(file, command, status, nr_lost);
		fprintf(file, "%s\nend %" PRIu64 "\n", events, out.nr);
	}
	free(events);
	return fflush(file) == 0 && !ferror(file);
}
