/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The library loaded and unloaded in a loop, while threads that have used it live on: its
 * thread-local words and its fork hooks are in use, so that the last dlclose must leave it where
 * it is (S1).
 */
#include "tap.h"

#include <dlfcn.h>
#include <mirror/usrcu.h>

static void *library;
static struct gate leave;

static void *symbol(const char *name)
{
	void *address = dlsym(library, name);

	if (address == NULL)
		bail_out("%s: %s", name, dlerror());
	return address;
}

static struct gate inside;

/* Through pointers alone: this program is not linked with the library. */
static void *use(void *domain)
{
	int (*lock)(struct usrcu *) = (int (*)(struct usrcu *))symbol("usrcu_read_lock");
	void (*unlock)(struct usrcu *, int) = (void (*)(struct usrcu *, int))symbol("usrcu_read_unlock");

	unlock(domain, lock(domain));
	gate_open(&inside);
	gate_wait(&leave);
	return domain;
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[4096];
	pthread_t threads[20];
	int rc = 0, nr = 0;

	snprintf(path, sizeof(path), "%s/.libs/libmirror.so", top != NULL ? top : ".");
	if (access(path, R_OK) != 0)
		skip_all("there is no shared library at %s", path);
	gate_init(&leave);
	for (int i = 0; i < 20; i++) {
		int (*create)(struct usrcu **, const struct usrcu_attr *), (*destroy)(struct usrcu *);
		int (*synchronize)(struct usrcu *);
		struct usrcu *domain;

		library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (library == NULL)
			bail_out("%s", dlerror());
		create = (int (*)(struct usrcu **, const struct usrcu_attr *))symbol("usrcu_create");
		destroy = (int (*)(struct usrcu *))symbol("usrcu_destroy");
		synchronize = (int (*)(struct usrcu *))symbol("usrcu_synchronize");
		rc |= create(&domain, NULL);
		gate_init(&inside);
		if (pthread_create(&threads[nr], NULL, use, domain) != 0)
			bail_out("no thread");
		nr++;
		gate_wait(&inside);
		rc |= synchronize(domain) | destroy(domain) | dlclose(library);
	}
	is_int(rc, 0, "S1: loaded, used by a thread that stays, and unloaded, 20 times");
	gate_open(&leave);
	while (nr-- > 0)
		pthread_join(threads[nr], NULL);
	ok(true, "S1: the threads exit after the last unloading");
	return done_testing();
}
