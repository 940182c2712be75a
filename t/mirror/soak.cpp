/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Everything at once, on usrcu and on lists: threads that come and go, signal handlers with sections, callbacks that
 * throw, callbacks whose thread is cancelled, forks at any of these places.
 *
 * A round makes domains and lists, lets the threads of a few seats do operations at random, releases the lists,
 * unregisters what is left, and destroys all.  A seat keeps its mirrors while its threads change.  Main waits for
 * nothing but ended threads: it ends the sections and brackets that were handed over, sends signals, cancels threads
 * and looks after the children.
 *
 * What waits for what, so that no cycle arises that the library cannot see:
 *   - inside a section, an open callback of usrcu_call, and in main nothing waits (busy > 0)
 *   - callbacks of lists wait for sections, callbacks of usrcu_call, and by unregister for callbacks of lists
 *   - fills and mirror_barrier wait in no callback and inside no bracket
 *   - a section is handed over in a domain of its own, whose readers no child waits for
 */
#include "tap.h"

#include <stdexcept>

#include <sys/time.h>
#include <sys/wait.h>

#include <mirror/mirror.h>
#include <mirror/usrcu.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ThreadSanitizer would end a child that starts threads. */
extern "C" const char *__tsan_default_options(void) __attribute__((visibility("default")));
extern "C" const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/*
 * An exception that leaves a callback lets the library call others, to undo what was begun.  If one of them throws too, that
 * exception goes on, and the first one is lost with its memory.
 */
extern "C" const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
extern "C" const char *__lsan_default_suppressions(void)
{
	return "leak:__cxa_allocate_exception\n";
}

namespace {

constexpr uint64_t LIVE = UINT64_C(0x6c69766520736f61), FREED = UINT64_C(0xdbdbdbdbdbdbdbdb);
constexpr unsigned NR_SEATS = 5, OWNED = 5, NR_LISTS = 3, NR_DOMAINS = 4, LETTERS = 8, CHILDREN = 16, SPACE = 64;
constexpr unsigned HANDED = 3;          /* the domain whose sections are handed over */
constexpr unsigned ROUND_MS = 200;
constexpr unsigned CHILD_S = 20;        /* a good child takes milliseconds */

/* ---- counts: all atomic ---- */

enum fault {
	TOUCHED, RAN_TWICE, ODD_USRCU, ODD_LIST, EXITED, CHILD_FAILED, CHILD_HUNG, LOST, NOT_DESTROYED, NR_FAULTS
};
const char *const fault_names[NR_FAULTS] = {
	"S2, M5, M8: nothing freed was touched",
	"S7, M8: no callback ran twice",
	"S2, S5, S7: the calls of usrcu return what is documented",
	"M5, M7, M9, M10: the calls of lists return what is documented",
	"S9: no thread is reported to have exited in a section",
	"S10: each child could use everything",
	"S10: no child hung",
	"S7, M8: no callback was lost",
	"S11, M17: everything could be destroyed",
};
unsigned faults[NR_FAULTS];

/* What was done. */
enum deed { THREADS, SECTIONS, HANDLERS, FIRST_IN_HANDLER, GRACE, QUEUED, RAN, BRACKETS, MIRRORS, ASYNCS, DONES, CALLBACKS,
	    THROWN, CANCELLED, FORKS, FORKS_IN_CALLBACKS, FORKS_IN_HANDLERS, REPORTS, NR_DEEDS };
const char *const deed_names[NR_DEEDS] = {
	"threads", "sections", "sections in handlers", "of them first uses", "grace periods", "callbacks queued", "run",
	"brackets", "mirrors", "unregistered asynchronously", "done", "callbacks of lists", "exceptions", "threads cancelled",
	"forks", "forks in callbacks", "forks in handlers", "reports",
};
uint64_t deeds[NR_DEEDS];

bool in_child;                          /* set in a child, before anything else */

#define get(p)    __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define set(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

void did(deed d, uint64_t nr = 1)
{
	__atomic_fetch_add(&deeds[d], nr, __ATOMIC_RELAXED);
}

void child_fails(int line, const char *what)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "# child: line %d: %s\n", line, what);

	_exit(write(STDERR_FILENO, text, static_cast<size_t>(length)) > 0 ? 1 : 2);
}
#define child_must(condition) ((condition) ? (void)0 : child_fails(__LINE__, #condition))

void fault_at(fault f, int line, long rc)
{
	if (in_child)
		child_fails(line, fault_names[f]);
	if (__atomic_fetch_add(&faults[f], 1, __ATOMIC_RELAXED) < 5)
		diag("line %d: %s: not so (%ld)", line, fault_names[f], rc);
}
#define expect(condition, f, rc) ((condition) ? (void)0 : fault_at(f, __LINE__, (rc)))

/* ---- seats ---- */

struct guest;

