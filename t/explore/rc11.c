/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * RC11: messages, views, and the order of fences.
 *
 * A load may read, and a store may stand behind, any message that is not older than the thread's view, if that closes no
 * cycle of fences.  Two fences are ordered if the first happens before the second, or happens before an event that is
 * before another one in extended coherence order which happens before the second.  Both events are at one location,
 * so for each fence and location two keys are enough: the smallest behind it, and the largest before it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "rc11.h"

struct rc RC X_ENGINE;

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

void rc_init(void)
{
	RC.loc = map(RC_MAX_LOCS * sizeof(*RC.loc));
	RC.message = map(RC_MAX_MESSAGES * sizeof(*RC.message));
	RC.fence_view = map(RC_MAX_FENCES * sizeof(*RC.fence_view));
	RC.first_after = map(RC_MAX_FENCES * sizeof(*RC.first_after));
	RC.reaches = map(RC_MAX_FENCES * sizeof(*RC.reaches));
	rc_plain_init();
}

void rc_forget(void)
{
	memset(RC.loc, 0, RC_MAX_LOCS * sizeof(*RC.loc));
	RC.nr_locs = 0;
}

void rc_begin_execution(void)
{
	for (int i = 1; i <= RC.nr_locs; i++)
		RC.loc[i].nr = 0;
	RC.nr_messages = 0;
	RC.nr_fences = 0;
	memset(RC.thread, 0, sizeof(RC.thread));
	for (int i = 0; i < X_MAX_FIBERS; i++) {
		RC.thread[i].op.kind = i ? RC_START : RC_JOIN;
		RC.thread[i].now.clock[i] = RC.thread[i].gap = 1;
	}
	rc_search_begin_execution();
}

/* ---- histories ---- */

static uint16_t new_message(uint16_t loc)
{
	struct rc_message *m;

	if (++RC.nr_messages == RC_MAX_MESSAGES)
		x_fail("more than %d messages in one execution", RC_MAX_MESSAGES);
	m = &RC.message[RC.nr_messages];
	memset(m, 0, sizeof(*m));
	m->loc = loc;
	m->writer = E.cur->id;
	m->site = E.cur->site;
	return (uint16_t)RC.nr_messages;
}

static void insert(struct rc_loc *l, uint16_t message, uint16_t place)
{
	if (l->nr == RC_MAX_HISTORY)
		x_fail("more than %d messages of one location", RC_MAX_HISTORY);
	for (int i = l->nr; i > place; i--) {
		l->order[i] = l->order[i - 1];
		RC.message[l->order[i]].place = (uint16_t)i;
	}
	l->order[place] = message;
	RC.message[message].place = place;
	l->nr++;
}

void rc_plain_message(uint16_t loc)
{
	struct rc_loc *l = &RC.loc[loc];
	uint16_t message;

	if (l->nr && RC.message[rc_last(loc)].in_memory)
		return;
	message = new_message(loc);
	RC.message[message].in_memory = true;
	insert(l, message, l->nr);
	l->floor = message;
}

uint16_t rc_touch(struct loc *loc, volatile void *p, unsigned size)
{
	struct rc_loc *l;

	if (!loc->history) {
		if (RC.nr_locs + 1 == RC_MAX_LOCS)
			x_fail("more than %d locations are shared", RC_MAX_LOCS);
		loc->history = (uint16_t)++RC.nr_locs;
	}
	l = &RC.loc[loc->history];
	if (!l->nr) {
		l->loc = loc;
		l->p = p;
		l->size = (uint8_t)size;
		memset(&l->bucket, 0, sizeof(l->bucket));
		memset(&l->bucket_past, 0, sizeof(l->bucket_past));
		memset(&l->locked_past, 0, sizeof(l->locked_past));
		rc_plain_message(loc->history);
		RC.message[l->floor].writer = 0; /* setup */
	}
	if (l->size != size && l->size + size == 12) {
		loc->narrow = true;
		x_end_execution(X_RESTART);
	}
	if (l->size != size)
		x_fail("accesses of %u and %u bytes at one address", l->size, size);
	return loc->history;
}

uint16_t rc_last(uint16_t loc)
{
	return RC.loc[loc].order[RC.loc[loc].nr - 1];
}

/* While a message is in memory alone it is the last one. */
uint64_t rc_value(uint16_t message)
{
	const struct rc_message *m = &RC.message[message];

	return m->in_memory ? x_read_memory(RC.loc[m->loc].p, RC.loc[m->loc].size) : m->value;
}

/* ---- views ---- */

static int place_of(uint16_t message)
{
	return message ? RC.message[message].place : -1;
}

/* Orders the events at one location. */
static int key_of(uint16_t seen)
{
	return 2 * place_of(seen >> 1) + (seen & 1);
}

