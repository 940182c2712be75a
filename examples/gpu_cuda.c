/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Memory registered with a GPU, which the program maps anew behind the GPU's back.
 *
 * CUDA's driver pins what is registered, and its copy engine goes on writing to the pinned pages when the address has
 * other memory by then.  With a mirror, libmirror-preload makes a bracket of the program's mmap; its start waits for
 * copies under way and unregisters, and the next copy registers again, in a fill.
 *
 * The driver, libcuda.so.1, is loaded when the program runs, so that neither a compiler nor headers of CUDA are needed.
 * Without a driver or a device the program says so, and exits with 77.
 */
#include <dlfcn.h>
#include <mirror/mirror.h>
#include <mirror/preload.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 1 << 16, ROUNDS = 50, SKIPPED = 77 };

/* ---- the driver: its functions return 0 for success ---- */

static struct {
	int (*init)(unsigned flags);
	int (*device_get)(int *device, int number);
	int (*context_retain)(void **context, int device);
	int (*context_set)(void *context);
	int (*stream_create)(void **stream, unsigned flags);
	int (*stream_synchronize)(void *stream);
	int (*alloc)(uint64_t *address, size_t bytes);
	int (*fill)(uint64_t address, unsigned char value, size_t bytes);
	int (*copy_to_host)(void *to, uint64_t from, size_t bytes, void *stream);
	int (*host_register)(void *memory, size_t bytes, unsigned flags);
	int (*host_unregister)(void *memory);
} cuda;

static const struct {
	void *function;                 /* the address of a member of cuda */
	const char *name;
} names[] = {
	{ &cuda.init, "cuInit" },
	{ &cuda.device_get, "cuDeviceGet" },
	{ &cuda.context_retain, "cuDevicePrimaryCtxRetain" },
	{ &cuda.context_set, "cuCtxSetCurrent" },
	{ &cuda.stream_create, "cuStreamCreate" },
	{ &cuda.stream_synchronize, "cuStreamSynchronize" },
	{ &cuda.alloc, "cuMemAlloc_v2" },
	{ &cuda.fill, "cuMemsetD8_v2" },
	{ &cuda.copy_to_host, "cuMemcpyDtoHAsync_v2" },
	{ &cuda.host_register, "cuMemHostRegister_v2" },
	{ &cuda.host_unregister, "cuMemHostUnregister" },
};

static void *context, *stream;
static uint64_t on_device;              /* what is copied */

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "gpu_cuda: %s failed\n", what);
	exit(1);
}

static void open_device(void)
{
	void *driver = dlopen("libcuda.so.1", RTLD_NOW);
	int device;

	if (!driver) {
		printf("there is no driver of CUDA: %s\n", dlerror());
		exit(SKIPPED);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		void *found = dlsym(driver, names[i].name);

		check(found, names[i].name);
		memcpy(names[i].function, &found, sizeof(found));
	}
	if (cuda.init(0) || cuda.device_get(&device, 0)) {
		printf("CUDA finds no device\n");
		exit(SKIPPED);
	}
	check(!cuda.context_retain(&context, device) && !cuda.context_set(context) && !cuda.stream_create(&stream, 0) &&
	      !cuda.alloc(&on_device, BYTES), "preparing the device");
}

/* ---- the mirror ---- */

static struct {
	struct mirror mirror;
	pthread_mutex_t lock;
	unsigned char *memory;
	bool is_registered;             /* under lock */
} region = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* In the thread that changes memory, which the driver may not know yet. */
static int unregister(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	pthread_mutex_lock(&region.lock);
	if (region.is_registered)
		check(!cuda.context_set(context) && !cuda.stream_synchronize(stream) &&
		      !cuda.host_unregister(region.memory), "unregistering");
	region.is_registered = false;
	pthread_mutex_unlock(&region.lock);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = unregister };

static void copy_locked(void)
{
	if (!region.is_registered)
		check(!cuda.host_register(region.memory, BYTES, 0), "cuMemHostRegister");
	region.is_registered = true;
	check(!cuda.copy_to_host(region.memory, on_device, BYTES, stream), "cuMemcpyDtoHAsync");
}

static void copy(bool has_mirror)
{
	bool stale;

	do {
		uint64_t seq = has_mirror ? mirror_read_begin(&region.mirror) : 0;

		pthread_mutex_lock(&region.lock);
		stale = has_mirror && mirror_read_retry(&region.mirror, seq);
		if (!stale)
			copy_locked();
		pthread_mutex_unlock(&region.lock);
	} while (stale);
}

/* ---- a program that maps other memory at the same address, and has the GPU write there ---- */

static void *map(void *where)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0);
	void *memory = mmap(where, BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);

	check(memory != MAP_FAILED, "mmap");
	return memset(memory, 0, BYTES);
}

static int use_device(const char *who, struct mirror_list *list)
{
	int nr_lost = 0;

	open_device();
	region.memory = map(NULL);
	if (list)
		check(!mirror_register_range(list, &region.mirror, &ops, (uint64_t)(uintptr_t)region.memory,
					     (uint64_t)(uintptr_t)region.memory + BYTES), "registering the mirror");
	for (int i = 1; i <= ROUNDS; i++) {
		check(!cuda.fill(on_device, (unsigned char)i, BYTES), "cuMemsetD8");
		copy(list != NULL);
		check(!cuda.stream_synchronize(stream), "cuStreamSynchronize");
		nr_lost += region.memory[0] != i || region.memory[BYTES - 1] != i;
		map(region.memory);
	}
	printf("%s: %d of %d copies went to memory that was gone\n", who, nr_lost, ROUNDS);
	return nr_lost;
}

int main(void)
{
	pid_t child = fork(); /* before the driver is loaded, which does not survive it */
	struct mirror_list *list;
	int status;

	if (child == 0) {
		use_device("no mirror", NULL);
		return 0;
	}
	check(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child");
	if (WEXITSTATUS(status))
		return WEXITSTATUS(status);
	check(!mirror_list_create(&list, NULL) && !mirror_preload_start(list), "publishing");
	status = use_device("with a mirror", list);
	return status || mirror_preload_stop(list) || mirror_unregister(&region.mirror) || mirror_list_destroy(list);
}
