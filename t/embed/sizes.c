/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Structures that begin with their size: one that no version of the library has is refused, and nothing is made.  Larger
 * and smaller ones of other versions: t/mirror/interface.
 */
#include "tap.h"

#include <mirror/mirror.h>
#include <mirror/usrcu.h>
#include <mirror/version.h>

#include <errno.h>

static int domain_of(size_t size)
{
	struct usrcu_attr attr = { .size = size };
	struct usrcu *domain = NULL;
	int rc = usrcu_create(&domain, &attr);

	return rc ? rc : usrcu_destroy(domain);
}

static int list_of(size_t size)
{
	struct mirror_list_attr attr = { .size = size };
	struct mirror_list *list = NULL;
	int rc = mirror_list_create(&list, &attr);

	return rc ? rc : mirror_list_destroy(list);
}

static int sync_of(size_t size)
{
	struct mirror_sync sync = mirror_sync_srcu;
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = &sync };
	struct mirror_list *list = NULL;
	int rc;

	sync.size = size;
	rc = mirror_list_create(&list, &attr);
	return rc ? rc : mirror_list_destroy(list);
}

static int ops_of(size_t size)
{
	struct mirror_ops ops = { .size = size };
	struct mirror_list *list = NULL;
	struct mirror m;
	int rc;

	if (mirror_list_create(&list, NULL))
		bail_out("no list");
	rc = mirror_register(list, &m, &ops);
	if (!rc)
		rc = mirror_unregister(&m);
	if (mirror_list_destroy(list))
		bail_out("something was registered");
	return rc;
}

static int stats_of(size_t size)
{
	struct mirror_list_stats stats = { .size = size };
	struct mirror_list *list = NULL;
	int rc;

	if (mirror_list_create(&list, NULL))
		bail_out("no list");
	rc = mirror_list_get_stats(list, &stats);
	mirror_list_destroy(list);
	return rc;
}

static int build_of(size_t size)
{
	struct mirror_build build = { .size = size };

	return mirror_get_build(&build);
}

int main(void)
{
	static const struct {
		const char *name;
		size_t size;
		int (*of)(size_t size);
		bool exact;             /* there is one version yet */
	} structures[] = {
		{ "usrcu_attr", sizeof(struct usrcu_attr), domain_of, true },
		{ "mirror_list_attr", sizeof(struct mirror_list_attr), list_of, false },
		{ "mirror_sync", sizeof(struct mirror_sync), sync_of, false },
		{ "mirror_ops", sizeof(struct mirror_ops), ops_of, false },
		{ "mirror_list_stats", sizeof(struct mirror_list_stats), stats_of, false },
		{ "mirror_build", sizeof(struct mirror_build), build_of, true },
	};
	struct mirror_build build = { .size = sizeof(build) };

	for (size_t i = 0; i < sizeof(structures) / sizeof(structures[0]); i++) {
		is_int(structures[i].of(structures[i].size), 0, "struct %s of its own size", structures[i].name);
		is_int(structures[i].of(0), -EINVAL, "... of no size");
		is_int(structures[i].of(structures[i].size - 1), -EINVAL, "... of less than its size");
		if (structures[i].exact)
			is_int(structures[i].of(structures[i].size + 8), -EINVAL, "... of a later version's size");
	}
	is_int(ops_of(offsetof(struct mirror_ops, finish)), 0, "struct mirror_ops that ends before finish");

	is_int(mirror_get_build(NULL), -EINVAL, "no structure for the build");
	ok(mirror_version() == MIRROR_VERSION && mirror_get_build(&build) == 0 && !strcmp(build.version, MIRROR_VERSION_STRING),
	   "the library says its version");
	ok(!strcmp(build.fences, "membarrier") || !strcmp(build.fences, "full"), "... its fences: %s", build.fences);
	is_int(strcmp(build.tls_model, MIRROR_TLS_MODEL), 0, "... its TLS model: %s", build.tls_model);
#ifdef MIRROR_DEBUG
	ok(build.assertions, "... and that it has assertions");
#else
	ok(!build.assertions, "... and that it has no assertions");
#endif
	return done_testing();
}
