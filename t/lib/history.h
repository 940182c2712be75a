/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A history of what happened to mirror lists, and its check afterwards, in the manner of Jepsen.
 *
 * Each thread writes records into a log of its own, so that logging orders no threads.  A record
 * is an interval of time: of a call, or of a callback.  Its first time is taken inside it at the
 * begin, its second inside it at the end, but for calls of the library's, where they are taken
 * just outside.  What was done between them happened between them; where two intervals overlap
 * the check assumes whatever is harmless.  So every complaint is true.
 *
 * Numbers name registrations (a mirror that registers again has a new one), brackets and lists.
 */
#ifndef MIRROR_HISTORY_H
#define MIRROR_HISTORY_H

#include "tap.h"

#include <limits.h>

enum what {
	H_REGISTER,             /* mirror, list, lo, hi, rc */
	H_UNREGISTER,           /* mirror, rc: any way that waits */
	H_ASYNC,                /* mirror, rc */
	H_DONE,                 /* mirror */
	H_FREE,                 /* mirror */
	H_START,                /* bracket, list, lo, hi, rc */
	H_END,                  /* bracket */
	H_CB_START,             /* mirror, bracket, rc */
	H_CB_END,               /* mirror, bracket */
	H_RELEASE,              /* list, rc */
	H_CB_RELEASE,           /* mirror */
};

/* hi of a whole-list mirror. */
#define H_WHOLE UINT_MAX

struct log_record {
	enum what what;
	int rc;
	unsigned mirror, bracket, list, lo, hi;
	uint64_t from, to;
};

struct log {
	struct log_record *record;
	size_t used, room;
	bool over;              /* lock kind: a timeout leaves the mirror registered */
};

static inline void log_add(struct log *log, struct log_record r)
{
	if (log->used == log->room) {
		log->room = log->room ? 2 * log->room : 1024;
		log->record = (struct log_record *)realloc(log->record, log->room * sizeof(r));
		if (!log->record)
			bail_out("no memory for the history");
	}
	log->record[log->used++] = r;
}

static inline void log_append(struct log *to, const struct log *from)
{
	for (size_t i = 0; i < from->used; i++)
		log_add(to, from->record[i]);
}

/* ---- the check ---- */

#define H_NEVER UINT64_MAX

struct h_mirror {
	const struct log_record *reg;
	uint64_t leaves;        /* the first call that took it out began */
	uint64_t dead;          /* from here on no walk may choose it */
	uint64_t idle;          /* from here on none may run */
	unsigned asyncs, dones, frees, releases;
	const struct log_record *release;
};

struct h_bracket {
	const struct log_record *start, *end;
	size_t first, nr;       /* of the callbacks */
};

struct history {
	struct h_mirror *mirror;
	struct h_bracket *bracket;
	const struct log_record **callback;         /* by bracket, in order of time */
	size_t nr_mirrors, nr_brackets, nr_callbacks;
	const struct log_record *release[8];        /* by list: the one that returned 0 */
	unsigned faults;
	char why[256];                          /* the first of them */
};

static inline void h_fault(struct history *h, const char *why, const struct log_record *r)
{
	if (h->faults++ == 0)
		snprintf(h->why, sizeof(h->why), "%s: mirror %u, bracket %u, [%" PRIu64 ", %" PRIu64 "], rc %d",
			 why, r->mirror, r->bracket, r->from, r->to, r->rc);
}

static inline int h_by_time(const void *a, const void *b)
{
	const struct log_record *x = *(const struct log_record *const *)a, *y = *(const struct log_record *const *)b;

	if (x->bracket != y->bracket)
		return x->bracket < y->bracket ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from ? 1 : x->to < y->to ? -1 : x->to > y->to;
}

static inline uint64_t h_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What each record says of its mirror, bracket or list. */
static inline void h_collect(struct history *h, const struct log *log)
{
	for (size_t i = 0; i < log->used; i++) {
		const struct log_record *r = &log->record[i];
		struct h_mirror *m = &h->mirror[r->mirror];

		switch (r->what) {
		case H_REGISTER:
			if (m->reg)
				h_fault(h, "M9: registered twice", r);
			if (r->rc == 0)
				m->reg = r;
			break;
		case H_UNREGISTER:
			if (r->rc == 0) {
				m->leaves = h_min(m->leaves, r->from);
				m->dead = h_min(m->dead, r->to);
				m->idle = h_min(m->idle, r->to);
			} else if (r->rc == -ETIMEDOUT && !log->over) {
				m->leaves = h_min(m->leaves, r->from);
				m->dead = h_min(m->dead, r->to);
			}
			break;
		case H_ASYNC:
			if (r->rc)
				break;
			m->asyncs++;
			m->leaves = h_min(m->leaves, r->from);
			m->dead = h_min(m->dead, r->to);
			break;
		case H_DONE:
			m->dones++;
			m->idle = h_min(m->idle, r->from);
			break;
		case H_FREE:
			m->frees++;
			break;
		case H_START:
			h->bracket[r->bracket].start = r;
			break;
		case H_END:
			h->bracket[r->bracket].end = r;
			break;
		case H_CB_START:
		case H_CB_END:
			h->callback[h->nr_callbacks++] = r;
			break;
		case H_RELEASE:
			if (r->rc)
				break;
			if (h->release[r->list])
				h_fault(h, "M10: two releases of one list succeed", r);
			h->release[r->list] = r;
			break;
		case H_CB_RELEASE:
			m->releases++;
			m->release = r;
			break;
		}
	}
}

