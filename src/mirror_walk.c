/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Publishing: which mirrors a bracket calls, and when
 *
 * Terms.  A walk calls mirrors one after the other, under the sync's read_lock.  A bracket is two walks,
 * its start and its end, with the change between them.  seq numbers the moments that divide
 * brackets: a registration, the return of a release, a mirror's first fill.
 *
 * State
 *   list->roll, seq       written under list->lock, each published by release
 *   entry->joined, released, fills_from     NEVER, then once the seq that is published next
 *   r->mirror__...        the bracket's: written by its start, read by its end
 *   walker                this thread's own; others read pin, what, tid
 *
 * Algorithm
 *   1. The bracket becomes a handed-over section of list->brackets (for fills, and destroy).
 *   2. enter: at depth 0 the sync's read_lock; deeper, the walk stands under what is held.  Then
 *      whether pins are to fence (mirror_fence.c).
 *   3. The start reads seq once and keeps it in the range: S.
 *   4. An entry takes part in the bracket if joined <= S < released and the ranges overlap
 *      (takes_part, mirror_order.h).
 *   5. Start: in order, each entry that takes part is pinned (mirror_drain.c), and unless it is
 *      dead its callback is called.
 *   6. If one of them has a finish, a second pass calls it, by the same rule.
 *   7. A refusal, legal if the range is not blockable, ends the pass; those that joined before
 *      the one that refused get their finish and their end.
 *   8. End: over today's list backwards, by the rule of 4 with the same S; no walk where none of
 *      those that started has an end, or fills.
 *
 * Why it is safe
 *   1. Start and end choose by 4 alone, which does not depend on when it is asked: joined and
 *      released change once, from NEVER to a number greater than every S that was read before.
 *      An entry that was dead at the start is dead at the end.  So the end calls exactly those
 *      that got the start and are still registered.  (t/mirror/basic; END_FOR_LATE_JOINER)
 *   2. Every entry with joined <= S is in the roll or the index that is read after S: it was put
 *      there before seq was published.  (list-register)
 *   3. The section is held for a walk, not for a bracket: a long bracket retires no memory.
 *   4. Order of slots is order of registration, since copying a roll keeps it.
 *
 * Cost.  No lock, no shared write, no allocation: two increments for the bracket, a section for
 * each walk, and for each mirror called one store and one load of its own line.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | start | seq before the roll and the index | acquire | mirror_list.c:A | a bracket misses a mirror that it should call | list-register |
 * | B | enter | whether to fence before the look at the state of entries | acquire | mirror_fence.c:A | a callback runs on a freed mirror | fence-end |
 *
 * Sources: Linux mm/mmu_notifier.c v6.12; differences: doc/mirror.md.
 */

#include "mirror_order.h"

#include <errno.h>

static const char START[] = "invalidate_range_start", END[] = "invalidate_range_end",
		  FINISH[] = "finish";

/* ---- walkers ---- */

struct walker *walker_(struct mirror_list *list)
{
	struct walker *w = slots_mine(&list->walkers);

	if (w)
		return w;
	w = slots_claim(&list->walkers);
	if (!w)
		w = &list->fallback;
	else {
		store_relaxed(&w->thread, port_self());
		store_relaxed(&w->tid, (uint64_t)port_tid());
	}
	return w;
}

bool in_callback_(struct mirror_list *list)
{
	const struct walker *w = slots_mine(&list->walkers);

	if (w && w->depth)
		return true;
	return load_relaxed(&list->fallback.thread) == port_self();
}

/* Threads without memory take turns with one walker, a walk each. */
static void take_turn(struct mirror_list *list)
{
	if (load_relaxed(&list->fallback.thread) == port_self())
		return;
	port_mutex_lock(&list->fallback_lock);
	store_relaxed(&list->fallback.thread, port_self());
	store_relaxed(&list->fallback.tid, (uint64_t)port_tid());
}

static void give_turn(struct mirror_list *list)
{
	if (list->fallback.depth)
		return;
	store_relaxed(&list->fallback.thread, NULL);
	port_mutex_unlock(&list->fallback_lock);
}

