/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/mirror_register.c and src/mirror_walk.c: register, brackets, refusal. */

#include "mirror_scenarios.h"

/* ---- M1: from the return of register on ---- */

static void no_device(void)
{
	list_with(NULL, 0);
	devices(0, &device_ops);
}

/* Devices that are registered when this is set; by the thread that registers. */
static uint64_t registered;

static void enroll(int i)
{
	struct device *d = new_device(i);

	x_assert(mirror_register(list, &d->mirror, &device_ops) == 0);
	dev[i] = d;
	store_release(&registered, load_relaxed(&registered) | d->bit);
}

static void enroll_first(void)
{
	enroll(0);
}

static void enroll_second(void)
{
	enroll(1);
}

static void enroll_two(void)
{
	enroll(0);
	enroll(1);
}

static void enroll_three(void)
{
	enroll(1);
	enroll(2);
	enroll(3);
}

/* It calls at least those known to be registered, and ends all whom it has called. */
static void publish_known(void)
{
	struct bracket b = BRACKET(&b);
	uint64_t known = load_acquire(&registered);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert((b.started & known) == known);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

static int note_visit(struct mirror *m, void *seen)
{
	*(uint64_t *)seen |= ((struct device *)m)->bit;
	return 0;
}

static void visit_known(void)
{
	uint64_t known = load_acquire(&registered), seen = 0;

	x_assert(mirror_visit(list, 10, 20, note_visit, &seen) == 0);
	x_assert((seen & known) == known);
}

static void enroll_both_at_once(void)
{
	struct mirror *both[2];

	for (int i = 0; i < 2; i++) {
		dev[i] = new_device(i);
		both[i] = &dev[i]->mirror;
	}
	x_assert(mirror_register_many(list, both, &device_ops, NULL, 2) == 0);
	store_release(&registered, UINT64_C(3));
}

/* Its callbacks do not count: it has none. */
static const struct mirror_ops mute_ops = { .size = sizeof(mute_ops) };

static void enroll_mute_range(void)
{
	dev[2] = new_device(2);
	x_assert(mirror_register_range(list, &dev[2]->mirror, &mute_ops, 0, 100) == 0);
}

/* All of them or none. */
static void publish_all_or_none(void)
{
	struct bracket b = BRACKET(&b);
	uint64_t known = load_acquire(&registered);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started == 3 || (!known && b.started == 0));
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

static void enroll_with_luck(void)
{
	struct device *d = port_alloc(sizeof(*d));
	int rc;

	if (!d)
		return;
	d->bit = 2;
	rc = mirror_register(list, &d->mirror, &device_ops);
	x_assert(rc == 0 || rc == -ENOMEM);
	if (rc) {
		port_free(d);
		return;
	}
	dev[1] = d;
	store_release(&registered, UINT64_C(2));
}

/* ---- two threads register: the numbers are the order ---- */

static uint64_t next_bit;

/* They get their bits from the order in which a bracket calls them: any, but always the same. */
static uint64_t place[4];

static int note_place(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	struct bracket *b = r->data;

	if (!b)
		return 0;
	x_assert(!(b->open & d->bit));
	b->open |= d->bit;
	/* Whoever comes second has the first before it, in each bracket. */
	if (b->open == 3) {
		uint64_t other = place[0];

		x_assert(other == 0 || other == d->bit);
		place[0] = d->bit;
	}
	return 0;
}

static void unnote(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;
	struct bracket *b = r->data;

	if (!b)
		return;
	x_assert(b->open & d->bit);
	b->open &= ~d->bit;
}

static const struct mirror_ops placed_ops = {
	.size = sizeof(placed_ops),
	.invalidate_range_start = note_place,
	.invalidate_range_end = unnote,
};

static void enroll_mine(void)
{
	int i = x_self();
	struct device *d = new_device(i);

	x_assert(mirror_register(list, &d->mirror, &placed_ops) == 0);
	dev[i] = d;
	fetch_add(&next_bit, 1);
}

static void publish_placed(void)
{
	for (int i = 0; i < 2; i++) {
		struct bracket b = BRACKET(&b);
		uint64_t known = load_acquire(&next_bit);

		x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
		x_assert(known < 2 || b.open == 3);
		mirror_invalidate_range_end(list, &b.range);
		x_assert(!b.open);
	}
}

/* ---- register and unregister beside brackets: the memory is used again ---- */

static void come_and_go(void)
{
	for (int i = 1; i < NR_DEVICES; i++) {
		enroll(i);
		unregister(i);
	}
}

static void publish_with_first(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started & 1);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 1));
}

