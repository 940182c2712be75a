/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What the tests of the mirror list share.
 *
 *     variants[], v, list_new()   the same claims over each sync, and what holds over which
 *     struct probe, traced()      mirrors that write their calls into one line of text
 *     struct post                 a mirror whose callback stands at a gate
 *     struct call                 a call in a thread of its own, that may block
 *     hush(), hushed()            what the library says on standard error
 *     child_new(), child_rc()     forks; child_must() in the child
 */
#ifndef MIRROR_TEST_H
#define MIRROR_TEST_H

#include "tap.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <mirror/mirror.h>

#include "own_sync.h"

#define PATIENCE_MS 10000       /* with a slow machine; a good build never uses it up */
#define MOMENT_MS   10          /* for what must not happen; a slow machine only makes it weaker */
#define FOREVER     UINT64_MAX

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_ASAN 1
#endif

/* ---- the same claims over each of them ---- */

struct variant {
	const char *name;
	const struct mirror_sync *sync;
	unsigned flags;
	bool lock;              /* kind; else a grace period */
	bool targeted;          /* unregister waits for the mirror alone */
	bool shuts_out;         /* lock: readers wait behind a waiting writer */
	bool spins;             /* who waits does not sleep */
	bool untimed;           /* unregister keeps no time limit */
	bool one_domain;        /* all lists wait for each other's walks */
};

/* A program that runs the same claims over adapters gives the variants, and what its threads do first and last. */
#ifdef TEST_VARIANTS
#include TEST_VARIANTS
#else
static const struct variant variants[] = {
	{ "srcu", &mirror_sync_srcu, .targeted = true },
	{ "srcu, full fences", &mirror_sync_srcu, MIRROR_LIST_FULL_FENCE, .targeted = true },
	{ "srcu, domain drain", &mirror_sync_srcu, .flags = MIRROR_LIST_DRAIN_DOMAIN },
	{ "own grace period", .sync = &plain_sync },
	{ "rwsem", &mirror_sync_rwsem, .lock = true, .shuts_out = true },
	{ "own rwlock", &rwlock_sync, .lock = true },
};

static inline void variant_thread_begin(void) { }
static inline void variant_thread_end(void) { }
#endif
#define NR_VARIANTS (sizeof(variants) / sizeof(variants[0]))

/* The one under test. */
static const struct variant *v = &variants[0];

#define okv(cond, fmt, ...)       ok(cond, fmt " (%s)", ##__VA_ARGS__, v->name)
#define isv(got, want, fmt, ...)  is_int(got, want, fmt " (%s)", ##__VA_ARGS__, v->name)

static inline struct mirror_list *list_new(void)
{
	struct mirror_list_attr attr;
	struct mirror_list *list;
	int rc;

	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.name = "test";
	attr.sync = v->sync;
	attr.flags = v->flags;
	rc = mirror_list_create(&list, &attr);
	if (rc)
		bail_out("mirror_list_create: %s", strerror(-rc));
	return list;
}

static inline void list_gone(struct mirror_list *list)
{
	isv(mirror_list_destroy(list), 0, "M17: an idle list can be destroyed");
}

static inline struct mirror_range range(uint64_t start, uint64_t end, unsigned flags)
{
	struct mirror_range r;

	memset(&r, 0, sizeof(r));
	r.start = start;
	r.end = end;
	r.flags = flags;
	return r;
}

/* ---- mirrors that write down their calls ---- */

static char trace[1024];

static inline void note(char what)
{
	size_t length = strlen(trace);

	if (length + 1 >= sizeof(trace))
		bail_out("trace is full");
	trace[length] = what;
	trace[length + 1] = '\0';
}

/* Whether the calls since the last time were @want: A start, a end, finish and release as marked. */
static inline bool was_traced(const char *want)
{
	bool same = strcmp(trace, want) == 0;

	if (!same)
		diag("calls were \"%s\", not \"%s\"", trace, want);
	trace[0] = '\0';
	return same;
}
#define traced(want, fmt, ...) okv(was_traced(want), fmt, ##__VA_ARGS__)

