/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu: sections and grace periods of one domain
 *
 * Terms.  A section is counted under an index, 0 or 1: the domain's at the time it began.  A grace period waits until
 * it has seen each index empty.  A flip changes the index that new sections use.
 *
 * State
 *   slot->open[i]     this thread's open sections; written by that thread alone
 *   slot->lent[i]     handed-over sections that this thread began, less those that it ended itself; its own
 *   slot->gone[i]     those that other threads ended; read-modify-writes
 *   d->fallback       the same for all threads without a slot; read-modify-writes
 *   d->fallback.open  what fast tokens of such sections point to; at most 0, and nothing is counted there
 *   record->fenced    the same for sections in a slot of a domain with full fences; its own thread
 *   d->head.entry     what new sections use: the entry of open[i] in a thread's table; i is a copy of GP_INDEX
 *   d->head.waiting   a bit for each index: a sleeping grace period asks to be woken; set by read-modify-writes, cleared
 *                     by the reader that wakes it
 *   d->gp             the grace period, in one word, changed by compare-and-exchange:
 *
 *        63                          5     4          3            2         1 0
 *       +-----------------------------+----------+------------+-----------+------+
 *       | number                      | GP_INDEX | GP_FLIPPED | GP_FENCED | need |
 *       +-----------------------------+----------+------------+-----------+------+
 *
 *                     need: the indexes that have not been seen empty yet; 0: none is under way
 *                     GP_FENCED: C has been executed since it began;  GP_FLIPPED: GP_INDEX has changed since
 *
 * Algorithm.  A section:
 *   1. i = the index of d->head.entry; open[i]++; light fence A.             usrcu_inline.h
 *   2. ... the section ...
 *   3. open[i]-- as a release, B; light fence E; if bit i of waiting is set, wake the sleepers.
 *   Handed over, 1 is lent[i]++.  3 is lent[i]-- by the thread that began it, and gone[i]++ of that thread's slot,
 *   which the token names, by any other.
 *   An ordinary pair's token is the entry, or the slot's number; a fast pair's is the address of open[i], or lent[i].
 *   What does not stand in a slot, or needs a fence, is done out of line: such an ordinary token is above all entries;
 *   such a fast one is the address of a counter that is never above 0, so that 3 finds it below zero, as it finds a
 *   call too many.
 * A grace period is a state machine.  Any thread that waits or polls moves it on, without a lock:
 *   4. If need is 0: need becomes both indexes, G.
 *   5. If GP_FENCED is not set: heavy fence C.
 *   6. Look at the indexes that are needed: i is empty if each slot has open[i] == 0 and lent[i] == gone[i], gone[i]
 *      read first.  Propose the next word: GP_FENCED; an index that is empty is needed no more; if only the current one
 *      is needed, flip, once; if none is, the number rises and the rest is cleared.  If another thread has changed the
 *      word meanwhile, look at that one.
 *   7. When the number has risen, wake the sleepers.
 *   8. A sleeper says so in the bit of waiting for the index that it waits for, heavy fence F, looks again as in 6, and
 *      sleeps.
 * A cookie is the number, in its place in the word, at the end of the next grace period that starts from now.
 *
 * Threads that wait at once would all execute C.  So one of them takes a lease of the grace period; the others leave it
 * alone until the lease ends, or is given back.  A thread that loses its CPU holds up nobody for longer.
 *
 * Why it is safe
 *   1. A section that began before C is counted where 6 looks, or it sees all that came before C: A and C are the two
 *      sides of a store buffering test.  (usrcu-sb, usrcu-two-readers)
 *
 *         reader                            grace period
 *           open[i]++                         the caller unpublishes; need = 3
 *           fence A                           fence C
 *           loads the pointer                 loads open[i]
 *
 *   2. An index is needed until it was seen empty once after C.  Each slot is judged by itself: open[i] is written by
 *      one thread, so a zero seen after C means that the thread's sections from before C are over, whatever it does
 *      later; no two slots must be seen at the same time.  Handed-over sections likewise: each of gone[i], read first,
 *      has its beginning in lent[i], so if the two are equal no other one is open.  (usrcu-handover,
 *      usrcu-handover-two; mutant GP_LENT_FIRST)
 *   3. A stale index is harmless: a reader that read the index before a flip and counts itself after it counts under an
 *      index that is either still needed, and is waited for though it need not be, or seen empty already, and then it
 *      began after C.  So d->head.entry may even change late.  (usrcu-two-grace-periods)
 *   4. What a section did is seen after the grace period: B and D.  (usrcu-mp)
 *   5. A cookie is over only for a grace period whose C came after the cookie's full fence: if the cookie's thread has
 *      not seen need set (G), its fence precedes every C of that grace period.  (usrcu-cookie)
 *   6. A thread that relies on GP_FENCED looks after C: it has read the word that C's thread wrote.  A thread that
 *      proposes a word has looked at the counts since it read the word before it, so each index that leaves need was
 *      seen empty in this grace period: the number is part of the word.  (usrcu-two-updaters; mutant GP_FENCED_EARLY)
 *   7. No sleeper is left behind: E and F are again two sides of a store buffering test; the reader that clears
 *      waiting signals the event after it.  It clears both bits: each sleeper whose bit it takes is woken, looks again,
 *      and says so again.  (usrcu-sleep, usrcu-fast-sleep, usrcu-two-synchronizers; mutant WAKE_OTHER_INDEX)
 *   8. A reader may still be between the count of 3 and its look at waiting when the grace period ends and the domain
 *      is destroyed: the memory of domains is never given back to the system, only used for later domains, which bear a
 *      stray wake.  (usrcu-destroy)
 *   9. If C or F fails, the word is as it was and the error is returned.  (usrcu-membarrier-fails)
 *  10. A fast token that is no counter of a slot always leads out of line: d->fallback.open and record->fenced begin at
 *      0 and are only ever subtracted from.  A handler in between subtracts too, and two threads may lose one of their
 *      subtractions from d->fallback.open; neither brings it above 0.  2^63 of them would.  (usrcu-fast-sb-fenced,
 *      usrcu-fast-first-use, usrcu-fast-first-two, usrcu-signal-fast-fenced; mutant FAST_FENCED_PLAIN)
 *  11. A thread's two entries of a domain are not entered at once (slots.c), and a handler may come in between.  An
 *      empty one only leads out of line, where the slot is found by the first one.  (usrcu-signal-entries)
 *  12. open[i]++ and open[i]-- may be a load and a store, with a handler in between: what it opens it ends (S1), so the
 *      store overwrites the number that was loaded.  lent[i] is another matter: a handler may leave a section open that
 *      another thread ends, so it is changed in one step.  (usrcu-signal, usrcu-signal-lends; mutant OWN_IN_PARTS)
 *
 * Progress.  Sections of the index that is not current are those from before the last flip and the stale ones: both run
 * out.  After the flip the other index runs out too, so that readers that always overlap cannot hold a grace period up.
 * Readers wait for nobody.
 *
 * Cost.  With no section open: one membarrier(2) and one pass over the slots, without a flip.
 *
 * Wrap.  The number is 59 bits wide and compared by difference; a new domain starts it just below zero, so that every
 * user passes the wrap.
 *
 * Fork.  The child keeps the forking thread's sections.  Those of the other threads do not count there: slots_vanished.
 * A handed-over section, or one without a slot, belongs to no thread and stays open.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | read_lock, down_read and their fast forms | my count before the section's accesses | light | C | freed while a section that is not counted uses it | usrcu-sb, usrcu-fast-sb |
 * | B | read_unlock, up_read and their fast forms | the section's accesses before my count | release | D | freed before the section's last access | usrcu-mp, usrcu-fast-mp |
 * | C | a step of a grace period that is not fenced | the callers' stores, and need, before the look at the counts | heavy | A, H | as A; a cookie that reads true early | usrcu-sb, usrcu-cookie |
 * | D | the look at the counts | the counts before what follows the grace period; gone before lent | acquire | B | as B; a handed-over section missed | usrcu-mp, usrcu-learn |
 * | E | read_unlock, up_read and their fast forms | my count before the look at waiting | light | F | a sleeper nobody wakes | usrcu-sleep, usrcu-fast-sleep |
 * | F | before sleeping | waiting before the last look at the counts | heavy | E | as E | usrcu-sleep |
 * | G | need is set | the end of the grace period before, for who sees it begin | release | J | what a section did is not seen | usrcu-learn-next |
 * | H | taking a cookie | the caller's stores before the load of gp | full | C | a cookie that reads true early | usrcu-cookie |
 * | I | gp changes after a look | the look at the counts, and C, before the new word | release | J | as B, for those who only poll; a look before C | usrcu-poll, usrcu-learn |
 * | J | gp is read by who waits, polls or steps | the new word before what follows | acquire, full | G, I | as I | usrcu-poll, usrcu-poll-fence |
 *
 * Sources: Linux kernel/rcu/srcutree.c v6.12 (two indexes, unlocks summed before locks, cookies); Desnoyers et al.,
 * "User-Level Implementations of Read-Copy Update", 2012 (membarrier).  Different from Linux: counters per thread, so
 * that a section needs one counter, each slot is judged alone, a section's owner is known, and the first look may end
 * the grace period without a flip; no fence after the flip, which there bounds the wrap of 32-bit counters; no lock.
 */