struct seat {
	unsigned index;
	struct rng rng;
	pthread_t thread;
	bool taken;                     /* main's: there is a thread to join */
	bool ended;                     /* atomic: it does nothing more */
	bool lasts;                     /* no thread of a few operations */
	guest *owned[OWNED];            /* the thread's; main's when it has ended */
	bool half_gone[OWNED];          /* an unregister of it has timed out */
	unsigned depth;                 /* of callbacks of lists */
	unsigned busy;                  /* sections and callbacks of usrcu_call: nothing may wait */
	unsigned open;                  /* brackets */
	unsigned gave;                  /* brackets that this thread has begun for others to end */
	unsigned calling[NR_DOMAINS];   /* in callbacks of usrcu_call */
	unsigned walking[NR_LISTS];     /* in callbacks of a list */
};

seat seats[NR_SEATS + 1];               /* and main's */
__thread seat *me;                      /* NULL in the worker */
/* Whether a handler may fork: the thread is in a call that does not allocate, as fork takes malloc's locks. */
__thread volatile bool forkable;
__thread volatile bool used;            /* this thread has used a domain */
__thread volatile bool forked_away;     /* this is a child that a handler made */

usrcu *domains[NR_DOMAINS];
mirror_list *lists[NR_LISTS];
bool running;                           /* atomic: the round goes on */

uint32_t pick(uint32_t bound)
{
	static uint32_t for_the_worker;

	if (me)
		return rng_below(&me->rng, bound);
	/* Scattered; used modulo small numbers. */
	return (__atomic_add_fetch(&for_the_worker, 1, __ATOMIC_RELAXED) * 2654435761u >> 8) % bound;
}

struct thrown : std::runtime_error {
	thrown() : std::runtime_error("soak") {}
};

/*
 * An exception or a cancellation is on its way out of a callback.  What clang compiled ends the program if a callback
 * that the library calls meanwhile throws too; what gcc compiled bears it.
 */
__thread bool leaving;

bool may_leave()
{
#ifdef __clang__
	if (leaving)
		return false;
#endif
	return leaving = true;
}

void throw_here()
{
	if (may_leave())
		throw thrown();
}

void cancel_here()
{
	if (may_leave()) {
		pthread_testcancel();
		leaving = false;
	}
}

/* Runs @f; whether an exception of a callback came out. */
template <typename F> bool throws(F f)
{
	try {
		f();
	} catch (const thrown &) {
		leaving = false;
		did(THROWN);
		return true;
	}
	return false;
}

struct counted {
	unsigned *count;

	explicit counted(unsigned *c) : count(c) { ++*count; }
	~counted() { --*count; }
	counted(const counted &) = delete;
	counted &operator=(const counted &) = delete;
};

/* While it lives a handler may fork, or may not. */
struct forks_allowed {
	bool before;

	explicit forks_allowed(bool allowed) : before(forkable) { forkable = allowed; }
	~forks_allowed() { forkable = before; }
	forks_allowed(const forks_allowed &) = delete;
	forks_allowed &operator=(const forks_allowed &) = delete;
};

struct uncancelled {
	int before;

	uncancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before); }
	~uncancelled() { pthread_setcancelstate(before, nullptr); }
	uncancelled(const uncancelled &) = delete;
	uncancelled &operator=(const uncancelled &) = delete;
};

/* ---- forks ---- */

pid_t children[CHILDREN];               /* atomic; 0: free, -1: claimed */
uint64_t born_ns[CHILDREN];
/* Forks under way; HANDLER_FORKS: one in a handler, beside which no other may be (two of them may wait for each other). */
unsigned forks_under_way;
constexpr unsigned HANDLER_FORKS = 1u << 30;

/* A place for a child, or -1. */
int child_place()
{
	for (unsigned i = 0; i < CHILDREN; i++) {
		pid_t none = 0;

		if (__atomic_compare_exchange_n(&children[i], &none, -1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return static_cast<int>(i);
	}
	return -1;
}

/* 0 in the child; else whether a child was made is no matter. */
pid_t fork_at(int place)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(CHILD_S);
		in_child = true;
		return 0;
	}
	born_ns[place] = tap_now_ns();
	set(&children[place], pid > 0 ? pid : 0);
	return pid > 0 ? pid : -1;
}

void use_as_child();

void fork_here(deed where)
{
	int place;

	/* A sanitizer's runtime takes long to fork. */
	if (in_child || (SANITIZED && pick(4)))
		return;
	if (__atomic_fetch_add(&forks_under_way, 1, __ATOMIC_ACQ_REL) < HANDLER_FORKS && (place = child_place()) >= 0) {
		if (fork_at(place) == 0)
			use_as_child();
		did(where);
	}
	__atomic_fetch_sub(&forks_under_way, 1, __ATOMIC_ACQ_REL);
}

void look_after_children(bool all)
{
	for (unsigned i = 0; i < CHILDREN; i++) {
		pid_t pid = get(&children[i]);
		int status = 0;

		if (pid <= 0)
			continue;
		if (waitpid(pid, &status, all ? 0 : WNOHANG) != pid) {
			if (!all && tap_now_ns() - born_ns[i] > 2 * CHILD_S * UINT64_C(1000000000))
				kill(pid, SIGKILL);
			continue;
		}
		if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGKILL))
			fault_at(CHILD_HUNG, __LINE__, status);
		else if (status)
			fault_at(CHILD_FAILED, __LINE__, status);
		set(&children[i], 0);
	}
}

