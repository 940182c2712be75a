/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Garbage: when entries, nodes and blocks that were taken out of a list may be used again
 *
 * Terms.  Garbage is memory that is no longer in the list, but that a walk may still see; to retire memory is to make it
 * garbage.  Garbage that no walk can see any more is over.  A walk sleeps while its thread is in a callback of it.
 *
 * State.  retired, due, due_cookie, over, stalled_at, old and young of struct mirror_list, slept_in and may_see of the
 * walkers, all under list->lock; list->nr_frees is written under it.
 *
 * Algorithm
 *   1. Garbage waits in two batches.  One is due: over when the sync's cookie says so.  The other collects what is
 *      retired meanwhile, and gets its cookie then.  Registrations and unregistrations poll the cookie once 64 KiB and a
 *      128th of the live memory are retired.  No thread waits for it.
 *   2. What is over is used again.  While the chunks are twice as large as what is live, and 256 KiB more, each call
 *      puts some of it back to its chunks, and asks for grace periods 16 times as often.  A chunk of which nothing is
 *      in use is freed (pool.c).
 *   3. If the sync has no cookies, all that was retired before a synchronize is over after it.
 *
 * A walk that sleeps for long holds up due.  Once twice as much is retired besides, the list is stalled:
 *   4. All that is retired joins due, with a new cookie.  Of each walker that sleeps its walk is noted, slept_in, and of
 *      the list its seq, stalled_at.
 *   5. From then on entries of mirrors that had joined by stalled_at, and blocks, wait in old when they are retired, and
 *      follow due.
 *   6. When the rest is worth it, it becomes young: nr_frees + 1, heavy fence A, and each walk under way is noted in
 *      may_see unless it is the one in slept_in and sleeps.  When all of these have ended, young is over.
 *   7. A walk that comes from a callback, and finds that nr_frees has changed, looks at none of the nodes that it knew: it
 *      comes from the root again, to the key after the last hit (mirror_order.c).
 *   8. If as much is retired meanwhile as is held back in due and old, another walk sleeps: go on at 4.  When due is
 *      over, the list is not stalled any more.
 *
 * Why it is safe
 *   1. Of garbage with a cookie: a walk is a section of the sync, and sees nothing that was unlinked before it began.
 *   2. No walk sees young memory when it is over.  It was unlinked before fence A, so a walk that comes upon it had begun
 *      before the fence, and is shown; K of mirror_pin.h.  If it is not in may_see, then it had begun before 4 and
 *      showed a pin after the fence.  When it goes on it has emptied that pin, and then, E and A as in mirror_pin.c,
 *      sees nr_frees and all that was unlinked:
 *
 *          a walk                             unregister
 *          node = the index's
 *          pin = e: its callback
 *                                             e2 leaves, and the node with it
 *                                             nr_frees + 1; fence A
 *                                             pin is e: it sleeps; the node is over
 *          pin = NULL; fence E
 *          nr_frees has changed: the root
 *
 *      It goes on to use what it keeps in its own memory: the block in which it stands, hits that it took from the
 *      index before, the entry of the last callback.  These entries had joined by its S, before 4, so they wait in old,
 *      and so do blocks.  Hits that joined later it has not kept.  (list-stalled, list-stalled-hits,
 *      list-stalled-wakes, t/mirror/age; mutants STALL_UNSEEN, STALL_FORGOTTEN, FREE_NO_FENCE)
 *   3. may_see numbers the thread's outermost walk: a thread that has begun another one, or is in none, is done with it.
 *      Walks are counted by a release, when they begin.
 *
 * Cost.  Garbage of 128 KiB and a 64th of the live memory at most; while walks sleep, some times as much, what lived when
 * each fell asleep, and the blocks.  A look at each walker for each young batch.  A walk that slept while a batch became
 * young finds its hits once more.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | beside a walk that sleeps | what was unlinked, and nr_frees, before the look at the walkers | heavy | mirror_pin.c:E, mirror_pin.c:K | a walk looks at memory that is used again | list-stalled-wakes |
 */

#include "mirror_garbage.h"

/* Each grace period may interrupt all publishers, so that a small list does not ask for too many. */
#ifndef SMALLEST_GARBAGE
#define SMALLEST_GARBAGE (64u << 10)
#endif
/* Objects that a call puts back to their chunks: some microseconds under the lock. */
#define TRIMMED_AT_ONCE 32