static void publish_with_first_twice(void)
{
	publish_with_first();
	publish_with_first();
}

/* A bracket that another thread ends. */
static struct bracket handed = BRACKET(&handed);

/* ---- whole-list mirrors in several blocks: blocks are taken out and added beside walks ---- */

static void five_devices(void)
{
	list_with(NULL, 0);
	devices(5, &device_ops);
}

/* The second of three blocks goes, and its memory is used again for the one behind the last. */
static void empty_second_block(void)
{
	unregister(2);
	unregister(3);
	for (int i = 0; i < 2; i++) {
		enroll(5);
		unregister(5);
	}
	enroll(5);
	enroll(6);
}

/* The last block goes, and another one comes. */
static void change_last_block(void)
{
	unregister(2);
	unregister(1);
	enroll(3);
	enroll(4);
}

static void publish_around_second_block(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert((b.started & 0x13) == 0x13); /* those that stay */
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & 0x13));
}

static void publish_around_last_block(void)
{
	struct bracket b = BRACKET(&b);
	uint64_t known = load_acquire(&registered);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started & 1 && (b.started & known) == known);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & ~UINT64_C(6)));
}

/* ---- memory is used again beside a callback that sleeps ---- */

static uint64_t asleep, ready, awake;

static int sleep_in_callback(struct mirror *m, const struct mirror_range *r)
{
	if (r->owner) {
		store_release(&asleep, 1);
		wait_for(&awake);
	}
	return on_start(m, r);
}

static const struct mirror_ops sleeping_ops = {
	.size = sizeof(sleeping_ops),
	.invalidate_range_start = sleep_in_callback,
	.invalidate_range_end = on_end,
};

static void one_sleeps(void)
{
	list_with(NULL, 0);
	devices(1, &sleeping_ops);
}

static void publish_asleep(void)
{
	struct bracket b = BRACKET(&b);

	b.range.owner = list;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started == 1);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!b.open);
}

/* What is retired before the other publisher begins is enough for the list to notice the sleeper. */
static void come_and_go_beside_sleeper(void)
{
	wait_for(&asleep);
	for (int i = 1; i < NR_DEVICES; i++) {
		if (i == NR_DEVICES - 1)
			store_release(&ready, 1);
		enroll(i);
		unregister(i);
	}
	store_release(&awake, 1);
}

static void publish_when_ready(void)
{
	wait_for(&ready);
	publish_with_first();
}

/* ---- the last place of a block is used again beside walks that count it ---- */

static void change_second(void)
{
	unregister(1);
	enroll(2);
}

/* The one that joins may be called from the start on, or not at all. */
static void publish_beside_change(void)
{
	struct bracket b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started & 1);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!(b.open & ~UINT64_C(2)));
}

/* An end goes over the array backwards: of a bracket that began before the change. */
static void two_and_open(void)
{
	two_devices();
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
}

static void end_two(void)
{
	mirror_invalidate_range_end(list, &handed.range);
	x_assert(handed.started == 3 && !(handed.open & ~UINT64_C(2)));
}

/* ---- in a callback ---- */

static int enroll_in_callback(struct mirror *m, const struct mirror_range *r)
{
	int rc = on_start(m, r);

	if (r->owner && !dev[1]) {
		dev[1] = new_device(1);
		x_assert(mirror_register(list, &dev[1]->mirror, &device_ops) == 0);
	}
	return rc;
}

static const struct mirror_ops enrolling_ops = {
	.size = sizeof(enrolling_ops),
	.invalidate_range_start = enroll_in_callback,
	.invalidate_range_end = on_end,
};

static void one_enrolls(void)
{
	list_with(NULL, 0);
	devices(1, &enrolling_ops);
}

