/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The mirrors of mirror_torture.c: what their callbacks check, and the ways in which they come and go. */
#ifndef MIRROR_TORTURE_H
#define MIRROR_TORTURE_H

#include "mirror_test.h"

#include "history.h"

#define WORKERS     4
#define THREADS     (WORKERS + 2)       /* with who ends brackets for others, and main */
#define OWNED       6                   /* mirrors of one thread at most */
#define LISTS       2
#define MOST_GOT    (WORKERS * OWNED * 2 + 8)
#define MOST_IDS    (1u << 20)
#define SPACE       64                  /* ranges are in [0, SPACE) */
#define LIVE        UINT64_C(0x6c6976656d697272)

static struct mirror_list *lists[LISTS];
static unsigned nr_lists;
static bool logging;
static unsigned last_mirror, last_bracket;      /* atomic */
static bool leaving[MOST_IDS];                  /* atomic: someone has tried to unregister it */
static uint64_t end_ns, release_ns;

enum fault { DEAD_MIRROR, END_WITHOUT_START, END_ORDER, NO_END, TOO_MANY_ENDS, RELEASED_TWICE, ODD_RESULT, NR_FAULTS };
static const char *const fault_names[NR_FAULTS] = {
	"M5, M8: no callback sees a freed mirror",
	"M1: no end comes without its start",
	"M2: ends come in reverse order",
	"M2, M4: who got the start and stays gets the end",
	"M1, M5: counts of starts and ends agree when a mirror is given back",
	"M10: nobody is released twice",
	"M7, M9: every call returns what is documented",
};
static unsigned faults[NR_FAULTS];              /* atomic */

static void fault(enum fault f)
{
	__atomic_fetch_add(&faults[f], 1, __ATOMIC_RELAXED);
}

struct guest {
	struct mirror m;
	uint64_t live;
	unsigned id, list, lo, hi;
	struct worker *owner;
	unsigned starts[THREADS], ends[THREADS];        /* plain: by callbacks in that thread */
	unsigned releases;                              /* plain */
};

struct bracket {
	struct mirror_range r;
	unsigned id, list, depth;
	unsigned nr, got[MOST_GOT];             /* the mirrors that accepted, in order */
	unsigned at;                            /* those from here on have had their end */
	bool refused;
};

struct worker {
	unsigned index;
	struct rng rng;
	struct guest *owned[OWNED];
	bool half_gone[OWNED];                  /* an unregister of it has timed out */
	unsigned depth;                         /* of callbacks */
	struct log log;
	pthread_t thread;
	uint64_t callbacks, deadlks, timeouts;
};

static struct worker workers[THREADS];
static __thread struct worker *me;

static uint64_t now(void)
{
	return logging ? tap_now_ns() : 0;
}

static void write_down(enum what what, int rc, unsigned mirror, const struct bracket *b, unsigned list, unsigned lo,
		       unsigned hi, uint64_t from)
{
	if (logging)
		log_add(&me->log, (struct log_record){ what, rc, mirror, b ? b->id : 0, list, lo, hi, from, tap_now_ns() });
}

static unsigned next_id(unsigned *last)
{
	unsigned id = __atomic_add_fetch(last, 1, __ATOMIC_RELAXED);

	if (id >= MOST_IDS)
		bail_out("too many mirrors or brackets in one round");
	return id;
}

/* ---- mirrors ---- */

static struct guest *guest_of(struct mirror *m)
{
	return (struct guest *)((char *)m - offsetof(struct guest, m));
}

/* Its owner's again: what its callbacks wrote is seen. */
static void guest_free(struct guest *g)
{
	unsigned starts = 0, ends = 0;

	if (g->live != LIVE)
		fault(DEAD_MIRROR);
	for (int i = 0; i < THREADS; i++) {
		starts += g->starts[i];
		ends += g->ends[i];
	}
	if (ends > starts)
		fault(TOO_MANY_ENDS);
	if (g->releases > 1)
		fault(RELEASED_TWICE);
	write_down(H_FREE, 0, g->id, NULL, 0, 0, 0, now());
	memset(g, 0xdb, sizeof(*g));
	free(g);
}

