/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A small producer of TAP, the Test Anything Protocol, with what concurrent tests need beside it.
 *
 *     plan(n) first or done_testing() last; ok() and is_int() between, from any thread
 *     skip(), skip_all(), diag(), bail_out()
 *     struct gate       lets one thread wait for another; no test orders threads by sleeping
 *     struct rng        seeded numbers, one stream for each thread
 *     scaled(), scaled_ms()
 *
 * Environment:
 *     MIRROR_TEST_SCALE  multiplies durations and numbers of rounds (default 1)
 *     MIRROR_TEST_SEED   the seed; printed when first used, so that a failure can be run again
 *     TAP_WATCHDOG       seconds after which a hung program bails out and aborts (default 60, 0 for never)
 *
 * Each program includes this file from one source file: the counters are static. Nothing here uses assert(), so
 * that NDEBUG changes nothing. The file compiles as C11 and as C++17.
 */
#ifndef MIRROR_TAP_H
#define MIRROR_TAP_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* planned, run and failed are under lock. */
static struct tap_state {
	pthread_mutex_t lock;
	int planned;            /* -1 until plan() */
	int run;
	int failed;
} tap_state_ = { PTHREAD_MUTEX_INITIALIZER, -1, 0, 0 };

#define TAP_PRINTF_(f, a) __attribute__((format(printf, f, a)))

/* ---- lines of output ------------------------------------------------------------------------------------------ */

/* Writes a message as diagnostic lines; the caller holds the lock. */
static inline void tap_vdiag_(const char *fmt, va_list args) TAP_PRINTF_(1, 0);
static inline void tap_vdiag_(const char *fmt, va_list args)
{
	char text[4096];

	vsnprintf(text, sizeof(text), fmt, args);
	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		printf("# %s\n", line);
	}
	fflush(stdout);
}

static inline void diag(const char *fmt, ...) TAP_PRINTF_(1, 2);
static inline void diag(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&tap_state_.lock);
	va_start(args, fmt);
	tap_vdiag_(fmt, args);
	va_end(args);
	pthread_mutex_unlock(&tap_state_.lock);
}

static inline void bail_out(const char *fmt, ...) TAP_PRINTF_(1, 2) __attribute__((noreturn));
static inline void bail_out(const char *fmt, ...)
{
	va_list args;

	pthread_mutex_lock(&tap_state_.lock);
	va_start(args, fmt);
	printf("Bail out! ");
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	_exit(255);
}

static inline void plan(int nr_tests)
{
	pthread_mutex_lock(&tap_state_.lock);
	tap_state_.planned = nr_tests;
	printf("1..%d\n", nr_tests);
	fflush(stdout);
	pthread_mutex_unlock(&tap_state_.lock);
}

