/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Step 3: another thread changes the words, and a sum is installed only if nothing changed meanwhile. */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>

enum { WORDS = 8, CHANGES = 1000 };
static uint64_t words[WORDS];           /* atomic: they are read while they are written */

struct sum {
	struct mirror mirror;
	pthread_mutex_t lock;           /* guards valid and value */
	bool valid;
	uint64_t value;
};

static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct sum *sum = (struct sum *)m;

	(void)r;
	pthread_mutex_lock(&sum->lock);
	sum->valid = false;
	pthread_mutex_unlock(&sum->lock);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

static uint64_t get(struct sum *sum)
{
	uint64_t seq, value;

	pthread_mutex_lock(&sum->lock);
	while (!sum->valid) {
		pthread_mutex_unlock(&sum->lock);
		seq = mirror_read_begin(&sum->mirror);
		value = 0;
		for (int i = 0; i < WORDS; i++)
			value += __atomic_load_n(&words[i], __ATOMIC_RELAXED);
		pthread_mutex_lock(&sum->lock);
		if (!mirror_read_retry(&sum->mirror, seq)) {
			sum->value = value;
			sum->valid = true;
		}
	}
	value = sum->value;
	pthread_mutex_unlock(&sum->lock);
	return value;
}

/* All words get the same number, so that a sum is a multiple of WORDS at every moment outside a bracket. */
static void *change(void *arg)
{
	const uint64_t start = (uint64_t)(uintptr_t)words, end = start + sizeof(words);

	for (uint64_t n = 1; n <= CHANGES; n++) {
		struct mirror_range r = { .start = start, .end = end, .flags = MIRROR_RANGE_BLOCKABLE };

		if (mirror_invalidate_range_start(arg, &r))
			return arg;
		for (int i = 0; i < WORDS; i++)
			__atomic_store_n(&words[i], n, __ATOMIC_RELAXED);
		mirror_invalidate_range_end(arg, &r);
	}
	return NULL;
}

int main(void)
{
	static struct sum sum = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct mirror_list *list;
	unsigned wrong = 0;
	pthread_t thread;
	void *failed;

	if (mirror_list_create(&list, NULL) || mirror_register(list, &sum.mirror, &ops) ||
	    pthread_create(&thread, NULL, change, list))
		return 1;
	for (int i = 0; i < CHANGES; i++)
		wrong += get(&sum) % WORDS != 0;
	pthread_join(thread, &failed);
	printf("%u wrong sums; the last is %llu\n", wrong, (unsigned long long)get(&sum));
	return failed || wrong || mirror_unregister(&sum.mirror) || mirror_list_destroy(list);
}
