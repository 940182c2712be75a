/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-preload: each call is a bracket, start before and end after, whoever makes it and whatever comes of it
 *
 * The program runs itself again with the publisher preloaded.
 */
#include "tap.h"

#include <limits.h>
#include <malloc.h>
#include <mirror/preload.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PATIENCE_MS 10000
#define MOMENT_MS   10

static struct mirror_list *list;
static size_t page;

/* ---- a mirror that writes down what it hears in this thread ---- */

static struct heard {
	char text[512];
	uint64_t start, end;
	bool was_mapped, is_mapped;     /* the first page of the range, at the first start and at the last end */
} heard;

static bool is_mapped(uint64_t address)
{
	unsigned char resident;

	return syscall(SYS_mincore, address & ~(uint64_t)(page - 1), page, &resident) == 0;
}

static void write_down(const char *what, const struct mirror_range *r)
{
	const struct mirror_preload_call *call = r->data;
	size_t n = strlen(heard.text);

	snprintf(heard.text + n, sizeof(heard.text) - n, "%s%s %s %d %s", n ? ", " : "", what, call->name, r->event,
		 call->caller ? "" : "nobody");
	heard.start = r->start;
	heard.end = r->end;
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	write_down("start", r);
	heard.was_mapped = is_mapped(r->start);
	errno = ENOTTY;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	write_down("end", r);
	heard.is_mapped = is_mapped(r->start);
	errno = ENOTTY;
}

static const struct mirror_ops listener_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};
static struct mirror listener;

static void listen_to(void *memory, size_t bytes)
{
	uint64_t start = (uintptr_t)memory;

	memset(&heard, 0, sizeof(heard));
	if (mirror_register_range(list, &listener, &listener_ops, start, start + bytes))
		bail_out("cannot register");
}

static bool heard_exactly(const char *text, void *memory, size_t bytes)
{
	uint64_t start = (uintptr_t)memory;

	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	if (strcmp(heard.text, text) == 0 && (!*text || (heard.start == start && heard.end == start + bytes)))
		return true;
	diag("heard '%s' of %#" PRIx64 " to %#" PRIx64 ", not '%s' of %#" PRIx64, heard.text, heard.start, heard.end, text,
	     start);
	return false;
}

static char *map(size_t pages)
{
	void *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail_out("mmap");
	return memory;
}

/* ---- each call ---- */

