/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* libmirror-ucm: what libucm sees is a bracket, start before and end after, beside handlers of others */
#include "tap.h"

#include <malloc.h>
#include <mirror/mirror.h>
#include <mirror/ucm.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucm/api/ucm.h>

#define PATIENCE_MS 10000
#define MOMENT_MS   10

static struct mirror_list *list;
static size_t page;

/* What the mirror of this test heard, and whether the first page was there. */
static struct {
	unsigned nr_starts, nr_ends;
	int event;
	uint64_t start, end;
	bool was_mapped, is_mapped;
} heard;

static bool is_mapped(uint64_t address)
{
	unsigned char resident;

	return syscall(SYS_mincore, address & ~(uint64_t)(page - 1), page, &resident) == 0;
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	heard.nr_starts++;
	heard.event = r->event;
	heard.start = r->start;
	heard.end = r->end;
	heard.was_mapped = is_mapped(r->start);
	errno = ENOTTY;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	heard.nr_ends++;
	heard.is_mapped = is_mapped(r->start);
	errno = ENOTTY;
}

static const struct mirror_ops ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};
static struct mirror listener;

static void listen_to(void *memory, size_t bytes)
{
	uint64_t start = (uintptr_t)memory;

	memset(&heard, 0, sizeof(heard));
	if (mirror_register_range(list, &listener, &ops, start, start + bytes))
		bail_out("cannot register");
}

static bool heard_one(int event, void *memory, size_t bytes)
{
	uint64_t start = (uintptr_t)memory;

	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	if (heard.nr_starts == 1 && heard.nr_ends == 1 && heard.event == event && heard.start == start &&
	    heard.end == start + bytes)
		return true;
	diag("%u starts, %u ends, event %d of %#" PRIx64 " to %#" PRIx64, heard.nr_starts, heard.nr_ends, heard.event,
	     heard.start, heard.end);
	return false;
}

static bool heard_nothing(void)
{
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	return heard.nr_starts == 0 && heard.nr_ends == 0;
}

static char *map(size_t pages)
{
	void *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail_out("mmap");
	return memory;
}

static void test_calls(void)
{
	char *p = map(8), *moved;
	int id, rc;

	listen_to(p, 8 * page);
	ok(madvise(p, page, MADV_DONTNEED) == 0 && heard_one(MIRROR_EVENT_CLEAR, p, page), "madvise that drops pages");
	listen_to(p, 8 * page);
	ok(madvise(p, page, MADV_WILLNEED) == 0 && heard_nothing(), "madvise that is a hint: nothing");
	listen_to(p, 8 * page);
	ok(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p &&
	   heard_one(MIRROR_EVENT_UNMAP, p, page), "mmap over something");
	listen_to(p, 8 * page);
	ok(mremap(p + page, 7 * page, 5 * page, 0) == p + page &&
	   heard_one(MIRROR_EVENT_UNMAP, p + 6 * page, 2 * page), "mremap that shrinks: the tail");
	listen_to(p, 8 * page);
	moved = mremap(p + page, 5 * page, 500 * page, MREMAP_MAYMOVE);
	ok(moved != MAP_FAILED && heard_one(MIRROR_EVENT_UNMAP, p + page, 5 * page), "mremap that may move: the old range");
	listen_to(moved, 500 * page);
	errno = EDOM;
	rc = munmap(moved, 500 * page);
	ok(rc == 0 && errno == EDOM, "munmap, with errno as it was");
	ok(heard.was_mapped && !heard.is_mapped, "the start comes before the change, the end after it");
	ok(heard_one(MIRROR_EVENT_UNMAP, moved, 500 * page), "... of its range");
	listen_to(p, page);
	ok(munmap(p + 1, page) == -1 && heard_one(MIRROR_EVENT_UNMAP, p + 1, page), "a call that fails: start and end");
	munmap(p, page);

	p = sbrk((intptr_t)(4 * page));
	if (p == (void *)-1) {
		skip(1, "the heap does not grow");
	} else {
		listen_to(p, 4 * page);
		ok(brk(p + 2 * page) == 0 && heard_one(MIRROR_EVENT_UNMAP, p + 2 * page, 2 * page), "brk that shrinks the heap");
	}
	id = shmget(IPC_PRIVATE, 3 * page, IPC_CREAT | 0600);
	p = id >= 0 ? shmat(id, NULL, 0) : (void *)-1;
	if (p == (void *)-1) {
		skip(1, "System V's shared memory is refused: %s", strerror(errno));
	} else {
		listen_to(p, 3 * page);
		ok(shmdt(p) == 0 && heard_one(MIRROR_EVENT_UNMAP, p, 3 * page), "shmdt: all of the segment");
		shmctl(id, IPC_RMID, NULL);
	}
}

