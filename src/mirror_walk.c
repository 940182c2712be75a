/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Publishing: which mirrors a bracket calls, and when
 *
 * Terms.  A bracket is two walks, its start and its end, with the change between them.  seq numbers the moments that
 * divide brackets: a registration, the return of a release, a mirror's first fill.
 *
 * State
 *   the blocks, index.root, seq       written under list->lock, each by a release store
 *   entry->joined, mirror__released     once the number that seq gets next; joined is NEVER before
 *   entry->state          what else is to be known of a mirror, in one word (mirror_list.h); mostly which callbacks it has
 *   r->mirror__...        the bracket's: written by its start, read by its end
 *   walker                this thread's own (mirror_list.h): its section, its brackets, its pins, its counts
 *
 * Algorithm
 *   1. The bracket becomes a handed-over section of list->brackets (for fills, and destroy).
 *   2. enter_: at depth 0 a section of the sync; at a greater depth, the walk is covered by the section that the thread
 *      is in already.  Then it reads whether the walk begins with a fence (mirror_fence.c).
 *   3. The start reads seq once and keeps it in the range: S.
 *   4. An entry takes part in the bracket if joined <= S, it was not released by S, and the ranges overlap.
 *   5. Start: in order (mirror_order.h), each entry that takes part is pinned (mirror_pin.c), its state is read, and
 *      its callback is called unless it is dead.  What an entry seldom is, dead, released, part in fills, or watched, is
 *      seen in the state that says which callbacks there are.
 *   6. If one of them has a finish, a second pass calls it, by the same rule.
 *   7. A refusal, legal if the range is not blockable, ends the pass.  The mirrors that take part and come before the
 *      one that refused get their finish and their end.  An exception does the same: the pin says who was being called.
 *   8. End: over the list of that moment, backwards, by the rule of 4 with the same S.  There is no walk if none of the
 *      mirrors that started has an end, or fills.  If the walk cannot begin, the bracket stays open.  For a change
 *      that has been made already the end is a second pass of the start's walk.
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
 *   2. Every entry with joined <= S is in the blocks or the index that are read after S: it was put there before seq was
 *      written (mirror_register.c).  (list-register)
 *   3. The section is held for a walk, not for a bracket: a long bracket does not keep garbage.
 *   4. The order of places is the order of registration: mirror_blocks.c, 1.  What comes before an entry
 *      is the same for each walk: joined says it in the blocks, and the constant keys of items in the index.
 *      (list-range-refuse; mutant UNDO_BY_JOINED)
 *   5. A handler may publish on the same list between any two instructions.  All that a walk writes before and after its
 *      callbacks is its thread's: counters that change by one instruction, and depth and pin, which the handler's walks
 *      leave as they found them.  The section's token and S are on the stack.  Where a walk takes the list's lock,
 *      signals are blocked.  (t/mirror/signal, list-signal)
 *
 * Cost.  No lock, no shared write, no allocation: two increments for the bracket, a section for each walk, and for each
 * mirror called two stores to the walker, and three loads of the entry's line.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | start | seq before the blocks and the index | acquire | mirror_register.c:A, mirror_move.c:A | a bracket misses a mirror that it should call | list-register |
 *
 * Sources: Linux mm/mmu_notifier.c v6.12; differences: doc/mirror.md.
 */

#include "mirror_fence.h"
#include "mirror_fill.h"
#include "mirror_move.h"
#include "mirror_order.h"
#include "mirror_pin.h"
#include "mirror_report.h"

struct publication;

/* What a pass does with an entry; true: the pass is over. */
typedef bool each_step(struct publication *p, struct mirror__entry **pin, struct mirror__entry *e);

/* A start or an end under way. */
struct publication {
	struct walk walk;
	struct mirror_range *range;
	uint64_t before;                /* entries that joined before this take part ... */
	const struct index_item *until; /* ... and whose items come before this one; NULL: all */
	const struct mirror__entry *proxy;      /* by which the pinned entry was found; NULL: none */
	uint64_t calls;
	bool unfinished;                /* a pass is under way */
	uint32_t seen;                  /* the states of the entries called, together */
	each_step *step;                /* of a pass whose walk rests in callbacks */
};

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- one mirror ---- */