/* ---- piles ---- */

/* Of each kind: how large an object is, and where a link may be written in it while walks may still read it. */
static const struct {
	size_t bytes, link;
} kinds[NR_KINDS] = {
	[ENTRIES] = { sizeof(struct mirror__entry), offsetof(struct mirror__entry, link) },
	[NODES] = { sizeof(struct index_node), offsetof(struct index_node, next) },
	[BLOCKS] = { sizeof(struct block), offsetof(struct block, link) },
};

static void push(struct garbage *garbage, enum object_kind kind, void *object)
{
	struct link *link = (struct link *)((char *)object + kinds[kind].link);

	if (!garbage->pile[kind].newest)
		garbage->pile[kind].oldest = link;
	link->next = garbage->pile[kind].newest;
	garbage->pile[kind].newest = link;
	garbage->bytes += kinds[kind].bytes;
}

/* Or NULL: there is none of this kind. */
static void *pop(struct garbage *garbage, enum object_kind kind)
{
	struct link *link = garbage->pile[kind].newest;

	if (!link)
		return NULL;
	garbage->pile[kind].newest = link->next;
	garbage->bytes -= kinds[kind].bytes;
	return (char *)link - kinds[kind].link;
}

/* All of @from to @to. */
static void move(struct garbage *to, struct garbage *from)
{
	for (enum object_kind kind = 0; kind < NR_KINDS; kind++) {
		if (!from->pile[kind].newest)
			continue;
		from->pile[kind].oldest->next = to->pile[kind].newest;
		if (!to->pile[kind].newest)
			to->pile[kind].oldest = from->pile[kind].oldest;
		to->pile[kind].newest = from->pile[kind].newest;
	}
	to->bytes += from->bytes;
	*from = (struct garbage){ .chunks = from->chunks };
}

/* ---- retire, and use again ---- */

void retire_entry_(struct mirror_list *list, struct mirror__entry *e)
{
	uint32_t state = load_relaxed(&e->state);
	/* A proxy leads to all of its mirror's, so it waits as long as the first. */
	const struct mirror__entry *first = state & ENTRY_PROXY ? e->main : e;

	store_relaxed(&e->state, state | ENTRY_RETIRED);
	push(load_relaxed(&first->joined) > list->stalled_at ? &list->retired : &list->old, ENTRIES, e);
}

void retire_nodes_(struct mirror_list *list)
{
	struct index_node *node;

	while ((node = list->index.retired)) {
		list->index.retired = node->next;
		push(&list->retired, NODES, node);
	}
}

void retire_block_(struct mirror_list *list, struct block *block)
{
	push(list->stalled_at ? &list->old : &list->retired, BLOCKS, block);
}

void *use_again_(struct mirror_list *list, enum object_kind kind)
{
	return pop(&list->over, kind);
}

size_t garbage_bytes_(const struct mirror_list *list)
{
	return list->retired.bytes + list->due.bytes + list->old.bytes + list->young.bytes;
}

/* ---- how much there is ---- */

/* Bytes of what is in the list. */
static size_t live_bytes(const struct mirror_list *list)
{
	size_t used = 0;

	for (enum object_kind kind = 0; kind < NR_KINDS; kind++)
		used += list->pools[kind].used_bytes;
	return used - garbage_bytes_(list) - list->over.bytes;
}

/* More is unused than the next registrations should find at hand. */
static bool has_too_much(const struct mirror_list *list)
{
	size_t total = 0;

	for (enum object_kind kind = 0; kind < NR_KINDS; kind++)
		total += list->pools[kind].total_bytes;
	return total > 2 * live_bytes(list) + 4 * SMALLEST_GARBAGE;
}

/* Enough to be worth a grace period: a part of what is live, so that garbage stays in bounds. */
static bool is_worth_it(const struct mirror_list *list)
{
	return list->retired.bytes >= (has_too_much(list) ? SMALLEST_GARBAGE / 16 :
							    SMALLEST_GARBAGE + live_bytes(list) / 128);
}

void trim_(struct mirror_list *list, size_t nr, struct garbage *garbage)
{
	struct chunk *chunk;
	void *object;

	if (!has_too_much(list))
		return;
	for (enum object_kind kind = 0; kind < NR_KINDS; kind++) {
		for (; nr > 0 && (object = pop(&list->over, kind)); nr--) {
			chunk = pool_put_(&list->pools[kind], object);
			if (chunk) {
				chunk->next = garbage->chunks;
				garbage->chunks = chunk;
			}
		}
	}
}

