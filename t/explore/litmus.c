/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Tests of the explorer itself: small programs whose possible outcomes are known.
 *
 * What a memory model allows must be found under it; what it forbids must not be.
 */
#include "port.h"

static uint64_t x, y;
static int r0, r1, r2, r3;

/* ---- store buffering: allowed as soon as a store can be late ---- */

static void sb_0(void) { store_relaxed(&x, 1); r0 = (int)load_relaxed(&y); }
static void sb_1(void) { store_relaxed(&y, 1); r1 = (int)load_relaxed(&x); }
static void sb_check(void) { x_assert(r0 == 1 || r1 == 1); }

static void sb_fence_0(void) { store_relaxed(&x, 1); fence_full(); r0 = (int)load_relaxed(&y); }
static void sb_fence_1(void) { store_relaxed(&y, 1); fence_full(); r1 = (int)load_relaxed(&x); }

static void sb_rmw_0(void) { exchange(&x, 1); r0 = (int)load_relaxed(&y); }
static void sb_rmw_1(void) { fetch_add(&y, 1); r1 = (int)load_relaxed(&x); }

static void sb_light_0(void) { own_inc(&x); fence_light(true); r0 = (int)load_relaxed(&y); }
static void sb_heavy_1(void) { store_relaxed(&y, 1); fence_heavy(true); r1 = (int)load_relaxed(&x); }
static void sb_light_1(void) { store_relaxed(&y, 1); fence_light(true); r1 = (int)load_relaxed(&x); }
static void sb_full_0(void) { own_inc(&x); fence_light(false); r0 = (int)load_relaxed(&y); }
static void sb_full_1(void) { store_relaxed(&y, 1); fence_heavy(false); r1 = (int)load_relaxed(&x); }

/* What fence_heavy does when membarrier fails: nothing to rely on. */
static void sb_denied_1(void)
{
	store_relaxed(&y, 1);
	r1 = fence_heavy(true) ? 1 : (int)load_relaxed(&x);
}
static void sb_ignored_1(void)
{
	store_relaxed(&y, 1);
	(void)fence_heavy(true);
	r1 = (int)load_relaxed(&x);
}

/* A mutex orders what it guards, but its unlock is no full fence. */
static struct port_mutex mutex = PORT_MUTEX_INITIALIZER, mutex2 = PORT_MUTEX_INITIALIZER;
static void sb_unlock_0(void)
{
	port_mutex_lock(&mutex);
	store_relaxed(&x, 1);
	port_mutex_unlock(&mutex);
	r0 = (int)load_relaxed(&y);
}
static void sb_unlock_1(void)
{
	port_mutex_lock(&mutex2);
	store_relaxed(&y, 1);
	port_mutex_unlock(&mutex2);
	r1 = (int)load_relaxed(&x);
}

/* ---- message passing: allowed when stores to two addresses can change places ---- */

static void mp_0(void) { store_relaxed(&x, 1); store_relaxed(&y, 1); }
static void mp_release_0(void) { store_relaxed(&x, 1); store_release(&y, 1); }
static void mp_dec_0(void) { store_relaxed(&x, 1); own_inc(&y); }
static void mp_later_0(void) { store_release(&x, 1); store_relaxed(&y, 1); }
static void mp_1(void) { r0 = (int)load_acquire(&y); r1 = (int)load_relaxed(&x); }
static void mp_check(void) { x_assert(r0 == 0 || r1 == 1); }

/* ---- load buffering, which no model here has ---- */

static void lb_0(void) { r0 = (int)load_relaxed(&x); store_relaxed(&y, 1); }
static void lb_1(void) { r1 = (int)load_relaxed(&y); store_relaxed(&x, 1); }
static void lb_check(void) { x_assert(r0 == 0 || r1 == 0); }

/* ---- two writers, two readers that disagree on the order: no model here ---- */

static void iriw_0(void) { store_relaxed(&x, 1); }
static void iriw_1(void) { store_relaxed(&y, 1); }
static void iriw_2(void) { r0 = (int)load_relaxed(&x); r1 = (int)load_relaxed(&y); }
static void iriw_3(void) { r2 = (int)load_relaxed(&y); r3 = (int)load_relaxed(&x); }
static void iriw_check(void) { x_assert(!(r0 == 1 && r1 == 0 && r2 == 1 && r3 == 0)); }

/* ---- 2+2W: the first store of each wins, only where they can change places ---- */