static void test_unmapping(void)
{
	char *p = map(4), *q;
	int rc;

	listen_to(p, 4 * page);
	errno = EDOM;
	rc = munmap(p + page, 2 * page);
	ok(rc == 0 && errno == EDOM, "munmap: returns what it returns, and errno is left alone, whatever callbacks do to it");
	ok(heard.was_mapped && !heard.is_mapped, "the start comes before the change, the end after it");
	ok(heard_exactly("start munmap 0 , end munmap 0 ", p + page, 2 * page), "munmap: start and end of its range");

	listen_to(p, 4 * page);
	rc = munmap(p + 1, page);
	ok(rc == -1 && errno == EINVAL, "a call that fails has its own errno");
	ok(heard_exactly("start munmap 0 , end munmap 0 ", p + 1, page), "... and its bracket is ended all the same");

	q = mmap(p + page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	listen_to(p, 4 * page);
	ok(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p, "mmap over something");
	ok(heard_exactly("start mmap 0 , end mmap 0 ", p, page), "... is announced");
	listen_to(p, 4 * page);
	ok(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED &&
	   errno == EEXIST, "mmap that would not replace");
	ok(heard_exactly("", NULL, 0), "... is not");
	munmap(p, 4 * page);
	if (q != MAP_FAILED)
		munmap(q, page);
}

static void test_mremap(void)
{
	char *p = map(8), *target = map(8), *moved;

	listen_to(p, 8 * page);
	moved = mremap(p, 8 * page, 6 * page, 0);
	ok(moved == p && heard_exactly("start mremap 0 , end mremap 0 ", p + 6 * page, 2 * page),
	   "mremap that shrinks: the tail");
	listen_to(p, 8 * page);
	ok(mremap(p, 6 * page, 6 * page, 0) == p && heard_exactly("", NULL, 0), "mremap that changes nothing: nothing");
	listen_to(p, 8 * page);
	moved = mremap(p, 6 * page, 600 * page, MREMAP_MAYMOVE);
	ok(moved != MAP_FAILED && heard_exactly("start mremap 0 , end mremap 0 ", p, 6 * page),
	   "mremap that may move: the old range");
	listen_to(target, 8 * page);
	ok(mremap(moved, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target, "mremap to a fixed place");
	ok(heard_exactly("start mremap 0 , end mremap 0 ", target, 4 * page), "... what it replaces");
	munmap(moved, 600 * page);
	munmap(target, 8 * page);
}

static void test_pages(void)
{
	char *p = map(4);

	listen_to(p, 4 * page);
	ok(madvise(p, page, MADV_WILLNEED) == 0 && heard_exactly("", NULL, 0), "madvise that is a hint: nothing");
	listen_to(p, 4 * page);
	ok(madvise(p, 2 * page, MADV_DONTNEED) == 0 &&
	   heard_exactly("start madvise 1 , end madvise 1 ", p, 2 * page), "madvise that drops pages");
	listen_to(p, 4 * page);
	ok(madvise(p, page, MADV_FREE) == 0 && heard_exactly("start madvise 1 , end madvise 1 ", p, page),
	   "madvise that frees pages");
	listen_to(p, 4 * page);
	ok(mprotect(p, page, PROT_READ) == 0 && heard_exactly("start mprotect 2 , end mprotect 2 ", p, page), "mprotect");
	munmap(p, 4 * page);
}

static void test_heap(void)
{
	char *end = sbrk((intptr_t)(4 * page));

	if (end == (void *)-1) {
		skip(2, "the heap does not grow");
		return;
	}
	listen_to(end, 4 * page);
	ok(sbrk(-(intptr_t)(2 * page)) == end + 4 * page && strstr(heard.text, "start") != NULL && heard.start ==
	   (uintptr_t)end + 2 * page, "sbrk that shrinks the heap");
	memset(&heard, 0, sizeof(heard));
	ok(brk(end) == 0 && strstr(heard.text, "start brk 0") != NULL && heard.start == (uintptr_t)end,
	   "brk that shrinks the heap");
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
}

static void test_shared_memory(void)
{
	int id = shmget(IPC_PRIVATE, 3 * page, IPC_CREAT | 0600);
	char *p = id >= 0 ? shmat(id, NULL, 0) : (void *)-1, *there;

	if (p == (void *)-1) {
		skip(2, "System V's shared memory is refused: %s", strerror(errno));
		return;
	}
	listen_to(p, 3 * page);
	ok(shmdt(p) == 0 && heard_exactly("start shmdt 0 , end shmdt 0 ", p, 3 * page), "shmdt: all of the segment");
	there = map(3);
	listen_to(there, 3 * page);
	ok(shmat(id, there, SHM_REMAP) == there && heard_exactly("start shmat 0 , end shmat 0 ", there, 3 * page),
	   "shmat over something");
	shmdt(there);
	shmctl(id, IPC_RMID, NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

/* On x86-64 the publisher has patched libc, if it may write there. */
static void test_inside_libc(void)
{
	char *volatile block; /* or clang leaves the realloc out */
	pthread_t thread;

#if !defined(__x86_64__) || !defined(__GLIBC__)
	skip(3, "libc's own calls are seen on x86-64 with glibc alone");
	return;
#endif
	if (getenv("MIRROR_SANITIZER") && strcmp(getenv("MIRROR_SANITIZER"), "no") != 0) {
		skip(3, "a sanitizer's malloc makes the system calls itself");
		return;
	}
	mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* it would grow with what is freed */
	block = malloc(1024 * page);
	listen_to(block, 1024 * page);
	free(block);
	ok(strcmp(heard.text, "start munmap 0 , end munmap 0 ") == 0, "free of a large block");
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	block = malloc(1024 * page);
	listen_to(block, 1024 * page);
	block = realloc(block, 100 * 1024 * page);
	ok(strncmp(heard.text, "start mremap 0 ", 15) == 0, "realloc of a large block");
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	free(block);
	memset(&heard, 0, sizeof(heard));
	if (mirror_register(list, &listener, &listener_ops) || pthread_create(&thread, NULL, nothing, NULL))
		bail_out("cannot start a thread");
	pthread_join(thread, NULL);
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	ok(strstr(heard.text, "start madvise 1") != NULL, "the stack of a thread that ends, in that thread");
}

/* ---- a callback that changes memory ---- */

static int unmap_more(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	/* The next bracket is in this callback: at last the list refuses. */
	if (munmap(map(1), page))
		heard.text[0] = errno == ENOMEM ? 'N' : '?';
	return 0;
}

static void test_nesting(void)
{
	static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = unmap_more };
	struct mirror m;
	char *p = map(1);

	memset(&heard, 0, sizeof(heard));
	if (mirror_register(list, &m, &ops))
		bail_out("cannot register");
	ok(munmap(p, page) == 0, "callbacks that change memory are announced in turn");
	ok(heard.text[0] == 'N', "... up to the list's depth: then the call fails with ENOMEM, and changes nothing");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

/* ---- lists ---- */

static int stop_rc;

static int stop_here(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	stop_rc = mirror_preload_stop(list);
	return 0;
}

static void test_lists(void)
{
	static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = stop_here };
	struct mirror_list *more[MIRROR_PRELOAD_MAX_LISTS];
	struct mirror m;
	char *p = map(1);

	is_int(mirror_preload_start(NULL), -EINVAL, "no list");
	is_int(mirror_preload_stop(NULL), -EINVAL, "... to stop");
	is_int(mirror_preload_start(list), -EALREADY, "a list that is published on already");
	for (int i = 0; i < MIRROR_PRELOAD_MAX_LISTS; i++)
		if (mirror_list_create(&more[i], NULL))
			bail_out("cannot create a list");
	for (int i = 0; i < MIRROR_PRELOAD_MAX_LISTS - 1; i++)
		if (mirror_preload_start(more[i]))
			bail_out("cannot start");
	is_int(mirror_preload_start(more[MIRROR_PRELOAD_MAX_LISTS - 1]), -ENOSPC, "one list too many");
	if (mirror_register(more[0], &listener, &listener_ops))
		bail_out("cannot register");
	memset(&heard, 0, sizeof(heard));
	ok(munmap(p, page) == 0 && heard_exactly("start munmap 0 , end munmap 0 ", p, page), "each list hears");
	for (int i = 0; i < MIRROR_PRELOAD_MAX_LISTS - 1; i++)
		if (mirror_preload_stop(more[i]))
			bail_out("cannot stop");
	is_int(mirror_preload_stop(more[0]), -ENOENT, "a list that is published on no more");
	for (int i = 0; i < MIRROR_PRELOAD_MAX_LISTS; i++)
		if (mirror_list_destroy(more[i]))
			bail_out("cannot destroy a list");

	if (mirror_register(list, &m, &ops))
		bail_out("cannot register");
	munmap(map(1), page);
	is_int(stop_rc, -EDEADLK, "stop in a callback of the publisher's bracket");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

static struct gate in_callback = GATE_INITIALIZER, may_return = GATE_INITIALIZER, stopped = GATE_INITIALIZER;

static int stand(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	gate_open(&in_callback);
	gate_wait(&may_return);
	return 0;
}

static const struct mirror_ops stand_ops = { .size = sizeof(struct mirror_ops), .invalidate_range_start = stand };

static void *unmap_one(void *memory)
{
	munmap(memory, page);
	return NULL;
}

static void *stop_list(void *arg)
{
	if (mirror_preload_stop(arg))
		bail_out("cannot stop");
	gate_open(&stopped);
	return NULL;
}

/* In the child: the thread in the callback is not there. */
static int child_of_a_bracket(void)
{
	struct mirror m;

	gate_open(&may_return);
	memset(&heard, 0, sizeof(heard));
	if (mirror_register(list, &m, &listener_ops))
		return 1;
	munmap(map(1), page);
	if (strcmp(heard.text, "start munmap 0 , end munmap 0 ") != 0)
		return 2;
	return mirror_preload_stop(list) ? 3 : 0;
}

static void test_stop_and_fork(void)
{
	pthread_t publisher, stopper;
	struct mirror m;
	char *p = map(1);
	int status = -1;
	pid_t child;

	if (mirror_register_range(list, &m, &stand_ops, (uintptr_t)p, (uintptr_t)p + page) ||
	    pthread_create(&publisher, NULL, unmap_one, p))
		bail_out("cannot start");
	gate_wait(&in_callback);
	child = fork();
	if (child == 0)
		_exit(child_of_a_bracket());
	waitpid(child, &status, 0);
	is_int(status, 0, "the child of a fork publishes, and stops although another thread of its parent had a bracket open");

	if (pthread_create(&stopper, NULL, stop_list, list))
		bail_out("cannot start");
	ok(!gate_wait_ms(&stopped, MOMENT_MS), "stop waits for the bracket that is open");
	gate_open(&may_return);
	ok(gate_wait_ms(&stopped, PATIENCE_MS), "... and no longer");
	pthread_join(publisher, NULL);
	pthread_join(stopper, NULL);
	if (mirror_unregister(&m) || mirror_preload_start(list))
		bail_out("cannot go on");
}

/* ---- signals, threads, lists that come and go ---- */

static atomic_bool is_over;
static atomic_uint nr_heard, nr_in_handler;

static int count(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_heard++;
	return 0;
}

static const struct mirror_ops count_ops = { .size = sizeof(struct mirror_ops), .invalidate_range_start = count };

static void handle(int signal)
{
	(void)signal;
	if (munmap(map(1), page) == 0)
		nr_in_handler++;
}

static void *unmap_many(void *nr)
{
	for (unsigned i = 0; !is_over; i++) {
		munmap(map(1), page);
		if (i % 64 == 0)
			pthread_kill(pthread_self(), SIGUSR1);
		++*(unsigned *)nr;
	}
	return NULL;
}

/* The publisher is built without sanitizers. */
#ifdef __SANITIZE_THREAD__
static const bool sees_publisher = false;
#else
static const bool sees_publisher = true;
#endif

static void test_storm(void)
{
	struct sigaction action = { .sa_handler = handle };
	struct mirror m;
	pthread_t threads[3];
	unsigned nr[3] = { 0 }, nr_lists = 0;
	uint64_t end_ns = tap_now_ns() + scaled_ms(500) * UINT64_C(1000000);
	bool right = true;

	sigaction(SIGUSR1, &action, NULL);
	if (mirror_register(list, &m, &count_ops))
		bail_out("cannot register");
	nr_heard = 0;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, unmap_many, &nr[i]))
			bail_out("cannot start");
	while (tap_now_ns() < end_ns) {
		struct mirror_list *other;

		if (!sees_publisher) {
			sched_yield();
			continue;
		}
		right = right && mirror_list_create(&other, NULL) == 0 && mirror_preload_start(other) == 0;
		sched_yield();
		right = right && mirror_preload_stop(other) == 0 && mirror_list_destroy(other) == 0;
		nr_lists++;
	}
	is_over = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
	diag("%u changes and %u in signal handlers, beside %u lists", nr[0] + nr[1] + nr[2], nr_in_handler, nr_lists);
	if (sees_publisher)
		ok(right, "a list can be destroyed when stop has returned, whatever other threads do");
	else
		skip(1, "ThreadSanitizer does not see in what order libmirror-preload tells threads of a new list");
	ok(nr_heard >= nr[0] + nr[1] + nr[2] + nr_in_handler, "each change is heard, also those of signal handlers");
}

static void run_again(char **argv)
{
	const char *build = getenv("top_builddir");
	char library[PATH_MAX];

	snprintf(library, sizeof(library), "%s/.libs/libmirror-preload.so", build ? build : ".");
	if (access(library, R_OK))
		skip_all("no %s was built", library);
	if (getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), library))
		bail_out("%s was preloaded and is not found", library);
	setenv("LD_PRELOAD", library, 1);
#ifdef __SANITIZE_THREAD__
	/*
	 * libc drops the stack of a thread that ends when ThreadSanitizer has forgotten the thread: a callback of this
	 * program would crash there, or wait for ever for a lock of the sanitizer's.  So libc is left alone.
	 */
	setenv("MIRROR_PRELOAD_PATCH", "no", 1);
#endif
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
	execv("/proc/self/exe", argv);
	bail_out("cannot run again: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	(void)argc;
	page = (size_t)getpagesize();
	if (mirror_list_create(&list, NULL))
		bail_out("cannot create a list");
	if (mirror_preload_start(list) == -ENOSYS)
		run_again(argv);
	ok(true, "the publisher is found in a process that execve has begun anew");
	test_unmapping();
	test_mremap();
	test_pages();
	test_heap();
	test_shared_memory();
	test_inside_libc();
	test_nesting();
	test_lists();
	test_stop_and_fork();
	test_storm();
	is_int(mirror_preload_stop(list), 0, "stop");
	munmap(map(1), page);
	is_int(mirror_list_destroy(list), 0, "nothing is left behind");
	return done_testing();
}