static int read_lock(const struct mirror_list *list, struct walker *w, bool wait)
{
	const struct mirror_sync *sync = list->sync;
	int token = 0;

	if (w->depth == 0 && sync->read_lock) {
		token = !wait && sync->read_trylock ? sync->read_trylock(list->sync_state) :
						      sync->read_lock(list->sync_state);
		w->token = token;
	}
	return token < 0 ? token : 0;
}

int enter_(struct walk *walk, struct mirror_list *list, const char *what, uint32_t deepest,
	   bool wait)
{
	struct walker *w = walker_(list);
	int rc;

	if (w == &list->fallback)
		take_turn(list);
	rc = w->depth >= deepest ? -ELOOP : read_lock(list, w, wait);
	if (rc) {
		if (w == &list->fallback)
			give_turn(list);
		return rc;
	}
	store_relaxed(&w->what[w->depth], what);
	*walk = (struct walk){
		.list = list,
		.walker = w,
		.pin = &w->pin[w->depth],
		/* B (pairs with mirror_fence.c:A): before the look at the state of entries. */
		.membarrier = list->membarrier && load_acquire(&list->fencing) == FENCING_OFF,
		.timed = list->stall_ns != 0,
	};
	store_relaxed(&w->depth, w->depth + 1);
	++*port_walks();
	return 0;
}

void leave_(struct walk *walk)
{
	struct mirror_list *list = walk->list;
	struct walker *w = walk->walker;
	struct mirror__entry *pinned;

	if (!w)
		return;
	pinned = load_relaxed(walk->pin); /* by this thread, where a callback threw */
	if (pinned)
		unpin_(walk, pinned);
	walk->walker = NULL;
	--*port_walks();
	store_relaxed(&w->depth, w->depth - 1);
	if (w->depth == 0 && list->sync->read_unlock)
		list->sync->read_unlock(list->sync_state, w->token);
	if (w == &list->fallback)
		give_turn(list);
}

/* ---- brackets ---- */

static uintptr_t open_mark(const struct mirror_range *r)
{
	return (uintptr_t)r ^ (uintptr_t)0x6d6972726f72a55a;
}

/* What one pass of a walk came across. */
struct tally {
	uint64_t calls;
	bool finishes;                  /* a mirror that was called has a finish */
	bool ends;                      /* the end has something to do for one of them */
};

static bool has_finish(const struct mirror_ops *ops)
{
	return ops->size == sizeof(*ops) && ops->finish;
}

/* 0, or nonzero: the mirror refused. */
static int start_one(const struct walk *walk, struct mirror__entry *e, const struct mirror_range *r,
		     struct tally *tally)
{
	struct mirror *m;
	int rc = 0;

	if (load_relaxed(&e->fills_from) <= r->mirror__seq) {
		fetch_add(&e->fill, FILL_STARTED + 1); /* mirror_fill.c */
		tally->ends = true;
	}
	if (!pin_(walk, e))
		return 0;
	m = e->mirror;
	if (m->ops->invalidate_range_end)
		tally->ends = true;
	if (has_finish(m->ops))
		tally->finishes = true;
	if (m->ops->invalidate_range_start) {
		tally->calls++;
		rc = m->ops->invalidate_range_start(m, r);
	}
	unpin_(walk, e);
	return rc;
}

static void end_one(const struct walk *walk, struct mirror__entry *e, const struct mirror_range *r,
		    struct tally *tally)
{
	struct mirror *m;

	if (pin_(walk, e)) {
		m = e->mirror;
		if (m->ops->invalidate_range_end) {
			tally->calls++;
			m->ops->invalidate_range_end(m, r);
		}
		unpin_(walk, e);
	}
	if (load_relaxed(&e->fills_from) <= r->mirror__seq)
		fill_ended_(e);
}

static void count(uint64_t *total, uint64_t more)
{
	store_relaxed(total, *total + more); /* this thread's own; read for statistics */
}

static struct view view_of(const struct mirror_range *r, uint64_t before)
{
	return (struct view){ r->mirror__seq, r->mirror__first, r->mirror__last, before };
}

