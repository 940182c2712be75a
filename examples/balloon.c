/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A virtual machine monitor: a guest on Unicorn has a block device, whose requests a thread like vhost's serves, and a
 * balloon, through which it gives pages back while such requests may be under way.
 *
 * The guest asks for I/O into each of its pages and then gives the page up, without waiting for the I/O: a driver with
 * a fault, or a hostile one.  The host puts another's page there.  Without a mirror what the device writes late lands
 * in memory that is not the guest's any more.  With one the balloon's bracket waits for the requests under way that use
 * the page, and later requests are refused until the page is the guest's again.
 */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

enum { PAGE = 4096, CODE = 0x10000, RAM = 0x20000, PAGES = 8, ROUNDS = 50, QUEUE = 16 };
enum { PORT_IO = 0x10, PORT_INFLATE = 0x11, PORT_DEFLATE = 0x12, PORT_ROUND = 0x13 };

/* 32-bit x86: for each page: I/O, give up, take back; then the round is over. */
static const uint8_t guest[] = {
	0x31, 0xc0,                     /* xor eax, eax */
	0xe7, PORT_IO,                  /* out PORT_IO, eax */
	0xe7, PORT_INFLATE,             /* out PORT_INFLATE, eax */
	0xe7, PORT_DEFLATE,             /* out PORT_DEFLATE, eax */
	0x40,                           /* inc eax */
	0x83, 0xf8, PAGES,              /* cmp eax, PAGES */
	0x75, 0xf4,                     /* jne to the first out */
	0xe7, PORT_ROUND,               /* out PORT_ROUND, eax */
	0xeb, 0xee,                     /* jmp to the top */
};

static struct mirror_list *list;
static uc_engine *uc;
static unsigned char *ram;              /* the guest's pages in the host */
static bool with_mirror;
static unsigned rounds, corrupted;      /* the guest's thread's own */

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "balloon: %s failed\n", what);
	abort();
}

/* ---- the device ---- */

static struct {
	struct mirror mirror;
	pthread_mutex_t lock;           /* guards what follows */
	pthread_cond_t changed;
	unsigned in_flight[PAGES], away[PAGES]; /* requests that use a page; brackets that are open on it */
	unsigned queue[QUEUE], queued, served, refused;
	bool closing;
} device = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* The translation is made here, and used when the thread below serves the request. */
static void submit(unsigned page)
{
	pthread_mutex_lock(&device.lock);
	while (device.queued - device.served == QUEUE)
		pthread_cond_wait(&device.changed, &device.lock);
	if (device.away[page]) {
		device.refused++;
	} else {
		device.in_flight[page]++;
		device.queue[device.queued++ % QUEUE] = page;
		pthread_cond_broadcast(&device.changed);
	}
	pthread_mutex_unlock(&device.lock);
}

static void *serve(void *unused)
{
	pthread_mutex_lock(&device.lock);
	while (!device.closing || device.served < device.queued) {
		unsigned page = device.queue[device.served % QUEUE];

		if (device.served == device.queued) {
			pthread_cond_wait(&device.changed, &device.lock);
			continue;
		}
		pthread_mutex_unlock(&device.lock);
		__atomic_store_n(&ram[page * PAGE], 0xd1, __ATOMIC_RELAXED);
		pthread_mutex_lock(&device.lock);
		device.in_flight[page]--;
		device.served++;
		pthread_cond_broadcast(&device.changed);
	}
	pthread_mutex_unlock(&device.lock);
	return unused;
}

/* The first pass refuses new requests, the second waits for those under way. */
static int refuse(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	pthread_mutex_lock(&device.lock);
	for (uint64_t page = r->start / PAGE; page < r->end / PAGE; page++)
		device.away[page]++;
	pthread_mutex_unlock(&device.lock);
	return 0;
}

static void wait_for_requests(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	pthread_mutex_lock(&device.lock);
	for (uint64_t page = r->start / PAGE; page < r->end / PAGE; page++)
		while (device.in_flight[page])
			pthread_cond_wait(&device.changed, &device.lock);
	pthread_mutex_unlock(&device.lock);
}

static void admit(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	pthread_mutex_lock(&device.lock);
	for (uint64_t page = r->start / PAGE; page < r->end / PAGE; page++)
		device.away[page]--;
	pthread_mutex_unlock(&device.lock);
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = refuse,
				       .finish = wait_for_requests, .invalidate_range_end = admit };