/* ---- usrcu ---- */

struct element {
	usrcu_head head;
	uint64_t live;
	unsigned domain;
	unsigned ran;
};

element *current[NR_DOMAINS];           /* atomic */

element *element_of(usrcu_head *head)
{
	return reinterpret_cast<element *>(head); /* head is its first member */
}

element *new_element(unsigned d)
{
	element *e = static_cast<element *>(malloc(sizeof(*e)));

	if (!e)
		bail_out("no memory");
	e->live = LIVE;
	e->domain = d;
	e->ran = 0;
	return e;
}

void free_element(element *e)
{
	expect(e->live == LIVE, RAN_TWICE, 0);
	/* Atomic: a reader that looks too late is to be found by itself. */
	__atomic_store_n(&e->live, FREED, __ATOMIC_RELAXED);
	free(e);
}

void look(const element *e)
{
	expect(__atomic_load_n(&e->live, __ATOMIC_RELAXED) == LIVE, TOUCHED, 0);
}

struct section {
	unsigned d;
	int token;
	counted busy;

	explicit section(unsigned domain) : d(domain), token(usrcu_read_lock(domains[domain])), busy(&me->busy) { used = true; }
	~section() { usrcu_read_unlock(domains[d], token); }
};

struct letter {
	int token;
	element *e;
};

letter *letters[LETTERS];               /* atomic */

void take_letter(letter *l)
{
	if (!l)
		return;
	look(l->e);
	usrcu_up_read(domains[HANDED], l->token);
	free(l);
}

void send_letter()
{
	letter *l = static_cast<letter *>(malloc(sizeof(*l)));

	if (!l)
		return;
	l->token = usrcu_down_read(domains[HANDED]);
	l->e = get(&current[HANDED]);
	take_letter(__atomic_exchange_n(&letters[pick(LETTERS)], l, __ATOMIC_ACQ_REL));
}

void publish();

void read_nested(unsigned depth)
{
	unsigned d = pick(NR_DOMAINS);
	bool before = forkable;

	forkable = me->depth == 0;
	section s(d);
	forkable = before;

	element *e = get(&current[d]);

	did(SECTIONS);
	look(e);
	expect(usrcu_read_lock_held(domains[d]), ODD_USRCU, 0);
	switch (pick(32)) {
	case 0:
		sched_yield();
		break;
	case 1: {
		int rc = usrcu_synchronize(domains[d]);

		expect(rc == -EDEADLK, ODD_USRCU, rc);
		break;
	}
	case 2:
		usrcu_poll_state(domains[d], usrcu_get_state(domains[d]));
		break;
	case 3:
		if (depth == 0 && me->depth == 0)
			publish();
		break;
	case 4:
		if (pick(8) == 0)
			fork_here(FORKS);
		break;
	default:
		if (depth < 3)
			read_nested(depth + 1);
		break;
	}
	look(e);
}

/* In a worker, in barrier, in run_callbacks. */
void retired(usrcu_head *head)
{
	forks_allowed none(false);
	element *e = element_of(head);
	unsigned d = e->domain, none_here = 0;

	if (in_child)
		return;
	expect(e->ran++ == 0, RAN_TWICE, 0);
	free_element(e);
	did(RAN);

	counted calling(me ? &me->calling[d] : &none_here), busy(me ? &me->busy : &none_here);

	switch (pick(64)) {
	case 0:
		if (me)
			throw_here();
		break;
	case 1:
		if (me)
			cancel_here();
		break;
	case 2:
		/* A worker that forks would be the child's only thread, and may not end the process by an exception. */
		if (me)
			fork_here(FORKS_IN_CALLBACKS);
		break;
	case 3:
		if (me && me->depth == 0)
			publish();
		break;
	case 4: {
		int rc = usrcu_barrier(domains[d]);

		expect(rc == -EDEADLK, ODD_USRCU, rc);
		break;
	}
	default:
		break;
	}
}

void queue(unsigned d, element *old)
{
	int rc;

	did(QUEUED);
	rc = usrcu_call(domains[d], &old->head, retired);
	expect(rc == 0, ODD_USRCU, rc);
}

void replace()
{
	unsigned d = pick(NR_DOMAINS);
	element *old = __atomic_exchange_n(&current[d], new_element(d), __ATOMIC_ACQ_REL);
	/* A child that a handler makes does not wait for sections that were handed over. */
	forks_allowed some(d != HANDED);
	usrcu_cookie_t cookie;
	int rc = 0;

	used = true;
	switch (me->busy ? 0 : pick(8)) {
	case 0:
	case 1:
	case 2:
		forkable = false;
		queue(d, old);
		return;
	case 3:
		rc = usrcu_synchronize_expedited(domains[d]);
		break;
	case 4:
		cookie = usrcu_start_poll(domains[d]);
		for (int i = 0; i < 3 && !usrcu_poll_state(domains[d], cookie); i++)
			sched_yield();
		rc = usrcu_cond_synchronize(domains[d], cookie);
		break;
	case 5:
		while ((rc = usrcu_synchronize_timeout(domains[d], pick(200000))) == -ETIMEDOUT)
			;
		break;
	case 6:
		cookie = usrcu_get_state(domains[d]);
		rc = usrcu_cond_synchronize(domains[d], cookie);
		break;
	default:
		rc = usrcu_synchronize(domains[d]);
		break;
	}
	forkable = false;
	did(GRACE);
	expect(rc == 0, ODD_USRCU, rc);
	if (rc == 0)
		free_element(old);
}

