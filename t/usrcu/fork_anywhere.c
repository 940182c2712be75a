/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A signal handler forks, whatever call of the library it has interrupted (S10): a first use,
 * synchronize and its sleep, usrcu_call, barrier.  The child uses the library in the handler, then
 * goes on with the interrupted call to its end, then with all the rest.
 *
 * The processor stops the thread after each instruction of the call; at one stop after the other
 * the handler forks.
 *
 * usage: fork_anywhere [membarrier|fences]
 */
#include "usrcu_step.h"

static struct usrcu *domain, *other;
static struct usrcu_head heads[2], in_handler;
static uint32_t nr_ran;
static volatile int stop, at;           /* the stepped thread's */
static volatile pid_t forked;

static void count(struct usrcu_head *head)
{
	(void)head;
	add(&nr_ran, 1);
}

static void fork_here(void)
{
	int saved = errno, rc;

	forked = fork_timed();
	if (forked == 0) {
		rc = usrcu_read_lock_held(domain) ? -EDEADLK : 0; /* a first use may have been interrupted in its section */
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
		usrcu_read_unlock(other, usrcu_read_lock(other));
		child_must(usrcu_call(domain, &in_handler, count) == 0);
		child_must(usrcu_synchronize(domain) == rc && usrcu_synchronize(other) == 0);
	}
	errno = saved;
}

/* After the call, in the child: nothing is lost, nothing runs twice. */
static void go_on_in_child(uint32_t nr_queued)
{
	struct usrcu_head head;

	child_must(usrcu_synchronize(domain) == 0 && usrcu_barrier(domain) == 0);
	child_must(nr_ran == nr_queued + 1);
	child_must(usrcu_call(domain, &head, count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == nr_queued + 2);
	child_must(usrcu_destroy(domain) == 0 && usrcu_destroy(other) == 0);
	_exit(0);
}

/* ---- the calls: how many callbacks have been queued after it ---- */

static uint32_t first_use(void)
{
	int token = usrcu_read_lock(domain);

	usrcu_read_unlock(domain, token);
	return 0;
}

static uint32_t synchronize(void)
{
	usrcu_synchronize(domain);
	return 0;
}

static uint32_t poll(void)
{
	usrcu_poll_state(domain, usrcu_start_poll(domain));
	return 0;
}

static uint32_t call(void)
{
	usrcu_call(domain, &heads[0], count);
	return 1;
}

static uint32_t barrier(void)
{
	usrcu_call(domain, &heads[0], count);
	usrcu_call(domain, &heads[1], count);
	usrcu_barrier(domain);
	return 2;
}

static const struct {
	const char *name;
	uint32_t (*run)(void);
} calls[] = {
	{ "a thread's first use", first_use }, { "synchronize", synchronize }, { "poll_state", poll },
	{ "usrcu_call", call }, { "barrier", barrier },
};

static struct gate forked_one;

#if CAN_STEP

static struct gate stopped, go_on;
static bool stands_still;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (stop++ != at)
		return;
	if (stands_still) {
		gate_open(&stopped);
		gate_wait(&go_on);
	} else {
		fork_here();
	}
	steps_end(context);
}

/* In a thread of its own, for the first use. */
static void *run_stepped(void *arg)
{
	uint32_t (*run)(void) = calls[*(size_t *)arg].run, nr_queued;

	if (run != first_use)
		first_use();
	nr_ran = 0;
	forked = -1;
	stop = 0;
	step(true);
	nr_queued = run();
	step(false);
	if (forked == 0)
		go_on_in_child(nr_queued);
	return NULL;
}

static void at_each_instruction(size_t i)
{
	int nr = (int)scaled(40), most, bad = 0;

	at = -1;
	join(start(run_stepped, &i)); /* binds the symbols */
	usrcu_barrier(domain);
	join(start(run_stepped, &i));
	usrcu_barrier(domain);
	most = stop;
	for (int n = 0; n < nr && bad < 3; n++) {
		at = n * most / nr;
		join(start(run_stepped, &i));
		bad += usrcu_barrier(domain) != 0 || (forked > 0 && status_of(forked) != 0);
	}
	ok(bad == 0 && most > 20, "S10: %s: a handler forks at one of %d instructions of %s, %d times", flavour->name, most,
	   calls[i].name, nr);
}

