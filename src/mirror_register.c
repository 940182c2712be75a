/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Register: a mirror joins its list
 *
 * State.  entry->joined, list->seq, the blocks, the index and list->nr_ranges, from which ties come, all written under
 * list->lock (mirror_list.h).
 *
 * Algorithm
 *   1. Take the entries, and what the blocks or the index will need.  The lock is given up while memory is allocated,
 *      and between batches.  A range's entry is in the index before it has joined: joined is NEVER, so no walk calls it.
 *   2. Give each entry the next number as joined, put it in the next place of the last block if it is for the whole
 *      list, and let seq become the last of the numbers: one store, and all have joined.
 *   3. If they are more than a light batch, the lock is given up meanwhile, and others join.  So the numbers begin far
 *      above seq, and others' do not come so far.  One thread at a time joins in this way, or in the blocks, whose
 *      order is that of the numbers: it has the turn.  Release waits for it.
 *
 * Why it is safe
 *   1. A bracket that reads seq finds every entry with joined <= seq: A below.
 *
 *          register                           a bracket
 *          e->joined = seq + 1                S = seq, acquire (mirror_walk.c:A)
 *          block->place[used] = e             read the blocks, the index
 *          A: seq = seq + 1, release          call each entry with joined <= S
 *
 *      (list-register; mutant REGISTER_NO_RELEASE)
 *   2. A place behind the last entry may be used again beside a walk that has counted it before.  Such a walk sees when
 *      the new entry joined: after the walk's S, so the walk does not call it.
 *
 *          unregister, register               a bracket
 *                                             S = seq; nr = block->used
 *          block->place[i] = NULL
 *          block->used = i
 *          f->joined = seq + 1
 *          block->place[i] = f, release (mirror_blocks.c:B)
 *                                             e = block->place[i], acquire (mirror_order.h:A)
 *                                             e->joined > S: not called
 *
 *      (list-place, list-place-end; mutants PLACE_NO_RELEASE, PLACE_TRUSTED)
 *
 *   3. No bracket calls a part of many: its S is below all their numbers, or it read seq after the one store.
 *      (list-register-many-beside; mutant JOIN_NOT_AHEAD)
 *   4. A turn ends: the thread has allocated its memory before it, and then waits for list->lock alone.  If it vanishes
 *      with a fork, what it was registering stays in the child's list: without a number it is never called, and with
 *      one from the next registration of many on.
 *
 * Cost.  The lock is held for 8 mirrors at a time, or for 64 where they are not put into the index.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | register | the entry before seq | release | mirror_walk.c:A, mirror_visit.c:A | a bracket misses a mirror that it should call | list-register |
 */

#include "mirror_blocks.h"
#include "mirror_fill.h"
#include "mirror_memory.h"
#include "mirror_pin.h"
#include "mirror_waits.h"
#include "sizes.h"

#include <errno.h>

/*
 * How far ahead the numbers of more than a light batch are: others that join meanwhile, one by one, do not come so far.
 * A list on which a thread does nothing but register so many reaches the end of 64 bits after a year.
 */
#define JOIN_AHEAD ((uint64_t)1 << 28)

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
		if (range) {
			index_insert(&list->index, &e->item, m);
			retire_nodes_(list);
		}
		if ((*made + 1) % LOCK_BATCH == 0)
			gate_relock(&list->lock);
	}
	return 0;
}

/*
 * Under lock, which it gives up meanwhile: it is this thread's turn to join by more than one section of the lock, or to
 * be in a block, where it then finds @places.  A thread that vanished with a fork has no turn.  0 or -ENOMEM: then it
 * is not this thread's turn.
 */
static int take_turn(struct mirror_list *list, size_t places)
{
	int rc;

	do {
		wait_for_turn_(list);
		rc = places ? get_places_(list, places) : 0;
		if (rc)
			return rc;
	} while (process_has(list->joiner)); /* another one took it while the lock was given up */
	list->joiner = process_self();
	return 0;
}

