/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Two ways of counting read-modify-writes, fences and system calls agree: instruction by instruction, as
 * mirror-bench does, and at the door that the library's sources go through (counted_port.h).
 *
 * The list's memory comes from a pool of this file, since malloc has locks of its own.
 */
#include "mirror/mirror.h"
#include "mirror/usrcu.h"
#include "measure/steps.h"
#include "tap.h"

enum { NR_MIRRORS = 16, POOL_BYTES = 1 << 22 };

__thread struct counted counted;

enum operation { BRACKET, REGISTER, UNREGISTER, SECTION, SYNCHRONIZE, NR_OPERATIONS };

static const char *const names[] = { "bracket", "register", "unregister", "section", "synchronize" };

static struct counted by_door[NR_OPERATIONS];
static struct mirror_list *list;
static struct usrcu *domain;
static struct mirror mirrors[NR_MIRRORS], comer;
static _Alignas(64) char pool[POOL_BYTES];
static size_t used;

static void *pool_alloc(void *arg, size_t bytes)
{
	void *memory = pool + used;

	(void)arg;
	used += (bytes + 63) / 64 * 64;
	return used <= sizeof(pool) ? memory : NULL;
}

static void pool_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	(void)memory;
	(void)bytes;
}

static const struct mirror_allocator allocator = { pool_alloc, pool_free, NULL };

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = on_start };

static void operate(enum operation operation)
{
	struct mirror_range range = { .start = 1 << 20, .end = (1 << 20) + 4096, .flags = MIRROR_RANGE_BLOCKABLE };

	switch (operation) {
	case BRACKET:
		if (mirror_invalidate_range_start(list, &range))
			abort();
		mirror_invalidate_range_end(list, &range);
		break;
	case REGISTER:
		if (mirror_register(list, &comer, &ops))
			abort();
		break;
	case UNREGISTER:
		if (mirror_unregister(&comer))
			abort();
		break;
	case SECTION:
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
		break;
	default:
		if (usrcu_synchronize(domain))
			abort();
	}
}

/* In the copy, where every operation is done once more, so that both begin alike. */
static void marked(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR_OPERATIONS; i++) {
		steps_begin(i);
		operate((enum operation)i);
		steps_end();
	}
}

static void unmarked(void)
{
	for (unsigned i = 0; i < NR_OPERATIONS; i++) {
		counted = (struct counted){ 0 };
		operate((enum operation)i);
		by_door[i] = counted;
	}
}

static bool same(const struct steps *s, const struct counted *c)
{
	if (s->rmws == c->rmws && s->fences == c->fences && s->membarriers == c->membarriers &&
	    s->futexes == c->futexes)
		return true;
	diag("by instruction: %" PRIu64 " read-modify-writes, %" PRIu64 " fences, %" PRIu64 " membarriers, %" PRIu64
	     " futexes; by the door: %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64, s->rmws, s->fences,
	     s->membarriers, s->futexes, c->rmws, c->fences, c->membarriers, c->futexes);
	return false;
}

static void compare(const char *variant, const struct mirror_sync *sync, unsigned list_flags, unsigned domain_flags)
{
	struct mirror_list_attr attr = {
		.size = sizeof(attr), .sync = sync, .flags = list_flags, .allocator = &allocator,
	};
	struct usrcu_attr domain_attr = { .size = sizeof(domain_attr), .flags = domain_flags };
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };
	struct counted more;
	int err;

	if (mirror_list_create(&list, &attr) || usrcu_create(&domain, &domain_attr))
		bail_out("cannot make a list over %s", variant);
	for (int i = 0; i < NR_MIRRORS; i++)
		if (mirror_register(list, &mirrors[i], &ops))
			bail_out("cannot register");
	/* Until nothing is done for the first time. */
	for (int i = 0; i < 10; i++)
		unmarked();
	err = steps_run(marked, NULL, slots);
	unmarked();
	ok(err == 0, "%s: the steps are counted", variant);
	for (unsigned i = 0; i < NR_OPERATIONS; i++)
		ok(same(&slots[i], &by_door[i]), "%s: both ways count the same in a %s", variant, names[i]);
	more = by_door[UNREGISTER];
	more.rmws++;
	ok(!same(&slots[UNREGISTER], &more), "%s: and one more would be noticed", variant);
	steps_free(slots);
	for (int i = 0; i < NR_MIRRORS; i++)
		mirror_unregister(&mirrors[i]);
	if (mirror_list_destroy(list) || usrcu_destroy(domain))
		bail_out("cannot destroy");
}

static void nothing(void *arg)
{
	(void)arg;
}

int main(void)
{
	struct steps slots[STEPS_MAX_SLOTS] = { 0 };
	const char *sanitizer = getenv("MIRROR_SANITIZER");

	if (sanitizer && strcmp(sanitizer, "no") != 0)
		skip_all("a sanitizer's own instructions would be counted");
	if (steps_run(nothing, NULL, slots) == -EPERM)
		skip_all("ptrace(2) is refused here");
	compare("srcu", &mirror_sync_srcu, 0, 0);
	compare("srcu, full fences", &mirror_sync_srcu, MIRROR_LIST_FULL_FENCE, USRCU_FULL_FENCE);
	compare("srcu, domain drain", &mirror_sync_srcu, MIRROR_LIST_DRAIN_DOMAIN, 0);
	compare("rwsem", &mirror_sync_rwsem, 0, 0);
	return done_testing();
}
