/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * R1, R2, R3: who gets the semaphore, who waits, and in which order.  Threads are ordered by what
 * the semaphore itself shows: how many wait in its queue, and the bits of its count.
 */
#include "tap.h"

#include "urwsem_impl.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SECOND_NS    UINT64_C(1000000000)
#define FOREVER      UINT64_MAX
#define PATIENCE_MS  10000      /* of this test with a machine that is slow; never used up by a good build */

enum what { READ, WRITE };

/* A thread that takes the semaphore once, says so, and gives it back when told. */
struct user {
	pthread_t thread;
	struct urwsem *sem;
	enum what what;
	uint64_t timeout_ns;
	struct gate got, leave;         /* got: it has it, or err says why not */
	int err;                        /* written before got is opened */
	int order;                      /* likewise: how many had it before */
};

static int entries;     /* atomic */

static void *use(void *arg)
{
	struct user *u = arg;

	u->err = u->what == READ ? urwsem_down_read_timeout(u->sem, u->timeout_ns) :
				   urwsem_down_write_timeout(u->sem, u->timeout_ns);
	u->order = fetch_add(&entries, 1);
	gate_open(&u->got);
	if (u->err)
		return NULL;
	gate_wait(&u->leave);
	if (u->what == READ)
		urwsem_up_read(u->sem);
	else
		urwsem_up_write(u->sem);
	return NULL;
}

static void start(struct user *u, struct urwsem *sem, enum what what, uint64_t timeout_ns)
{
	pthread_attr_t attr;

	*u = (struct user){ .sem = sem, .what = what, .timeout_ns = timeout_ns };
	gate_init(&u->got);
	gate_init(&u->leave);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	if (pthread_create(&u->thread, &attr, use, u) != 0)
		bail_out("no thread");
	pthread_attr_destroy(&attr);
}

static void finish(struct user *u)
{
	gate_open(&u->leave);
	pthread_join(u->thread, NULL);
}

static bool has_it(struct user *u)
{
	return gate_wait_ms(&u->got, 0) && u->err == 0;
}

static bool gets_it(struct user *u)
{
	return gate_wait_ms(&u->got, PATIENCE_MS) && u->err == 0;
}

/* The first in the queue is counted a little before the bit says so, and both before it sleeps. */
static bool queue_is(const struct urwsem *sem, uint32_t nr)
{
	return urwsem_peek_waiting(sem) == nr && !(urwsem_peek_count(sem) & URWSEM_WAITERS) == !nr;
}

