/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Publishing: which mirrors a bracket calls, and when
 *
 * Terms.  A bracket is two walks, its start and its end, with the change between them.  seq numbers the moments that
 * divide brackets: a registration, the return of a release, a mirror's first fill.
 *
 * State
 *   list->whole, index.root, seq      written under list->lock, each by a release store
 *   entry->joined, released, fills_from     NEVER, then once the number that seq gets next
 *   r->mirror__...        the bracket's: written by its start, read by its end
 *   walker                this thread's own (mirror_list.h)
 *
 * Algorithm
 *   1. The bracket becomes a handed-over section of list->brackets (for fills, and destroy).
 *   2. enter_: at depth 0 the sync's read_lock; at a greater depth, the walk is covered by the lock that the thread
 *      holds already.  Then it reads whether pins must fence (mirror_fence.c).
 *   3. The start reads seq once and keeps it in the range: S.
 *   4. An entry takes part in the bracket if joined <= S < released and the ranges overlap (takes_part,
 *      mirror_order.h).
 *   5. Start: in order, each entry that takes part is pinned (mirror_pin.c), and its callback is called unless it is
 *      dead.
 *   6. If one of them has a finish, a second pass calls it, by the same rule.
 *   7. A refusal, legal if the range is not blockable, ends the pass.  The mirrors that joined before the one that
 *      refused get their finish and their end.
 *   8. End: over the list of that moment, backwards, by the rule of 4 with the same S.  There is no walk if none of the
 *      mirrors that started has an end, or fills.
 *
 * Why it is safe
 *   1. Start and end choose by 4 alone, and 4 gives the same answer at any time: joined and released change once, from
 *      NEVER to a number greater than every S that was read before.  An entry that was dead at the start is dead at the
 *      end.  So the end calls exactly the mirrors that got the start and are still registered.  (t/mirror/basic; mutant
 *      END_FOR_LATE_JOINER)
 *
 *          a bracket                          another thread
 *          start: S = seq
 *          each entry with joined <= S
 *                                             e->joined = seq + 1; seq = seq + 1
 *          end: e->joined > S: not called
 *
 *   2. Every entry with joined <= S is in the array or the index that is read after S: it was put there before seq was
 *      written (mirror_register.c).  (list-register)
 *   3. The section is held for a walk, not for a bracket: a long bracket does not keep garbage.
 *   4. The order of places is the order of registration, because copying an array keeps it.
 *
 * Cost.  No lock, no shared write, no allocation: two increments for the bracket, a section for each walk, and for each
 * mirror called one store and one load of its own line.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | start | seq before the array and the index | acquire | mirror_register.c:A | a bracket misses a mirror that it should call | list-register |
 *
 * Sources: Linux mm/mmu_notifier.c v6.12; differences: doc/mirror.md.
 */

#include "mirror_fence.h"
#include "mirror_fill.h"
#include "mirror_order.h"
#include "mirror_pin.h"
#include "mirror_report.h"

#include <errno.h>

static const char START[] = "invalidate_range_start", END[] = "invalidate_range_end",
		  FINISH[] = "finish";

/* ---- brackets ---- */

static uintptr_t open_seal(const struct mirror_range *r)
{
	return (uintptr_t)r ^ (uintptr_t)0x6d6972726f72a55a;
}

/* What one pass of a walk found out about the mirrors that it called. */
struct pass_result {
	uint64_t calls;
	bool finishes;                  /* one of them has a finish */
	bool ends;                      /* the end has something to do for one of them */
};

static bool has_finish(const struct mirror_ops *ops)
{
	return ops->size == sizeof(*ops) && ops->finish;
}

/* 0, or nonzero: the mirror refused. */
static int start_one(const struct walk *walk, struct mirror__entry *e, const struct mirror_range *r,
		     struct pass_result *result)
{
	struct mirror *m;
	int rc = 0;

