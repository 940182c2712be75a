/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Sequences of calls on one list, chosen by the bytes of an input, against a simple model: which
 * mirrors each bracket must call, in what order (M1, M2, M4, M10), what each call returns (M9, M16),
 * and when a fill may begin or must retry (M12).
 *
 * With clang's libFuzzer:
 *     clang -g -O1 -D_GNU_SOURCE -DFUZZER -fsanitize=fuzzer,address -Iinclude -Isrc -It/lib \
 *         t/mirror/fuzz.c src/[a-z]*.c -o fuzz && ./fuzz -max_len=400
 * As a TAP program it makes its inputs itself.
 */
#include "tap.h"

#include <errno.h>
#include <string.h>

#include <mirror/mirror.h>

#define NR_MIRRORS  12
#define NR_BRACKETS 4

#define must(condition) \
	do { \
		if (!(condition)) \
			fail(__LINE__, #condition); \
	} while (0)

static void fail(int line, const char *what)
{
	fprintf(stderr, "t/mirror/fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

struct subject {
	struct mirror mirror;
	bool in, released, refuses, whole;
	uint64_t start, end, joined;
	uint64_t called;                /* the moment of the last callback */
	bool filled;                    /* it has tried to begin a fill once */
	bool settled;                   /* and has begun one */
	unsigned unsettled;             /* brackets that were open then, by bit */
	bool has_seq, stale;
	uint64_t seq;
};

struct bracket {
	struct mirror_range range;
	bool open;
	bool got_start[NR_MIRRORS];
};

static struct subject subjects[NR_MIRRORS];
static struct bracket brackets[NR_BRACKETS];
static uint64_t moment, joins;
static bool list_released;

static struct subject *of(struct mirror *m)
{
	return (struct subject *)((char *)m - offsetof(struct subject, mirror));
}

static int start(struct mirror *m, const struct mirror_range *r)
{
	struct subject *s = of(m);

	must(s->in && !s->released);
	s->called = ++moment;
	return s->refuses && !(r->flags & MIRROR_RANGE_BLOCKABLE) ? -EAGAIN : 0;
}

static void end(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	must(of(m)->in);
	of(m)->called = ++moment;
}

static void release(struct mirror *m)
{
	must(of(m)->in && !of(m)->released);
	of(m)->released = true;
}

static void done(struct mirror *m)
{
	must(of(m)->in);
	of(m)->in = false;
}

static const struct mirror_ops ops = { sizeof(ops), start, end, release, NULL };

/* M2: the whole list's first, then ranges by address; each by registration. */
static bool comes_before(const struct subject *a, const struct subject *b)
{
	if (a->whole != b->whole)
		return a->whole;
	if (!a->whole && a->start != b->start)
		return a->start < b->start;
	return a->joined < b->joined;
}

/* An end of 0 is 2^64: all that is here ends before UINT64_MAX. */
static uint64_t end_of(uint64_t end)
{
	return end ? end : UINT64_MAX;
}

static bool overlaps(const struct subject *s, const struct mirror_range *r)
{
	return s->start < end_of(r->end) && r->start < s->end;
}

static void do_register(struct mirror_list *list, struct subject *s, uint8_t a, uint8_t b)
{
	bool whole = a == 255;
	int rc = whole ? mirror_register(list, &s->mirror, &ops) :
			 mirror_register_range(list, &s->mirror, &ops, a, b);

	if (!whole && a >= end_of(b)) {
		must(rc == -EINVAL);
	} else if (s->in) {
		must(rc == -EBUSY);
	} else if (list_released) {
		must(rc == -ESHUTDOWN);
	} else {
		must(rc == 0);
		s->in = true;
		s->released = s->filled = s->settled = s->has_seq = false;
		s->whole = whole;
		s->start = whole ? 0 : a;
		s->end = whole ? UINT64_MAX : end_of(b);
		s->joined = ++joins;
		for (int k = 0; k < NR_BRACKETS; k++)
			brackets[k].got_start[s - subjects] = false;
	}
}

static void do_unregister(struct subject *s, int how)
{
	struct mirror *m = &s->mirror;
	int rc = how == 0 ? mirror_unregister(m) : how == 1 ? mirror_unregister_timeout(m, 0) :
		 how == 2 ? mirror_unregister_many(&m, 1) : mirror_unregister_async(m, done);

	if (s->joined == 0) {
		must(rc == -ENOENT);
	} else if (how != 3 && s->in) {
		must(rc == 0);
		s->in = false;
	} else if (how != 3) {
		must(rc == -EALREADY);
	} else {
		must(rc == 0 || rc == -EALREADY);
		must(!s->in);
	}
}

static void do_start(struct mirror_list *list, struct bracket *b, uint8_t from, uint8_t to, bool block)
{
	const struct subject *refuser = NULL;
	uint64_t before = moment;
	int rc;

	if (b->open) {
		must(mirror_invalidate_range_start(list, &b->range) == -EINVAL);
		return;
	}
	memset(&b->range, 0, sizeof(b->range));
	b->range.start = from;
	b->range.end = to;
	b->range.flags = block ? MIRROR_RANGE_BLOCKABLE : 0;
	rc = mirror_invalidate_range_start(list, &b->range);
	if (from >= end_of(to)) {
		must(rc == -EINVAL);
		return;
	}
	for (int i = 0; i < NR_MIRRORS; i++) {
		const struct subject *s = &subjects[i];

		if (s->in && !s->released && s->refuses && !block && overlaps(s, &b->range) &&
		    (!refuser || comes_before(s, refuser)))
			refuser = s;
	}
	must(rc == (refuser ? -EAGAIN : 0));
	for (int i = 0; i < NR_MIRRORS; i++) {
		struct subject *s = &subjects[i];
		bool hit = s->in && !s->released && overlaps(s, &b->range) &&
			   (!refuser || !comes_before(refuser, s));

		must(hit == (s->called > before));
		if (hit)
			s->stale = true;
		b->got_start[i] = !refuser && hit;
		for (int k = 0; k < i && hit && !refuser; k++)
			if (subjects[k].called > before)
				must(comes_before(&subjects[k], s) == (subjects[k].called < s->called));
	}
	b->open = !refuser;
}

static void do_end(struct mirror_list *list, struct bracket *b)
{
	uint64_t before = moment;

	if (!b->open)
		return;
	mirror_invalidate_range_end(list, &b->range);
	b->open = false;
	for (int i = 0; i < NR_MIRRORS; i++) {
		struct subject *s = &subjects[i];
		bool hit = s->in && b->got_start[i];

		must(hit == (s->called > before));
		for (int k = 0; k < i && hit; k++)
			if (subjects[k].called > before)
				must(comes_before(&subjects[k], s) == (subjects[k].called > s->called));
	}
	for (int i = 0; i < NR_MIRRORS; i++)
		subjects[i].unsettled &= ~(1u << (b - brackets));
}

static void do_fill(struct subject *s)
{
	bool free = true, any_open = false, began;
	uint64_t seq;

	if (!s->in)
		return;
	if (!s->filled) {
		s->unsettled = 0;
		for (int k = 0; k < NR_BRACKETS; k++)
			if (brackets[k].open)
				s->unsettled |= 1u << k;
	}
	s->filled = true;
	for (int k = 0; k < NR_BRACKETS; k++) {
		any_open = any_open || brackets[k].open;
		if (brackets[k].open && brackets[k].got_start[s - subjects])
			free = false;
	}
	began = mirror_read_try_begin(&s->mirror, &seq);
	must(!began || (free && !s->unsettled));
	/* Until it is settled, a grace period that is under way may wait for brackets more. */
	must(began || !free || (!s->settled && any_open));
	s->settled = s->settled || began;
	if (began) {
		must(!mirror_read_retry(&s->mirror, seq));
		s->seq = seq;
		s->has_seq = true;
		s->stale = false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mirror_list_attr attrs[] = {
		{ .size = sizeof(attrs[0]), .sync = &mirror_sync_srcu },
		{ .size = sizeof(attrs[0]), .sync = &mirror_sync_rwsem },
		{ .size = sizeof(attrs[0]), .sync = &mirror_sync_srcu, .flags = MIRROR_LIST_DRAIN_DOMAIN },
	};
	struct mirror_list *list;

	if (size < 1)
		return 0;
	memset(subjects, 0, sizeof(subjects));
	memset(brackets, 0, sizeof(brackets));
	list_released = false;
	must(mirror_list_create(&list, &attrs[data[0] % 3]) == 0);
	for (size_t i = 1; i + 4 <= size; i += 4) {
		struct subject *s = &subjects[data[i + 1] % NR_MIRRORS];
		struct bracket *b = &brackets[data[i + 1] % NR_BRACKETS];

		s->refuses = s - subjects == 3;
		switch (data[i] % 12) {
		case 0: case 1: case 2:
			do_register(list, s, data[i + 2], data[i + 3]);
			break;
		case 3:
			do_unregister(s, data[i + 2] % 4);
			break;
		case 4: case 5: case 6:
			do_start(list, b, data[i + 2], data[i + 3], data[i + 1] & 128);
			break;
		case 7: case 8:
			do_end(list, b);
			break;
		case 9:
			do_fill(s);
			break;
		case 10:
			if (s->in && s->has_seq)
				must(mirror_read_retry(&s->mirror, s->seq) == s->stale);
			break;
		default:
			if (data[i + 2] < 16) {
				must(mirror_list_release(list) == (list_released ? -EALREADY : 0));
				list_released = true;
			} else {
				must(mirror_barrier(list) == 0);
			}
		}
	}
	for (int k = 0; k < NR_BRACKETS; k++) {
		if (brackets[k].open)
			must(mirror_list_destroy(list) == -EBUSY);
		do_end(list, &brackets[k]);
	}
	for (int i = 0; i < NR_MIRRORS; i++)
		if (subjects[i].in)
			must(mirror_unregister(&subjects[i].mirror) == 0);
	must(mirror_list_destroy(list) == 0);
	return 0;
}

#ifndef FUZZER
int main(void)
{
	uint64_t inputs = scaled(5000);
	uint8_t data[401];
	struct rng rng;

	rng_init(&rng, 1);
	for (uint64_t i = 0; i < inputs; i++) {
		for (size_t k = 0; k < sizeof(data); k++)
			data[k] = (uint8_t)rng_next(&rng);
		LLVMFuzzerTestOneInput(data, sizeof(data));
	}
	ok(true, "M1 M2 M4 M9 M10 M12 M16 M17: %llu random sequences of 100 calls agree with the model",
	   (unsigned long long)inputs);
	return done_testing();
}
#endif
