/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What goes wrong in the field, by the numbers of doc/field-problems.md: the rows that no other test shows.
 *
 * The program defines malloc's family, mmap's and syscall() itself, so as to see what the library asks of them, and to
 * do inside them what programs do that hook memory: publish.  Sanitizers define them, too; under those the lines that
 * need it are skipped.
 */
#include "mirror_test.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <mirror/usrcu.h>

/* ---- what the library asks of the system ---- */

#if !defined(UNDER_ASAN) && !defined(UNDER_TSAN) && defined(__GLIBC__) && defined(__x86_64__)
#define HOOKED 1
#else
#define HOOKED 0
#endif

static __thread volatile bool counting;  /* volatile: compilers think that malloc looks at nothing of ours */
static __thread volatile unsigned nr_asked;      /* of malloc, free, mmap and the others, while counting */
static __thread volatile unsigned nr_freed;      /* of those, calls of free */
static void (*inside)(void);            /* run in each allocation of the thread that counts */
static unsigned nr_membarriers;         /* atomic */

#if HOOKED
static struct block {
	void *memory;
	size_t bytes;
} blocks[64];                           /* what aligned_alloc gave out while keeping */
static unsigned nr_blocks;
static bool keeping;

/* The tests are built with hidden visibility, and the library would call libc's. */
#pragma GCC visibility push(default)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t nr, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

static void asked(void)
{
	if (!counting)
		return;
	nr_asked++;
	if (inside) {
		counting = false;       /* what the hook itself asks for does not count */
		inside();
		counting = true;
	}
}

void *malloc(size_t bytes)
{
	asked();
	return __libc_malloc(bytes);
}

void *calloc(size_t nr, size_t bytes)
{
	asked();
	return __libc_calloc(nr, bytes);
}

void *realloc(void *memory, size_t bytes)
{
	asked();
	return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
	void *memory;

	asked();
	memory = __libc_memalign(alignment, bytes);
	if (keeping && nr_blocks < 64)
		blocks[nr_blocks++] = (struct block){ memory, bytes };
	return memory;
}

void free(void *memory)
{
	if (memory && counting)
		nr_freed++;
	if (memory)
		asked();
	__libc_free(memory);
}

static long raw_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long rc;

	__asm__ volatile("syscall" : "=a"(rc) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (rc < 0 && rc > -4096) {
		errno = (int)-rc;
		rc = -1;
	}
	return rc;
}

long syscall(long number, ...)
{
	long arg[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_membarrier)
		__atomic_fetch_add(&nr_membarriers, 1, __ATOMIC_RELAXED);
	return raw_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	asked();
	return (void *)raw_syscall(SYS_mmap, (long)address, (long)bytes, protection, flags, fd, offset);
}

int munmap(void *address, size_t bytes)
{
	asked();
	return (int)raw_syscall(SYS_munmap, (long)address, (long)bytes, 0, 0, 0, 0);
}

int madvise(void *address, size_t bytes, int advice)
{
	asked();
	return (int)raw_syscall(SYS_madvise, (long)address, (long)bytes, advice, 0, 0, 0);
}
#pragma GCC visibility pop
#endif

static unsigned membarriers(void)
{
	return __atomic_load_n(&nr_membarriers, __ATOMIC_RELAXED);
}

/* ---- 1, 2, 6: allocation ---- */

enum { NR_RANGES = 100 };

static struct mirror_list *hooked_list;
static unsigned nr_published, nr_failed;

static int accept_it(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops plain_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = accept_it,
};

static void publish_it(void)
{
	nr_published++;
	if (mirror_invalidate_range(hooked_list, 0, UINT64_MAX))
		nr_failed++;
}

static int run_counted(struct call *c)
{
	int rc;

	counting = true;
	rc = mirror_invalidate_range(c->list, 0, UINT64_MAX);
	rc += mirror_invalidate_range(c->list, 0, UINT64_MAX);
	counting = false;
	return rc ? rc : (int)nr_asked;
}