/* M5, M8: no callback outside of its mirror's time. */
static inline void h_check_time(struct history *h, const struct log_record *r)
{
	const struct h_mirror *m = &h->mirror[r->mirror];

	if (!m->reg || r->from < m->reg->from)
		h_fault(h, "M1: a callback before the mirror was registered", r);
	if (r->to > m->idle)
		h_fault(h, "M5, M8: a callback runs after unregister has returned 0, or in done", r);
}

/*
 * M8, M9: a walk does not choose a mirror once unregister_async or a timeout has returned.  It
 * chose it after @since; the callback itself may begin later, as its thread may lose the CPU
 * between the one and the other.
 */
static inline void h_check_dead(struct history *h, const struct log_record *r, uint64_t since)
{
	if (since > h->mirror[r->mirror].dead)
		h_fault(h, "M8, M9: a callback starts after unregister_async or a timeout has returned", r);
}

static inline const struct log_record *h_find(const struct history *h, const struct h_bracket *b, enum what what,
					  unsigned mirror, unsigned *count)
{
	const struct log_record *found = NULL;

	*count = 0;
	for (size_t i = b->first; i < b->first + b->nr; i++)
		if (h->callback[i]->what == what && h->callback[i]->mirror == mirror) {
			found = h->callback[i];
			++*count;
		}
	return found;
}

/* M2: whether @a is called before @b in every start; false also if they were registered at the same time. */
static inline bool h_comes_before(const struct log_record *a, const struct log_record *b)
{
	bool whole = a->hi == H_WHOLE;

	if (whole != (b->hi == H_WHOLE))
		return whole;
	if (!whole && a->lo != b->lo)
		return a->lo < b->lo;
	return a->to < b->from;
}

/* M1, M2, M4: within one bracket. */
static inline void h_check_bracket(struct history *h, const struct h_bracket *b)
{
	const struct log_record *refuser = NULL, *whole, *last;
	uint64_t since;
	unsigned count;

	for (size_t i = b->first; i < b->first + b->nr; i++) {
		const struct log_record *r = h->callback[i], *start;
		const struct h_mirror *m = &h->mirror[r->mirror];

		if (!b->start || !m->reg)
			continue;
		if (m->reg->list != b->start->list || m->reg->lo >= b->start->hi || b->start->lo >= m->reg->hi)
			h_fault(h, "M2: a callback of a mirror that the bracket does not touch", r);
		whole = r->what == H_CB_START || b->start->rc ? b->start : b->end;
		if (!whole || r->from < whole->from || r->to > whole->to)
			h_fault(h, "M2: a callback outside of its call", r);
		start = h_find(h, b, H_CB_START, r->mirror, &count);
		if (count != 1)
			h_fault(h, "M1: a callback without its start, or with two", r);
		if (r->what == H_CB_END && (!start || start->rc || start->to > r->from))
			h_fault(h, "M1, M4: an end without an accepted start before it", r);
		h_find(h, b, H_CB_END, r->mirror, &count);
		if (count > 1)
			h_fault(h, "M2: two ends", r);
		if (r->what == H_CB_START && count == 0 && !r->rc) {
			last = b->start->rc ? b->start : b->end;
			if (last && m->leaves > last->to)
				h_fault(h, "M2, M4: no end for a mirror that got the start and is registered", r);
		}
		if (refuser && r->what == H_CB_START)
			h_fault(h, "M4: a start after a refusal", r);
		if (r->what == H_CB_START && r->rc)
			refuser = r;
		/* Order: against all that went before. */
		since = whole ? whole->from : 0;
		for (size_t k = b->first; k < i; k++) {
			const struct log_record *q = h->callback[k];
			const struct log_record *reg = h->mirror[q->mirror].reg;

			if (q->what != r->what || !reg)
				continue;
			if (q->to <= r->from && q->to > since)
				since = q->to;
			if (r->what == H_CB_START ? h_comes_before(m->reg, reg) : h_comes_before(reg, m->reg))
				h_fault(h, "M2: out of order", r);
		}
		h_check_dead(h, r, since);
	}
	if (b->start && (b->start->rc == -EAGAIN) != (refuser != NULL))
		h_fault(h, "M4: -EAGAIN without a refusal, or the other way round", b->start);
}

static const struct h_mirror *h_sort_base;

static inline int h_by_registration(const void *a, const void *b)
{
	uint64_t x = h_sort_base[*(const unsigned *)a].reg->to, y = h_sort_base[*(const unsigned *)b].reg->to;

	return x < y ? -1 : x > y;
}

