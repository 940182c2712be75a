/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unicorn engines run guest code from host memory which they share, while the host patches and unmaps it, and while
 * the guest patches itself.
 *
 * An engine translates guest code once and then looks at its own translation alone.  It does not notice that the host
 * has changed the bytes, and it goes on using a host address that has gone.  Two children without mirrors show both.
 * With a mirror for each engine the host's brackets stop it, drop what it translated, and unmap the memory; their ends
 * map it again.
 *
 * A guest that patches itself is seen by the one engine that runs the store, and by no other.  So the code is
 * write-protected in the host before it is translated.  The store faults, and the handler publishes.  A handler may
 * wait for nobody: its bracket is not blockable, and marks the engines, which drop the code before their next block.
 */
#include <mirror/mirror.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unicorn/unicorn.h>
#include <unistd.h>

enum { PAGE = 4096, CODE = 0x10000, DATA = CODE + PAGE, BYTES = 2 * PAGE };
enum { ENGINES = 3, ROUNDS = 50, PATCHER = CODE + 0x100 };
enum { PORT_VERSION = 0x10, PORT_NEXT = 0x11, PORT_PATCHED = 0x12 };

/* 32-bit x86.  The number that the first one moves is its version, which hosts and guests patch. */
static const uint8_t looper[] = {
	0xb8, 0, 0, 0, 0,                       /* mov eax, version */
	0x8b, 0x1d, 0, 0x10, 0x01, 0,           /* mov ebx, [DATA] */
	0xe7, PORT_VERSION,                     /* out PORT_VERSION, eax */
	0xeb, 0xf1,                             /* jmp to the top */
};
static const uint8_t patcher[] = {
	0xe5, PORT_NEXT,                        /* in eax, PORT_NEXT */
	0xa3, 1, 0, 0x01, 0,                    /* mov [CODE + 1], eax */
	0xe7, PORT_PATCHED,                     /* out PORT_PATCHED, eax */
	0xeb, 0xf5,                             /* jmp to the top */
};

struct engine {
	struct mirror mirror;
	uc_engine *uc;
	pthread_t thread;
	uint32_t pc;
	bool outdated;          /* atomic: drop the translations before the next block */
	uint32_t seen;          /* atomic: the version that it ran last */
	unsigned awaited;       /* atomic: after so many runs it posts `ran` */
	sem_t ran;
	unsigned stale;         /* runs of a version that was no more; its thread's own */
	int brackets;           /* atomic; it stands while there are any */
	pthread_mutex_t lock;   /* guards what follows; held by who calls Unicorn while the engine stands */
	pthread_cond_t changed;
	bool running, mapped;
};

static struct mirror_list *list;
static struct engine engines[ENGINES];
static uint8_t *memory;         /* two pages: code and data */
static uint32_t version = 1;    /* atomic: changes while all engines stand */
static bool stop, patching;     /* atomic */
static unsigned patches, late;  /* the patching engine's own; patches is also the handler's: its store faults there */
static unsigned faults;         /* atomic */

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "unicorn: %s failed\n", what);
	abort();
}

static void write_code(uint32_t new_version)
{
	memcpy(memory, looper, sizeof(looper));
	memcpy(memory + 1, &new_version, sizeof(new_version));
	memcpy(memory + PATCHER - CODE, patcher, sizeof(patcher));
}

/* ---- what an engine calls, in its thread ---- */

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *engine)
{
	struct engine *e = engine;

	(void)address, (void)size;
	if (__atomic_load_n(&e->outdated, __ATOMIC_ACQUIRE) || __atomic_load_n(&e->brackets, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		uc_emu_stop(uc);
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *engine)
{
	(void)uc, (void)port, (void)size, (void)engine;
	return ++patches;
}

static void count_run(struct engine *e)
{
	if (__atomic_load_n(&e->awaited, __ATOMIC_ACQUIRE) && __atomic_sub_fetch(&e->awaited, 1, __ATOMIC_ACQ_REL) == 0)
		sem_post(&e->ran);
}

static void wait_for_runs(struct engine *e, unsigned nr)
{
	__atomic_store_n(&e->awaited, nr, __ATOMIC_RELEASE);
	while (sem_wait(&e->ran))
		;
}

/* Each other engine may be in the middle of a block.  Those after it must be new. */
static void look_at_the_others(const struct engine *me, uint32_t patched)
{
	for (struct engine *e = engines; e < engines + ENGINES; e++) {
		if (e == me)
			continue;
		wait_for_runs(e, 3);
		late += __atomic_load_n(&e->seen, __ATOMIC_RELAXED) != patched;
	}
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *engine)
{
	struct engine *e = engine;

	(void)uc, (void)size;
	if (port == PORT_PATCHED) {
		if (value <= ROUNDS)    /* later the others may have stopped */
			look_at_the_others(e, value);
		count_run(e);
		return;
	}
	e->stale += !__atomic_load_n(&patching, __ATOMIC_RELAXED) && value != __atomic_load_n(&version, __ATOMIC_RELAXED);
	__atomic_store_n(&e->seen, value, __ATOMIC_RELEASE);
	count_run(e);
}

static void drop(struct engine *e)
{
	check(uc_ctl_remove_cache(e->uc, (uint64_t)CODE, (uint64_t)CODE + PAGE) == UC_ERR_OK, "dropping translations");
}

static void *run(void *engine)
{
	struct engine *e = engine;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&e->lock);
		while (__atomic_load_n(&e->brackets, __ATOMIC_ACQUIRE))
			pthread_cond_wait(&e->changed, &e->lock);
		e->running = true;
		pthread_mutex_unlock(&e->lock);
		if (__atomic_exchange_n(&e->outdated, false, __ATOMIC_ACQ_REL))
			drop(e);
		if (__atomic_load_n(&patching, __ATOMIC_RELAXED))       /* protect first, then translate */
			check(!mprotect(memory, PAGE, PROT_READ), "mprotect");
		check(uc_emu_start(e->uc, e->pc, 0, 0, 0) == UC_ERR_OK, "running guest code");
		check(uc_reg_read(e->uc, UC_X86_REG_EIP, &e->pc) == UC_ERR_OK, "reading the program counter");
		pthread_mutex_lock(&e->lock);
		e->running = false;
		pthread_cond_broadcast(&e->changed);
		pthread_mutex_unlock(&e->lock);
	}
	return NULL;
}

