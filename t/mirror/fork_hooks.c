/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * S10 for the program's own fork hooks: they publish, register and unregister, before the fork, in the parent, and in the
 * child; registered before the library is loaded, and after
 *
 * This program is not linked with the library: it loads it between the two.
 */
#include "tap.h"

#include <dlfcn.h>
#include <mirror/mirror.h>
#include <sys/wait.h>

static struct {
	int (*create)(struct mirror_list **list, const struct mirror_list_attr *attr);
	int (*destroy)(struct mirror_list *list);
	int (*register_range)(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops, uint64_t start,
			      uint64_t end);
	int (*unregister)(struct mirror *m);
	int (*unregister_async)(struct mirror *m, void (*done)(struct mirror *m));
	int (*barrier)(struct mirror_list *list);
	int (*invalidate)(struct mirror_list *list, uint64_t start, uint64_t end);
} mirror;

static struct mirror_list *list;

static unsigned heard, nr_done;

static int hear(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	__atomic_fetch_add(&heard, 1, __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops hear_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = hear,
};

static void done(struct mirror *m)
{
	(void)m;
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELAXED);
}

/* No other thread has a done() to run: it might wait for the fork, and a barrier in a hook for it. */
static bool is_alone = true;

/* What a hook does: 0, or the number of the step that fails. */
static int publish(void)
{
	return mirror.invalidate(list, 0, 10) ? 1 : 0;
}

static int come_and_go(void)
{
	struct mirror m;

	if (mirror.register_range(list, &m, &hear_ops, 5, 6))
		return 2;
	if (mirror.invalidate(list, 0, 10))
		return 3;
	if (mirror.unregister(&m))
		return 4;
	if (!is_alone)
		return 0;
	if (mirror.register_range(list, &m, &hear_ops, 5, 6) || mirror.unregister_async(&m, done))
		return 5;
	return mirror.barrier(list) ? 6 : 0;
}

static int new_list(void)
{
	struct mirror_list *own;

	if (mirror.create(&own, NULL))
		return 7;
	return mirror.invalidate(own, 0, 1) || mirror.destroy(own) ? 8 : 0;
}

static int (*const uses[])(void) = { publish, come_and_go, new_list };
static const char *const use_names[] = { "publishes", "registers and unregisters", "makes and destroys a list" };
enum { NR_USES = sizeof(uses) / sizeof(uses[0]) };

/* ---- the hooks ---- */

enum when { PREPARE, PARENT, CHILD, NR_WHENS };
static const char *const when_names[] = { "before the fork", "in the parent", "in the child" };
enum order { EARLY, LATE, NR_ORDERS };
static const char *const order_names[] = { "before", "after" };

/* Which hook acts, how, and with what result. */
static int (*use)(void);
static enum when when;
static enum order order;
static int result, nr_ran;

static void hook(enum order o, enum when w)
{
	if (!use || o != order || w != when)
		return;
	nr_ran++;
	result = use();
}

#define HOOK(name, o, w) static void name(void) { hook(o, w); }
HOOK(early_prepare, EARLY, PREPARE)
HOOK(early_parent, EARLY, PARENT)
HOOK(early_child, EARLY, CHILD)
HOOK(late_prepare, LATE, PREPARE)
HOOK(late_parent, LATE, PARENT)
HOOK(late_child, LATE, CHILD)

/* ---- other threads ---- */

static bool stop;

static void *churn(void *arg)
{
	struct mirror m;
	int rc = 0;

	while (!rc && !__atomic_load_n(&stop, __ATOMIC_RELAXED))
		rc = mirror.register_range(list, &m, &hear_ops, 0, 8) || mirror.invalidate(list, 0, 1) ||
		     mirror.unregister(&m) || mirror.register_range(list, &m, &hear_ops, 0, 8) ||
		     mirror.unregister_async(&m, done) || mirror.barrier(list);
	return rc ? arg : NULL;
}

static void *load(const char *name, void *library)
{
	void *address = dlsym(library, name);

	if (!address)
		bail_out("%s: %s", name, dlerror());
	return address;
}

/* One fork: 0, or what went wrong. */
static int fork_once(void)
{
	int status = -1;
	pid_t pid;

	result = 0;
	nr_ran = 0;
	pid = fork();
	if (pid == 0) {
		alarm(10);
		if (when == PARENT ? nr_ran != 0 : nr_ran != 1)
			_exit(90);
		for (int i = 0; i < NR_USES && !result; i++)
			result = uses[i]();
		_exit(result);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bail_out("no child");
	if (!WIFEXITED(status))
		return 100 + WTERMSIG(status);
	if (WEXITSTATUS(status) || result)
		return WEXITSTATUS(status) ? WEXITSTATUS(status) : result;
	return when == CHILD ? 0 : nr_ran - 1;
}

static void test_hooks(const char *beside, unsigned nr)
{
	for (order = EARLY; order < NR_ORDERS; order++)
		for (when = PREPARE; when < NR_WHENS; when++)
			for (int i = 0; i < NR_USES; i++) {
				int rc = 0;

				use = uses[i];
				for (unsigned k = 0; k < nr && !rc; k++)
					rc = fork_once();
				use = NULL;
				is_int(rc, 0, "S10: a hook registered %s the library %s %s%s (0, or the step that fails)",
				       order_names[order], use_names[i], when_names[when], beside);
			}
}

static void test_beside_threads(void)
{
	pthread_t threads[2];
	void *bad;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(1, "a sanitizer's allocator may be locked for ever in the child");
	return;
#endif
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, churn, list))
			bail_out("no thread");
	is_alone = false;
	test_hooks(", beside threads that do so", (unsigned)scaled(10));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &bad);
		ok(!bad, "S10: ... which go on");
	}
}

int main(void)
{
	const char *top = getenv("top_builddir");
	void *library;
	char path[4096];

	snprintf(path, sizeof(path), "%s/.libs/libmirror.so", top ? top : ".");
	if (access(path, R_OK))
		skip_all("there is no shared library at %s", path);
	pthread_atfork(early_prepare, early_parent, early_child);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		bail_out("%s", dlerror());
	pthread_atfork(late_prepare, late_parent, late_child);
	*(void **)&mirror.create = load("mirror_list_create", library);
	*(void **)&mirror.destroy = load("mirror_list_destroy", library);
	*(void **)&mirror.register_range = load("mirror_register_range", library);
	*(void **)&mirror.unregister = load("mirror_unregister", library);
	*(void **)&mirror.unregister_async = load("mirror_unregister_async", library);
	*(void **)&mirror.barrier = load("mirror_barrier", library);
	*(void **)&mirror.invalidate = load("mirror_invalidate_range", library);
	if (mirror.create(&list, NULL))
		bail_out("no list");

	test_hooks("", 1);
	test_beside_threads();
	is_int(mirror.destroy(list), 0, "M17: the list can be destroyed");
	return done_testing();
}
