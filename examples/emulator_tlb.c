/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The software TLB of an emulator: a virtual CPU uses host addresses without a lock, and a page of the guest is taken
 * away only when no CPU can still be using it.
 *
 * A CPU looks up and uses a translation in one section of usrcu.  The first pass of an invalidation clears the entries
 * of all CPUs, the second waits for the sections that were open.
 */
#include <mirror/mirror.h>
#include <mirror/usrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGES = 4, PAGE = 4096, CHANGES = 200 };

struct page {
	uint64_t bytes[PAGE / 8];
};

struct cpu {
	struct mirror mirror;
	pthread_mutex_t lock;           /* guards what is installed */
	struct page *tlb[PAGES];        /* atomic */
};

static struct page *guest[PAGES];       /* atomic: the page table */
static struct usrcu *domain;
static bool stop;                       /* atomic */

static int clear(struct mirror *m, const struct mirror_range *r)
{
	struct cpu *cpu = (struct cpu *)m;

	pthread_mutex_lock(&cpu->lock);
	for (uint64_t i = r->start / PAGE; i < r->end / PAGE; i++)
		__atomic_store_n(&cpu->tlb[i], NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&cpu->lock);
	return 0;
}

static void wait(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	if (usrcu_synchronize(domain))
		abort();        /* an address may be in use, and the page must not go */
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = clear, .finish = wait };

/* Not in a section: it may wait for a bracket, which waits for sections. */
static void miss(struct cpu *cpu, int i)
{
	bool stale;

	do {
		uint64_t seq = mirror_read_begin(&cpu->mirror);
		struct page *page = __atomic_load_n(&guest[i], __ATOMIC_ACQUIRE);

		pthread_mutex_lock(&cpu->lock);
		stale = mirror_read_retry(&cpu->mirror, seq);
		if (!stale)
			__atomic_store_n(&cpu->tlb[i], page, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&cpu->lock);
	} while (stale);
}

static uint64_t load(struct cpu *cpu, int i)
{
	for (;;) {
		int token = usrcu_read_lock(domain);
		struct page *page = __atomic_load_n(&cpu->tlb[i], __ATOMIC_ACQUIRE);
		uint64_t value = page ? page->bytes[0] : 0;

		usrcu_read_unlock(domain, token);
		if (page)
			return value;
		miss(cpu, i);
	}
}

static void *run(void *cpu)
{
	uintptr_t wrong = 0;

	for (int i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i = (i + 1) % PAGES)
		wrong += load(cpu, i) != 42;
	return (void *)wrong;
}

static struct page *new_page(void)
{
	struct page *page = calloc(1, sizeof(*page));

	if (!page)
		abort();
	page->bytes[0] = 42;
	return page;
}

static int replace(struct mirror_list *list, int i)
{
	struct mirror_range r = {
		.start = (uint64_t)i * PAGE, .end = (uint64_t)(i + 1) * PAGE, .flags = MIRROR_RANGE_BLOCKABLE };
	struct page *old;

	if (mirror_invalidate_range_start(list, &r))
		return 1;
	old = __atomic_exchange_n(&guest[i], new_page(), __ATOMIC_ACQ_REL);
	mirror_invalidate_range_end(list, &r);
	old->bytes[0] = 0;      /* nobody can see it */
	free(old);
	return 0;
}

int main(void)
{
	static struct cpu cpu = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct mirror_list *list;
	pthread_t thread;
	void *wrong;

	for (int i = 0; i < PAGES; i++)
		guest[i] = new_page();
	if (usrcu_create(&domain, NULL) || mirror_list_create(&list, NULL) ||
	    mirror_register(list, &cpu.mirror, &ops) || pthread_create(&thread, NULL, run, &cpu))
		return 1;
	for (int n = 0; n < CHANGES; n++)
		if (replace(list, n % PAGES))
			return 1;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &wrong);
	printf("%d pages replaced, %d wrong loads\n", CHANGES, (int)(uintptr_t)wrong);
	for (int i = 0; i < PAGES; i++)
		free(guest[i]);
	return wrong || mirror_unregister(&cpu.mirror) || mirror_list_destroy(list) || usrcu_destroy(domain);
}
