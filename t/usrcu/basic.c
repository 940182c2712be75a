/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu: sections, waits, cookies and domains, in few threads; the promises S1 to S6, S8 and S11.
 *
 * usage: usrcu_basic [membarrier|fences]
 */
#include "usrcu_test.h"

static struct usrcu *domain;

/* The flip is what makes two sections stand under two indexes; a timed-out wait leaves one behind. */
static void flip_under_a_reader(void)
{
	is_int(elsewhere(domain, synchronize_short), -ETIMEDOUT,
	       "S2: %s: a section delays a synchronize of another thread", flavour->name);
}

static void sections_nest(void)
{
	static const int orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 }, { 1, 2, 0 }, { 0, 2, 1 }, { 2, 0, 1 } };

	domain = new_domain(0);
	for (int i = 0; i < 6; i++) {
		int token[3];
		bool held = true, waited = true;

		token[0] = usrcu_read_lock(domain);
		flip_under_a_reader();
		token[1] = usrcu_read_lock(domain);
		token[2] = usrcu_read_lock(domain);
		ok(token[0] >= 0 && token[1] >= 0 && token[2] >= 0, "S1: %s: tokens are not negative", flavour->name);
		for (int j = 0; j < 3; j++) {
			held &= usrcu_read_lock_held(domain);
			waited &= usrcu_synchronize(domain) == -EDEADLK;
			usrcu_read_unlock(domain, token[orders[i][j]]);
			if (j < 2)
				waited &= elsewhere(domain, synchronize_short) == -ETIMEDOUT;
		}
		ok(held && waited, "S1: %s: nested sections end in order %d %d %d, the last one ends the wait",
		   flavour->name, orders[i][0], orders[i][1], orders[i][2]);
		ok(!usrcu_read_lock_held(domain) && synchronize_long(domain) == 0,
		   "S2: %s: ... and then synchronize succeeds", flavour->name);
	}
	/* More than a grace period under way: the section that began after it does not delay it. */
	int old = usrcu_read_lock(domain), young;
	usrcu_cookie_t cookie = usrcu_start_poll(domain);

	young = usrcu_read_lock(domain);
	ok(!usrcu_poll_state(domain, cookie), "S6: %s: a cookie is false inside a section", flavour->name);
	usrcu_read_unlock(domain, old);
	ok(usrcu_poll_state(domain, cookie), "S2: %s: a section that began later does not delay it", flavour->name);
	ok(!usrcu_poll_state(domain, usrcu_get_state(domain)), "S6: %s: ... but the next one", flavour->name);
	usrcu_read_unlock(domain, young);
	is_int(usrcu_destroy(domain), 0, "S11: %s: a domain without sections is destroyed", flavour->name);
}

static void *is_held(void *arg)
{
	return usrcu_read_lock_held(arg) ? arg : NULL;
}

static void read_lock_held(void)
{
	struct usrcu *other = new_domain(0);
	int token, handed;

	domain = new_domain(0);
	ok(!usrcu_read_lock_held(domain), "S5: %s: not held before", flavour->name);
	handed = usrcu_down_read(domain);
	ok(!usrcu_read_lock_held(domain), "S4: %s: not held by a handed-over section", flavour->name);
	usrcu_up_read(domain, handed);
	token = usrcu_read_lock(domain);
	ok(usrcu_read_lock_held(domain), "S5: %s: held inside", flavour->name);
	ok(!usrcu_read_lock_held(other), "S3: %s: not held in another domain", flavour->name);
	ok(!join(start(is_held, domain)), "S5: %s: not held by another thread", flavour->name);
	usrcu_read_unlock(domain, token);
	ok(!usrcu_read_lock_held(domain), "S5: %s: not held after", flavour->name);
	usrcu_destroy(domain);
	usrcu_destroy(other);
}

