/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu's read side one instruction at a time (S1, S2, S4, S6).
 *
 * The processor stops this thread after every instruction of a call.  At two chosen stops
 * something whole is done, mostly a grace period that replaces the object: in the trap's handler,
 * which to the stopped call is as good as any other thread, or in another thread where whose slot
 * it is matters.  Of a short call every pair of stops is tried, of a long one what time allows.
 * That reaches what preemption hits once in a thousand years: a stale index, a grace period that
 * begins and ends between the read of the index and the count.
 *
 * The object's versions: the updater publishes a new one, and the old one is dead when a grace
 * period that began after is over.  A section may never hold a dead version.
 */
#include "usrcu_step.h"

#if !CAN_STEP

int main(void)
{
	skip_all("single steps are done for x86-64 alone, without sanitizers");
}

#else

#define MOST_STOPS 20000
/* Stops for each pair of works of each call, the one that matters most there and the others; one costs up to 12 us. */
#define BUDGET(most) scaled((most) ? 30000 : 1500)

/* step_lease.c */
void lease_over(struct usrcu *domain);

enum work { NOTHING, REPLACE, FLIP, POLL, SECTIONS, OTHERS_SECTIONS };

static struct usrcu *domain;

/* The updater's; current and dead are atomic. */
static uint64_t current, dead;
static usrcu_cookie_t due;
static uint64_t retired;

/* Between the stepped thread and the helper. */
static uint32_t order, answered;        /* atomic: how many, and which */
static uint32_t quit;

/* The stepped thread's alone. */
static volatile int stop, at[2];
static volatile enum work work[2];

/* ---- what happens elsewhere ---- */

/* As many steps of grace periods as can be taken now; no waiting: this may be a handler. */
static void try_to_retire(void)
{
	for (int i = 0; i < 6 && retired != 0; i++) {
		if (!usrcu_poll_state(domain, due))
			continue;
		set(&dead, retired);
		retired = 0;
	}
}

static void replace(void)
{
	try_to_retire();
	if (retired != 0) {
		/* The last one is still read.  The next waits for both. */
		retired = add(&current, 1);
		due = usrcu_get_state(domain);
	} else {
		retired = add(&current, 1);
		due = usrcu_start_poll(domain);
	}
	try_to_retire();
}

/* A section makes a grace period flip; then that ends, if no other section is in its way. */
static void flip(void)
{
	int token = usrcu_read_lock(domain);
	usrcu_cookie_t cookie = usrcu_start_poll(domain);

	usrcu_read_unlock(domain, token);
	usrcu_poll_state(domain, cookie);
	try_to_retire();
}

static void sections(void)
{
	int token = usrcu_read_lock(domain), handed = usrcu_down_read(domain);
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);
	struct usrcu_handed_ctr *lent = usrcu_down_read_fast(domain);

	usrcu_poll_state(domain, usrcu_get_state(domain));
	usrcu_up_read(domain, handed);
	usrcu_read_unlock(domain, token);
	usrcu_up_read_fast(domain, lent);
	usrcu_read_unlock_fast(domain, ctr);
}

static void *help(void *unused)
{
	uint32_t seen = 0;

	while (!get(&quit)) {
		if (get(&order) == seen) {
			sched_yield();
			continue;
		}
		seen = get(&order);
		sections();
		flip();
		set(&answered, seen);
	}
	return unused;
}

static void do_it(enum work what)
{
	uint32_t mine;

	/* The stopped thread may have had the grace period to itself: it has been stopped for longer than that lasts. */
	if (what != NOTHING)
		lease_over(domain);
	switch (what) {
	case REPLACE:
		replace();
		break;
	case FLIP:
		flip();
		break;
	case POLL:
		usrcu_poll_state(domain, usrcu_get_state(domain));
		break;
	case SECTIONS:
		sections();
		break;
	case OTHERS_SECTIONS:
		mine = add(&order, 1) + 1;
		while (get(&answered) != mine)
			sched_yield();
		break;
	default:
		break;
	}
}

/* ---- steps ---- */

static void on_trap(int signal, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)signal;
	(void)info;
	for (int i = 0; i < 2; i++)
		if (stop == at[i])
			do_it(work[i]);
	/* After the last one it may run on; without any its instructions are counted. */
	if (stop++ >= at[1] && at[1] >= 0)
		steps_end(context);
	errno = saved;
}