static void allocation(void)
{
	static struct mirror m[NR_RANGES], more[NR_RANGES];
	struct call c;
	void *volatile memory;
	unsigned i, before;

	if (!HOOKED) {
		skip(7, "the sanitizer has malloc");
		return;
	}
	hooked_list = list_new();
	counting = true;
	memory = malloc(1);
	free(memory);
	counting = false;
	is_int(nr_asked, 2, "rows 1, 2, 6: the test sees malloc and free");
	for (i = 0; i < NR_RANGES; i++)
		if (mirror_register_range(hooked_list, &m[i], &plain_ops, i, 2000 + i))
			bail_out("no registration");
	memset(&c, 0, sizeof(c));
	c.list = hooked_list;
	call_begin(&c, run_counted);
	is_int(call_end(&c), 0, "rows 1, 2, 6: a thread's first brackets, 100 hits each, ask malloc and mmap for nothing");

	inside = publish_it;
	counting = true;
	for (i = 0; i < NR_RANGES; i++)
		if (mirror_register(hooked_list, &more[i], &plain_ops))
			nr_failed++;
	counting = false;
	ok(nr_published > 0, "row 1: registering allocates, and the hook of malloc publishes on the same list");
	is_int(nr_failed, 0, "row 1: ... which neither hangs nor fails");
	before = nr_asked - nr_freed;
	inside = NULL;
	counting = true;
	for (i = 0; i < NR_RANGES; i++)
		nr_failed += mirror_unregister(&m[i]) != 0;
	counting = false;
	is_int(nr_asked - nr_freed - before, 0, "row 2: unregistering 100 ranges allocates nothing");
	for (i = 0; i < NR_RANGES; i++)
		nr_failed += mirror_unregister(&more[i]) != 0;
	is_int(nr_failed, 0, "row 2: ... and succeeds");
	list_gone(hooked_list);
}

/* ---- 3, 4, 5, 8: locks ---- */

static struct mirror_list *busy_list;
static struct mirror others[4];
static int busy_rcs[6];

static int use_the_list(struct call *c)
{
	struct mirror_list_stats stats = { .size = sizeof(stats) };

	busy_rcs[0] = mirror_register(c->list, &others[0], &plain_ops);
	busy_rcs[1] = mirror_register_range(c->list, &others[1], &plain_ops, 100, 200);
	busy_rcs[2] = mirror_invalidate_range(c->list, 100, 200);
	busy_rcs[3] = mirror_unregister(&others[0]);
	busy_rcs[4] = mirror_unregister(&others[1]);
	busy_rcs[5] = mirror_list_get_stats(c->list, &stats);
	return 0;
}

static bool all_zero(const int *rcs, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (rcs[i])
			return false;
	return true;
}

/* Cannot return before another thread has used the list in every way. */
static int wait_for_helper(struct mirror *m, const struct mirror_range *r)
{
	struct call helper;

	(void)m;
	(void)r;
	memset(&helper, 0, sizeof(helper));
	helper.list = busy_list;
	call_begin(&helper, use_the_list);
	return call_end(&helper);
}

static int use_it_ourselves(struct mirror *m, const struct mirror_range *r)
{
	struct call c;

	(void)m;
	(void)r;
	memset(&c, 0, sizeof(c));
	c.list = busy_list;
	return use_the_list(&c);
}

static const struct mirror_ops helper_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = wait_for_helper,
};
static const struct mirror_ops ourselves_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = use_it_ourselves,
};

static bool was_done, in_own_callback, done_in_callback;

static void deferred(struct mirror *m)
{
	(void)m;
	was_done = true;
	done_in_callback = in_own_callback;
}

static int leave_by_itself(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	in_own_callback = true;
	busy_rcs[0] = mirror_unregister_async(m, deferred);
	in_own_callback = false;
	return 0;
}

static const struct mirror_ops leaver_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = leave_by_itself,
};

