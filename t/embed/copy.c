/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A program, or with COPY a plug-in, that contains the library in two files.  usage: host PLUGIN...
 *
 * Each tells where its copy is, publishes on a list of its own, and runs sections and grace periods of a domain of its
 * own.  A section of one copy's domain is known to that copy alone.  The exit status is 0 if all copies differ.
 */
#include "mirror-amalgamation.h"

#include <dlfcn.h>
#include <stdio.h>

/* What a copy gives. */
struct copy {
	const void *where;
	int (*use)(void);
};

static int nr_starts;

static int start(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	nr_starts++;
	return 0;
}

static int use_list(void)
{
	static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = start };
	struct mirror_list *list;
	struct mirror m;
	int before = nr_starts;

	if (mirror_list_create(&list, NULL) || mirror_register(list, &m, &ops) ||
	    mirror_invalidate_range(list, 0, 4096) || mirror_unregister(&m) ||
	    mirror_invalidate_range(list, 0, 4096) || mirror_list_destroy(list))
		return 1;
	return nr_starts != before + 1;
}

static int use_domain(void)
{
	struct usrcu *domain;
	int token, failed;

	if (usrcu_create(&domain, NULL))
		return 1;
	token = usrcu_read_lock(domain);
	failed = usrcu_synchronize(domain) == 0;        /* -EDEADLK */
	usrcu_read_unlock(domain, token);
	return failed || usrcu_synchronize(domain) || usrcu_destroy(domain);
}

static int use(void)
{
	return use_list() || use_domain();
}

struct copy copy_of_library(void);
#ifdef COPY
__attribute__((visibility("default")))
#endif
struct copy copy_of_library(void)
{
	return (struct copy){ (const void *)(uintptr_t)usrcu_create, use };
}

#ifndef COPY
int main(int argc, char **argv)
{
	struct copy copies[8] = { copy_of_library() };

	for (int i = 1; i < argc && i < 8; i++) {
		void *plugin = dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL);
		struct copy (*give)(void) = NULL;

		if (plugin)
			*(void **)&give = dlsym(plugin, "copy_of_library");
		if (!give) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		copies[i] = give();
		for (int j = 0; j < i; j++)
			if (copies[j].where == copies[i].where) {
				fprintf(stderr, "copies %d and %d are one\n", j, i);
				return 1;
			}
	}
	/* In turns, so that a copy that touched another's state would be noticed. */
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < argc && i < 8; i++)
			if (copies[i].use()) {
				fprintf(stderr, "copy %d fails\n", i);
				return 1;
			}
	return 0;
}
#endif
