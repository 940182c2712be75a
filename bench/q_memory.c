/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * memory: what does the library take beyond the caller's own structures?
 *
 * Mirrors are counted exactly, by an allocator given to the list: what it holds for 100,000 mirrors of the
 * whole list, in order, and for as many range mirrors, registered in order and in random order.
 * What a domain takes is what malloc has handed out for 256 of them.  What a thread takes, and a thread in each
 * further domain, is how the process's resident memory differs between three crowds of threads:
 * those that do nothing, that use one domain, that use 17.  Pages are whole: the last figures are of
 * that precision.
 */
#include "crew.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mirror/usrcu.h>

#include "comparators.h"
#include "crowd.h"

enum { NR_MIRRORS = 100000, NR_DOMAINS = 256, NR_THREADS = 500, NR_USED = 17 };

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

/* ---- mirrors ---- */

static void *counted_alloc(void *arg, size_t bytes)
{
	size_t *held = arg;
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (memory) {
		*held += bytes;
		memset(memory, 0, bytes);
	}
	return memory;
}

static void counted_free(void *arg, void *memory, size_t bytes)
{
	size_t *held = arg;

	*held -= bytes;
	free(memory);
}

enum order { WHOLE_LIST, ASCENDING, RANDOM };

/* A permutation: an odd factor, below a power of two; what lies beyond is left out. */
static uint64_t place_of(uint64_t i, enum order order)
{
	return order == RANDOM ? i * 0x9e3779b1 % (1 << 20) : i;
}

static int measure_mirrors(const struct bench_comparator *comparator, enum order order, const char *metric,
			   json_t *metrics)
{
	struct mirror *mirrors = calloc(NR_MIRRORS, sizeof(mirrors[0]));
	struct mirror **pointers = calloc(NR_MIRRORS, sizeof(pointers[0]));
	size_t held = 0, empty;
	struct mirror_allocator allocator = { counted_alloc, counted_free, &held };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = comparator->sync, .allocator = &allocator };
	struct mirror_list *list;
	int err = -ENOMEM;
	size_t nr = 0;

	if (!mirrors || !pointers)
		goto out;
	err = mirror_list_create(&list, &attr);
	if (err)
		goto out;
	empty = held;
	for (; nr < NR_MIRRORS && !err; nr += !err) {
		uint64_t start = 2 * 4096 * place_of(nr, order);

		pointers[nr] = &mirrors[nr];
		err = order == WHOLE_LIST ? mirror_register(list, &mirrors[nr], &ops) :
					    mirror_register_range(list, &mirrors[nr], &ops, start, start + 4096);
	}
	if (!err) {
		json_object_set_new(metrics, metric, json_real((double)(held - empty) / NR_MIRRORS));
		json_object_set_new(metrics, "bytes_of_empty_list", json_integer((json_int_t)empty));
	}
	mirror_unregister_many(pointers, nr);
	mirror_list_destroy(list);
out:
	free(pointers);
	free(mirrors);
	return err;
}

/* ---- domains and threads ---- */

static int create_domains(struct usrcu **domains, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int err = usrcu_create(&domains[i], NULL);

		if (err) {
			while (i > 0)
				usrcu_destroy(domains[--i]);
			return err;
		}
	}
	return 0;
}

static int measure_domains(json_t *metrics)
{
	struct usrcu *domains[NR_DOMAINS];
	size_t before = mallinfo2().uordblks;
	int err = create_domains(domains, NR_DOMAINS);

	if (err)
		return err;
	json_object_set_new(metrics, "bytes_per_domain",
			    json_real((double)(mallinfo2().uordblks - before) / NR_DOMAINS));
	for (unsigned i = 0; i < NR_DOMAINS; i++)
		usrcu_destroy(domains[i]);
	return 0;
}

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long all = 0, resident = 0;

	if (file && fscanf(file, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

struct visit {
	struct usrcu *domains[NR_USED];
	unsigned nr;
};

static void use_domains(void *arg)
{
	struct visit *visit = arg;

	for (unsigned i = 0; i < visit->nr; i++)
		usrcu_read_unlock(visit->domains[i], usrcu_read_lock(visit->domains[i]));
}

static void nothing(void *arg)
{
	(void)arg;
}

static int resident_with(struct visit *visit, unsigned nr, size_t *bytes)
{
	struct crowd *crowd;
	int err;

	visit->nr = nr;
	err = crowd_gather(&crowd, NR_THREADS, use_domains, nothing, visit);
	if (err)
		return err;
	*bytes = resident_bytes();
	crowd_disperse(crowd);
	return 0;
}

static int measure_threads(json_t *metrics)
{
	struct visit visit;
	size_t none, one, many;
	int err = create_domains(visit.domains, NR_USED);

	if (err)
		return err;
	/* Once for the C library, which keeps the stacks. */
	err = resident_with(&visit, 0, &none);
	if (!err)
		err = resident_with(&visit, 0, &none);
	if (!err)
		err = resident_with(&visit, 1, &one);
	if (!err)
		err = resident_with(&visit, NR_USED, &many);
	if (!err) {
		json_object_set_new(metrics, "bytes_per_thread", json_real(((double)one - (double)none) / NR_THREADS));
		json_object_set_new(metrics, "bytes_per_thread_and_domain",
				    json_real(((double)many - (double)one) / NR_THREADS / (NR_USED - 1)));
	}
	for (unsigned i = 0; i < NR_USED; i++)
		usrcu_destroy(visit.domains[i]);
	return err;
}

static int run(const struct bench_case *c, const struct bench_comparator *comparator, json_t *metrics)
{
	int err;

	(void)c;
	err = measure_threads(metrics);
	if (!err)
		err = measure_domains(metrics);
	if (!err)
		err = measure_mirrors(comparator, WHOLE_LIST, "bytes_per_mirror", metrics);
	if (!err)
		err = measure_mirrors(comparator, ASCENDING, "bytes_per_range_mirror_in_order", metrics);
	if (!err)
		err = measure_mirrors(comparator, RANDOM, "bytes_per_range_mirror", metrics);
	json_object_set_new(metrics, "bytes_of_struct_mirror", json_integer((json_int_t)sizeof(struct mirror)));
	return !err && bench_interrupted ? -EINTR : err;
}

static int plan(const struct bench_config *config, struct bench_plan *plan_)
{
	struct bench_case c = {
		.publishers = BENCH_UNUSED,
		.mirrors = BENCH_UNUSED,
		.expected_ns = 300 * NS_PER_MS,
	};

	(void)config;
	return bench_plan_add(plan_, &question_memory, &c);
}

static const struct bench_comparator *const comparators[] = {
	&comparator_srcu,
	NULL,
};

const struct bench_question question_memory = {
	.name = "memory",
	.title = "How much memory does the library take?",
	.how_to_read =
		"Bytes beyond the caller's own structures; struct mirror itself stands in the caller's. Mirrors are counted "
		"through the list's allocator, with 100,000 of them. A thread's share is the difference in resident "
		"memory between 500 threads that use a domain and 500 that do not; whole pages count.",
	.comparators = comparators,
	.plan = plan,
	.run = run,
};