static inline int h_by_start(const void *a, const void *b)
{
	const struct log_record *x = (*(const struct h_bracket *const *)a)->start;
	const struct log_record *y = (*(const struct h_bracket *const *)b)->start;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* Whether @b must have called @m: registered before all of it, and not leaving till after. */
static inline bool h_owes(const struct h_mirror *m, const struct h_bracket *b)
{
	return m->reg->list == b->start->list && m->reg->to < b->start->from && m->leaves > b->start->to &&
	       m->reg->lo < b->start->hi && b->start->lo < m->reg->hi &&
	       (!m->release || b->start->to < m->release->to);
}

/* M1: a sweep over brackets and registrations in order of time; few are alive at once. */
static inline void h_check_starts(struct history *h)
{
	unsigned *order = (unsigned *)calloc(h->nr_mirrors + 1, sizeof(*order));
	unsigned *alive = (unsigned *)calloc(h->nr_mirrors + 1, sizeof(*alive));
	const struct h_bracket **brackets = (const struct h_bracket **)calloc(h->nr_brackets + 1, sizeof(*brackets));
	size_t nr_order = 0, nr_alive = 0, nr_brackets = 0, next = 0, kept;
	unsigned count;

	for (unsigned m = 0; m < h->nr_mirrors; m++)
		if (h->mirror[m].reg)
			order[nr_order++] = m;
	for (size_t b = 0; b < h->nr_brackets; b++)
		if (h->bracket[b].start && h->bracket[b].start->rc == 0)
			brackets[nr_brackets++] = &h->bracket[b];
	h_sort_base = h->mirror;
	qsort(order, nr_order, sizeof(*order), h_by_registration);
	qsort(brackets, nr_brackets, sizeof(*brackets), h_by_start);
	for (size_t i = 0; i < nr_brackets; i++) {
		const struct h_bracket *b = brackets[i];

		while (next < nr_order && h->mirror[order[next]].reg->to < b->start->from)
			alive[nr_alive++] = order[next++];
		kept = 0;
		for (size_t k = 0; k < nr_alive; k++) {
			if (h->mirror[alive[k]].leaves < b->start->from)
				continue;
			alive[kept++] = alive[k];
			h_find(h, b, H_CB_START, alive[k], &count);
			if (h_owes(&h->mirror[alive[k]], b) && count == 0)
				h_fault(h, "M1: a bracket missed a mirror", h->mirror[alive[k]].reg);
		}
		nr_alive = kept;
	}
	free(order);
	free(alive);
	free(brackets);
}

/* M5, M8, M10: each mirror's life. */
static inline void h_check_mirror(struct history *h, const struct h_mirror *m)
{
	const struct log_record *release = h->release[m->reg->list];

	if (m->dones != m->asyncs)
		h_fault(h, "M8: done did not run once", m->reg);
	if (m->frees > 1 || (m->frees && m->idle == H_NEVER))
		h_fault(h, "M5: freed twice, or before it was given back", m->reg);
	if (m->releases > 1)
		h_fault(h, "M10: released twice", m->release);
	if (m->releases && (!release || m->release->from < release->from || m->release->to > release->to))
		h_fault(h, "M10: released outside of the list's release", m->release);
	if (m->releases && release)
		h_check_dead(h, m->release, release->from);
	if (!m->releases && release && m->leaves > release->to)
		h_fault(h, "M10: not released", m->reg);
}

/* The number of faults; @h->why names the first.  Numbers are below @nr_mirrors and @nr_brackets. */
static inline unsigned history_check(struct history *h, const struct log *log, size_t nr_mirrors, size_t nr_brackets)
{
	memset(h, 0, sizeof(*h));
	h->nr_mirrors = nr_mirrors;
	h->nr_brackets = nr_brackets;
	h->mirror = (struct h_mirror *)calloc(nr_mirrors + 1, sizeof(*h->mirror));
	h->bracket = (struct h_bracket *)calloc(nr_brackets + 1, sizeof(*h->bracket));
	h->callback = (const struct log_record **)calloc(log->used + 1, sizeof(*h->callback));
	if (!h->mirror || !h->bracket || !h->callback)
		bail_out("no memory for the check");
	for (size_t m = 0; m < nr_mirrors; m++)
		h->mirror[m].leaves = h->mirror[m].dead = h->mirror[m].idle = H_NEVER;
	h_collect(h, log);
	qsort(h->callback, h->nr_callbacks, sizeof(*h->callback), h_by_time);
	for (size_t i = 0; i < h->nr_callbacks; i++) {
		struct h_bracket *b = &h->bracket[h->callback[i]->bracket];

		if (b->nr++ == 0)
			b->first = i;
		h_check_time(h, h->callback[i]);
	}
	for (size_t b = 0; b < nr_brackets; b++)
		h_check_bracket(h, &h->bracket[b]);
	for (size_t m = 0; m < nr_mirrors; m++) {
		if (h->mirror[m].release)
			h_check_time(h, h->mirror[m].release);
		if (h->mirror[m].reg)
			h_check_mirror(h, &h->mirror[m]);
	}
	h_check_starts(h);
	free(h->mirror);
	free(h->bracket);
	free(h->callback);
	return h->faults;
}

#endif /* MIRROR_HISTORY_H */
