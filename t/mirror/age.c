/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A list costs what lives in it, whatever came before: brackets go over what is registered, in order; memory goes back
 * after a peak, and beside a callback that sleeps.  The library's sources are built into this program, so that the
 * blocks of whole-list mirrors can be counted.
 */
#include "mirror_list.h"
#include "mirror_test.h"

enum { NR = 1000 };

/* ---- an allocator that counts, and can fail ---- */

static size_t allocated_bytes;          /* one thread allocates */
static bool has_failed;

static void *count_alloc(void *arg, size_t bytes)
{
	void *memory = has_failed ? NULL : aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	(void)arg;
	if (memory)
		allocated_bytes += bytes;
	return memory ? memset(memory, 0, bytes) : NULL;
}

static void count_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	allocated_bytes -= bytes;
	free(memory);
}

static struct mirror_list *counted_list(void)
{
	static const struct mirror_allocator counting = { count_alloc, count_free, NULL };
	struct mirror_list_attr attr = {
		.size = sizeof(attr), .sync = v->sync, .flags = v->flags, .allocator = &counting,
	};
	struct mirror_list *list;
	int rc = mirror_list_create(&list, &attr);

	if (rc)
		bail_out("mirror_list_create: %s", strerror(-rc));
	return list;
}

/* ---- mirrors that say when they were called ---- */

struct numbered {
	struct mirror m;
	uint64_t born;                  /* 1, 2 ... in order of registration; 0: not registered */
};

static struct numbered all[NR];
static uint64_t nr_born, nr_live;
static uint64_t last_called, nr_called; /* of the bracket under way */
static bool in_order;

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	uint64_t born = ((struct numbered *)m)->born;

	(void)r;
	in_order &= born > last_called;
	last_called = born;
	nr_called++;
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	uint64_t born = ((struct numbered *)m)->born;

	(void)r;
	in_order &= born && born < last_called;
	last_called = born;
	nr_called++;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops), .invalidate_range_start = on_start, .invalidate_range_end = on_end,
};

static void enroll(struct mirror_list *list, struct numbered *n)
{
	if (mirror_register(list, &n->m, &ops))
		bail_out("mirror_register");
	n->born = ++nr_born;
	nr_live++;
}

static void leave(struct numbered *n)
{
	if (mirror_unregister(&n->m))
		bail_out("mirror_unregister");
	n->born = 0;
	nr_live--;
}

/* Whether a bracket calls each registered mirror, in order, and its end the other way round. */
static bool all_called(struct mirror_list *list)
{
	struct mirror_range r = range(0, 1, MIRROR_RANGE_BLOCKABLE);
	bool each;

	in_order = true;
	last_called = nr_called = 0;
	if (mirror_invalidate_range_start(list, &r))
		bail_out("mirror_invalidate_range_start");
	each = nr_called == nr_live;
	last_called = UINT64_MAX;
	nr_called = 0;
	mirror_invalidate_range_end(list, &r);
	return each && nr_called == nr_live && in_order;
}

static uint64_t blocks_of(const struct mirror_list *list)
{
	uint64_t nr = 0;

	for (const struct block *block = &list->head; block; block = block->next)
		nr++;
	return nr;
}

/* ---- shapes ---- */

static bool all_but_last(int i)
{
	return i != NR - 1;
}

static bool all_but_first(int i)
{
	return i != 0;
}

static bool every_other(int i)
{
	return i % 2;
}

static bool all_but_some(int i)
{
	return i % 100;
}

static bool everybody(int i)
{
	return i >= 0;
}

static const struct shape {
	const char *name;
	bool (*leaves)(int i);
} shapes[] = {
	{ "all but the last", all_but_last }, { "all but the first", all_but_first }, { "every other", every_other },
	{ "99 of 100", all_but_some }, { "all", everybody },
};

static void check_shape(const struct shape *shape)
{
	struct mirror_list *list = counted_list();
	bool good = true;

	for (int i = 0; i < NR; i++)
		enroll(list, &all[i]);
	good &= all_called(list);
	has_failed = true;
	for (int i = 0; i < NR; i++)
		if (shape->leaves(i))
			leave(&all[i]);
	has_failed = false;
	okv(good && all_called(list), "M2: %s left: the others are called, in order", shape->name);
	okv(blocks_of(list) <= nr_live + 2, "... a bracket over %" PRIu64 " looks at %" PRIu64 " blocks", nr_live,
	    blocks_of(list));
	for (int i = 0; i < NR; i++) {
		if (!all[i].born)
			enroll(list, &all[i]);
		else if (i % 3)
			leave(&all[i]);
		good &= i % 128 || all_called(list);
	}
	okv(good && all_called(list), "M2: others came and went since: the same");
	okv(blocks_of(list) <= nr_live + 2, "... over %" PRIu64 ", %" PRIu64 " blocks", nr_live, blocks_of(list));
	for (int i = 0; i < NR; i++)
		if (all[i].born)
			leave(&all[i]);
	is_int(blocks_of(list), 1, "all have left: one block");
	list_gone(list);
	is_int((long long)allocated_bytes, 0, "nothing is left of the list");
}

/* The oldest leaves whenever one joins. */
static void check_queue(void)
{
	struct mirror_list *list = counted_list();
	uint64_t most = 0;
	bool good = true;

	for (int i = 0; i < 3 * NR; i++) {
		if (i >= 50)
			leave(&all[(i - 50) % NR]);
		enroll(list, &all[i % NR]);
		good &= i % 256 || all_called(list);
		most = blocks_of(list) > most ? blocks_of(list) : most;
	}
	okv(good && all_called(list), "M2: the oldest leaves whenever one joins: all are called, in order");
	okv(most <= 50 / NR_PLACES + 3, "... over 50, %" PRIu64 " blocks at most", most);
	for (int i = 3 * NR - 50; i < 3 * NR; i++)
		leave(&all[i % NR]);
	list_gone(list);
}