#define USRCU__DEFINE /* the read side is compiled here, for callers that do not inline it */
#include "usrcu_impl.h"

#include <errno.h>

_Static_assert(sizeof(struct usrcu_slot) == 64, "a slot is a cache line");
_Static_assert(offsetof(struct usrcu_slot, open) == offsetof(struct slot, busy) &&
	       offsetof(struct usrcu_slot, record) == offsetof(struct slot, record) &&
	       offsetof(struct usrcu_slot, generation) == offsetof(struct slot, generation) &&
	       offsetof(struct usrcu_slot, number) == offsetof(struct slot, number), "a slot begins with struct slot");

/* An ordinary token above all entries. */
enum { TOKEN_FALLBACK = 1 << 16 };      /* counted in d->fallback */
_Static_assert(2 * SLOTS_MAX_KEYS <= USRCU__TOKEN_SLOW, "an entry is a token");
_Static_assert((uint64_t)SLOTS_MAX_NUMBER << USRCU__TOKEN_NUMBER < USRCU__TOKEN_HANDED, "so is a slot's number");
_Static_assert(offsetof(struct usrcu_slot, lent) % 16 == 0 && offsetof(struct record, fenced) % 16 == 0 &&
	       offsetof(struct usrcu, fallback) % 16 == 0, "USRCU__INDEX_OF");

