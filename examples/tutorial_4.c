/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Step 4: sums come and go while another thread publishes; after unregister each is freed. */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUMS = 500 };
static uint64_t words[8];

struct sum {
	struct mirror mirror;
	bool valid;             /* atomic: a callback of another thread clears it */
};

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	__atomic_store_n(&((struct sum *)m)->valid, false, __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

static struct mirror_list *list;
static bool stop;               /* atomic */

static void *publish(void *unused)
{
	const uint64_t start = (uint64_t)(uintptr_t)words;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (mirror_invalidate_range(list, start, start + sizeof(words)))
			return &stop;
	return unused;
}

int main(void)
{
	unsigned freed = 0;
	pthread_t thread;
	void *failed;

	if (mirror_list_create(&list, NULL) || pthread_create(&thread, NULL, publish, NULL))
		return 1;
	for (int i = 0; i < SUMS; i++) {
		struct sum *sum = calloc(1, sizeof(*sum));

		if (!sum || mirror_register(list, &sum->mirror, &ops))
			return 1;
		if (mirror_unregister(&sum->mirror))    /* waits if drop() runs for it just now */
			return 1;
		free(sum);
		freed++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &failed);
	printf("%u sums freed while drop() was being called\n", freed);
	return failed || mirror_list_destroy(list);
}