static void locks(void)
{
	struct mirror m;

	memset(&m, 0, sizeof(m));
	busy_list = list_new();
	if (mirror_register_range(busy_list, &m, &helper_ops, 0, 10))
		bail_out("no registration");
	is_int(mirror_invalidate_range(busy_list, 0, 10), 0,
	       "rows 3, 4: a callback waits for a thread that registers, publishes and unregisters on the list");
	ok(all_zero(busy_rcs, 6), "rows 3, 4: ... all of which succeeds meanwhile");
	is_int(mirror_unregister(&m), 0, "row 11: unregister returned 0, so that the mirror may be used anew");
	if (mirror_register_range(busy_list, &m, &ourselves_ops, 0, 10))
		bail_out("no registration");
	is_int(mirror_invalidate_range(busy_list, 0, 10), 0, "row 8: a callback uses its own list in every way");
	ok(all_zero(busy_rcs, 6), "row 8: ... with success");
	if (mirror_unregister(&m) || mirror_register(busy_list, &m, &leaver_ops))
		bail_out("no registration");
	is_int(mirror_invalidate_range(busy_list, 0, 10), 0, "row 5: a subscriber leaves in its own callback");
	is_int(mirror_barrier(busy_list), 0, "row 5: barrier");
	ok(was_done && !done_in_callback, "row 5: ... and cleans up after it, in done");
	list_gone(busy_list);
}

/* ---- 7, 9, 13: recursion ---- */

static struct mirror_list *deep_list;
static struct call writer;
static struct mirror newcomer;
static int nested_rc, deepest_rc;
static unsigned depth;

static int run_register(struct call *c)
{
	return mirror_register(c->list, c->m, &plain_ops);
}

/* A thread wants to change the list; only then nest. */
static int nest_behind_a_writer(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	if (r->start != 0)
		return 0;
	writer.list = deep_list;
	writer.m = &newcomer;
	call_begin(&writer, run_register);
	if (v->lock && !thread_asleep_ms(writer.tid, PATIENCE_MS))
		return 0;
	nested_rc = mirror_invalidate_range(deep_list, 100, 200);
	return 0;
}

static const struct mirror_ops nesting_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = nest_behind_a_writer,
};

static int recurse(struct mirror *m, const struct mirror_range *r)
{
	int rc;

	(void)m;
	depth++;
	rc = mirror_invalidate_range(deep_list, r->start, r->end);
	if (rc)
		deepest_rc = rc;
	return 0;
}

static const struct mirror_ops recursive_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = recurse,
};

static void recursion(void)
{
	struct mirror m;

	for (v = variants; v < variants + NR_VARIANTS; v++) {
		memset(&m, 0, sizeof(m));
		memset(&newcomer, 0, sizeof(newcomer));
		nested_rc = -1;
		deep_list = list_new();
		if (mirror_register(deep_list, &m, &nesting_ops))
			bail_out("no registration");
		isv(mirror_invalidate_range(deep_list, 0, 10), 0, "rows 7, 9: a bracket");
		isv(nested_rc, 0, "rows 7, 9: ... and one nested in it, though a thread waits to change the list");
		isv(call_end(&writer), 0, "row 7: ... which then does");
		isv(mirror_unregister(&m) + mirror_unregister(&newcomer), 0, "row 7: both leave");
		depth = 0;
		deepest_rc = 0;
		if (mirror_register(deep_list, &m, &recursive_ops))
			bail_out("no registration");
		isv(mirror_invalidate_range(deep_list, 0, 10), 0, "row 13: endless recursion comes to an end");
		isv(deepest_rc, -ELOOP, "row 13: ... by -ELOOP");
		isv((int)depth, MIRROR_MAX_DEPTH, "row 13: ... at a depth that is known");
		isv(mirror_unregister(&m), 0, "row 13: the mirror leaves");
		list_gone(deep_list);
	}
	v = &variants[0];
}

/* ---- 10: register and then look, without a gap ---- */

static bool churn_stop;                 /* atomic */

static int run_churn(struct call *c)
{
	static struct mirror m;
	int rc = 0;

	while (!__atomic_load_n(&churn_stop, __ATOMIC_RELAXED)) {
		rc |= mirror_register_range(c->list, &m, &plain_ops, 0, 10);
		rc |= mirror_invalidate_range(c->list, 0, 10);
		rc |= mirror_unregister(&m);
	}
	return rc;
}

static int mark_heard(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	if (r->data)
		*(bool *)r->data = true;
	return 0;
}