/* ---- memory ---- */

enum sort { WHOLE, RANGES, RANDOM_RANGES, NR_SORTS };
static const char *const sort_names[NR_SORTS] = { "whole-list mirrors", "range mirrors", "scattered range mirrors" };

static int quiet(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return 0;
}

static const struct mirror_ops quiet_ops = { .size = sizeof(quiet_ops), .invalidate_range_start = quiet };

static void join(struct mirror_list *list, struct mirror *m, enum sort sort, uint64_t i)
{
	uint64_t start = 4096 * (sort == RANDOM_RANGES ? i * UINT64_C(2654435761) % (UINT64_C(1) << 32) : i) + (1 << 20);

	if (sort == WHOLE ? mirror_register(list, m, &quiet_ops) :
			    mirror_register_range(list, m, &quiet_ops, start, start + 4096))
		bail_out("register");
}

static void come_and_go(struct mirror_list *list, enum sort sort, int pairs)
{
	static struct mirror m[32];

	for (int i = 0; i < pairs; i++) {
		if (i >= 32)
			mirror_unregister(&m[i % 32]);
		join(list, &m[i % 32], sort, (uint64_t)i);
	}
	for (int i = 0; i < 32 && i < pairs; i++)
		mirror_unregister(&m[i]);
}

static void check_peak(enum sort sort)
{
	const int nr = 12000;
	struct mirror *m = calloc((size_t)nr, sizeof(*m));
	struct mirror_list *list = counted_list();
	size_t peak;

	for (int i = 0; i < nr; i++)
		join(list, &m[i], sort, (uint64_t)i);
	peak = allocated_bytes;
	for (int i = 0; i < nr; i++)
		mirror_unregister(&m[i * 7LL % nr]);
	come_and_go(list, sort, 2000);
	okv(allocated_bytes <= 400 << 10, "M13: memory goes back after a peak of %s: %zu of %zu KiB are left",
	    sort_names[sort], allocated_bytes >> 10, peak >> 10);
	list_gone(list);
	free(m);
}

static uint64_t retired_bytes(struct mirror_list *list)
{
	struct mirror_list_stats s = { .size = sizeof(s) };

	mirror_list_get_stats(list, &s);
	return s.retired_bytes;
}

/* A callback sleeps; another publisher publishes beside it. */
static void check_stall(enum sort sort)
{
	struct mirror_list *list = counted_list();
	struct call publisher = { .list = list, .start = 0, .end = 1 };
	uint64_t most = 0;
	struct post x;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 1);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	for (int i = 0; i < 24; i++) {
		come_and_go(list, sort, 500);
		mirror_invalidate_range(list, 1 << 20, 1 << 30);
		most = retired_bytes(list) > most ? retired_bytes(list) : most;
	}
	okv(most <= 512 << 10, "M13: %s come and go beside a callback that sleeps: %" PRIu64 " KiB wait",
	    sort_names[sort], most >> 10);
	gate_open(&x.leave);
	call_end(&publisher);
	come_and_go(list, sort, 2000);
	okv(allocated_bytes <= 400 << 10, "M13: ... and when it has returned, %zu KiB are left", allocated_bytes >> 10);
	mirror_unregister(&x.m);
	list_gone(list);
}

/* The first of many hits sleeps, while the nodes that hold the others are replaced again and again. */
static void check_stalled_hits(void)
{
	struct mirror_list *list = counted_list();
	struct call publisher = { .list = list, .start = 0, .end = NR * 8192 };
	static struct mirror m[16];
	struct post x;
	int nr = 300;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 1);
	for (int i = 0; i < nr; i++) {
		if (mirror_register_range(list, &all[i].m, &ops, 1 + 8192 * (uint64_t)i, NR * 8192))
			bail_out("mirror_register_range");
		all[i].born = (uint64_t)i + 1;
	}
	in_order = true;
	last_called = nr_called = 0;
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	for (int i = 0; i < 12000; i++) {
		uint64_t start = 4096 + 8192 * (uint64_t)(i * 7 % nr);

		if (i >= 16)
			mirror_unregister(&m[i % 16]);
		if (mirror_register_range(list, &m[i % 16], &ops, start, start + 4096))
			bail_out("mirror_register_range");
	}
	for (int i = 0; i < 16; i++)
		mirror_unregister(&m[i]);
	okv(retired_bytes(list) <= 512 << 10, "M13: others come and go between the hits of a walk that sleeps: %" PRIu64
	    " KiB wait", retired_bytes(list) >> 10);
	last_called = 0;
	gate_open(&x.leave);
	call_end(&publisher);
	okv(nr_called == 2 * (uint64_t)nr, "M2: ... and it calls all its hits, start and end: %" PRIu64 " calls", nr_called);
	for (int i = 0; i < nr; i++) {
		mirror_unregister(&all[i].m);
		all[i].born = 0;
	}
	mirror_unregister(&x.m);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
			check_shape(&shapes[i]);
		check_queue();
		if (!v->targeted)
			continue;
		check_stalled_hits();
		for (enum sort sort = 0; sort < NR_SORTS; sort++) {
			check_peak(sort);
			check_stall(sort);
		}
	}
	return done_testing();
}
