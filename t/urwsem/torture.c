/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Eight threads do everything at random to one semaphore that guards plain integers, so that
 * ThreadSanitizer sees each order that is missing.
 *
 * Two kinds of load.  Rounds: a few operations each and then all meet; a wake-up that was lost
 * shows, because nobody comes later who would make up for it.  Stream: no meeting, so that
 * stealing and handoff go on all the time.  A watch in main() fails when any thread stands still.
 */
#include "tap.h"

#include "urwsem_impl.h"

#define NR_THREADS 8
#define STUCK_NS   UINT64_C(10000000000)

enum op { DOWN_READ, DOWN_WRITE, TRY_READ, TRY_WRITE, TIMED_READ, TIMED_WRITE, DOWNGRADE, HAND_OVER, NR_OPS };

struct thread {
	pthread_t thread;
	struct rng rng;
	uint64_t done[NR_OPS], failed[NR_OPS];  /* by the thread; read after the join */
	uint64_t longest_ns;                    /* likewise: the longest wait without a time limit */
	uint64_t beat_ns;                       /* atomic: when it last went on */
};

static struct urwsem sem;
static struct thread threads[NR_THREADS];
static pthread_barrier_t meeting;

/* Plain, under sem. */
static uint64_t pair[2];
static int writer_inside;
/* Atomic. */
static uint32_t readers_inside, nr_broken, nr_left_over, nr_running, quit;
static uint64_t nr_rounds;

static void broken(const char *what)
{
	if (fetch_add(&nr_broken, 1) < 10)
		diag("%s", what);
}

static void dawdle(struct thread *t)
{
	uint32_t kind = rng_below(&t->rng, 64);
	uint32_t turns = rng_below(&t->rng, 200);

	if (kind == 0) {
		struct timespec nap = { 0, 1000 * (long)turns };

		nanosleep(&nap, NULL);
	} else if (kind < 8) {
		sched_yield();
	} else if (kind < 32) {
		while (turns-- > 0)
			port_relax();
	}
}

static void read_section(struct thread *t)
{
	uint64_t seen;

	fetch_add(&readers_inside, 1);
	seen = pair[0];
	if (writer_inside)
		broken("a reader beside a writer");
	dawdle(t);
	if (pair[1] != seen || pair[0] != seen)
		broken("a reader saw half of a change");
	fetch_add(&readers_inside, -1);
}

static void write_section(struct thread *t)
{
	if (writer_inside++ != 0)
		broken("two writers");
	pair[0]++;
	dawdle(t);
	if (load_relaxed(&readers_inside) != 0)
		broken("a writer beside a reader");
	pair[1]++;
	if (pair[0] != pair[1])
		broken("a writer's change was overwritten");
	if (--writer_inside != 0)
		broken("two writers");
}

static void waited(struct thread *t, uint64_t began)
{
	uint64_t now = tap_now_ns();

	if (now - began > t->longest_ns)
		t->longest_ns = now - began;
}

static void *release_read(void *arg)
{
	read_section(arg);
	urwsem_up_read(&sem);
	return NULL;
}

/* One operation, or -errno where it was not to be had. */
static int operate(struct thread *t, enum op op)
{
	uint64_t timeout_ns = UINT64_C(1) << rng_below(&t->rng, 20);
	uint64_t began = tap_now_ns();
	int err = 0;

	switch (op) {
	case TRY_READ:
	case TIMED_READ:
		err = op == TRY_READ ? urwsem_down_read_trylock(&sem) : urwsem_down_read_timeout(&sem, timeout_ns);
		if (err)
			return err;
		read_section(t);
		urwsem_up_read(&sem);
		return 0;
	case TRY_WRITE:
	case TIMED_WRITE:
		err = op == TRY_WRITE ? urwsem_down_write_trylock(&sem) : urwsem_down_write_timeout(&sem, timeout_ns);
		if (err)
			return err;
		write_section(t);
		urwsem_up_write(&sem);
		return 0;
	case DOWNGRADE:
		urwsem_down_write(&sem);
		waited(t, began);
		write_section(t);
		urwsem_downgrade_write(&sem);
		read_section(t);
		urwsem_up_read(&sem);
		return 0;
	case HAND_OVER:
		urwsem_down_read(&sem);
		waited(t, began);
		/* A thread costs much; mostly the same is done here. */
		if (rng_below(&t->rng, 64) == 0) {
			struct thread other = { .rng = t->rng };

			if (pthread_create(&other.thread, NULL, release_read, &other) == 0) {
				pthread_join(other.thread, NULL);
				return 0;
			}
		}
		release_read(t);
		return 0;
	case DOWN_WRITE:
		urwsem_down_write(&sem);
		waited(t, began);
		write_section(t);
		urwsem_up_write(&sem);
		return 0;
	default:
		urwsem_down_read(&sem);
		waited(t, began);
		read_section(t);
		urwsem_up_read(&sem);
		return 0;
	}
}

static void operate_some(struct thread *t, uint32_t nr)
{
	while (nr-- > 0) {
		uint32_t kind = rng_below(&t->rng, 2 * NR_OPS);
		enum op op = kind < NR_OPS ? (enum op)kind : kind % 3 ? DOWN_READ : DOWN_WRITE;

		if (operate(t, op) == 0)
			t->done[op]++;
		else
			t->failed[op]++;
		store_relaxed(&t->beat_ns, tap_now_ns());
		dawdle(t);
	}
}

