/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu: call, barrier, run_callbacks and the worker; the promise S7, and S11 with callbacks left.
 *
 * usage: usrcu_callbacks [membarrier|fences]
 */
#include "usrcu_test.h"

#define NR_ITEMS 1000

struct item {
	struct usrcu_head head; /* first, so that a head is its item */
	uint32_t number;
	uint32_t ran;
	pid_t tid;
};

static struct usrcu *domain;
static struct item items[4][NR_ITEMS];
static uint32_t nr_ran, nr_disordered;
static struct gate in_callback, go_on;

static void count(struct usrcu_head *head)
{
	struct item *item = (struct item *)(void *)head;

	item->ran++;
	item->tid = gettid();
	add(&nr_ran, 1);
}

static void count_in_order(struct usrcu_head *head)
{
	static uint32_t last[4];
	int thread = (int)((struct item *)(void *)head - items[0]) / NR_ITEMS;
	struct item *item = (struct item *)(void *)head;

	if (item->number != last[thread])
		add(&nr_disordered, 1);
	last[thread] = (item->number + 1) % NR_ITEMS;
	count(head);
}

static void block(struct usrcu_head *head)
{
	gate_open(&in_callback);
	gate_wait(&go_on);
	count(head);
}

static void fresh(unsigned flags)
{
	memset(items, 0, sizeof(items));
	nr_ran = nr_disordered = 0;
	gate_init(&in_callback);
	gate_init(&go_on);
	domain = new_domain(flags);
}

static void *queue_many(void *arg)
{
	struct item *mine = arg;

	for (uint32_t i = 0; i < NR_ITEMS; i++) {
		mine[i].number = i;
		usrcu_call(domain, &mine[i].head, count_in_order);
	}
	return NULL;
}

static bool each_once(void)
{
	bool once = true;

	for (int i = 0; i < 4; i++)
		for (int j = 0; j < NR_ITEMS; j++)
			once &= items[i][j].ran == 1;
	return once;
}

static void exactly_once(unsigned flags, const char *runner)
{
	pthread_t threads[4];

	fresh(flags);
	for (int i = 0; i < 4; i++)
		threads[i] = start(queue_many, items[i]);
	for (int i = 0; i < 4; i++)
		join(threads[i]);
	is_int(usrcu_barrier(domain), 0, "S7: %s: %s: barrier after 4000 calls of four threads", flavour->name, runner);
	ok(each_once(), "S7: %s: %s: each ran exactly once", flavour->name, runner);
	is_int(nr_disordered, 0, "S7: %s: %s: in the order of each thread's calls", flavour->name, runner);
	ok((items[0][0].tid == gettid()) == !flags, "S7: %s: %s: in the thread that was promised", flavour->name, runner);
	is_int(usrcu_destroy(domain), 0, "S11: %s: %s: destroy when all ran", flavour->name, runner);
}

