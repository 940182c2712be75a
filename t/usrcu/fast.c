/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu's fast pairs keep what the ordinary ones promise, alone and mixed with them (S1 to S5, S8 to S11, S13).
 *
 * usage: usrcu_fast [membarrier|fences]
 */
#include "usrcu_test.h"

static struct usrcu *domain;

/* ---- nesting ---- */

/* A section of either kind. */
struct section {
	bool fast;
	int token;
	struct usrcu_ctr *ctr;
};

static void begin(struct section *s, bool fast)
{
	s->fast = fast;
	if (fast)
		s->ctr = usrcu_read_lock_fast(domain);
	else
		s->token = usrcu_read_lock(domain);
}

static void end(const struct section *s)
{
	if (s->fast)
		usrcu_read_unlock_fast(domain, s->ctr);
	else
		usrcu_read_unlock(domain, s->token);
}

/* Three sections, of which @kinds says what is fast; the flip makes the first one stand under another index. */
static void nest(unsigned kinds)
{
	static const int orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 }, { 1, 2, 0 }, { 0, 2, 1 }, { 2, 0, 1 } };
	int bad = 0;

	for (int i = 0; i < 6; i++) {
		struct section s[3];

		for (int j = 0; j < 3; j++) {
			begin(&s[j], kinds & 1u << j);
			if (j == 0)
				bad += elsewhere(domain, synchronize_short) != -ETIMEDOUT;
		}
		for (int j = 0; j < 3; j++) {
			bad += !usrcu_read_lock_held(domain) || usrcu_synchronize(domain) != -EDEADLK;
			end(&s[orders[i][j]]);
			if (j < 2)
				bad += elsewhere(domain, synchronize_short) != -ETIMEDOUT;
		}
		bad += usrcu_read_lock_held(domain) || synchronize_long(domain) != 0;
	}
	is_int(bad, 0, "S13: %s: sections nest and end in any order, %s, %s, %s", flavour->name,
	       kinds & 1 ? "fast" : "ordinary", kinds & 2 ? "fast" : "ordinary", kinds & 4 ? "fast" : "ordinary");
}

static void nesting(void)
{
	enum { DEEP = 10000 };
	static struct section s[DEEP];

	domain = new_domain(0);
	for (unsigned kinds = 1; kinds < 8; kinds++)
		nest(kinds);
	for (int i = 0; i < DEEP; i++)
		begin(&s[i], i % 3);
	for (int i = 0; i < DEEP - 1; i++)
		end(&s[i]);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: the last of %d is open", flavour->name, DEEP);
	end(&s[DEEP - 1]);
	is_int(usrcu_destroy(domain), 0, "S11: %s: none is", flavour->name);
}

/* ---- grace periods ---- */

struct fast_reader {
	struct gate inside, leave;
};

static void *read_fast(void *arg)
{
	struct fast_reader *r = arg;
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	gate_open(&r->inside);
	gate_wait(&r->leave);
	usrcu_read_unlock_fast(domain, ctr);
	return NULL;
}

/* A sleeper that waits for a fast section alone is woken by its end, under either index. */
static void waits(void)
{
	struct usrcu *other = new_domain(0);
	struct fast_reader r;
	struct waiter w;
	pthread_t thread;
	usrcu_cookie_t cookie;
	int rc = 0;

	domain = new_domain(0);
	for (int i = 0; i < 4; i++) {
		gate_init(&r.inside);
		gate_init(&r.leave);
		thread = start(read_fast, &r);
		gate_wait(&r.inside);
		cookie = usrcu_get_state(domain);
		rc |= synchronize_short(other);
		ok(waiter_start(&w, domain, usrcu_synchronize) && !usrcu_poll_state(domain, cookie),
		   "S2: %s: synchronize sleeps while there is a fast section", flavour->name);
		gate_open(&r.leave);
		is_int(waiter_join(&w), 0, "S2: %s: its end wakes", flavour->name);
		join(thread);
		ok(usrcu_poll_state(domain, cookie), "S6: %s: the cookie is true", flavour->name);
	}
	is_int(rc, 0, "S3: %s: other domains are not delayed", flavour->name);
	is_int(usrcu_destroy(domain) | usrcu_destroy(other), 0, "S11: %s: destroy", flavour->name);
}

/* While a sleeper waits for an old section, sections of the other index come and go, and wake nobody for good. */
static void beside_a_sleeper(void)
{
	struct fast_reader r;
	struct waiter w;
	pthread_t thread;

	domain = new_domain(0);
	gate_init(&r.inside);
	gate_init(&r.leave);
	thread = start(read_fast, &r);
	gate_wait(&r.inside);
	ok(waiter_start(&w, domain, usrcu_synchronize), "S2: %s: a sleeper", flavour->name);
	for (int i = 0; i < 1000; i++) {
		usrcu_read_unlock_fast(domain, usrcu_read_lock_fast(domain));
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
		usrcu_up_read_fast(domain, usrcu_down_read_fast(domain));
	}
	ok(!gate_wait_ms(&w.ended, 1), "S2: %s: later sections do not end its wait", flavour->name);
	gate_open(&r.leave);
	is_int(waiter_join(&w), 0, "S2: %s: the old one does", flavour->name);
	join(thread);
	usrcu_destroy(domain);
}

/* ---- handing over ---- */

static struct usrcu_handed_ctr *handed[8];

static void *down(void *arg)
{
	handed[(intptr_t)arg] = usrcu_down_read_fast(domain);
	return NULL;
}

static void *up(void *arg)
{
	usrcu_up_read_fast(domain, handed[(intptr_t)arg]);
	return NULL;
}

