/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Step 5: a sum that is invalidated leaves by itself, out of its own callback, and is freed by whoever is last. */
#include <errno.h>
#include <mirror/mirror.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t words[8];

struct sum {
	struct mirror mirror;
	uint64_t value;
};

static void gone(struct mirror *m)
{
	printf("the sum %llu is freed\n", (unsigned long long)((struct sum *)m)->value);
	free(m);
}

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	printf("in its own callback unregister says: %s\n", mirror_unregister(m) == -EDEADLK ? "-EDEADLK" : "?");
	return mirror_unregister_async(m, gone);        /* 0: gone() is called once this has returned */
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

int main(void)
{
	const uint64_t start = (uint64_t)(uintptr_t)words;
	struct sum *sum = calloc(1, sizeof(*sum));
	struct mirror_list *list;

	if (!sum || mirror_list_create(&list, NULL) || mirror_register(list, &sum->mirror, &ops))
		return 1;
	sum->value = 10;
	if (mirror_invalidate_range(list, start, start + sizeof(words)))
		return 1;
	if (mirror_barrier(list))       /* every gone() has returned */
		return 1;
	printf("the list is empty\n");
	return mirror_list_destroy(list);
}
