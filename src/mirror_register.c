/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Register: a mirror joins its list
 *
 * State.  entry->joined, list->seq, list->whole, the index and list->nr_ranges, from which ties come, all written under
 * list->lock (mirror_list.h).
 *
 * Algorithm
 *   1. Take the entries, and what the array or the index will need.  The lock is given up while memory is allocated.
 *   2. Put each entry in the next place of the array, or in the index.  A range's entry is in the index before it has
 *      joined: joined is NEVER, so no walk calls it.
 *   3. Give each entry the next number as joined, and let seq become the last of them: one store, and all have joined.
 *
 * Why it is safe
 *   1. A bracket that reads seq finds every entry with joined <= seq: A below.
 *
 *          register                           a bracket
 *          e->joined = seq + 1                S = seq, acquire (mirror_walk.c:A)
 *          array->place[used] = e             read the array, the index
 *          A: seq = seq + 1, release          call each entry with joined <= S
 *
 *      (list-register; mutant REGISTER_NO_RELEASE)
 *   2. A place behind the last entry may be used again beside a walk that has counted it before.  Such a walk sees when
 *      the new entry joined, B: after the walk's S, so the walk does not call it.
 *
 *          unregister, register               a bracket
 *                                             S = seq; nr = array->used
 *          array->place[i] = NULL
 *          array->used = i
 *          f->joined = seq + 1
 *          B: array->place[i] = f, release
 *                                             e = array->place[i], acquire (mirror_order.h:A)
 *                                             e->joined > S: not called
 *
 *      (list-place, list-place-end; mutants PLACE_NO_RELEASE, PLACE_TRUSTED)
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | register | the entry before seq | release | mirror_walk.c:A, mirror_visit.c:A | a bracket misses a mirror that it should call | list-register |
 * | B | register | the entry before its place, which a walk may have counted before | release | mirror_order.h:A | a bracket calls a mirror that joined later | list-place |
 */

#include "mirror_fill.h"
#include "mirror_memory.h"
#include "mirror_pin.h"
#include "sizes.h"

#include <errno.h>

static uint32_t state_of_new(const struct mirror_list *list, const struct mirror_ops *ops)
{
	uint32_t state = list->stall_ns || !list->membarrier ? ENTRY_WATCHED : 0;

	if (ops->invalidate_range_start)
		state |= ENTRY_HAS_START;
	if (ops->invalidate_range_end)
		state |= ENTRY_HAS_END;
	if (ops->size > offsetof(struct mirror_ops, finish) && ops->finish)
		state |= ENTRY_HAS_FINISH;
	return state;
}

/* Under lock, which it gives up meanwhile: entries for all; those of ranges are put in the index. */
static int make_entries(struct mirror_list *list, struct mirror *const *mirrors,
			const struct mirror_extent *ranges, size_t count, size_t *made)
{
	struct mirror__entry *e;

	for (*made = 0; *made < count; ++*made) {
		const struct mirror_extent *range = ranges ? &ranges[*made] : NULL;
		struct mirror *m = mirrors[*made];

		e = get_entry_(list);
		if (!e)
			return -ENOMEM;
		*e = (struct mirror__entry){
			.mirror = m,
			.start = m->ops->invalidate_range_start,
			.end = m->ops->invalidate_range_end,
			.item.first = range ? range->start : 0,
			.item.last = range ? range->end - 1 : UINT64_MAX,
			.item.tie = range ? ++list->nr_ranges : 0,
			.state = state_of_new(list, m->ops),
		};
		store_relaxed(&e->joined, NEVER); /* walks may see it in the index before it has joined */
		if (range && get_nodes_(list)) {
			retire_entry_(list, e);
			return -ENOMEM;
		}
		m->mirror__place = IN_INDEX;
		m->mirror__proxy = NULL;
		store_relaxed(&m->mirror__entry, e);
		if (range)
			index_insert(&list->index, &e->item, m);
	}
	retire_nodes_(list);
	return ranges ? 0 : get_places_(list, count);
}

/* Under lock: @m gets the next place. */
static void put_in_array(struct mirror_list *list, struct mirror *m)
{
	struct whole_array *array = list->whole;

	m->mirror__place = array->used;
	/* B (pairs with mirror_order.h:A): the entry before its place. */
	store_release_unless(PLACE_NO_RELEASE, &array->place[array->used], m->mirror__entry);
	store_release(&array->used, array->used + 1);
	list->nr_live++;
}