static void end_turn(struct mirror_list *list)
{
	list->joiner = 0;
	if (load_relaxed(&list->event.word) & 1) /* set under lock */
		event_signal(&list->event);
}

/* Under lock: these will have joined, in this order, once list->seq is @first and more. */
static void number(struct mirror_list *list, struct mirror *const *mirrors, bool whole, size_t count, uint64_t first)
{
	for (size_t i = 0; i < count; i++) {
		struct mirror *m = mirrors[i];

		store_relaxed(&m->mirror__entry->joined, first + i);
		if (whole)
			put_in_block_(list, m);
		m->mirror__list = list;
		m->mirror__settle = UNSETTLED;
		store_relaxed(&m->mirror__fills_from, NEVER);
		store_relaxed(&m->mirror__started, 0);
		store_relaxed(&m->mirror__ended, 0);
		set_state_(m, STATE_REGISTERED);
	}
	list->nr_mirrors += count;
}

/* Under lock, which it gives up meanwhile if they are many: all of them join at once. */
static void join(struct mirror_list *list, struct mirror *const *mirrors, bool whole, size_t count)
{
	uint64_t first = list->seq + 1 + (count > LIGHT_BATCH ? broken_if(JOIN_NOT_AHEAD, 0, JOIN_AHEAD) : 0);

	for (size_t i = 0, nr; i < count; i += nr) {
		nr = count - i < LIGHT_BATCH ? count - i : LIGHT_BATCH;
		if (i)
			gate_relock(&list->lock);
		number(list, mirrors + i, whole, nr, first + i);
	}
	/* A (pairs with mirror_walk.c:A, mirror_visit.c:A): entries first. */
	store_release_unless(REGISTER_NO_RELEASE, &list->seq, first + count - 1);
}

/* Under lock, which it gives up meanwhile: no bracket has called them. */
static void take_back(struct mirror_list *list, struct mirror *const *mirrors, bool in_index, size_t made)
{
	for (size_t i = 0; i < made; i++) {
		struct mirror__entry *e = mirrors[i]->mirror__entry;

		if (in_index) {
			index_remove(&list->index, &e->item);
			retire_nodes_(list);
		}
		retire_entry_(list, e);
		if ((i + 1) % LOCK_BATCH == 0)
			gate_relock(&list->lock);
	}
}

/* If the sync is a lock, the caller holds it. */
static int insert(struct mirror_list *list, struct mirror *const *mirrors, const struct mirror_extent *ranges,
		  size_t count)
{
	struct garbage garbage = { 0 };
	bool in_turn = !ranges || count > LIGHT_BATCH, took_turn;
	size_t made = 0;
	int rc = 0;

	gate_lock(&list->lock);
	if (!list->released)
		rc = make_entries(list, mirrors, ranges, count, &made);
	if (!rc && in_turn)
		rc = take_turn(list, ranges ? 0 : count);
	took_turn = !rc && in_turn;
	if (list->released) /* looked at again, because the lock was given up */
		rc = -ESHUTDOWN;
	if (!rc)
		join(list, mirrors, !ranges, count);
	if (took_turn)
		end_turn(list);
	if (rc)
		take_back(list, mirrors, ranges, made);
	reclaim_(list, &garbage);
	gate_unlock(&list->lock);
	free_chunks_(list, &garbage);
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
	struct wait wait;
	size_t claimed;
	int rc;

	if (!list || !ops)
		return -EINVAL;
	rc = check_size(ops, ops->size, offsetof(struct mirror_ops, finish), sizeof(*ops));
	if (rc)
		return rc;
	rc = claim_joining(mirrors, ranges, count, &claimed);
	if (!rc)
		rc = !list->grace_period && in_callback_(list) ? -EDEADLK : begin_shown_change_(list, &wait);
	if (!rc) {
		for (size_t i = 0; i < count; i++)
			mirrors[i]->ops = ops;
		rc = insert(list, mirrors, ranges, count);
		end_shown_change_(list, &wait);
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
