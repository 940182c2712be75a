/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M9, M16, M17: bad input and calls out of turn get their error and change nothing; over every sync. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static struct probe a, b, c;

static void probes(void)
{
	a = (struct probe){ .name = 'A' };
	b = (struct probe){ .name = 'B' };
	c = (struct probe){ .name = 'C' };
	trace[0] = '\0';
}

/* The list still works as a list of these two. */
static void still_works(struct mirror_list *list, const char *after)
{
	trace[0] = '\0';
	mirror_invalidate_range(list, 0, 1);
	traced("ABba", "M16: after %s the list is as it was", after);
}

static void *no_alloc(void *arg, size_t bytes)
{
	(void)arg;
	(void)bytes;
	return NULL;
}

static void test_create(void)
{
	static const struct mirror_allocator half = { .alloc = no_alloc };
	static uint64_t nowhere;
	struct mirror_list *const nothing = (struct mirror_list *)(void *)&nowhere;
	struct mirror_list *list = nothing;
	struct mirror_list_attr attr = { .size = sizeof(attr) };
	struct mirror_sync sync = *v->sync;

	is_int(mirror_list_create(NULL, NULL), -EINVAL, "M16: create: no place for the list");
	is_int(mirror_list_create(NULL, &attr), -EINVAL, "M16: create: the same with attributes");
	attr.size = sizeof(attr) - 1;
	is_int(mirror_list_create(&list, &attr), -EINVAL, "M16: create: attributes too small");
	attr.size = 0;
	is_int(mirror_list_create(&list, &attr), -EINVAL, "M16: create: attributes without a size");
	attr.size = sizeof(attr);
	for (int bit = 2; bit < 32; bit++) {
		attr.flags = 1u << bit;
		if (mirror_list_create(&list, &attr) != -EINVAL)
			break;
	}
	is_int(attr.flags, 1u << 31, "M16: create: each unknown flag is refused");
	attr.flags = 0;
	attr.allocator = &half;
	is_int(mirror_list_create(&list, &attr), -EINVAL, "M16: create: half an allocator");
	attr.allocator = NULL;

	attr.sync = &sync;
	sync.size--;
	okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync of another size");
	sync.size = offsetof(struct mirror_sync, poll_state);
	okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync smaller than any that there was");
	sync = *v->sync;
	sync.kind = (enum mirror_sync_kind)7;
	okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync of no known kind");
	sync = *v->sync;
	sync.read_lock = NULL;
	okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync with read_unlock alone");
	sync = *v->sync;
	sync.write_lock = NULL;
	sync.synchronize = NULL;
	okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync without what its kind needs");
	sync = *v->sync;
	if (sync.get_state) {
		sync.get_state = NULL;
		okv(mirror_list_create(&list, &attr) == -EINVAL, "M16: create: a sync with poll_state alone");
	}
	ok(list == nothing, "M16: a create that fails leaves the caller's pointer alone");

	is_int(mirror_list_create(&list, NULL), 0, "M16: create: no attributes are the defaults");
	is_int(mirror_list_destroy(list), 0, "M17: and destroy");
	is_int(mirror_list_destroy(NULL), -EINVAL, "M16: destroy: NULL");
}