/* 0, or not: the mirror refuses. */
static ALWAYS_INLINE int call_start(struct publication *p, const struct mirror__entry *e)
{
	p->calls++;
	return e->start(e->mirror, p->range);
}

/* From now on @p is about the entries that come before @e. */
static void stop_before(struct publication *p, const struct mirror__entry *e)
{
	if (p->proxy)
		e = p->proxy;
	unless(UNDO_BY_JOINED, p->until = &e->item);
	if (broken_if(UNDO_BY_JOINED, true, is_whole_(e)))
		p->before = load_relaxed(&e->joined);
}

/* Whether it may. */
static bool may_refuse(struct publication *p, const struct mirror__entry *e)
{
	if (p->range->flags & MIRROR_RANGE_BLOCKABLE) {
		misuse_(p->walk.list, "invalidate_range_start", "a mirror refused a blockable range; it goes on");
		return false;
	}
	stop_before(p, e);
	return true;
}

static ALWAYS_INLINE void call_end(struct publication *p, const struct mirror__entry *e)
{
	p->calls++;
	e->end(e->mirror, p->range);
}

static void call_finish(struct publication *p, const struct mirror__entry *e)
{
	p->calls++;
	e->mirror->ops->finish(e->mirror, p->range);
}

/* Of an entry that was pinned in this state. */
static bool takes_part(const struct publication *p, const struct mirror__entry *e, uint32_t state)
{
	return !(state & ENTRY_DEAD) && (!(state & ENTRY_RELEASED) ||
					 p->range->mirror__seq < load_relaxed(&e->mirror->mirror__released));
}

/* It was found in this state, and pinned: pin it as it needs.  Then the walk is about *@e. */
static uint32_t pin_special(struct publication *p, struct mirror__entry **e, uint32_t state)
{
	if (state & ENTRY_PROXY) {
		p->proxy = *e;
		return pin_main(&p->walk, e, p->range->mirror__seq);
	}
	return state & ENTRY_WATCHED ? pin_watched_(&p->walk, *e) : state;
}

static void unpin_special(struct publication *p, struct mirror__entry *e)
{
	unpin_(&p->walk, p->walk.pin, e);
	p->proxy = NULL;
}

static SELDOM bool start_special(struct publication *p, struct mirror__entry *e, uint32_t state)
{
	bool refuses = false;

	state = pin_special(p, &e, state);
	if (takes_part(p, e, state)) {
		p->seen |= state;
		if (state & ENTRY_FILLS) {
			fill_started_(e, p->range);
			p->seen |= ENTRY_HAS_END;
		}
		if (state & ENTRY_HAS_START)
			refuses = call_start(p, e) && may_refuse(p, e);
		if (refuses && state & ENTRY_FILLS)
			fill_ended_(e, p->range);
		end_timing_(&p->walk, e);
	}
	unpin_special(p, e);
	return refuses;
}

static SELDOM bool start_refused(struct publication *p, struct mirror__entry *e)
{
	bool refuses = may_refuse(p, e);

	unpin_(&p->walk, p->walk.pin, e);
	return refuses;
}

/* True: it refused, so no more are called. */
static ALWAYS_INLINE bool start_one(struct publication *p, struct mirror__entry **pin, struct mirror__entry *e)
{
	uint32_t state = pin_unwatched_(pin, e);

	if (unlikely(state & ENTRY_SPECIAL))
		return start_special(p, e, state);
	p->seen |= state;
	if (state & ENTRY_HAS_START && unlikely(call_start(p, e)))
		return start_refused(p, e);
	unpin_(&p->walk, pin, e);
	return false;
}

static SELDOM void end_special(struct publication *p, struct mirror__entry *e, uint32_t state)
{
	state = pin_special(p, &e, state);
	if (takes_part(p, e, state)) {
		if (state & ENTRY_HAS_END)
			call_end(p, e);
		if (state & ENTRY_FILLS)
			fill_ended_(e, p->range);
		end_timing_(&p->walk, e);
	}
	unpin_special(p, e);
}