/* ---- the monitor, in the guest's thread ---- */

static struct mirror_range away[PAGES];         /* ranges are of the guest's memory: page * PAGE and so on */

static void inflate(unsigned page)
{
	away[page] = (struct mirror_range){ .start = (uint64_t)page * PAGE, .end = (uint64_t)(page + 1) * PAGE,
					    .event = MIRROR_EVENT_UNMAP, .flags = MIRROR_RANGE_BLOCKABLE };
	check(!mirror_invalidate_range_start(list, &away[page]), "start");
	check(uc_mem_unmap(uc, RAM + page * PAGE, PAGE) == UC_ERR_OK, "uc_mem_unmap");
	check(!madvise(ram + page * PAGE, PAGE, MADV_DONTNEED), "madvise");
	__atomic_store_n(&ram[page * PAGE], 0xaa, __ATOMIC_RELAXED);    /* it is somebody else's now */
	submit(page);                   /* a request that comes while the page is away */
}

/* Whoever had the page meanwhile has written 0xaa alone: anything else is the device's. */
static void deflate(unsigned page)
{
	if (!with_mirror) {             /* until the device has written everything */
		pthread_mutex_lock(&device.lock);
		while (device.in_flight[page])
			pthread_cond_wait(&device.changed, &device.lock);
		pthread_mutex_unlock(&device.lock);
	}
	corrupted += __atomic_load_n(&ram[page * PAGE], __ATOMIC_RELAXED) != 0xaa;
	memset(ram + page * PAGE, 0, PAGE);
	check(uc_mem_map_ptr(uc, RAM + page * PAGE, PAGE, UC_PROT_ALL, ram + page * PAGE) == UC_ERR_OK, "mapping");
	mirror_invalidate_range_end(list, &away[page]);
}

static void on_out(uc_engine *engine, uint32_t port, int size, uint32_t value, void *unused)
{
	(void)size, (void)unused;
	if (port == PORT_IO)
		submit(value);
	else if (port == PORT_INFLATE)
		inflate(value);
	else if (port == PORT_DEFLATE)
		deflate(value);
	else if (++rounds == ROUNDS)
		uc_emu_stop(engine);
}

static void run_guest(void)
{
	pthread_t thread;
	uc_hook hook;

	rounds = corrupted = device.refused = 0;
	device.closing = false;
	check(uc_open(UC_ARCH_X86, UC_MODE_32, &uc) == UC_ERR_OK &&
	      uc_mem_map(uc, CODE, PAGE, UC_PROT_ALL) == UC_ERR_OK &&
	      uc_mem_write(uc, CODE, guest, sizeof(guest)) == UC_ERR_OK, "making the guest");
	for (unsigned page = 0; page < PAGES; page++)
		check(uc_mem_map_ptr(uc, RAM + page * PAGE, PAGE, UC_PROT_ALL, ram + page * PAGE) == UC_ERR_OK, "mapping");
	check(uc_hook_add(uc, &hook, UC_HOOK_INSN, (void *)(uintptr_t)on_out, NULL, 1, 0, UC_X86_INS_OUT) == UC_ERR_OK,
	      "uc_hook_add");
	check(!with_mirror || !mirror_register_range(list, &device.mirror, &ops, 0, PAGES * PAGE), "registering");
	check(!pthread_create(&thread, NULL, serve, NULL), "pthread_create");
	check(uc_emu_start(uc, CODE, 0, 0, 0) == UC_ERR_OK, "running the guest");
	pthread_mutex_lock(&device.lock);
	device.closing = true;
	pthread_cond_broadcast(&device.changed);
	pthread_mutex_unlock(&device.lock);
	pthread_join(thread, NULL);
	check(!with_mirror || !mirror_unregister(&device.mirror), "unregistering");
	check(uc_close(uc) == UC_ERR_OK, "uc_close");
}

int main(void)
{
	ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(ram != MAP_FAILED && !mirror_list_create(&list, NULL), "preparing");
	run_guest();
	printf("no mirror: %d pages given up, %s\n", ROUNDS * PAGES,
	       corrupted ? "and the device wrote into another's memory" : "nothing was overwritten");
	if (!corrupted)
		return 1;
	with_mirror = true;
	run_guest();
	printf("with a mirror: %d pages given up, %u overwritten, %u requests refused\n", ROUNDS * PAGES, corrupted,
	       device.refused);
	return corrupted || mirror_list_destroy(list) || munmap(ram, PAGES * PAGE);
}