static const struct mirror_ops hearing_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = mark_heard,
};

static void no_gap(void)
{
	struct mirror_list *list = list_new();
	unsigned missed = 0, nr = (unsigned)scaled(2000);
	struct mirror_range r;
	struct mirror m;
	struct call c;

	memset(&c, 0, sizeof(c));
	memset(&m, 0, sizeof(m));
	c.list = list;
	call_begin(&c, run_churn);
	for (unsigned i = 0; i < nr; i++) {
		bool heard = false;

		if (mirror_register_range(list, &m, &hearing_ops, i, i + 1))
			bail_out("no registration");
		r = range(i, i + 1, MIRROR_RANGE_BLOCKABLE);
		r.data = &heard;
		if (mirror_invalidate_range_start(list, &r))
			bail_out("no bracket");
		missed += !heard;
		mirror_invalidate_range_end(list, &r);
		if (mirror_unregister(&m))
			bail_out("no unregister");
	}
	__atomic_store_n(&churn_stop, true, __ATOMIC_RELAXED);
	is_int(call_end(&c), 0, "row 10: another thread registers and unregisters all the time");
	is_int(missed, 0, "row 10: none of %u brackets is missed by who registered just before it", nr);
	list_gone(list);
}

/* ---- 14: fork ---- */

static int child_uses(struct mirror_list *list, struct usrcu *domain)
{
	struct mirror m;
	int token;

	memset(&m, 0, sizeof(m));
	alarm(20);
	if (mirror_register(list, &m, &plain_ops) || mirror_invalidate_range(list, 100, 200) || mirror_unregister(&m))
		return 1;
	token = usrcu_read_lock(domain);
	usrcu_read_unlock(domain, token);
	return usrcu_synchronize(domain) ? 2 : 0;
}

static struct usrcu *fork_domain;

static int hold_section(struct mirror *m, const struct mirror_range *r)
{
	int token = usrcu_read_lock(fork_domain);

	(void)r;
	post_stand(m);
	usrcu_read_unlock(fork_domain, token);
	return 0;
}

static const struct mirror_ops holding_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hold_section,
};

static void after_fork(void)
{
	struct mirror_list *list = list_new();
	struct post post;
	struct call c;
	int status = -1;
	pid_t child;

	post_init(&post);
	memset(&c, 0, sizeof(c));
	c.list = list;
	c.start = 0;
	c.end = 10;
	if (usrcu_create(&fork_domain, NULL) || mirror_register_range(list, &post.m, &holding_ops, 0, 10))
		bail_out("no list");
	call_begin(&c, run_invalidate);
	gate_wait(&post.entered);
	child = fork();
	if (child == 0)
		_exit(child_uses(list, fork_domain));
	waitpid(child, &status, 0);
	is_int(status, 0, "row 14: a child uses the list and the domain that another thread was inside at the fork");
	gate_open(&post.leave);
	is_int(call_end(&c), 0, "row 14: and the parent goes on");
	is_int(mirror_unregister(&post.m), 0, "row 14: ... to its end");
	list_gone(list);
	is_int(usrcu_destroy(fork_domain), 0, "row 14: ... of both");
}

/* ---- 15: no shared write ---- */

#if HOOKED
static char contents[64][65536];

static void keep_contents(void)
{
	for (unsigned i = 0; i < nr_blocks; i++) {
		if (blocks[i].bytes > sizeof(contents[0]))
			bail_out("a block of %zu bytes", blocks[i].bytes);
		memcpy(contents[i], blocks[i].memory, blocks[i].bytes);
	}
}

/* How many blocks have changed in the course of a thousand brackets. */
static int nr_changed(struct call *c)
{
	int changed = 0;

	keep_contents();
	for (unsigned i = 0; i < 1000; i++)
		if (mirror_invalidate_range(c->list, 0, UINT64_MAX))
			bail_out("no bracket");
	for (unsigned i = 0; i < nr_blocks; i++)
		changed += memcmp(contents[i], blocks[i].memory, blocks[i].bytes) != 0;
	return changed;
}

