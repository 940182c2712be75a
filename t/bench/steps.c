/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The counter of instructions counts what is known to be there, no more and no less: for each kind one operation
 * whose counts can be read off its source, and operations that a wrong expectation must not fit.
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>

#include "mirror/mirror.h"
#include "mirror/usrcu.h"
#include "measure/steps.h"
#include "tap.h"

static _Alignas(64) uint64_t shared, also_shared[8], own[2][8];

/* ---- known instructions ---- */

static void known(void *arg)
{
	uint64_t one = 1, *p = &shared;
	char copied[200], text[200] = "";
	size_t n = sizeof(copied);
	void *to = copied;
	const void *from = text;
	long rax;

	(void)arg;
	steps_begin(0); /* nothing */
	steps_end();

	steps_begin(1);
	__asm__ volatile("lock incq (%0)\n\tlock xaddq %1, (%0)\n\tlock cmpxchgq %1, (%0)" : : "r"(p), "r"(one) : "memory", "rax");
	steps_end();

	steps_begin(2); /* locked without being told */
	__asm__ volatile("xchgq %1, (%0)" : : "r"(p), "r"(one) : "memory");
	steps_end();

	steps_begin(3); /* not locked: registers */
	__asm__ volatile("xchgq %%rcx, %%rdx" : : : "rcx", "rdx");
	steps_end();

	steps_begin(4);
	__asm__ volatile("mfence\n\tlock orq $0, (%%rsp)\n\tlock addl $0, -8(%%rsp)" : : : "memory", "cc");
	steps_end();

	steps_begin(5); /* these order nothing against later loads */
	__asm__ volatile("lfence\n\tsfence\n\torq $0, (%0)" : : "r"(p) : "memory", "cc");
	steps_end();

	steps_begin(6);
	__asm__ volatile("syscall" : "=a"(rax) : "a"(SYS_membarrier), "D"(MEMBARRIER_CMD_QUERY), "S"(0) : "rcx", "r11", "memory");
	steps_end();

	steps_begin(7);
	__asm__ volatile("syscall" : "=a"(rax) : "a"(SYS_futex), "D"(p), "S"(1), "d"(0) : "rcx", "r11", "memory");
	steps_end();

	steps_begin(8);
	__asm__ volatile("syscall" : "=a"(rax) : "a"(SYS_getppid) : "rcx", "r11", "memory");
	steps_end();

	steps_begin(9); /* 200 turns */
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	steps_end();
}

static void test_known(void)
{
	static const struct {
		const char *what;
		uint64_t instructions, rmws, fences, membarriers, futexes, other_calls;
	} expected[] = {
		{ "nothing", 0, 0, 0, 0, 0, 0 },
		{ "three locked instructions", 3, 3, 0, 0, 0, 0 },
		{ "xchg with memory", 1, 1, 0, 0, 0, 0 },
		{ "xchg of registers", 1, 0, 0, 0, 0, 0 },
		{ "three full fences", 3, 0, 3, 0, 0, 0 },
		{ "lfence, sfence, an or without lock", 3, 0, 0, 0, 0, 0 },
		{ "membarrier(2)", 1, 0, 0, 1, 0, 0 },
		{ "futex(2)", 1, 0, 0, 0, 1, 0 },
		{ "another system call", 1, 0, 0, 0, 0, 1 },
		{ "rep movsb of 200 bytes", 200, 0, 0, 0, 0, 0 },
	};
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };

	ok(steps_run(known, NULL, slots) == 0, "known instructions are stepped through");
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct steps *s = &slots[i];
		/* The compiler may load operands between the marks. */
		bool right = s->instructions >= expected[i].instructions && s->instructions <= expected[i].instructions + 6 &&
			     s->rmws == expected[i].rmws && s->fences == expected[i].fences &&
			     s->membarriers == expected[i].membarriers && s->futexes == expected[i].futexes &&
			     s->other_calls == expected[i].other_calls;

		ok(right, "%s", expected[i].what);
	}
	ok(slots[9].nr_lines >= 7 && slots[9].nr_lines <= 12, "the lines that were copied from and to: %zu",
	   slots[9].nr_lines);
	steps_free(slots);
}

/* ---- shared lines ---- */

enum lines { BOTH_WRITE, ONE_READS, BOTH_READ, EACH_ITS_OWN, NR_LINES };

static __thread uint64_t of_the_thread;