static void test_free(void)
{
	char *block;

	if (getenv("MIRROR_SANITIZER") && strcmp(getenv("MIRROR_SANITIZER"), "no") != 0) {
		skip(1, "a sanitizer's malloc makes the system calls itself");
		return;
	}
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	block = malloc(1024 * page);
	listen_to(block, 1024 * page);
	free(block);
	ok(heard.nr_starts == 1 && heard.nr_ends == 1, "free of a large block");
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
}

/* ---- callbacks, other handlers ---- */

static int nest(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	if (heard.nr_starts++ < 3)
		munmap(map(1), page);
	return 0;
}

static int rcs[2];

static int start_and_stop(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	rcs[0] = mirror_ucm_start(list);
	rcs[1] = mirror_ucm_stop(list);
	return 0;
}

static void with_callback(int (*callback)(struct mirror *m, const struct mirror_range *r))
{
	struct mirror_ops one = { .size = sizeof(one), .invalidate_range_start = callback, .invalidate_range_end = on_end };
	struct mirror m;
	char *p = map(1);

	memset(&heard, 0, sizeof(heard));
	if (mirror_register(list, &m, &one) || munmap(p, page) || mirror_unregister(&m))
		bail_out("cannot unmap in peace");
}

static unsigned nr_foreign;

static void foreign(ucm_event_type_t type, ucm_event_t *event, void *arg)
{
	(void)arg;
	if (type == UCM_EVENT_MUNMAP && event->munmap.result == 0)
		nr_foreign++;
}

static void test_others(void)
{
	struct mirror_list *second;
	struct mirror m;
	char *p = map(1);

	with_callback(nest);
	ok(heard.nr_starts == 4 && heard.nr_ends == 4, "a callback that unmaps: start and end for each, in pairs");
	with_callback(start_and_stop);
	ok(rcs[0] == -EDEADLK && rcs[1] == -EDEADLK, "start and stop in a callback are -EDEADLK");

	if (ucm_set_event_handler(UCM_EVENT_MUNMAP, 5, foreign, NULL) != UCS_OK || mirror_list_create(&second, NULL))
		bail_out("cannot add a handler");
	is_int(mirror_ucm_start(second), 0, "a second list");
	is_int(mirror_ucm_start(second), -EALREADY, "... not twice");
	if (mirror_register(second, &m, &ops))
		bail_out("cannot register");
	listen_to(p, page);
	nr_foreign = 0;
	munmap(p, page);
	ok(heard.nr_starts == 2 && heard.nr_ends == 2, "both lists hear");
	is_int(nr_foreign, 1, "a handler of somebody else sees the call and its result");
	if (mirror_unregister(&m) || mirror_unregister(&listener))
		bail_out("cannot unregister");
	ucm_unset_event_handler(UCM_EVENT_MUNMAP, foreign, NULL);
	is_int(mirror_ucm_stop(second), 0, "the second list goes");
	is_int(mirror_ucm_stop(second), -ENOENT, "... once");
	is_int(mirror_ucm_start(NULL), -EINVAL, "no list to start");
	is_int(mirror_ucm_stop(NULL), -EINVAL, "... or to stop");
	is_int(mirror_list_destroy(second), 0, "... and can be destroyed");
}

/* ---- threads, forks ---- */

static struct gate in_callback = GATE_INITIALIZER, may_return = GATE_INITIALIZER, stopped = GATE_INITIALIZER;

static int stand(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	gate_open(&in_callback);
	gate_wait(&may_return);
	return 0;
}

static void *unmap_one(void *memory)
{
	munmap(memory, page);
	return NULL;
}