/* How long one thread has the grace period to itself: many looks, but no time that a program would notice. */
#ifndef LEASE_NS
#define LEASE_NS 500000
#endif

/* ---- the read side where it is not inlined ---- */

/* This thread's slot; if one of its entries is empty, which is why we are here, it is entered. */
static struct usrcu_slot *my_slot(struct usrcu *d)
{
	struct usrcu_slot *slot = slots_mine(&d->slots);

	return slot && !d->membarrier ? slot : slots_claim(&d->slots);
}

/* What new sections use; either is safe: 3 above. */
static uint32_t new_index(const struct usrcu *d)
{
	return load_relaxed(&d->head.entry) & 1;
}

static void look_for_sleeper(struct usrcu *d, uint32_t index)
{
	/* E (pairs with F): my count before the look at waiting. */
	fence_light_unless(UNLOCK_NO_FENCE, load_relaxed(&d->membarrier));
	if (load_relaxed(&d->head.waiting))
		usrcu__wake(d, index);
}

/* ---- ... sections of the thread ---- */

/* Count a section of this thread.  Return the slot; NULL: it is counted in d->fallback. */
static struct usrcu_slot *begin_section(struct usrcu *d, uint32_t index)
{
	struct usrcu_slot *slot = my_slot(d);

	if (slot) {
		own_enter(&slot->open[index]);
	} else {
		++*port_fallback_sections();
		fetch_add(&d->fallback.lent[index], 1);
	}
	/* A (pairs with C): my count before the section.  A read-modify-write orders no later load, so it is no fence. */
	fence_light_unless(LOCK_NO_FENCE, d->membarrier || broken_if(FALLBACK_NO_FENCE, !slot, false));
	return slot;
}