static void own_section(void)
{
	struct usrcu *other = new_domain(0);
	usrcu_cookie_t over, cookie;
	int token;

	domain = new_domain(0);
	over = usrcu_get_state(domain);
	usrcu_synchronize(domain);
	token = usrcu_read_lock(domain);
	cookie = usrcu_get_state(domain);
	is_int(usrcu_synchronize(domain), -EDEADLK, "S5: %s: synchronize in the own section", flavour->name);
	is_int(usrcu_synchronize_expedited(domain), -EDEADLK, "S5: %s: expedited", flavour->name);
	is_int(usrcu_synchronize_timeout(domain, 0), -EDEADLK, "S5: %s: timeout", flavour->name);
	is_int(usrcu_cond_synchronize(domain, cookie), -EDEADLK, "S5: %s: cond_synchronize", flavour->name);
	is_int(usrcu_cond_synchronize(domain, over), 0, "S6: %s: ... unless the cookie is over", flavour->name);
	is_int(usrcu_barrier(domain), -EDEADLK, "S5: %s: barrier", flavour->name);
	is_int(synchronize_long(other), 0, "S3: %s: another domain can be synchronized", flavour->name);
	usrcu_read_unlock(domain, token);
	is_int(usrcu_synchronize(domain), 0, "S5: %s: and this one after the section", flavour->name);
	usrcu_destroy(domain);
	usrcu_destroy(other);
}

static void nothing(struct usrcu_head *head)
{
	(void)head;
}

static void waits_for_readers(void)
{
	static int (*const calls[])(struct usrcu *) = { usrcu_synchronize, usrcu_synchronize_expedited,
							synchronize_long, usrcu_barrier };
	static const char *const names[] = { "synchronize", "expedited", "timeout", "barrier" };

	for (int i = 0; i < 4; i++) {
		struct usrcu *other = new_domain(0);
		struct usrcu_head head;
		struct reader r, second;
		struct waiter w;

		domain = new_domain(0);
		reader_start(&second, other);
		is_int(synchronize_short(domain), 0, "S3: %s: a reader of another domain delays nothing", flavour->name);
		reader_start(&r, domain);
		is_int(synchronize_short(domain), -ETIMEDOUT, "S2: %s: a reader delays", flavour->name);
		if (calls[i] == usrcu_barrier)
			usrcu_call(domain, &head, nothing);
		ok(waiter_start(&w, domain, calls[i]), "S2: %s: %s sleeps while there is a reader", flavour->name,
		   names[i]);
		is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: destroy with a reader", flavour->name);
		reader_stop(&r);
		is_int(waiter_join(&w), 0, "S2: %s: %s returns when the reader is gone", flavour->name, names[i]);
		reader_stop(&second);
		is_int(usrcu_destroy(domain), 0, "S11: %s: destroy without one", flavour->name);
		is_int(usrcu_destroy(other), 0, "S11: %s: and the other", flavour->name);
	}
}

static void two_waiters(void)
{
	struct waiter w[8];
	struct reader r;
	bool asleep = true;

	domain = new_domain(0);
	reader_start(&r, domain);
	for (int i = 0; i < 8; i++)
		asleep &= waiter_start(&w[i], domain, i % 2 ? usrcu_synchronize_expedited : usrcu_synchronize);
	ok(asleep, "S2: %s: eight threads wait for one reader", flavour->name);
	reader_stop(&r);
	for (int i = 0; i < 8; i++)
		asleep &= waiter_join(&w[i]) == 0;
	ok(asleep, "S2: %s: ... and all are woken", flavour->name);
	usrcu_destroy(domain);
}

/* ---- handed-over sections ---- */

static int tokens[8];

static void *down(void *arg)
{
	tokens[(intptr_t)arg] = usrcu_down_read(domain);
	return NULL;
}

static void *up(void *arg)
{
	usrcu_up_read(domain, tokens[(intptr_t)arg]);
	return NULL;
}