static ALWAYS_INLINE bool end_one(struct publication *p, struct mirror__entry **pin, struct mirror__entry *e)
{
	uint32_t state = pin_unwatched_(pin, e);

	if (unlikely(state & ENTRY_SPECIAL)) {
		end_special(p, e, state);
		return false;
	}
	if (state & ENTRY_HAS_END)
		call_end(p, e);
	unpin_(&p->walk, pin, e);
	return false;
}

static bool finish_one(struct publication *p, struct mirror__entry **pin, struct mirror__entry *e)
{
	uint32_t state = pin_special(p, &e, pin_unwatched_(pin, e));

	if (takes_part(p, e, state) && state & ENTRY_HAS_FINISH) {
		call_finish(p, e);
		end_timing_(&p->walk, e);
	}
	unpin_special(p, e);
	return false;
}

/* ---- all that take part, in order ---- */

/*
 * In a walk whose callbacks were found slow: it rests in them, so that drains of other mirrors need not interrupt it.
 * The pin comes before the rest; after the fence of resume_ the thread looks again whether a drain waits.
 */
static SELDOM bool step_resting(struct publication *p, struct mirror__entry **pin, struct mirror__entry *e)
{
	struct rest rest __attribute__((cleanup(resume_))) = { .walker = NULL };
	bool over;

	if (load_relaxed(&e->state) & ENTRY_PROXY) /* what it pins is still to be looked at */
		return p->step(p, pin, e);
	store_relaxed(pin, e);
	rest = rest_(p->walk.walker);
	over = p->step(p, pin, e);
	resume_(&rest);
	rest.walker = NULL;
	if (load_relaxed(&e->state) & ENTRY_DEAD)
		unless(REST_NO_LOOK, after_unpin_(&p->walk, e));
	return over;
}

static ALWAYS_INLINE bool each_whole(struct publication *p, bool backwards, each_step *step)
{
	struct places places = places_of(p->walk.list, backwards);
	struct mirror__entry **pin = p->walk.pin, *e;

	do {
		while (places_left(&places)) {
			e = places_next(&places, p->before, backwards);
			if (e && unlikely(step(p, pin, e)))
				return true;
		}
	} while (places_go_on(&places, backwards));
	return false;
}

static ALWAYS_INLINE bool each_hit(struct publication *p, bool backwards, each_step *step)
{
	const struct view view = { p->range->start, p->range->end - 1, p->before, p->until };
	struct mirror__entry **pin = p->walk.pin, *e;
	struct hits hits;

	hits_begin(&hits, p->walk.list, &view, backwards);
	while ((e = hits_next(&hits)))
		if (unlikely(step(p, pin, e)))
			return true;
	return false;
}

/* With hits: out of the way of a list without ranges. */
static __attribute__((noinline)) bool start_each(struct publication *p)
{
	return each_whole(p, false, start_one) || each_hit(p, false, start_one);
}

static __attribute__((noinline)) bool finish_each(struct publication *p)
{
	return each_whole(p, false, finish_one) || each_hit(p, false, finish_one);
}

static __attribute__((noinline)) bool end_each(struct publication *p)
{
	return each_hit(p, true, end_one) || each_whole(p, true, end_one);
}

static SELDOM bool each_resting(struct publication *p, bool backwards, each_step *step)
{
	p->step = step;
	return backwards ? each_hit(p, true, step_resting) || each_whole(p, true, step_resting) :
			   each_whole(p, false, step_resting) || each_hit(p, false, step_resting);
}

/* Until a step returns true; whether one did. */
static ALWAYS_INLINE bool each(struct publication *p, bool backwards, each_step *step,
			       bool (*with_hits)(struct publication *p))
{
	if (unlikely(p->walk.rests_in_callbacks))
		return each_resting(p, backwards, step);
	return load_acquire(&p->walk.list->index.root) ? with_hits(p) : each_whole(p, backwards, step);
}

