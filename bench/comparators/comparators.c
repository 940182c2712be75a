/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which comparators this build has, in the order in which tables and figures show them
 *
 * One whose library configure did not find is left out and named.  The versions of the outside
 * libraries are given by the build, which asked pkg-config.
 */
#include "comparators.h"

#include <string.h>

const struct bench_comparator *const bench_comparators[] = {
	&comparator_bare,
	&comparator_no_sync,
	&comparator_srcu,
	&comparator_srcu_full_fence,
	&comparator_srcu_domain,
#ifdef HAVE_URCU
	&comparator_urcu_memb,
	&comparator_urcu_mb,
	&comparator_urcu_bp,
	&comparator_urcu_qsbr,
#endif
#ifdef HAVE_CK
	&comparator_ck_epoch,
#endif
	&comparator_rwsem,
	&comparator_pthread_mutex,
	&comparator_pthread_rwlock_readers,
	&comparator_pthread_rwlock_writers,
#ifdef HAVE_CK
	&comparator_ck_rwlock,
	&comparator_ck_pflock,
	&comparator_ck_brlock,
	&comparator_ck_bytelock,
#endif
	&comparator_list_rwlock,
#ifdef HAVE_URCU
	&comparator_list_urcu,
#endif
	NULL,
};

const struct bench_absent bench_absent[] = {
#ifndef HAVE_URCU
	{ "urcu-memb, urcu-mb, urcu-bp, urcu-qsbr, list-urcu", "built without liburcu (Debian: liburcu-dev)" },
#endif
#ifndef HAVE_CK
	{ "ck-epoch, ck-rwlock, ck-pflock, ck-brlock, ck-bytelock", "built without Concurrency Kit (Debian: libck-dev)" },
#endif
#ifndef HAVE_UCX
	{ "ucm, ucs-rcache, ucs-pgtable", "built without UCX (Debian: libucx-dev)" },
#endif
	{ NULL, NULL },
};

int bench_list_create(struct mirror_list **list, const struct bench_comparator *comparator)
{
	struct mirror_list_attr attr = {
		.size = sizeof(attr),
		.name = comparator->name,
		.sync = comparator->sync,
		.flags = comparator->list_flags,
	};
	int err = mirror_list_create(list, &attr);

	if (err)
		bench_complain("cannot make a list over %s: %s", comparator->name, strerror(-err));
	return err;
}