static void publish_enrolls(void)
{
	struct bracket b = BRACKET(&b), c = BRACKET(&c);

	b.range.owner = list;
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	x_assert(b.started == 1);
	x_assert(mirror_invalidate_range_start(list, &c.range) == 0);
	x_assert(c.started == 3);
	mirror_invalidate_range_end(list, &b.range);
	mirror_invalidate_range_end(list, &c.range);
	x_assert(!b.open && !c.open);
}

/* ---- M3: brackets overlap, and end in another thread ---- */

static uint64_t is_handed;

static void start_and_hand(void)
{
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
	store_release(&is_handed, 1);
}

static void end_handed(void)
{
	wait_for(&is_handed);
	mirror_invalidate_range_end(list, &handed.range);
}

static void publish_crossed(void)
{
	struct bracket a = BRACKET(&a), b = BRACKET(&b);

	x_assert(mirror_invalidate_range_start(list, &a.range) == 0);
	x_assert(mirror_invalidate_range_start(list, &b.range) == 0);
	mirror_invalidate_range_end(list, &a.range);
	mirror_invalidate_range_end(list, &b.range);
	x_assert(!((a.open | b.open) & 1));
}

/* ---- M4: refusal ---- */

static int refuse_third(struct mirror *m, const struct mirror_range *r)
{
	struct device *d = (struct device *)m;

	if (r->data && d->bit == 4) {
		work_with(d);
		return -EAGAIN;
	}
	return on_start(m, r);
}

static const struct mirror_ops refusing_ops = {
	.size = sizeof(refusing_ops),
	.invalidate_range_start = refuse_third,
	.invalidate_range_end = on_end,
};

static void third_refuses(void)
{
	list_with(NULL, 0);
	devices(3, &refusing_ops);
}

static void publish_refused(void)
{
	struct bracket b = BRACKET(&b);
	int rc;

	b.range.flags = 0;
	rc = mirror_invalidate_range_start(list, &b.range);
	if (rc == 0) {
		mirror_invalidate_range_end(list, &b.range);
		return;
	}
	x_assert(rc == -EAGAIN);
	x_assert(b.started & 1 && !(b.open & 1)); /* the first is there throughout */
	x_assert(!(b.started & 8));
}

/* The only one that refuses, in front of others. */
static int refuse_first(struct mirror *m, const struct mirror_range *r)
{
	const struct device *d = (struct device *)m;

	return r->data && d->bit == 1 ? -EAGAIN : on_start(m, r);
}

static const struct mirror_ops refusing_first_ops = {
	.size = sizeof(refusing_first_ops),
	.invalidate_range_start = refuse_first,
	.invalidate_range_end = on_end,
};

static void first_refuses(void)
{
	list_with(NULL, 0);
	devices(2, &refusing_first_ops);
}

static void publish_refused_at_once(void)
{
	struct bracket b = BRACKET(&b);
	int rc;

	b.range.flags = 0;
	rc = mirror_invalidate_range_start(list, &b.range);
	x_assert(rc == -EAGAIN);
	x_assert(!b.started);
}

static void enroll_fourth(void)
{
	enroll(3);
}

static void enroll_third(void)
{
	enroll(2);
}

/* ---- M17: destroy ---- */

static void open_bracket(void)
{
	list_with(NULL, 0);
	x_assert(mirror_invalidate_range_start(list, &handed.range) == 0);
}

static void end_open(void)
{
	mirror_invalidate_range_end(list, &handed.range);
}

static void destroy_if_possible(void)
{
	int rc = mirror_list_destroy(list);

	x_assert(rc == 0 || rc == -EBUSY);
	note[0] = rc == 0;
}

static void destroyed_or_not(void)
{
	x_assert(note[0] || mirror_list_destroy(list) == 0);
}