void run_callbacks()
{
	unsigned d = pick(NR_DOMAINS);
	int rc;

	if (me->busy)
		return;
	rc = pick(2) ? usrcu_barrier(domains[d]) : usrcu_run_callbacks(domains[d]);
	expect(rc == 0, ODD_USRCU, rc);
}

/* ---- lists ---- */

struct guest {
	mirror m;
	uint64_t live;
	unsigned list, owner, releases;
};

guest *guest_of(mirror *m)
{
	return reinterpret_cast<guest *>(m); /* m is its first member */
}

void free_guest(guest *g)
{
	expect(__atomic_load_n(&g->live, __ATOMIC_RELAXED) == LIVE, RAN_TWICE, 1);
	expect(g->releases <= 1, RAN_TWICE, 2);
	__atomic_store_n(&g->live, FREED, __ATOMIC_RELAXED);
	free(g);
}

void come_or_go();
void leave_async(unsigned slot);

/* Inside each callback of a list. */
void act(guest *g)
{
	expect(__atomic_load_n(&g->live, __ATOMIC_RELAXED) == LIVE, TOUCHED, 1);
	if (in_child)
		return;
	did(CALLBACKS);
	forks_allowed none(false);
	counted depth(&me->depth), walking(&me->walking[g->list]);

	switch (pick(64)) {
	case 0:
		sched_yield();
		break;
	case 1:
		if (me->depth < 3)
			publish();
		break;
	case 2:
	case 3:
		come_or_go();
		break;
	case 4:
		if (g->owner == me->index)
			for (unsigned i = 0; i < OWNED; i++)
				if (me->owned[i] == g)
					leave_async(i);
		break;
	case 5:
		read_nested(2);
		break;
	case 6:
		if (me->depth == 1)
			replace();
		break;
	case 7:
		if (me->depth == 1)
			run_callbacks();
		break;
	case 8:
		if (pick(8) == 0)
			fork_here(FORKS_IN_CALLBACKS);
		break;
	case 9:
		throw_here();
		break;
	case 10:
		cancel_here();
		break;
	default:
		break;
	}
	expect(__atomic_load_n(&g->live, __ATOMIC_RELAXED) == LIVE, TOUCHED, 2);
}

int guest_start(mirror *m, const mirror_range *r)
{
	act(guest_of(m));
	return !in_child && !(r->flags & MIRROR_RANGE_BLOCKABLE) && pick(16) == 0 ? -EAGAIN : 0;
}

void guest_event(mirror *m, const mirror_range *)
{
	act(guest_of(m));
}

void guest_release(mirror *m)
{
	guest_of(m)->releases++;
	act(guest_of(m));
}

mirror_ops make_ops(bool finishes)
{
	mirror_ops ops = mirror_ops();

	ops.size = sizeof(ops);
	ops.invalidate_range_start = guest_start;
	ops.invalidate_range_end = guest_event;
	ops.release = guest_release;
	if (finishes)
		ops.finish = guest_event;
	return ops;
}

const mirror_ops ops[2] = { make_ops(false), make_ops(true) };

void done(mirror *m)
{
	if (in_child)
		return;
	forks_allowed none(false);
	unsigned list = guest_of(m)->list;

	free_guest(guest_of(m));
	did(DONES);
	counted depth(&me->depth), walking(&me->walking[list]), busy(&me->busy);
	switch (pick(32)) {
	case 0:
		throw_here();
		break;
	case 1:
		cancel_here();
		break;
	case 2:
		if (pick(4) == 0)
			fork_here(FORKS_IN_CALLBACKS);
		break;
	case 3:
		if (me->depth < 3)
			publish();
		break;
	default:
		break;
	}
}

guest *new_guest(unsigned list)
{
	guest *g = static_cast<guest *>(malloc(sizeof(*g)));

	if (!g)
		bail_out("no memory");
	memset(static_cast<void *>(g), 0xa5, sizeof(*g));
	g->live = LIVE;
	g->list = list;
	g->owner = me->index;
	g->releases = 0;
	return g;
}

