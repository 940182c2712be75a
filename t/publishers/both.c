/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-preload and libmirror-ucm in one process: a change is heard by one or by both, and never by none
 *
 * libucm patches the function that a look-up of the name finds, which is libmirror-preload's, and makes the system
 * call itself: then what libucm sees it keeps from libmirror-preload, which is left with what libucm does not look at.
 * Where it does not patch the function, as when clang has compiled it, it calls libmirror-preload's: then both hear.
 */
#include "tap.h"

#include <malloc.h>
#include <mirror/preload.h>
#include <mirror/ucm.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct mirror_list *list;
static size_t page;

/* ---- a mirror that hears of one range ---- */

static struct mirror listener;
static char order[16];                  /* s: start, e: end */
static unsigned nr_wrong;               /* brackets of another range, or for another reason */
static struct mirror_range expected;

static void hear(const struct mirror_range *r, char what)
{
	size_t n = strlen(order);

	if (n + 1 < sizeof(order))
		order[n] = what;
	nr_wrong += r->start != expected.start || r->end != expected.end || r->event != expected.event;
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	hear(r, 's');
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	hear(r, 'e');
}

static const struct mirror_ops ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};

static void expect(int event, const void *memory, size_t bytes)
{
	const uint64_t start = (uintptr_t)memory;

	memset(order, 0, sizeof(order));
	nr_wrong = 0;
	expected = (struct mirror_range){ .start = start, .end = start + bytes, .event = event };
	if (mirror_register_range(list, &listener, &ops, start, start + bytes))
		bail_out("cannot register");
}

static bool heard(const char *what)
{
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	if (strcmp(order, what) == 0 && nr_wrong == 0)
		return true;
	diag("heard %s, %u of them wrong", order, nr_wrong);
	return false;
}

static char *map(size_t pages)
{
	char *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail_out("mmap");
	return memory;
}

/* ---- calls ---- */

/* What is heard of calls that libucm sees, of a free, and of mprotect. */
static void test_calls(const char *who, const char *seen, const char *by_free, const char *by_preload)
{
	char *p = map(8), *block;

	expect(MIRROR_EVENT_CLEAR, p, page);
	ok(madvise(p, page, MADV_DONTNEED) == 0 && heard(seen), "%s: madvise that drops pages", who);
	expect(MIRROR_EVENT_UNMAP, p, page);
	ok(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p && heard(seen),
	   "%s: mmap over something", who);
	expect(MIRROR_EVENT_UNMAP, p + 6 * page, 2 * page);
	ok(mremap(p, 8 * page, 6 * page, 0) == p && heard(seen), "%s: mremap that shrinks", who);
	expect(MIRROR_EVENT_PROTECTION, p, page);
	ok(mprotect(p, page, PROT_NONE) == 0 && heard(by_preload), "%s: mprotect, which libucm does not see", who);
	expect(MIRROR_EVENT_UNMAP, p, 6 * page);
	ok(munmap(p, 6 * page) == 0 && heard(seen), "%s: munmap", who);

#ifdef __x86_64__
	block = malloc(1024 * page);
	/* The mapping begins with a header, in the page before the block's address. */
	expect(MIRROR_EVENT_UNMAP, (char *)((uintptr_t)block & ~(page - 1)), 1025 * page);
	free(block);
	ok(heard(by_free), "%s: free of a large block, inside libc, whose calls libucm has patched too", who);
#else
	(void)block;
#endif
}

/* ---- changes in callbacks, forks ---- */

static int nr_hear;                     /* of both: 1 or 2 */
static atomic_int nr_starts, nr_ends;

static int nest(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	if (nr_starts++ == 0)
		munmap(map(1), page);
	return 0;
}

static void count_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	nr_ends++;
}

static void count_publishers(void)
{
	static const struct mirror_ops ends = { .size = sizeof(ends), .invalidate_range_end = count_end };
	struct mirror m;

	if (mirror_register(list, &m, &ends))
		bail_out("cannot register");
	munmap(map(1), page);
	nr_hear = nr_ends;
	nr_ends = 0;
	ok(nr_hear == 1 || nr_hear == 2, "of a change %d of the two hear", nr_hear);
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

static void test_process(void)
{
	static const struct mirror_ops nest_ops = { .size = sizeof(nest_ops), .invalidate_range_start = nest,
						    .invalidate_range_end = count_end };
	struct mirror m;
	int status = -1;
	pid_t child;

	if (mirror_register(list, &m, &nest_ops))
		bail_out("cannot register");
	munmap(map(1), page);
	ok(nr_starts == 2 * nr_hear && nr_ends == 2 * nr_hear,
	   "a callback that unmaps: start and end for each change (%d, %d)", (int)nr_starts, (int)nr_ends);
	nr_starts = 1;
	child = fork();
	if (child == 0) {
		munmap(map(1), page);
		_exit(nr_starts != 1 + nr_hear || mirror_preload_stop(list) != 0 || mirror_ucm_stop(list) != 0);
	}
	waitpid(child, &status, 0);
	is_int(status, 0, "the child of a fork hears as its parent, and stops both");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

/* ---- one comes and goes while the other publishes ---- */

static atomic_bool is_over;
static atomic_uint nr_heard;

static int count(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
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
	const uint64_t end_ns = tap_now_ns() + scaled_ms(400) * UINT64_C(1000000);
	unsigned nr[2] = { 0 };
	pthread_t threads[2];
	struct mirror m;
	bool right = true;

	if (mirror_register(list, &m, &count_ops))
		bail_out("cannot register");
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, unmap_many, &nr[i]))
			bail_out("cannot start a thread");
	while (tap_now_ns() < end_ns)
		right = right && mirror_ucm_stop(list) == 0 && mirror_preload_stop(list) == 0 &&
			mirror_preload_start(list) == 0 && mirror_ucm_start(list) == 0 && mirror_preload_stop(list) == 0 &&
			mirror_preload_start(list) == 0;
	is_over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	diag("%u changes, %u brackets", nr[0] + nr[1], (unsigned)nr_heard);
	ok(right && nr_heard > 0, "each starts and stops while the other publishes");
	if (mirror_unregister(&m))
		bail_out("cannot unregister");
}

int main(void)
{
	int rc;

	if (getenv("MIRROR_SANITIZER") && strcmp(getenv("MIRROR_SANITIZER"), "no") != 0)
		skip_all("libucm patches the sanitizer's functions, which stand before all others");
	page = (size_t)getpagesize();
	mallopt(M_MMAP_THRESHOLD, 1 << 17);
	if (mirror_list_create(&list, NULL))
		bail_out("cannot create a list");
	is_int(mirror_preload_start(list), 0, "libmirror-preload starts");
	rc = mirror_ucm_start(list);
	if (rc == -ENOTSUP) {
		skip(1, "libucm installs no hooks here");
		return done_testing();
	}
	is_int(rc, 0, "and libmirror-ucm beside it");
	count_publishers();
	test_calls("both", nr_hear == 2 ? "ssee" : "se", "se", "se");
	test_process();
	test_storm();
	is_int(mirror_preload_stop(list), 0, "libmirror-preload stops");
	test_calls("libmirror-ucm alone", "se", "se", "");
	is_int(mirror_ucm_stop(list), 0, "libmirror-ucm stops");
	is_int(mirror_preload_start(list), 0, "libmirror-preload starts again");
	test_calls("libmirror-preload behind libucm's patches", nr_hear == 2 ? "se" : "", "", "se");
	is_int(mirror_preload_stop(list), 0, "and stops");
	munmap(map(1), page);
	is_int(mirror_list_destroy(list), 0, "nothing is left behind");
	return done_testing();
}