static void hand_over(void)
{
	int token;

	domain = new_domain(0);
	join(start(down, 0));
	is_int(synchronize_short(domain), -ETIMEDOUT, "S4: %s: a section outlives the thread that began it",
	       flavour->name);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: destroy with a handed-over section", flavour->name);
	join(start(up, 0));
	is_int(synchronize_long(domain), 0, "S4: %s: a thread that never read ends it", flavour->name);
	for (intptr_t i = 0; i < 8; i++) {
		join(start(down, (void *)i));
		synchronize_short(domain);
	}
	for (intptr_t i = 7; i > 0; i -= 2)
		join(start(up, (void *)i));
	for (intptr_t i = 0; i < 8; i += 2) {
		is_int(synchronize_short(domain), -ETIMEDOUT, "S4: %s: %d of eight are open", flavour->name,
		       (int)(8 - i) / 2);
		up((void *)i);
	}
	is_int(synchronize_long(domain), 0, "S4: %s: none is", flavour->name);
	token = usrcu_down_read(domain);
	ok(token >= 0, "S4: %s: the token is not negative", flavour->name);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S4: %s: one's own handed-over section is waited for",
	       flavour->name);
	usrcu_up_read(domain, token);
	is_int(synchronize_long(domain), 0, "S4: %s: ... until its end", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy after the last", flavour->name);
}

/* ---- cookies ---- */

static void cookies(void)
{
	struct reader r, s;
	usrcu_cookie_t before, inside;
	int polls;

	domain = new_domain(0);
	before = usrcu_get_state(domain);
	ok(usrcu_poll_state(domain, before), "S6: %s: one poll is enough where nobody reads", flavour->name);
	before = usrcu_get_state(domain);
	usrcu_synchronize(domain);
	ok(usrcu_poll_state(domain, before), "S6: %s: true after synchronize", flavour->name);
	reader_start(&r, domain);
	inside = usrcu_start_poll(domain);
	before = usrcu_get_state(domain);
	for (polls = 0; polls < 1000; polls++)
		if (usrcu_poll_state(domain, inside) || usrcu_poll_state(domain, before))
			break;
	is_int(polls, 1000, "S6: %s: never true while a section from before is open", flavour->name);
	reader_start(&s, domain);
	reader_stop(&r);
	ok(usrcu_poll_state(domain, inside), "S6: %s: polling alone moves it on, though a later reader is inside",
	   flavour->name);
	for (polls = 0; polls < 1000; polls++)
		if (usrcu_poll_state(domain, before))
			break;
	is_int(polls, 1000, "S6: %s: the cookie taken while it was under way needs the next", flavour->name);
	reader_stop(&s);
	ok(usrcu_poll_state(domain, before), "S6: %s: ... which polling alone ends, too", flavour->name);
	is_int(usrcu_cond_synchronize(domain, before), 0, "S6: %s: cond_synchronize of one that is over", flavour->name);
	ok(usrcu_poll_state(domain, inside), "S6: %s: once true, always true", flavour->name);
	before = usrcu_get_state(domain);
	is_int(usrcu_cond_synchronize(domain, before), 0, "S6: %s: cond_synchronize waits", flavour->name);
	ok(usrcu_poll_state(domain, before), "S6: %s: ... and then it is over", flavour->name);
	usrcu_destroy(domain);
}

/* ---- any thread, signal handlers, exit hooks ---- */

static int handler_result;

static void open_in_handler(int signal)
{
	int saved = errno;
	int token = usrcu_read_lock(domain), handed = usrcu_down_read(domain);

	(void)signal;
	handler_result = token >= 0 && handed >= 0 && usrcu_read_lock_held(domain);
	usrcu_up_read(domain, handed);
	usrcu_read_unlock(domain, token);
	errno = saved;
}

static void *raise_it(void *arg)
{
	int token = arg ? usrcu_read_lock(domain) : 0;

	handler_result = 0;
	raise(SIGUSR1);
	if (arg) {
		handler_result &= usrcu_read_lock_held(domain);
		usrcu_read_unlock(domain, token);
	}
	return NULL;
}