static void touch(unsigned thread)
{
	volatile uint64_t *a = &shared, *b = also_shared, *c = own[thread];
	volatile uint64_t *mine = &of_the_thread;
	unsigned first = thread * NR_LINES;

	steps_begin(first + BOTH_WRITE);
	*a = 1;
	*a = 2;
	steps_end();
	steps_begin(first + ONE_READS);
	if (thread == 0)
		*b = 1;
	else
		*b;
	steps_end();
	steps_begin(first + BOTH_READ);
	*b;
	steps_end();
	steps_begin(first + EACH_ITS_OWN);
	*c = 1;
	*mine = 1;
	steps_end();
}

static void *second_thread(void *arg)
{
	touch(1);
	return arg;
}

static void two_threads(void *arg)
{
	pthread_t thread;

	(void)arg;
	touch(0);
	if (pthread_create(&thread, NULL, second_thread, NULL) == 0)
		pthread_join(thread, NULL);
}

static void test_lines(void)
{
	static const struct { const char *what; uint64_t writes[2], contended; } expected[] = {
		{ "both write twice to a line", { 2, 2 }, 1 },
		{ "one writes, the other reads", { 1, 0 }, 1 },
		{ "both read", { 0, 0 }, 0 },
		{ "each has a line, and a variable of its thread", { 0, 0 }, 0 },
	};
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };

	ok(steps_run(two_threads, NULL, slots) == 0, "two threads are stepped through");
	for (unsigned i = 0; i < NR_LINES; i++) {
		for (unsigned k = 0; k < 2; k++) {
			const struct steps *mine = &slots[k * NR_LINES + i], *theirs = &slots[(1 - k) * NR_LINES + i];

			ok(steps_shared_writes(mine, &theirs, 1) == expected[i].writes[k] &&
			   steps_contended_lines(mine, &theirs, 1) == expected[i].contended,
			   "%s: seen from thread %u", expected[i].what, k);
		}
	}
	steps_free(slots);
}

/* ---- the library ---- */

enum { NR_MIRRORS = 16 };

struct walk {
	struct mirror_list *list;
	struct mirror mirrors[NR_MIRRORS];
};

static int quiet(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static int loud(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	shared++;
	return 0;
}

static void bracket(struct walk *walk, unsigned slot)
{
	struct mirror_range range = { .start = 1 << 20, .end = (1 << 20) + 4096, .flags = MIRROR_RANGE_BLOCKABLE };

	for (int i = 0; i < 3; i++) {
		if (i == 2)
			steps_begin(slot);
		if (mirror_invalidate_range_start(walk->list, &range))
			abort();
		mirror_invalidate_range_end(walk->list, &range);
		if (i == 2)
			steps_end();
	}
}

static void *second_walker(void *arg)
{
	bracket(arg, 1);
	return NULL;
}

static void two_walkers(void *arg)
{
	pthread_t thread;

	bracket(arg, 0);
	if (pthread_create(&thread, NULL, second_walker, arg) == 0)
		pthread_join(thread, NULL);
}

/* Whether a bracket does nothing that other CPUs could slow down. */
static bool scales(const struct mirror_sync *sync, unsigned flags, int (*callback)(struct mirror *,
										     const struct mirror_range *))
{
	const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = callback };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = sync, .flags = flags };
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };
	const struct steps *other = &slots[1];
	static struct walk walk;
	bool nothing_is_shared;

	if (mirror_list_create(&walk.list, &attr))
		bail_out("cannot make a list");
	for (int i = 0; i < NR_MIRRORS; i++)
		if (mirror_register(walk.list, &walk.mirrors[i], &ops))
			bail_out("cannot register");
	if (steps_run(two_walkers, &walk, slots))
		bail_out("cannot step through a bracket");
	nothing_is_shared = steps_shared_writes(&slots[0], &other, 1) == 0 && steps_contended_lines(&slots[0], &other, 1) == 0;
	diag("%" PRIu64 " instructions, %" PRIu64 " read-modify-writes, %" PRIu64 " fences, %" PRIu64 " shared writes",
	     slots[0].instructions, slots[0].rmws, slots[0].fences, steps_shared_writes(&slots[0], &other, 1));
	for (int i = 0; i < NR_MIRRORS; i++)
		mirror_unregister(&walk.mirrors[i]);
	mirror_list_destroy(walk.list);
	nothing_is_shared = nothing_is_shared && slots[0].rmws + slots[0].fences + slots[0].membarriers +
			    slots[0].futexes + slots[0].other_calls == 0 && slots[0].instructions > 10 * NR_MIRRORS;
	steps_free(slots);
	return nothing_is_shared;
}

