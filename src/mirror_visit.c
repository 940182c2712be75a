/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Visits: which mirrors overlap a range, asked without a bracket
 *
 * Terms.  Walks and pins are those of mirror_pin.c; which entries there are, and in what order, says mirror_order.h.
 *
 * Algorithm.  A visit is a walk that calls the visitor's function in place of the mirrors' callbacks.
 *   1. It reads seq once, S.  An entry takes part as in the start of a bracket: joined <= S < released, ranges overlap.
 *   2. Each is pinned; if it is not dead the function is called; then it is unpinned.
 *
 * Why it is safe.  While the function runs the pin holds up the mirror's unregister, as a callback does
 * (mirror_pin.c, 1).  (drain-visit, t/mirror/visit)
 *
 * Cost.  A section, and for each mirror two stores to the walker and two loads of the entry's line.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | visit | seq before the blocks and the index | acquire | mirror_register.c:A, mirror_move.c:A | a visit misses a mirror | list-visit |
 */

#include "mirror_move.h"
#include "mirror_order.h"
#include "mirror_pin.h"
#include "mirror_report.h"

struct visit {
	struct walk walk;
	uint64_t seq;
	int (*fn)(struct mirror *m, void *arg);
	void *arg;
};

/* What the function returned, or 0. */
static int visit_one(struct visit *visit, struct mirror__entry *e)
{
	uint32_t state = pin_(&visit->walk, e);
	int rc = 0;

	if (state & ENTRY_PROXY)
		state = pin_main(&visit->walk, &e, visit->seq);
	if (!(state & ENTRY_DEAD) && (!(state & ENTRY_RELEASED) || visit->seq < load_relaxed(&e->mirror->mirror__released))) {
		rc = visit->fn(e->mirror, visit->arg);
		end_timing_(&visit->walk, e);
	}
	unpin_(&visit->walk, visit->walk.pin, e);
	return rc;
}

/* Also run when an exception passes: then the pin shows for which mirror. */
static void end_visit(struct visit **begun)
{
	struct walk *walk = &(*begun)->walk;
	struct walk *left __attribute__((cleanup(end_walk_), unused)) = walk;
	struct mirror__entry *pinned = load_relaxed(walk->pin);

	if (pinned)
		unpin_(walk, walk->pin, pinned);
}

/* In a walk. */
static int visit_all(struct visit *begun, uint64_t first, uint64_t last)
{
	struct visit *visit __attribute__((cleanup(end_visit))) = begun;
	struct mirror_list *list = visit->walk.list;
	struct forwards all;
	struct mirror__entry *e;
	int rc = 0;

	/* A (pairs with mirror_register.c:A, mirror_move.c:A): seq before the blocks and the index. */
	visit->seq = load_acquire(&list->seq);
	forwards_begin(&all, list, (struct view){ first, last, visit->seq + 1, NULL });
	while (!rc && (e = forwards_next(&all)))
		rc = visit_one(visit, e);
	return rc;
}

int mirror_visit(struct mirror_list *list, uint64_t start, uint64_t end, int (*fn)(struct mirror *m, void *arg),
		 void *arg)
{
	struct visit visit = { .fn = fn, .arg = arg };
	int rc;

	if (!list || !fn || start > end - 1) /* an end of 0 is 2^64 */
		return -EINVAL;
	rc = enter_(&visit.walk, list, my_walker_(list), VISIT, MIRROR_MAX_DEPTH, true);
	return rc ? rc : visit_all(&visit, start, end - 1);
}
