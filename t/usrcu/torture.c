/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu under everything at once, in the manner of Linux's rcutorture (S1 to S7).
 *
 * Each domain has an updater that replaces one element after another.  A replaced element goes
 * down a pipe: it ages by one for each grace period, and is used again at the pipe's end.  A
 * section that saw an element before its replacement holds it below age 2; a reader that sees
 * more, or an element used again under its eyes, has found a grace period that was too short.
 * Plain fields say the same to ThreadSanitizer.
 *
 * Readers run in every domain: by the ordinary and by the fast pairs, nested, handed over, interrupted by a timer signal whose handler
 * reads and dawdles, in threads that live long and threads that come and go.
 */
#include "usrcu_test.h"

#define NR_DOMAINS  3
#define NR_READERS  3
#define NR_ELEMENTS 64
#define NR_FLOOD    500
#define NR_LETTERS  4
#define PIPE_END    8
#define STUCK_NS    UINT64_C(15000000000)

enum how { SYNCHRONIZE, EXPEDITED, TIMEOUT, POLL, COND, CALL, BARRIER, NR_HOW };
static const char *const how_names[NR_HOW] = { "synchronize", "expedited", "timeout", "poll", "cond", "call", "barrier" };

struct element {
	struct usrcu_head head;         /* first */
	struct element *next;           /* the updater's: in the pipe, or free */
	struct torture *torture;
	uint32_t age;                   /* atomic: 0 while current; + 1 for each grace period since */
	uint64_t life;                  /* plain: changes when it is used again */
};

struct flood {
	struct usrcu_head head;         /* first */
	struct torture *torture;
	uint32_t state;                 /* atomic: 1 while queued */
};

/* A handed-over section under way, for whoever takes it. */
struct letter {
	struct element *element;
	uint64_t life;
	struct usrcu_handed_ctr *ctr;   /* NULL: an ordinary one */
	int token;
};

struct torture {
	const char *name;
	unsigned flags;
	struct usrcu *domain;
	struct element *current;        /* atomic; never NULL */
	struct letter *letters[NR_LETTERS]; /* atomic */
	pthread_t thread;
	struct rng rng;
	uint64_t done[NR_HOW];
	uint64_t nr_flood_queued;       /* the updater's */
	uint64_t nr_flood_ran;          /* atomic */
	uint64_t beat_ns;               /* atomic: when the updater last went on */
	struct element *pipe, *spare;   /* the updater's */
	struct element *returned;       /* atomic: a stack that callbacks push on */
	struct element elements[NR_ELEMENTS];
	struct flood flood[NR_FLOOD];
};

static struct torture tortures[NR_DOMAINS] = {
	{ .name = "membarrier" },
	{ .name = "fences", .flags = USRCU_FULL_FENCE },
	{ .name = "worker", .flags = USRCU_WORKER },
};
static uint32_t quit, nr_failures, nr_reports;
static uint64_t nr_sections, nr_handed, nr_signals, nr_threads;
static __thread struct rng *my_rng;

static void failure(const struct torture *t, const char *what)
{
	if (add(&nr_failures, 1) < 10)
		diag("%s: %s", t->name, what);
}

/* Rarely long: the longer a window, the rarer. */
static void dawdle(struct rng *rng)
{
	uint32_t kind = rng_below(rng, 256), turns = rng_below(rng, 400);
	struct timespec nap = { 0, 2000 * (long)turns };

	if (kind == 0)
		nanosleep(&nap, NULL);
	else if (kind < 6)
		sched_yield();
	else if (kind < 64)
		while (turns-- > 0)
			__asm__ volatile("" : : : "memory");
}

/* ---- readers ---- */

static struct element *look(struct torture *t, uint64_t *life)
{
	struct element *e = get(&t->current);

	*life = e->life;
	return e;
}

static void look_again(struct torture *t, const struct element *e, uint64_t life, const char *who)
{
	if (get(&e->age) > 1)
		failure(t, who);
	if (e->life != life)
		failure(t, "an element was used again under a reader");
}

/* A section, by the ordinary or by the fast pair. */
struct reading {
	struct usrcu_ctr *ctr;          /* NULL: an ordinary one */
	int token;
};

static struct reading begin(struct torture *t, struct rng *rng)
{
	struct reading r = { NULL, 0 };

	if (rng_below(rng, 2))
		r.ctr = usrcu_read_lock_fast(t->domain);
	else
		r.token = usrcu_read_lock(t->domain);
	return r;
}

static void end(struct torture *t, struct reading r)
{
	if (r.ctr != NULL)
		usrcu_read_unlock_fast(t->domain, r.ctr);
	else
		usrcu_read_unlock(t->domain, r.token);
}