void rc_join(struct rc_view *view, const struct rc_view *with)
{
	for (int i = 0; i < RC_FENCE_WORDS; i++)
		view->fences.word[i] |= with->fences.word[i];
	for (int i = 0; i < E.nr_fibers; i++)
		if (view->clock[i] < with->clock[i])
			view->clock[i] = with->clock[i];
	for (int i = 1; i <= RC.nr_locs; i++)
		if (view->seen[i] != with->seen[i] && with->seen[i] &&
		    (!view->seen[i] || key_of(view->seen[i]) < key_of(with->seen[i])))
			view->seen[i] = with->seen[i];
}

void rc_join_past(struct rc_past *past, const struct rc_past *with)
{
	for (int i = 0; i < X_MAX_FIBERS; i++)
		if (past->nr[i] < with->nr[i])
			past->nr[i] = with->nr[i];
}

/* ---- fences ---- */

static bool meets(const struct rc_fences *a, const struct rc_fences *b)
{
	for (int i = 0; i < RC_FENCE_WORDS; i++)
		if (a->word[i] & b->word[i])
			return true;
	return false;
}

static void add_all(struct rc_fences *to, const struct rc_fences *from)
{
	for (int i = 0; i < RC_FENCE_WORDS; i++)
		to->word[i] |= from->word[i];
}

static void add_fence(struct rc_fences *to, int fence)
{
	to->word[fence / 64] |= UINT64_C(1) << fence % 64;
}

static struct rc_fences without(const struct rc_fences *all, const struct rc_fences *some)
{
	struct rc_fences rest;

	for (int i = 0; i < RC_FENCE_WORDS; i++)
		rest.word[i] = all->word[i] & ~some->word[i];
	return rest;
}

static bool has_fence(const struct rc_fences *fences, int fence)
{
	return fences->word[fence / 64] >> fence % 64 & 1;
}

/* All that an event which reads @message, or stands behind it, comes before in the order of fences. */
static struct rc_fences fences_behind(uint16_t message)
{
	uint16_t loc = RC.message[message].loc;
	struct rc_fences behind = { { 0 } };

	for (int f = 0; f < RC.nr_fences; f++)
		if (place_of(RC.fence_view[f].seen[loc] >> 1) > RC.message[message].place)
			add_all(&behind, &RC.reaches[f]);
	return behind;
}

/* The fences that happen before the thread's next event, wherever the membarriers come that are not settled. */
static struct rc_fences settled(const struct rc_thread *t)
{
	struct rc_fences fences = t->now.fences;

	for (int i = 0; i < E.nr_fibers; i++)
		fences = without(&fences, &t->unsettled[i]);
	return fences;
}

/* The thread has executed an event with @seen as its key. */
static void note_event(struct rc_thread *t, uint16_t loc, uint16_t seen, const struct rc_fences *behind)
{
	struct rc_fences before = settled(t);
	uint16_t *first;

	for (int f = 0; f < RC.nr_fences; f++) {
		if (has_fence(&before, f)) {
			first = &RC.first_after[f][loc];
			if (!*first || key_of(seen) < key_of(*first))
				*first = seen;
		}
		if (meets(&RC.reaches[f], &before))
			add_all(&RC.reaches[f], behind);
	}
}

void rc_fence(struct rc_thread *t)
{
	int fence = RC.nr_fences++;
	struct rc_fences before;

	if (RC.nr_fences > RC_MAX_FENCES)
		x_fail("more than %d fences in one execution", RC_MAX_FENCES);
	rc_join(&t->now, &t->acquired);
	before = t->now.fences;
	for (int f = 0; f < fence; f++)
		for (int i = 1; i <= RC.nr_locs && !has_fence(&before, f); i++)
			if (RC.first_after[f][i] && t->now.seen[i] &&
			    key_of(RC.first_after[f][i]) < key_of(t->now.seen[i]))
				add_fence(&before, f);
	memset(&RC.reaches[fence], 0, sizeof(RC.reaches[fence]));
	memset(RC.first_after[fence], 0, sizeof(RC.first_after[fence]));
	add_fence(&RC.reaches[fence], fence);
	for (int f = 0; f < fence; f++)
		if (meets(&RC.reaches[f], &before))
			add_fence(&RC.reaches[f], fence);
	add_fence(&t->now.fences, fence);
	RC.fence_view[fence] = t->now;
	t->released = t->now;
	t->now.clock[t - RC.thread]++;
}

/* ---- events ---- */

