/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M2, M13: range mirrors and whole-list mirrors in one list, against a look at each. */

#include "mirror_test.h"

#define MAX_MIRRORS 600

struct subscriber {
	struct mirror mirror;
	uint64_t start, end;            /* 0, 0: the whole list */
	bool in;
	uint64_t order;                 /* of its registration */
	uint64_t started, ended;        /* when it was called, in the bracket at hand */
};

static struct subscriber subscribers[MAX_MIRRORS];
static uint64_t now;                    /* counts calls */
static struct rng rng;

static struct subscriber *of(struct mirror *m)
{
	return (struct subscriber *)((char *)m - offsetof(struct subscriber, mirror));
}

static int start(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	of(m)->started = ++now;
	return 0;
}

static void end(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	of(m)->ended = ++now;
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = start,
	.invalidate_range_end = end,
};

static bool touches(const struct subscriber *s, const struct mirror_range *r)
{
	return s->in && (s->start == s->end || (s->start < r->end && r->start < s->end));
}

/* Whole-list mirrors first, then ranges by address; each by registration. */
static bool comes_before(const struct subscriber *a, const struct subscriber *b)
{
	bool whole = a->start == a->end;

	if (whole != (b->start == b->end))
		return whole;
	if (!whole && a->start != b->start)
		return a->start < b->start;
	return a->order < b->order;
}

/* Each that is touched was called, the others not; starts in order, ends in reverse. */
static bool bracket_is_right(struct mirror_list *list, uint64_t from, uint64_t to)
{
	struct mirror_range r = { .start = from, .end = to, .flags = MIRROR_RANGE_BLOCKABLE };

	for (int i = 0; i < MAX_MIRRORS; i++)
		subscribers[i].started = subscribers[i].ended = 0;
	if (mirror_invalidate_range_start(list, &r))
		return false;
	mirror_invalidate_range_end(list, &r);
	for (int i = 0; i < MAX_MIRRORS; i++) {
		const struct subscriber *a = &subscribers[i];

		if (touches(a, &r) != (a->started != 0) || touches(a, &r) != (a->ended != 0)) {
			diag("[%#llx, %#llx): mirror of [%#llx, %#llx) %s", (unsigned long long)from,
			     (unsigned long long)to, (unsigned long long)a->start,
			     (unsigned long long)a->end, a->started ? "was called" : "was not called");
			return false;
		}
		for (int k = 0; k < i && a->started; k++) {
			const struct subscriber *b = &subscribers[k];

			if (b->started && (comes_before(a, b) != (a->started < b->started) ||
					   comes_before(a, b) != (a->ended > b->ended))) {
				diag("out of order");
				return false;
			}
		}
	}
	return true;
}

static void choose_range(struct subscriber *s, uint64_t space)
{
	s->start = s->end = 0;
	if (rng_below(&rng, 10)) {
		s->start = rng_next(&rng) % space;
		s->end = s->start + 1 + rng_next(&rng) % (rng_below(&rng, 8) ? 8 : space);
	}
}

static int enter(struct mirror_list *list, struct subscriber *s)
{
	return s->start == s->end ? mirror_register(list, &s->mirror, &ops) :
				    mirror_register_range(list, &s->mirror, &ops, s->start, s->end);
}

static void against_a_look_at_each(uint64_t space, uint64_t turns)
{
	struct mirror_list *list = list_new();
	uint64_t order = 0;
	bool good = true;

	for (uint64_t turn = 0; turn < turns && good; turn++) {
		struct subscriber *s = &subscribers[rng_below(&rng, MAX_MIRRORS)];

		if (!s->in) {
			choose_range(s, space);
			s->order = ++order;
			good = enter(list, s) == 0;
			s->in = true;
		} else if (rng_below(&rng, 3) == 0) {
			good = mirror_unregister(&s->mirror) == 0;
			s->in = false;
		}
		if (good && turn % 16 == 0) {
			uint64_t from = rng_next(&rng) % space;

			good = bracket_is_right(list, from, from + 1 + rng_next(&rng) % 64);
		}
	}
	ok(good, "M2, M13: %s: calls those that overlap, in order, and back, in a space of %llu", v->name,
	   (unsigned long long)space);
	ok(bracket_is_right(list, 0, UINT64_MAX), "M2, M13: %s: and all of them at once", v->name);
	for (int i = 0; i < MAX_MIRRORS; i++)
		if (subscribers[i].in && mirror_unregister(&subscribers[i].mirror) == 0)
			subscribers[i].in = false;
	is_int(mirror_list_destroy(list), 0, "M17: %s: destroyed when all are out", v->name);
}

static void many_at_once(void)
{
	enum { NR = 100 };
	struct mirror_list *list = list_new();
	struct mirror *mirrors[NR];
	struct mirror_extent ranges[NR];
	struct mirror *twice[2];

	for (int i = 0; i < NR; i++) {
		struct subscriber *s = &subscribers[i];

		mirrors[i] = &s->mirror;
		s->start = ranges[i].start = (uint64_t)i * 4096;
		s->end = ranges[i].end = s->start + 4096;
		s->order = (uint64_t)i;
	}
	is_int(mirror_register_many(list, mirrors, &ops, ranges, NR), 0, "M13: %s: ranges, all at once",
	       v->name);
	for (int i = 0; i < NR; i++)
		subscribers[i].in = true;
	ok(bracket_is_right(list, 0, UINT64_MAX) && bracket_is_right(list, 4095, 4097),
	   "M2: %s: they are called in the order of the array", v->name);
	is_int(mirror_register_many(list, mirrors, &ops, ranges, NR), -EBUSY,
	       "M9: %s: registered ones again", v->name);
	is_int(mirror_unregister_many(mirrors, NR), 0, "M5: %s: and out at once", v->name);
	is_int(mirror_register_many(list, mirrors, &ops, NULL, NR), 0, "M1: %s: whole-list ones", v->name);
	for (int i = 0; i < NR; i++)
		subscribers[i].start = subscribers[i].end = 0;
	ok(bracket_is_right(list, 7, 8), "M2: %s: they are called in the order of the array", v->name);
	is_int(mirror_unregister_many(mirrors, NR), 0, "M5: %s: and out at once", v->name);
	for (int i = 0; i < NR; i++)
		subscribers[i].in = false;

	twice[0] = twice[1] = mirrors[0];
	is_int(mirror_register_many(list, twice, &ops, NULL, 2), -EBUSY, "M16: %s: one of them twice",
	       v->name);
	ranges[NR - 1].end = ranges[NR - 1].start;
	is_int(mirror_register_many(list, mirrors, &ops, ranges, NR), -EINVAL,
	       "M16: %s: the last range is empty", v->name);
	ok(bracket_is_right(list, 0, UINT64_MAX), "M16: %s: and nobody is registered", v->name);
	is_int(mirror_unregister(mirrors[0]), -EALREADY, "M9: %s: nor looks so", v->name);
	is_int(mirror_list_destroy(list), 0, "M17: %s: destroyed", v->name);
}

int main(void)
{
	rng_init(&rng, 1);
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		against_a_look_at_each(2, scaled(10000)); /* most begin together */
		against_a_look_at_each(1000, scaled(20000));
		against_a_look_at_each(UINT64_MAX >> 1, scaled(5000));
		many_at_once();
	}
	return done_testing();
}