/* Fills free slots, up to @most. */
void join(unsigned slot, unsigned most)
{
	unsigned list = pick(NR_LISTS), slots[OWNED];
	mirror_extent extents[OWNED];
	mirror *many[OWNED];
	size_t count = 0;
	int rc;

	for (unsigned i = 0; i < OWNED && count < most; i++, slot = (slot + 1) % OWNED)
		if (!me->owned[slot]) {
			extents[count].start = pick(SPACE - 1);
			extents[count].end = extents[count].start + 1 + pick(SPACE - static_cast<unsigned>(extents[count].start));
			slots[count] = slot;
			many[count++] = &new_guest(list)->m;
		}
	if (count == 0)
		return;
	if (count == 1 && pick(2))
		rc = mirror_register(lists[list], many[0], &ops[pick(2)]);
	else if (count == 1)
		rc = mirror_register_range(lists[list], many[0], &ops[pick(2)], extents[0].start, extents[0].end);
	else
		rc = mirror_register_many(lists[list], many, &ops[pick(2)], pick(3) ? extents : nullptr, count);
	expect(rc == 0 || rc == -ESHUTDOWN, ODD_LIST, rc);
	for (size_t i = 0; i < count; i++) {
		guest *g = guest_of(many[i]);

		if (rc) {
			free_guest(g);
			continue;
		}
		did(MIRRORS);
		me->owned[slots[i]] = g;
		me->half_gone[slots[i]] = false;
	}
}

/*
 * To the end, whatever exceptions of others' done() come out: once one has, -EALREADY says that it is gone.  If the thread
 * is cancelled in one, the mirror stays in the seat, and the next thread learns the same.
 */
bool leave_one(unsigned slot, uint64_t timeout_ns)
{
	guest *g = me->owned[slot];
	int rc = 0;

	uncancelled here;
	bool again = false;

	while (throws([&] { rc = mirror_unregister_timeout(&g->m, timeout_ns); }))
		again = true;
	expect(rc == 0 || rc == -ETIMEDOUT || (rc == -EDEADLK && me->depth) || (rc == -EALREADY && again), ODD_LIST, rc);
	if (rc == -ETIMEDOUT)
		me->half_gone[slot] = true;
	if (rc && rc != -EALREADY)
		return false;
	me->owned[slot] = nullptr;
	free_guest(g);
	return true;
}

void leave_many()
{
	mirror *many[OWNED];
	unsigned slots[OWNED];
	size_t count = 0;
	int rc = 0;
	uncancelled here;

	for (unsigned i = 0; i < OWNED; i++)
		if (me->owned[i] && pick(2)) {
			slots[count] = i;
			many[count++] = &me->owned[i]->m;
		}
	if (count == 0)
		return;
	if (throws([&] { rc = mirror_unregister_many(many, count); })) {
		/* All are gone, or none is. */
		for (size_t i = 0; i < count; i++) {
			bool threw = false;

			while (throws([&] { rc = mirror_unregister(many[i]); }))
				threw = true;
			expect(rc == 0 || rc == -EALREADY || (rc == -EDEADLK && me->depth), ODD_LIST, rc + 1000 * threw);
			if (rc == -EDEADLK)
				continue;
			me->owned[slots[i]] = nullptr;
			free_guest(guest_of(many[i]));
		}
		return;
	}
	expect(rc == 0 || (rc == -EDEADLK && me->depth), ODD_LIST, rc);
	if (rc)
		return;
	for (size_t i = 0; i < count; i++) {
		me->owned[slots[i]] = nullptr;
		free_guest(guest_of(many[i]));
	}
}

/* Also if done() throws, here. */
void leave_async(unsigned slot)
{
	guest *g = me->owned[slot];
	int rc;

	me->owned[slot] = nullptr;
	did(ASYNCS);
	rc = mirror_unregister_async(&g->m, done);
	expect(rc == 0, ODD_LIST, rc);
}

void come_or_go()
{
	unsigned slot = pick(OWNED);

	if (!me->owned[slot]) {
		join(slot, pick(4) ? 1 : OWNED);
		return;
	}
	switch (me->busy ? 0 : pick(5)) {
	case 0:
	case 1:
		leave_async(slot);
		break;
	case 2:
		leave_many();
		break;
	case 3:
		leave_one(slot, pick(20000));
		break;
	default:
		leave_one(slot, UINT64_MAX);
		break;
	}
}

struct bracket {
	mirror_range r;
	unsigned list;
};

bracket *handed[LETTERS];               /* atomic: for main to end */

void end_bracket(bracket *b)
{
	mirror_invalidate_range_end(lists[b->list], &b->r);
}

/* Ends it, whatever happens in between. */
struct ending {
	bracket *b;
	counted open;

	explicit ending(bracket *begun) : b(begun), open(&me->open) {}
	~ending()
	{
		uncancelled here;

		if (b)
			throws([&] { end_bracket(b); });
	}
};

void publish()
{
	bracket b = bracket();
	unsigned slot = pick(LETTERS);
	int rc;

	b.list = pick(NR_LISTS);
	b.r.start = pick(SPACE - 1);
	b.r.end = b.r.start + 1 + pick(SPACE - static_cast<unsigned>(b.r.start));
	b.r.flags = pick(2) ? MIRROR_RANGE_BLOCKABLE : 0;
	did(BRACKETS);
	used = true;
	if (me->depth == 0 && pick(16) == 0 && !get(&handed[slot])) {
		bracket *mine = static_cast<bracket *>(malloc(sizeof(*mine))), *other;

		if (!mine)
			bail_out("no memory");
		*mine = b;
		try {
			rc = mirror_invalidate_range_start(lists[b.list], &mine->r);
		} catch (...) {
			free(mine);
			throw;
		}
		expect(rc == 0 || rc == -EAGAIN, ODD_LIST, rc);
		if (rc) {
			free(mine);
			return;
		}
		me->gave++;
		other = __atomic_exchange_n(&handed[slot], mine, __ATOMIC_ACQ_REL);
		if (other) {
			uncancelled here;

			throws([&] { end_bracket(other); });
			free(other);
		}
		return;
	}
	rc = mirror_invalidate_range_start(lists[b.list], &b.r);
	expect(rc == 0 || rc == -EAGAIN, ODD_LIST, rc);
	expect(rc == 0 || !(b.r.flags & MIRROR_RANGE_BLOCKABLE), ODD_LIST, rc);
	if (rc)
		return;
	ending e(&b);
	if (me->depth == 0 && me->open == 1 && pick(8) == 0)
		publish();
	else if (pick(16) == 0)
		sched_yield();
}