static void *run_rounds(void *arg)
{
	struct thread *t = arg;
	int first;

	for (;;) {
		pthread_barrier_wait(&meeting);
		if (load_acquire(&quit))
			break;
		operate_some(t, 1 + rng_below(&t->rng, 3));
		first = pthread_barrier_wait(&meeting);
		if (first == PTHREAD_BARRIER_SERIAL_THREAD) {
			if (urwsem_peek_count(&sem) != 0 || urwsem_peek_waiting(&sem) != 0)
				fetch_add(&nr_left_over, 1);
			fetch_add(&nr_rounds, 1);
		}
		store_relaxed(&t->beat_ns, tap_now_ns());
	}
	fetch_add(&nr_running, -1);
	return NULL;
}

static void *run_stream(void *arg)
{
	while (!load_acquire(&quit))
		operate_some(arg, 16);
	fetch_add(&nr_running, -1);
	return NULL;
}

/* Whoever meets last must see that it is over when the others do: so quit changes between meetings. */
static void *end_rounds(void *arg)
{
	uint64_t end = *(uint64_t *)arg;

	for (;;) {
		if (tap_now_ns() > end)
			store_release(&quit, 1);
		pthread_barrier_wait(&meeting);
		if (load_acquire(&quit))
			return NULL;
		pthread_barrier_wait(&meeting);
	}
}

/* Until all have ended: the last wake-up can be lost as well as any other. */
static void watch(uint64_t end, bool rounds)
{
	struct timespec nap = { 0, 20000000 };

	while (load_acquire(&nr_running) != 0) {
		uint64_t now = tap_now_ns();

		for (int i = 0; i < NR_THREADS; i++) {
			uint64_t beat = load_relaxed(&threads[i].beat_ns);

			if (now > beat && now - beat > STUCK_NS)
				bail_out("R3: a wake-up was lost: thread %d stands still for %d s, count %#" PRIx64 ", %u wait",
					 i, (int)(STUCK_NS / 1000000000), urwsem_peek_count(&sem),
					 urwsem_peek_waiting(&sem));
		}
		if (now > end && !rounds)
			store_release(&quit, 1);
		nanosleep(&nap, NULL);
	}
}

static void torture(const char *name, bool rounds, unsigned ms)
{
	uint64_t end = tap_now_ns() + ms * UINT64_C(1000000);
	uint64_t done = 0, failed = 0, longest_ns = 0, writes = 0;
	pthread_t timer;
	bool all = true;

	memset(pair, 0, sizeof(pair));
	nr_broken = nr_left_over = quit = 0;
	nr_running = NR_THREADS;
	urwsem_init(&sem);
	pthread_barrier_init(&meeting, NULL, NR_THREADS + 1);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct thread *t = &threads[i];

		*t = (struct thread){ .beat_ns = tap_now_ns() };
		rng_init(&t->rng, i + (rounds ? 0 : NR_THREADS));
		if (pthread_create(&t->thread, NULL, rounds ? run_rounds : run_stream, t) != 0)
			bail_out("no thread");
	}
	if (rounds && pthread_create(&timer, NULL, end_rounds, &end) != 0)
		bail_out("no thread");
	watch(end, rounds);
	if (rounds)
		pthread_join(timer, NULL);
	for (int i = 0; i < NR_THREADS; i++) {
		struct thread *t = &threads[i];

		pthread_join(t->thread, NULL);
		for (int op = 0; op < NR_OPS; op++) {
			done += t->done[op];
			failed += t->failed[op];
			if (op == DOWN_WRITE || op == TRY_WRITE || op == TIMED_WRITE || op == DOWNGRADE)
				writes += t->done[op];
			all &= t->done[op] != 0 || op == TRY_WRITE || op == TRY_READ || op == TIMED_WRITE;
		}
		if (t->longest_ns > longest_ns)
			longest_ns = t->longest_ns;
	}
	pthread_barrier_destroy(&meeting);
	is_int(nr_broken, 0, "R1: %s: a writer was alone, readers saw whole changes", name);
	ok(pair[0] == writes && pair[1] == writes, "R1: %s: no write was lost", name);
	ok(urwsem_peek_count(&sem) == 0 && urwsem_peek_waiting(&sem) == 0 && nr_left_over == 0,
	   "R3: %s: nothing was left in the count or the queue", name);
	ok(longest_ns < STUCK_NS, "R3: %s: nobody waited for ever", name);
	is_int(urwsem_destroy(&sem), 0, "R1: %s: it is free at the end", name);
	diag("%s: %" PRIu64 " operations, %" PRIu64 " not to be had, %" PRIu64 " rounds, longest wait %" PRIu64 " us%s",
	     name, done, failed, nr_rounds, longest_ns / 1000, all ? "" : ", not every kind in every thread");
	nr_rounds = 0;
}

int main(void)
{
	tap_seed();
	torture("rounds", true, scaled_ms(1000));
	torture("stream", false, scaled_ms(1000));
	return done_testing();
}
