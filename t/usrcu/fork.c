/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu and fork (S10): the child has the forking thread's sections and the handed-over ones, not
 * those of the threads that are gone, and it can go on with everything.
 *
 * A child tells the line at which it went wrong on standard error, and fails.
 */
#include "usrcu_test.h"

#include <sched.h>

#define NR_READERS 4

static struct usrcu *domain, *worker;
static uint32_t quit, nr_ran;
static pid_t parent;

static void count(struct usrcu_head *head)
{
	(void)head;
	add(&nr_ran, 1);
}

static char stall_text[256];

static void report(void *arg, const char *text)
{
	(void)arg;
	snprintf(stall_text, sizeof(stall_text), "%s", text);
}

static void *read_in_turn(void *arg)
{
	while (!get(&quit))
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
	return arg;
}

static void readers_elsewhere(void)
{
	struct reader readers[NR_READERS];
	struct usrcu_head heads[3], *pending = &heads[1];
	pthread_t busy[2];
	struct waiter w;
	int token, handed;
	pid_t pid;

	domain = new_domain(0);
	for (int i = 0; i < NR_READERS; i++) {
		reader_start(&readers[i], domain);
		usrcu_poll_state(domain, usrcu_start_poll(domain)); /* so that they stand under both indexes */
	}
	busy[0] = start(read_in_turn, NULL);
	busy[1] = start(read_in_turn, NULL);
	ok(waiter_start(&w, domain, usrcu_synchronize), "S10: %s: a grace period is under way", flavour->name);
	usrcu_call(domain, &heads[0], count);
	usrcu_poll_state(domain, usrcu_get_state(domain));
	usrcu_call(domain, pending, count);
	token = usrcu_read_lock(domain);
	handed = usrcu_down_read(domain);
	nr_ran = 0;

	pid = fork_timed();
	if (pid == 0) {
		child_must(usrcu_read_lock_held(domain) && usrcu_synchronize(domain) == -EDEADLK);
		usrcu_read_unlock(domain, token);
		child_must(!usrcu_read_lock_held(domain));
		child_must(usrcu_synchronize_timeout(domain, SHORT_NS) == -ETIMEDOUT); /* handed over */
		child_must(nr_ran == 0);
		usrcu_up_read(domain, handed);
		child_must(usrcu_synchronize(domain) == 0);
		child_must(usrcu_barrier(domain) == 0 && nr_ran == 2);
		child_must(usrcu_call(domain, &heads[2], count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == 3);
		token = usrcu_read_lock(domain);
		child_must(!usrcu_poll_state(domain, usrcu_get_state(domain)));
		usrcu_read_unlock(domain, token);
		child_must(usrcu_poll_state(domain, usrcu_start_poll(domain)));
		child_must(usrcu_destroy(domain) == 0);
		domain = new_domain(0);
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
		child_must(usrcu_synchronize(domain) == 0 && usrcu_destroy(domain) == 0);
		_exit(0);
	}
	is_int(status_of(pid), 0, "S10: %s: a child of a thread in a section, with readers in others", flavour->name);

	usrcu_read_unlock(domain, token);
	usrcu_up_read(domain, handed);
	set(&quit, 1);
	join(busy[0]);
	join(busy[1]);
	for (int i = 0; i < NR_READERS; i++) {
		is_int(synchronize_short(domain), -ETIMEDOUT, "S10: %s: the parent still has reader %d", flavour->name, i);
		reader_stop(&readers[i]);
	}
	is_int(waiter_join(&w), 0, "S10: %s: the parent's grace period ends", flavour->name);
	is_int(usrcu_barrier(domain), 0, "S10: %s: the parent's callbacks", flavour->name);
	is_int(nr_ran, 2, "S10: %s: ... run once", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
	quit = 0;
}

/* ---- callbacks ---- */

static struct gate in_callback, go_on;
static pid_t forked;

static void block(struct usrcu_head *head)
{
	gate_open(&in_callback);
	gate_wait(&go_on);
	count(head);
}

static void fork_here(struct usrcu_head *head)
{
	forked = fork_timed();
	count(head);
}

static void callbacks(void)
{
	struct usrcu_head heads[4];
	struct waiter w;
	pid_t pid;

	/* Another thread is the runner, and in a callback. */
	for (int i = 0; i < 2; i++) {
		struct usrcu *d = new_domain(i ? USRCU_WORKER : 0);

		gate_init(&in_callback);
		gate_init(&go_on);
		nr_ran = 0;
		usrcu_call(d, &heads[0], block);
		usrcu_call(d, &heads[1], count);
		waiter_start(&w, d, usrcu_barrier);
		gate_wait(&in_callback);
		pid = fork_timed();
		if (pid == 0) {
			child_must(usrcu_call(d, &heads[2], count) == 0);
			child_must(usrcu_barrier(d) == 0 && nr_ran == 2); /* the second and the third */
			child_must(usrcu_destroy(d) == 0);
			_exit(0);
		}
		is_int(status_of(pid), 0, "S10: %s: %s is in a callback: the child goes on", flavour->name,
		       i ? "the worker" : "another thread");
		gate_open(&go_on);
		is_int(waiter_join(&w), 0, "S10: %s: ... and so does the parent", flavour->name);
		is_int(nr_ran, 2, "S10: %s: ... in which each ran once", flavour->name);
		is_int(usrcu_destroy(d), 0, "S11: %s: destroy", flavour->name);
	}

	/* The callback itself forks. */
	domain = new_domain(0);
	nr_ran = 0;
	parent = getpid();
	usrcu_call(domain, &heads[0], count);
	usrcu_call(domain, &heads[1], fork_here);
	usrcu_call(domain, &heads[2], count);
	usrcu_barrier(domain);
	if (getpid() != parent) {
		child_must(nr_ran == 3);
		child_must(usrcu_call(domain, &heads[0], count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == 4);
		child_must(usrcu_destroy(domain) == 0);
		_exit(0);
	}
	is_int(status_of(forked), 0, "S10: %s: a callback forks: the child runs the rest", flavour->name);
	is_int(nr_ran, 3, "S10: %s: ... and so does the parent", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* A callback that the worker runs forks: the child is the worker, with its batch. */
static uint32_t nr_twice, in_child;
static struct batch_item {
	struct usrcu_head head; /* first */
	uint32_t ran;
} batch[1000];

static void fork_in_worker(struct usrcu_head *head)
{
	pid_t pid = fork_timed();

	if (pid == 0)
		set(&in_child, 1);
	set(&forked, pid);
	(void)head;
}

static void run_item(struct usrcu_head *head)
{
	struct batch_item *item = (struct batch_item *)(void *)head;

	add(&nr_twice, add(&item->ran, 1) != 0);
	add(&nr_ran, 1);
}

static pid_t barrier_tid;

static void *barrier_in_child(void *d)
{
	for (int i = 0; i < 10; i++)
		usrcu_poll_state(d, usrcu_get_state(d));
	set(&barrier_tid, gettid());
	child_must(usrcu_barrier(d) == 0);
	child_must(nr_ran == 1001 && nr_twice == 0);
	child_must(usrcu_synchronize(d) == 0 && usrcu_destroy(d) == 0);
	_exit(0);
}

static void start_in_child(struct usrcu_head *head)
{
	(void)head;
	if (get(&in_child)) {
		start(barrier_in_child, worker);
		while (!get(&barrier_tid))
			sched_yield();
		thread_asleep_ms(barrier_tid, LONG_MS); /* in barrier: it must wait for this callback and those after it */
	}
	add(&nr_ran, 1);
}

static void open_gate(struct usrcu_head *head)
{
	(void)head;
	gate_open(&in_callback);
}

static void worker_forks(void)
{
	struct usrcu_head first, second;
	int token;

	worker = new_domain(USRCU_WORKER);
	gate_init(&in_callback);
	usrcu_call(worker, &first, open_gate);
	gate_wait(&in_callback); /* the worker runs */
	memset(batch, 0, sizeof(batch));
	nr_ran = nr_twice = in_child = 0;
	token = usrcu_read_lock(worker);
	usrcu_call(worker, &first, fork_in_worker);
	for (int i = 0; i < 500; i++)
		usrcu_call(worker, &batch[i].head, run_item);
	usrcu_call(worker, &second, start_in_child);
	for (int i = 500; i < 1000; i++)
		usrcu_call(worker, &batch[i].head, run_item);
	usrcu_read_unlock(worker, token);
	is_int(usrcu_barrier(worker), 0, "S10: %s: a callback in the worker forks", flavour->name);
	ok(nr_ran == 1001 && nr_twice == 0, "S7: %s: ... in the parent each runs exactly once", flavour->name);
	is_int(status_of(get(&forked)), 0, "S7: %s: ... and in the child, beside a barrier", flavour->name);
	is_int(usrcu_destroy(worker), 0, "S11: %s: destroy", flavour->name);
}

/* ---- other ways to a child ---- */

static pid_t raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void *exit_inside(void *arg)
{
	*(int *)arg = gettid();
	(void)usrcu_read_lock(domain);
	return NULL;
}

/* Of a thread that ended before the fork, and of one that is there. */
static void without_hooks(const char *name, pid_t (*make_child)(void))
{
	struct usrcu_head heads[2];
	struct reader r;
	int token, dead;
	pid_t pid;

	domain = new_domain(0);
	nr_ran = 0;
	reader_start(&r, domain);
	join(start(exit_inside, &dead));
	thread_gone(dead);
	usrcu_call(domain, &heads[0], count);
	token = usrcu_read_lock(domain);
	pid = make_child();
	if (pid == 0) {
		alarm(CHILD_S);
		child_must(usrcu_read_lock_held(domain) && usrcu_synchronize(domain) == -EDEADLK);
		child_must(!usrcu_poll_state(domain, usrcu_start_poll(domain)));
		usrcu_read_unlock(domain, token);
		child_must(usrcu_synchronize(domain) == 0);
		child_must(usrcu_call(domain, &heads[1], count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == 2);
		child_must(usrcu_destroy(domain) == 0);
		_exit(0);
	}
	is_int(status_of(pid), 0, "S10: %s: %s: sections of threads that ended before, or are elsewhere, are void",
	       flavour->name, name);
	usrcu_read_unlock(domain, token);
	reader_stop(&r);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: %s: ... and stay in the parent", flavour->name);
}

/* It has the parent's memory, so what it ends or begins is the parent's. */
static void vforked(void)
{
	struct reader r;
	pid_t pid;

	domain = new_domain(0);
	reader_start(&r, domain);
	pid = vfork();
	if (pid == 0)
		_exit(0);
	is_int(status_of(pid), 0, "S10: %s: a child of vfork", flavour->name);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S10: %s: ... changes nothing: the reader is there", flavour->name);
	reader_stop(&r);
	is_int(synchronize_long(domain), 0, "S10: %s: ... until its end", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* Each generation has readers of its own, a callback from each before, and a section of the thread that goes on. */
static int generations(int depth)
{
	static struct usrcu_head heads[8];
	static struct reader readers[8];
	/* ThreadSanitizer takes a child's second thread for one that the parent had. */
	bool reads = depth == 0 || !THREAD_SANITIZED;
	uint32_t before = nr_ran;
	int status, token;
	pid_t pid;

	if (reads)
		reader_start(&readers[depth], domain);
	usrcu_call(domain, &heads[depth], count);
	token = usrcu_read_lock(domain);
	pid = fork_timed();
	if (pid == 0) {
		usrcu_read_unlock(domain, token);
		child_must(usrcu_synchronize(domain) == 0);
		if (depth == 7) {
			child_must(usrcu_barrier(domain) == 0 && nr_ran == before + 8);
			child_must(usrcu_destroy(domain) == 0);
			_exit(0);
		}
		_exit(generations(depth + 1) != 0);
	}
	usrcu_read_unlock(domain, token);
	status = status_of(pid);
	if (reads) {
		if (synchronize_short(domain) != -ETIMEDOUT)
			return 1;
		reader_stop(&readers[depth]);
	}
	return status | usrcu_barrier(domain);
}

static void forks_of_forks(void)
{
	domain = new_domain(0);
	nr_ran = 0;
	is_int(generations(0), 0, "S10: %s: eight generations of forks, readers in each", flavour->name);
	is_int(nr_ran, 1, "S7: %s: ... the first one's callback ran once in it", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* ---- at any moment ---- */

#define NR_HEADS 64

static struct churn_head {
	struct usrcu_head head; /* first */
	uint32_t queued;
	uint32_t ran;           /* in this process */
} churn_heads[NR_HEADS];

static void churned(struct usrcu_head *head)
{
	struct churn_head *h = (struct churn_head *)(void *)head;

	add(&h->ran, 1);
	set(&h->queued, 0);
}

static void *churn(void *arg)
{
	struct usrcu *d = arg;

	while (!get(&quit)) {
		for (int i = 0; i < NR_HEADS; i++) {
			uint32_t none = 0;

			if (__atomic_compare_exchange_n(&churn_heads[i].queued, &none, 1, false, __ATOMIC_SEQ_CST,
							__ATOMIC_SEQ_CST))
				usrcu_call(d, &churn_heads[i].head, churned);
		}
		usrcu_poll_state(d, usrcu_start_poll(d));
		usrcu_read_unlock(d, usrcu_read_lock(d));
		if (arg == domain)
			usrcu_synchronize_timeout(d, 1000);
	}
	return NULL;
}

static void any_moment(void)
{
	struct usrcu_head head;
	pthread_t threads[3];
	int bad = 0, nr = (int)scaled(SANITIZED ? 30 : 150);

	domain = new_domain(0);
	worker = new_domain(USRCU_WORKER);
	for (int i = 0; i < 3; i++)
		threads[i] = start(churn, domain);
	for (int i = 0; i < nr && bad < 3; i++) {
		pid_t pid;

		nr_ran = 0;
		pid = fork_timed();
		if (pid == 0) {
			child_must(usrcu_call(domain, &head, count) == 0);
			child_must(usrcu_barrier(domain) == 0 && nr_ran == 1);
			child_must(usrcu_call(worker, &head, count) == 0);
			child_must(usrcu_barrier(worker) == 0 && nr_ran == 2);
			child_must(usrcu_synchronize(domain) == 0);
			child_must(usrcu_destroy(domain) == 0 && usrcu_destroy(worker) == 0);
			_exit(0);
		}
		bad += status_of(pid) != 0;
	}
	is_int(bad, 0, "S10: %s: %d forks while three threads read, queue and run", flavour->name, nr);
	set(&quit, 1);
	for (int i = 0; i < 3; i++)
		join(threads[i]);
	quit = 0;
	is_int(usrcu_barrier(domain), 0, "S10: %s: the parent's callbacks end", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
	is_int(usrcu_destroy(worker), 0, "S11: %s: destroy", flavour->name);
}

/*
 * A fork copies one page after the other.  What the others change meanwhile would be of two times in the child: here
 * the callbacks stand on pages of their own, and another thread queues and runs them all the time.
 */
enum { NR_SPREAD = 300 };
static struct spread {
	struct usrcu_head head; /* first */
	uint32_t queued;        /* in which round it was queued last; before the call */
	uint32_t ran;           /* how often it ran */
} __attribute__((aligned(4096))) spread[NR_SPREAD];

static void run_spread(struct usrcu_head *head)
{
	struct spread *s = (struct spread *)(void *)head;

	set(&s->ran, s->ran + 1);
}

static void *queue_and_run(void *arg)
{
	for (uint32_t round = 1; !get(&quit); round++) {
		for (int i = 0; i < NR_SPREAD; i++) {
			set(&spread[i].queued, round);
			usrcu_call(domain, &spread[i].head, run_spread);
		}
		usrcu_barrier(domain);
	}
	return arg;
}

static void in_one_piece(void)
{
	int bad = 0, nr = (int)scaled(SANITIZED ? 30 : 150);
	pthread_t thread;

	memset(spread, 0, sizeof(spread));
	domain = new_domain(0);
	thread = start(queue_and_run, NULL);
	for (int i = 0; i < nr && bad < 3; i++) {
		pid_t pid = fork_timed();

		if (pid == 0) {
			int begun = 0;

			while (begun < NR_SPREAD && spread[begun].ran == spread[begun].queued)
				begun++;
			child_must(usrcu_barrier(domain) == 0);
			for (int j = 0; j < NR_SPREAD; j++) {
				child_must(spread[j].ran <= spread[j].queued);
				/* But for the one that the thread was in, or about to queue. */
				child_must(spread[j].ran == spread[j].queued || j == begun || j + 1 == NR_SPREAD ||
					   spread[j + 1].queued != spread[j].queued);
			}
			child_must(usrcu_destroy(domain) == 0);
			_exit(0);
		}
		bad += status_of(pid) != 0;
	}
	is_int(bad, 0, "S7: %s: %d forks beside a thread that queues and runs: the child has each callback, once",
	       flavour->name, nr);
	set(&quit, 1);
	join(thread);
	quit = 0;
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* First uses in threads that come and go, and in handlers that interrupt them. */
static struct usrcu *fresh[64];

static void use_in_handler(int signal)
{
	int saved = errno;

	(void)signal;
	for (int i = 0; i < 64; i++)
		usrcu_read_unlock(fresh[i], usrcu_read_lock(fresh[i]));
	errno = saved;
}

static void *use_once(void *arg)
{
	raise(SIGUSR1);
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	usrcu_synchronize_timeout(domain, 1000);
	return arg;
}

static void *come_and_go(void *arg)
{
	while (!get(&quit)) {
		pthread_t threads[3];

		for (int i = 0; i < 3; i++)
			threads[i] = start(use_once, NULL);
		for (int i = 0; i < 3; i++)
			join(threads[i]);
	}
	return arg;
}

static void first_uses(void)
{
	struct sigaction action = { .sa_handler = use_in_handler };
	int bad = 0, nr = (int)scaled(SANITIZED ? 20 : 60);
	pthread_t threads[2];

	sigaction(SIGUSR1, &action, NULL);
	domain = new_domain(0);
	for (int i = 0; i < 64; i++)
		fresh[i] = new_domain(0);
	for (int i = 0; i < 2; i++)
		threads[i] = start(come_and_go, NULL);
	for (int i = 0; i < nr && bad < 3; i++) {
		pid_t pid = fork_timed();

		if (pid == 0) {
			raise(SIGUSR1);
			child_must(usrcu_synchronize(domain) == 0 && usrcu_destroy(domain) == 0);
			for (int j = 0; j < 64; j++)
				child_must(usrcu_synchronize(fresh[j]) == 0 && usrcu_destroy(fresh[j]) == 0);
			_exit(0);
		}
		bad += status_of(pid) != 0;
	}
	is_int(bad, 0, "S10: %s: %d forks beside threads that come and go, first uses in handlers", flavour->name, nr);
	set(&quit, 1);
	for (int i = 0; i < 2; i++)
		join(threads[i]);
	quit = 0;
	for (int i = 0; i < 64; i++)
		bad += usrcu_destroy(fresh[i]) != 0;
	is_int(usrcu_destroy(domain) + bad, 0, "S11: %s: destroy", flavour->name);
}

/* ---- what it costs ---- */

static uint64_t shortest_fork_ns(void)
{
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t began = tap_now_ns(), took;
		pid_t pid = fork_timed();

		if (pid == 0)
			_exit(0);
		took = tap_now_ns() - began;
		status_of(pid);
		if (took < shortest)
			shortest = took;
	}
	return shortest;
}

static void costs(void)
{
	enum { MANY = 5000 };
	static struct usrcu *many[MANY];
	uint64_t without = shortest_fork_ns(), with;
	int rc = 0;

	for (int i = 0; i < MANY; i++)
		many[i] = new_domain(0);
	with = shortest_fork_ns();
	diag("the shortest of 20 forks: %" PRIu64 " us, with %d domains %" PRIu64 " us", without / 1000, MANY, with / 1000);
	/* The domains' memory is itself copied; a sanitizer's is large. */
	ok(SANITIZED || with < 2 * without + 1000000, "S10: %s: thousands of domains do not slow a fork", flavour->name);
	for (int i = 0; i < MANY; i++)
		rc |= usrcu_destroy(many[i]);
	is_int(rc, 0, "S11: %s: destroy", flavour->name);
}

/* ---- who is named ---- */

static int wait_past_stall(struct usrcu *d)
{
	return usrcu_synchronize_timeout(d, UINT64_C(50000000));
}

static void names(void)
{
	struct usrcu_attr attr = { .stall_ns = 1000000, .report = report };
	char number[32];
	int token;
	pid_t pid;

	domain = new_domain_with(attr);
	token = usrcu_read_lock(domain);
	pid = fork_timed();
	if (pid == 0) {
		/* Another thread must wait; ThreadSanitizer allows one here on request only. */
		child_must(elsewhere(domain, wait_past_stall) == -ETIMEDOUT);
		snprintf(number, sizeof(number), "thread %d", (int)getpid());
		child_must(strstr(stall_text, number));
		usrcu_read_unlock(domain, token);
		child_must(usrcu_synchronize(domain) == 0);
		_exit(0);
	}
	is_int(status_of(pid), 0, "S10: %s: a child's thread is reported by its own number", flavour->name);
	usrcu_read_unlock(domain, token);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

static void tests(void)
{
	readers_elsewhere();
	callbacks();
	worker_forks();
	without_hooks("fork", fork);
	without_hooks("_Fork", _Fork);
	without_hooks("clone", raw_clone);
	vforked();
	forks_of_forks();
	any_moment();
	in_one_piece();
	first_uses();
	costs();
	names();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
