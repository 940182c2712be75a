/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A system that refuses: membarrier(2) from the start or later on, and memory for a new thread's
 * slots.  The rule is that unregister never says 0 without having waited.
 *
 * A seccomp filter stays, so that each scene is a run of this program of its own: its argument
 * names the scene, its exit status is the number of claims that failed, and says which on stderr.
 */
#include "mirror_test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NO_SECCOMP 77

static int failed;

static void claim(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "# not so: %s (%s)\n", what, v->name);
	failed++;
}

/* From now on this thread, and those that it starts, get @error from system call @nr. */
static void refuse(int nr, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(NO_SECCOMP);
}

static unsigned nr_done;

static void done(struct mirror *m)
{
	(void)m;
	__atomic_fetch_add(&nr_done, 1, __ATOMIC_RELAXED);
}

/* ---- scenes ---- */

/* membarrier was good at create, and is refused now. */
static void scene_later(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 10 };
	struct probe idle = { .name = 'I' }, async = { .name = 'A' };
	struct mirror *many[2];
	struct post x;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &idle.m, &probe_ops, 20, 30);
	mirror_register_range(list, &async.m, &probe_ops, 20, 30);
	mirror_invalidate_range(list, 40, 50);
	refuse(SYS_membarrier, EPERM);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);

	claim(mirror_unregister(&x.m) == -EPERM, "unregister is -EPERM while a callback runs");
	claim(mirror_unregister_timeout(&x.m, 1000000) == -EPERM, "it may be called again, with the same result");
	many[0] = &x.m;
	many[1] = &idle.m;
	claim(mirror_unregister_many(many, 2) == -EPERM, "so is unregister_many");
	claim(mirror_unregister_async(&async.m, done) == 0, "unregister_async has nothing to wait for");
	claim(mirror_barrier(list) == -EPERM, "barrier does not say that done has run");
	claim(nr_done == 0, "nor does it run");
	claim(mirror_list_destroy(list) == -EBUSY, "destroy is -EBUSY");
	trace[0] = '\0';
	claim(mirror_invalidate_range(list, 0, 30) == 0, "publishing goes on");
	claim(post_calls(&x) == 1, "no callback starts any more of what was to be unregistered");
	gate_open(&x.leave);
	call_end(&publisher);
	claim(mirror_unregister(&x.m) == -EPERM, "unregister is still -EPERM when the callback has returned");
	claim(mirror_register_range(list, &x.m, &post_start_ops, 0, 10) == -EBUSY, "the mirror is not given back");
	claim(mirror_list_destroy(list) == -EBUSY, "destroy is still -EBUSY, and nothing is freed");
}

/* With full fences from the start: membarrier does not matter. */
static void scene_fences(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 10 }, c;
	static struct mirror crowd[500];
	int bad = 0;
	struct post x;

	post_init(&x);
	mirror_register_range(list, &x.m, &post_start_ops, 0, 10);
	refuse(SYS_membarrier, EPERM);
	call_begin(&publisher, run_invalidate);
	gate_wait(&x.entered);
	c = (struct call){ .m = &x.m };
	call_begin(&c, run_unregister);
	claim(call_blocks(&c), "unregister waits for a callback");
	gate_open(&x.leave);
	claim(call_end(&c) == 0, "and returns 0");
	call_end(&publisher);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 500; i++)
			bad += mirror_register_range(list, &crowd[i], &probe_ops, 0, 10 + (uint64_t)i) != 0;
		for (int i = 0; i < 500; i++)
			bad += (i % 2 ? mirror_unregister_async(&crowd[i], done) : mirror_unregister(&crowd[i])) != 0;
	}
	claim(bad == 0, "mirrors come and go");
	claim(mirror_barrier(list) == 0, "barrier is 0");
	claim(nr_done == 1000, "done has run for each");
	claim(mirror_list_destroy(list) == 0, "the list can be destroyed");
}

/* Refused before the list is made: it falls back. */
static void scene_before(void)
{
	refuse(SYS_membarrier, ENOSYS);
	scene_fences();
}

/* A thread for which there is no memory at its first use. */
static struct mirror_list *poor_list;
static struct gate poor_may_go = GATE_INITIALIZER, poor_acted = GATE_INITIALIZER;
static int poor_rcs[4];

static void poor_act(struct post *p)
{
	struct mirror_range r = range(20, 30, MIRROR_RANGE_BLOCKABLE);

	poor_rcs[0] = mirror_unregister(&p->m);
	poor_rcs[1] = mirror_invalidate_range_start(poor_list, &r);
	if (poor_rcs[1] == 0)
		mirror_invalidate_range_end(poor_list, &r);
	poor_rcs[2] = mirror_list_destroy(poor_list);
	poor_rcs[3] = mirror_barrier(poor_list);
	gate_open(&poor_acted);
}

static int run_poor(struct call *c)
{
	gate_wait(&poor_may_go);
	refuse(SYS_mmap, ENOMEM);
	return run_invalidate(c);
}

