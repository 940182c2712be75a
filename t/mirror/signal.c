/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A signal handler publishes on the list whose bracket it has interrupted, at any instruction (M3).
 *
 * The handler runs a whole bracket on the same list, starts one that the main program ends later, or ends one that the
 * main program has started before.  x86-64's trap flag stops this thread after each instruction of a bracket, of its
 * callbacks too: the handler does so at some of the stops of a pass, and in a few passes at all of them.  Then each
 * instruction that was seen becomes a breakpoint for one bracket, which is interrupted there alone.  After each pass
 * each bracket has called exactly the mirrors that it must, in order, and the statistics have grown by exactly what was
 * called.  At the end no section is left open: grace periods end, and the list can be destroyed.
 *
 * Each scene runs in a process of its own, so that a stop of the program is the failure of its scene alone.
 */
#include "mirror_test.h"

#if !defined(__x86_64__) || defined(UNDER_TSAN) || defined(UNDER_ASAN)

int main(void)
{
	skip_all("single steps are done for x86-64 alone, without sanitizers");
}

#else

#include <dlfcn.h>
#include <limits.h>
#include <sys/mman.h>
#include <ucontext.h>

/* Stops of the passes of a scene, for each work; one costs up to 20 us. */
#define BUDGET      scaled(1000)
/* The handler comes at every so many stops of a pass. */
#define APART       7
#define MAX_POINTS  8192
#define MAX_GUESTS  200
#define MAX_INNER   4096
#define TRAP_FLAG   0x100

#define get(p)    __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define set(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* ---- scenes ---- */

/* What the handler does. */
enum work { BRACKET, OPEN, END };

/*
 * The mirrors are letters, in order of registration.  Small letters: whole-list mirrors; capitals: range mirrors, which
 * come behind them.
 *   b  has start and end        s  start alone      e  end alone       n  neither
 *   f  all three                w  fills            r  refuses         c  publishes in its callbacks
 *   X  a range that no bracket hits
 */
struct scene {
	const char *mirrors;
	const char *name;
	unsigned flags;                 /* of the list */
	uint64_t stall_ns;
	bool flips;                     /* grace periods pass before the handler's bracket */
	bool ranges_come_and_go;        /* by memory that is retired, too */
	enum work most;                 /* the works up to this */
};

static const struct scene *scene;
static enum work work;
static struct mirror_list *list;

/* ---- the trap flag ---- */

static volatile bool stepping;          /* the stepped thread's: its bracket is to be stopped everywhere */

static inline __attribute__((always_inline)) void step(bool on)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq %0, (%%rsp)\n\torq %1, (%%rsp)\n\tpopfq\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : : "r"(~(uint64_t)TRAP_FLAG), "r"(on ? (uint64_t)TRAP_FLAG : 0) : "memory", "cc");
}

/* ---- brackets and what they call ---- */

struct tally {
	unsigned starts, finishes, ends;
};

struct bracket {
	struct mirror_range range;
	struct tally got;
	int last;                       /* the mirror that was called last in this pass of the walk */
	bool nested, open;
};

struct guest {
	struct mirror m;
	char kind;
	int number;
	uint64_t seq;                   /* of its last fill */
};

static struct guest guests[MAX_GUESTS];
static int nr_guests;
static struct bracket outer, inner[MAX_INNER];
static volatile unsigned nr_inner, nr_ended;
static volatile unsigned nr_wrong;      /* calls out of order */

static bool has(char kind, const char *kinds)
{
	return strchr(kinds, kind | 0x20) != NULL;
}

static void bracket_init(struct bracket *b, uint64_t start)
{
	*b = (struct bracket){ .last = -1 };
	b->range = range(start, start + 10, strpbrk(scene->mirrors, "rR") ? 0 : MIRROR_RANGE_BLOCKABLE);
	b->range.data = b;
}

static void publish_nested(struct bracket *b)
{
	struct bracket n;

	if (b->nested)
		return;
	bracket_init(&n, b->range.start);
	n.nested = true;
	if (mirror_invalidate_range_start(list, &n.range) == 0)
		mirror_invalidate_range_end(list, &n.range);
	b->got.starts += n.got.starts;
	b->got.finishes += n.got.finishes;
	b->got.ends += n.got.ends;
}

