/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which comparators this build has, in the order in which tables and figures show them
 *
 * One whose library configure did not find is left out and named.  The versions of the outside
 * libraries are given by the build, which asked pkg-config.
 */
#include "comparators.h"

const struct bench_comparator *const bench_comparators[] = {
	&comparator_none,
	&comparator_srcu,
#ifdef HAVE_URCU
	&comparator_urcu_memb,
#endif
	&comparator_rwsem,
	&comparator_pthread_rwlock_readers,
	&comparator_pthread_rwlock_writers,
#ifdef HAVE_CK
	&comparator_ck_rwlock,
#endif
	NULL,
};

const struct bench_absent bench_absent[] = {
#ifndef HAVE_URCU
	{ "urcu-memb", "built without liburcu (Debian: liburcu-dev)" },
#endif
#ifndef HAVE_CK
	{ "ck-rwlock", "built without Concurrency Kit (Debian: libck-dev)" },
#endif
	{ NULL, NULL },
};

unsigned bench_nr_comparators(void)
{
	unsigned n = 0;

	while (bench_comparators[n])
		n++;
	return n;
}