static void scene_poor(void)
{
	struct mirror_list *list = list_new();
	struct call poor = { .list = list, .start = 0, .end = 10 }, second = { .list = list, .start = 40, .end = 50 }, c;
	struct probe inner = { .name = 'I' };
	struct post x;

	poor_list = list;
	post_init(&x);
	x.act = poor_act;
	mirror_register_range(list, &x.m, &post_end_ops, 0, 10);
	mirror_register_range(list, &inner.m, &probe_ops, 20, 30);
	call_begin(&poor, run_poor);
	call_begin(&second, run_poor);
	trace[0] = '\0';
	gate_open(&poor_may_go);
	gate_wait(&poor_acted);
	c = (struct call){ .m = &x.m };
	call_begin(&c, run_unregister);
	claim(call_blocks(&c), "unregister waits for the callback of a thread without memory");
	if (!v->lock)
		claim(mirror_invalidate_range(list, 60, 70) == 0, "brackets of others pass");
	gate_open(&x.leave);
	claim(call_end(&c) == 0, "and then returns 0");
	claim(call_end(&poor) == 0, "the bracket of the thread without memory succeeds");
	claim(call_end(&second) == 0, "so does that of a second such thread");
	claim(poor_rcs[0] == -EDEADLK, "there, unregister in the own callback is -EDEADLK");
	claim(poor_rcs[1] == 0 && strcmp(trace, "Ii") == 0, "a nested bracket passes");
	claim(poor_rcs[2] == -EBUSY && poor_rcs[3] == -EDEADLK, "and destroy and barrier are refused");
	mirror_unregister(&inner.m);
	claim(mirror_list_destroy(list) == 0, "afterwards the list can be destroyed");
}

/*
 * A cycle of two: the thread without memory waits for the other, which then closes it.  That
 * the first one waits shows in its being asleep; should it not yet, the cycle is closed by it.
 */
static struct gate poor_waits = GATE_INITIALIZER;
static struct post poor_post, rich_post;

static void poor_closes(struct post *p)
{
	p->rc = mirror_unregister(&rich_post.m);
}

static void rich_closes(struct post *p)
{
	gate_wait(&poor_waits);
	p->rc = mirror_unregister(&poor_post.m);
}

static void scene_poor_cycle(void)
{
	struct mirror_list *list = list_new();
	struct call rich = { .list = list, .start = 10, .end = 20 }, poor = { .list = list, .start = 0, .end = 10 };

	post_init(&poor_post);
	post_init(&rich_post);
	gate_open(&poor_post.leave);
	gate_open(&rich_post.leave);
	poor_post.act = poor_closes;
	rich_post.act = rich_closes;
	mirror_register_range(list, &poor_post.m, &post_start_ops, 0, 10);
	mirror_register_range(list, &rich_post.m, &post_start_ops, 10, 20);
	gate_open(&poor_may_go);
	call_begin(&rich, run_invalidate);
	gate_wait(&rich_post.entered);
	call_begin(&poor, run_poor);
	gate_wait(&poor_post.entered);
	thread_asleep_ms(poor.tid, v->targeted ? PATIENCE_MS : MOMENT_MS);
	gate_open(&poor_waits);
	claim(call_returns(&rich) && call_returns(&poor), "nothing hangs");
	claim(poor_post.rc == -EDEADLK || rich_post.rc == -EDEADLK, "one gets -EDEADLK");
}

static const struct {
	const char *name;
	void (*run)(void);
	const char *claim;
} scenes[] = {
	{ "later", scene_later, "S2, M5: membarrier is refused later: errors, no mirror given back, no done" },
	{ "fences", scene_fences, "S8, M5: with full fences a refused membarrier changes nothing" },
	{ "before", scene_before, "S8, M5: membarrier refused at create: the list falls back" },
	{ "poor", scene_poor, "S1, M5, M7: a thread without memory for its slot publishes all the same" },
	{ "cycle", scene_poor_cycle, "M7: a cycle with a thread without memory in it is found" },
};
#define NR_SCENES (sizeof(scenes) / sizeof(scenes[0]))

static bool applies(size_t scene)
{
	if (scenes[scene].run == scene_later)
		return !v->lock && !(v->flags & MIRROR_LIST_FULL_FENCE);
#if defined(UNDER_ASAN) || defined(UNDER_TSAN)
	if (scenes[scene].run == scene_poor || scenes[scene].run == scene_poor_cycle)
		return false; /* they need memory themselves */
#endif
	if (scenes[scene].run == scene_fences)
		return v->targeted && v->flags & MIRROR_LIST_FULL_FENCE;
	return true;
}

static void run_scene(size_t scene)
{
	char s[24], which[24];
	int status;
	pid_t pid;

	snprintf(s, sizeof(s), "%zu", scene);
	snprintf(which, sizeof(which), "%td", v - variants);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "mirror_denied", s, which, (char *)NULL);
		_exit(126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bail_out("no child");
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP)
		skip(1, "no seccomp filters here");
	else
		isv(status, 0, "%s", scenes[scene].claim);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		v = &variants[atoi(argv[2])];
		alarm(3 * PATIENCE_MS / 1000);
		scenes[atoi(argv[1])].run();
		/* At once: ThreadSanitizer takes a second for exit(). */
		syscall(SYS_exit_group, failed);
	}
	for (size_t scene = 0; scene < NR_SCENES; scene++)
		for (v = variants; v < variants + NR_VARIANTS; v++)
			if (applies(scene))
				run_scene(scene);
	return done_testing();
}