/* Ends the program's main(): `return done_testing();`. Prints the plan unless plan() did. */
static inline int done_testing(void)
{
	bool good;

	pthread_mutex_lock(&tap_state_.lock);
	if (tap_state_.planned < 0) {
		tap_state_.planned = tap_state_.run;
		printf("1..%d\n", tap_state_.planned);
	}
	if (tap_state_.planned != tap_state_.run)
		printf("# planned %d tests, ran %d\n", tap_state_.planned, tap_state_.run);
	if (tap_state_.failed != 0)
		printf("# failed %d of %d tests\n", tap_state_.failed, tap_state_.run);
	fflush(stdout);
	good = tap_state_.failed == 0 && tap_state_.planned == tap_state_.run;
	pthread_mutex_unlock(&tap_state_.lock);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Ends the program: none of its tests can run here. */
static inline void skip_all(const char *fmt, ...) TAP_PRINTF_(1, 2) __attribute__((noreturn));
static inline void skip_all(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("1..0 # SKIP ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	exit(EXIT_SUCCESS);
}

/* Stands in for nr_tests tests that cannot run here. */
static inline void skip(int nr_tests, const char *fmt, ...) TAP_PRINTF_(2, 3);
static inline void skip(int nr_tests, const char *fmt, ...)
{
	char reason[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	pthread_mutex_lock(&tap_state_.lock);
	while (nr_tests-- > 0)
		printf("ok %d # SKIP %s\n", ++tap_state_.run, reason);
	fflush(stdout);
	pthread_mutex_unlock(&tap_state_.lock);
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

/* One test line; `why` is the diagnostic of a failure. Returns whether the test passed. */
static inline bool tap_result_(bool pass, const char *file, int line, const char *why, const char *fmt, va_list args)
	TAP_PRINTF_(5, 0);
static inline bool tap_result_(bool pass, const char *file, int line, const char *why, const char *fmt, va_list args)
{
	pthread_mutex_lock(&tap_state_.lock);
	printf("%sok %d - ", pass ? "" : "not ", ++tap_state_.run);
	vprintf(fmt, args);
	printf("\n");
	if (!pass) {
		tap_state_.failed++;
		printf("#   %s:%d: %s\n", file, line, why);
	}
	fflush(stdout);
	pthread_mutex_unlock(&tap_state_.lock);
	return pass;
}

static inline bool tap_ok_(bool pass, const char *file, int line, const char *text, const char *fmt, ...)
	TAP_PRINTF_(5, 6);
static inline bool tap_ok_(bool pass, const char *file, int line, const char *text, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	pass = tap_result_(pass, file, line, text, fmt, args);
	va_end(args);
	return pass;
}

/* A negative number is most often -errno, and its name says more. */
static inline const char *tap_name_(intmax_t value)
{
	const char *name = value < 0 && value > -4096 ? strerrorname_np((int)-value) : NULL;

	return name != NULL ? name : "";
}

static inline bool tap_is_int_(intmax_t got, intmax_t want, const char *file, int line, const char *text,
			       const char *fmt, ...) TAP_PRINTF_(6, 7);
static inline bool tap_is_int_(intmax_t got, intmax_t want, const char *file, int line, const char *text,
			       const char *fmt, ...)
{
	char why[512];
	va_list args;
	bool pass = got == want;

	snprintf(why, sizeof(why), "%s is %" PRIdMAX " %s, not %" PRIdMAX " %s", text, got, tap_name_(got), want,
		 tap_name_(want));
	va_start(args, fmt);
	tap_result_(pass, file, line, why, fmt, args);
	va_end(args);
	return pass;
}

/* ok(condition, "M5: what is claimed", ...) and is_int(got, want, "...", ...): true when the test passed. */
#define ok(cond, ...) tap_ok_(!!(cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
#define is_int(got, want, ...) tap_is_int_((got), (want), __FILE__, __LINE__, #got, __VA_ARGS__)

/* ---- scale and seed ------------------------------------------------------------------------------------------- */

static inline double tap_scale(void)
{
	const char *text = getenv("MIRROR_TEST_SCALE");
	double scale = text != NULL ? strtod(text, NULL) : 1;

	return scale > 0 ? scale : 1;
}

/* A number of rounds, or a duration in milliseconds, at the scale asked for; never less than 1. */
static inline uint64_t scaled(uint64_t count)
{
	double value = (double)count * tap_scale();

	return value < 1 ? 1 : (uint64_t)value;
}

static inline unsigned scaled_ms(unsigned ms)
{
	return (unsigned)scaled(ms);
}

static inline uint64_t tap_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint64_t tap_seed_value_;
static pthread_once_t tap_seed_once_ = PTHREAD_ONCE_INIT;

static inline void tap_choose_seed_(void)
{
	const char *text = getenv("MIRROR_TEST_SEED");

	tap_seed_value_ = text != NULL ? strtoull(text, NULL, 0) : tap_now_ns() ^ ((uint64_t)getpid() << 32);
	diag("MIRROR_TEST_SEED=%" PRIu64, tap_seed_value_);
}

static inline uint64_t tap_seed(void)
{
	pthread_once(&tap_seed_once_, tap_choose_seed_);
	return tap_seed_value_;
}

/* xorshift64*; owned by one thread. Streams of one seed are unrelated, because splitmix64 scatters their starts. */
struct rng {
	uint64_t state;
};

static inline void rng_init(struct rng *rng, uint64_t stream)
{
	uint64_t z = tap_seed() + (stream + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	rng->state = z != 0 ? z : 1;
}

static inline uint64_t rng_next(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return rng->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* A number in [0, bound); the bias is bound / 2^32 at most. */
static inline uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	return (uint32_t)(((rng_next(rng) >> 32) * bound) >> 32);
}

/* ---- handshakes ----------------------------------------------------------------------------------------------- */

/* Closed until someone opens it; then everybody passes. `open` is under lock. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
};

#define GATE_INITIALIZER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false }

static inline void gate_init(struct gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
	gate->open = false;
}

static inline void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static inline void gate_close(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = false;
	pthread_mutex_unlock(&gate->lock);
}

static inline void gate_wait(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

/* Whether the gate was open within ms milliseconds; with 0, whether it is open now. */
static inline bool gate_wait_ms(struct gate *gate, unsigned ms)
{
	uint64_t deadline_ns = tap_now_ns() + (uint64_t)ms * 1000000;
	struct timespec deadline;
	bool open;
	int err = 0;

	deadline.tv_sec = (time_t)(deadline_ns / 1000000000);
	deadline.tv_nsec = (long)(deadline_ns % 1000000000);
	pthread_mutex_lock(&gate->lock);
	while (!gate->open && err == 0)
		err = pthread_cond_clockwait(&gate->changed, &gate->lock, CLOCK_MONOTONIC, &deadline);
	open = gate->open;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

/*
 * Whether thread `tid` (its gettid()) was seen asleep in the kernel within ms milliseconds. A call that blocks cannot
 * open a gate from inside its wait; a test that needs "B waits, then C comes" has B open a gate before the call, and
 * then asks this.
 */
static inline bool thread_asleep_ms(pid_t tid, unsigned ms)
{
	uint64_t deadline_ns = tap_now_ns() + (uint64_t)ms * 1000000;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	do {
		char text[256];
		FILE *file = fopen(path, "r");
		size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
		const char *end;

		if (file != NULL)
			fclose(file);
		text[length] = '\0';
		/* The name, in parentheses, may itself hold blanks and parentheses. */
		end = strrchr(text, ')');
		if (end != NULL && end[1] == ' ' && end[2] == 'S')
			return true;
		sched_yield();
	} while (tap_now_ns() < deadline_ns);
	return false;
}

/* ---- watchdog ------------------------------------------------------------------------------------------------- */

/*
 * A thread, not a signal: ThreadSanitizer holds signals back from a thread that hangs in a raw futex call, which is
 * just the case that matters. It writes without the lock and without stdio, as the hung thread may hold both.
 */
static inline void *tap_watchdog_(void *arg)
{
	struct timespec left;
	char text[256];
	int length;

	left.tv_sec = (time_t)(intptr_t)arg;
	left.tv_nsec = 0;
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
	length = snprintf(text, sizeof(text), "\nBail out! %s hung: not finished after %d s, %d tests run\n",
			  program_invocation_short_name, (int)(intptr_t)arg,
			  __atomic_load_n(&tap_state_.run, __ATOMIC_RELAXED));
	if (write(STDOUT_FILENO, text, (size_t)length) < 0)
		abort();
	abort();
}

__attribute__((constructor)) static void tap_start_watchdog_(void)
{
	const char *text = getenv("TAP_WATCHDOG");
	long seconds = text != NULL ? strtol(text, NULL, 10) : 60;
	sigset_t all, before;
	pthread_t thread;

	if (seconds <= 0)
		return;
	/* Signals that a test sends to its process are meant for the test's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, tap_watchdog_, (void *)(intptr_t)seconds) != 0)
		bail_out("cannot start the watchdog");
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#endif /* MIRROR_TAP_H */