static void end_letter(struct torture *t, struct letter *letter)
{
	look_again(t, letter->element, letter->life, "a handed-over section saw an old element");
	if (letter->ctr != NULL)
		usrcu_up_read_fast(t->domain, letter->ctr);
	else
		usrcu_up_read(t->domain, letter->token);
	free(letter);
}

static void send_letter(struct torture *t, struct rng *rng)
{
	struct letter *letter = malloc(sizeof(*letter));

	if (letter == NULL)
		return;
	letter->ctr = NULL;
	if (rng_below(rng, 2))
		letter->ctr = usrcu_down_read_fast(t->domain);
	else
		letter->token = usrcu_down_read(t->domain);
	letter->element = look(t, &letter->life);
	letter = __atomic_exchange_n(&t->letters[rng_below(rng, NR_LETTERS)], letter, __ATOMIC_ACQ_REL);
	if (letter == NULL)
		return;
	dawdle(rng);
	end_letter(t, letter);
	add(&nr_handed, 1);
}

static void take_letters(struct torture *t)
{
	for (int i = 0; i < NR_LETTERS; i++) {
		struct letter *letter = __atomic_exchange_n(&t->letters[i], NULL, __ATOMIC_ACQ_REL);

		if (letter != NULL)
			end_letter(t, letter);
	}
}

static void section(struct torture *t, struct rng *rng, int depth)
{
	struct torture *inner = &tortures[rng_below(rng, NR_DOMAINS)];
	usrcu_cookie_t cookie = 0;
	uint32_t kind;
	uint64_t life;
	struct element *e, *later = NULL;
	uint64_t later_life = 0;
	struct reading first = begin(t, rng), second;

	e = look(t, &life);
	kind = rng_below(rng, 32);
	if (kind < 4)
		cookie = kind < 2 ? usrcu_get_state(t->domain) : usrcu_start_poll(t->domain);
	dawdle(rng);
	if (kind >= 28) {
		second = begin(t, rng);
		later = look(t, &later_life);
	}
	if (kind < 8 && depth < 3)
		section(inner, rng, depth + 1);
	dawdle(rng);
	if (kind < 4 && usrcu_poll_state(t->domain, cookie))
		failure(t, "S6: a cookie from inside a section was true in it");
	if (kind == 9 && (usrcu_synchronize(t->domain) != -EDEADLK || !usrcu_read_lock_held(t->domain)))
		failure(t, "S5: a section was not noticed");
	look_again(t, e, life, "S2: a section saw an old element");
	end(t, first);
	if (later != NULL) {
		/* The inner one ends last, and protects what was seen in it. */
		dawdle(rng);
		look_again(t, later, later_life, "S2: a nested section saw an old element");
		end(t, second);
	}
}

static void handler(int signal)
{
	int saved = errno;
	struct torture *t;
	uint64_t life;
	struct element *e;
	struct reading r;

	(void)signal;
	if (my_rng == NULL)
		return;
	t = &tortures[rng_below(my_rng, NR_DOMAINS)];
	r = begin(t, my_rng);
	e = look(t, &life);
	dawdle(my_rng);
	look_again(t, e, life, "S1: a handler's section saw an old element");
	end(t, r);
	add(&nr_signals, 1);
	errno = saved;
}

/* A signal finds this thread at any point of any call. */
static timer_t interrupt_me(struct rng *rng, long every_ns)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec every = { { 0, every_ns }, { 0, every_ns } };
	timer_t timer;

	my_rng = rng;
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &every, NULL) != 0)
		bail_out("no timer: %s", strerror(errno));
	return timer;
}

static void leave_me_alone(timer_t timer)
{
	timer_delete(timer);
	my_rng = NULL;
}

static void *read_on(void *arg)
{
	struct rng rng, handler_rng;
	uint64_t sections = 0;
	timer_t timer;

	rng_init(&rng, 2 * (uintptr_t)arg);
	rng_init(&handler_rng, 2 * (uintptr_t)arg + 1);
	timer = interrupt_me(&handler_rng, 300000);
	while (!get(&quit)) {
		struct torture *t = &tortures[rng_below(&rng, NR_DOMAINS)];

		if (rng_below(&rng, 8) == 0)
			send_letter(t, &rng);
		else
			section(t, &rng, 0);
		dawdle(&rng);
		sections++;
	}
	leave_me_alone(timer);
	add(&nr_sections, sections);
	return NULL;
}