static void *stop_list(void *arg)
{
	if (mirror_ucm_stop(arg))
		bail_out("cannot stop");
	gate_open(&stopped);
	return NULL;
}

static void test_stop(void)
{
	static const struct mirror_ops stand_ops = { .size = sizeof(stand_ops), .invalidate_range_start = stand };
	pthread_t publisher, stopper;
	struct mirror m;
	char *p = map(1);

	if (mirror_register_range(list, &m, &stand_ops, (uintptr_t)p, (uintptr_t)p + page) ||
	    pthread_create(&publisher, NULL, unmap_one, p))
		bail_out("cannot start");
	gate_wait(&in_callback);
	if (pthread_create(&stopper, NULL, stop_list, list))
		bail_out("cannot start");
	ok(!gate_wait_ms(&stopped, MOMENT_MS), "stop waits for the call that is being announced");
	gate_open(&may_return);
	ok(gate_wait_ms(&stopped, PATIENCE_MS), "... and no longer");
	pthread_join(publisher, NULL);
	pthread_join(stopper, NULL);
	if (mirror_unregister(&m) || mirror_ucm_start(list))
		bail_out("cannot go on");
}

static atomic_bool is_over;
static atomic_uint nr_heard;

static int count(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_heard++;
	return 0;
}

static void *unmap_many(void *nr)
{
	while (!is_over) {
		munmap(map(1), page);
		++*(unsigned *)nr;
	}
	return NULL;
}

static void test_storm(void)
{
	static const struct mirror_ops count_ops = { .size = sizeof(count_ops), .invalidate_range_start = count };
	struct mirror m;
	pthread_t threads[2];
	unsigned nr[2] = { 0 }, nr_lists = 0;
	uint64_t end_ns = tap_now_ns() + scaled_ms(400) * UINT64_C(1000000);
	int status = -1;
	bool right = true;
	pid_t child;

	if (mirror_register(list, &m, &count_ops))
		bail_out("cannot register");
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, unmap_many, &nr[i]))
			bail_out("cannot start");
	while (tap_now_ns() < end_ns) {
		struct mirror_list *other;

		right = right && mirror_list_create(&other, NULL) == 0 && mirror_ucm_start(other) == 0 &&
			mirror_ucm_stop(other) == 0 && mirror_list_destroy(other) == 0;
		nr_lists++;
	}
	is_over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	diag("%u changes beside %u lists", nr[0] + nr[1], nr_lists);
	ok(right, "a list can be destroyed when stop has returned, whatever other threads do");
	ok(nr_heard >= nr[0] + nr[1], "each change is heard");
	nr_heard = 0;
	child = fork();
	if (child == 0) {
		munmap(map(1), page);
		_exit(nr_heard != 1);
	}
	waitpid(child, &status, 0);
	is_int(status, 0, "the child of a fork publishes");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

/* The program again, told so by an argument. */
static void test_without_events(const char *name)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		setenv("UCX_MEM_EVENTS", "n", 1);
		execl("/proc/self/exe", name, "without", (char *)NULL);
		_exit(9);
	}
	waitpid(child, &status, 0);
	is_int(status, 0, "where libucm's events are switched off, start is -ENOTSUP");
}

int main(int argc, char **argv)
{
	int rc;

#ifdef __SANITIZE_THREAD__
	skip_all("UCX's hook of madvise calls ThreadSanitizer in threads that have left it");
#endif
	page = (size_t)getpagesize();
	if (mirror_list_create(&list, NULL))
		bail_out("cannot create a list");
	rc = mirror_ucm_start(list);
	if (rc == -ENOTSUP && !getenv("UCX_MEM_EVENTS"))
		skip_all("libucm installs no hooks here");
	if (argc > 1)
		return rc == -ENOTSUP ? 0 : 1;
	is_int(rc, 0, "start");
	test_without_events(argv[0]);
	test_calls();
	test_free();
	test_others();
	test_stop();
	test_storm();
	is_int(mirror_ucm_stop(list), 0, "stop");
	munmap(map(1), page);
	is_int(mirror_list_destroy(list), 0, "nothing is left behind");
	return done_testing();
}