struct probe {
	struct mirror m;
	char name;                      /* capital */
	int answer;                     /* of start */
	const struct mirror_range *range;       /* the last one seen */
	/* Run inside the callbacks. */
	void (*in_start)(struct probe *p, const struct mirror_range *r);
	void (*in_end)(struct probe *p, const struct mirror_range *r);
	void (*in_release)(struct probe *p);
};

static inline struct probe *probe_of(struct mirror *m)
{
	return (struct probe *)((char *)m - offsetof(struct probe, m));
}

static inline int probe_start(struct mirror *m, const struct mirror_range *r)
{
	struct probe *p = probe_of(m);

	note(p->name);
	p->range = r;
	if (p->in_start)
		p->in_start(p, r);
	return p->answer;
}

static inline void probe_end(struct mirror *m, const struct mirror_range *r)
{
	struct probe *p = probe_of(m);

	note((char)(p->name - 'A' + 'a'));
	if (p->in_end)
		p->in_end(p, r);
}

static inline void probe_release(struct mirror *m)
{
	struct probe *p = probe_of(m);

	note('!');
	note(p->name);
	if (p->in_release)
		p->in_release(p);
}

static inline void probe_finish(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	note('.');
	note(probe_of(m)->name);
}

static const struct mirror_ops probe_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = probe_start,
	.invalidate_range_end = probe_end,
	.release = probe_release,
};

static const struct mirror_ops finish_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = probe_start,
	.invalidate_range_end = probe_end,
	.release = probe_release,
	.finish = probe_finish,
};

/* ---- a mirror whose callback stands at a gate ---- */

struct post {
	struct mirror m;
	struct gate entered, leave;
	struct gate left;               /* opened by the owner of the post, never by itself */
	int tid;                        /* of who is inside; written before entered opens */
	int wrote[4];                   /* plain: by each of the callbacks, after leave */
	unsigned calls;                 /* of any callback; atomic */
	void (*act)(struct post *p);    /* inside, before the gate */
	int rc;                         /* of act */
	struct mirror *victim;          /* for act */
};

static inline void post_init(struct post *p)
{
	memset(p, 0, sizeof(*p));
	gate_init(&p->entered);
	gate_init(&p->leave);
	gate_init(&p->left);
}

static inline void post_stand(struct mirror *m)
{
	struct post *p = (struct post *)((char *)m - offsetof(struct post, m));

	unsigned call = __atomic_fetch_add(&p->calls, 1, __ATOMIC_RELAXED);

	p->tid = (int)syscall(SYS_gettid);
	gate_open(&p->entered);
	if (p->act)
		p->act(p);
	gate_wait(&p->leave);
	p->wrote[call % 4]++;
}

/* What the callbacks wrote; to be asked when they are known to be over. */
static inline int post_wrote(const struct post *p)
{
	return p->wrote[0] + p->wrote[1] + p->wrote[2] + p->wrote[3];
}

static inline unsigned post_calls(struct post *p)
{
	return __atomic_load_n(&p->calls, __ATOMIC_RELAXED);
}

static inline int post_start(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	post_stand(m);
	return 0;
}

static inline void post_end(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	post_stand(m);
}

static inline void post_finish(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	post_stand(m);
}

static const struct mirror_ops post_start_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = post_start,
};
static const struct mirror_ops post_end_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_end = post_end,
};
static const struct mirror_ops post_release_ops = {
	.size = sizeof(struct mirror_ops),
	.release = post_stand,
};
static const struct mirror_ops post_finish_ops = {
	.size = sizeof(struct mirror_ops),
	.finish = post_finish,
};

/* ---- a call in a thread of its own ---- */

