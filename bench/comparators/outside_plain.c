/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Lists without libmirror beside the outside systems, as dispatchers: a publication is a bracket of a plain list. */
#include "comparators.h"

#include <errno.h>

#include "outside.h"
#include "plain.h"

struct member {
	struct bench_mirror mirror;
	struct outside_subscriber *subscriber;
};

struct members {
	struct bench_list list;
	struct member all[];
};

static int hear(struct mirror *m, const struct mirror_range *r)
{
	const struct member *member = (const struct member *)((char *)m - offsetof(struct member, mirror.mirror));

	(void)r;
	outside_hear(member->subscriber);
	return 0;
}

static const struct mirror_ops hear_ops = { .size = sizeof(hear_ops), .invalidate_range_start = hear };

static int open_over(void **state, unsigned nr, struct outside_subscriber *subscribers,
		     const struct bench_comparator *comparator)
{
	struct members *members = bench_calloc(sizeof(*members) + nr * sizeof(members->all[0]));
	int err = -ENOMEM;

	if (members)
		err = bench_list_open(&members->list, comparator);
	if (err) {
		free(members);
		return err;
	}
	for (unsigned i = 0; i < nr; i++)
		members->all[i].subscriber = &subscribers[i];
	*state = members;
	return 0;
}

static void close_members(void *state)
{
	bench_list_close(&((struct members *)state)->list);
	free(state);
}

static int join(void *state, unsigned subscriber)
{
	struct members *members = state;

	return bench_register(&members->list, &members->all[subscriber].mirror, &hear_ops);
}

static int leave(void *state, unsigned subscriber)
{
	struct members *members = state;

	return bench_unregister(&members->list, &members->all[subscriber].mirror);
}

static void publish(void *state, uint64_t start, uint64_t end)
{
	const struct bench_list *list = &((struct members *)state)->list;
	struct mirror_range range = { .start = start, .end = end, .flags = MIRROR_RANGE_BLOCKABLE };

	if (bench_start(list, &range) == 0)
		bench_end(list, &range);
}

static int open_bare(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	return open_over(state, nr, subscribers, &comparator_bare);
}

static int open_rwlock(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	return open_over(state, nr, subscribers, &comparator_list_rwlock);
}

static const struct outside_dispatcher over_bare = { open_bare, close_members, join, leave, publish };
static const struct outside_dispatcher over_rwlock = { open_rwlock, close_members, join, leave, publish };

static const struct outside bare = { &over_bare, NULL };
static const struct outside rwlock = { &over_rwlock, NULL };

const struct bench_comparator outside_bare = {
	.name = "bare",
	.about = "a bare loop over an array of the mirrors: the limit",
	.list_is_frozen = true,
	.own = &bare,
};

const struct bench_comparator outside_list_rwlock = {
	.name = "list-rwlock",
	.about = "a linked list with a range check under a pthread_rwlock, without libmirror",
	.library = "C library",
	.own = &rwlock,
};

#ifdef HAVE_URCU
static int open_urcu(void **state, unsigned nr, struct outside_subscriber *subscribers)
{
	return open_over(state, nr, subscribers, &comparator_list_urcu);
}

static const struct outside_dispatcher over_urcu = { open_urcu, close_members, join, leave, publish };

static const struct outside urcu = { &over_urcu, NULL };

static void setup(void)
{
	comparator_list_urcu.thread_setup();
}

static void teardown(void)
{
	comparator_list_urcu.thread_teardown();
}

const struct bench_comparator outside_list_urcu = {
	.name = "list-urcu",
	.about = "a linked list with a range check in a section of liburcu's membarrier flavour, without libmirror",
	.thread_setup = setup,
	.thread_teardown = teardown,
	.own = &urcu,
};
#endif
