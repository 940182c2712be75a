/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* usrcu: counters pass their wrap in every domain's life, and nobody notices (S12). */
#include "usrcu_impl.h" /* first: it brings its own operations for the read side */

#include "usrcu_test.h"

static struct usrcu *domain;
static uint32_t nr_ran;

static void count(struct usrcu_head *head)
{
	(void)head;
	nr_ran++;
}

static bool one_grace_period(int how)
{
	usrcu_cookie_t cookie = usrcu_get_state(domain);
	struct usrcu_head head;
	uint32_t before = nr_ran;

	switch (how % 4) {
	case 0:
		return usrcu_synchronize(domain) == 0 && usrcu_poll_state(domain, cookie);
	case 1:
		return usrcu_poll_state(domain, cookie);
	case 2:
		return usrcu_cond_synchronize(domain, cookie) == 0 && usrcu_poll_state(domain, cookie);
	default:
		return usrcu_call(domain, &head, count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == before + 1;
	}
}

static void cookies(void)
{
	enum { NR = 40 };
	usrcu_cookie_t all[NR], low = UINT64_MAX, high = 0;
	bool over = true, early = false;
	struct reader r;

	domain = new_domain(0);
	ok(domain->gp > UINT64_MAX - 1000, "S12: %s: a new domain's grace periods begin below the wrap", flavour->name);
	for (int i = 0; i < NR; i++) {
		uint64_t lent = domain->fallback.lent[0];

		/* Each cookie is early while a reader from before is inside: on both sides of the wrap, and across. */
		reader_start(&r, domain);
		all[i] = usrcu_start_poll(domain);
		early |= usrcu_poll_state(domain, all[i]) || usrcu_synchronize_timeout(domain, 1000) != -ETIMEDOUT;
		for (int j = 0; j < i; j++)
			over &= usrcu_poll_state(domain, all[j]);
		early |= usrcu_poll_state(domain, usrcu_get_state(domain));
		reader_stop(&r);
		over &= usrcu_poll_state(domain, all[i]) && one_grace_period(i);
		low = all[i] < low ? all[i] : low;
		high = all[i] > high ? all[i] : high;
		over &= lent == domain->fallback.lent[0]; /* ordinary sections stand elsewhere */
	}
	ok(!early, "S12: %s: no cookie is true early, before, across and after the wrap", flavour->name);
	ok(over, "S12: %s: every cookie is true after its grace period and stays true", flavour->name);
	ok(low < 1000 && high > UINT64_MAX - 1000, "S12: %s: the cookies did pass the wrap", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* A cookie of long ago, from before so many grace periods that differences would be wrong soon: 2^58 of them. */
static void old_cookies(void)
{
	usrcu_cookie_t old;

	domain = new_domain(0);
	old = usrcu_get_state(domain);
	usrcu_synchronize(domain);
	domain->gp += UINT64_C(1) << 62; /* a grace period counts 32 */
	ok(usrcu_poll_state(domain, old), "S12: %s: a cookie that is 2^57 grace periods old is true", flavour->name);
	ok(!usrcu_is_over_(domain, usrcu_get_state(domain)), "S12: %s: ... and a new one is not", flavour->name);
	ok(one_grace_period(0), "S12: %s: ... until its grace period is over", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void *up(void *token)
{
	usrcu_up_read(domain, *(int *)token);
	return NULL;
}

/* Totals of handed-over sections, of a thread's slot and of the shared one; begun just below the wrap. */
static void totals(void)
{
	int tokens[6];
	struct usrcu_slot *slot;
	bool waited = true;

	domain = new_domain(0);
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	slot = slots_mine(&domain->slots);
	for (int i = 0; i < 2; i++) {
		slot->lent[i] = slot->gone[i] = UINT64_MAX - 4;
		domain->fallback.lent[i] = 3;
		domain->fallback.gone[i] = 3;
	}
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 6; i++)
			tokens[i] = usrcu_down_read(domain);
		for (int i = 0; i < 6; i++) {
			waited &= synchronize_short(domain) == -ETIMEDOUT;
			/* The thread that began it counts in another place than others do. */
			if ((i + round) % 3 == 0)
				usrcu_up_read(domain, tokens[i]);
			else
				join(start(up, &tokens[i]));
		}
		waited &= synchronize_long(domain) == 0;
	}
	ok(waited, "S12: %s: totals of handed-over sections pass the wrap", flavour->name);
	ok(slot->gone[0] < 100 && slot->gone[1] < 100, "S12: %s: ... which they did", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void other_counters(void)
{
	struct usrcu_head heads[40];
	bool good = true;

	for (int i = 0; i < 6; i++) {
		struct waiter w;
		struct reader r;

		domain = new_domain(0);
		domain->event.word = UINT32_MAX - (uint32_t)i; /* what sleepers compare */
		reader_start(&r, domain);
		good &= waiter_start(&w, domain, usrcu_synchronize);
		reader_stop(&r);
		good &= waiter_join(&w) == 0 && usrcu_destroy(domain) == 0;
	}
	ok(good, "S12: %s: a sleeper is woken across the wrap of what it sleeps on", flavour->name);
	domain = new_domain(0);
	ok(domain->callbacks.batches > UINT64_MAX - 64, "S12: %s: batches are counted from below the wrap", flavour->name);
	nr_ran = 0;
	for (uint32_t i = 0; i < 40; i++) {
		usrcu_call(domain, &heads[i], count);
		if (i % 3 == 0)
			good &= usrcu_destroy(domain) == -EBUSY && usrcu_barrier(domain) == 0 && nr_ran == i + 1;
	}
	ok(good && usrcu_barrier(domain) == 0 && nr_ran == 40, "S12: %s: barrier across the wrap", flavour->name);
	ok(domain->callbacks.batches < 100, "S12: %s: ... which it did pass", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void tests(void)
{
	cookies();
	old_cookies();
	totals();
	other_counters();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
