/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Unregister without waiting: who finds out that a mirror is drained, and tells its owner
 *
 * The mark and the pins are those of mirror_unregister.c, which says why this is safe; its
 * barriers are explained at the top of src/mirror_unregister.c.  A mirror is pending from its mark until
 * somebody has taken upon himself to call its done().
 *
 * A fence serves the marks that came before it.  So marks are numbered, and who has fenced leaves
 * pending what was marked since: he may not see the pin of a walk that has not seen that mark.
 * (drain-async-both; mutant COMPLETE_UNFENCED)
 */

#include "mirror_list.h"

#include <errno.h>
#include <limits.h>

/* Under lock. */
static void unpend(struct mirror *m)
{
	*m->mirror__link = m->mirror__next;
	if (m->mirror__next)
		m->mirror__next->mirror__link = m->mirror__link;
}

/* A done() under way: barrier waits for it. */
struct completion {
	struct mirror_list *list;
	int cancel;
};

/* Also run when an exception passes. */
static void done_is_over(struct completion *f)
{
	struct mirror_list *list = f->list;

	port_mutex_lock(&list->lock);
	list->nr_pending--;
	fetch_add(&list->wakes, 1);
	if (list->nr_barriers)
		port_futex_wake(&list->wakes, INT_MAX);
	port_mutex_unlock(&list->lock);
	port_cancel_restore(f->cancel);
}

/* Drained, and FINISHED by us: tell the owner.  Within a walk, so that done() is known as one. */
static void complete(struct mirror_list *list, struct mirror *m)
{
	struct completion f __attribute__((cleanup(done_is_over))) = { list, port_cancel_disable() };
	void (*done)(struct mirror *m) = m->mirror__done;

	port_mutex_lock(&list->lock);
	unpend(m);
	port_mutex_unlock(&list->lock);
	forget_(list, &m, 1);
	done(m);
}

/* Whether @e is drained, and it falls to us to finish it; after C or F. */
static bool may_complete(struct mirror_list *list, struct mirror__entry *e)
{
	int level;

	return !pinned_(list, e, &level) && !(fetch_or(&e->state, ENTRY_COMPLETED) & ENTRY_COMPLETED);
}

void unpinned_async_(struct mirror_list *list, struct mirror__entry *e)
{
	bool interrupt;

	port_mutex_lock(&list->lock);
	interrupt = advance_fence_mode_(list);
	port_mutex_unlock(&list->lock);
	/*
	 * F (pairs with A, F): my empty pin before the look at theirs; and the mark, whose own C may be
	 * still to come, before it too.
	 */
	if (!MUTANT(UNPIN_ASYNC_NO_FENCE) && fence_drain_(interrupt)) {
		/* Nobody may look any more.  Barriers that wait for this one are to find that out too. */
		fetch_add(&list->wakes, 1);
		port_futex_wake(&list->wakes, INT_MAX);
	} else if (may_complete(list, e)) {
		complete(list, e->mirror);
	}
}

/* One of the pending that it falls to us to finish, marked no later than @mark; or NULL. */
static struct mirror *one_to_complete(struct mirror_list *list, uint64_t fence)
{
	struct mirror *m;

	/* Under the lock, because who finishes an entry takes it out before it is retired. */
	port_mutex_lock(&list->lock);
	for (m = list->pending; m; m = m->mirror__next)
		if ((m->mirror__fence <= fence || MUTANT(COMPLETE_UNFENCED)) && may_complete(list, m->mirror__entry))
			break;
	port_mutex_unlock(&list->lock);
	return m;
}

/*
 * Finish what was marked by then and no pin shows any more; the others are left to those who unpin
 * them, or have marked them.  0 or -errno.
 */
static int complete_pending(struct mirror_list *list, bool interrupt, uint64_t fence)
{
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	struct mirror *m;
	int rc = enter_(&walk, list, "done", MAX_PINS, true);

	if (!rc)
		rc = fence_drain_(interrupt); /* C (pairs with A, E): dead before the look at the pins */
	while (!rc && (m = one_to_complete(list, fence)))
		complete(list, m);
	return rc;
}

int mirror_unregister_async(struct mirror *m, void (*done)(struct mirror *m))
{
	struct mirror_list *list;
	uint64_t fence;
	bool interrupt;
	int rc;

	if (!done)
		return -EINVAL;
	rc = claim_(&m, 1, false);
	if (rc)
		return rc;
	list = m->mirror__list;
	if (!list->grace_period) {
		rc = list->sync->write_lock(list->sync_state, PORT_FOREVER);
		if (rc) {
			give_back_(m);
			return rc;
		}
	}
	port_mutex_lock(&list->lock);
	m->mirror__done = done;
	m->mirror__link = &list->pending;
	m->mirror__next = list->pending;
	if (m->mirror__next)
		m->mirror__next->mirror__link = &m->mirror__next;
	list->pending = m;
	list->nr_pending++;
	mark_dead_(list, &m, 1, ENTRY_DEAD | ENTRY_ASYNC);
	interrupt = advance_fence_mode_(list);
	fence = m->mirror__fence = list->nr_fences;
	port_mutex_unlock(&list->lock);
	if (!list->grace_period)
		list->sync->write_unlock(list->sync_state);
	complete_pending(list, interrupt, fence); /* an error is found again by barrier */
	return 0;
}

int mirror_barrier(struct mirror_list *list)
{
	uint64_t fence;
	bool interrupt;
	uint32_t seen;
	int rc = 0;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	port_mutex_lock(&list->lock);
	list->nr_barriers++;
	while (list->nr_pending && !rc) {
		seen = load_acquire(&list->wakes);
		interrupt = advance_fence_mode_(list);
		fence = list->nr_fences;
		port_mutex_unlock(&list->lock);
		rc = complete_pending(list, interrupt, fence);
		if (!rc)
			port_futex_wait(&list->wakes, seen, PORT_FOREVER);
		port_mutex_lock(&list->lock);
	}
	list->nr_barriers--;
	port_mutex_unlock(&list->lock);
	return rc;
}