/* Whether @nr threads were seen waiting in the queue. */
static bool waiting(const struct urwsem *sem, uint32_t nr)
{
	uint64_t end = tap_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	while (!queue_is(sem, nr)) {
		if (tap_now_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}

/* Whether the queue reached @nr, rather than that @u got in. */
static bool queues(struct user *u, uint32_t nr)
{
	uint64_t end = tap_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	while (tap_now_ns() < end && !gate_wait_ms(&u->got, 0)) {
		if (queue_is(u->sem, nr))
			return true;
		sched_yield();
	}
	return false;
}

static bool clean(const struct urwsem *sem)
{
	return urwsem_peek_count(sem) == 0 && urwsem_peek_waiting(sem) == 0;
}

static void test_misuse(void)
{
	struct urwsem sem;

	ok(urwsem_init(NULL) == -EINVAL && urwsem_destroy(NULL) == -EINVAL && urwsem_down_read(NULL) == -EINVAL &&
	   urwsem_down_read_trylock(NULL) == -EINVAL && urwsem_down_read_timeout(NULL, 1) == -EINVAL &&
	   urwsem_down_write(NULL) == -EINVAL && urwsem_down_write_trylock(NULL) == -EINVAL &&
	   urwsem_down_write_timeout(NULL, 1) == -EINVAL, "R1: without a semaphore: -EINVAL");
	is_int(urwsem_init(&sem), 0, "R1: init");
	is_int(urwsem_down_read(&sem), 0, "R1: a reader takes a free one");
	is_int(urwsem_destroy(&sem), -EBUSY, "R1: destroy is refused while it is held for reading");
	urwsem_up_read(&sem);
	is_int(urwsem_down_write(&sem), 0, "R1: a writer takes a free one");
	is_int(urwsem_destroy(&sem), -EBUSY, "R1: destroy is refused while it is held for writing");
	urwsem_up_write(&sem);
	ok(clean(&sem), "R1: nothing is left in the count");
	is_int(urwsem_destroy(&sem), 0, "R1: destroy of a free one");
}

static void up_read_unheld(struct urwsem *sem) { urwsem_up_read(sem); }
static void up_write_unheld(struct urwsem *sem) { urwsem_up_write(sem); }
static void downgrade_unheld(struct urwsem *sem) { urwsem_downgrade_write(sem); }
static void up_read_written(struct urwsem *sem) { urwsem_down_write(sem); urwsem_up_read(sem); }
static void up_write_read(struct urwsem *sem) { urwsem_down_read(sem); urwsem_up_write(sem); }
static void up_read_nothing(struct urwsem *sem) { (void)sem; urwsem_up_read(NULL); }

static bool aborts(void (*misuse)(struct urwsem *sem))
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		struct urwsem sem;

		signal(SIGABRT, SIG_DFL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		urwsem_init(&sem);
		misuse(&sem);
		_exit(0);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_unbalanced(void)
{
	ok(aborts(up_read_unheld), "R1: up_read of a free one stops the program");
	ok(aborts(up_write_unheld), "R1: up_write of a free one stops the program");
	ok(aborts(downgrade_unheld), "R1: downgrade of a free one stops the program");
	ok(aborts(up_read_written), "R1: up_read of one held for writing stops the program");
	ok(aborts(up_write_read), "R1: up_write of one held for reading stops the program");
	ok(aborts(up_read_nothing), "R1: up_read without a semaphore stops the program");
}

static void test_exclusion(void)
{
	struct urwsem sem;
	struct user a;

	urwsem_init(&sem);
	urwsem_down_read(&sem);
	is_int(urwsem_down_read_trylock(&sem), 0, "R1: readers share");
	is_int(urwsem_down_write_trylock(&sem), -EBUSY, "R1: a reader keeps writers out");
	urwsem_up_read(&sem);
	is_int(urwsem_down_write_trylock(&sem), -EBUSY, "R1: ... until the last has gone");
	start(&a, &sem, READ, FOREVER);
	ok(gets_it(&a), "R1: readers of two threads share");
	finish(&a);
	urwsem_up_read(&sem);
	is_int(urwsem_down_write_trylock(&sem), 0, "R1: then a writer takes it");
	is_int(urwsem_down_read_trylock(&sem), -EBUSY, "R1: a writer keeps readers out");
	is_int(urwsem_down_write_trylock(&sem), -EBUSY, "R1: a writer keeps writers out");
	start(&a, &sem, READ, FOREVER);
	ok(queues(&a, 1) && !has_it(&a), "R1: a reader queues while a writer holds it");
	urwsem_up_write(&sem);
	ok(gets_it(&a), "R3: ... and gets it from the writer");
	gate_open(&a.leave);
	pthread_join(a.thread, NULL);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/* The trap of the contract's section 1, without the callbacks. */
static void test_trap(void)
{
	struct urwsem sem;
	struct user writer, reader;
	bool queued;

	urwsem_init(&sem);
	urwsem_down_read(&sem);
	start(&writer, &sem, WRITE, FOREVER);
	ok(waiting(&sem, 1), "R1: a writer queues while a reader holds it");
	ok(urwsem_peek_count(&sem) & URWSEM_WAITERS, "R1: ... and the count says so");
	is_int(urwsem_destroy(&sem), -EBUSY, "R1: destroy is refused while one waits");
	is_int(urwsem_down_read_trylock(&sem), -EBUSY, "R1: then no reader gets it without waiting");
	is_int(urwsem_down_write_trylock(&sem), -EBUSY, "R1: nor a writer");
	start(&reader, &sem, READ, FOREVER);
	queued = queues(&reader, 2);
	if (!queued)
		gate_open(&reader.leave); /* lets the other tests of a broken build run */
	ok(queued, "R1: a later reader queues behind the writer, though a reader holds it");
	ok(!has_it(&writer), "R1: the writer waits for the reader");
	urwsem_up_read(&sem);
	ok(gets_it(&writer), "R3: the release wakes the writer");
	ok(!queued || !has_it(&reader), "R1: the reader waits for the writer");
	gate_open(&writer.leave);
	ok(gets_it(&reader), "R3: the writer's release wakes the reader");
	ok(writer.order < reader.order, "R1: first the writer, then the reader");
	pthread_join(writer.thread, NULL);
	finish(&reader);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/* A invalidates and wants the device's lock; C holds that and invalidates; B wants to write. */
struct deadlock {
	struct urwsem mirrors;
	pthread_mutex_t device;
	struct gate a_walks, a_done;
};

static void *thread_a(void *arg)
{
	struct deadlock *d = arg;

	urwsem_down_read(&d->mirrors);
	gate_open(&d->a_walks);
	pthread_mutex_lock(&d->device);
	pthread_mutex_unlock(&d->device);
	urwsem_up_read(&d->mirrors);
	gate_open(&d->a_done);
	return NULL;
}

static void test_deadlock(void)
{
	struct deadlock d = { .device = PTHREAD_MUTEX_INITIALIZER };
	pthread_t a;
	struct user b;
	int err;

	urwsem_init(&d.mirrors);
	gate_init(&d.a_walks);
	gate_init(&d.a_done);
	pthread_mutex_lock(&d.device);
	if (pthread_create(&a, NULL, thread_a, &d) != 0)
		bail_out("no thread");
	gate_wait(&d.a_walks);
	start(&b, &d.mirrors, WRITE, FOREVER);
	ok(waiting(&d.mirrors, 1), "R1: B queues to write behind A, which waits for C's lock");
	err = urwsem_down_read_timeout(&d.mirrors, SECOND_NS / 5);
	is_int(err, -ETIMEDOUT, "R1: C, which holds that lock, waits behind B: the deadlock of three");
	ok(!gate_wait_ms(&d.a_done, 0) && !has_it(&b), "R1: nobody moved meanwhile");
	if (!err)
		urwsem_up_read(&d.mirrors);
	pthread_mutex_unlock(&d.device);
	ok(gets_it(&b), "R3: when C gives up, A goes on, and then B");
	finish(&b);
	pthread_join(a, NULL);
	ok(clean(&d.mirrors), "R3: nothing is left in the count");
}

/* On different CPUs, so that the writer that is woken does not push the reader that woke it off its own. */
static void part_from(pthread_t other)
{
	cpu_set_t all, one;
	int mine = -1;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(mine < 0 ? pthread_self() : other, sizeof(one), &one);
		if (mine >= 0)
			return;
		mine = cpu;
	}
}

/* A writer that has been woken is not yet there: a reader is faster, nearly always. */
static void test_steal(void)
{
	struct urwsem sem;
	struct user writer;
	int tries, stolen = 0;
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	for (tries = 0; tries < 1000 && !stolen; tries++) {
		urwsem_init(&sem);
		urwsem_down_read(&sem);
		start(&writer, &sem, WRITE, FOREVER);
		part_from(writer.thread);
		if (!waiting(&sem, 1))
			bail_out("no writer in the queue");
		gate_open(&writer.leave);
		urwsem_up_read(&sem);
		urwsem_down_read(&sem);
		stolen = (urwsem_peek_count(&sem) & URWSEM_WAITERS) != 0;
		if (stolen) {
			is_int(urwsem_down_read_trylock(&sem), -EBUSY, "R1: ... by stealing only, not at once");
			ok(!has_it(&writer), "R1: ... and the writer goes on waiting");
		}
		urwsem_up_read(&sem);
		finish(&writer);
	}
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
	ok(stolen, "R1: a reader steals it past a waiting writer when nobody holds it");
	diag("at try %d", tries);
}

static void test_timeouts(void)
{
	struct urwsem sem;
	struct user writer, reader, other;
	uint64_t began;

	urwsem_init(&sem);
	urwsem_down_write(&sem);
	began = tap_now_ns();
	is_int(urwsem_down_read_timeout(&sem, 20000000), -ETIMEDOUT, "R3: a reader gives up in time");
	ok(tap_now_ns() - began >= 20000000, "R3: ... not before");
	is_int(urwsem_peek_count(&sem), URWSEM_WRITER, "R3: ... and leaves only the writer behind");
	is_int(urwsem_down_write_timeout(&sem, 20000000), -ETIMEDOUT, "R3: a writer gives up in time");
	is_int(urwsem_peek_count(&sem), URWSEM_WRITER, "R3: ... and leaves only the writer behind");
	is_int(urwsem_down_read_timeout(&sem, 0), -ETIMEDOUT, "R3: a reader with no time does not wait");
	is_int(urwsem_down_write_timeout(&sem, 0), -ETIMEDOUT, "R3: nor a writer");
	urwsem_up_write(&sem);
	ok(clean(&sem), "R3: nothing is left in the count");
	is_int(urwsem_down_read_timeout(&sem, 0), 0, "R3: no time is needed for a free one");

	/* Held for reading by us; a writer heads the queue, a reader waits behind it. */
	start(&writer, &sem, WRITE, 2 * SECOND_NS);
	ok(waiting(&sem, 1), "R3: a writer with a time limit queues");
	start(&reader, &sem, READ, FOREVER);
	ok(queues(&reader, 2), "R3: a reader queues behind it");
	ok(gate_wait_ms(&writer.got, PATIENCE_MS) && writer.err == -ETIMEDOUT, "R3: the writer at the head gives up");
	ok(gate_wait_ms(&reader.got, 5000) && reader.err == 0, "R3: ... and lets in the reader behind it");
	is_int(urwsem_peek_count(&sem), 2 * URWSEM_READER, "R3: two readers, no bits, are left in the count");
	pthread_join(writer.thread, NULL);
	urwsem_up_read(&sem);
	finish(&reader);

	/* Likewise a writer behind a writer. */
	urwsem_down_read(&sem);
	start(&writer, &sem, WRITE, SECOND_NS);
	ok(waiting(&sem, 1), "R3: a writer with a time limit queues");
	start(&other, &sem, WRITE, FOREVER);
	ok(queues(&other, 2), "R3: a second one queues behind it");
	ok(gate_wait_ms(&writer.got, PATIENCE_MS) && writer.err == -ETIMEDOUT, "R3: the first gives up");
	ok(!has_it(&other) && waiting(&sem, 1), "R3: the second waits on, as a reader holds it");
	urwsem_up_read(&sem);
	ok(gets_it(&other), "R3: ... and gets it when that goes");
	pthread_join(writer.thread, NULL);

	/* Held for writing; one in the middle of the queue gives up. */
	start(&reader, &sem, READ, FOREVER);
	ok(waiting(&sem, 1), "R3: a reader heads the queue");
	start(&writer, &sem, WRITE, SECOND_NS / 10);
	ok(gate_wait_ms(&writer.got, PATIENCE_MS) && writer.err == -ETIMEDOUT, "R3: a writer behind it gives up");
	ok(waiting(&sem, 1) && !has_it(&reader), "R3: ... and the reader waits on");
	finish(&other);
	ok(gets_it(&reader), "R3: ... and gets it");
	pthread_join(writer.thread, NULL);
	finish(&reader);
	ok(clean(&sem), "R3: nothing is left in the count");
}

static void test_phase_fair(void)
{
	struct urwsem sem;
	struct user readers[3], writer;
	bool all;

	urwsem_init(&sem);
	urwsem_down_write(&sem);
	start(&readers[0], &sem, READ, FOREVER);
	waiting(&sem, 1);
	start(&writer, &sem, WRITE, FOREVER);
	waiting(&sem, 2);
	start(&readers[1], &sem, READ, FOREVER);
	waiting(&sem, 3);
	start(&readers[2], &sem, READ, FOREVER);
	ok(waiting(&sem, 4), "R2: reader, writer, reader, reader wait");
	urwsem_up_write(&sem);
	all = gate_wait_ms(&readers[0].got, 5000) && gate_wait_ms(&readers[1].got, 5000) &&
	      gate_wait_ms(&readers[2].got, 5000);
	ok(all, "R2: a reader at the head brings in all three readers, those behind the writer too");
	ok(!has_it(&writer), "R2: ... and not the writer");
	for (int i = 0; i < 3; i++)
		gate_open(&readers[i].leave);
	ok(gets_it(&writer), "R3: the writer follows");
	gate_open(&writer.leave);
	for (int i = 0; i < 3; i++)
		finish(&readers[i]);
	finish(&writer);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/* One more than the most that are let in at once. */
static void test_many_readers(void)
{
	enum { NR = URWSEM_MAX_GRANTS + 4 };
	static struct user readers[NR];
	struct urwsem sem;
	int inside = 0;

	urwsem_init(&sem);
	urwsem_down_write(&sem);
	for (int i = 0; i < NR; i++)
		start(&readers[i], &sem, READ, FOREVER);
	ok(waiting(&sem, NR), "R2: %d readers wait", NR);
	urwsem_up_write(&sem);
	is_int(urwsem_peek_waiting(&sem), NR - URWSEM_MAX_GRANTS, "R2: %d of them are let in", URWSEM_MAX_GRANTS);
	for (int turn = 0; turn < 2; turn++) {
		uint64_t end = tap_now_ns() + PATIENCE_MS / 2 * UINT64_C(1000000);
		int want = turn ? NR : URWSEM_MAX_GRANTS;

		for (inside = 0; inside != want && tap_now_ns() < end; ) {
			inside = 0;
			for (int i = 0; i < NR; i++)
				inside += has_it(&readers[i]);
			sched_yield();
		}
		is_int(inside, want, turn ? "R3: the others follow when those have gone" : "R2: they come in");
		for (int i = 0; i < NR; i++)
			if (has_it(&readers[i]))
				gate_open(&readers[i].leave);
	}
	for (int i = 0; i < NR; i++)
		finish(&readers[i]);
	ok(clean(&sem), "R3: nothing is left in the count");
}

static void test_fifo(void)
{
	enum { NR = 5 };
	struct urwsem sem;
	struct user writers[NR];
	bool ordered = true;

	urwsem_init(&sem);
	urwsem_down_write(&sem);
	for (unsigned i = 0; i < NR; i++) {
		start(&writers[i], &sem, WRITE, FOREVER);
		if (!waiting(&sem, i + 1))
			bail_out("writer %u does not queue", i);
		gate_open(&writers[i].leave);
	}
	urwsem_up_write(&sem);
	for (int i = 0; i < NR; i++)
		finish(&writers[i]);
	for (int i = 1; i < NR; i++)
		ordered &= writers[i].err == 0 && writers[i - 1].order < writers[i].order;
	ok(ordered, "R2: writers get it in the order in which they came");
	ok(clean(&sem), "R3: nothing is left in the count");
}

static void test_downgrade(void)
{
	struct urwsem sem;
	struct user first, writer, second;

	urwsem_init(&sem);
	urwsem_down_write(&sem);
	urwsem_downgrade_write(&sem);
	is_int(urwsem_peek_count(&sem), URWSEM_READER, "R1: a downgraded writer is a reader");
	is_int(urwsem_down_read_trylock(&sem), 0, "R1: ... beside others");
	urwsem_up_read(&sem);
	urwsem_up_read(&sem);

	urwsem_down_write(&sem);
	start(&first, &sem, READ, FOREVER);
	waiting(&sem, 1);
	start(&writer, &sem, WRITE, FOREVER);
	waiting(&sem, 2);
	start(&second, &sem, READ, FOREVER);
	ok(waiting(&sem, 3), "R2: reader, writer, reader wait");
	urwsem_downgrade_write(&sem);
	ok(gate_wait_ms(&first.got, 5000) && gate_wait_ms(&second.got, 5000), "R2: downgrade lets in the queued readers");
	ok(!has_it(&writer), "R2: ... and not the writer");
	gate_open(&first.leave);
	gate_open(&second.leave);
	pthread_join(first.thread, NULL);
	pthread_join(second.thread, NULL);
	ok(!has_it(&writer), "R1: the downgraded one still holds it");
	urwsem_up_read(&sem);
	ok(gets_it(&writer), "R3: the writer follows");
	finish(&writer);
	ok(clean(&sem), "R3: nothing is left in the count");

	urwsem_down_write(&sem);
	start(&writer, &sem, WRITE, FOREVER);
	waiting(&sem, 1);
	urwsem_downgrade_write(&sem);
	ok(!gate_wait_ms(&writer.got, 20), "R2: downgrade does not let in a writer at the head");
	urwsem_up_read(&sem);
	ok(gets_it(&writer), "R3: the release does");
	finish(&writer);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/*
 * We read, again and again for 2.5 ms, with next to no gap, till the waiting writer asks for the
 * handoff.  It may find the gap before: then we try again.  True: we hold it, and handoff is set.
 */
static bool provoke_handoff(struct urwsem *sem, struct user *writer, uint64_t *waited_ns, int *steals)
{
	uint64_t end = tap_now_ns() + 5 * SECOND_NS, began, until;
	cpu_set_t all;
	bool handoff = false;

	sched_getaffinity(0, sizeof(all), &all);
	while (!handoff && tap_now_ns() < end) {
		urwsem_init(sem);
		urwsem_down_read(sem);
		start(writer, sem, WRITE, FOREVER);
		part_from(writer->thread);
		gate_open(&writer->leave);
		if (!waiting(sem, 1))
			bail_out("no writer in the queue");
		began = tap_now_ns();
		*steals = 0;
		while (!handoff && tap_now_ns() < end) {
			for (until = tap_now_ns() + 2500000; tap_now_ns() < until; )
				handoff |= (urwsem_peek_count(sem) & URWSEM_HANDOFF) != 0;
			if (handoff)
				break;
			urwsem_up_read(sem);
			urwsem_down_read(sem);
			if (!(urwsem_peek_count(sem) & URWSEM_WAITERS))
				break;
			++*steals;
		}
		*waited_ns = tap_now_ns() - began;
		if (!handoff) {
			urwsem_up_read(sem);
			finish(writer);
		}
	}
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
	return handoff;
}

static void test_handoff(void)
{
	struct urwsem sem;
	struct user writer, reader, other;
	uint64_t waited_ns = 0;
	int steals = 0;

	if (!ok(provoke_handoff(&sem, &writer, &waited_ns, &steals),
		"R2: a writer past which readers steal asks for the handoff"))
		return;
	diag("handoff after %" PRIu64 " us; %d readers stole it meanwhile", waited_ns / 1000, steals);
	ok(steals > 0, "R1: before that, readers stole it");
	ok(waited_ns >= URWSEM_HANDOFF_NS, "R2: not before 4 ms");
	ok(waited_ns < SECOND_NS, "R3: and long before a second");
	start(&reader, &sem, READ, FOREVER);
	ok(queues(&reader, 2), "R1: then a reader queues");
	start(&other, &sem, WRITE, FOREVER);
	ok(queues(&other, 3), "R2: so does a writer");
	/* A reader that stayed would, with the other writer behind it, keep us out: the trap. */
	gate_open(&reader.leave);
	gate_open(&other.leave);
	urwsem_up_read(&sem);
	is_int(urwsem_down_read(&sem), 0, "R3: readers go on, once the writer is done");
	ok(has_it(&writer), "R2, R3: the writer got it first: readers that steal cannot starve it");
	ok(!(urwsem_peek_count(&sem) & URWSEM_HANDOFF), "R2: the handoff is over");
	urwsem_up_read(&sem);
	ok(gets_it(&reader) && gets_it(&other), "R3: the others follow");
	ok(writer.order < reader.order && writer.order < other.order, "R2: the first in the queue came first");
	finish(&writer);
	finish(&reader);
	finish(&other);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/* A reader that gives up behind the handoff takes nothing with it. */
static void test_handoff_given_up(void)
{
	struct urwsem sem;
	struct user writer, reader;
	uint64_t waited_ns = 0;
	int steals = 0, err;

	if (!provoke_handoff(&sem, &writer, &waited_ns, &steals)) {
		ok(false, "R2: a writer asks for the handoff");
		return;
	}
	start(&reader, &sem, READ, SECOND_NS / 10);
	ok(gate_wait_ms(&reader.got, PATIENCE_MS) && reader.err == -ETIMEDOUT, "R3: a reader behind the handoff gives up");
	pthread_join(reader.thread, NULL);
	is_int(urwsem_peek_count(&sem), URWSEM_READER | URWSEM_WAITERS | URWSEM_HANDOFF, "R2: the handoff stays in force");
	urwsem_up_read(&sem);
	ok(gets_it(&writer), "R2: the writer gets it");
	finish(&writer);
	err = urwsem_down_write_timeout(&sem, 0);
	is_int(err, 0, "R3: and leaves it free");
	urwsem_up_write(&sem);
	ok(clean(&sem), "R3: nothing is left in the count");
}

/*
 * A reader on its way to the queue is still counted when the last holder goes, which therefore
 * wakes nobody.  The test holds the reader up there by holding the queue's own lock.
 */
static void test_late_for_the_release(void)
{
	struct urwsem sem;
	struct user writer, reader;
	uint64_t end = tap_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	urwsem_init(&sem);
	urwsem_down_read(&sem);
	start(&writer, &sem, WRITE, FOREVER);
	if (!waiting(&sem, 1))
		bail_out("no writer in the queue");
	/* 2 is "held, and others sleep": the writer holds it only for an instant, and then sleeps elsewhere. */
	while (exchange(&sem.urwsem__wait_lock, 2) != 0)
		sched_yield();
	start(&reader, &sem, READ, FOREVER);
	while (urwsem_peek_count(&sem) / URWSEM_READER != 2 && tap_now_ns() < end)
		sched_yield();
	is_int(urwsem_peek_count(&sem), 2 * URWSEM_READER | URWSEM_WAITERS, "R3: a reader is counted before it queues");
	urwsem_up_read(&sem);
	exchange(&sem.urwsem__wait_lock, 0);
	syscall(SYS_futex, &sem.urwsem__wait_lock, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
	gate_open(&reader.leave);
	ok(gets_it(&writer), "R3: the reader that queues wakes the writer in place of the holder that went");
	/* Lets a broken build go on: any release but the last reader's wakes. */
	if (!has_it(&writer) && urwsem_down_write_timeout(&sem, SECOND_NS) == 0)
		urwsem_up_write(&sem);
	finish(&writer);
	finish(&reader);
	ok(clean(&sem), "R3: nothing is left in the count");
}

struct arrival {
	struct urwsem *sem;
	uint64_t began_ns;      /* written before it comes; read after the join */
};

static void *arrive(void *arg)
{
	struct arrival *a = arg;

	a->began_ns = tap_now_ns();
	if (urwsem_down_write(a->sem) == 0)
		urwsem_up_write(a->sem);
	return NULL;
}

/* A writer behind readers spins 10.5 us before it queues: the trap opens only then. */
static void test_spin(void)
{
	uint64_t least = UINT64_MAX, seen;

	for (int i = 0; i < 100; i++) {
		struct urwsem sem;
		struct arrival a = { .sem = &sem };
		pthread_t thread;

		urwsem_init(&sem);
		urwsem_down_read(&sem);
		if (pthread_create(&thread, NULL, arrive, &a) != 0)
			bail_out("no thread");
		while (!(urwsem_peek_count(&sem) & URWSEM_WAITERS))
			;
		seen = tap_now_ns();
		urwsem_up_read(&sem);
		pthread_join(thread, NULL);
		if (seen - a.began_ns < least)
			least = seen - a.began_ns;
	}
	diag("the soonest writer was in the queue after %" PRIu64 " ns", least);
	ok(least >= 10000, "R2: a writer spins before it queues");
}

static void *release_for_other(void *arg)
{
	urwsem_up_write(arg);
	return NULL;
}

static void on_signal(int nr)
{
	(void)nr;
}

static void test_threads_and_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct urwsem sem;
	struct user reader, writer;
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	urwsem_init(&sem);
	urwsem_down_write(&sem);
	start(&reader, &sem, READ, FOREVER);
	waiting(&sem, 1);
	start(&writer, &sem, WRITE, FOREVER);
	waiting(&sem, 2);
	for (int i = 0; i < 100; i++) {
		pthread_kill(reader.thread, SIGUSR1);
		pthread_kill(writer.thread, SIGUSR1);
		sched_yield();
	}
	ok(!gate_wait_ms(&reader.got, 20) && !has_it(&writer), "R1: signals end no wait");
	if (pthread_create(&thread, NULL, release_for_other, &sem) != 0)
		bail_out("no thread");
	pthread_join(thread, NULL);
	ok(gets_it(&reader), "R1: one thread may release what another took");
	gate_open(&reader.leave);
	ok(gets_it(&writer), "R3: signals lose no wake-up");
	finish(&reader);
	finish(&writer);
	ok(clean(&sem), "R3: nothing is left in the count");
}

int main(void)
{
	test_misuse();
	test_unbalanced();
	test_exclusion();
	test_trap();
	test_deadlock();
	test_steal();
	test_timeouts();
	test_phase_fair();
	test_many_readers();
	test_fifo();
	test_downgrade();
	test_handoff();
	test_handoff_given_up();
	test_late_for_the_release();
	test_spin();
	test_threads_and_signals();
	return done_testing();
}
