/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * M11: the deadlock of three threads that all of this is about.
 *
 *     A invalidates: in the callback it wants device_lock
 *     B unregisters another mirror
 *     C holds device_lock, and then invalidates
 *
 * Over an rwsem C queues behind B, B waits for A, and A for C.  B gives up after a while, so that
 * the test goes on.
 */
#include "mirror_test.h"

#define B_TIMEOUT_NS UINT64_C(300000000)

static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gate a_inside;
static uint64_t b_deadline_ns;

struct device {
	struct mirror m;
};

/* Called by A's bracket alone: the range of C's is another. */
static int device_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	gate_open(&a_inside);
	pthread_mutex_lock(&device_lock);
	pthread_mutex_unlock(&device_lock);
	return 0;
}

static const struct mirror_ops device_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = device_start,
};

static int run_b(struct call *c)
{
	b_deadline_ns = tap_now_ns() + c->timeout_ns;
	return mirror_unregister_timeout(c->m, c->timeout_ns);
}

/*
 * Whether C's bracket passed before B could give up, or B had nothing to wait for.  The moment at
 * which B has given up would not do: C, let in by that, may be back before B is.
 */
static bool scenario(int *b_rc)
{
	struct mirror_list *list = list_new();
	struct probe other = { .name = 'O' };
	uint64_t c_end_ns;
	struct call a, b;
	struct device x;

	gate_init(&a_inside);
	mirror_register_range(list, &x.m, &device_ops, 0, 10);
	mirror_register_range(list, &other.m, &probe_ops, 20, 30);
	pthread_mutex_lock(&device_lock);               /* C, this thread */
	a = (struct call){ .list = list, .start = 0, .end = 10 };
	call_begin(&a, run_invalidate);                 /* A */
	gate_wait(&a_inside);
	b = (struct call){ .m = &other.m, .timeout_ns = B_TIMEOUT_NS };
	call_begin(&b, run_b);                          /* B */
	if (!v->targeted)
		call_blocks(&b);
	else
		call_returns(&b);
	mirror_invalidate_range(list, 40, 50);          /* C */
	c_end_ns = tap_now_ns();
	pthread_mutex_unlock(&device_lock);
	call_end(&a);
	*b_rc = call_end(&b);
	if (*b_rc)
		mirror_unregister(&other.m);
	mirror_unregister(&x.m);
	list_gone(list);
	return c_end_ns < b_deadline_ns || *b_rc == 0;
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		int b_rc;
		bool passed;

		if (v->shuts_out && v->untimed) {
			skip(1, "M11: %s deadlocks, and B would never give up", v->name);
			continue;
		}
		passed = scenario(&b_rc);

		/* B may have been seen asleep a little before it queued. */
		for (int again = 0; again < 5 && passed && v->shuts_out; again++)
			passed = scenario(&b_rc);

		if (v->shuts_out) {
			okv(!passed, "M11: the three threads deadlock until B gives up: the contrast");
			isv(b_rc, -ETIMEDOUT, "M11: ... which its timeout makes it do");
		} else if (v->lock) {
			diag("own rwlock: %s", passed ? "passes" : "deadlocks"); /* as the system's locks are */
		} else {
			okv(passed, "M11: C passes: no unregister makes a publisher wait");
			if (v->targeted)
				isv(b_rc, 0, "M6: ... and B does not even wait for A");
		}
	}
	return done_testing();
}