const struct x_scenario x_scenarios[] = {
	{ MIRROR, .name = "list-register", .claim = "M1: every bracket after register, and no end without start (A)",
	  .setup = one_device, .thread = { publish_known, enroll_second }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-visit", .claim = "M18: a visit calls for every mirror that is registered",
	  .setup = one_device, .thread = { visit_known, enroll_second }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-register-first", .claim = "M1: the same for a list's first mirror",
	  .setup = no_device, .thread = { publish_known, enroll_first }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-register-two", .claim = "M1: two, one after the other, beside two publishers",
	  .setup = no_device, .thread = { publish_known, publish_known, enroll_two }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "list-register-many", .claim = "M1: two at once: all or none", .setup = no_device,
	  .thread = { publish_all_or_none, enroll_both_at_once }, .check = destroyed, .quick = 4, .full = 8 },
	{ MIRROR, .name = "list-register-many-beside", .claim = "M1: the same while another one joins",
	  .setup = no_device, .thread = { publish_all_or_none, enroll_both_at_once, enroll_mute_range },
	  .check = destroyed, .quick = 2, .full = 3 },
	{ MIRROR, .name = "list-register-both", .claim = "M2: two threads register: one order for all brackets",
	  .setup = no_device, .thread = { enroll_mine, enroll_mine, publish_placed }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "list-register-grows", .claim = "M1: while blocks are added",
	  .setup = one_device, .thread = { publish_known, enroll_three }, .check = destroyed, .quick = 3, .full = 5 },
	{ MIRROR_WITH(X_ALLOC_FAILS), .prepare = first_use, .name = "list-register-fails",
	  .claim = "M1: without memory nothing changes", .setup = one_device,
	  .thread = { publish_with_first, enroll_with_luck }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-register-nested", .claim = "M1, M3: in a callback, with brackets that cross",
	  .setup = one_enrolls, .thread = { publish_enrolls, publish_crossed }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "list-reclaim", .claim = "M13: memory is used again when no walk can see it",
	  .setup = one_device, .thread = { publish_with_first, come_and_go }, .check = destroyed,
	  .quick = 1, .full = 3 },
	{ MIRROR, .name = "list-blocks", .claim = "M2: in order, and each, while a block between others goes",
	  .setup = five_devices, .thread = { publish_around_second_block, empty_second_block }, .check = destroyed,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "list-blocks-last", .claim = "M1, M2: the same while the last block goes, and another comes",
	  .setup = three_devices, .thread = { publish_around_last_block, change_last_block }, .check = destroyed,
	  .quick = 2, .full = 3 },
	{ MIRROR, .name = "list-stalled", .claim = "M13: beside a walk that sleeps, memory is used again that none can see",
	  .setup = one_sleeps, .thread = { publish_asleep, come_and_go_beside_sleeper, publish_when_ready },
	  .check = destroyed, .quick = 1, .full = 3 },
	{ MIRROR, .name = "list-place", .claim = "M1: a place used again is not that of a mirror that left (B)",
	  .setup = two_devices, .thread = { publish_beside_change, change_second }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-place-end", .claim = "M2: nor in an end, which goes backwards", .setup = two_and_open,
	  .prepare = NULL, .thread = { end_two, change_second }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-unregister", .claim = "M2: a bracket beside unregister ends whom it started",
	  .setup = three_devices, .thread = { publish_with_first_twice, unregister_second }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-handed", .claim = "M3: a bracket ends in another thread, beside register",
	  .setup = one_device, .thread = { start_and_hand, end_handed, enroll_second }, .check = destroyed,
	  .quick = 2, .full = 4 },
	{ MIRROR, .name = "list-crossed", .claim = "M3: brackets that overlap, beside unregister",
	  .setup = two_devices, .thread = { publish_crossed, unregister_second }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-refuse", .claim = "M4: a refusal undoes exactly what was done",
	  .setup = third_refuses, .thread = { publish_refused, unregister_second }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-refuse-late", .claim = "M4: the same beside register", .setup = third_refuses,
	  .thread = { publish_refused, enroll_fourth }, .check = destroyed, .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-refuse-first", .claim = "M4: where the first refuses no other hears of it",
	  .setup = first_refuses, .thread = { publish_refused_at_once, enroll_third }, .check = destroyed,
	  .quick = 3, .full = 6 },
	{ MIRROR, .name = "list-destroy", .claim = "M17: destroy beside the end of the last bracket",
	  .setup = open_bracket, .prepare = NULL, .thread = { end_open, destroy_if_possible },
	  .check = destroyed_or_not, .quick = 3, .full = 6 },
	{ .name = NULL },
};