static void guest_done(struct mirror *m)
{
	struct guest *g = guest_of(m);

	write_down(H_DONE, 0, g->id, NULL, 0, 0, 0, now());
	guest_free(g);
}

static void act_in_callback(struct guest *g, const struct bracket *b);

static int guest_start(struct mirror *m, const struct mirror_range *r)
{
	uint64_t from = now();
	struct guest *g = guest_of(m);
	struct bracket *b = r->data;
	unsigned id = g->id;
	int rc = 0;

	if (g->live != LIVE)
		fault(DEAD_MIRROR);
	g->starts[me->index]++;
	me->callbacks++;
	me->depth++;
	if (!(r->flags & MIRROR_RANGE_BLOCKABLE) && rng_below(&me->rng, 16) == 0) {
		rc = -EAGAIN;
		b->refused = true;
	} else if (b->nr < MOST_GOT) {
		b->got[b->nr++] = id;
		b->at = b->nr;
	}
	act_in_callback(g, b);
	if (g->live != LIVE || g->id != id)
		fault(DEAD_MIRROR);
	me->depth--;
	write_down(H_CB_START, rc, id, b, 0, 0, 0, from);
	return rc;
}

static void guest_end(struct mirror *m, const struct mirror_range *r)
{
	uint64_t from = now();
	struct guest *g = guest_of(m);
	struct bracket *b = r->data;
	unsigned at, id = g->id;

	if (g->live != LIVE)
		fault(DEAD_MIRROR);
	g->ends[me->index]++;
	me->callbacks++;
	me->depth++;
	for (at = 0; at < b->nr && b->got[at] != id; at++)
		;
	if (at == b->nr)
		fault(END_WITHOUT_START);
	else if (at >= b->at)
		fault(END_ORDER);
	else {
		for (unsigned i = at + 1; i < b->at; i++)
			if (!__atomic_load_n(&leaving[b->got[i]], __ATOMIC_RELAXED))
				fault(NO_END);
		b->at = at;
	}
	act_in_callback(g, b);
	if (g->live != LIVE || g->id != id)
		fault(DEAD_MIRROR);
	me->depth--;
	write_down(H_CB_END, 0, id, b, 0, 0, 0, from);
}

/* After its end, or its undo. */
static void bracket_over(const struct bracket *b)
{
	for (unsigned i = 0; i < b->at; i++)
		if (!__atomic_load_n(&leaving[b->got[i]], __ATOMIC_RELAXED))
			fault(NO_END);
}

static void guest_release(struct mirror *m)
{
	uint64_t from = now();
	struct guest *g = guest_of(m);
	unsigned id = g->id;

	if (g->live != LIVE)
		fault(DEAD_MIRROR);
	me->depth++;
	g->releases++;
	act_in_callback(g, NULL);
	if (g->live != LIVE || g->id != id)
		fault(DEAD_MIRROR);
	me->depth--;
	write_down(H_CB_RELEASE, 0, id, NULL, 0, 0, 0, from);
}

static const struct mirror_ops guest_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = guest_start,
	.invalidate_range_end = guest_end,
	.release = guest_release,
};

static void join(unsigned slot)
{
	struct guest *g = malloc(sizeof(*g));
	bool whole = rng_below(&me->rng, 2);    /* of the whole list */
	uint64_t from;
	int rc;

	memset(g, 0xa5, sizeof(*g));
	memset(g->starts, 0, sizeof(g->starts));
	memset(g->ends, 0, sizeof(g->ends));
	g->releases = 0;
	g->live = LIVE;
	g->id = next_id(&last_mirror);
	g->list = nr_lists > 1 && rng_below(&me->rng, 4) == 0;
	g->lo = whole || rng_below(&me->rng, 2) ? 0 : rng_below(&me->rng, SPACE - 1);
	g->hi = whole ? SPACE : g->lo + 1 + rng_below(&me->rng, SPACE - g->lo);
	g->owner = me;
	from = now();
	rc = whole ? mirror_register(lists[g->list], &g->m, &guest_ops) :
		     mirror_register_range(lists[g->list], &g->m, &guest_ops, g->lo, g->hi);
	write_down(H_REGISTER, rc, g->id, NULL, g->list, g->lo, whole ? H_WHOLE : g->hi, from);
	if (rc) {
		if (rc != -ESHUTDOWN && !(rc == -EDEADLK && me->depth && v->lock))
			fault(ODD_RESULT);
		free(g);
		return;
	}
	me->owned[slot] = g;
	me->half_gone[slot] = false;
}

