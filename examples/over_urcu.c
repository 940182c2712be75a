/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A mirror list over liburcu, in a program whose threads are registered with it already. */
#include <mirror/urcu.h>
#include <stdio.h>
#include <urcu/urcu-memb.h>

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	printf("within a read section of liburcu: drop [%#llx, %#llx)\n", (unsigned long long)r->start,
	       (unsigned long long)r->end);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

int main(void)
{
	const struct mirror_list_attr attr = { .size = sizeof(attr), .sync = &mirror_sync_urcu_memb };
	struct mirror cache = { 0 };
	struct mirror_list *list;
	int failed;

	urcu_memb_register_thread();
	failed = mirror_list_create(&list, &attr) || mirror_register(list, &cache, &ops) ||
		 mirror_invalidate_range(list, 0x1000, 0x3000) || mirror_unregister(&cache) ||
		 mirror_list_destroy(list);
	urcu_memb_unregister_thread();
	return failed;
}