/* ---- who fences, where changes are frequent ---- */

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
}

struct storm {
	struct walk walk;
	const struct mirror_ops *ops;
	struct mirror comer;
	unsigned brackets;              /* for each change */
};

static void change(struct storm *storm, int slot)
{
	if (mirror_register(storm->walk.list, &storm->comer, storm->ops))
		abort();
	if (slot >= 0)
		steps_begin((unsigned)slot);
	if (mirror_unregister(&storm->comer))
		abort();
	if (slot >= 0)
		steps_end();
}

static void weather(void *arg)
{
	struct storm *storm = arg;
	struct mirror_range range = { .start = 1 << 20, .end = (1 << 20) + 4096, .flags = MIRROR_RANGE_BLOCKABLE };

	for (unsigned i = 0; i < 40000; i++) {
		if (mirror_invalidate_range_start(storm->walk.list, &range))
			abort();
		mirror_invalidate_range_end(storm->walk.list, &range);
		if (i % storm->brackets == storm->brackets - 1)
			change(storm, -1);
	}
	bracket(&storm->walk, 0);
	change(storm, 1);
}

/* Whether walks fence in place of an unregister's membarrier(2), or the other way round; else -1. */
static int walks_fence(bool with_end, unsigned brackets)
{
	const struct mirror_ops ops = {
		.size = sizeof(ops), .invalidate_range_start = quiet, .invalidate_range_end = with_end ? on_end : NULL,
	};
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };
	struct storm storm = { .ops = &ops, .brackets = brackets };
	int fence;

	if (mirror_list_create(&storm.walk.list, NULL) || mirror_register(storm.walk.list, &storm.walk.mirrors[0], &ops))
		bail_out("cannot make a list");
	if (steps_run(weather, &storm, slots))
		bail_out("cannot step through a storm");
	diag("a bracket: %" PRIu64 " fences; an unregister: %" PRIu64 " membarriers", slots[0].fences, slots[1].membarriers);
	fence = slots[0].fences > 0 && slots[1].membarriers == 0 ? 1 : slots[0].fences == 0 && slots[1].membarriers > 0 ? 0 : -1;
	steps_free(slots);
	mirror_unregister(&storm.walk.mirrors[0]);
	mirror_list_destroy(storm.walk.list);
	return fence;
}

static bool has_membarrier(void)
{
	struct usrcu *domain;
	bool has;

	if (usrcu_create(&domain, NULL))
		bail_out("cannot make a domain");
	has = usrcu_uses_membarrier(domain);
	usrcu_destroy(domain);
	return has;
}

int main(void)
{
	const char *sanitizer = getenv("MIRROR_SANITIZER");
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };

	if (sanitizer && strcmp(sanitizer, "no") != 0)
		skip_all("a sanitizer's own instructions would be counted");
	if (steps_run(known, NULL, slots) == -EPERM)
		skip_all("ptrace(2) is refused here");
	steps_free(slots);
	test_known();
	test_lines();
	if (!has_membarrier()) {
		diag("no membarrier(2) here: walks always fence");
		return done_testing();
	}
	ok(scales(&mirror_sync_srcu, 0, quiet),
	   "S8, M3: a bracket over 16 mirrors has no read-modify-write, fence, system call or write to a shared line");
	ok(scales(&mirror_sync_srcu, MIRROR_LIST_DRAIN_DOMAIN, quiet), "S8: nor has one with the domain drain");
	ok(!scales(&mirror_sync_srcu, MIRROR_LIST_FULL_FENCE, quiet), "with full fences the same check fails");
	ok(!scales(&mirror_sync_rwsem, 0, quiet), "over rwsem the same check fails");
	ok(!scales(&mirror_sync_srcu, 0, loud), "with callbacks that count in one line the same check fails");
	for (int with_end = 0; with_end < 2; with_end++) {
		ok(walks_fence(with_end, 100) == 1, "changes are frequent: walks fence, an unregister interrupts nobody%s",
		   with_end ? "; callbacks at the end too" : "");
		ok(walks_fence(with_end, 30000) == 0, "changes are rare: the other way round");
	}
	return done_testing();
}