struct call {
	int (*run)(struct call *c);
	struct mirror_list *list;
	struct mirror *m;
	uint64_t start, end, timeout_ns;
	struct mirror *const *many;
	size_t count;
	struct mirror_range *r;
	int rc;                         /* once returned is open */
	int tid;                        /* once started is open */
	struct gate started, returned;
	pthread_t thread;
};

static inline void *call_thread(void *arg)
{
	struct call *c = (struct call *)arg;

	c->tid = (int)syscall(SYS_gettid);
	variant_thread_begin();
	gate_open(&c->started);
	c->rc = c->run(c);
	gate_open(&c->returned);
	variant_thread_end();
	return NULL;
}

static inline void call_begin(struct call *c, int (*run)(struct call *c))
{
	c->run = run;
	gate_init(&c->started);
	gate_init(&c->returned);
	if (pthread_create(&c->thread, NULL, call_thread, c) != 0)
		bail_out("no thread");
	gate_wait(&c->started);
}

static inline bool call_returns(struct call *c)
{
	return gate_wait_ms(&c->returned, PATIENCE_MS);
}

/* It sleeps, or may be said to spin, and goes on so. */
static inline bool call_blocks(struct call *c)
{
	return (v->spins || thread_asleep_ms(c->tid, PATIENCE_MS)) && !gate_wait_ms(&c->returned, MOMENT_MS);
}

/* A call that must return; a hang here would only end with the watchdog. */
static inline int call_end(struct call *c)
{
	if (!call_returns(c))
		bail_out("a call has not returned");
	pthread_join(c->thread, NULL);
	return c->rc;
}

static inline int run_invalidate(struct call *c)
{
	return mirror_invalidate_range(c->list, c->start, c->end);
}

static inline int run_unregister(struct call *c)
{
	return mirror_unregister(c->m);
}

static inline int run_unregister_timeout(struct call *c)
{
	return mirror_unregister_timeout(c->m, c->timeout_ns);
}

static inline int run_unregister_many(struct call *c)
{
	return mirror_unregister_many(c->many, c->count);
}

static inline int run_release(struct call *c)
{
	return mirror_list_release(c->list);
}

static inline int run_barrier(struct call *c)
{
	return mirror_barrier(c->list);
}

static inline int run_range_end(struct call *c)
{
	mirror_invalidate_range_end(c->list, c->r);
	return 0;
}

/* ---- what the library says on standard error ---- */

static int hush_saved = -1, hush_file = -1;

static inline void hush(void)
{
	char path[] = "/tmp/mirror-test-XXXXXX";

	fflush(stderr);
	hush_file = mkstemp(path);
	if (hush_file < 0)
		bail_out("no temporary file");
	unlink(path);
	hush_saved = dup(STDERR_FILENO);
	dup2(hush_file, STDERR_FILENO);
}

/* What was said since; until the next time. */
static inline const char *hushed(void)
{
	static char text[2048];
	ssize_t length;

	fflush(stderr);
	dup2(hush_saved, STDERR_FILENO);
	close(hush_saved);
	length = pread(hush_file, text, sizeof(text) - 1, 0);
	close(hush_file);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

/* ---- children ---- */

/* In the child, which tells the line at which it went wrong, and writes nothing by stdio. */
#define child_must(condition) ((condition) ? (void)0 : child_fails(__LINE__, #condition))

static inline void child_fails(int line, const char *what)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "# child: line %d: %s\n", line, what);

	_exit(write(STDERR_FILENO, text, (size_t)length) > 0 ? 1 : 2);
}

/* The watchdog is not in the child: the kernel ends one that hangs. */
static inline pid_t child_new(void)
{
	pid_t pid = fork();

	if (pid < 0)
		bail_out("fork: %s", strerror(errno));
	if (pid == 0)
		alarm(2 * PATIENCE_MS / 1000);
	return pid;
}

/* Its exit status, or 1000 and the signal that ended it. */
static inline int child_rc(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			bail_out("no child");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif /* MIRROR_TEST_H */