void rc_read(struct rc_thread *t, uint16_t message, bool acquire)
{
	const struct rc_message *m = &RC.message[message];
	struct rc_fences behind = fences_behind(message);
	uint16_t seen = (uint16_t)(message << 1 | 1);

	rc_join(&t->acquired, &m->view);
	if (acquire)
		rc_join(&t->now, &m->view);
	if (!t->now.seen[m->loc] || key_of(t->now.seen[m->loc]) < key_of(seen))
		t->now.seen[m->loc] = seen;
	note_event(t, m->loc, seen, &behind);
	if (t->nr_relaxed == RC_MAX_RELAXED) {
		t->relaxed_overflow = true;
	} else {
		t->relaxed_loc[t->nr_relaxed] = m->loc;
		t->relaxed_message[t->nr_relaxed++] = message;
	}
}

/* Only these two use it. */
static bool is_between(const struct rc_loc *l, int one, int other)
{
	struct loc *loc = l->loc;

	if ((loc->readers | loc->writers) & ~(1u << one | 1u << other) || one == other)
		return false;
	loc->paired = true;
	return true;
}

uint16_t rc_write(struct rc_thread *t, uint16_t behind, uint64_t value, bool release, bool rmw)
{
	uint16_t loc = RC.message[behind].loc, message;
	struct rc_loc *l = &RC.loc[loc];
	struct rc_fences fences = fences_behind(behind);
	struct rc_message *m, *last = &RC.message[rc_last(loc)];

	if (last->in_memory) {
		last->value = rc_value(rc_last(loc));
		last->in_memory = false;
	}
	for (int i = 0; i < E.nr_fibers; i++)
		if (meets(&t->unsettled[i], &t->unsettled[i]) && !is_between(l, (int)(t - RC.thread), i))
			memset(&t->unsettled[i], 0, sizeof(t->unsettled[i]));
	message = new_message(loc);
	m = &RC.message[message];
	m->value = value;
	m->is_rmw = rmw;
	insert(l, message, (uint16_t)(RC.message[behind].place + 1));
	t->now.seen[loc] = (uint16_t)(message << 1);
	m->view = release ? t->now : t->released;
	m->view.seen[loc] = (uint16_t)(message << 1);
	if (rmw)
		rc_join(&m->view, &RC.message[behind].view); /* it continues the release sequence */
	note_event(t, loc, (uint16_t)(message << 1), &fences);
	t->now.clock[t - RC.thread]++;
	/* Nobody waits for what he wrote himself. */
	for (int i = 0; i < t->nr_relaxed; i++)
		if (t->relaxed_loc[i] == loc && place_of(t->relaxed_message[i]) < m->place)
			t->relaxed_message[i] = message;
	if (message == rc_last(loc))
		x_write_memory(l->p, l->size, value);
	return message;
}

/* ---- what a step may do ---- */

static bool may(const struct rc_thread *t, const struct rc_fences *before, uint16_t message, const struct rc_op *op)
{
	const struct rc_message *m = &RC.message[message];
	const struct rc_loc *l = &RC.loc[m->loc];
	bool open = m->place + 1 == l->nr || !RC.message[l->order[m->place + 1]].is_rmw;
	struct rc_fences behind;

	switch (op->kind) {
	case RC_STORE:
	case RC_RMW:
		if (!open)
			return false;
		break;
	case RC_CAS:
		if (!open && rc_value(message) == op->expected)
			return false;
		break;
	case RC_LOCK:
		if (!open || rc_value(message) != 0)
			return false;
		break;
	default:
		break;
	}
	if (op->kind != RC_STORE && t->must_loc == m->loc && m->place <= place_of(t->must_beyond))
		return false;
	behind = fences_behind(message);
	return !meets(&behind, before);
}

static int choices_of_access(const struct rc_thread *t, const struct rc_op *op, uint16_t *key)
{
	const struct rc_loc *l = &RC.loc[op->loc];
	struct rc_fences before = settled(t);
	int floor = place_of(l->floor), mine = place_of(t->now.seen[op->loc] >> 1), nr = 0;

	if (floor < mine)
		floor = mine;
	if (op->kind == RC_WAIT) {
		add_all(&before, &l->bucket.fences);
		mine = place_of(l->bucket.seen[op->loc] >> 1);
		if (floor < mine)
			floor = mine;
	}
	for (int i = l->nr - 1; i >= floor; i--)
		if (may(t, &before, l->order[i], op))
			key[nr++] = l->order[i];
	return nr;
}

/* A turn of a loop that spins: at least one location has something newer to show. */
static int choices_of_relax(const struct rc_thread *t, uint16_t *key)
{
	int nr = 0;
	bool newest;

	for (int i = 0; i < t->nr_relaxed; i++) {
		newest = true;
		for (int j = 0; j < t->nr_relaxed; j++)
			newest &= t->relaxed_loc[j] != t->relaxed_loc[i] ||
				place_of(t->relaxed_message[j]) < place_of(t->relaxed_message[i]) ||
				(t->relaxed_message[j] == t->relaxed_message[i] && j >= i);
		if (newest && RC.message[t->relaxed_message[i]].place + 1 < RC.loc[t->relaxed_loc[i]].nr)
			key[nr++] = t->relaxed_message[i];
	}
	return nr;
}

