/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Step 1: a cached sum hears that its words change. */
#include <mirror/mirror.h>
#include <stdio.h>

enum { WORDS = 4 };
static uint64_t words[WORDS] = { 1, 2, 3, 4 };

struct sum {
	struct mirror mirror;   /* first, so that a pointer to it is one to the sum */
	bool valid;
	uint64_t value;
};

static int drop(struct mirror *m, const struct mirror_range *r)
{
	struct sum *sum = (struct sum *)m;

	(void)r;
	sum->valid = false;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

static uint64_t get(struct sum *sum)
{
	if (!sum->valid) {
		sum->value = 0;
		for (int i = 0; i < WORDS; i++)
			sum->value += words[i];
		sum->valid = true;
		printf("computed: ");
	}
	return sum->value;
}

static uint64_t address(int i)
{
	return (uint64_t)(uintptr_t)&words[i];
}

static int change(struct mirror_list *list, int i, uint64_t word)
{
	struct mirror_range r = { .start = address(i), .end = address(i + 1), .flags = MIRROR_RANGE_BLOCKABLE };
	int err = mirror_invalidate_range_start(list, &r);

	if (err)
		return err;
	words[i] = word;        /* every sum of it is dropped by now */
	mirror_invalidate_range_end(list, &r);
	return 0;
}

int main(void)
{
	struct mirror_list *list;
	struct sum sum = { 0 };

	if (mirror_list_create(&list, NULL) || mirror_register(list, &sum.mirror, &ops))
		return 1;
	printf("%llu\n", (unsigned long long)get(&sum));
	printf("%llu\n", (unsigned long long)get(&sum));
	if (change(list, 0, 100))
		return 1;
	printf("%llu\n", (unsigned long long)get(&sum));
	return mirror_unregister(&sum.mirror) || mirror_list_destroy(list);
}
