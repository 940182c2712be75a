/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A list as libfabric's memory monitor: its cache of registrations hears what the publishers of the list announce.
 *
 * libfabric asks its monitor to watch a range when a registration enters the cache.  Here each watched range is a
 * mirror.  When it changes the mirror notifies libfabric, which takes the registration out of the cache, and
 * deregisters it with the device at the next look-up.  So the callback makes a look-up, of memory that is always there:
 * when it returns the device does not reach the memory any more, and the change may be made.
 *
 * libfabric holds a lock while it asks, and takes it when it is notified.  A watch is closed before that: what enters
 * the cache before is thrown out, and what enters later needs a watch of its own, which is refused while brackets are
 * open.  A registration without a watch can be used, but is not kept.
 *
 * The device is verbs_device.c; the provider and the cache are libfabric's.
 */
#include <mirror/mirror.h>
#include <mirror/preload.h>
#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verbs_device.h"

enum { BYTES = 1 << 16, ROUNDS = 100, SKIPPED = 77 };

static struct mirror_list *list;
static struct fid_domain *domain;
static char always[4096];               /* registered as long as the domain is open */
static const void *of_interest;         /* atomic: what is unmapped */
static int nr_registered;               /* registrations of it that the device has; atomic */

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "fabric_monitor: %s failed\n", what);
	exit(1);
}

/* Also inside munmap, from which the compiler expects no calls back into this file. */
void device_registered(const void *address, size_t bytes, bool is_registered)
{
	(void)bytes;
	if (address == __atomic_load_n(&of_interest, __ATOMIC_RELAXED))
		__atomic_fetch_add(&nr_registered, is_registered ? 1 : -1, __ATOMIC_RELAXED);
}

static int registered(void)
{
	return __atomic_load_n(&nr_registered, __ATOMIC_RELAXED);
}

static void look_up(const void *memory, size_t bytes)
{
	struct fid_mr *mr;

	check(!fi_mr_reg(domain, memory, bytes, FI_SEND | FI_RECV, 0, 0, 0, &mr, NULL) && !fi_close(&mr->fid), "fi_mr_reg");
}

/* ---- the monitor ---- */

struct watch {
	struct mirror mirror;
	const char *start, *end;
	bool closed;                    /* atomic: its mirror has begun to notify */
};

static struct fid_mem_monitor monitor;

static void gone(struct mirror *m)
{
	free(mirror_container_of(m, struct watch, mirror));
}

static int notify(struct mirror *m, const struct mirror_range *r)
{
	struct watch *w = mirror_container_of(m, struct watch, mirror);

	if (!(r->flags & MIRROR_RANGE_BLOCKABLE))
		return -EAGAIN;
	__atomic_store_n(&w->closed, true, __ATOMIC_RELEASE);
	monitor.import_ops->notify(&monitor, w->start, (size_t)(w->end - w->start));
	look_up(always, sizeof(always));
	mirror_unregister_async(m, gone);       /* -EALREADY if another change is ahead of this one */
	return 0;
}

static const struct mirror_ops watch_ops = { .size = sizeof(watch_ops), .invalidate_range_start = notify };

static int covers(struct mirror *m, void *wanted)
{
	const struct watch *w = mirror_container_of(m, struct watch, mirror), *other = wanted;

	return w->start <= other->start && w->end >= other->end && !__atomic_load_n(&w->closed, __ATOMIC_ACQUIRE);
}

static int subscribe(struct fid_mem_monitor *unused, const void *address, size_t bytes)
{
	struct watch *w = calloc(1, sizeof(*w));
	const uint64_t start = (uint64_t)(uintptr_t)address;
	uint64_t seq;

	(void)unused;
	if (!w)
		return -FI_ENOMEM;
	w->start = address;
	w->end = w->start + bytes;
	/* Nobody says when a registration leaves the cache, so that there may be a watch already. */
	if (mirror_visit(list, start, start + bytes, covers, w) == 1) {
		free(w);
		return 0;
	}
	if (mirror_register_range(list, &w->mirror, &watch_ops, start, start + bytes)) {
		free(w);
		return -FI_ENOMEM;
	}
	if (mirror_read_try_begin(&w->mirror, &seq))
		return 0;
	mirror_unregister_async(&w->mirror, gone);
	return -FI_EAGAIN;
}