void fill()
{
	unsigned slot = pick(OWNED);
	uint64_t seq;

	if (!me->owned[slot] || me->half_gone[slot])
		return;
	if (pick(2))
		seq = mirror_read_begin(&me->owned[slot]->m);
	else if (!mirror_read_try_begin(&me->owned[slot]->m, &seq))
		return;
	mirror_read_retry(&me->owned[slot]->m, seq);
}

/* ---- the child: whatever its thread was doing ---- */

unsigned ran_in_child, heard_in_child, done_in_child;

void count_in_child(usrcu_head *)
{
	ran_in_child++;
}

int hear_in_child(mirror *, const mirror_range *)
{
	heard_in_child++;
	return 0;
}

void done_here(mirror *)
{
	done_in_child++;
}

void use_domains_as_child()
{
	for (unsigned d = 0; d < NR_DOMAINS; d++) {
		usrcu *domain = domains[d];
		bool held = usrcu_read_lock_held(domain);
		int token = usrcu_read_lock(domain), inner = usrcu_read_lock(domain), rc;
		usrcu_head head;

		child_must(usrcu_synchronize(domain) == -EDEADLK);
		usrcu_read_unlock(domain, token);
		usrcu_read_unlock(domain, inner);
		rc = usrcu_synchronize_timeout(domain, d == HANDED ? 1000000 : UINT64_MAX);
		child_must(rc == (held ? -EDEADLK : 0) || (d == HANDED && rc == -ETIMEDOUT));
		if (d == HANDED)
			continue;
		ran_in_child = 0;
		child_must(usrcu_call(domain, &head, count_in_child) == 0);
		rc = usrcu_barrier(domain);
		if (held || (me && me->calling[d]))
			child_must(rc == -EDEADLK);
		else
			child_must(rc == 0 && ran_in_child == 1);
		if (rc)
			return;         /* its head is on the stack */
	}
}

[[maybe_unused]] void use_lists_as_child()
{
	static mirror_ops hear = mirror_ops();

	hear.size = sizeof(hear);
	hear.invalidate_range_start = hear_in_child;
	for (unsigned i = 0; i < NR_LISTS; i++) {
		bool inside = me->walking[i];
		mirror a, b;
		uint64_t seq;
		int rc = mirror_invalidate_range(lists[i], 0, SPACE);

		child_must(rc == 0);
		rc = mirror_register_range(lists[i], &a, &hear, 1000, 1001);
		child_must(rc == 0 || rc == -ESHUTDOWN);
		if (rc)
			continue;
		child_must(mirror_register(lists[i], &b, &hear) == 0);
		heard_in_child = 0;
		child_must(mirror_invalidate_range(lists[i], 1000, 1001) == 0 && heard_in_child == 2);
		/* Brackets of this thread are kept, also those that another was to end. */
		child_must(mirror_read_try_begin(&a, &seq) || inside || me->open || me->gave);
		/* In a callback a drain of the whole list cannot be waited for; fork's caller may be in one of another list. */
		rc = mirror_unregister(&a);
		child_must(rc == 0 || (rc == -EDEADLK && inside));
		done_in_child = 0;
		child_must(mirror_unregister_async(&b, done_here) == 0);
		rc = mirror_barrier(lists[i]);
		child_must(inside ? rc == -EDEADLK : rc == 0 && done_in_child == 1);
		for (unsigned k = 0; k < OWNED; k++)
			if (me->owned[k] && me->owned[k]->list == i && !inside)
				child_must(mirror_unregister(&me->owned[k]->m) == 0);
	}
}

/* In a child: all that it can do, then its end. */
void use_as_child()
{
	usrcu *domain;
	mirror_list *list;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
	use_domains_as_child();
	/* Lists free memory, and a sanitizer's allocator may be locked for ever in the child. */
#if !SANITIZED
	use_lists_as_child();
	child_must(usrcu_create(&domain, nullptr) == 0 && usrcu_synchronize(domain) == 0 && usrcu_destroy(domain) == 0);
	child_must(mirror_list_create(&list, nullptr) == 0 && mirror_invalidate_range(list, 0, 1) == 0);
	child_must(mirror_list_destroy(list) == 0);
#else
	(void)domain;
	(void)list;
#endif
	_exit(0);
}

/* ---- signals ---- */

