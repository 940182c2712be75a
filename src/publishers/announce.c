/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A publisher's lists: who hears of a change, and how a list goes away while others publish
 *
 * State
 *	is_taken                under lock: a list is there, or a stop waits for those who are in it
 *	list, start, end        written under lock, start and end before list; NULL where there is none
 *	nr_open                 calls that have a bracket open there, or look whether they may; each caller's own
 *	mine                    the same of this thread alone
 *
 * To announce: count yourself in, look at the list, open the bracket if it is there.  To stop: take the list out, then
 * wait until nobody is counted.  The count is changed before the list is read, and the list before the count, so that
 * not both can miss each other.  The next list gets the place when stop has waited: until then who leaves finds no list,
 * and wakes it.
 *
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | enter | my count -> read of list | full | B | a bracket on a dead list | announce-stop |
 * | B | announce_stop | list = NULL -> read of count | full | A, G | the same; a stop sleeps for ever | announce-stop |
 * | C | leave | bracket's accesses -> my count | release | D | an end on a dead list | announce-stop |
 * | D | announce_stop | read of count -> return | acquire | C | the same | announce-stop |
 * | E | put | start, end -> list | release | F | a call through an old pointer | announce-again |
 * | F | enter | read of list -> start, end | acquire | E | the same | announce-again |
 * | G | leave | my count -> read of list | full | B | a stop sleeps for ever | announce-stop |
 *
 * A change that has two parts, or is heard by several lists, is a recursion: each step opens one bracket and closes it
 * when the steps within have returned, the innermost makes the change.
 */
#include "announce.h"

#include "../mutant.h"
#include "../port.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

struct place {
	bool is_taken;
	struct mirror_list *list;
	int (*start)(struct mirror_list *list, struct mirror_range *r);
	void (*end)(struct mirror_list *list, struct mirror_range *r);
	uint32_t nr_open;
};

static struct place places[ANNOUNCE_MAX_LISTS];
static struct port_mutex lock = PORT_MUTEX_INITIALIZER;

/* The explorer's threads have this by another way. */
#ifndef mine
static _Thread_local unsigned mine[ANNOUNCE_MAX_LISTS] __attribute__((tls_model("initial-exec")));
#endif

static void leave(struct place *p)
{
	uint32_t nr;

	mine[p - places]--;
	/* C (pairs with D): what the bracket did comes before the count by which announce_stop goes on. */
	nr = fetch_add(&p->nr_open, -1u);
	/* G (pairs with B): either this finds the list gone, or announce_stop finds the count. */
	fence_full();
	if (nr == 1 && !load_relaxed(&p->list))
		port_futex_wake(&p->nr_open, INT_MAX);
}

/* The list, which stays until leave; NULL: there is none. */
static struct mirror_list *enter(struct place *p)
{
	struct mirror_list *list;

	/* A free place costs a look.  A list that was put there a moment ago is seen by later calls. */
	if (!load_relaxed(&p->list))
		return NULL;
	mine[p - places]++;
	/* A (pairs with B): either this finds the list gone, or announce_stop finds the count. */
	fetch_add(&p->nr_open, 1);
	fence_full();
	/* F (pairs with E): its functions are read after it. */
	list = load_acquire(&p->list);
	if (!list)
		leave(p);
	return list;
}

struct bracket {
	struct place *place;
	struct mirror_list *list;
	struct mirror_range range;
	bool is_open;
};

/* Also where an exception leaves a callback. */
static void close_bracket(struct bracket *b)
{
	if (b->is_open)
		b->place->end(b->list, &b->range);
	leave(b->place);
}

static void announce_from(struct announce_change *c, unsigned step);

static void bracketed(struct announce_change *c, unsigned step, struct mirror_list *list)
{
	const struct mirror_extent *part = &c->parts[step % c->nr_parts];
	struct bracket b __attribute__((cleanup(close_bracket))) = {
		.place = &places[step / c->nr_parts],
		.list = list,
		.range = { .start = part->start, .end = part->end, .event = c->event, .flags = MIRROR_RANGE_BLOCKABLE,
			   .data = c->data },
	};

	if (b.place->start(list, &b.range)) {
		c->refuse(c);
		return;
	}
	b.is_open = true;
	announce_from(c, step + 1);
}

static void announce_from(struct announce_change *c, unsigned step)
{
	for (; step < ANNOUNCE_MAX_LISTS * c->nr_parts; step++) {
		struct mirror_list *list = enter(&places[step / c->nr_parts]);

		if (list) {
			bracketed(c, step, list);
			return;
		}
	}
	c->make(c);
}

void announce(struct announce_change *c)
{
	if (c->nr_parts)
		announce_from(c, 0);
	else
		c->make(c);
}

/* ---- lists come and go ---- */

static struct place *place_of(const struct mirror_list *list)
{
	for (unsigned i = 0; i < ANNOUNCE_MAX_LISTS; i++)
		if (load_relaxed(&places[i].list) == list)
			return &places[i];
	return NULL;
}

static struct place *free_place(void)
{
	for (unsigned i = 0; i < ANNOUNCE_MAX_LISTS; i++)
		if (!places[i].is_taken)
			return &places[i];
	return NULL;
}

static int put(struct mirror_list *list, int (*start)(struct mirror_list *list, struct mirror_range *r),
	       void (*end)(struct mirror_list *list, struct mirror_range *r))
{
	struct place *p;

	if (place_of(list))
		return -EALREADY;
	p = free_place();
	if (!p)
		return -ENOSPC;
	p->is_taken = true;
	p->start = start;
	p->end = end;
	/* E (pairs with F): the functions come before the list. */
	store_release(&p->list, list);
	return 0;
}

int announce_start(struct mirror_list *list, int (*start)(struct mirror_list *list, struct mirror_range *r),
		   void (*end)(struct mirror_list *list, struct mirror_range *r))
{
	int err;

	if (!list || !start || !end)
		return -EINVAL;
	port_mutex_lock(&lock);
	err = put(list, start, end);
	port_mutex_unlock(&lock);
	return err;
}

int announce_stop(struct mirror_list *list)
{
	struct place *p;
	uint32_t nr;

	if (!list)
		return -EINVAL;
	port_mutex_lock(&lock);
	p = place_of(list);
	if (!p || mine[p - places]) {
		port_mutex_unlock(&lock);
		return p ? -EDEADLK : -ENOENT;
	}
	store_relaxed(&p->list, NULL);
	p->is_taken = broken_if(STOP_FREES_EARLY, false, true);
	port_mutex_unlock(&lock);
	/* B (pairs with A, G): who is counted after this finds no list. */
	fence_full();
	/* D (pairs with C): what the brackets did is over. */
	while ((nr = load_acquire(&p->nr_open)) != 0)
		port_futex_wait(&p->nr_open, nr, PORT_FOREVER);
	port_mutex_lock(&lock);
	p->is_taken = false;
	port_mutex_unlock(&lock);
	return 0;
}

/* ---- forks ---- */

static void before_fork(void)
{
	port_mutex_lock(&lock);
}

static void in_parent(void)
{
	port_mutex_unlock(&lock);
}

/* The brackets of the other threads are gone, and so are their stops. */
static void in_child(void)
{
	for (unsigned i = 0; i < ANNOUNCE_MAX_LISTS; i++) {
		store_relaxed(&places[i].nr_open, mine[i]);
		places[i].is_taken = load_relaxed(&places[i].list) != NULL;
	}
	port_mutex_unlock(&lock);
}

__attribute__((constructor)) static void hook_fork(void)
{
	if (port_at_fork(before_fork, in_parent, in_child))
		abort();
}
