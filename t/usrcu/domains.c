/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* usrcu: creating and destroying domains, few and very many; bad input (S11, and what the header says). */
#include "usrcu_test.h"

#define NR_SLOTS 16383
#define NR_CHURNERS 4

static struct usrcu *domains[NR_SLOTS + 1];
static uint32_t quit;

static void nothing(struct usrcu_head *head)
{
	(void)head;
}

static void bad_input(void)
{
	struct usrcu *const untouched = (struct usrcu *)&quit;
	struct usrcu_attr attr = { .size = sizeof(attr) };
	struct usrcu_head head;
	struct usrcu *d = untouched;

	is_int(usrcu_create(NULL, NULL), -EINVAL, "S11: create without a place for the result");
	attr.size = 0;
	is_int(usrcu_create(&d, &attr), -EINVAL, "S11: attributes of size 0");
	attr.size = sizeof(attr) + 8;
	is_int(usrcu_create(&d, &attr), -EINVAL, "S11: attributes of a later version");
	attr.size = sizeof(attr);
	attr.flags = 1u << 31;
	is_int(usrcu_create(&d, &attr), -EINVAL, "S11: an unknown flag");
	ok(d == untouched, "S11: ... and the result is not touched");
	is_int(usrcu_destroy(NULL), -EINVAL, "S11: destroy nothing");
	is_int(usrcu_synchronize(NULL), -EINVAL, "S2: synchronize nothing");
	is_int(usrcu_barrier(NULL), -EINVAL, "S7: barrier on nothing");
	ok(!usrcu_read_lock_held(NULL), "S5: nothing is not held");
	d = new_domain(0);
	is_int(usrcu_call(NULL, &head, nothing), -EINVAL, "S7: call on nothing");
	is_int(usrcu_call(d, &head, NULL), -EINVAL, "S7: call of nothing");
	is_int(usrcu_call(d, NULL, NULL), -EINVAL, "S7: call with nothing");
	is_int(usrcu_barrier(d), 0, "S7: ... and nothing was queued");
	is_int(usrcu_destroy(d), 0, "S7: ... at all");
	attr.flags = 0;
	attr.name = "a name that is much longer than thirty-one bytes";
	is_int(usrcu_create(&d, &attr), 0, "S11: a long name is cut");
	is_int(usrcu_destroy(d), 0, "S11: ... and does no harm");
}

static bool read_one(struct usrcu *d)
{
	int token = usrcu_read_lock(d);
	bool good = token >= 0 && usrcu_read_lock_held(d) && usrcu_synchronize(d) == -EDEADLK;

	usrcu_read_unlock(d, token);
	return good && usrcu_synchronize(d) == 0;
}

static void all_slots(void)
{
	struct usrcu *const untouched = (struct usrcu *)&quit;
	bool good = true;
	int nr, rc = 0;
	int token;

	for (nr = 0; nr <= NR_SLOTS && rc == 0; nr++) {
		domains[nr] = untouched;
		rc = usrcu_create(&domains[nr], NULL);
		/* Chunks of slots are a page each; a few domains are enough to see that they work. */
		if (rc == 0 && (nr < 8 || nr > NR_SLOTS - 8))
			good &= read_one(domains[nr]);
	}
	is_int(nr, NR_SLOTS + 1, "S11: as many domains as the header says");
	is_int(rc, -ENOSPC, "S11: then there is no slot");
	ok(domains[NR_SLOTS] == untouched, "S11: ... and the result is not touched");
	ok(good, "S3: the first and the last ones work");
	token = usrcu_read_lock(domains[100]);
	is_int(usrcu_synchronize_timeout(domains[NR_SLOTS - 1], LONG_NS), 0, "S3: beside a reader of another");
	is_int(usrcu_destroy(domains[100]), -EBUSY, "S11: a busy one stays");
	usrcu_read_unlock(domains[100], token);
	is_int(usrcu_destroy(domains[100]), 0, "S11: until its reader ends");
	is_int(usrcu_create(&domains[100], NULL), 0, "S11: its slot is free for another");
	ok(read_one(domains[100]), "S11: ... in which this thread has no section of the last one");
	for (nr = 0, rc = 0; nr < NR_SLOTS; nr++)
		rc |= usrcu_destroy(domains[nr]);
	is_int(rc, 0, "S11: all are destroyed");
}

/* A reader of one domain may see no slot of another that had its slot or its memory before. */
static void *churn(void *arg)
{
	uint64_t *rounds = arg;
	struct usrcu_head head;
	bool good = true;

	while (good && !get(&quit)) {
		struct usrcu_attr attr = { .size = sizeof(attr), .flags = *rounds % 3 ? 0 : USRCU_FULL_FENCE };
		struct usrcu *d, *e;
		int token, handed;

		if (usrcu_create(&d, &attr) != 0 || usrcu_create(&e, NULL) != 0)
			return NULL;
		token = usrcu_read_lock(d);
		handed = usrcu_down_read(e);
		good &= !usrcu_read_lock_held(e) && usrcu_read_lock_held(d);
		good &= usrcu_synchronize_timeout(e, 1000) == -ETIMEDOUT && usrcu_synchronize(d) == -EDEADLK;
		good &= usrcu_destroy(d) == -EBUSY && usrcu_destroy(e) == -EBUSY;
		usrcu_read_unlock(d, token);
		usrcu_up_read(e, handed);
		good &= usrcu_call(d, &head, nothing) == 0;
		good &= usrcu_destroy(d) == -EBUSY && usrcu_barrier(d) == 0;
		good &= usrcu_destroy(e) == 0 && usrcu_destroy(d) == 0;
		++*rounds;
	}
	return good ? arg : NULL;
}

static void churned(void)
{
	uint64_t rounds[NR_CHURNERS] = { 0 }, all = 0;
	uint64_t end = tap_now_ns() + scaled_ms(500) * UINT64_C(1000000);
	pthread_t threads[NR_CHURNERS];
	long before = 0, after;
	bool good = true;

	for (int i = 0; i < NR_CHURNERS; i++)
		threads[i] = start(churn, &rounds[i]);
	while (tap_now_ns() < end)
		sched_yield();
	set(&quit, 1);
	for (int i = 0; i < NR_CHURNERS; i++) {
		good &= join(threads[i]) != NULL;
		all += rounds[i];
	}
	ok(good, "S11: domains that come and go in four threads are each new");
	diag("%" PRIu64 " rounds of two domains", all);

	before = resident_kib();
	for (uint64_t i = 0; i < scaled(40000); i++) {
		struct usrcu *d;

		good &= usrcu_create(&d, NULL) == 0;
		usrcu_read_unlock(d, usrcu_read_lock(d));
		good &= usrcu_destroy(d) == 0;
	}
	after = resident_kib();
	diag("resident: %ld KiB, then %ld KiB", before, after);
	ok(good && (SANITIZED || after - before < 1024), "S11: domains that come and go take no memory");
}

int main(void)
{
	bad_input();
	churned();
	all_slots();
	return done_testing();
}