static pthread_key_t key;
static struct usrcu *exit_domain;
static int exit_tokens[2];

static void end_sections(void *unused)
{
	int token = usrcu_read_lock(exit_domain);

	(void)unused;
	usrcu_read_unlock(exit_domain, token);
	usrcu_read_unlock(exit_domain, exit_tokens[0]);
	usrcu_up_read(exit_domain, exit_tokens[1]);
}

static void *exit_with_sections(void *arg)
{
	pthread_setspecific(key, arg);
	exit_tokens[0] = usrcu_read_lock(exit_domain);
	exit_tokens[1] = usrcu_down_read(exit_domain);
	return NULL;
}

static void count_report(void *arg, const char *text)
{
	diag("%s", text);
	++*(int *)arg;
}

static void any_thread(void)
{
	struct sigaction action = { .sa_handler = open_in_handler };
	int (*lock)(struct usrcu *) = usrcu_read_lock, (*volatile called)(struct usrcu *) = lock;
	struct timespec nap = { 0, 1000000 };
	struct reader readers[64];
	int reports = 0, token;

	domain = new_domain(0);
	sigaction(SIGUSR1, &action, NULL);
	join(start(raise_it, NULL));
	ok(handler_result, "S1: %s: a thread's first section is in a signal handler", flavour->name);
	join(start(raise_it, domain));
	ok(handler_result, "S1: %s: a handler's sections inside the thread's", flavour->name);
	for (int i = 0; i < 64; i++)
		reader_start(&readers[i], domain);
	for (int i = 0; i < 63; i++)
		reader_stop(&readers[i]);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S1: %s: 64 threads read, the last is waited for", flavour->name);
	reader_stop(&readers[63]);
	token = called(domain);
	nanosleep(&nap, NULL);
	usrcu_read_unlock(domain, token);
	is_int(synchronize_long(domain), 0, "S1: %s: a section not inlined sleeps", flavour->name);
	usrcu_destroy(domain);

	exit_domain = new_domain_with((struct usrcu_attr){ .report = count_report, .report_arg = &reports });
	pthread_key_create(&key, end_sections);
	join(start(exit_with_sections, exit_domain));
	ok(synchronize_long(exit_domain) == 0 && reports == 0,
	   "S1: %s: a thread's own exit hook ends its sections, and begins some", flavour->name);
	pthread_key_delete(key);
	is_int(usrcu_destroy(exit_domain), 0, "S11: %s: and leaves nothing behind", flavour->name);
}

static void quiet_errno(void)
{
	struct usrcu_attr bad = { .size = 1 };
	struct usrcu *none;
	struct reader r;
	int token;

	domain = new_domain(0);
	reader_start(&r, domain);
	errno = 4711;
	usrcu_create(&none, &bad);
	usrcu_synchronize_timeout(domain, 1000000);
	usrcu_poll_state(domain, usrcu_start_poll(domain));
	token = usrcu_read_lock(domain);
	usrcu_synchronize(domain);
	usrcu_read_unlock(domain, token);
	usrcu_destroy(domain);
	is_int(errno, 4711, "S2: %s: errno stays as it was", flavour->name);
	reader_stop(&r);
	usrcu_destroy(domain);
}

static void tests(void)
{
	domain = new_domain(0);
	is_int(usrcu_uses_membarrier(domain), !flavour->flags && membarrier_works(),
	       "S8: %s: what was chosen can be asked", flavour->name);
	is_int(usrcu_synchronize_timeout(domain, 0), 0, "S2: %s: no time is enough where nobody reads", flavour->name);
	is_int(usrcu_synchronize_timeout(domain, UINT64_MAX), 0, "S2: %s: all of time is not too much", flavour->name);
	usrcu_destroy(domain);
	sections_nest();
	read_lock_held();
	own_section();
	waits_for_readers();
	two_waiters();
	hand_over();
	cookies();
	any_thread();
	quiet_errno();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