int rc_choices(int thread, uint16_t *key)
{
	const struct rc_thread *t = &RC.thread[thread];
	unsigned due;
	int nr = 0;

	switch (t->op.kind) {
	case RC_LOAD:
	case RC_STORE:
	case RC_RMW:
	case RC_CAS:
	case RC_LOCK:
	case RC_WAIT:
		nr = choices_of_access(t, &t->op, key);
		break;
	case RC_RELAX:
		if (t->woken)
			key[nr++] = 0;
		else
			nr = choices_of_relax(t, key);
		break;
	case RC_ASLEEP:
	case RC_JOIN:
	case RC_DELIVERED:
		if (rc_can_run(t, thread))
			key[nr++] = 0;
		break;
	case RC_START:
		if (E.fiber[thread].state == X_NOT_STARTED)
			break;
		/* fall through */
	case RC_WAKE:
	case RC_MEMBARRIER:
		key[nr++] = 0;
		break;
	case RC_NONE:
	case RC_END:
		break;
	}
	due = t->deliveries & (nr && t->op.kind != RC_RELAX ? t->due : 255u);
	if (t->op.kind == RC_START || t->op.kind == RC_MEMBARRIER)
		due = 0;
	for (int i = 0; i < E.nr_fibers; i++)
		if (due & 1u << i)
			key[nr++] = (uint16_t)(RC_DELIVER | i);
	return nr;
}

/*
 * ---- membarrier ----
 *
 * A delivery D comes between two steps of its thread.  "D, e" allows all that "e, D" does
 *   - if e is a load that reads a message which it may read after D, too;
 *   - if e writes behind all that the caller has seen there, and no third thread uses the location: only the caller
 *     could tell the order, and after its call it may read e, or what is older.
 * But D comes before some fences by e alone; so these are left out as long as such steps follow (unsettled).  Therefore
 * D is not tried right after such a step (due).  If the call itself came after e, and does not depend on it, the search
 * has the call before e, too.  Where a thread waits or ends, D is tried always: the execution goes on, and shows others
 * their races.
 *
 * Plain accesses are no steps, so D may come before or after those since the thread's last step.  For a race with what
 * the caller did before the call it comes after them, for one with what it does after the call, or with what follows a
 * relaxed store of the thread, before them.
 */

/* A membarrier of @from before the thread's last step allows all that it does after it. */
static bool may_come_before(const struct rc_thread *t, int from)
{
	const struct rc_message *m = &RC.message[t->last];
	const struct rc_thread *caller = &RC.thread[from];

	return m->place >= place_of(caller->announced.seen[m->loc] >> 1) &&
		(!t->last_wrote || is_between(&RC.loc[m->loc], (int)(t - RC.thread), from));
}

void rc_passed(struct rc_thread *t, uint16_t message, bool wrote)
{
	t->last = message;
	t->last_wrote = wrote;
	for (int i = 0; i < E.nr_fibers; i++) {
		if (!(t->deliveries >> i & 1))
			continue;
		if (may_come_before(t, i) && !E.replaying)
			t->due &= (uint8_t)~(1u << i);
		else
			t->due |= (uint8_t)(1u << i);
	}
}

/* If the call does not depend on the last step of @to it is tried before it, too. */
void rc_announce(int to, int from)
{
	struct rc_thread *t = &RC.thread[to];

	t->deliveries |= (uint8_t)(1u << from);
	if (t->last && RC.thread[from].past.nr[to] < t->past.nr[to] && may_come_before(t, from) && !E.replaying)
		t->due &= (uint8_t)~(1u << from);
	else
		t->due |= (uint8_t)(1u << from);
	RC.thread[from].awaited |= (uint8_t)(1u << to);
}

void rc_deliver(int to, int from)
{
	struct rc_thread *t = &RC.thread[to], *caller = &RC.thread[from];
	struct rc_fences before = t->now.fences;
	uint16_t shown = t->released.clock[to];

	t->deliveries &= (uint8_t)~(1u << from);
	caller->awaited &= (uint8_t)~(1u << to);
	rc_join(&t->now, &caller->announced);
	rc_fence(t);
	t->released.clock[to] = shown < t->gap ? (uint16_t)(t->gap - 1) : shown;
	before = without(&t->now.fences, &before);
	add_all(&t->unsettled[from], &before);
	rc_gather(caller, to);
}

void rc_gather(struct rc_thread *caller, int of)
{
	const struct rc_thread *t = &RC.thread[of];

	rc_join(&caller->gathered, &t->now);
	caller->gathered.clock[of] = t->gap - 1;
}