/*
 * A pass under way.  An exception out of a callback of a start undoes the start, as a refusal does;
 * one out of an end leaves the others to get theirs.
 */
struct attempt {
	const struct walk *walk;        /* NULL: it has come to its end */
	const struct mirror_range *range;
	struct mirror__entry *calling;  /* that is being called, and counted open */
	uint64_t before;                /* those that joined before this are to get their end */
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
	if (attempt->calling && load_relaxed(&attempt->calling->fills_from) <= attempt->range->mirror__seq)
		fill_ended_(attempt->calling);
	end_all(walk, attempt->range, attempt->before);
}

/* Backwards, those that joined before @before. */
static void end_all(const struct walk *walk, const struct mirror_range *r, uint64_t before)
{
	struct order order __attribute__((cleanup(order_end)));
	struct attempt attempt __attribute__((cleanup(undo))) = { walk, r, NULL, 0 };
	struct view view = view_of(r, before);
	struct tally tally = { 0 };
	struct mirror__entry *e;

	store_relaxed(&walk->walker->what[walk->walker->depth - 1], END);
	order_begin(&order, walk->list, &view, true);
	while ((e = order_next(&order))) {
		attempt.calling = e;
		attempt.before = e->joined;
		end_one(walk, e, r, &tally);
	}
	attempt.walk = NULL;
	count(&walk->walker->walks, 1);
	count(&walk->walker->callbacks, tally.calls);
}

/* The second pass: all have started, now wait for each. */
static void finish_all(const struct walk *walk, const struct mirror_range *r, uint64_t before)
{
	struct order order __attribute__((cleanup(order_end)));
	struct view view = view_of(r, before);
	struct tally tally = { 0 };
	struct mirror__entry *e;

	store_relaxed(&walk->walker->what[walk->walker->depth - 1], FINISH);
	order_begin(&order, walk->list, &view, false);
	while ((e = order_next(&order))) {
		struct mirror *m;

		if (!pin_(walk, e))
			continue;
		m = e->mirror;
		if (has_finish(m->ops)) {
			tally.calls++;
			m->ops->finish(m, r);
		}
		unpin_(walk, e);
	}
	count(&walk->walker->callbacks, tally.calls);
}

static int start_all(const struct walk *walk, struct mirror_range *r)
{
	struct order order __attribute__((cleanup(order_end)));
	struct attempt attempt __attribute__((cleanup(undo))) = { walk, r, NULL, 0 };
	bool blockable = r->flags & MIRROR_RANGE_BLOCKABLE, refused = false;
	struct tally tally = { 0 };
	struct mirror__entry *e;
	struct view view;

	/* A (pairs with mirror_list.c:A): seq before the roll and the index. */
	r->mirror__seq = load_acquire(&walk->list->seq);
	view = view_of(r, NEVER);
	order_begin(&order, walk->list, &view, false);
	while (!refused && (e = order_next(&order))) {
		attempt.calling = e;
		attempt.before = e->joined;
		if (start_one(walk, e, r, &tally) == 0)
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
	count(&walk->walker->callbacks, tally.calls);
	if (WEIGH_PERIOD && walk->walker->walks >= walk->walker->looks_at)
		weigh_fences_(walk->list, walk->walker);
	if (tally.finishes)
		finish_all(walk, r, attempt.before);
	if (!refused) {
		attempt.walk = NULL;
		r->mirror__has_end = tally.ends;
		return 0;
	}
	count(&walk->walker->refusals, 1);
	if (MUTANT(UNDO_ALL))
		attempt.before = NEVER;
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
	    r->mirror__state == open_mark(r))
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
	r->mirror__state = open_mark(r);
	unfinished = NULL;
	return 0;
}

void mirror_invalidate_range_end(struct mirror_list *list, struct mirror_range *r)
{
	struct mirror_range *unfinished __attribute__((cleanup(abandon))) = NULL;
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	int rc;

	if (!list || !r || r->mirror__state != open_mark(r) || r->mirror__list != list) {
		misuse_(list, END, "this range is not open on this list");
		return;
	}
	r->mirror__state = 0;
	unfinished = r; /* its section ends after the walk: the last touch of the list */
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