/* ---- leaving: synchronously, with a time limit, several at once, asynchronously ---- */

static bool may_be(int rc)
{
	return rc == 0 || rc == -ETIMEDOUT || (rc == -EDEADLK && me->depth);
}

static void leave_one(unsigned slot)
{
	struct guest *g = me->owned[slot];
	uint64_t timeout_ns = rng_below(&me->rng, 2) ? FOREVER : rng_below(&me->rng, 20000);
	uint64_t from = now();
	int rc;

	__atomic_store_n(&leaving[g->id], true, __ATOMIC_RELAXED);
	rc = timeout_ns == FOREVER ? mirror_unregister(&g->m) : mirror_unregister_timeout(&g->m, timeout_ns);
	write_down(H_UNREGISTER, rc, g->id, NULL, 0, 0, 0, from);
	if (!may_be(rc))
		fault(ODD_RESULT);
	me->deadlks += rc == -EDEADLK;
	me->timeouts += rc == -ETIMEDOUT;
	if (rc == -ETIMEDOUT)
		me->half_gone[slot] = true;
	if (rc)
		return;
	me->owned[slot] = NULL;
	guest_free(g);
}

static void leave_many(void)
{
	struct mirror *many[OWNED];
	struct guest *gone[OWNED];
	uint64_t from;
	size_t count = 0;
	int rc;

	for (int i = 0; i < OWNED; i++)
		if (me->owned[i] && rng_below(&me->rng, 2)) {
			gone[count] = me->owned[i];
			__atomic_store_n(&leaving[gone[count]->id], true, __ATOMIC_RELAXED);
			many[count++] = &me->owned[i]->m;
		}
	from = now();
	rc = mirror_unregister_many(many, count);
	for (size_t i = 0; i < count; i++)
		write_down(H_UNREGISTER, rc, gone[i]->id, NULL, 0, 0, 0, from);
	if (!may_be(rc) || rc == -ETIMEDOUT)
		fault(ODD_RESULT);
	me->deadlks += rc == -EDEADLK;
	if (rc)
		return;
	for (int i = 0; i < OWNED; i++)
		for (size_t k = 0; k < count; k++)
			if (me->owned[i] == gone[k]) {
				me->owned[i] = NULL;
				guest_free(gone[k]);
			}
}

static void leave_async(unsigned slot)
{
	struct guest *g = me->owned[slot];
	unsigned id = g->id;
	uint64_t from = now();
	int rc;

	__atomic_store_n(&leaving[id], true, __ATOMIC_RELAXED);
	me->owned[slot] = NULL;
	rc = mirror_unregister_async(&g->m, guest_done);
	write_down(H_ASYNC, rc, id, NULL, 0, 0, 0, from);
	if (rc)
		me->owned[slot] = g;
	if (rc && !(rc == -EDEADLK && v->lock && me->depth))
		fault(ODD_RESULT);
}

static void leave(unsigned slot)
{
	switch (rng_below(&me->rng, 4)) {
	case 0:
	case 1:
		leave_one(slot);
		break;
	case 2:
		leave_many();
		break;
	case 3:
		leave_async(slot);
		break;
	}
}

static void come_or_go(void)
{
	unsigned slot = rng_below(&me->rng, OWNED);

	if (me->owned[slot])
		leave(slot);
	else
		join(slot);
}

#endif /* MIRROR_TORTURE_H */
