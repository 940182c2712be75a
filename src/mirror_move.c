/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * To set a mirror's range anew, while brackets of the old range and of the new one come and go
 *
 * Terms.  A proxy is an entry in the index that stands for a mirror's own entry, the main one, with a range that the
 * mirror has or had.  It is superseded by the proxy of the next range.
 *
 *      struct mirror            main entry                     proxies, each with the next newer one; the newest with
 *      +---------------+        +----------+                   the oldest
 *      | mirror__entry |------->| callbacks|<------------------+------------------+------------------+
 *      | mirror__proxy |---+    | state    |                   | main             | main             | main
 *      +---------------+   |    +----------+             +-----|----+       +-----|----+       +-----|----+
 *                          |                        +--->| joined 3 |------>| joined 8 |------>| joined 9 |---+
 *                          |                        |    +----------+ newer +----------+ newer +----------+   |
 *                          |                        +------------------------------------------------|--------+
 *                          +-------------------------------------------------------------------------+
 *
 * State, written under list->lock
 *   m->mirror__proxy      the newest; NULL: the range was never set anew, and the main entry is in the index
 *   p->main, item         constant
 *   p->joined             constant; the seq since which brackets go by this range
 *   p->newer              see above
 *   p->cookie             of list->brackets: once it is over, no bracket goes by an older range
 *
 * Algorithm
 *   1. Before the first move a proxy takes the main entry's place in the index, with its range, tie and joined.
 *   2. Put a proxy with the new range into the index.  Its joined is the next seq.  Link it.  Then seq becomes that
 *      number: one store, A, and brackets change from the old range to the new one.
 *   3. A walk of S takes a proxy for a hit if joined <= S, as always, and the newer one's joined, if that is greater,
 *      is not.  It pins the main entry in place of the proxy, and goes on with that.
 *   4. Fills under way must retry, and wait for the brackets from before the move (mirror_fill.c).
 *   5. Superseded proxies stay in the index for the ends of brackets from before.  The next call takes out those that
 *      no bracket and no visit needs any more; so does unregister, with all the rest.
 *
 * Why it is safe
 *   1. Each bracket goes by one range of the mirror: of the proxies, the joined of one is the greatest not above its S.
 *      Start and end choose by the same S.  Keys are constant, so they agree on what is before what; the first proxy
 *      has the main entry's.  (move-bracket, move-refuse, t/mirror/move; mutant MOVE_BOTH_RANGES)
 *
 *          set_range                          a bracket
 *          p->joined = seq + 1                S = seq, acquire (mirror_walk.c:A)
 *          q->newer = p                       find q: passed over if p->joined <= S
 *          A: seq = seq + 1, release          find p: passed over if p->joined > S
 *
 *   2. A bracket finds the main entry itself only if its find was before 1, so its S is below the number of 2.
 *   3. Drains look at pins of the main entry alone, and no callback runs under another pin.  (move-drain; mutant
 *      MOVE_PINS_PROXY)
 *   4. A bracket whose S is below p->joined is a section of list->brackets from before the cookie (mirror_fill.c, 1).
 *      So if the cookie is over, none is left that goes by an older range.  A visit is no such section.  It shows
 *      itself in its walker before it reads seq, and the grace period has fenced (usrcu.c:C) between the store of seq
 *      and the look at the walkers:
 *
 *          set_range                          a visit
 *          seq = p->joined                    what, depth: a visit
 *          a grace period: heavy fence        light fence (mirror_pin.c:J)
 *          no visit: take out                 S = seq
 *
 *      (move-twice, move-visit; mutants MOVE_TAKES_OUT_EARLY, MOVE_IGNORES_VISITS)
 *   5. A walk that finds a proxy may read main and newer: what they point to is retired with the proxy or later, and
 *      the walk's section holds up the reuse.  If it sleeps, they wait as long as the main entry (mirror_garbage.c, 5).
 *
 * Cost.  As a registration, and the first time another entry.  A hit costs a few loads more.  A range in use by an open
 * bracket costs an entry for each move meanwhile.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | set_range | the proxy before seq | release | mirror_walk.c:A, mirror_visit.c:A | a bracket hits by both ranges, or by none | move-bracket |
 */

#include "mirror_move.h"

#include "mirror_fill.h"
#include "mirror_memory.h"
#include "mirror_waits.h"

#include <errno.h>

/* ---- what is superseded ---- */

static bool is_visiting(struct mirror_list *list, const struct walker *w)
{
	for (uint32_t i = 0, depth = depth_of_(w); i < depth; i++)
		if (load_relaxed(&w->what[i]) == VISIT)
			return !vanished_(list, w);
	return false;
}

