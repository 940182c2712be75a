/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Step 2: each sum is of a range, and hears of changes in it alone. */
#include <mirror/mirror.h>
#include <stdio.h>

enum { WORDS = 8, HALF = WORDS / 2 };
static uint64_t words[WORDS] = { 1, 2, 3, 4, 10, 20, 30, 40 };

struct sum {
	struct mirror mirror;
	int first;              /* the sum of words [first, first + HALF) */
	bool valid;
	uint64_t value;
};

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	((struct sum *)m)->valid = false;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

static uint64_t get(struct sum *sum)
{
	if (!sum->valid) {
		sum->value = 0;
		for (int i = 0; i < HALF; i++)
			sum->value += words[sum->first + i];
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
	words[i] = word;
	mirror_invalidate_range_end(list, &r);
	return 0;
}

static int watch(struct mirror_list *list, struct sum *sum)
{
	return mirror_register_range(list, &sum->mirror, &ops, address(sum->first), address(sum->first + HALF));
}

int main(void)
{
	struct sum low = { .first = 0 }, high = { .first = HALF };
	struct mirror_list *list;

	if (mirror_list_create(&list, NULL) || watch(list, &low) || watch(list, &high))
		return 1;
	printf("low %llu\n", (unsigned long long)get(&low));
	printf("high %llu\n", (unsigned long long)get(&high));
	if (change(list, 0, 100))       /* of the low half */
		return 1;
	printf("low %llu\n", (unsigned long long)get(&low));
	printf("high %llu\n", (unsigned long long)get(&high));
	return mirror_unregister(&low.mirror) || mirror_unregister(&high.mirror) || mirror_list_destroy(list);
}