/* Of many mirrors that are called alike the first and the last ones are stopped at. */
static void skim(const struct bracket *b, unsigned nr_called)
{
	if (b != &outer || nr_guests < 100 || !stepping)
		return;
	if (nr_called == 3)
		step(false);
	else if (nr_called == (unsigned)nr_guests - 2)
		step(true);
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	struct guest *g = (struct guest *)m;
	struct bracket *b = r->data;

	nr_wrong += g->number <= b->last;
	b->last = g->number;
	b->got.starts++;
	skim(b, b->got.starts);
	if (has(g->kind, "c"))
		publish_nested(b);
	return has(g->kind, "r") && !(r->flags & MIRROR_RANGE_BLOCKABLE) ? -EAGAIN : 0;
}

static void on_finish(struct mirror *m, const struct mirror_range *r)
{
	struct bracket *b = r->data;

	(void)m;
	b->got.finishes++;
	b->last = MAX_GUESTS;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	struct guest *g = (struct guest *)m;
	struct bracket *b = r->data;

	if (b->got.ends == 0)
		b->last = MAX_GUESTS;
	nr_wrong += g->number >= b->last && !strpbrk(scene->mirrors, "cC");
	b->last = g->number;
	b->got.ends++;
	skim(b, b->got.ends);
	if (has(g->kind, "c"))
		publish_nested(b);
}

static const struct mirror_ops both_ops = { sizeof(both_ops), on_start, on_end, NULL, NULL };
static const struct mirror_ops start_ops = { sizeof(start_ops), on_start, NULL, NULL, NULL };
static const struct mirror_ops end_ops = { sizeof(end_ops), NULL, on_end, NULL, NULL };
static const struct mirror_ops neither_ops = { .size = sizeof(neither_ops) };
static const struct mirror_ops all_ops = { sizeof(all_ops), on_start, on_end, NULL, on_finish };

static const struct mirror_ops *ops_of(char kind)
{
	return has(kind, "s") ? &start_ops : has(kind, "e") ? &end_ops : has(kind, "n") ? &neither_ops :
	       has(kind, "f") ? &all_ops : &both_ops;
}

/* What one bracket must call. */
static struct tally expected(void)
{
	struct tally t = { 0 };
	const struct mirror_ops *ops;
	unsigned nested = strpbrk(scene->mirrors, "cC") ? 1 : 0;

	for (const char *kind = scene->mirrors; *kind; kind++) {
		if (has(*kind, "x"))
			continue;
		ops = ops_of(*kind);
		t.starts += ops->invalidate_range_start != NULL;
		if (has(*kind, "r"))
			break;
		t.finishes += ops->finish != NULL;
		t.ends += ops->invalidate_range_end != NULL;
	}
	/* The one that nests has a start and an end: a bracket in each. */
	return (struct tally){ t.starts * (1 + 2 * nested), t.finishes * (1 + 2 * nested), t.ends * (1 + 2 * nested) };
}

static bool same(struct tally a, struct tally b)
{
	return a.starts == b.starts && a.finishes == b.finishes && a.ends == b.ends;
}

static struct mirror_list_stats stats(void)
{
	struct mirror_list_stats s = { .size = sizeof(s) };

	child_must(mirror_list_get_stats(list, &s) == 0);
	return s;
}

static void list_make(void)
{
	struct mirror_list_attr attr = { .size = sizeof(attr), .flags = scene->flags, .stall_ns = scene->stall_ns };

	child_must(mirror_list_create(&list, &attr) == 0);
	nr_guests = 0;
	for (const char *kind = scene->mirrors; *kind; kind++) {
		struct guest *g = &guests[nr_guests];
		uint64_t first = has(*kind, "x") ? 500 : 0;

		*g = (struct guest){ .kind = *kind, .number = nr_guests };
		nr_guests++;
		if (*kind & 0x20)
			child_must(mirror_register(list, &g->m, ops_of(*kind)) == 0);
		else
			child_must(mirror_register_range(list, &g->m, ops_of(*kind), first, first + 100) == 0);
		if (has(*kind, "w"))
			g->seq = mirror_read_begin(&g->m);
	}
}