/* ---- passes ---- */

static ALWAYS_INLINE void end_bracket(struct mirror_list *list, int token)
{
	struct walker *w = slots_mine(&list->walkers);

	usrcu_take_back_(list->brackets, w ? &w->counts : NULL, token);
}

/* The walk is over. */
static ALWAYS_INLINE void leave(struct publication *p)
{
	own_add(&p->walk.walker->callbacks, p->calls);
	leave_(&p->walk);
}

static uint8_t *what(const struct publication *p)
{
	return &p->walk.walker->what[p->walk.depth];
}

static SELDOM void thrown(struct publication *p);

/* Run when an exception passes, unless the pass is over. */
static ALWAYS_INLINE void if_thrown(struct publication *p)
{
	if (unlikely(p->unfinished))
		thrown(p);
}

static ALWAYS_INLINE void end_pass(struct publication *p)
{
	p->unfinished = true;
	each(p, true, end_one, end_each);
	p->unfinished = false;
}

/* After a start that did not succeed: the end for those before the one that refused or threw. */
static SELDOM void undo(struct publication *p)
{
	store_relaxed(what(p), END);
	own_add(&p->walk.walker->nested, 1); /* an end, within the walk of its start */
	end_pass(p);
}

static ALWAYS_INLINE void if_thrown_again(struct publication **p)
{
	if_thrown(*p);
}

/*
 * An exception has passed through a pass.  Out of a start it undoes the start, as a refusal does; after one out of an
 * end the other mirrors still get their end.  The pin says who was being called; if it is empty, a done() has thrown.
 * What is called here, done() of the pinned mirror too, may throw again.
 */
static void thrown(struct publication *p)
{
	struct publication *undone __attribute__((cleanup(if_thrown_again), unused)) = p;
	struct mirror__entry *pinned = load_relaxed(p->walk.pin), *e = pinned ? pinned : p->walk.left;
	bool finishing = load_relaxed(what(p)) == FINISH;

	if (!finishing)
		stop_before(p, e);
	if (pinned && !finishing && load_relaxed(&e->state) & ENTRY_FILLS)
		fill_ended_(e, p->range);
	if (pinned)
		unpin_(&p->walk, p->walk.pin, e);
	p->proxy = NULL;
	undo(p);
	leave(p);
	end_bracket(p->range->mirror__list, p->range->mirror__token);
}

/* The second pass: all mirrors have started, now wait for each. */
static SELDOM void finish_pass(struct publication *p)
{
	store_relaxed(what(p), FINISH);
	each(p, false, finish_one, finish_each);
}

/* True: a mirror refused. */
static ALWAYS_INLINE bool start_pass(struct publication *p)
{
	bool refused;

	/* A (pairs with mirror_register.c:A, mirror_move.c:A): seq before the blocks and the index. */
	p->range->mirror__seq = load_acquire(&p->walk.list->seq);
	p->before = p->range->mirror__seq + 1;
	p->unfinished = true;
	refused = each(p, false, start_one, start_each);
	if (unlikely(p->seen & ENTRY_HAS_FINISH))
		finish_pass(p);
	p->unfinished = false;
	return refused;
}

/* ---- brackets ---- */

static uintptr_t open_seal(const struct mirror_range *r)
{
	return (uintptr_t)r ^ (uintptr_t)0x6d6972726f72a55a;
}

static SELDOM int refuse(struct publication *p)
{
	own_add(&p->walk.walker->refusals, 1);
	also_if(UNDO_ALL, p->before = NEVER);
	also_if(UNDO_ALL, p->until = NULL);
	undo(p);
	leave(p);
	end_bracket(p->range->mirror__list, p->range->mirror__token);
	return -EAGAIN;
}

/* The end in the walk of the start, so that no section can fail to begin in between. */
static ALWAYS_INLINE int end_at_once(struct publication *p)
{
	if (p->seen & ENTRY_HAS_END) {
		store_relaxed(what(p), END);
		own_add(&p->walk.walker->nested, 1); /* an end, within the walk of its start */
		end_pass(p);
	}
	leave(p);
	end_bracket(p->range->mirror__list, p->range->mirror__token); /* the last use of the list */
	return 0;
}

