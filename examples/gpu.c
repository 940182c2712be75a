/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Devices with page tables and memory of their own, as Linux's test_hmm has them, between which pages migrate.
 *
 * A device translates an address when a command is queued, and its DMA engine, a thread, executes the command later.
 * So an invalidation has two passes: the start clears the entry, after which no new command gets the old address, and
 * the finish waits until the engine has executed what was queued before.  All devices flush at the same time.  A fault
 * installs an entry by a fill.
 *
 * Programs add 1 to words of pages.  When a page has moved its old place is poisoned: an addition that goes there is
 * lost, and the sums at the end are wrong.
 */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGES = 8, PAGE = 4096, QUEUE = 64 };
enum { STAYING = 2, ADDITIONS = 4000, VISITS = 20, VISIT_ADDITIONS = 100, MIGRATIONS = 400 };

struct command {
	uint64_t *add;                  /* add 1 there; or NULL: */
	void *to;                       /* copy a page */
	const void *from;
};

struct device {
	struct mirror mirror;
	pthread_t engine;
	unsigned char *frames;          /* the device's memory: room for each page */
	pthread_mutex_t lock;           /* guards what follows; the callbacks take it */
	pthread_cond_t changed;
	uint64_t *table[PAGES];         /* the page table; NULL: fault */
	struct command queue[QUEUE];
	uint64_t queued, executed, flush_to;
	bool closing;
};

static struct mirror_list *list;
static unsigned char *host;             /* the pages' addresses, and their places in the host's memory */
static uint64_t *place[PAGES];          /* atomic: where each is; changes in a bracket, under moving */
static pthread_mutex_t moving = PTHREAD_MUTEX_INITIALIZER;

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "gpu: %s failed\n", what);
	abort();
}

/* ---- the DMA engine ---- */

static void execute(const struct command *c)
{
	if (c->add)
		__atomic_fetch_add(c->add, 1, __ATOMIC_RELAXED);
	else
		memcpy(c->to, c->from, PAGE);
}