/* ---- another thread, for what a handler may not do ---- */

static void (*helper_work)(void);
static uint32_t order, answered;        /* how many */
static pthread_t helper;

static void *help(void *unused)
{
	for (uint32_t seen = 0;; ) {
		if (get(&order) == seen) {
			sched_yield();
			continue;
		}
		seen = get(&order);
		if (!helper_work)
			return unused;
		helper_work();
		set(&answered, seen);
	}
}

static void helper_order(void (*what)(void))
{
	helper_work = what;
	set(&order, order + 1);
}

static bool helper_has_answered(void)
{
	return get(&answered) == order;
}

/* Also where the handler holds it up: then it has to do without. */
static void helper_do(void (*what)(void))
{
	uint64_t late = 0;

	if (!helper_has_answered())
		return;
	helper_order(what);
	for (unsigned turns = 0; !helper_has_answered(); turns++) {
		sched_yield();
		if (turns % 64)
			continue;
		if (!late)
			late = tap_now_ns() + 200000000;
		else if (tap_now_ns() > late)
			return;
	}
}

static void helper_start(void)
{
	order = answered = 0;
	if (pthread_create(&helper, NULL, help, NULL))
		child_must(!"a thread");
}

static void helper_quit(void)
{
	while (!helper_has_answered())
		sched_yield();
	helper_order(NULL);
	pthread_join(helper, NULL);
}

/* ---- grace periods that pass ---- */

#define NR_PASSING 64
#define NR_CROWD   2048

static struct mirror passing[NR_PASSING], crowd[NR_CROWD];
static bool is_late[NR_PASSING];
static unsigned nr_passed;

static int crowd_comes_and_goes(void)
{
	static struct mirror *them[NR_CROWD];
	static struct mirror_extent ranges[NR_CROWD];
	int rc;

	for (int i = 0; i < NR_CROWD; i++) {
		them[i] = &crowd[i];
		ranges[i] = (struct mirror_extent){ 5000 + (uint64_t)i, 5001 + (uint64_t)i };
	}
	rc = mirror_register_many(list, them, &neither_ops, ranges, NR_CROWD);
	return rc ? rc : mirror_unregister_many(them, NR_CROWD);
}

/*
 * Both domains of the list see a grace period, as far as it can come: that of the open brackets by a first fill, that of
 * the walks by an unregister that waits for it, or by retired memory.
 */
static void let_grace_periods_pass(void)
{
	unsigned i = nr_passed++ % NR_PASSING;
	struct mirror *m = &passing[i];
	uint64_t seq;
	int rc;

	if (is_late[i]) {
		rc = mirror_unregister_timeout(m, 1000);
		child_must(rc == 0 || rc == -ETIMEDOUT);
		if (rc)
			return;
		is_late[i] = false;
	}
	child_must(mirror_register_range(list, m, &neither_ops, 5000, 5001) == 0);
	for (int turn = 0; turn < 4; turn++)
		mirror_read_try_begin(m, &seq);
	rc = mirror_unregister_timeout(m, 20000);
	child_must(rc == 0 || rc == -ETIMEDOUT);
	is_late[i] = rc != 0;
	for (int turn = 0; scene->ranges_come_and_go && turn < 5; turn++)
		child_must(crowd_comes_and_goes() == 0);
}

static void passing_end(void)
{
	for (int i = 0; i < NR_PASSING; i++) {
		if (is_late[i])
			child_must(mirror_unregister(&passing[i]) == 0);
		is_late[i] = false;
	}
}

/* No section is open: memory that was retired is used again, and a first fill does not wait for ever. */
static bool grace_periods_end(void)
{
	const unsigned turns = 20;

	child_must(mirror_register(list, &passing[0], &neither_ops) == 0);
	mirror_read_begin(&passing[0]);
	child_must(mirror_unregister(&passing[0]) == 0);
	for (unsigned turn = 0; turn < turns; turn++)
		child_must(crowd_comes_and_goes() == 0);
	/* With MIRROR_LIST_DRAIN_DOMAIN the unregisters have waited for grace periods. */
	return stats().retired_bytes < turns * NR_CROWD * 64 / 2;
}

/* ---- steps and breakpoints ---- */