static void unsubscribe(struct fid_mem_monitor *unused, const void *address, size_t bytes)
{
	(void)unused, (void)address, (void)bytes;
}

/* What is in the cache has not been notified. */
static bool is_valid(struct fid_mem_monitor *unused, const void *address, size_t bytes)
{
	(void)unused, (void)address, (void)bytes;
	return true;
}

static int begin(struct fid_mem_monitor *unused)
{
	(void)unused;
	return mirror_preload_start(list);
}

static int close_watch(struct mirror *m, void *unused)
{
	(void)unused;
	mirror_unregister_async(m, gone);
	return 0;
}

static void end(struct fid_mem_monitor *unused)
{
	(void)unused;
	check(!mirror_preload_stop(list) && !mirror_visit(list, 0, 0, close_watch, NULL), "stopping");
}

static struct fi_ops_mem_monitor monitor_ops = { sizeof(monitor_ops), begin, end, subscribe, unsubscribe, is_valid };
static struct fid_mem_monitor monitor = { .fid = { .fclass = FI_CLASS_MEM_MONITOR }, .export_ops = &monitor_ops };

/* ---- a program that registers and unmaps ---- */

static void use_and_unmap(const char *monitor_is)
{
	struct fi_info *hints = fi_allocinfo(), *info;
	struct fid_fabric *fabric;
	struct fid_mr *mr;
	int nr_left = 0;

	check(hints, "fi_allocinfo");
	hints->fabric_attr->prov_name = strdup("verbs");
	hints->ep_attr->type = FI_EP_DGRAM;
	hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->mode = ~UINT64_C(0);
	if (fi_getinfo(FI_VERSION(1, 17), NULL, NULL, 0, hints, &info)) {
		printf("this libfabric has no provider for verbs\n");
		exit(SKIPPED);
	}
	check(!fi_fabric(info->fabric_attr, &fabric, NULL) && !fi_domain(fabric, info, &domain, NULL), "fi_domain");
	check(!fi_mr_reg(domain, always, sizeof(always), FI_SEND | FI_RECV, 0, 0, 0, &mr, NULL), "fi_mr_reg");
	for (int i = 0; i < ROUNDS; i++) {
		void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		check(memory != MAP_FAILED, "mmap");
		__atomic_store_n(&of_interest, memory, __ATOMIC_RELAXED);
		look_up(memory, BYTES);
		look_up(memory, BYTES);         /* a hit */
		check(registered() == 1, "caching");
		check(!munmap(memory, BYTES), "munmap");
		nr_left += registered();
		look_up(always, sizeof(always));
		check(registered() == 0, "deregistering");
	}
	check(!fi_close(&mr->fid) && !fi_close(&domain->fid) && !fi_close(&fabric->fid), "fi_close");
	fi_freeinfo(hints);
	fi_freeinfo(info);
	printf("%s: %d of %d times munmap returned while the device still reached the memory\n", monitor_is, nr_left, ROUNDS);
}

/*
 * libfabric's own monitor patches libc's functions later than the publisher does, which would pass it by.  So the
 * process that shows it has the publisher leave libc alone.
 */
static int show_own(const char *name)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		setenv("MIRROR_PRELOAD_PATCH", "no", 1);
		execl("/proc/self/exe", name, "own", (char *)NULL);
		_exit(127);
	}
	check(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child");
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	int status;

	setenv("FI_PROVIDER", "verbs", 1);
	setenv("FI_VERBS_DGRAM_USE_NAME_SERVER", "0", 1);
	if (argc > 1) {
		use_and_unmap("libfabric's own monitor");
		return 0;
	}
	status = show_own(argv[0]);
	if (status)
		return status;
	check(!mirror_list_create(&list, NULL) && !fi_import(FI_VERSION(1, 17), "mr_cache", NULL, 0, 0, &monitor.fid, NULL),
	      "importing the monitor");
	use_and_unmap("a mirror list");
	check(!fi_close(&monitor.fid) && !mirror_barrier(list) && !mirror_list_destroy(list), "closing");
	return 0;
}
