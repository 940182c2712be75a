/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-preload, while mirror-watch looks on: each call becomes a record (watch_ring.h)
 *
 * No descriptor stays open and nothing is allocated, so that the program finds the same as ever.
 */
#include "preload_impl.h"
#include "watch_ring.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_NS = 1000000000 };

static struct watch_ring *ring;
static uint32_t pid;
static _Thread_local uint32_t tid __attribute__((tls_model("initial-exec")));

bool preload_is_watched(void)
{
	return ring != NULL;
}

uint64_t preload_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Whether the record of this number may be written. */
static bool has_room(uint64_t number)
{
	uint64_t since_ns = 0;

	while (number - load_acquire(&ring->tail) >= WATCH_RECORDS) {
		if (load_relaxed(&ring->is_gone))
			return false;
		if (!since_ns)
			since_ns = preload_now_ns();
		if (preload_now_ns() - since_ns > PATIENCE_NS)
			store_relaxed(&ring->is_gone, 1);
		sched_yield();
	}
	return true;
}

static void write_record(const struct watch_record *from)
{
	uint64_t number;
	struct watch_record *to;

	if (load_relaxed(&ring->is_gone))
		return;
	number = fetch_add(&ring->head, 1);
	if (!has_room(number))
		return;
	if (!tid)
		tid = (uint32_t)syscall(SYS_gettid);
	to = &ring->records[number % WATCH_RECORDS];
	memcpy((char *)to + sizeof(to->ready), (const char *)from + sizeof(to->ready), sizeof(*to) - sizeof(to->ready));
	to->pid = pid;
	to->tid = tid;
	store_release(&to->ready, number + 1);
}

void preload_watch(const struct preload_call *c)
{
	struct watch_record r = {
		.entered_ns = c->entered_ns,
		.call_ns = c->returned_ns - c->made_ns,
		.kind = (uint16_t)c->kind,
		.is_invalidation = c->change.nr_parts > 0,
		.error = c->error,
		.caller = (uintptr_t)c->shown.caller,
		.result = c->result,
		.start = c->change.parts[0].start,
		.end = c->change.parts[0].end,
	};

	r.callbacks_ns = preload_now_ns() - c->entered_ns - r.call_ns;
	for (int i = 0; i < 4; i++)
		r.args[i] = c->args[i];
	strncpy(r.name, c->shown.name, sizeof(r.name) - 1);
	write_record(&r);
}

/* The function, and its name there. */
static uintptr_t callback_of(const struct mirror_stall *stall, const char **name)
{
	static const struct {
		const char *what, *name;
		size_t offset;
	} callbacks[] = {
		{ "invalidate_range_start", "start", offsetof(struct mirror_ops, invalidate_range_start) },
		{ "invalidate_range_end", "end", offsetof(struct mirror_ops, invalidate_range_end) },
		{ "release", "release", offsetof(struct mirror_ops, release) },
		{ "finish", "finish", offsetof(struct mirror_ops, finish) },
	};
	uintptr_t function;

	for (size_t i = 0; i < sizeof(callbacks) / sizeof(callbacks[0]); i++)
		if (strcmp(callbacks[i].what, stall->what) == 0) {
			*name = callbacks[i].name;
			memcpy(&function, (const char *)stall->mirror->ops + callbacks[i].offset, sizeof(function));
			return function;
		}
	*name = stall->what;
	return 0;
}

/* When the callback has returned, in its thread; or while it runs, in the thread of an unregister that waits for it. */
static void note_stall(void *arg, const struct mirror_stall *stall)
{
	struct watch_record r = {
		.kind = WATCH_LATE,
		.entered_ns = preload_now_ns() - stall->age_ns,
		.callbacks_ns = stall->age_ns,
		.result = stall->tid == (int)syscall(SYS_gettid),
	};
	const char *name;

	(void)arg;
	r.caller = callback_of(stall, &name);
	strncpy(r.name, name, sizeof(r.name) - 1);
	write_record(&r);
}

uint64_t mirror_preload_stalls(void (**stall)(void *arg, const struct mirror_stall *stall))
{
	if (!ring)
		return 0;
	*stall = note_stall;
	return ring->late_ns ? ring->late_ns : 1;
}

static void tell(uint16_t kind)
{
	struct watch_record r = { .entered_ns = preload_now_ns(), .kind = kind, .args = { (uint64_t)getppid() } };

	write_record(&r);
}

static void in_child(void)
{
	pid = (uint32_t)getpid();
	tid = 0;
	tell(WATCH_FORKS);
}

static struct watch_ring *map_ring(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat status;
	void *memory = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && status.st_size == sizeof(struct watch_ring))
		memory = (void *)syscall(SYS_mmap, NULL, sizeof(struct watch_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	close(fd);
	return memory == MAP_FAILED || ((struct watch_ring *)memory)->magic != WATCH_MAGIC ? NULL : memory;
}

__attribute__((constructor)) static void begin_watch(void)
{
	const char *path = getenv(WATCH_VARIABLE);
	const int before = errno;

	if (path) {
		pid = (uint32_t)getpid();
		ring = map_ring(path);
	}
	if (ring && pthread_atfork(NULL, NULL, in_child) == 0) {
		fetch_add(&ring->nr_processes, 1);
		tell(WATCH_BEGINS);
	}
	errno = before;
}

__attribute__((destructor)) static void end_watch(void)
{
	if (ring)
		tell(WATCH_ENDS);
}
