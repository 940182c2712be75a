/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the programs of t/usrcu share: flavours of domains, threads that hold a section, threads
 * that wait for a grace period, children, sizes.
 */
#ifndef MIRROR_USRCU_TEST_H
#define MIRROR_USRCU_TEST_H

#include "tap.h"

#include <mirror/usrcu.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Generous: a slow machine must not fail, only a hang. */
#define LONG_MS  20000
/* For what must time out; short, since it is waited for in full. */
#define SHORT_NS UINT64_C(2000000)
#define LONG_NS  (LONG_MS * UINT64_C(1000000))

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZED 1
#endif
#endif
#ifndef THREAD_SANITIZED
#define THREAD_SANITIZED 0
#endif

#define get(p)    __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define set(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define add(p, v) __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)

/* ---- flavours ---- */

static const struct flavour {
	const char *name;
	unsigned flags;
} flavours[] = { { "membarrier", 0 }, { "fences", USRCU_FULL_FENCE } };

static const struct flavour *flavour = &flavours[0];

/* Runs the tests in each flavour, or in the one that the command line names. */
static inline void for_each_flavour(int argc, char **argv, void (*tests)(void))
{
	bool any = false;

	for (size_t i = 0; i < sizeof(flavours) / sizeof(flavours[0]); i++) {
		if (argc > 1 && strcmp(argv[1], flavours[i].name) != 0)
			continue;
		any = true;
		flavour = &flavours[i];
		tests();
	}
	if (!any)
		bail_out("usage: %s [membarrier|fences]", argv[0]);
}

static inline struct usrcu *new_domain_with(struct usrcu_attr attr)
{
	struct usrcu *domain = NULL;
	int rc;

	attr.size = sizeof(attr);
	attr.flags |= flavour->flags;
	rc = usrcu_create(&domain, &attr);
	if (rc != 0)
		bail_out("usrcu_create: %s", strerror(-rc));
	return domain;
}

static inline struct usrcu *new_domain(unsigned flags)
{
	return new_domain_with((struct usrcu_attr){ .flags = flags });
}

static inline bool membarrier_works(void)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return commands > 0 && commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED;
}

/* ---- threads ---- */

static inline pthread_t start(void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, run, arg);

	if (rc != 0)
		bail_out("pthread_create: %s", strerror(rc));
	return thread;
}

static inline void *join(pthread_t thread)
{
	void *result = NULL;

	pthread_join(thread, &result);
	return result;
}

/* A joined thread may still answer for some microseconds; from then on the kernel does not know it. */
static inline void thread_gone(pid_t tid)
{
	while (syscall(SYS_tgkill, getpid(), tid, 0) == 0)
		sched_yield();
}

/* A thread that holds a section from reader_start to reader_stop. */
struct reader {
	struct usrcu *domain;
	pthread_t thread;
	struct gate inside, leave;
	pid_t tid;
	int token;
};

static inline void *reader_run(void *arg)
{
	struct reader *r = arg;

	r->tid = gettid();
	r->token = usrcu_read_lock(r->domain);
	gate_open(&r->inside);
	gate_wait(&r->leave);
	usrcu_read_unlock(r->domain, r->token);
	return NULL;
}

static inline void reader_start(struct reader *r, struct usrcu *domain)
{
	r->domain = domain;
	gate_init(&r->inside);
	gate_init(&r->leave);
	r->thread = start(reader_run, r);
	gate_wait(&r->inside);
}

static inline void reader_stop(struct reader *r)
{
	gate_open(&r->leave);
	join(r->thread);
}

/* A thread that makes one call that waits, as usrcu_synchronize. */
struct waiter {
	struct usrcu *domain;
	int (*call)(struct usrcu *domain);
	pthread_t thread;
	struct gate began, ended;
	pid_t tid;
	int rc;
};

static inline void *waiter_run(void *arg)
{
	struct waiter *w = arg;

	w->tid = gettid();
	gate_open(&w->began);
	w->rc = w->call(w->domain);
	gate_open(&w->ended);
	return NULL;
}

/* Returns whether the call was seen to wait. */
static inline bool waiter_start(struct waiter *w, struct usrcu *domain, int (*call)(struct usrcu *domain))
{
	w->domain = domain;
	w->call = call;
	w->rc = 1;
	gate_init(&w->began);
	gate_init(&w->ended);
	w->thread = start(waiter_run, w);
	gate_wait(&w->began);
	/* Asleep means in the call: after the gate there is nothing else to sleep on but its lock. */
	return thread_asleep_ms(w->tid, LONG_MS) && !gate_wait_ms(&w->ended, 1);
}

static inline int waiter_join(struct waiter *w)
{
	if (!gate_wait_ms(&w->ended, LONG_MS))
		bail_out("a call that must return now does not");
	join(w->thread);
	return w->rc;
}

/* The same call in a thread of its own, to its end. */
static inline int elsewhere(struct usrcu *domain, int (*call)(struct usrcu *domain))
{
	struct waiter w = { .domain = domain, .call = call };

	gate_init(&w.began);
	gate_init(&w.ended);
	join(start(waiter_run, &w));
	return w.rc;
}

static inline int synchronize_short(struct usrcu *domain)
{
	return usrcu_synchronize_timeout(domain, SHORT_NS);
}

static inline int synchronize_long(struct usrcu *domain)
{
	return usrcu_synchronize_timeout(domain, LONG_NS);
}

/* ---- children ---- */

/* In a child: the watchdog is gone, so that the kernel ends a child that hangs. */
#define child_must(condition) ((condition) ? (void)0 : child_fails(__LINE__, #condition))
#define CHILD_S 20

static inline void child_fails(int line, const char *what)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "# child: line %d: %s\n", line, what);

	_exit(write(STDERR_FILENO, text, (size_t)length) > 0 ? 1 : 2);
}

/* ThreadSanitizer would end a child that starts threads. */
const char *__tsan_default_options(void) __attribute__((visibility("default")));
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

static inline pid_t fork_timed(void)
{
	pid_t pid = fork();

	if (pid < 0)
		bail_out("fork: %s", strerror(errno));
	if (pid == 0)
		alarm(CHILD_S);
	return pid;
}

static inline int status_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		diag("child: status %d, signal %d", WEXITSTATUS(status), WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return status;
}

/* ---- other ---- */

static inline long statm_kib(int field)
{
	long values[2] = { 0, 0 };
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL || fscanf(file, "%ld %ld", &values[0], &values[1]) != 2)
		bail_out("cannot read /proc/self/statm");
	fclose(file);
	return values[field] * (sysconf(_SC_PAGESIZE) / 1024);
}

static inline long mapped_kib(void)
{
	return statm_kib(0);
}

static inline long resident_kib(void)
{
	return statm_kib(1);
}

#endif /* MIRROR_USRCU_TEST_H */