static void handing_over(void)
{
	struct waiter w;

	domain = new_domain(0);
	for (intptr_t i = 0; i < 8; i++) {
		/* Four in threads that are gone, four of this one. */
		if (i % 2)
			down((void *)i);
		else
			join(start(down, (void *)i));
		synchronize_short(domain);
	}
	ok(!usrcu_read_lock_held(domain), "S4: %s: handed-over sections are no thread's", flavour->name);
	is_int(usrcu_destroy(domain), -EBUSY, "S11: %s: destroy with eight of them", flavour->name);
	for (intptr_t i = 7; i > 0; i--) {
		if (i % 4 < 2)
			up((void *)i);
		else
			join(start(up, (void *)i));
		is_int(synchronize_short(domain), -ETIMEDOUT, "S4: %s: %d are open", flavour->name, (int)i);
	}
	ok(waiter_start(&w, domain, usrcu_synchronize), "S4: %s: synchronize sleeps", flavour->name);
	join(start(up, 0));
	is_int(waiter_join(&w), 0, "S4: %s: the end of the last wakes it", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

/* ---- handlers, calls, exits, forks ---- */

static int handler_result;

static void open_in_handler(int signal)
{
	int saved = errno;
	struct usrcu_ctr *outer = usrcu_read_lock_fast(domain), *inner = usrcu_read_lock_fast(domain);
	struct usrcu_handed_ctr *lent = usrcu_down_read_fast(domain);

	(void)signal;
	handler_result = usrcu_read_lock_held(domain);
	usrcu_read_unlock_fast(domain, outer);
	usrcu_up_read_fast(domain, lent);
	handler_result &= usrcu_read_lock_held(domain);
	usrcu_read_unlock_fast(domain, inner);
	errno = saved;
}

static void *raise_it(void *arg)
{
	handler_result = 0;
	raise(SIGUSR1);
	return arg;
}

static void count_report(void *arg, const char *text)
{
	diag("%s", text);
	++*(int *)arg;
}

static pid_t exited;

static void *exit_inside(void *arg)
{
	exited = gettid();
	(void)usrcu_read_lock_fast(domain);
	return arg;
}

static void *read_once(void *arg)
{
	usrcu_read_unlock_fast(domain, usrcu_read_lock_fast(domain));
	return arg;
}

static void hosts(void)
{
	struct usrcu_ctr *(*volatile lock)(struct usrcu *) = usrcu_read_lock_fast, *ctr;
	void (*volatile unlock)(struct usrcu *, struct usrcu_ctr *) = usrcu_read_unlock_fast;
	struct usrcu_handed_ctr *(*volatile lend)(struct usrcu *) = usrcu_down_read_fast, *lent;
	void (*volatile give_back)(struct usrcu *, struct usrcu_handed_ctr *) = usrcu_up_read_fast;
	struct sigaction action = { .sa_handler = open_in_handler };
	int reports = 0;
	pid_t child;

	domain = new_domain_with((struct usrcu_attr){ .report = count_report, .report_arg = &reports });
	sigaction(SIGUSR1, &action, NULL);
	join(start(raise_it, NULL));
	ok(handler_result && synchronize_long(domain) == 0, "S1: %s: a thread's first section is in a handler",
	   flavour->name);

	ctr = lock(domain);
	lent = lend(domain);
	is_int(usrcu_synchronize(domain), -EDEADLK, "S5: %s: called, not inlined: a section is open", flavour->name);
	unlock(domain, ctr);
	is_int(synchronize_short(domain), -ETIMEDOUT, "S4: %s: ... and a handed-over one", flavour->name);
	/* What was called may end what was inlined, and the other way round. */
	usrcu_up_read_fast(domain, lent);
	unlock(domain, usrcu_read_lock_fast(domain));
	give_back(domain, usrcu_down_read_fast(domain));
	usrcu_read_unlock_fast(domain, lock(domain));
	is_int(synchronize_long(domain), 0, "S13: %s: ... and none is left", flavour->name);

	ctr = usrcu_read_lock_fast(domain);
	lent = usrcu_down_read_fast(domain);
	child = fork_timed();
	if (child == 0) {
		child_must(usrcu_read_lock_held(domain) && usrcu_synchronize(domain) == -EDEADLK);
		usrcu_read_unlock_fast(domain, ctr);
		child_must(!usrcu_read_lock_held(domain) && synchronize_short(domain) == -ETIMEDOUT);
		usrcu_up_read_fast(domain, lent);
		child_must(synchronize_long(domain) == 0);
		usrcu_read_unlock_fast(domain, usrcu_read_lock_fast(domain));
		child_must(usrcu_destroy(domain) == 0);
		_exit(0);
	}
	is_int(status_of(child), 0, "S10: %s: the child ends the sections of the thread that forked", flavour->name);
	ok(usrcu_read_lock_held(domain), "S10: %s: ... and the parent has its own", flavour->name);
	usrcu_up_read_fast(domain, lent);
	usrcu_read_unlock_fast(domain, ctr);

	join(start(exit_inside, NULL));
	thread_gone(exited);
	for (int i = 0; i < 100; i++)
		join(start(read_once, NULL));
	is_int(synchronize_short(domain), -ETIMEDOUT, "S9: %s: a thread that ended inside a fast section", flavour->name);
	is_int(reports, 1, "S9: %s: ... is reported, once", flavour->name);
}

static void tests(void)
{
	nesting();
	waits();
	beside_a_sleeper();
	handing_over();
	hosts();
}

int main(int argc, char **argv)
{
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