static void *run_barrier(void *unused)
{
	first_use();
	nr_ran = 0;
	usrcu_call(domain, &heads[0], count);
	usrcu_call(domain, &heads[1], count);
	stop = 0;
	step(true);
	usrcu_barrier(domain);
	step(false);
	gate_open(&stopped); /* where there were fewer instructions */
	return unused;
}

static void *fork_beside(void *unused)
{
	struct usrcu_head head;
	uint32_t nr;
	pid_t pid = fork_timed();

	if (pid == 0) {
		/* The other thread may have been in one of the two. */
		child_must(usrcu_barrier(domain) == 0);
		nr = nr_ran;
		child_must(nr == 1 || nr == 2);
		child_must(usrcu_call(domain, &head, count) == 0 && usrcu_barrier(domain) == 0 && nr_ran == nr + 1);
		child_must(usrcu_destroy(domain) == 0);
		_exit(0);
	}
	forked = pid;
	gate_open(&forked_one);
	return unused;
}

/* Another thread forks while this one stands still: in the midst of a change of shared state the fork waits for it. */
static void beside_each_instruction(void)
{
	/* One instruction may matter: MIRROR_TEST_SCALE=3 takes all.  They are the same whatever the flavour. */
	int nr = (int)scaled(flavour == flavours ? 600 : 50), most, bad = 0;
	pthread_t runner, forker;

	stands_still = true;
	for (int i = 0; i < 2; i++) {
		at = -1;
		join(start(run_barrier, NULL));
	}
	most = stop;
	for (int n = 0; n < nr && bad < 3; n++) {
		at = n * most / nr;
		gate_init(&stopped);
		gate_init(&go_on);
		gate_init(&forked_one);
		runner = start(run_barrier, NULL);
		gate_wait(&stopped);
		forker = start(fork_beside, NULL);
		gate_wait_ms(&forked_one, 5); /* or it waits for the runner */
		gate_open(&go_on);
		join(runner);
		join(forker);
		bad += status_of(forked) != 0 || nr_ran != 2;
	}
	stands_still = false;
	ok(bad == 0 && most > 20, "S7: %s: a fork beside a thread at one of %d instructions of barrier, %d times: no callback "
	   "is lost", flavour->name, most, nr);
}

#else

static void beside_each_instruction(void)
{
	skip(1, "single steps through barrier are done for x86-64 alone, without sanitizers");
}

static void at_each_instruction(size_t i)
{
	skip(1, "single steps through %s are done for x86-64 alone, without sanitizers", calls[i].name);
}

#endif

/* ---- the sleep ---- */

static void on_signal(int signal)
{
	(void)signal;
	fork_here();
	if (forked > 0)
		gate_open(&forked_one); /* the thread sleeps in the library, and in nothing of this gate */
}

static int wait_in_both(struct usrcu *d)
{
	int rc = usrcu_synchronize(d);

	if (forked == 0) {
		child_must(rc == 0); /* the reader does not exist here */
		go_on_in_child(0);
	}
	return rc;
}

static int barrier_in_both(struct usrcu *d)
{
	int rc = usrcu_barrier(d);

	if (forked == 0) {
		child_must(rc == 0);
		go_on_in_child(1);
	}
	return rc;
}

static void in_its_sleep(const char *name, int (*wait)(struct usrcu *d))
{
	struct waiter w;
	struct reader r;

	gate_init(&forked_one);
	nr_ran = 0;
	forked = -1;
	reader_start(&r, domain);
	if (wait == barrier_in_both)
		usrcu_call(domain, &heads[0], count);
	ok(waiter_start(&w, domain, wait), "S2: %s: %s sleeps", flavour->name, name);
	pthread_kill(w.thread, SIGUSR1);
	gate_wait(&forked_one);
	is_int(status_of(forked), 0, "S10: %s: a handler that interrupts its sleep forks: the child goes on", flavour->name);
	ok(!gate_wait_ms(&w.ended, 1), "S10: %s: ... the parent sleeps on", flavour->name);
	reader_stop(&r);
	is_int(waiter_join(&w), 0, "S10: %s: ... until the reader ends", flavour->name);
}

static void tests(void)
{
	domain = new_domain(0);
	other = new_domain(0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		at_each_instruction(i);
	beside_each_instruction();
	in_its_sleep("synchronize", wait_in_both);
	in_its_sleep("barrier", barrier_in_both);
	is_int(usrcu_destroy(domain) | usrcu_destroy(other), 0, "S11: %s: destroy", flavour->name);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
#if CAN_STEP
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &trap, NULL);
#endif
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