static void w22_0(void) { store_relaxed(&x, 1); store_relaxed(&y, 2); }
static void w22_1(void) { store_relaxed(&y, 1); store_relaxed(&x, 2); }
static void w22_check(void) { x_assert(!(x == 1 && y == 1)); }

/* ---- R: a store that is late against a store ---- */

static void r_0(void) { store_relaxed(&x, 1); store_relaxed(&y, 1); }
static void r_1(void) { store_relaxed(&y, 2); r0 = (int)load_relaxed(&x); }
static void r_check(void) { x_assert(!(y == 2 && r0 == 0)); }

/* ---- a thread sees its own store before others do ---- */

static void n6_0(void) { store_relaxed(&x, 1); r0 = (int)load_relaxed(&x); r1 = (int)load_relaxed(&y); }
static void n6_1(void) { store_relaxed(&y, 2); store_relaxed(&x, 2); }
static void n6_check(void) { x_assert(!(r0 == 1 && r1 == 0 && x == 1)); }

/* Its own store is what it reads, though, whatever else is late. */
static void own_0(void) { store_relaxed(&x, 1); x_assert(load_relaxed(&x) != 0); }
static void own_1(void) { r0 = (int)load_relaxed(&x); r1 = (int)load_relaxed(&x); }
static void own_check(void) { x_assert(r1 >= r0); }

/* ---- Peterson's lock ---- */

static uint64_t want[2], turn;
static int inside, entered;

static void peterson(int me, bool fence)
{
	store_relaxed(&want[me], 1);
	store_relaxed(&turn, (uint64_t)!me);
	if (fence)
		fence_full();
	while (load_acquire(&want[!me]) && load_acquire(&turn) == (uint64_t)!me)
		port_relax();
	inside++;
	x_yield();
	x_assert(inside == 1);
	inside--;
	entered++;
	store_release(&want[me], 0);
}
static void peterson_0(void) { peterson(0, false); }
static void peterson_1(void) { peterson(1, false); }
static void peterson_fence_0(void) { peterson(0, true); }
static void peterson_fence_1(void) { peterson(1, true); }
static void peterson_check(void) { x_assert(entered == 2); }

/* ---- a counter ---- */

static void lost_update(void) { store_relaxed(&x, load_relaxed(&x) + 1); }
static void own_by_two(void) { own_inc(&x); }
static void atomic_update(void) { fetch_add(&x, 1); }
static void cas_update(void)
{
	uint64_t old = load_relaxed(&x);

	while (!compare_exchange(&x, &old, old + 1))
		;
}
static void locked_update(void)
{
	port_mutex_lock(&mutex);
	x++;
	x_yield();
	port_mutex_unlock(&mutex);
}
static void is_two(void) { x_assert(x == 2); }
static void is_three(void) { x_assert(x == 3); }

/* ---- sleeping ---- */

static uint32_t word, sleeping;

static void sleeper_lossy(void)
{
	/* Checks, then sleeps on a word that does not change: the wake between is lost. */
	if (!load_acquire(&x))
		port_futex_wait(&word, 0, PORT_FOREVER);
}
static void waker_lossy(void) { store_release(&x, 1); port_futex_wake(&word, 1); }

static void sleeper(void)
{
	while (!load_acquire(&word))
		port_futex_wait(&word, 0, PORT_FOREVER);
}
static void sleeper_timed(void)
{
	while (!load_acquire(&word) && port_futex_wait(&word, 0, port_deadline(1000)) == 0)
		;
	r0 = (int)load_acquire(&word);
}
static void sleeper_once(void) { port_futex_wait(&word, 0, PORT_FOREVER); r0 = (int)load_acquire(&word); }
static void waker(void) { store_release(&word, 1); port_futex_wake(&word, 1); }
static void waker_of_all(void) { store_release(&word, 1); port_futex_wake(&word, 2); }
static void woken_check(void) { x_assert(r0 == 1); }

/* The waker looks for a sleeper first, which saves the call; both sides then need fences. */
static void sleeper_flag(bool fence)
{
	store_relaxed(&sleeping, 1);
	if (fence)
		fence_full();
	while (!load_acquire(&x))
		port_futex_wait(&sleeping, 1, PORT_FOREVER);
}
static void waker_flag(bool fence)
{
	store_relaxed(&x, 1);
	if (fence)
		fence_full();
	if (load_relaxed(&sleeping)) {
		store_relaxed(&sleeping, 0);
		port_futex_wake(&sleeping, 1);
	}
}
static void sleeper_flag_fence(void) { sleeper_flag(true); }
static void waker_flag_fence(void) { waker_flag(true); }
static void waker_flag_none(void) { waker_flag(false); }