static void not_before_readers(void)
{
	struct item *item = items[0];
	struct reader r;
	int token;

	fresh(0);
	reader_start(&r, domain);
	is_int(usrcu_call(domain, &item->head, count), 0, "S7: %s: call", flavour->name);
	for (int i = 0; i < 100; i++)
		usrcu_poll_state(domain, usrcu_get_state(domain));
	synchronize_short(domain);
	is_int(usrcu_run_callbacks(domain), 0, "S7: %s: run_callbacks waits for no reader", flavour->name);
	is_int(nr_ran, 0, "S7: %s: no callback runs while a section from before is open", flavour->name);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: destroy with a callback and a reader", flavour->name);
	reader_stop(&r);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: destroy with a callback", flavour->name);
	is_int(nr_ran, 0, "S11: %s: ... does not run it", flavour->name);
	token = usrcu_read_lock(domain);
	for (int i = 0; i < 100; i++)
		usrcu_poll_state(domain, usrcu_get_state(domain));
	is_int(usrcu_run_callbacks(domain), -EDEADLK, "S5: %s: run_callbacks inside a section", flavour->name);
	is_int(nr_ran, 0, "S7: %s: ... runs none, nor does a poll there", flavour->name);
	usrcu_read_unlock(domain, token);
	is_int(usrcu_run_callbacks(domain), 0, "S7: %s: run_callbacks when no section is open", flavour->name);
	is_int(nr_ran, 1, "S7: %s: ... runs it", flavour->name);
	token = usrcu_read_lock(domain);
	usrcu_call(domain, &item->head, count);
	is_int(nr_ran, 1, "S7: %s: call inside a section runs nothing", flavour->name);
	usrcu_read_unlock(domain, token);
	is_int(usrcu_barrier(domain), 0, "S7: %s: the same head again, in barrier", flavour->name);
	is_int(nr_ran, 2, "S7: %s: ... ran again", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy after it", flavour->name);
}

/* ---- where no callback runs ---- */

static pthread_mutex_t program_lock = PTHREAD_MUTEX_INITIALIZER;

static void under_the_lock(struct usrcu_head *head)
{
	pthread_mutex_lock(&program_lock);
	count(head);
	pthread_mutex_unlock(&program_lock);
}

/* All calls that move grace periods on, under the very lock that the callback takes. */
static void not_under_locks(void)
{
	uint64_t began;
	struct waiter w;
	int rc = 0;

	fresh(0);
	usrcu_call(domain, &items[0][0].head, under_the_lock);
	pthread_mutex_lock(&program_lock);
	for (int i = 0; i < 10; i++) {
		rc |= usrcu_synchronize(domain) | usrcu_synchronize_expedited(domain) | synchronize_long(domain);
		rc |= usrcu_cond_synchronize(domain, usrcu_get_state(domain));
		rc |= !usrcu_poll_state(domain, usrcu_start_poll(domain));
		rc |= usrcu_destroy(domain) != -EBUSY;
		rc |= usrcu_call(domain, &items[0][i + 1].head, under_the_lock);
	}
	is_int(rc, 0, "S7: %s: synchronize, poll and call under a lock that the callbacks take", flavour->name);
	is_int(nr_ran, 0, "S7: %s: ... run none of them", flavour->name);
	ok(waiter_start(&w, domain, usrcu_barrier), "S7: %s: barrier runs them, and waits for the lock", flavour->name);
	began = tap_now_ns();
	is_int(usrcu_run_callbacks(domain), 0, "S7: %s: run_callbacks leaves them to it", flavour->name);
	is_int(synchronize_long(domain), 0, "S7: %s: ... and synchronize does not wait for them", flavour->name);
	diag("beside a callback that stands still: %" PRIu64 " us", (tap_now_ns() - began) / 1000);
	pthread_mutex_unlock(&program_lock);
	is_int(waiter_join(&w), 0, "S7: %s: ... until it is free", flavour->name);
	is_int(nr_ran, 11, "S7: %s: each ran", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* Who frees an object twice, and the like. */
static void queued_twice(void)
{
	fresh(0);
	is_int(usrcu_call(domain, &items[0][0].head, count), 0, "S7: %s: call", flavour->name);
	is_int(usrcu_call(domain, &items[0][0].head, count), -EBUSY, "S7: %s: the head queued last, again", flavour->name);
	is_int(usrcu_barrier(domain), 0, "S7: %s: ... does no harm", flavour->name);
	is_int(nr_ran, 1, "S7: %s: ... it ran once", flavour->name);
	is_int(usrcu_call(domain, &items[0][0].head, count), 0, "S7: %s: after that it may be queued", flavour->name);
	is_int(usrcu_barrier(domain), 0, "S7: %s: ... and runs", flavour->name);
	is_int(nr_ran, 2, "S7: %s: ... once more", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* ---- what a callback may do ---- */

static int results[7];

static void do_everything(struct usrcu_head *head)
{
	uint64_t end = tap_now_ns() + LONG_NS;
	usrcu_cookie_t cookie;
	struct usrcu *other;
	int token;

	results[0] = usrcu_read_lock_held(domain);
	results[1] = usrcu_barrier(domain);
	results[2] = usrcu_synchronize(domain);
	token = usrcu_read_lock(domain);
	results[3] = usrcu_synchronize(domain);
	usrcu_read_unlock(domain, token);
	results[6] = usrcu_run_callbacks(domain);
	/* Another thread may have the grace period to itself just then. */
	for (cookie = usrcu_start_poll(domain); !(results[4] = usrcu_poll_state(domain, cookie)); )
		if (tap_now_ns() > end)
			break;
	results[5] = usrcu_create(&other, NULL);
	if (results[5] == 0) {
		results[5] = usrcu_call(other, &items[0][1].head, count);
		results[5] |= usrcu_barrier(other);
		results[5] |= usrcu_destroy(other);
	}
	usrcu_call(domain, &items[0][2].head, count);
	count(head);
}

static uint32_t nr_again;

static void again(struct usrcu_head *head)
{
	add(&nr_again, 1);
	if (!get(&nr_disordered))
		usrcu_call(domain, head, again);
}

static void in_a_callback(unsigned flags, const char *runner)
{
	fresh(flags);
	usrcu_call(domain, &items[0][0].head, do_everything);
	is_int(usrcu_barrier(domain), 0, "S7: %s: %s: barrier around a callback that does much", flavour->name, runner);
	is_int(results[0], 0, "S7: %s: %s: a callback is in no section", flavour->name, runner);
	is_int(results[1], -EDEADLK, "S7: %s: %s: barrier inside a callback", flavour->name, runner);
	is_int(results[6], -EDEADLK, "S7: %s: %s: run_callbacks inside a callback", flavour->name, runner);
	is_int(results[2], 0, "S7: %s: %s: synchronize inside a callback", flavour->name, runner);
	is_int(results[3], -EDEADLK, "S5: %s: %s: ... and in a section there", flavour->name, runner);
	is_int(results[4], 1, "S6: %s: %s: poll inside a callback", flavour->name, runner);
	is_int(results[5], 0, "S7: %s: %s: call and barrier on another domain there", flavour->name, runner);
	is_int(usrcu_barrier(domain), 0, "S7: %s: %s: barrier for what the callback queued", flavour->name, runner);
	is_int(nr_ran, 3, "S7: %s: %s: all ran once", flavour->name, runner);
	is_int(usrcu_destroy(domain), 0, "S11: %s: %s: destroy", flavour->name, runner);

	fresh(flags);
	nr_again = 0;
	usrcu_call(domain, &items[0][0].head, again);
	is_int(synchronize_long(domain), 0, "S7: %s: %s: synchronize ends beside a callback that queues itself",
	       flavour->name, runner);
	usrcu_poll_state(domain, usrcu_start_poll(domain));
	is_int(usrcu_barrier(domain), 0, "S7: %s: %s: ... and poll, and barrier", flavour->name, runner);
	ok(get(&nr_again) > 0, "S7: %s: %s: ... and it ran", flavour->name, runner);
	set(&nr_disordered, 1);
	is_int(usrcu_barrier(domain), 0, "S7: %s: %s: barrier for its last time", flavour->name, runner);
	is_int(usrcu_destroy(domain), 0, "S11: %s: %s: destroy", flavour->name, runner);
}

/* ---- barrier ---- */

static void barriers_wait(unsigned flags, const char *runner)
{
	struct waiter w[3], poller;
	struct reader r;
	bool asleep = true;

	fresh(flags);
	reader_start(&r, domain);
	usrcu_call(domain, &items[0][0].head, count);
	ok(waiter_start(&w[0], domain, usrcu_barrier), "S7: %s: %s: barrier waits for a reader", flavour->name, runner);
	reader_stop(&r);
	is_int(waiter_join(&w[0]), 0, "S7: %s: %s: ... and returns", flavour->name, runner);
	is_int(nr_ran, 1, "S7: %s: %s: ... when the callback ran", flavour->name, runner);

	usrcu_call(domain, &items[0][1].head, block);
	usrcu_call(domain, &items[0][2].head, count);
	ok(waiter_start(&poller, domain, usrcu_barrier), "S7: %s: %s: barrier waits for a callback that runs",
	   flavour->name, runner);
	gate_wait(&in_callback);
	for (int i = 0; i < 3; i++)
		asleep &= waiter_start(&w[i], domain, usrcu_barrier);
	ok(asleep, "S7: %s: %s: ... in whatever threads", flavour->name, runner);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: %s: destroy while one runs", flavour->name, runner);
	is_int(synchronize_long(domain), 0, "S7: %s: %s: synchronize does not wait for it", flavour->name, runner);
	is_int(nr_ran, 1, "S7: %s: %s: nor does the next callback pass it", flavour->name, runner);
	gate_open(&go_on);
	for (int i = 0; i < 3; i++)
		asleep &= waiter_join(&w[i]) == 0;
	ok(asleep && waiter_join(&poller) == 0 && nr_ran == 3, "S7: %s: %s: all barriers return", flavour->name, runner);
	is_int(usrcu_destroy(domain), 0, "S11: %s: %s: destroy", flavour->name, runner);
}

/* ---- the worker ---- */

static void open_gate(struct usrcu_head *head)
{
	count(head);
	gate_open(&in_callback);
}

static void worker_alone(void)
{
	struct reader r[2];

	fresh(USRCU_WORKER);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy with an idle worker", flavour->name);
	fresh(USRCU_WORKER);
	usrcu_call(domain, &items[0][0].head, open_gate);
	ok(gate_wait_ms(&in_callback, LONG_MS), "S7: %s: a worker runs it though nobody polls", flavour->name);
	ok(usrcu_barrier(domain) == 0 && items[0][0].tid != gettid(), "S7: %s: in another thread", flavour->name);

	/* Sections overlap and none is ended twice in a row: the worker must take every step by itself. */
	gate_close(&in_callback);
	reader_start(&r[0], domain);
	usrcu_call(domain, &items[0][1].head, open_gate);
	for (int i = 0; i < 20; i++) {
		reader_start(&r[(i + 1) % 2], domain);
		reader_stop(&r[i % 2]);
	}
	ok(gate_wait_ms(&in_callback, LONG_MS), "S7: %s: it runs beside readers that always overlap", flavour->name);
	reader_stop(&r[0]);
	is_int(usrcu_barrier(domain), 0, "S7: %s: barrier on the worker", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy with an idle worker that has worked", flavour->name);
}

/* ---- cancellation ---- */

static void cancelled_here(struct usrcu_head *head)
{
	pthread_testcancel();
	count(head);
}

static void *run_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	set(&nr_again, (uint32_t)usrcu_barrier(arg));
	pthread_testcancel();
	return NULL;
}

static void cancellation(void)
{
	fresh(0);
	set(&nr_again, 1);
	usrcu_call(domain, &items[0][0].head, count);
	ok(join(start(run_cancelled, domain)) == PTHREAD_CANCELED && get(&nr_again) == 0 && nr_ran == 1,
	   "S7: %s: a cancelled thread ends after its barrier, which is no cancellation point", flavour->name);
	usrcu_call(domain, &items[0][1].head, cancelled_here);
	usrcu_call(domain, &items[0][2].head, count);
	set(&nr_again, 1);
	ok(join(start(run_cancelled, domain)) == PTHREAD_CANCELED && get(&nr_again) == 1 && nr_ran == 1,
	   "S7: %s: a callback that is one ends it there", flavour->name);
	is_int(usrcu_barrier(domain), 0, "S7: %s: ... and counts as returned", flavour->name);
	is_int(nr_ran, 2, "S7: %s: ... the next thread runs the next one", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void tests(void)
{
	exactly_once(0, "callers");
	exactly_once(USRCU_WORKER, "worker");
	not_before_readers();
	not_under_locks();
	queued_twice();
	in_a_callback(0, "callers");
	in_a_callback(USRCU_WORKER, "worker");
	barriers_wait(0, "callers");
	barriers_wait(USRCU_WORKER, "worker");
	worker_alone();
	cancellation();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