/* The stepped thread's alone. */
static volatile int stop, next_stop, apart;
static volatile uintptr_t place;        /* of the last interruption */
static void (*volatile at_stop)(void);

/* Instructions that a pass has stopped at, each once. */
static uint8_t *points[MAX_POINTS];
static int nr_points;
static uint16_t seen_at[4 * MAX_POINTS];        /* a hash: 1 + index in points */
static bool recording;

static uint8_t *chosen;                 /* for the next bracket */
static uint8_t *volatile breakpoint;    /* armed: the same */
static uint8_t replaced;                /* the byte that stood there */

static void record(uint8_t *instruction)
{
	size_t i = ((uintptr_t)instruction * UINT64_C(0x9e3779b97f4a7c15)) >> 49;

	for (; seen_at[i]; i = (i + 1) % (4 * MAX_POINTS))
		if (points[seen_at[i] - 1] == instruction)
			return;
	if (nr_points == MAX_POINTS)
		return;
	points[nr_points++] = instruction;
	seen_at[i] = (uint16_t)nr_points;
}

static void disarm(void)
{
	if (breakpoint)
		*(volatile uint8_t *)breakpoint = replaced;
	breakpoint = NULL;
}

/* The next bracket is interrupted there; false: its code cannot be changed. */
static bool choose(uint8_t *instruction)
{
	static uintptr_t writable[64];
	uintptr_t page = (uintptr_t)instruction & ~(uintptr_t)4095;
	uintptr_t *known = &writable[(page >> 12) % 64];

	if (*known != page && mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	*known = page;
	chosen = instruction;
	return true;
}

static void arm(void)
{
	if (!chosen)
		return;
	replaced = *chosen;
	breakpoint = chosen;
	*(volatile uint8_t *)chosen = 0xcc;
}

static void interrupt_if_possible(const ucontext_t *uc)
{
	/* If the library blocks signals there, no handler can come. */
	if (sigismember(&uc->uc_sigmask, SIGUSR1))
		return;
	place = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	at_stop();
}

static __attribute__((noinline)) void on_stop(const ucontext_t *uc, bool at_breakpoint)
{
	int saved = errno;

	if (!at_breakpoint && recording)
		record((uint8_t *)uc->uc_mcontext.gregs[REG_RIP]);
	if (at_breakpoint || stop == next_stop) {
		next_stop += apart;
		interrupt_if_possible(uc);
	}
	stop++;
	errno = saved;
}

/* The breakpoint may stand in a function of libc, so that none is called before it is taken away. */
static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	bool at_breakpoint = breakpoint && (uintptr_t)uc->uc_mcontext.gregs[REG_RIP] == (uintptr_t)breakpoint + 1;

	(void)signal;
	(void)info;
	if (at_breakpoint) {
		uc->uc_mcontext.gregs[REG_RIP]--;
		disarm();
	}
	on_stop(uc, at_breakpoint);
}

/* The next bracket is interrupted at stop @first and at every @every'th after it. */
static void steps_begin(int first, int every)
{
	stepping = true;
	stop = 0;
	next_stop = first;
	apart = every;
}

/* The next bracket is stopped everywhere, and not interrupted. */
static void recording_begin(void)
{
	memset(seen_at, 0, sizeof(seen_at));
	nr_points = 0;
	recording = true;
	steps_begin(-1, 1);
}

static void steps_end(void)
{
	stepping = recording = false;
	disarm();
	chosen = NULL;
}

static void steps_init(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
}

static const char *where(void)
{
	static char text[256];
	Dl_info info;

	if (!dladdr((void *)place, &info))
		return "?";
	snprintf(text, sizeof(text), "%s+%#lx", info.dli_fname, (unsigned long)(place - (uintptr_t)info.dli_fbase));
	return text;
}

/* ---- what the handler does ---- */

static bool start(struct bracket *b)
{
	int rc = mirror_invalidate_range_start(list, &b->range);

	b->open = rc == 0;
	return rc == (b->range.flags ? 0 : -EAGAIN);
}

static void end(struct bracket *b)
{
	if (b->open)
		mirror_invalidate_range_end(list, &b->range);
	b->open = false;
}