/* ---- spinning ---- */

static void spinner(void) { while (!load_acquire(&x)) port_relax(); }
static void spin_writer(void) { store_relaxed(&x, 1); }
static void spinner_bounded(void)
{
	for (int i = 0; i < 3 && !load_acquire(&x); i++)
		port_relax();
	r0 = load_acquire(&x) ? 1 : 2;
}
static void never_two(void) { x_assert(r0 != 2); }

/* ---- deadlock ---- */

static void lock_ab(void)
{
	port_mutex_lock(&mutex);
	port_mutex_lock(&mutex2);
	port_mutex_unlock(&mutex2);
	port_mutex_unlock(&mutex);
}
static void lock_ba(void)
{
	port_mutex_lock(&mutex2);
	port_mutex_lock(&mutex);
	port_mutex_unlock(&mutex);
	port_mutex_unlock(&mutex2);
}

/* ---- memory ---- */

static uint64_t *object;

static void object_setup(void) { object = port_alloc(8); }
static void object_free(void) { port_free(object); }
static void object_use(void) { store_relaxed(object, 1); }
static void object_touch(void) { x_touch(object); }
static void object_use_flag(void) { store_relaxed(object, 1); store_release(&x, 1); }
static void object_use_late(void) { store_relaxed(object, 1); store_relaxed(&x, 1); }
static void object_free_flag(void) { spinner(); port_free(object); }
static void object_past(void) { (void)load_relaxed(&object[1]); }
static void object_drop(void) { if (x_self() == 0) object = NULL; }

static void alloc_needed(void)
{
	uint64_t *p = port_alloc(8);

	x_assert(p);
	port_free(p);
}
static void alloc_checked(void)
{
	uint64_t *p = port_alloc(8);

	r0 += !p;
	port_free(p);
}

/* ---- threads ---- */

static struct port_thread thread;
static void *helper(void *arg) { store_relaxed((uint64_t *)arg, 1); return NULL; }
static void start_join(void)
{
	if (port_thread_start(&thread, helper, &x))
		return;
	port_thread_join(&thread);
	x_assert(x == 1);
}

/* ---- signals ---- */

static void handler(void) { own_inc(&x); }
static void handler_assigns(void) { store_relaxed(&x, load_relaxed(&x) + 1); }
static void interrupted(void) { own_inc(&x); }
static void interrupted_split(void) { store_relaxed(&x, load_relaxed(&x) + 1); }
static void handler_locks(void) { port_mutex_lock(&mutex); port_mutex_unlock(&mutex); }
static void at_most_two(void) { x_assert(x == 1 || x == 2); }
static void exactly_once(void) { x_assert(x != 1); }
static void not_once_after_signal(void) { x_assert(x == 2 || r1 == 0); }
static void handler_notes(void) { handler_assigns(); r1 = 1; }
static void enters(void) { own_enter(&x); }
static void enters_and_leaves(void) { own_enter(&x); (void)own_leave(&x); }
static void handler_enters(void) { own_enter(&x); r1 = 1; }
static void handler_in_pairs(void) { enters_and_leaves(); r1 = 1; }
static void exactly_one(void) { x_assert(x == 1); }
static void none_left(void) { x_assert(x == 0); }

/* One line for each: name, claim, threads, check, models that must show a failure. */
#define T2(n, c, a, b, k, fail) { .name = n, .claim = c, .thread = { a, b }, .check = k, \
	.models = X_ALL, .must_fail = fail, .quick = 3, .full = 6 }