static void test_register(void)
{
	struct mirror_list *list = list_new();
	struct mirror_ops ops = probe_ops;

	probes();
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	isv(mirror_register(NULL, &c.m, &probe_ops), -EINVAL, "M16: register: no list");
	isv(mirror_register(list, NULL, &probe_ops), -EINVAL, "M16: register: no mirror");
	isv(mirror_register(list, &c.m, NULL), -EINVAL, "M16: register: no ops");
	ops.size = 0;
	isv(mirror_register(list, &c.m, &ops), -EINVAL, "M16: register: ops without a size");
	ops.size = sizeof(size_t);
	isv(mirror_register(list, &c.m, &ops), -EINVAL, "M16: register: ops too small");
	ops.size = offsetof(struct mirror_ops, finish) + 1;
	isv(mirror_register(list, &c.m, &ops), -EINVAL, "M16: register: ops of a size that never was");
	isv(mirror_register_range(list, &c.m, &probe_ops, 5, 5), -EINVAL, "M16: register_range: an empty range");
	isv(mirror_register_range(list, &c.m, &probe_ops, 6, 5), -EINVAL, "M16: register_range: end before start");
	isv(mirror_register_range(list, &c.m, &probe_ops, 1, 1), -EINVAL, "M16: register_range: ... of one byte less");
	isv(mirror_register_range(list, &c.m, &probe_ops, UINT64_MAX, UINT64_MAX), -EINVAL, "M16: register_range: empty at the top");
	isv(mirror_unregister(&c.m), -ENOENT, "M9: what was refused was never registered");
	still_works(list, "refused registrations");

	isv(mirror_register(list, &a.m, &probe_ops), -EBUSY, "M9: registering a registered mirror is -EBUSY");
	isv(mirror_register_range(list, &a.m, &probe_ops, 1, 2), -EBUSY, "M9: ... with a range too");
	still_works(list, "a second registration");
	isv(mirror_unregister(&a.m), 0, "M9: it is registered once");
	isv(mirror_unregister(&a.m), -EALREADY, "M9: a second unregister is -EALREADY");
	isv(mirror_unregister_timeout(&a.m, 0), -EALREADY, "M9: ... with a timeout too");
	isv(mirror_unregister_many(&(struct mirror *){ &a.m }, 1), -EALREADY, "M9: ... of many too");
	mirror_unregister(&b.m);
	list_gone(list);
	isv(mirror_unregister(&a.m), -EALREADY, "M9: ... also when the list is gone");
}

static void done_notes(struct mirror *m)
{
	note('*');
	note(probe_of(m)->name);
}

static void test_unregister(void)
{
	struct mirror_list *list = list_new(), *second = list_new();
	struct mirror *many[4];

	probes();
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	isv(mirror_unregister(NULL), -EINVAL, "M16: unregister: NULL");
	isv(mirror_unregister_timeout(NULL, 0), -EINVAL, "M16: unregister_timeout: NULL");
	isv(mirror_unregister_async(NULL, done_notes), -EINVAL, "M16: unregister_async: NULL");
	isv(mirror_unregister_async(&a.m, NULL), -EINVAL, "M16: unregister_async: no done");
	isv(mirror_unregister_many(NULL, 1), -EINVAL, "M16: unregister_many: NULL");
	isv(mirror_unregister_many(NULL, 0), 0, "M16: unregister_many: none of none");
	isv(mirror_unregister(&c.m), -ENOENT, "M9: unregister: never registered");
	isv(mirror_unregister_timeout(&c.m, 0), -ENOENT, "M9: unregister_timeout: never registered");
	isv(mirror_unregister_async(&c.m, done_notes), -ENOENT, "M9: unregister_async: never registered");
	isv(mirror_barrier(NULL), -EINVAL, "M16: barrier: NULL");
	isv(mirror_barrier(list), 0, "M8: barrier with nothing pending");
	still_works(list, "refused unregistrations");

	many[0] = &a.m;
	many[1] = &b.m;
	many[2] = &a.m;
	isv(mirror_unregister_many(many, 3), -EALREADY, "M9: unregister_many: one of them twice");
	still_works(list, "a duplicate among many");
	many[2] = &c.m;
	isv(mirror_unregister_many(many, 3), -ENOENT, "M9: unregister_many: one was never registered");
	still_works(list, "a stranger among many");
	many[0] = NULL;
	isv(mirror_unregister_many(many, 2), -EINVAL, "M16: unregister_many: a NULL among them");
	many[0] = &b.m;
	many[1] = NULL;
	isv(mirror_unregister_many(many, 2), -EINVAL, "M16: unregister_many: the same at the end");
	still_works(list, "a NULL among many");
	mirror_register(second, &c.m, &probe_ops);
	many[0] = &b.m;
	many[1] = &c.m;
	many[2] = &a.m;
	isv(mirror_unregister_many(many, 3), 0, "M9: unregister_many: of two lists, in any order");
	isv(mirror_unregister_many(many, 3), -EALREADY, "M9: unregister_many: all gone already");
	mirror_invalidate_range(list, 0, 1);
	mirror_invalidate_range(second, 0, 1);
	traced("", "M5: none of them is called any more");

	mirror_register(list, &a.m, &probe_ops);
	isv(mirror_unregister_async(&a.m, done_notes), 0, "M8: async without anything to wait for");
	isv(mirror_barrier(list), 0, "M8: barrier");
	traced("*A", "M8: done has run");
	isv(mirror_unregister_async(&a.m, done_notes), -EALREADY, "M9: a second async is -EALREADY");
	isv(mirror_unregister(&a.m), -EALREADY, "M9: so is unregister after it");
	isv(mirror_barrier(list), 0, "M8: barrier");
	traced("", "M8: done has not run twice");
	isv(mirror_register(list, &a.m, &probe_ops), 0, "M9: it may be registered again");
	isv(mirror_unregister_timeout(&a.m, 0), 0, "M9: no time is needed where there is nothing to wait for");
	list_gone(list);
	list_gone(second);
}