static void end_section(struct usrcu *d, uint32_t index, bool in_fallback)
{
	struct usrcu_slot *slot = slots_mine(&d->slots);

	if (in_fallback) {
		if (!*port_fallback_sections())
			usrcu__unbalanced(d);
		--*port_fallback_sections();
		fetch_add(&d->fallback.gone[index], 1); /* B (pairs with D): the section first */
	} else if (!slot || own_leave(&slot->open[index])) { /* B (pairs with D): the section first */
		usrcu__unbalanced(d);
	}
	look_for_sleeper(d, index);
}

int usrcu__read_lock_slow(struct usrcu *d)
{
	uint32_t index = new_index(d);

	if (!begin_section(d, index))
		return (int)(index | TOKEN_FALLBACK);
	return (int)(index | (d->membarrier ? d->head.first : USRCU__TOKEN_SLOW));
}

void usrcu__read_unlock_slow(struct usrcu *d, int token)
{
	uint32_t kind = (uint32_t)token & ~(uint32_t)1;

	if (token & USRCU__TOKEN_HANDED)
		port_fatal("usrcu_read_unlock", "the section is one for usrcu_up_read", d);
	if (kind != TOKEN_FALLBACK && kind != (d->membarrier ? d->head.first : USRCU__TOKEN_SLOW))
		usrcu__unbalanced(d);
	end_section(d, (uint32_t)token & 1, kind == TOKEN_FALLBACK);
}

/* The fast pair's token of a section in @slot, or NULL: in d->fallback. */
static uint64_t *fast_token(struct usrcu *d, struct usrcu_slot *slot, uint32_t index)
{
	const struct slot *head = (const struct slot *)(const void *)slot;

	if (!slot)
		return &d->fallback.open[index];
	return broken_if(FAST_FENCED_PLAIN, true, d->membarrier) ? &slot->open[index] : &head->record->fenced[index];
}

struct usrcu_ctr *usrcu__read_lock_fast_slow(struct usrcu *d)
{
	uint32_t index = new_index(d);

	return (struct usrcu_ctr *)(void *)fast_token(d, begin_section(d, index), index);
}

void usrcu__read_unlock_fast_slow(struct usrcu *d, struct usrcu_ctr *ctr)
{
	uint64_t *token = (uint64_t *)(void *)ctr;
	struct usrcu_slot *slot = slots_mine(&d->slots);
	uint32_t index = USRCU__INDEX_OF(ctr);
	bool in_fallback = token == fast_token(d, NULL, index);

	if (!in_fallback && (d->membarrier || !slot || token != fast_token(d, slot, index)))
		usrcu__unbalanced(d);
	end_section(d, index, in_fallback);
}

/* ---- ... sections that are handed over ---- */

/* Count a section that any thread may end.  Return where: a slot, or d->fallback. */
static struct usrcu_slot *begin_handed(struct usrcu *d, uint32_t index)
{
	struct usrcu_slot *slot = my_slot(d);

	if (slot)
		own_inc(&slot->lent[index]);
	else
		fetch_add(&d->fallback.lent[index], 1);
	fence_light_unless(LOCK_NO_FENCE, d->membarrier); /* A, as in begin_section */
	return slot ? slot : &d->fallback;
}

static void end_handed(struct usrcu *d, struct usrcu_slot *slot, uint32_t index)
{
	/* B, as in end_section */
	if (slot == broken_if(UP_AS_OWNER, slot, slots_mine(&d->slots)))
		(void)own_dec(&slot->lent[index]);
	else
		fetch_add(&slot->gone[index], 1);
	look_for_sleeper(d, index);
}

int usrcu__down_read_slow(struct usrcu *d)
{
	uint32_t index = new_index(d);

	return (int)(index | USRCU__TOKEN_HANDED | begin_handed(d, index)->number << USRCU__TOKEN_NUMBER);
}

void usrcu__up_read_slow(struct usrcu *d, int token)
{
	uint32_t number = ((uint32_t)token & ~(uint32_t)USRCU__TOKEN_HANDED) >> USRCU__TOKEN_NUMBER;
	struct usrcu_slot *slot = &d->fallback;

	if (token < 0 || !(token & USRCU__TOKEN_HANDED))
		port_fatal("usrcu_up_read", "the section is one for usrcu_read_unlock", d);
	if (number)
		slot = slots_numbered(&d->slots, number);
	if (!slot)
		port_fatal("usrcu_up_read", "no such section was begun in this domain", d);
	end_handed(d, slot, (uint32_t)token & 1);
}