	if (counts_fills_(e, r->mirror__seq)) {
		fill_started_(e);
		result->ends = true;
	}
	if (!pin_(walk, e))
		return 0;
	m = e->mirror;
	if (m->ops->invalidate_range_end)
		result->ends = true;
	if (has_finish(m->ops))
		result->finishes = true;
	if (m->ops->invalidate_range_start) {
		result->calls++;
		rc = m->ops->invalidate_range_start(m, r);
	}
	unpin_(walk, e);
	return rc;
}

static void end_one(const struct walk *walk, struct mirror__entry *e, const struct mirror_range *r,
		    struct pass_result *result)
{
	struct mirror *m;

	if (pin_(walk, e)) {
		m = e->mirror;
		if (m->ops->invalidate_range_end) {
			result->calls++;
			m->ops->invalidate_range_end(m, r);
		}
		unpin_(walk, e);
	}
	if (counts_fills_(e, r->mirror__seq))
		fill_ended_(e);
}

static void count(uint64_t *total, uint64_t more)
{
	store_relaxed(total, *total + more); /* only this thread writes it; statistics read it */
}

static struct view view_of(const struct mirror_range *r, uint64_t before)
{
	return (struct view){ r->mirror__seq, r->mirror__first, r->mirror__last, before };
}

/*
 * A pass under way.  An exception out of a callback of a start undoes the start, as a refusal does.  After one out of
 * an end, the other mirrors still get their end.
 */
struct attempt {
	const struct walk *walk;        /* NULL: the pass is over */
	const struct mirror_range *range;
	struct mirror__entry *calling;  /* the entry that is being called, and counted open */
	uint64_t before;                /* entries that joined before this must get their end */
};

static void end_all(const struct walk *walk, const struct mirror_range *r, uint64_t before);

static void undo(struct attempt *attempt)
{
	const struct walk *walk = attempt->walk;
	struct mirror__entry *pinned;

	if (!walk)
		return;
	attempt->walk = NULL;
	pinned = load_relaxed(walk->pin);
	if (pinned)
		unpin_(walk, pinned);
	if (attempt->calling && counts_fills_(attempt->calling, attempt->range->mirror__seq))
		fill_ended_(attempt->calling);
	end_all(walk, attempt->range, attempt->before);
}

/* Backwards: the entries that joined before @before. */
static void end_all(const struct walk *walk, const struct mirror_range *r, uint64_t before)
{
	struct order order __attribute__((cleanup(order_end)));
	struct attempt attempt __attribute__((cleanup(undo))) = { walk, r, NULL, 0 };
	struct view view = view_of(r, before);
	struct pass_result result = { 0 };
	struct mirror__entry *e;

	store_relaxed(&walk->walker->what[depth_of_(walk->walker) - 1], END);
	order_begin(&order, walk->list, &view, true);
	while ((e = order_next(&order))) {
		attempt.calling = e;
		attempt.before = e->joined;
		end_one(walk, e, r, &result);
	}
	attempt.walk = NULL;
	count(&walk->walker->walks, 1);
	count(&walk->walker->callbacks, result.calls);
}

/* The second pass: all mirrors have started, now wait for each. */
static void finish_all(const struct walk *walk, const struct mirror_range *r, uint64_t before)
{
	struct order order __attribute__((cleanup(order_end)));
	struct view view = view_of(r, before);
	struct pass_result result = { 0 };
	struct mirror__entry *e;

	store_relaxed(&walk->walker->what[depth_of_(walk->walker) - 1], FINISH);
	order_begin(&order, walk->list, &view, false);
	while ((e = order_next(&order))) {
		struct mirror *m;

		if (!pin_(walk, e))
			continue;
		m = e->mirror;
		if (has_finish(m->ops)) {
			result.calls++;
			m->ops->finish(m, r);
		}
		unpin_(walk, e);
	}
	count(&walk->walker->callbacks, result.calls);
}

