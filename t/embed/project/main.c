/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A program of somebody else's: it exits with 0 if the library that it was built on works. */
#ifdef VENDORED
#include "mirror-amalgamation.h"
#else
#include <mirror/mirror.h>
#include <mirror/usrcu.h>
#include <mirror/version.h>
#endif

static int nr_starts;

static int start(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	nr_starts++;
	return 0;
}

int main(void)
{
	static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = start };
	struct mirror_list *list;
	struct usrcu *domain;
	struct mirror m;

	if (mirror_version() != MIRROR_VERSION || mirror_list_create(&list, NULL) || mirror_register(list, &m, &ops) ||
	    mirror_invalidate_range(list, 0, 4096) || mirror_unregister(&m) || mirror_list_destroy(list))
		return 1;
	if (usrcu_create(&domain, NULL))
		return 1;
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	return nr_starts != 1 || usrcu_synchronize(domain) || usrcu_destroy(domain);
}
