/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

#include <mirror/mirror.h>
#include <stdio.h>

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	printf("drop what we cached of [%#llx, %#llx)\n",
	       (unsigned long long)r->start, (unsigned long long)r->end);
	return 0; /* the change waits for us, and may be made now */
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

int main(void)
{
	struct mirror cache = { 0 };    /* embed it in your own object */
	struct mirror_list *list;

	if (mirror_list_create(&list, NULL) || mirror_register(list, &cache, &ops))
		return 1;
	mirror_invalidate_range(list, 0x1000, 0x3000);  /* any thread, no lock */
	if (mirror_unregister(&cache))                  /* waits for our callback alone */
		return 1;
	return mirror_list_destroy(list);               /* cache may be freed */
}