static void start_inner(void)
{
	struct bracket *b = &inner[nr_inner];

	bracket_init(b, 11);
	nr_inner++;
	nr_wrong += !start(b);
}

static void handle(void)
{
	if (scene->flips)
		helper_do(let_grace_periods_pass);
	if (work != END && nr_inner < MAX_INNER)
		start_inner();
	if (work == BRACKET)
		end(&inner[nr_inner - 1]);
	else if (work == END && nr_ended < nr_inner)
		end(&inner[nr_ended++]);
}

/* ---- passes ---- */

static uint64_t walks_of_one;          /* of a bracket that is not interrupted */
static bool forwards;
static int nr_told;
static struct rng rng;

/* Fills go on after all brackets have ended, and have seen that there were some. */
static bool fills_go_on(void)
{
	bool good = true;
	uint64_t seq;

	for (int i = 0; i < nr_guests; i++)
		if (has(guests[i].kind, "w")) {
			good &= mirror_read_retry(&guests[i].m, guests[i].seq) &&
				mirror_read_try_begin(&guests[i].m, &seq) && !mirror_read_retry(&guests[i].m, seq);
			guests[i].seq = seq;
		}
	return good;
}

/* Interrupted as was said before. */
static void outer_bracket(void)
{
	bool steps = stepping;

	bracket_init(&outer, 10);
	arm();
	step(steps);
	nr_wrong += !start(&outer);
	end(&outer);
	step(false);
	steps_end();
}

/* @prepared: how many brackets the handler may end. */
static bool pass(unsigned prepared)
{
	struct mirror_list_stats before = stats(), after;
	struct tally want = expected();
	unsigned bad_inner = 0, all;
	uint64_t callbacks;
	bool good, fills;

	nr_inner = nr_ended = nr_wrong = 0;
	place = 0;
	while (work == END && nr_inner < prepared)
		start_inner();
	outer_bracket();
	/* Those that are left open, in one order or the other. */
	for (unsigned i = 0; i < nr_inner; i++)
		end(&inner[forwards ? i : nr_inner - 1 - i]);
	forwards = !forwards;
	for (unsigned i = 0; i < nr_inner; i++)
		bad_inner += !same(inner[i].got, want);
	after = stats();
	all = 1 + nr_inner;
	callbacks = (uint64_t)all * (want.starts + want.finishes + want.ends);
	if (walks_of_one == 0)
		walks_of_one = after.walks - before.walks;
	fills = fills_go_on();
	good = same(outer.got, want) && !bad_inner && !nr_wrong && fills &&
	       after.callbacks - before.callbacks == callbacks &&
	       after.walks - before.walks == all * walks_of_one &&
	       after.refusals - before.refusals == (outer.range.flags ? 0 : all);
	if (!good && nr_told++ < 4)
		diag("%s, work %d, last interrupted at %s: calls %u %u %u, not %u %u %u; of %u inner brackets %u are "
		     "wrong; %u wrong otherwise; fills %d; %" PRIu64 " callbacks counted, not %" PRIu64 "; %" PRIu64
		     " walks, not %" PRIu64 "; %" PRIu64 " refusals", scene->name, (int)work, where(),
		     outer.got.starts, outer.got.finishes, outer.got.ends, want.starts, want.finishes, want.ends, nr_inner, bad_inner, nr_wrong, fills,
		     after.callbacks - before.callbacks, callbacks, after.walks - before.walks, all * walks_of_one,
		     after.refusals - before.refusals);
	return good;
}

/* The bracket runs on its own, and its instructions are known then: how many there were. */
static int look(void)
{
	walks_of_one = 0;
	recording_begin();
	child_must(pass(0));
	child_must(stop > 20 && nr_points > 20);
	return stop;
}

/* How many passes went wrong; a few are enough to know. */
static int passes(int most)
{
	int bad = 0, every, nr_passes, again = 0;
	/* What costs much at each instruction is done at some, others in each run. */
	uint32_t stride = scene->ranges_come_and_go ? (uint32_t)(20 / tap_scale()) + 1 : 1;

	nr_passes = scene->flips ? 0 : (int)(BUDGET / (uint64_t)most) + (most < 10000);
	every = most / APART < MAX_INNER ? APART : most / MAX_INNER + 1;
	nr_told = 0;
	for (int first = 0; first < every && first < nr_passes && bad < 5; first++) {
		steps_begin(first, every);
		bad += !pass((unsigned)(most / every) + 1);
	}
	nr_told = 0;
	for (int i = stride > 1 ? (int)rng_below(&rng, stride) : 0; i < nr_points && again < 5; i += (int)stride)
		if (choose(points[i]))
			again += !pass(1);
	return bad + again;
}