static void begin(int first, int second, enum work a, enum work b)
{
	stop = 0;
	at[0] = first;
	at[1] = second;
	work[0] = a;
	work[1] = b;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* ---- the calls ---- */

static int (*const volatile lock_called)(struct usrcu *) = usrcu_read_lock;
static void (*const volatile unlock_called)(struct usrcu *, int) = usrcu_read_unlock;

/* The version that a section sees, and whether it lives as long as the section. */
static bool holds(uint64_t version)
{
	return get(&dead) < version;
}

static bool lock_at(bool inlined, int first, int second, enum work a, enum work b)
{
	uint64_t version;
	bool good;
	int token;

	begin(first, second, a, b);
	step(true);
	token = inlined ? usrcu_read_lock(domain) : lock_called(domain);
	version = get(&current);
	step(false);
	good = holds(version);
	/* It is counted: nothing that happens now kills it. */
	do_it(REPLACE);
	do_it(REPLACE);
	do_it(FLIP);
	good &= holds(version);
	begin(first, second, a, b);
	step(true);
	if (inlined)
		usrcu_read_unlock(domain, token);
	else
		unlock_called(domain, token);
	step(false);
	/* It is over: nothing is left that would hold a grace period up. */
	return good && usrcu_synchronize_timeout(domain, LONG_NS) == 0 && !usrcu_read_lock_held(domain);
}

static struct usrcu_ctr *(*const volatile lock_fast_called)(struct usrcu *) = usrcu_read_lock_fast;
static void (*const volatile unlock_fast_called)(struct usrcu *, struct usrcu_ctr *) = usrcu_read_unlock_fast;

static bool lock_fast_at(bool inlined, int first, int second, enum work a, enum work b)
{
	struct usrcu_ctr *ctr;
	uint64_t version;
	bool good;

	begin(first, second, a, b);
	step(true);
	ctr = inlined ? usrcu_read_lock_fast(domain) : lock_fast_called(domain);
	version = get(&current);
	step(false);
	good = holds(version);
	do_it(REPLACE);
	do_it(REPLACE);
	do_it(FLIP);
	good &= holds(version);
	begin(first, second, a, b);
	step(true);
	if (inlined)
		usrcu_read_unlock_fast(domain, ctr);
	else
		unlock_fast_called(domain, ctr);
	step(false);
	return good && usrcu_synchronize_timeout(domain, LONG_NS) == 0 && !usrcu_read_lock_held(domain);
}

static bool up_fast_at(bool unused, int first, int second, enum work a, enum work b)
{
	struct usrcu_handed_ctr *ctr;
	uint64_t version;
	bool good;

	(void)unused;
	begin(first, second, a, b);
	step(true);
	ctr = usrcu_down_read_fast(domain);
	version = get(&current);
	step(false);
	do_it(REPLACE);
	do_it(REPLACE);
	good = holds(version) && usrcu_synchronize_timeout(domain, 1) == -ETIMEDOUT;
	begin(first, second, a, b);
	step(true);
	usrcu_up_read_fast(domain, ctr);
	step(false);
	return good && usrcu_synchronize_timeout(domain, LONG_NS) == 0;
}

static bool up_at(bool unused, int first, int second, enum work a, enum work b)
{
	uint64_t version;
	bool good;
	int token;

	(void)unused;
	begin(first, second, a, b);
	step(true);
	token = usrcu_down_read(domain);
	version = get(&current);
	step(false);
	do_it(REPLACE);
	do_it(REPLACE);
	good = holds(version) && usrcu_synchronize_timeout(domain, 1) == -ETIMEDOUT;
	begin(first, second, a, b);
	step(true);
	usrcu_up_read(domain, token);
	step(false);
	return good && usrcu_synchronize_timeout(domain, LONG_NS) == 0;
}

/* This thread polls while in a section of its own: its cookie may not come true. */
static bool poll_at(bool unused, int first, int second, enum work a, enum work b)
{
	int token = usrcu_read_lock(domain);
	uint64_t version = get(&current);
	usrcu_cookie_t cookie = usrcu_get_state(domain);
	bool over, good;

	(void)unused;
	begin(first, second, a, b);
	step(true);
	over = usrcu_poll_state(domain, cookie);
	step(false);
	good = !over && holds(version) && !usrcu_poll_state(domain, cookie);
	usrcu_read_unlock(domain, token);
	cookie = usrcu_get_state(domain);
	begin(first, second, a, b);
	step(true);
	usrcu_poll_state(domain, cookie);
	step(false);
	return good && usrcu_synchronize_timeout(domain, LONG_NS) == 0 && usrcu_poll_state(domain, cookie);
}

/*
 * The same with a handed-over section: it is one of two counts that are summed, and a section
 * that begins and ends between the sums must not stand for its end.
 */
static bool poll_handed_at(bool unused, int first, int second, enum work a, enum work b)
{
	int token = usrcu_down_read(domain);
	uint64_t version = get(&current);
	usrcu_cookie_t cookie = usrcu_get_state(domain);
	bool over;

	(void)unused;
	begin(first, second, a, b);
	step(true);
	over = usrcu_poll_state(domain, cookie);
	step(false);
	over |= usrcu_poll_state(domain, cookie) || !holds(version);
	usrcu_up_read(domain, token);
	return !over && usrcu_synchronize_timeout(domain, LONG_NS) == 0;
}

/*
 * Stopped inside its unlock, the reader that a sleeper waits for is overtaken by someone who ends
 * the grace period: then nobody may be left asleep.
 */
static bool wake_at(int first)
{
	struct waiter w;
	int token = usrcu_read_lock(domain);

	if (!waiter_start(&w, domain, usrcu_synchronize))
		return false;
	begin(first, first, POLL, NOTHING);
	step(true);
	usrcu_read_unlock(domain, token);
	step(false);
	return waiter_join(&w) == 0;
}

static bool wake_fast_at(int first)
{
	struct waiter w;
	struct usrcu_ctr *ctr = usrcu_read_lock_fast(domain);

	if (!waiter_start(&w, domain, usrcu_synchronize))
		return false;
	begin(first, first, POLL, NOTHING);
	step(true);
	usrcu_read_unlock_fast(domain, ctr);
	step(false);
	return waiter_join(&w) == 0;
}

static void wake(const char *kind, bool (*end_at)(int first))
{
	int most, bad = 0;

	begin(-1, -1, NOTHING, NOTHING);
	step(true);
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	step(false);
	most = stop;
	for (int first = 0; first <= most && bad == 0; first++)
		bad += !end_at(first);
	is_int(bad, 0, "S2: %s: a poll at each of %d instructions of %s that ends a wait", flavour->name, most, kind);
}

static void walk(const char *claim, bool (*call)(bool, int, int, enum work, enum work), bool inlined,
		 enum work first_work)
{
	static const enum work pairs[][2] = {
		{ REPLACE, REPLACE }, { FLIP, REPLACE }, { REPLACE, FLIP }, { SECTIONS, REPLACE },
		{ REPLACE, SECTIONS }, { OTHERS_SECTIONS, REPLACE },
	};
	int most, nr_pairs, runs = 0, bad = 0;
	struct rng rng;

	rng_init(&rng, 1);
	call(inlined, -1, -1, NOTHING, NOTHING); /* binds the symbols, claims the slot */
	call(inlined, -1, -1, NOTHING, NOTHING);
	most = stop;
	if (most < 4 || most > MOST_STOPS) {
		ok(false, "%s: %s: %d instructions", claim, flavour->name, most);
		return;
	}
	nr_pairs = (most + 1) * (most + 2) / 2;
	for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p++) {
		/* A hand-shake with another thread costs as much as many stops. */
		bool matters = pairs[p][0] == first_work && pairs[p][1] == REPLACE;
		int afford = (int)(BUDGET(matters) / (uint64_t)(most + (pairs[p][0] == OTHERS_SECTIONS ? 1000 : 0)));

		if (nr_pairs <= afford) {
			for (int first = 0; first <= most; first++)
				for (int second = first; second <= most; second++, runs++)
					bad += !call(inlined, first, second, pairs[p][0],
						     second > first ? pairs[p][1] : NOTHING);
			continue;
		}
		/* The first evenly, the second near it. */
		for (int i = 0; i < afford; i++, runs++) {
			int first = (int)((uint64_t)i * (uint64_t)most / (uint64_t)afford);
			int second = first + 1 + (int)rng_below(&rng, (uint32_t)(most - first < 40 ? most - first : 40));

			bad += !call(inlined, first, second, pairs[p][0], pairs[p][1]);
		}
	}
	is_int(bad, 0, "%s: %s: %d instructions, interrupted in %d ways", claim, flavour->name, most, runs);
}