static ALWAYS_INLINE int start(struct mirror_list *list, struct mirror_range *r, bool and_end)
{
	struct publication p __attribute__((cleanup(if_thrown)));
	struct walker *w = my_walker_(list);
	int rc;

	p.unfinished = false;
	p.range = r;
	p.until = NULL;
	p.proxy = NULL;
	p.calls = 0;
	p.seen = 0;
	r->mirror__list = list;
	r->mirror__token = unlikely(w == &list->fallback) ? usrcu_lend_shared_(list->brackets) :
							    usrcu_lend_(list->brackets, &w->counts);
	rc = enter_(&p.walk, list, w, START, MIRROR_MAX_DEPTH, r->flags & MIRROR_RANGE_BLOCKABLE);
	if (unlikely(rc)) {
		end_bracket(list, r->mirror__token);
		return rc;
	}
	if (unlikely(FENCE_MODE_PERIOD && load_relaxed(&w->walks) >= w->looks_at))
		choose_fence_mode_(list, w);
	if (unlikely(start_pass(&p)))
		return refuse(&p);
	if (and_end)
		return end_at_once(&p);
	leave(&p);
	/* Not by the arguments, so that the loop has their registers. */
	p.range->mirror__has_end = p.seen & ENTRY_HAS_END;
	p.range->mirror__state = open_seal(p.range);
	return 0;
}

/* The end's walk cannot begin: the bracket stays open, and can be ended later, or in another thread. */
static SELDOM void stay_open(struct mirror_list *list, struct mirror_range *r, int rc)
{
	misuse_(list, "invalidate_range_end", rc == -ELOOP ?
		"nested too deep in this thread's callbacks; the range stays open" :
		"the sync refused its read_lock; the range stays open");
	r->mirror__state = open_seal(r);
}

static void end_by_walk(struct mirror_list *list, struct mirror_range *r)
{
	struct publication p __attribute__((cleanup(if_thrown)));
	int rc = enter_(&p.walk, list, my_walker_(list), END, MAX_PINS, true);

	p.unfinished = false;
	if (unlikely(rc)) {
		stay_open(list, r, rc);
		return;
	}
	p.range = r;
	p.until = NULL;
	p.proxy = NULL;
	p.calls = 0;
	p.before = broken_if(END_FOR_LATE_JOINER, NEVER, r->mirror__seq + 1);
	end_pass(&p);
	leave(&p);
	end_bracket(p.range->mirror__list, p.range->mirror__token); /* the last use of the list */
}

static ALWAYS_INLINE void end(struct mirror_list *list, struct mirror_range *r)
{
	r->mirror__state = 0;
	if (r->mirror__has_end)
		end_by_walk(list, r);
	else
		end_bracket(list, r->mirror__token);
}

/* True if [@start, @end) is a range; an end of 0 is 2^64. */
static ALWAYS_INLINE bool is_range(uint64_t start, uint64_t end)
{
	return start <= end - 1;
}

int mirror_invalidate_range_start(struct mirror_list *list, struct mirror_range *r)
{
	if (!list || !r || !is_range(r->start, r->end) || r->flags & ~(unsigned)MIRROR_RANGE_BLOCKABLE ||
	    r->mirror__state == open_seal(r))
		return -EINVAL;
	return start(list, r, false);
}

void mirror_invalidate_range_end(struct mirror_list *list, struct mirror_range *r)
{
	if (!list || !r || r->mirror__state != open_seal(r) || r->mirror__list != list)
		misuse_(list, "invalidate_range_end", "this range is not open on this list");
	else
		end(list, r);
}

int mirror_invalidate_range(struct mirror_list *list, uint64_t from, uint64_t to)
{
	struct mirror_range r = { .start = from, .end = to, .flags = MIRROR_RANGE_BLOCKABLE };

	if (!list || !is_range(from, to))
		return -EINVAL;
	return start(list, &r, true);
}
