/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The search: a depth-first walk over the vectors of choices.
 *
 * An execution is determined by its choices.  The next one repeats those before the last that
 * has an alternative left, takes that alternative, and goes on with the usual choices.  An
 * alternative that costs more than is left of the bound is no alternative.
 *
 * A state that was explored before, with at least as much of the bound left, is not explored
 * again.  The name of a state is a hash of what each fiber has seen, the last write to each
 * location, and the held stores.  "What it has seen" are the names of the writes that it read,
 * and a write is named after what its fiber had seen, so that two executions with the same
 * name have the same order of all that depends on each other; hence the same values, plain
 * variables included, as long as those are free of data races.  The hash has 64 bits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "rc11.h"

/* Eight entries, a cache line: 56 bits of the name, then what was left of the bound and 1. */
enum { BUCKET = 8 };
static X_ENGINE uint64_t *table;
static X_ENGINE uint64_t table_mask;    /* of the first entry of a bucket */
static X_ENGINE size_t table_bytes;

void x_search_init(unsigned table_bits)
{
	table_bytes = sizeof(*table) << table_bits;
	table = mmap(NULL, table_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	table_mask = ((UINT64_C(1) << table_bits) - 1) & ~(uint64_t)(BUCKET - 1);
}

void x_search_forget(void)
{
	madvise(table, table_bytes, MADV_DONTNEED);
	E.nr_states = 0;
}

static uint64_t state_name(bool waiting)
{
	uint64_t name = x_mix(E.memory, E.clock + E.membarrier_dead);

	for (int i = 0; i < E.nr_fibers; i++) {
		const struct fiber *f = &E.fiber[i];
		uint64_t more = f->state;

		if (f->state == X_WAIT_FUTEX) {
			for (int j = 0; j < E.nr_fibers; j++)
				more += (E.fiber[j].state == X_WAIT_FUTEX &&
					 E.fiber[j].word == f->word &&
					 E.fiber[j].sleep_order < f->sleep_order) << 4;
		} else if (f->state == X_WAIT_WRITE && f->reads_overflow) {
			more += (E.nr_writes != f->writes_at_reset) << 4;
		}
		name += x_mix(f->history, more << 8 | f->id);
		for (int j = 0; j < f->nr_held; j++)
			name += x_mix(f->held[j].version, (uint64_t)f->id << 8 | 1);
	}
	/* Whether going on with somebody else would be a preemption. */
	return x_mix(name, waiting ? 255 : E.cur->id);
}

void x_state_seen(bool waiting)
{
	uint64_t name, tag, *bucket, *victim;
	unsigned left;

	if (E.quiet || !E.caching || E.nr_choices < E.nr_replay)
		return;
	/* With nothing left to spend, states matter only where they can have become equal. */
	if (E.remaining == 0 && !E.fresh && !waiting)
		return;
	E.fresh = false;
	name = state_name(waiting);
	bucket = &table[name & table_mask];
	tag = name & ~(uint64_t)255;
	left = (unsigned)E.remaining + 1;
	victim = bucket;
	for (int i = 0; i < BUCKET; i++) {
		if ((bucket[i] & ~(uint64_t)255) == tag && bucket[i]) {
			if ((bucket[i] & 255) >= left)
				x_end_execution(X_PRUNED);
			bucket[i] = tag | left;
			return;
		}
		if ((bucket[i] & 255) < (*victim & 255))
			victim = &bucket[i];
	}
	E.nr_states += !*victim;
	*victim = tag | left;
}

/* ---- choices ---- */

/* The usual one, or what the vector from the command line wants here. */
static struct alt replayed(void)
{
	int nr = E.nr_alts;

	E.nr_alts = 0;
	while (*E.vector) {
		uint32_t step, arg;
		char kind;
		int length;

		if (sscanf(E.vector, "%u%c%u%n", &step, &kind, &arg, &length) != 3) {
			fprintf(stderr, "cannot read the vector at '%s'\n", E.vector);
			exit(2);
		}
		if (step > E.step)
			break;
		if (step == E.step)
			for (int i = 0; i < nr; i++)
				if (E.alts[i].kind == kind && E.alts[i].arg == arg) {
					E.vector += length + (E.vector[length] == ',');
					return E.alts[i];
				}
		if (step == E.step)
			break;
		E.vector += length + (E.vector[length] == ',');
	}
	return E.alts[0];
}

struct alt x_choose(void)
{
	struct choice *c = &E.choice[E.nr_choices];
	int nr = 0;

	if (E.nr_alts == 1 || E.quiet) {
		E.nr_alts = 0;
		return E.alts[0];
	}
	if (E.model == X_RC11)
		return rc_choose();
	if (unlikely(E.replaying))
		return replayed();
	for (int i = 0; i < E.nr_alts; i++)
		if (E.alts[i].cost <= E.remaining)
			E.alts[nr++] = E.alts[i];
	E.nr_alts = 0;
	if (nr == 1)
		return E.alts[0];
	if (unlikely(E.nr_choices == X_MAX_CHOICES))
		x_fail("more than %d choices in one execution", X_MAX_CHOICES);
	if (E.nr_choices < E.nr_replay) {
		if (unlikely(c->nr != nr || c->step != E.step))
			x_fail("the scenario depends on something besides the choices");
	} else {
		c->taken = 0;
		c->nr = (uint8_t)nr;
		c->step = E.step;
	}
	c->alt = E.alts[c->taken];
	E.nr_choices++;
	E.remaining -= c->alt.cost;
	E.fresh = true;
	return c->alt;
}

bool x_faulty(unsigned flag)
{
	if (E.quiet || !(E.scenario->flags & flag))
		return false;
	E.nr_alts = 0;
	x_alt('-', 0, 0);
	x_alt('f', 0, 1);
	if (x_choose().kind == '-')
		return false;
	x_learn(15);
	return true;
}

bool x_search_next(void)
{
	int n = E.nr_choices;

	while (n > 0 && E.choice[n - 1].taken + 1 >= E.choice[n - 1].nr)
		n--;
	if (n == 0)
		return false;
	E.choice[n - 1].taken++;
	E.nr_replay = n;
	return true;
}

void x_vector(char *text, size_t bytes)
{
	size_t used = 0;

	if (E.model == X_RC11) {
		rc_vector(text, bytes);
		return;
	}
	*text = 0;
	for (int i = 0; i < E.nr_choices && used < bytes; i++) {
		const struct choice *c = &E.choice[i];

		/* Whom a waiting fiber makes way for is named always, however many could run. */
		if (c->taken || c->alt.kind == 'n' || c->alt.kind == 'o')
			used += (size_t)snprintf(text + used, bytes - used, "%s%u%c%u",
						 used ? "," : "", c->step, c->alt.kind, c->alt.arg);
	}
}