static void *run_engine(void *device)
{
	struct device *d = device;

	pthread_mutex_lock(&d->lock);
	while (!d->closing || d->executed < d->queued) {
		struct command c = d->queue[d->executed % QUEUE];

		if (d->executed == d->queued) {
			pthread_cond_wait(&d->changed, &d->lock);
			continue;
		}
		pthread_mutex_unlock(&d->lock);
		execute(&c);
		pthread_mutex_lock(&d->lock);
		d->executed++;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void wait_for_room(struct device *d)
{
	while (d->queued - d->executed == QUEUE)
		pthread_cond_wait(&d->changed, &d->lock);
}

static void queue(struct device *d, struct command c)
{
	d->queue[d->queued++ % QUEUE] = c;
	pthread_cond_broadcast(&d->changed);
}

static void wait_until_executed(struct device *d, uint64_t nr)
{
	while (d->executed < nr)
		pthread_cond_wait(&d->changed, &d->lock);
}

/* ---- the mirror ---- */

static int clear(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = mirror_container_of(m, struct device, mirror);
	const uint64_t base = (uint64_t)(uintptr_t)host;

	pthread_mutex_lock(&d->lock);
	for (uint64_t page = (r->start - base) / PAGE; page < (r->end - base) / PAGE; page++)
		d->table[page] = NULL;
	d->flush_to = d->queued;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static void flush(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = mirror_container_of(m, struct device, mirror);

	(void)r;
	pthread_mutex_lock(&d->lock);
	wait_until_executed(d, d->flush_to);
	pthread_mutex_unlock(&d->lock);
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = clear, .finish = flush };

static void fault(struct device *d, int page)
{
	bool stale;

	do {
		uint64_t seq = mirror_read_begin(&d->mirror);
		uint64_t *at = __atomic_load_n(&place[page], __ATOMIC_ACQUIRE);

		pthread_mutex_lock(&d->lock);
		stale = mirror_read_retry(&d->mirror, seq);
		if (!stale)
			d->table[page] = at;
		pthread_mutex_unlock(&d->lock);
	} while (stale);
}

static void add(struct device *d, int page)
{
	pthread_mutex_lock(&d->lock);
	for (;;) {
		wait_for_room(d);       /* gives the lock up, so that the entry is looked at behind it */
		if (d->table[page])
			break;
		pthread_mutex_unlock(&d->lock);
		fault(d, page);
		pthread_mutex_lock(&d->lock);
	}
	queue(d, (struct command){ .add = d->table[page] });
	pthread_mutex_unlock(&d->lock);
}

/* ---- migration ---- */

/* The page goes to the device's memory, by its engine, or back to the host's.  The caller holds `moving`. */
static void move_locked(int page, struct device *to)
{
	const uint64_t start = (uint64_t)(uintptr_t)host + (uint64_t)page * PAGE;
	struct mirror_range r = { .start = start, .end = start + PAGE, .event = MIRROR_EVENT_MIGRATE,
				  .flags = MIRROR_RANGE_BLOCKABLE };
	void *from = place[page], *there = (to ? to->frames : host) + page * PAGE;

	if (from == there)
		return;
	check(!mirror_invalidate_range_start(list, &r), "start");
	if (to) {
		pthread_mutex_lock(&to->lock);
		wait_for_room(to);
		queue(to, (struct command){ .to = there, .from = from });
		wait_until_executed(to, to->queued);
		pthread_mutex_unlock(&to->lock);
	} else {
		memcpy(there, from, PAGE);
	}
	memset(from, 0xff, PAGE);
	__atomic_store_n(&place[page], there, __ATOMIC_RELEASE);
	mirror_invalidate_range_end(list, &r);
}

static void move(int page, struct device *to)
{
	pthread_mutex_lock(&moving);
	move_locked(page, to);
	pthread_mutex_unlock(&moving);
}

/* ---- devices come and go ---- */

static void open_device(struct device *d)
{
	const uint64_t start = (uint64_t)(uintptr_t)host;

	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->frames = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(d->frames != MAP_FAILED && !pthread_create(&d->engine, NULL, run_engine, d), "opening a device");
	check(!mirror_register_range(list, &d->mirror, &ops, start, start + PAGES * PAGE), "registering");
}

/* What is in its memory goes back first.  Its memory is unmapped when nobody can have an address of it. */
static void close_device(struct device *d)
{
	pthread_mutex_lock(&moving);
	for (int page = 0; page < PAGES; page++)
		if (place[page] == (uint64_t *)(void *)(d->frames + page * PAGE))
			move_locked(page, NULL);
	pthread_mutex_unlock(&moving);
	pthread_mutex_lock(&d->lock);
	d->closing = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	check(!pthread_join(d->engine, NULL) && !mirror_unregister(&d->mirror), "closing a device");
	check(!munmap(d->frames, PAGES * PAGE), "munmap");
}

static void *stay(void *device)
{
	for (int i = 0; i < ADDITIONS; i++)
		add(device, i * 5 % PAGES);
	return NULL;
}

static void *visit(void *unused)
{
	struct device d;

	for (int n = 0; n < VISITS; n++) {
		open_device(&d);
		move(n % PAGES, &d);
		for (int i = 0; i < VISIT_ADDITIONS; i++)
			add(&d, i % PAGES);
		close_device(&d);
	}
	return unused;
}

int main(void)
{
	static struct device staying[STAYING];
	uint64_t sum = 0, expected = STAYING * ADDITIONS + VISITS * VISIT_ADDITIONS;
	pthread_t programs[STAYING], visitor;

	host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(host != MAP_FAILED && !mirror_list_create(&list, NULL), "preparing");
	for (int page = 0; page < PAGES; page++)
		place[page] = (uint64_t *)(void *)(host + page * PAGE);
	for (int i = 0; i < STAYING; i++) {
		open_device(&staying[i]);
		check(!pthread_create(&programs[i], NULL, stay, &staying[i]), "pthread_create");
	}
	check(!pthread_create(&visitor, NULL, visit, NULL), "pthread_create");
	for (int n = 0; n < MIGRATIONS; n++)
		move(n * 3 % PAGES, n % 3 < STAYING ? &staying[n % 3] : NULL);
	pthread_join(visitor, NULL);
	for (int i = 0; i < STAYING; i++)
		pthread_join(programs[i], NULL);
	for (int i = 0; i < STAYING; i++)
		close_device(&staying[i]);
	for (int page = 0; page < PAGES; page++)
		sum += *place[page];
	printf("%d devices, and %d that came and went, added beside %d migrations and more: %d of %d additions lost\n",
	       STAYING, VISITS, MIGRATIONS, (int)(expected - sum), (int)expected);
	return sum != expected || mirror_list_destroy(list) || munmap(host, PAGES * PAGE);
}