void on_signal(int)
{
	static unsigned turns;
	unsigned turn = __atomic_add_fetch(&turns, 1, __ATOMIC_RELAXED), d = turn % NR_DOMAINS, none = 0;
	int saved = errno, token, place;

	if (in_child || !get(&running)) {
		errno = saved;
		return;
	}
	if (!used) {
		used = true;
		did(FIRST_IN_HANDLER);
	}
	did(HANDLERS);
	if (turn / NR_DOMAINS % 2) {
		token = usrcu_read_lock(domains[d]);
		look(get(&current[d]));
		usrcu_read_unlock(domains[d], token);
	} else {
		token = usrcu_down_read(domains[HANDED]);
		look(get(&current[HANDED]));
		usrcu_up_read(domains[HANDED], token);
	}
	if (!SANITIZED && forkable && turn % 8 == 0 &&
	    __atomic_compare_exchange_n(&forks_under_way, &none, HANDLER_FORKS, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
		if ((place = child_place()) >= 0) {
			if (fork_at(place) == 0) {
				forked_away = true;
				token = usrcu_read_lock(domains[d]);
				usrcu_read_unlock(domains[d], token);
			} else {
				did(FORKS_IN_HANDLERS);
			}
		}
		__atomic_fetch_sub(&forks_under_way, HANDLER_FORKS, __ATOMIC_ACQ_REL);
	}
	errno = saved;
}

/* ---- threads ---- */

struct life {
	seat *s;

	explicit life(seat *mine) : s(mine) { me = mine; }
	~life() { set(&s->ended, true); }
};

void operation()
{
	uint32_t what = pick(100);

	if (what < 30)
		publish();
	else if (what < 55)
		come_or_go();
	else if (what < 75) {
		read_nested(0);
	} else if (what < 87)
		replace();
	else if (what < 90)
		run_callbacks();
	else if (what < 93)
		send_letter();
	else if (what < 98)
		fill();
	else if (what < 99)
		mirror_barrier(lists[pick(NR_LISTS)]);
	else if (pick(8) == 0)
		fork_here(FORKS);
}

void *work(void *arg)
{
	life l(static_cast<seat *>(arg));
	unsigned nr = me->lasts ? UINT32_MAX : pick(4) ? pick(16) : pick(400);

	did(THREADS);
	while (nr-- > 0 && get(&running)) {
		throws(operation);
		/* Here too for the child of a handler, once it has left the interrupted call. */
		if (forked_away)
			use_as_child();
	}
	return nullptr;
}

void start_thread(seat *s)
{
	s->ended = false;
	s->depth = s->busy = s->open = s->gave = 0;
	s->lasts = s->index < 2;
	if (pthread_create(&s->thread, nullptr, work, s) != 0)
		bail_out("pthread_create");
	s->taken = true;
}

void end_thread(seat *s)
{
	void *result;

	pthread_join(s->thread, &result);
	s->taken = false;
	if (result == PTHREAD_CANCELED)
		did(CANCELLED);
	expect(s->depth == 0 && s->busy == 0 && s->open == 0, ODD_LIST, s->index);
}

/* What others have handed over. */
void end_for_others()
{
	for (unsigned i = 0; i < LETTERS; i++) {
		bracket *b = __atomic_exchange_n(&handed[i], nullptr, __ATOMIC_ACQ_REL);

		take_letter(__atomic_exchange_n(&letters[i], nullptr, __ATOMIC_ACQ_REL));
		if (!b)
			continue;
		throws([&] { end_bracket(b); });
		free(b);
	}
}

void look_after_threads(bool again)
{
	for (unsigned i = 0; i < NR_SEATS; i++) {
		seat *s = &seats[i];

		if (s->taken && get(&s->ended))
			end_thread(s);
		if (!s->taken && again)
			start_thread(s);
		if (s->taken && pick(8) == 0)
			pthread_kill(s->thread, SIGUSR1);
		if (s->taken && pick(64) == 0)
			pthread_cancel(s->thread);
	}
}

/* ---- rounds ---- */

void report(void *, const char *text)
{
	did(REPORTS);
	if (strstr(text, "exited"))
		fault_at(EXITED, __LINE__, 0);
}

void stalled(void *, const mirror_stall *stall)
{
	did(REPORTS);
	expect(stall->mirror && stall->what, ODD_LIST, 0);
}

void begin_round()
{
	const unsigned domain_flags[NR_DOMAINS] = { 0, USRCU_FULL_FENCE, USRCU_WORKER, 0 };
	const unsigned list_flags[NR_LISTS] = { 0, MIRROR_LIST_FULL_FENCE, MIRROR_LIST_DRAIN_DOMAIN };

	for (unsigned d = 0; d < NR_DOMAINS; d++) {
		usrcu_attr attr = usrcu_attr();

		attr.size = sizeof(attr);
		attr.flags = domain_flags[d];
		attr.stall_ns = 5000000;
		attr.report = report;
		if (usrcu_create(&domains[d], &attr) != 0)
			bail_out("usrcu_create");
		current[d] = new_element(d);
	}
	for (unsigned i = 0; i < NR_LISTS; i++) {
		mirror_list_attr attr = mirror_list_attr();

		attr.size = sizeof(attr);
		attr.flags = list_flags[i];
		attr.stall_ns = i == 0 ? 5000000 : 0;
		attr.stall = stalled;
		if (mirror_list_create(&lists[i], &attr) != 0)
			bail_out("mirror_list_create");
	}
}

void end_round()
{
	int rc = 0;

	for (unsigned i = 0; i < NR_LISTS; i++) {
		throws([&] { rc = mirror_list_release(lists[i]); });
		expect(rc == 0, ODD_LIST, rc);
		expect((rc = mirror_list_release(lists[i])) == -EALREADY, ODD_LIST, rc);
		rc = 0;
	}
	/* Threads are at an end, but have left mirrors in their seats, main too. */
	me->busy = 0;
	for (unsigned i = 0; i <= NR_SEATS; i++)
		for (unsigned k = 0; k < OWNED; k++)
			if (seats[i].owned[k]) {
				guest *g = seats[i].owned[k];

				while (throws([&] { rc = mirror_unregister(&g->m); }))
					;
				expect(rc == 0 || rc == -EALREADY, ODD_LIST, rc);
				seats[i].owned[k] = nullptr;
				free_guest(g);
			}
	for (unsigned i = 0; i < NR_LISTS; i++) {
		while (throws([&] { rc = mirror_barrier(lists[i]); }))
			;
		expect(rc == 0, ODD_LIST, rc);
	}
	end_for_others();
	for (unsigned d = 0; d < NR_DOMAINS; d++) {
		while (throws([&] { rc = usrcu_barrier(domains[d]); }))
			;
		expect(rc == 0, ODD_USRCU, rc);
	}
	/* Callbacks have published, and handed over, until now. */
	end_for_others();
	for (unsigned i = 0; i < NR_LISTS; i++)
		expect((rc = mirror_list_destroy(lists[i])) == 0, NOT_DESTROYED, rc);
	for (unsigned d = 0; d < NR_DOMAINS; d++) {
		expect((rc = usrcu_destroy(domains[d])) == 0, NOT_DESTROYED, rc);
		free_element(current[d]);
	}
	expect(deeds[QUEUED] == deeds[RAN], LOST, static_cast<long>(deeds[QUEUED] - deeds[RAN]));
	expect(deeds[ASYNCS] == deeds[DONES], LOST, static_cast<long>(deeds[ASYNCS] - deeds[DONES]));
}

void run_round()
{
	uint64_t end_ns = tap_now_ns() + ROUND_MS * UINT64_C(1000000);
	struct timespec pause = timespec();
	bool again, left;

	begin_round();
	me->busy = 1;
	set(&running, true);
	do {
		again = tap_now_ns() < end_ns;
		look_after_threads(again);
		end_for_others();
		look_after_children(false);
		if (!again)
			set(&running, false);
		pause.tv_nsec = 200000;
		nanosleep(&pause, nullptr);
		left = false;
		for (unsigned i = 0; i < NR_SEATS; i++)
			left = left || seats[i].taken;
	} while (again || left);
	look_after_children(true);
	end_round();
}

long resident_kib()
{
	long pages[2] = { 0, 0 };
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%ld %ld", &pages[0], &pages[1]) != 2)
		bail_out("cannot read /proc/self/statm");
	fclose(file);
	return pages[1] * (sysconf(_SC_PAGESIZE) / 1024);
}

} // namespace