static bool list_unmake(void)
{
	bool good = true;

	passing_end();
	good &= grace_periods_end();
	if (!good)
		diag("%s: no grace period ends", scene->name);
	for (int i = 0; i < nr_guests; i++)
		good &= mirror_unregister_timeout(&guests[i].m, UINT64_C(2000000000)) == 0;
	if (mirror_list_destroy(list) == 0)
		return good;
	diag("%s: the list cannot be destroyed", scene->name);
	return false;
}

static int play(void)
{
	int bad = 0, most;

	at_stop = handle;
	list_make();
	work = BRACKET;
	pass(0); /* first uses, and symbols that are bound */
	most = look();
	if (scene->flips)
		helper_start();
	for (work = BRACKET; work <= scene->most; work++)
		bad += passes(most);
	if (scene->flips)
		helper_quit();
	bad += !list_unmake();
	return bad;
}

/* ---- the first use of a list, and of a thread ---- */

static const struct scene first_use = { .mirrors = "bB", .name = "first use" };

static void *use(void *good)
{
	*(bool *)good = pass(0);
	return NULL;
}

/* One bracket on a list that is new, in this thread or in one that has never used the library. */
static bool first_bracket(bool new_thread, uint8_t *point)
{
	pthread_t thread;
	bool good = true;

	list_make();
	if (point && !choose(point))
		good = true;
	else if (!new_thread)
		good = pass(0);
	else
		good = !pthread_create(&thread, NULL, use, &good) && !pthread_join(thread, NULL) && good;
	for (int i = 0; i < nr_guests; i++)
		good &= mirror_unregister_timeout(&guests[i].m, UINT64_C(2000000000)) == 0;
	good &= mirror_list_destroy(list) == 0;
	return good;
}

static int play_first(bool new_thread)
{
	int bad = 0;

	scene = &first_use;
	work = BRACKET;
	at_stop = handle;
	walks_of_one = 0;
	first_bracket(new_thread, NULL);
	recording_begin();
	child_must(first_bracket(new_thread, NULL));
	for (int i = 0; i < nr_points && bad < 5; i++)
		bad += !first_bracket(new_thread, points[i]);
	return bad;
}

static int play_first_list(void)
{
	return play_first(false);
}

static int play_first_thread(void)
{
	return play_first(true);
}

/* ---- an asynchronous unregister that the handler's bracket completes ---- */

static struct leaver {
	struct mirror m;
	bool hit_by_both;
	int calls_too_late;
	int gone;
	int tid;                        /* where done() ran */
} leaver;
static bool is_inner;                   /* the stepped thread's: it is in the handler */
static bool was_told;

static void leaver_done(struct mirror *m)
{
	(void)m;
	leaver.gone++;
	leaver.tid = (int)syscall(SYS_gettid);
}

static void leaver_goes(void)
{
	child_must(mirror_unregister_async(&leaver.m, leaver_done) == 0);
}

static int leaver_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	leaver.calls_too_late += leaver.gone;
	if (is_inner && !was_told) {
		was_told = true;
		helper_do(leaver_goes);
	}
	return 0;
}

static void leaver_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	leaver.calls_too_late += leaver.gone + is_inner; /* it has left before the inner bracket's end */
}

static const struct mirror_ops leaver_ops = { sizeof(leaver_ops), leaver_start, leaver_end, NULL, NULL };
static const struct scene leaving = { .mirrors = "bF", .name = "done() in the handler" };

static void handle_leaving(void)
{
	struct bracket *b = &inner[0];

	bracket_init(b, 15);
	nr_inner = 1;
	is_inner = true;
	nr_wrong += !start(b);
	end(b);
	is_inner = false;
	/* No other bracket is in a callback of it. */
	if (!leaver.hit_by_both)
		nr_wrong += leaver.gone != 1;
}

