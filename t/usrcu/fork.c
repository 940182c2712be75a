/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu and fork (S10): the child has the forking thread's sections and the handed-over ones, not
 * those of the threads that are gone, and it can go on with everything.
 *
 * A child tells the line at which it went wrong by its exit status; it writes nothing.
 */
#include "usrcu_test.h"

#define NR_READERS 4

/* In the child: the watchdog is gone, so that the kernel ends a child that hangs. */
#define child_must(condition) ((condition) ? (void)0 : child_fails(__LINE__, #condition))

static struct usrcu *domain, *worker;
static uint32_t quit, nr_ran;
static pid_t parent;

static void child_fails(int line, const char *what)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "# child: line %d: %s\n", line, what);

	_exit(write(STDERR_FILENO, text, (size_t)length) > 0 ? 1 : 2);
}

static pid_t fork_timed(void)
{
	pid_t pid = fork();

	if (pid < 0)
		bail_out("fork: %s", strerror(errno));
	if (pid == 0)
		alarm(20);
	return pid;
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	if (status != 0)
		diag("child: status %d, signal %d", WEXITSTATUS(status), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return status;
}

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

/*
 * ThreadSanitizer would end a child that starts threads.  And it takes the locks of two domains for
 * a cycle, when a fork takes them in one order and, both used again, another in the other: it does
 * not see that the registry's lock is held around both.
 */
const char *__tsan_default_options(void) __attribute__((visibility("default")));
const char *__tsan_default_options(void)
{
	return "die_after_fork=0:detect_deadlocks=0";
}

static void tests(void)
{
	readers_elsewhere();
	callbacks();
	any_moment();
	names();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