/* Mirrors come from malloc, uninitialised. */
static void test_garbage(void)
{
	struct mirror_list *list = list_new();
	struct probe *p = malloc(sizeof(*p)), copy;
	bool fine = true;
	int rc;

	for (int byte = 0; byte < 256; byte++) {
		memset(p, byte, sizeof(*p));
		rc = mirror_unregister(&p->m);
		if (rc != -ENOENT) {
			diag("filled with %#x: unregister is %d", (unsigned)byte, rc);
			fine = false;
		}
		rc = mirror_register(list, &p->m, &probe_ops);
		if (rc) {
			diag("filled with %#x: register is %d", (unsigned)byte, rc);
			fine = false;
			continue;
		}
		memcpy(&copy, p, sizeof(copy));
		if (mirror_unregister(&copy.m) != -ENOENT)
			fine = false;
		fine &= mirror_unregister(&p->m) == 0;
	}
	okv(fine, "M9: a mirror filled with anything, or the copy of a registered one, was never registered");
	free(p);
	list_gone(list);
}

static void test_ranges(void)
{
	struct mirror_list *list = list_new(), *second = list_new();
	struct mirror_range r = range(5, 6, BLOCKABLE), copy;
	const char *said;

	probes();
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	mirror_register(second, &c.m, &probe_ops);
	isv(mirror_invalidate_range_start(NULL, &r), -EINVAL, "M16: start: no list");
	isv(mirror_invalidate_range_start(list, NULL), -EINVAL, "M16: start: no range");
	isv(mirror_invalidate_range(NULL, 0, 1), -EINVAL, "M16: invalidate_range: no list");
	isv(mirror_invalidate_range(list, 1, 1), -EINVAL, "M16: invalidate_range: empty");
	isv(mirror_invalidate_range(list, 2, 1), -EINVAL, "M16: invalidate_range: end before start");
	r = range(6, 6, BLOCKABLE);
	isv(mirror_invalidate_range_start(list, &r), -EINVAL, "M16: start: an empty range");
	r = range(UINT64_MAX, 1, BLOCKABLE);
	isv(mirror_invalidate_range_start(list, &r), -EINVAL, "M16: start: end before start");
	for (int bit = 1; bit < 32; bit++) {
		r = range(5, 6, 1u << bit);
		if (mirror_invalidate_range_start(list, &r) != -EINVAL)
			break;
	}
	isv(r.flags, 1u << 31, "M16: start: each unknown flag is refused");
	traced("", "M16: nobody was called for any of those");

	r = range(5, 6, BLOCKABLE);
	mirror_invalidate_range_start(list, &r);
	isv(mirror_invalidate_range_start(list, &r), -EINVAL, "M16: start: the range is open already");
	isv(mirror_invalidate_range_start(second, &r), -EINVAL, "M16: start: ... on another list");
	hush();
	mirror_invalidate_range_end(second, &r);
	said = hushed();
	okv(strstr(said, "not open") != NULL, "M16: end on another list is reported");
	copy = r;
	hush();
	mirror_invalidate_range_end(list, &copy);
	said = hushed();
	okv(strstr(said, "not open") != NULL, "M16: end of a copied range is reported");
	traced("AB", "M16: ... and nobody was called");
	mirror_invalidate_range_end(list, &r);
	traced("ba", "M16: the bracket itself ends as if nothing had been");
	hush();
	mirror_invalidate_range_end(list, &r);
	said = hushed();
	okv(strstr(said, "not open") != NULL, "M16: a second end is reported");
	okv(strstr(said, "test") != NULL, "M16: ... with the name of the list");
	hush();
	mirror_invalidate_range_end(NULL, &r);
	mirror_invalidate_range_end(list, NULL);
	said = hushed();
	okv(strstr(said, "not open") != NULL, "M16: end of nothing is reported");
	traced("", "M16: ... and calls nobody");
	isv(mirror_invalidate_range_start(list, &r), 0, "M16: the range may be used again");
	mirror_invalidate_range_end(list, &r);
	still_works(list, "misused ranges");
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	mirror_unregister(&c.m);
	list_gone(list);
	list_gone(second);
}