struct usrcu_handed_ctr *usrcu__down_read_fast_slow(struct usrcu *d)
{
	uint32_t index = new_index(d);

	return (struct usrcu_handed_ctr *)(void *)&begin_handed(d, index)->lent[index];
}

void usrcu__up_read_fast_slow(struct usrcu *d, struct usrcu_handed_ctr *ctr)
{
	uint32_t index = USRCU__INDEX_OF(ctr);
	uint64_t *lent = (uint64_t *)(void *)ctr - index;
	struct usrcu_slot *slot = (struct usrcu_slot *)(void *)((char *)lent - offsetof(struct usrcu_slot, lent));

	if (slot != &d->fallback && slots_numbered(&d->slots, slot->number & ~SLOT_REPORTED) != slot)
		port_fatal("usrcu_up_read_fast", "no such section was begun in this domain", d);
	end_handed(d, slot, index);
}

/* ---- ... what both need ---- */

void usrcu__unbalanced(struct usrcu *d)
{
	port_fatal("usrcu_read_unlock", "no such section is open in this thread", d);
}

bool usrcu_in_section_(const struct usrcu *d)
{
	const struct usrcu_slot *slot = slots_mine(&d->slots);

	if (*port_fallback_sections())
		return true;
	return slot && d->part != USRCU_HANDED_OVER && (load_relaxed(&slot->open[0]) || load_relaxed(&slot->open[1]));
}

bool usrcu_read_lock_held(const struct usrcu *d)
{
	return d && usrcu_in_section_(d);
}

/* ---- the look at the counts ---- */

/* How many handed-over sections of @slot are open under index @i. */
static uint64_t lent_open(struct usrcu *d, const struct usrcu_slot *slot, int i)
{
	uint64_t lent = 0, gone;

	if (MUTANT(GP_LENT_FIRST))
		lent = load_acquire(&slot->lent[i]);
	gone = load_acquire(&slot->gone[i]); /* D (pairs with B): all ends before any beginning below */
	if (!MUTANT(GP_LENT_FIRST))
		lent = load_acquire(&slot->lent[i]);
	if ((int64_t)(lent - gone) < 0 && !MUTANT(GP_LENT_FIRST))
		port_fatal("usrcu_up_read", "more sections were ended than begun", d);
	return lent - gone;
}

static bool is_open(struct usrcu *d, const struct usrcu_slot *slot, int i)
{
	const struct slot *head = (const struct slot *)(const void *)slot;

	/* D (pairs with B): what the sections did is seen by who sees the end of the grace period. */
	if (d->part != USRCU_HANDED_OVER && load_acquire(&slot->open[i]) && !slots_vanished(head))
		return true;
	return d->part != USRCU_SECTIONS && lent_open(d, slot, i) &&
	       !(d->part == USRCU_HANDED_OVER && slots_vanished(head));
}

uint32_t usrcu_open_indexes_(struct usrcu *d, uint32_t need)
{
	struct usrcu_slot *slot;
	uint32_t open = 0;

	for (int i = 0; i < 2; i++)
		if (broken_if(GP_IGNORE_SHARED, 0, lent_open(d, &d->fallback, i)))
			open |= 1u << i;
	for (struct slots_walk w = slots_first(&d->slots); (slot = slots_next(&w)); )
		for (int i = 0; i < 2; i++)
			if (is_open(d, slot, i))
				open |= 1u << i;
	return open & need;
}

/* ---- the grace period ---- */

/* What follows @gp if of the indexes that it needs those in @open have a section open. */
static uint64_t after_look(uint64_t gp, uint32_t open)
{
	uint64_t next = (gp & ~GP_NEED) | GP_FENCED | open;

	if (MUTANT(GP_NO_FIRST_WAIT) && !(gp & GP_FLIPPED))
		open &= usrcu_current_(gp);
	if (!open)
		return (gp & (GP_NUMBER | GP_INDEX)) + GP_ONE;
	if (open != usrcu_current_(gp) || gp & GP_FLIPPED)
		return next;
	if (MUTANT(GP_NO_SECOND_WAIT))
		return (gp & (GP_NUMBER | GP_INDEX)) + GP_ONE;
	return (next ^ broken_if(GP_NO_FLIP, 0, GP_INDEX)) | GP_FLIPPED;
}