static void tests(void)
{
	pthread_t helper;

	domain = new_domain(0);
	current = 1;
	dead = retired = 0;
	order = answered = quit = 0;
	/* A first use is a path of its own. */
	sections();
	unlock_called(domain, lock_called(domain));
	helper = start(help, NULL);
	walk("S1, S2: lock and unlock inlined", lock_at, true, FLIP);
	walk("S1, S2: lock and unlock called", lock_at, false, FLIP);
	walk("S13: lock_fast and unlock_fast inlined", lock_fast_at, true, FLIP);
	walk("S13: lock_fast and unlock_fast called", lock_fast_at, false, FLIP);
	walk("S4: down_read and up_read", up_at, true, FLIP);
	walk("S13: down_read_fast and up_read_fast", up_fast_at, true, FLIP);
	walk("S6: poll_state", poll_at, true, REPLACE);
	walk("S4: poll_state beside a handed-over section", poll_handed_at, true, SECTIONS);
	wake("an unlock", wake_at);
	wake("a fast unlock", wake_fast_at);
	set(&quit, 1);
	join(helper);
	ok(get(&dead) > 100, "S2: %s: grace periods did pass meanwhile", flavour->name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", flavour->name);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	for_each_flavour(argc, argv, tests);
	return done_testing();
}

#endif
