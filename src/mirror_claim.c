/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Claims: which call unregisters a mirror
 *
 * Terms.  A call that has claimed a mirror is the only one that may unregister it.  To decide is to go past the point
 * from which the claim can be given back.  A rival is a call that finds a claim before that.
 *
 * State
 *   mirror__state     under list->lock; the states are drawn in mirror_list.h
 *   mirror__claimer   under list->lock: process_self() of the claimer's thread; of an ASYNC mirror its done
 *   mirror__next      of a claimed mirror, the claimer's: the first mirror of each list leads to that of the next list
 *   list->event       rivals sleep on it
 *
 * Algorithm
 *   1. Claim each mirror, a batch in each section of the lock.  If one cannot be claimed, give the others back.
 *   2. If that is because another call has claimed it, sleep until that call has decided, and try again.
 *   3. Decide: the state becomes DRAINING, or ASYNC.  From here on another unregister is -EALREADY.
 *
 * Why it is safe
 *   1. A refusal makes no other call fail, because no call answers -EALREADY to a claim that may be given back
 *      (drain-rival; mutant CLAIM_FINAL).
 *   2. A rival that sleeps has claimed nothing, so the other call decides: between claim and decision it waits for
 *      locks alone, never for a callback.
 *   3. The claim of a thread that vanished with a fork counts as given back.
 *
 * Cost.  The lock is held for LIGHT_BATCH mirrors at a time.
 */

#include "mirror_claim.h"

#include "mirror_pin.h"

#include <errno.h>

/* 0: this unregister can claim @m; -EAGAIN: another one has, and may give it back; or why none can. */
static int may_claim(const struct mirror *m)
{
	uint64_t claimer;

	if (!m)
		return -EINVAL;
	switch (get_state_(m)) {
	case STATE_REGISTERED:
	case STATE_DYING: /* an earlier wait has ended early */
		return 0;
	case STATE_NONE:
	case STATE_JOINING:
		return -ENOENT;
	case STATE_CLAIMED:
		claimer = load_relaxed(&m->mirror__claimer);
		if (process_has(claimer))
			return process_is_me(claimer) ? -EALREADY : broken_if(CLAIM_FINAL, -EALREADY, -EAGAIN);
		return 0; /* it vanished with a fork: as if it had ended early */
	case STATE_DRAINING:
		return process_has(load_relaxed(&m->mirror__claimer)) ? -EALREADY : 0;
	default:
		return -EALREADY;
	}
}

/* Claim those of the first one's list, up to one that cannot be claimed: how many; @rc: why no more. */
static size_t claim_run(struct mirror *const *m, size_t count, bool to_wait, int *rc)
{
	struct mirror_list *list;
	size_t claimed = 0;

	*rc = may_claim(m[0]);
	if (*rc && *rc != -EAGAIN)
		return 0;
	list = m[0]->mirror__list;
	if ((to_wait ? !is_targeted_(list) : !list->grace_period) && in_callback_(list)) {
		*rc = -EDEADLK;
		return 0;
	}
	gate_lock(&list->lock);
	for (; claimed < count; claimed++) {
		if (claimed && claimed % LIGHT_BATCH == 0)
			gate_relock(&list->lock);
		*rc = may_claim(m[claimed]);
		if (*rc || m[claimed]->mirror__list != list)
			break;
		store_relaxed(&m[claimed]->mirror__claimer, process_self());
		set_state_(m[claimed], STATE_CLAIMED);
	}
	gate_unlock(&list->lock);
	return claimed;
}

static bool is_dead(const struct mirror *m)
{
	return load_relaxed(&m->mirror__entry->state) & ENTRY_DEAD;
}

void tell_rivals_(struct mirror_list *list)
{
	if (load_relaxed(&list->event.word) & 1) /* set under lock */
		event_signal(&list->event);
}

void give_back_(struct mirror *m)
{
	struct mirror_list *list = m->mirror__list;

	gate_lock(&list->lock);
	set_state_(m, is_dead(m) ? STATE_DYING : STATE_REGISTERED);
	tell_rivals_(list);
	gate_unlock(&list->lock);
}

void give_all_back_(struct mirror *const *mirrors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (get_state_(mirrors[i]) != STATE_GONE)
			give_back_(mirrors[i]);
}

/* Until the call that has claimed @m has given it back, or will not any more. */
static void wait_for_decision(struct mirror *m)
{
	struct mirror_list *list = m->mirror__list;
	uint32_t seen;

	gate_lock(&list->lock);
	while (may_claim(m) == -EAGAIN) {
		seen = event_prepare(&list->event);
		gate_unlock(&list->lock);
		event_wait(&list->event, seen, PORT_FOREVER);
		gate_lock(&list->lock);
	}
	gate_unlock(&list->lock);
}

int claim_(struct mirror *const *mirrors, size_t count, bool to_wait)
{
	size_t claimed = 0, run;
	int rc = 0;

	while (claimed < count) {
		struct mirror *head = mirrors[claimed];

		run = claim_run(mirrors + claimed, count - claimed, to_wait, &rc);
		claimed += run;
		if (rc) {
			give_all_back_(mirrors, claimed);
			if (rc != -EAGAIN)
				return rc;
			wait_for_decision(mirrors[claimed]);
			claimed = 0;
			continue;
		}
		head->mirror__next = claimed < count ? mirrors[claimed] : NULL;
	}
	return 0;
}

void decide_(struct mirror *const *mirrors, size_t count)
{
	for (size_t i = 0, nr; i < count; i += nr) {
		struct mirror_list *list = mirrors[i]->mirror__list;

		nr = batch_of_(mirrors + i, count - i, LIGHT_BATCH);
		gate_lock(&list->lock);
		for (size_t k = 0; k < nr; k++)
			set_state_(mirrors[i + k], STATE_DRAINING);
		tell_rivals_(list);
		gate_unlock(&list->lock);
		gate_let_others(&list->lock);
	}
}