static bool leaves(void)
{
	struct tally want = expected();
	bool good;
	int rc;

	leaver.gone = leaver.calls_too_late = 0;
	was_told = false;
	rc = leaver.hit_by_both ? mirror_register(list, &leaver.m, &leaver_ops) :
				  mirror_register_range(list, &leaver.m, &leaver_ops, 20, 21);
	child_must(rc == 0);
	nr_inner = nr_wrong = 0;
	outer_bracket();
	while (!helper_has_answered())
		sched_yield();
	if (nr_inner == 0) {
		child_must(mirror_unregister(&leaver.m) == 0);
		return !nr_wrong && same(outer.got, want) && !leaver.calls_too_late;
	}
	/* The last callback has returned, so that done() has run, and nothing is left to wait for. */
	good = leaver.gone == 1 && leaver.tid == (int)syscall(SYS_gettid) && !leaver.calls_too_late && !nr_wrong &&
	       same(outer.got, want) && same(inner[0].got, want) && mirror_barrier(list) == 0 && leaver.gone == 1;
	if (!good)
		diag("%s, interrupted at %s: %d calls of done(), in %s thread, %d calls too late, %u wrong",
		     scene->name, where(), leaver.gone,
		     leaver.tid == (int)syscall(SYS_gettid) ? "this" : "another", leaver.calls_too_late, nr_wrong);
	return good;
}

static int play_leaving(void)
{
	int bad = 0;

	scene = &leaving;
	work = BRACKET;
	list_make();
	helper_start();
	at_stop = handle_leaving;
	for (int both = 0; both < 2; both++) {
		leaver.hit_by_both = both;
		child_must(leaves());
		recording_begin();
		child_must(leaves());
		for (int i = 0; i < nr_points && bad < 5; i++)
			if (choose(points[i]))
				bad += !leaves();
	}
	helper_quit();
	bad += !list_unmake();
	return bad;
}

/* ---- all of them ---- */

static void in_child(const char *claim, int (*run)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = child_new();
	if (pid == 0) {
		steps_init();
		_exit(run() ? 1 : 0);
	}
	is_int(child_rc(pid), 0, "M3: a handler publishes at any instruction of a bracket: %s", claim);
}

static char crowded[141];

static const struct scene scenes[] = {
	{ "", "no mirror", .most = END },
	{ "b", "one mirror", .most = END },
	{ "s", "one that has no end", .most = END },
	{ "bsen", "whole-list mirrors, with and without callbacks", .most = END },
	{ "bBXSEN", "range mirrors beside", .most = END },
	{ "B", "a range mirror alone", .most = END },
	{ "fbF", "mirrors with finish", .most = END },
	{ "bfrF", "a refusal", .most = BRACKET },
	{ "fBR", "a range mirror's refusal", .most = BRACKET },
	{ "bwW", "mirrors that fill", .most = END },
	{ "bcB", "brackets in callbacks", .most = END },
	{ crowded, "more hits than fit on the stack", .most = BRACKET },
	{ "bBF", "full fences", .flags = MIRROR_LIST_FULL_FENCE, .most = END },
	{ "bF", "stalls are watched", .stall_ns = UINT64_C(3600000000000), .most = END },
	{ "bB", "grace periods pass before", .flags = MIRROR_LIST_DRAIN_DOMAIN, .flips = true, .most = OPEN },
};

static const struct scene crowd_scene = { "b", "memory is retired and used again before", .flips = true,
					  .ranges_come_and_go = true, .most = BRACKET };

int main(int argc, char **argv)
{
	memset(crowded, 'B', sizeof(crowded) - 1);
	rng_init(&rng, 0);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		scene = &scenes[i];
		if (argc < 2 || !strcmp(argv[1], scene->name))
			in_child(scene->name, play);
	}
	scene = &crowd_scene;
	if (argc < 2)
		in_child(scene->name, play);
	if (argc < 2) {
		in_child("a thread's first bracket on the list", play_first_list);
		in_child("a thread's first use of the library", play_first_thread);
		in_child("done() runs in the handler", play_leaving);
	}
	return done_testing();
}

#endif