const struct x_scenario x_scenarios[] = {
	T2("sb", "both may miss the other's store", sb_0, sb_1, sb_check, X_WEAK),
	T2("sb-fence", "not with full fences", sb_fence_0, sb_fence_1, sb_check, 0),
	T2("sb-one-fence", "one fence is not enough", sb_fence_0, sb_1, sb_check, X_WEAK),
	T2("sb-rmw", "not with read-modify-writes", sb_rmw_0, sb_rmw_1, sb_check, 0),
	T2("sb-membarrier", "not with a light and a heavy fence", sb_light_0, sb_heavy_1, sb_check, 0),
	T2("sb-light", "two light fences are not enough", sb_light_0, sb_light_1, sb_check, X_WEAK),
	T2("sb-fallback", "without membarrier both are full", sb_full_0, sb_full_1, sb_check, 0),
	T2("sb-unlock", "unlocking is no full fence", sb_unlock_0, sb_unlock_1, sb_check, X_WEAK),
	{ .name = "sb-denied", .claim = "a membarrier that fails is noticed",
	  .thread = { sb_light_0, sb_denied_1 }, .check = sb_check, .models = X_ALL,
	  .flags = X_MEMBARRIER_DIES, .quick = 3, .full = 6 },
	{ .name = "sb-ignored", .claim = "a membarrier that fails orders nothing",
	  .thread = { sb_light_0, sb_ignored_1 }, .check = sb_check, .models = X_ALL,
	  .must_fail = X_WEAK, .flags = X_MEMBARRIER_DIES, .quick = 3, .full = 6 },
	T2("mp", "two stores change places under PSO alone", mp_0, mp_1, mp_check, X_PSO),
	T2("mp-release", "not past a release", mp_release_0, mp_1, mp_check, 0),
	T2("mp-own", "not past own_inc, which is a release", mp_dec_0, mp_1, mp_check, 0),
	T2("mp-later", "a later store may pass a release", mp_later_0, mp_1, mp_check, X_PSO),
	T2("lb", "loads never see the future", lb_0, lb_1, lb_check, 0),
	{ .name = "iriw", .claim = "all see one order of the stores",
	  .thread = { iriw_0, iriw_1, iriw_2, iriw_3 }, .check = iriw_check, .models = X_ALL,
	  .quick = 3, .full = 6 },
	T2("2+2w", "both first stores last under PSO alone", w22_0, w22_1, w22_check, X_PSO),
	T2("r", "a store late against a store", r_0, r_1, r_check, X_WEAK),
	T2("n6", "a thread reads its own store early", n6_0, n6_1, n6_check, X_WEAK),
	T2("own", "one address is always in order", own_0, own_1, own_check, 0),
	T2("peterson", "Peterson's lock needs a fence", peterson_0, peterson_1, peterson_check, X_WEAK),
	/* Under PSO its two stores change places, and it takes one between them as well. */
	T2("peterson-fence", "with one it is right where stores keep their order",
	   peterson_fence_0, peterson_fence_1, peterson_check, X_PSO),
	T2("update-plain", "load and store lose an update", lost_update, lost_update, is_two, X_ALL),
	T2("update-own", "own_inc by two threads loses an update", own_by_two, own_by_two, is_two, X_ALL),
	{ .name = "update-atomic", .claim = "fetch_add and compare_exchange lose none",
	  .thread = { atomic_update, cas_update, cas_update }, .check = is_three, .models = X_ALL,
	  .quick = 3, .full = 6 },
	T2("update-locked", "nor does a lock", locked_update, locked_update, is_two, 0),
	T2("wake-lost", "a wake between look and sleep is lost", sleeper_lossy, waker_lossy, NULL, X_ALL),
	T2("wake", "a futex on the word itself loses none", sleeper, waker, NULL, 0),
	{ .name = "wake-one", .claim = "two sleepers need two wakes",
	  .thread = { sleeper, sleeper, waker }, .models = X_ALL, .must_fail = X_ALL,
	  .quick = 3, .full = 6 },
	{ .name = "wake-all", .claim = "or one for both",
	  .thread = { sleeper, sleeper, waker_of_all }, .models = X_ALL, .quick = 3, .full = 6 },
	T2("wake-flag", "a flag for the sleeper, with fences", sleeper_flag_fence, waker_flag_fence, NULL, 0),
	T2("wake-flag-none", "and without the waker's fence", sleeper_flag_fence, waker_flag_none, NULL, X_WEAK),
	{ .name = "timeout", .claim = "a sleep may end by its deadline",
	  .thread = { sleeper_timed, waker }, .check = woken_check, .models = X_ALL,
	  .must_fail = X_ALL, .flags = X_TIMEOUTS, .quick = 3, .full = 6 },
	T2("timeout-off", "but only where that is enabled", sleeper_timed, waker, woken_check, 0),
	{ .name = "timeout-forced", .claim = "or nobody else can run",
	  .thread = { sleeper_timed }, .models = X_ALL, .quick = 3, .full = 6 },
	{ .name = "spurious", .claim = "a sleep may end for no reason",
	  .thread = { sleeper_once, waker }, .check = woken_check, .models = X_ALL,
	  .must_fail = X_ALL, .flags = X_SPURIOUS, .quick = 3, .full = 6 },
	T2("spurious-off", "but only where that is enabled", sleeper_once, waker, woken_check, 0),
	T2("spin", "spinning ends when the store arrives", spinner, spin_writer, NULL, 0),
	{ .name = "spin-alone", .claim = "or never", .thread = { spinner }, .models = X_ALL,
	  .must_fail = X_ALL, .quick = 3, .full = 6 },
	{ .name = "spin-bounded", .claim = "spinning may give up",
	  .thread = { spinner_bounded, spin_writer }, .check = never_two, .models = X_ALL,
	  .must_fail = X_ALL, .flags = X_IMPATIENT, .quick = 3, .full = 6 },
	T2("deadlock", "locks in two orders", lock_ab, lock_ba, NULL, X_ALL),
	T2("deadlock-not", "locks in one order", lock_ab, lock_ab, NULL, 0),
#define OBJECT(n, c, a, b, fail) { .name = n, .claim = c, .setup = object_setup, .thread = { a, b }, \
	.models = X_ALL, .must_fail = fail, .quick = 3, .full = 6 }
	OBJECT("free-used", "use after free", object_free, object_use, X_ALL),
	OBJECT("free-touched", "use of a plain object after free", object_free, object_touch, X_ALL),
	OBJECT("free-flag", "no use after free behind a release", object_free_flag, object_use_flag, 0),
	OBJECT("free-late", "a store that arrives after the free", object_free_flag, object_use_late, X_PSO),
	OBJECT("free-twice", "double free", object_free, object_free, X_ALL),
	OBJECT("past-end", "an access past the end", object_past, NULL, X_ALL),
	OBJECT("leak", "memory that nobody freed", object_drop, NULL, X_ALL),
	{ .name = "alloc", .claim = "an allocation that must succeed", .thread = { alloc_needed },
	  .models = X_ALL, .must_fail = X_ALL, .flags = X_ALLOC_FAILS, .quick = 3, .full = 6 },
	{ .name = "alloc-checked", .claim = "an allocation that need not",
	  .thread = { alloc_checked, alloc_checked }, .models = X_ALL, .flags = X_ALLOC_FAILS,
	  .quick = 3, .full = 6 },
	{ .name = "thread", .claim = "a thread started, or not, and joined", .thread = { start_join },
	  .models = X_ALL, .flags = X_THREAD_FAILS, .quick = 3, .full = 6 },
	{ .name = "signal", .claim = "own_inc is one step to a handler", .thread = { interrupted },
	  .check = at_most_two, .signal = handler, .signal_threads = 1, .models = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-comes", .claim = "the handler does run", .thread = { interrupted },
	  .check = at_most_two, .signal = handler_locks, .signal_threads = 1, .models = X_ALL,
	  .quick = 3, .full = 6 },
	{ .name = "signal-found", .claim = "before or after", .thread = { interrupted },
	  .check = exactly_once, .signal = handler, .signal_threads = 1, .models = X_ALL,
	  .must_fail = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-split", .claim = "load and store are two steps to a handler",
	  .thread = { interrupted_split }, .check = not_once_after_signal, .signal = handler_notes,
	  .signal_threads = 1, .models = X_ALL, .must_fail = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-enter", .claim = "own_enter is two steps to a handler that does not leave",
	  .thread = { enters }, .check = not_once_after_signal, .signal = handler_enters,
	  .signal_threads = 1, .models = X_ALL, .must_fail = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-in-pairs", .claim = "to one that leaves what it entered it may be any number",
	  .thread = { enters }, .check = exactly_one, .signal = handler_in_pairs,
	  .signal_threads = 1, .models = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-leave", .claim = "nor does it disturb own_leave",
	  .thread = { enters_and_leaves }, .check = none_left, .signal = handler_in_pairs,
	  .signal_threads = 1, .models = X_ALL, .quick = 3, .full = 6 },
	{ .name = "signal-lock", .claim = "a handler takes a lock that its thread holds",
	  .thread = { locked_update }, .signal = handler_locks, .signal_threads = 1,
	  .models = X_ALL, .must_fail = X_ALL, .quick = 3, .full = 6 },
	{ .name = NULL },
};