/* ---- the mirror ---- */

static void map(struct engine *e)
{
	check(uc_mem_map_ptr(e->uc, CODE, BYTES, UC_PROT_ALL, memory) == UC_ERR_OK, "mapping");
	e->mapped = true;
}

static void drop_and_unmap(struct engine *e)
{
	drop(e);
	check(uc_mem_unmap(e->uc, CODE, BYTES) == UC_ERR_OK, "unmapping");
	e->mapped = false;
}

static int stop_and_unmap(struct mirror *m, const struct mirror_range *r)
{
	struct engine *e = mirror_container_of(m, struct engine, mirror);

	if (!(r->flags & MIRROR_RANGE_BLOCKABLE)) {
		__atomic_store_n(&e->outdated, true, __ATOMIC_RELEASE);
		return 0;       /* in a signal handler, perhaps of this very engine */
	}
	__atomic_fetch_add(&e->brackets, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&e->lock);
	while (e->running)
		pthread_cond_wait(&e->changed, &e->lock);
	if (e->mapped)
		drop_and_unmap(e);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static void map_and_go_on(struct mirror *m, const struct mirror_range *r)
{
	struct engine *e = mirror_container_of(m, struct engine, mirror);

	if (!(r->flags & MIRROR_RANGE_BLOCKABLE))
		return;
	pthread_mutex_lock(&e->lock);
	if (__atomic_sub_fetch(&e->brackets, 1, __ATOMIC_ACQ_REL) == 0)
		map(e);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static const struct mirror_ops ops = {
	.size = sizeof(ops), .invalidate_range_start = stop_and_unmap, .invalidate_range_end = map_and_go_on };

/*
 * The page is made writable first, then the engines hear of it, then the store is made.  An engine that translates
 * after it has heard protects the page again before, so that the store faults once more.
 */
static void on_write(int signal, siginfo_t *info, void *context)
{
	const uint64_t start = (uint64_t)(uintptr_t)memory, at = (uint64_t)(uintptr_t)info->si_addr;
	struct mirror_range r = { .start = start, .end = start + PAGE, .event = MIRROR_EVENT_PROTECTION };

	(void)context;
	if (at < start || at >= start + PAGE || mprotect(memory, PAGE, PROT_READ | PROT_WRITE) ||
	    mirror_invalidate_range_start(list, &r)) {
		struct sigaction fatal = { .sa_handler = SIG_DFL };

		sigaction(signal, &fatal, NULL);        /* not ours: the write faults again, and ends the program */
		return;
	}
	mirror_invalidate_range_end(list, &r);
	__atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED);
}

/* ---- starting and stopping ---- */

static void make(struct engine *e, uint32_t pc)
{
	uc_hook hook;

	memset(e, 0, sizeof(*e));
	e->pc = pc;
	sem_init(&e->ran, 0, 0);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->changed, NULL);
	check(uc_open(UC_ARCH_X86, UC_MODE_32, &e->uc) == UC_ERR_OK, "uc_open");
	check(uc_hook_add(e->uc, &hook, UC_HOOK_BLOCK, (void *)(uintptr_t)on_block, e, 1, 0) == UC_ERR_OK &&
	      uc_hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)(uintptr_t)on_out, e, 1, 0, UC_X86_INS_OUT) == UC_ERR_OK &&
	      uc_hook_add(e->uc, &hook, UC_HOOK_INSN, (void *)(uintptr_t)on_in, e, 1, 0, UC_X86_INS_IN) == UC_ERR_OK,
	      "uc_hook_add");
}