/* ---- around a synchronize ---- */

void take_garbage_(struct mirror_list *list, struct garbage *garbage)
{
	*garbage = list->retired;
	list->retired = (struct garbage){ 0 };
}

void recycle_(struct mirror_list *list, struct garbage *garbage)
{
	move(&list->over, garbage);
	trim_(list, TRIMMED_AT_ONCE, garbage);
}

void put_garbage_back_(struct mirror_list *list, struct garbage *garbage)
{
	move(&list->retired, garbage);
}

/* ---- beside a walk that sleeps ---- */

/* All that is retired waits for the walks of now. */
static void make_due(struct mirror_list *list)
{
	move(&list->due, &list->retired);
	move(&list->due, &list->young);
	move(&list->due, &list->old);
	list->due_cookie = list->sync->get_state(list->sync_state);
	list->stalled_at = 0;
}

static uint64_t walks_of(const struct walker *w)
{
	return load_acquire(&w->walks) + load_acquire(&w->nested);
}

/* @w's thread is in a callback, of the innermost of its walks. */
static bool sleeps(const struct walker *w)
{
	uint32_t depth = depth_of_(w);

	return depth && load_acquire(&w->pin[depth - 1]);
}

static void note_sleeper(struct walker *w)
{
	uint64_t walks = walks_of(w); /* first, so that it is over if the pin is a later walk's */

	w->slept_in = sleeps(w) ? walks : 0;
}

/* After fence A. */
static void note_walk(struct walker *w)
{
	bool slept_on = w->slept_in && w->slept_in == walks_of(w) && sleeps(w);

	w->may_see = depth_of_(w) && !broken_if(STALL_UNSEEN, true, slept_on) ? load_acquire(&w->walks) : 0;
}

static void forget_walk_that_ended(struct walker *w)
{
	if (!depth_of_(w) || load_acquire(&w->walks) != w->may_see)
		w->may_see = 0;
}

/* Do this with each walker; whether none of them may see young afterwards. */
static bool each_walker(struct mirror_list *list, void (*act)(struct walker *w))
{
	struct walker *w;
	bool none = true;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); ) {
		act(w);
		none &= !w->may_see || vanished_(list, w);
	}
	act(&list->fallback);
	return none && (!list->fallback.may_see || vanished_(list, &list->fallback));
}

/* What is retired becomes young. */
static void free_beside_sleeper(struct mirror_list *list)
{
	store_relaxed(&list->nr_frees, list->nr_frees + 1);
	/* A (pairs with mirror_pin.c:E, mirror_pin.c:K): what was unlinked, and nr_frees, before the look at walkers. */
	if (fence_heavy_unless(FREE_NO_FENCE, list->membarrier))
		return;
	move(&list->young, &list->retired);
	if (each_walker(list, note_walk))
		move(&list->over, &list->young);
}

/* 4 to 8 of the algorithm. */
static void reclaim_beside_sleeper(struct mirror_list *list)
{
	size_t held, waiting;

	if (list->released) /* its walk calls whatever is there */
		return;
	if (list->young.bytes && each_walker(list, forget_walk_that_ended))
		move(&list->over, &list->young);
	held = list->due.bytes + list->old.bytes;
	waiting = list->retired.bytes + list->young.bytes;
	if (waiting >= (list->stalled_at ? held : 2 * held)) {
		make_due(list);
		list->stalled_at = list->seq;
		each_walker(list, note_sleeper);
	} else if (list->stalled_at && !list->young.bytes) {
		free_beside_sleeper(list);
	}
}

void reclaim_(struct mirror_list *list, struct garbage *garbage)
{
	const struct mirror_sync *sync = list->sync;

	if (!list->grace_period)
		move(&list->over, &list->retired);
	if (list->grace_period && sync->poll_state && is_worth_it(list)) {
		if (list->due.bytes &&
		    broken_if(RECLAIM_EARLY, true, sync->poll_state(list->sync_state, list->due_cookie)))
			move(&list->over, &list->due);
		if (!list->due.bytes)
			make_due(list);
		else if (is_targeted_(list))
			reclaim_beside_sleeper(list);
	}
	trim_(list, TRIMMED_AT_ONCE, garbage);
}