/* Under lock: all of them have joined, in this order. */
static void join(struct mirror_list *list, struct mirror *const *mirrors, bool whole, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];

		store_relaxed(&m->mirror__entry->joined, list->seq + 1 + i);
		if (whole)
			put_in_array(list, m);
		m->mirror__list = list;
		m->mirror__settle = UNSETTLED;
		store_relaxed(&m->mirror__fills_from, NEVER);
		store_relaxed(&m->mirror__started, 0);
		store_relaxed(&m->mirror__ended, 0);
		set_state_(m, STATE_REGISTERED);
	}
	list->nr_mirrors += count;
	/* A (pairs with mirror_walk.c:A, mirror_visit.c:A): entries first. */
	store_release_unless(REGISTER_NO_RELEASE, &list->seq, list->seq + count);
}

/* Under lock: no bracket has called them. */
static void take_back(struct mirror_list *list, struct mirror *const *mirrors, bool in_index, size_t made)
{
	for (size_t i = 0; i < made; i++) {
		struct mirror__entry *e = mirrors[i]->mirror__entry;

		if (in_index)
			index_remove(&list->index, &e->item);
		retire_entry_(list, e);
	}
	retire_nodes_(list);
}

/* If the sync is a lock, the caller holds it. */
static int insert(struct mirror_list *list, struct mirror *const *mirrors, const struct mirror_extent *ranges,
		  size_t count)
{
	struct garbage garbage = { 0 };
	size_t made = 0;
	int rc = 0;

	gate_lock(&list->lock);
	if (!list->released)
		rc = make_entries(list, mirrors, ranges, count, &made);
	if (list->released) /* looked at again, because the lock was given up */
		rc = -ESHUTDOWN;
	if (rc)
		take_back(list, mirrors, ranges, made);
	else
		join(list, mirrors, !ranges, count);
	reclaim_(list, &garbage);
	gate_unlock(&list->lock);
	free_arrays_(list, &garbage);
	return rc;
}

/*
 * Claim each mirror, so that no other call registers it.  @claimed counts them; mirror__settle, not used until the
 * mirror has joined, keeps the state from before.
 */
static int claim_joining(struct mirror *const *mirrors, const struct mirror_extent *ranges, size_t count,
			 size_t *claimed)
{
	for (*claimed = 0; *claimed < count; ++*claimed) {
		struct mirror *m = mirrors[*claimed];

		if (!m || (ranges && ranges[*claimed].start > ranges[*claimed].end - 1)) /* an end of 0 is 2^64 */
			return -EINVAL;
		if (get_state_(m) != STATE_NONE && get_state_(m) != STATE_GONE)
			return -EBUSY;
		m->mirror__settle = get_state_(m);
		set_state_(m, STATE_JOINING);
	}
	return 0;
}

static int add(struct mirror_list *list, struct mirror *const *mirrors, const struct mirror_ops *ops,
	       const struct mirror_extent *ranges, size_t count)
{
	size_t claimed;
	int rc;

	if (!list || !ops)
		return -EINVAL;
	rc = check_size(ops, ops->size, offsetof(struct mirror_ops, finish), sizeof(*ops));
	if (rc)
		return rc;
	rc = claim_joining(mirrors, ranges, count, &claimed);
	if (!rc)
		rc = !list->grace_period && in_callback_(list) ? -EDEADLK : begin_change_(list, PORT_FOREVER);
	if (!rc) {
		for (size_t i = 0; i < count; i++)
			mirrors[i]->ops = ops;
		rc = insert(list, mirrors, ranges, count);
		end_change_(list);
	}
	for (size_t i = 0; rc && i < claimed; i++)
		set_state_(mirrors[i], (enum mirror_state)mirrors[i]->mirror__settle);
	return rc;
}

int mirror_register(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops)
{
	return add(list, &m, ops, NULL, 1);
}

int mirror_register_range(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops,
			  uint64_t start, uint64_t end)
{
	const struct mirror_extent range = { start, end };

	return add(list, &m, ops, &range, 1);
}

int mirror_register_many(struct mirror_list *list, struct mirror *const *mirrors,
			 const struct mirror_ops *ops, const struct mirror_extent *ranges,
			 size_t count)
{
	if (!mirrors && count)
		return -EINVAL;
	return add(list, mirrors, ops, ranges, count);
}