/* The first of all, because domains that were destroyed are used again. */
static void shared_writes(void)
{
	struct mirror *m;
	struct call c;

	keeping = true;
	m = aligned_alloc(64, 3 * sizeof(*m) / 64 * 64 + 64);
	if (!m)
		bail_out("no memory");
	memset(&c, 0, sizeof(c));
	c.list = list_new();
	for (unsigned i = 0; i < 3; i++)
		if (mirror_register_range(c.list, &m[i], &plain_ops, i, i + 10))
			bail_out("no registration");
	keeping = false;
	ok(nr_blocks >= 6, "row 15: the test sees the mirrors, the list, its two domains, entries, nodes: %u blocks",
	   nr_blocks);
	diag("%d of them changed when a thread claimed its slots", nr_changed(&c));
	is_int(nr_changed(&c), 0, "row 15: then a thousand brackets leave every byte of them as it was");
	mirror_read_begin(&m[0]); /* from its first fill on, brackets count themselves in it */
	ok(nr_changed(&c) > 0, "row 15: the check sees those of brackets that hit a mirror that fills");
	for (unsigned i = 0; i < 3; i++)
		if (mirror_unregister(&m[i]))
			bail_out("no unregister");
	list_gone(c.list);
	free(m);
}
#else
static void shared_writes(void)
{
	skip(4, "the sanitizer has malloc");
}
#endif

/* ---- 12: work that outlives the call ---- */

static struct usrcu *guest;     /* its sections are I/O under way on the guest's memory */

static int run_unmap(struct call *c)
{
	(void)c;
	return usrcu_synchronize(guest);
}

static int run_complete(struct call *c)
{
	usrcu_up_read(guest, (int)c->start);
	return 0;
}

static void submitted(void)
{
	struct call unmap = { .list = NULL }, complete = { .list = NULL };

	if (usrcu_create(&guest, NULL))
		bail_out("no domain");
	complete.start = (uint64_t)usrcu_down_read(guest); /* submit, and return */
	call_begin(&unmap, run_unmap);
	ok(call_blocks(&unmap), "row 12: who unmaps waits for I/O that was submitted");
	call_begin(&complete, run_complete);
	call_end(&complete);
	is_int(call_end(&unmap), 0, "row 12: ... until another thread has seen it complete");
	is_int(usrcu_destroy(guest), 0, "row 12: and nothing is left open");
}

/* ---- 16, 17: when callbacks have run ---- */

static void promptness(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 10, MIRROR_RANGE_BLOCKABLE);
	struct probe p[3];
	unsigned i;

	memset(p, 0, sizeof(p));
	for (i = 0; i < 3; i++) {
		p[i].name = (char)('A' + i);
		if (mirror_register(list, &p[i].m, i == 1 ? &probe_ops : &finish_ops))
			bail_out("no registration");
	}
	is_int(mirror_invalidate_range_start(list, &r), 0, "row 16: a start");
	traced("ABC.A.C", "rows 16, 17: before it returns all have started, and then all have finished");
	mirror_invalidate_range_end(list, &r);
	traced("cba", "row 16: likewise the end");
	for (i = 0; i < 3; i++)
		if (mirror_unregister(&p[i].m))
			bail_out("no unregister");
	list_gone(list);
}

/* ---- 18: no membarrier ---- */

/* Unregisters that are frequent, in a thread that publishes. */
static void storm(struct mirror_list *list, unsigned nr)
{
	struct mirror m;

	memset(&m, 0, sizeof(m));
	while (nr--) {
		if (mirror_register(list, &m, &plain_ops))
			bail_out("no registration");
		for (int i = 0; i < 10; i++)
			if (mirror_invalidate_range(list, 0, 10))
				bail_out("no bracket");
		if (mirror_unregister(&m))
			bail_out("no unregister");
	}
}