/* True if a thread is in a visit that began before ours. */
static bool any_visit(struct mirror_list *list)
{
	struct walker *w;

	for (struct slots_walk i = slots_first(&list->walkers); (w = slots_next(&i)); )
		if (is_visiting(list, w))
			return true;
	return is_visiting(list, &list->fallback);
}

/* Under lock: take out what no walk needs any more. */
static void take_out_superseded(struct mirror_list *list, struct mirror *m)
{
	while (m->mirror__proxy->newer != m->mirror__proxy &&
	       broken_if(MOVE_TAKES_OUT_EARLY, true,
			 usrcu_poll_state(list->brackets, m->mirror__proxy->newer->newer->cookie)) &&
	       broken_if(MOVE_IGNORES_VISITS, true, !any_visit(list)))
		unlink_oldest_(list, m);
}

/* ---- set_range ---- */

/* @p stands for @m's entry with this range; and it is the newest. */
static void link_proxy(struct mirror *m, struct mirror__entry *p, const struct index_item *item, uint64_t joined)
{
	struct mirror__entry *before = m->mirror__proxy;

	p->main = m->mirror__entry;
	p->state = ENTRY_PROXY;
	p->item = *item;
	store_relaxed(&p->joined, joined);
	p->newer = before ? before->newer : p;
	if (before)
		store_release(&before->newer, p);
	m->mirror__proxy = p;
}

/* Under lock: @p takes the main entry's place in the index. */
static void stand_in(struct mirror_list *list, struct mirror *m, struct mirror__entry *p)
{
	const struct mirror__entry *e = m->mirror__entry;

	link_proxy(m, p, &e->item, load_relaxed(&e->joined));
	index_replace(&list->index, &e->item, &p->item);
}

/* Under lock: brackets go by the range [@start, @last] of @p from now on. */
static void switch_to(struct mirror_list *list, struct mirror *m, struct mirror__entry *p, uint64_t start,
		      uint64_t last)
{
	const struct index_item item = { .first = start, .last = last, .tie = ++list->nr_ranges };

	link_proxy(m, p, &item, list->seq + 1);
	index_insert(&list->index, &p->item, m->mirror__entry);
	retire_nodes_(list);
	/* A (pairs with mirror_walk.c:A, mirror_visit.c:A): the proxy before seq. */
	store_release_unless(MOVE_NO_RELEASE, &list->seq, list->seq + 1);
	p->cookie = usrcu_start_poll(list->brackets);
	fill_moved_(m, m->mirror__entry, p->cookie);
}

static bool is_registered(const struct mirror *m)
{
	enum mirror_state state = get_state_(m);

	return state == STATE_REGISTERED || state == STATE_CLAIMED;
}

/* Under lock: whether it may be moved. */
static int check(const struct mirror_list *list, const struct mirror *m)
{
	if (list->released)
		return -ESHUTDOWN;
	/* One of many that are joining has a number far ahead. */
	if (!is_registered(m) || load_relaxed(&m->mirror__entry->joined) > list->seq)
		return -ENOENT;
	return is_whole_(m->mirror__entry) ? -EINVAL : 0;
}

/* Under lock: no walk has seen @p. */
static void give_up(struct mirror_list *list, struct mirror__entry *p)
{
	store_relaxed(&p->joined, NEVER);
	retire_entry_(list, p);
}

/* Under lock, which it gives up meanwhile.  If the sync is a lock, the caller holds it. */
static int move(struct mirror_list *list, struct mirror *m, uint64_t start, uint64_t last)
{
	struct mirror__entry *first = m->mirror__proxy ? NULL : get_entry_(list), *p = get_entry_(list);
	int rc = p ? get_nodes_(list) : -ENOMEM;

	if (!rc)
		rc = check(list, m);
	if (!rc && !m->mirror__proxy && !first)
		rc = -ENOMEM;
	if (!rc && !m->mirror__proxy) {
		stand_in(list, m, first);
		first = NULL;
	}
	if (!rc) {
		take_out_superseded(list, m);
		switch_to(list, m, p, start, last);
	} else if (p) {
		give_up(list, p);
	}
	if (first)
		give_up(list, first);
	return rc;
}

int mirror_set_range(struct mirror *m, uint64_t start, uint64_t end)
{
	struct garbage garbage = { 0 };
	struct mirror_list *list;
	struct wait wait;
	int rc;

	if (!m || start > end - 1) /* an end of 0 is 2^64 */
		return -EINVAL;
	if (!is_registered(m))
		return -ENOENT;
	list = m->mirror__list;
	rc = !list->grace_period && in_callback_(list) ? -EDEADLK : begin_shown_change_(list, &wait);
	if (rc)
		return rc;
	gate_lock(&list->lock);
	rc = move(list, m, start, end - 1);
	reclaim_(list, &garbage);
	gate_unlock(&list->lock);
	free_chunks_(list, &garbage);
	end_shown_change_(list, &wait);
	return rc;
}