static void *read_a_little(void *arg)
{
	struct rng rng;

	rng_init(&rng, (uintptr_t)arg);
	for (uint32_t i = rng_below(&rng, 4); i-- > 0; ) {
		section(&tortures[rng_below(&rng, NR_DOMAINS)], &rng, 2);
		send_letter(&tortures[rng_below(&rng, NR_DOMAINS)], &rng);
	}
	return NULL;
}

static void *come_and_go(void *unused)
{
	while (!get(&quit)) {
		pthread_t threads[3];

		for (int i = 0; i < 3; i++)
			threads[i] = start(read_a_little, (void *)(uintptr_t)(1000 + add(&nr_threads, 1)));
		for (int i = 0; i < 3; i++)
			join(threads[i]);
	}
	return unused;
}

/* ---- updaters ---- */

static void give_back(struct element *e)
{
	struct torture *t = e->torture;
	struct element *first = get(&t->returned);

	do {
		e->next = first;
	} while (!__atomic_compare_exchange_n(&t->returned, &first, e, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

static void age_by_callback(struct usrcu_head *head)
{
	struct element *e = (struct element *)(void *)head;

	if (add(&e->age, 1) + 1 < PIPE_END)
		usrcu_call(e->torture->domain, head, age_by_callback);
	else
		give_back(e);
}

static void run_flood(struct usrcu_head *head)
{
	struct flood *f = (struct flood *)(void *)head;
	struct torture *t = f->torture; /* the updater may have it again at once */

	if (__atomic_exchange_n(&f->state, 0, __ATOMIC_ACQ_REL) != 1)
		failure(t, "S7: a callback ran twice");
	add(&t->nr_flood_ran, 1);
}

static void flood(struct torture *t, uint32_t most)
{
	for (uint32_t i = 0; i < most; i++) {
		struct flood *f = &t->flood[i];

		if (get(&f->state))
			continue;
		f->torture = t;
		set(&f->state, 1);
		t->nr_flood_queued++;
		usrcu_call(t->domain, &f->head, run_flood);
	}
}

/* A whole grace period, or false where none was waited for. */
static bool wait_somehow(struct torture *t, enum how how)
{
	usrcu_cookie_t cookie = usrcu_get_state(t->domain);
	uint64_t queued = t->nr_flood_queued;
	int rc = 0;

	switch (how) {
	case EXPEDITED:
		rc = usrcu_synchronize_expedited(t->domain);
		break;
	case TIMEOUT:
		do
			rc = usrcu_synchronize_timeout(t->domain, UINT64_C(1) << rng_below(&t->rng, 22));
		while (rc == -ETIMEDOUT);
		break;
	case POLL:
		if (rng_below(&t->rng, 2))
			cookie = usrcu_start_poll(t->domain);
		while (!usrcu_poll_state(t->domain, cookie))
			sched_yield();
		break;
	case COND:
		if (rng_below(&t->rng, 2))
			usrcu_poll_state(t->domain, cookie);
		rc = usrcu_cond_synchronize(t->domain, cookie);
		break;
	case BARRIER:
		rc = usrcu_barrier(t->domain);
		if (get(&t->nr_flood_ran) < queued)
			failure(t, "S7: barrier returned before a callback ran");
		return false;
	default:
		rc = usrcu_synchronize(t->domain);
		break;
	}
	if (rc != 0)
		failure(t, strerror(-rc));
	else if (!usrcu_poll_state(t->domain, cookie))
		failure(t, "S6: a cookie was false after its grace period");
	return rc == 0;
}

static void age_pipe(struct torture *t)
{
	struct element **link = &t->pipe, *e;

	while ((e = *link) != NULL) {
		if (add(&e->age, 1) + 1 < PIPE_END) {
			link = &e->next;
			continue;
		}
		*link = e->next;
		e->next = t->spare;
		t->spare = e;
	}
}

static struct element *new_element(struct torture *t)
{
	struct element *e = t->spare;

	if (e == NULL)
		e = t->spare = __atomic_exchange_n(&t->returned, NULL, __ATOMIC_ACQ_REL);
	if (e != NULL) {
		t->spare = e->next;
		e->torture = t;
		e->life++;
		set(&e->age, 0);
	}
	return e;
}

static void *update(void *arg)
{
	struct torture *t = arg;
	struct rng handler_rng;
	timer_t timer;

	rng_init(&t->rng, 500 + (uint64_t)(t - tortures));
	rng_init(&handler_rng, 600 + (uint64_t)(t - tortures));
	timer = interrupt_me(&handler_rng, 1100000);
	while (!get(&quit)) {
		enum how how = (enum how)rng_below(&t->rng, NR_HOW);
		struct element *e = new_element(t), *old;

		set(&t->beat_ns, tap_now_ns());
		if (rng_below(&t->rng, 16) == 0)
			take_letters(t);
		if (rng_below(&t->rng, 8) == 0)
			flood(t, rng_below(&t->rng, 16) ? 4 : NR_FLOOD);
		if (e != NULL) {
			old = __atomic_exchange_n(&t->current, e, __ATOMIC_ACQ_REL);
			add(&old->age, 1);
			if (how == CALL) {
				usrcu_call(t->domain, &old->head, age_by_callback);
			} else {
				old->next = t->pipe;
				t->pipe = old;
			}
		} else if (how == CALL) {
			/* All are in the hands of callbacks, which must run some time. */
			how = BARRIER;
		}
		t->done[how]++;
		if (how != CALL && wait_somehow(t, how))
			age_pipe(t);
	}
	leave_me_alone(timer);
	return NULL;
}

/* ---- all of it ---- */

static void report(void *arg, const char *text)
{
	(void)arg;
	add(&nr_reports, 1);
	diag("%s", text);
}

static void set_up(struct torture *t)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .name = t->name, .flags = t->flags, .report = report };

	if (usrcu_create(&t->domain, &attr) != 0)
		bail_out("usrcu_create");
	for (int i = 0; i < NR_ELEMENTS; i++) {
		t->elements[i].next = t->spare;
		t->spare = &t->elements[i];
	}
	t->current = new_element(t);
	t->beat_ns = tap_now_ns();
}

static void tear_down(struct torture *t)
{
	uint64_t done = 0;
	char text[256] = "";

	take_letters(t);
	/* Elements queue themselves again, at most so often. */
	for (int i = 0; i < PIPE_END; i++)
		if (usrcu_barrier(t->domain) != 0)
			failure(t, "S7: barrier at the end");
	ok(t->nr_flood_ran == t->nr_flood_queued, "S7: %s: each of %" PRIu64 " callbacks ran exactly once", t->name,
	   t->nr_flood_queued);
	is_int(usrcu_destroy(t->domain), 0, "S11: %s: nothing is left at the end", t->name);
	for (int how = 0; how < NR_HOW; how++) {
		done += t->done[how];
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s %" PRIu64, how_names[how], t->done[how]);
	}
	ok(done > 0, "S2: %s: grace periods passed", t->name);
	diag("%s:%s", t->name, text);
}

int main(void)
{
	struct sigaction action = { .sa_handler = handler };
	struct timespec nap = { 0, 10000000 };
	pthread_t readers[NR_READERS], comer;
	uint64_t end;

	tap_seed();
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < NR_DOMAINS; i++)
		set_up(&tortures[i]);
	end = tap_now_ns() + scaled_ms(3000) * UINT64_C(1000000);
	for (int i = 0; i < NR_DOMAINS; i++)
		tortures[i].thread = start(update, &tortures[i]);
	for (uintptr_t i = 0; i < NR_READERS; i++)
		readers[i] = start(read_on, (void *)(10 + i));
	comer = start(come_and_go, NULL);
	while (tap_now_ns() < end && get(&nr_failures) == 0) {
		nanosleep(&nap, NULL);
		for (int i = 0; i < NR_DOMAINS; i++) {
			uint64_t beat = get(&tortures[i].beat_ns), now = tap_now_ns();

			/* Letters wait for a reader to take them; nobody else may hold a grace period up. */
			take_letters(&tortures[i]);
			if (now > beat && now - beat > STUCK_NS)
				bail_out("S2: the updater of %s stands still", tortures[i].name);
		}
	}
	set(&quit, 1);
	for (int i = 0; i < NR_READERS; i++)
		join(readers[i]);
	join(comer);
	/* An updater may wait for a letter that came after the last look. */
	for (int i = 0; i < NR_DOMAINS; i++)
		take_letters(&tortures[i]);
	/* The handlers of each updater read in every domain. */
	for (int i = 0; i < NR_DOMAINS; i++)
		join(tortures[i].thread);
	for (int i = 0; i < NR_DOMAINS; i++)
		tear_down(&tortures[i]);
	is_int(nr_failures, 0, "S2: no section saw an element older than its grace period allows, nor a cookie lied");
	is_int(nr_reports, 0, "S9: nothing was reported");
	diag("%" PRIu64 " sections, %" PRIu64 " handed over, %" PRIu64 " in handlers, %" PRIu64 " threads came and went",
	     nr_sections, nr_handed, nr_signals, nr_threads);
	return done_testing();
}