int main()
{
	struct itimerval often = itimerval();
	struct sigaction action;
	uint64_t end_ns;
	unsigned nr = 0;
	long most[2] = { 0, 0 };
	uint64_t half_ns, ms = scaled_ms(2500);

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, nullptr);
	sigaction(SIGPROF, &action, nullptr);
	for (unsigned i = 0; i <= NR_SEATS; i++) {
		seats[i].index = i;
		rng_init(&seats[i].rng, i);
	}
	me = &seats[NR_SEATS];
	often.it_interval.tv_usec = often.it_value.tv_usec = 1000;
	setitimer(ITIMER_PROF, &often, nullptr);
	half_ns = tap_now_ns() + ms * UINT64_C(500000);
	end_ns = tap_now_ns() + ms * UINT64_C(1000000);
	while (tap_now_ns() < end_ns || nr < 2) {
		int half = nr > 0 && tap_now_ns() >= half_ns;
		long now;

		run_round();
		nr++;
		now = resident_kib();
		if (now > most[half])
			most[half] = now;
	}
	often = itimerval();
	setitimer(ITIMER_PROF, &often, nullptr);
	for (int f = 0; f < NR_FAULTS; f++)
		ok(faults[f] == 0, "%s", fault_names[f]);
#if SANITIZED
	skip(1, "a sanitizer keeps freed memory");
#else
	ok(most[1] <= most[0] + most[0] / 4 + 2048, "memory does not grow: at most %ld KiB in the first half, %ld KiB in the second",
	   most[0], most[1]);
#endif
	diag("%u rounds", nr);
	for (int i = 0; i < NR_DEEDS; i++)
		diag("%" PRIu64 " %s", deeds[i], deed_names[i]);
	return done_testing();
}