static int start_all(const struct walk *walk, struct mirror_range *r)
{
	struct order order __attribute__((cleanup(order_end)));
	struct attempt attempt __attribute__((cleanup(undo))) = { walk, r, NULL, 0 };
	bool blockable = r->flags & MIRROR_RANGE_BLOCKABLE, refused = false;
	struct pass_result result = { 0 };
	struct mirror__entry *e;
	struct view view;

	/* A (pairs with mirror_register.c:A): seq before the array and the index. */
	r->mirror__seq = load_acquire(&walk->list->seq);
	view = view_of(r, NEVER);
	order_begin(&order, walk->list, &view, false);
	while (!refused && (e = order_next(&order))) {
		attempt.calling = e;
		attempt.before = e->joined;
		if (start_one(walk, e, r, &result) == 0)
			continue;
		if (blockable)
			misuse_(walk->list, START, "a mirror refused a blockable range; it goes on");
		else
			refused = true;
	}
	if (!refused) {
		attempt.calling = NULL;
		attempt.before = NEVER;
	}
	count(&walk->walker->walks, 1);
	count(&walk->walker->callbacks, result.calls);
	if (FENCE_MODE_PERIOD && walk->walker->walks >= walk->walker->looks_at)
		choose_fence_mode_(walk->list, walk->walker);
	if (result.finishes)
		finish_all(walk, r, attempt.before);
	if (!refused) {
		attempt.walk = NULL;
		r->mirror__has_end = result.ends;
		return 0;
	}
	count(&walk->walker->refusals, 1);
	also_if(UNDO_ALL, attempt.before = NEVER);
	undo(&attempt);
	return -EAGAIN;
}

/* The bracket's section of list->brackets, given back unless the start succeeds. */
static void abandon(struct mirror_range **r)
{
	if (*r)
		usrcu_up_read((*r)->mirror__list->brackets, (*r)->mirror__token);
}

int mirror_invalidate_range_start(struct mirror_list *list, struct mirror_range *r)
{
	struct mirror_range *unfinished __attribute__((cleanup(abandon))) = NULL;
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	int rc;

	if (!list || !r || r->start >= r->end || r->flags & ~(unsigned)MIRROR_RANGE_BLOCKABLE ||
	    r->mirror__state == open_seal(r))
		return -EINVAL;
	r->mirror__list = list;
	r->mirror__first = r->start;
	r->mirror__last = r->end - 1;
	r->mirror__token = usrcu_down_read(list->brackets);
	unfinished = r;
	rc = enter_(&walk, list, START, MIRROR_MAX_DEPTH, r->flags & MIRROR_RANGE_BLOCKABLE);
	if (rc)
		return rc;
	rc = start_all(&walk, r);
	if (rc)
		return rc;
	r->mirror__state = open_seal(r);
	unfinished = NULL;
	return 0;
}

void mirror_invalidate_range_end(struct mirror_list *list, struct mirror_range *r)
{
	struct mirror_range *unfinished __attribute__((cleanup(abandon))) = NULL;
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	int rc;

	if (!list || !r || r->mirror__state != open_seal(r) || r->mirror__list != list) {
		misuse_(list, END, "this range is not open on this list");
		return;
	}
	r->mirror__state = 0;
	unfinished = r; /* its section ends after the walk, as the last use of the list */
	if (!r->mirror__has_end)
		return;
	rc = enter_(&walk, list, END, MAX_PINS, true);
	if (rc) {
		misuse_(list, END, rc == -ELOOP ? "nested too deep in this thread's callbacks" :
						  "the sync refused its read_lock");
		return;
	}
	end_all(&walk, r, NEVER);
}

int mirror_invalidate_range(struct mirror_list *list, uint64_t start, uint64_t end)
{
	struct mirror_range r = { .start = start, .end = end, .flags = MIRROR_RANGE_BLOCKABLE };
	int rc = mirror_invalidate_range_start(list, &r);

	if (!rc)
		mirror_invalidate_range_end(list, &r);
	return rc;
}