static void begin(struct usrcu *d, uint64_t gp)
{
	store_relaxed(&d->began_ns, port_now_ns()); /* for reports */
	/* G (pairs with J): the end of the grace period before.  C follows in the next step. */
	broken_if(BEGIN_NO_RELEASE, store_relaxed(&d->gp, gp | GP_NEED),
		  (void)compare_exchange(&d->gp, &gp, gp | GP_NEED | broken_if(GP_FENCED_EARLY, GP_FENCED, 0)));
}

/* One step.  1: the word is another one; 0: readers must be waited for; -errno. */
static int step(struct usrcu *d)
{
	uint64_t gp = load_acquire(&d->gp), next; /* J (pairs with G, I): C before the look, if GP_FENCED */
	uint32_t entry = d->head.first + (gp & GP_INDEX ? 1 : 0);
	int rc;

	if (load_relaxed(&d->head.entry) != entry)
		store_relaxed(&d->head.entry, entry); /* a stale one is harmless: 3 */
	if (!usrcu_needed_(gp)) {
		begin(d, gp);
		return 1;
	}
	if (!(gp & GP_FENCED)) {
		/* C (pairs with A, H): the stores of all whose cookies this grace period will serve, and need, come
		 * before the look at the counts. */
		rc = fence_heavy_unless(GP_NO_FENCE, d->membarrier);
		if (broken_if(FENCE_ERROR_IGNORED, 0, rc))
			return rc;
	}
	next = after_look(gp, usrcu_open_indexes_(d, usrcu_needed_(gp)));
	/* I (pairs with J): the look before the new word. */
	if (next != gp && !compare_exchange(&d->gp, &gp, next))
		return 1;
	if (!usrcu_needed_(next))
		unless(SLEEP_NO_WAKE, event_signal(&d->event));
	else if ((next ^ gp) & GP_INDEX)
		store_relaxed(&d->head.entry, entry ^ 1);
	return !usrcu_needed_(next);
}

bool usrcu_is_over_(const struct usrcu *d, usrcu_cookie_t cookie)
{
	if ((int64_t)(load_acquire(&d->gp) - cookie) < 0) /* J (pairs with G, I): the end first */
		return false;
	fence_full(); /* J: what follows is ordered as after synchronize */
	return true;
}

/* False: another thread has the lease, until *@lease_ns. */
static bool take_lease(struct usrcu *d, uint64_t *lease_ns)
{
	uint64_t now = port_now_ns();

	*lease_ns = 0;
	if (LEASE_NS == 0)
		return true;
	*lease_ns = load_relaxed(&d->lease_ns);
	return *lease_ns <= now && compare_exchange(&d->lease_ns, lease_ns, now + LEASE_NS);
}

static void give_lease_back(struct usrcu *d)
{
	if (LEASE_NS != 0)
		store_relaxed(&d->lease_ns, 0);
}

int usrcu_advance_or_lease_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t *lease_ns)
{
	int rc = 1;

	if (usrcu_is_over_(d, cookie))
		return 1;
	if (!take_lease(d, lease_ns))
		return 0;
	*lease_ns = 0;
	while (rc == 1 && !usrcu_is_over_(d, cookie))
		rc = step(d);
	give_lease_back(d);
	return rc;
}

int usrcu_advance_(struct usrcu *d, usrcu_cookie_t cookie)
{
	uint64_t lease_ns;

	return usrcu_advance_or_lease_(d, cookie, &lease_ns);
}

/* ---- waking ---- */

/*
 * A reader ends a section that a sleeper may be waiting for.  waiting is cleared before the signal: a sleeper that sets
 * it again has prepared before the signal, and does not sleep through it, or after it.  A sleeper of the other index is
 * woken too, if there is one, and sets its bit again; it is never woken by sections of the other index alone.
 */
void usrcu__wake(struct usrcu *d, uint32_t index)
{
	if (!(load_relaxed(&d->head.waiting) & 1u << broken_if(WAKE_OTHER_INDEX, !index, index)))
		return;
	store_relaxed(&d->head.waiting, 0);
	event_signal(&d->event);
}