static int destroy_rc, release_rc, barrier_rc;

static void destroy_inside(struct probe *p, const struct mirror_range *r)
{
	struct mirror_list *list = r->data;

	(void)p;
	destroy_rc = mirror_list_destroy(list);
	release_rc = mirror_list_release(list);
	barrier_rc = mirror_barrier(list);
}

static void test_destroy(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 1, BLOCKABLE);
	struct mirror_list_stats stats = { .size = sizeof(stats) - 1 };

	probes();
	mirror_register(list, &a.m, &probe_ops);
	isv(mirror_list_destroy(list), -EBUSY, "M17: destroy with a mirror is -EBUSY");
	mirror_register(list, &b.m, &probe_ops);
	still_works(list, "a refused destroy");
	a.in_start = destroy_inside;
	r.data = list;
	mirror_invalidate_range_start(list, &r);
	isv(destroy_rc, -EBUSY, "M17: destroy in a callback is -EBUSY");
	isv(release_rc, -EDEADLK, "M10: release in a callback is -EDEADLK");
	isv(barrier_rc, -EDEADLK, "M8: barrier in a callback is -EDEADLK");
	a.in_start = NULL;
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	isv(mirror_list_destroy(list), -EBUSY, "M17: destroy with an open bracket is -EBUSY");
	trace[0] = '\0';
	mirror_invalidate_range_end(list, &r);
	mirror_register(list, &a.m, &probe_ops);
	mirror_register(list, &b.m, &probe_ops);
	still_works(list, "a refused destroy and release");

	isv(mirror_list_get_stats(list, &stats), -EINVAL, "M16: stats: wrong size");
	isv(mirror_list_get_stats(list, NULL), -EINVAL, "M16: stats: NULL");
	isv(mirror_list_get_stats(NULL, &stats), -EINVAL, "M16: stats: no list");
	isv(mirror_list_release(NULL), -EINVAL, "M16: release: NULL");
	errno = 0;
	mirror_unregister(NULL);
	mirror_unregister(&c.m);
	mirror_unregister(&a.m);
	mirror_unregister(&b.m);
	isv(errno, 0, "nothing sets errno");
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_create();
		test_register();
		test_unregister();
		test_garbage();
		test_ranges();
		test_destroy();
	}
	return done_testing();
}