static void full_fences(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_FULL_FENCE };
	struct mirror_list_attr list_attr = { .size = sizeof(list_attr), .flags = MIRROR_LIST_FULL_FENCE };
	struct mirror_list *list;
	struct usrcu *domain;
	struct mirror m;
	unsigned before, sent;

	if (!HOOKED) {
		skip(4, "the system calls are not seen");
		return;
	}
	before = membarriers();
	if (usrcu_create(&domain, &attr))
		bail_out("no domain");
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	if (usrcu_synchronize(domain) || usrcu_synchronize_expedited(domain) || usrcu_destroy(domain))
		bail_out("no grace period");
	is_int(membarriers() - before, 0, "row 18: a domain with full fences never sends membarrier(2)");
	memset(&m, 0, sizeof(m));
	if (mirror_list_create(&list, &list_attr) || mirror_register(list, &m, &plain_ops))
		bail_out("no list");
	before = membarriers();
	if (mirror_invalidate_range(list, 0, 10) || mirror_unregister(&m))
		bail_out("no bracket");
	is_int(membarriers() - before, 0, "row 18: nor does an unregister from a list with full fences");
	if (mirror_list_destroy(list) || mirror_list_create(&list, NULL) || mirror_register(list, &m, &plain_ops))
		bail_out("no list");
	before = membarriers();
	if (mirror_unregister(&m))
		bail_out("no unregister");
	sent = membarriers() - before;
	if (mirror_list_destroy(list) || usrcu_create(&domain, NULL))
		bail_out("no domain");
	ok(!usrcu_uses_membarrier(domain) || sent > 0, "row 18: the test sees those of others");
	usrcu_destroy(domain);
	if (mirror_list_create(&list, NULL))
		bail_out("no list");
	storm(list, 3000); /* publishers look every 8192 walks */
	before = membarriers();
	storm(list, 1000);
	sent = membarriers() - before;
	ok(sent < 10, "row 18: 1000 unregisters beside busy publishers send %u, since walks fence by then", sent);
	list_gone(list);
}

/* ---- 19, 20 ---- */

static int run_foreign(struct call *c)
{
	struct mirror m;

	memset(&m, 0, sizeof(m));
	return mirror_invalidate_range(c->list, 0, 10) | mirror_register(c->list, &m, &plain_ops) |
	       mirror_invalidate_range(c->list, 0, 10) | mirror_unregister(&m);
}

static struct usrcu *own_domain;
static int own_rc;

static void destroy_own(struct usrcu_head *head)
{
	(void)head;
	own_rc = usrcu_destroy(own_domain);
}

static int destroy_list(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	own_rc = mirror_list_destroy(busy_list);
	return 0;
}

static const struct mirror_ops destroying_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = destroy_list,
};

static void strangers(void)
{
	struct usrcu_head head;
	unsigned failed = 0;
	struct mirror m;
	struct call c;

	busy_list = list_new();
	for (int i = 0; i < 100; i++) {
		memset(&c, 0, sizeof(c));
		c.list = busy_list;
		call_begin(&c, run_foreign);
		failed += call_end(&c) != 0;
	}
	is_int(failed, 0, "row 19: 100 threads that have introduced themselves to nobody publish and subscribe");
	memset(&m, 0, sizeof(m));
	if (mirror_register(busy_list, &m, &destroying_ops))
		bail_out("no registration");
	is_int(mirror_invalidate_range(busy_list, 0, 10), 0, "row 20: a callback destroys its list");
	is_int(own_rc, -EBUSY, "row 20: ... and gets -EBUSY");
	is_int(mirror_unregister(&m), 0, "row 20: nothing was freed");
	list_gone(busy_list);
	own_rc = 0;
	if (usrcu_create(&own_domain, NULL) || usrcu_call(own_domain, &head, destroy_own))
		bail_out("no domain");
	is_int(usrcu_destroy(own_domain), -EBUSY, "row 20: a domain with a retired object is not destroyed");
	is_int(usrcu_barrier(own_domain), 0, "row 20: ... whose callback destroys the domain");
	is_int(own_rc, -EBUSY, "row 20: ... and gets -EBUSY, instead of waiting for itself");
	is_int(usrcu_destroy(own_domain), 0, "row 20: afterwards it goes");
}

int main(void)
{
	shared_writes();
	allocation();
	locks();
	recursion();
	no_gap();
	after_fork();
	submitted();
	promptness();
	full_fences();
	strangers();
	return done_testing();
}