/* A fill: what is mapped here is mapped only if nothing has changed since it was looked at. */
static void join_list(struct engine *e)
{
	const uint64_t start = (uint64_t)(uintptr_t)memory;
	bool stale;

	check(!mirror_register_range(list, &e->mirror, &ops, start, start + BYTES), "registering");
	do {
		uint64_t seq = mirror_read_begin(&e->mirror);

		pthread_mutex_lock(&e->lock);
		stale = mirror_read_retry(&e->mirror, seq);
		if (!stale && !e->mapped)       /* the end of a bracket may have mapped it */
			map(e);
		pthread_mutex_unlock(&e->lock);
	} while (stale);
}

static void start(struct engine *e)
{
	check(!pthread_create(&e->thread, NULL, run, e), "pthread_create");
}

static void start_all(void)
{
	for (struct engine *e = engines; e < engines + ENGINES; e++)
		start(e);
}

static void stop_all(void)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (struct engine *e = engines; e < engines + ENGINES; e++) {
		check(!pthread_join(e->thread, NULL), "pthread_join");
		check(!mirror_unregister(&e->mirror), "unregistering");
		check(uc_close(e->uc) == UC_ERR_OK, "uc_close");
	}
	stop = false;
}

/* ---- without mirrors, in a child each: the exit status, or minus the signal ---- */

static int in_child(int (*function)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();

	check(pid >= 0, "fork");
	if (pid == 0) {
		_exit(function());
	}
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int patched_unheard(void)
{
	make(&engines[0], CODE);
	map(&engines[0]);
	start(&engines[0]);
	wait_for_runs(&engines[0], 2);
	write_code(7);
	wait_for_runs(&engines[0], 1000);
	return (int)__atomic_load_n(&engines[0].seen, __ATOMIC_ACQUIRE);
}

static int unmapped_unheard(void)
{
	signal(SIGSEGV, SIG_DFL);
	make(&engines[0], CODE);
	map(&engines[0]);
	start(&engines[0]);
	wait_for_runs(&engines[0], 2);
	munmap(memory, BYTES);
	wait_for_runs(&engines[0], 1000);
	return 0;
}

/* ---- with mirrors ---- */

/* Half of the rounds patch the code, the others take the memory away and put other memory there. */
static void change(uint32_t new_version)
{
	const uint64_t from = (uint64_t)(uintptr_t)memory;
	struct mirror_range r = { .start = from, .end = from + BYTES, .flags = MIRROR_RANGE_BLOCKABLE };

	r.event = new_version % 2 ? MIRROR_EVENT_CLEAR : MIRROR_EVENT_UNMAP;
	check(!mirror_invalidate_range_start(list, &r), "start");
	if (r.event == MIRROR_EVENT_UNMAP) {
		check(!munmap(memory, BYTES), "munmap");
		check(mmap(memory, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory,
		      "mmap");
	}
	write_code(new_version);
	__atomic_store_n(&version, new_version, __ATOMIC_RELAXED);
	mirror_invalidate_range_end(list, &r);
}

static unsigned changes_by_the_host(void)
{
	unsigned stale = 0;

	for (struct engine *e = engines; e < engines + ENGINES; e++) {
		make(e, CODE);
		join_list(e);
	}
	start_all();
	for (uint32_t n = 1; n <= ROUNDS; n++) {
		change(n);
		for (struct engine *e = engines; e < engines + ENGINES; e++)
			wait_for_runs(e, 2);
	}
	stop_all();
	for (struct engine *e = engines; e < engines + ENGINES; e++)
		stale += e->stale;
	return stale;
}

/* With attach to the memory, by a mirror or without one; on return the engines still run. */
static void changes_by_the_guest(void (*attach)(struct engine *e))
{
	__atomic_store_n(&patching, true, __ATOMIC_RELAXED);
	for (struct engine *e = engines; e < engines + ENGINES; e++) {
		make(e, e == engines ? PATCHER : CODE);
		attach(e);
	}
	start_all();
	wait_for_runs(engines, ROUNDS);
}

static int patched_itself_unheard(void)
{
	changes_by_the_guest(map);
	return (int)late;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_write, .sa_flags = SA_SIGINFO };
	unsigned stale;

	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED && !mirror_list_create(&list, NULL), "preparing");
	write_code(1);
	printf("no mirror: version 7 was written, the engine still runs version %d\n", in_child(patched_unheard));
	printf("no mirror: the memory was unmapped, and the process died of signal %d\n", -in_child(unmapped_unheard));
	check(!sigaction(SIGSEGV, &action, NULL), "sigaction");
	printf("no mirror: the guest patched itself, and the other engines %s\n",
	       in_child(patched_itself_unheard) ? "still ran the old code" : "noticed");
	stale = changes_by_the_host();
	printf("%d engines, each with a mirror: %d patches and unmaps by the host, %u stale runs\n", ENGINES, ROUNDS, stale);
	changes_by_the_guest(join_list);
	stop_all();
	printf("the guest patched itself %d times, %s; the other engines were late %u times\n", ROUNDS,
	       faults >= ROUNDS ? "heard through faults" : "unheard", late);
	return stale || late || faults < ROUNDS || mirror_list_destroy(list) || munmap(memory, BYTES);
}
