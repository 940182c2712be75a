/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu where the system refuses: membarrier, tgkill, memory, threads; misuse.
 *
 * A case that changes its process runs in one of its own: this program again with the case's
 * name.  There bail_out() says what is wrong; the parent's line is the test.
 */
#include "usrcu_test.h"
#include "usrcu_seccomp.h"

#include <sys/resource.h>
#include <sys/time.h>

static struct usrcu *domain;
static uint32_t nr_ran;

static void count(struct usrcu_head *head)
{
	(void)head;
	add(&nr_ran, 1);
}

/* ---- membarrier refused from the start ---- */

static void works(bool membarrier)
{
	struct usrcu_head head;
	usrcu_cookie_t cookie;
	struct reader r;
	struct waiter w;

	must(usrcu_create(&domain, NULL) == 0);
	must(usrcu_uses_membarrier(domain) == membarrier);
	must(usrcu_synchronize(domain) == 0);
	reader_start(&r, domain);
	cookie = usrcu_start_poll(domain);
	must(usrcu_call(domain, &head, count) == 0);
	must(synchronize_short(domain) == -ETIMEDOUT && !usrcu_poll_state(domain, cookie) && nr_ran == 0);
	must(waiter_start(&w, domain, usrcu_synchronize));
	reader_stop(&r);
	must(waiter_join(&w) == 0 && usrcu_poll_state(domain, cookie));
	must(usrcu_barrier(domain) == 0 && nr_ran == 1);
	must(usrcu_destroy(domain) == 0);
}

static void refused_enosys(void)
{
	refuse(SYS_membarrier, ANY, ENOSYS);
	works(false);
}

static void refused_eperm(void)
{
	refuse(SYS_membarrier, ANY, EPERM);
	works(false);
}

static void refused_einval(void)
{
	refuse(SYS_membarrier, ANY, EINVAL);
	works(false);
}

static void refused_in_part(void)
{
	refuse(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, EPERM);
	works(false);
}

/* ---- membarrier refused later ---- */

static void refused_later(void)
{
	struct usrcu *fences, *busy;
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_FULL_FENCE };
	struct usrcu_head head, other;
	usrcu_cookie_t cookie, late;
	struct reader r;

	must(usrcu_create(&domain, NULL) == 0 && usrcu_create(&fences, &attr) == 0 && usrcu_create(&busy, NULL) == 0);
	must(usrcu_synchronize(domain) == 0);
	reader_start(&r, busy);
	cookie = usrcu_start_poll(busy); /* under way, and past its fence */
	late = usrcu_get_state(busy);
	must(usrcu_call(domain, &head, count) == 0);
	refuse(SYS_membarrier, ANY, EPERM);

	must(usrcu_synchronize(domain) == -EPERM);
	must(usrcu_synchronize_expedited(domain) == -EPERM);
	must(usrcu_synchronize_timeout(domain, LONG_NS) == -EPERM);
	must(usrcu_cond_synchronize(domain, usrcu_get_state(domain)) == -EPERM);
	must(!usrcu_poll_state(domain, usrcu_start_poll(domain)));
	must(usrcu_barrier(domain) == -EPERM);
	must(usrcu_run_callbacks(domain) == -EPERM);
	must(nr_ran == 0);
	must(usrcu_destroy(domain) == -EPERM); /* whether a section is open cannot be known */
	usrcu_read_unlock(domain, usrcu_read_lock(domain));

	must(!usrcu_poll_state(busy, cookie) && !usrcu_poll_state(busy, late));
	must(usrcu_synchronize_timeout(busy, SHORT_NS) != 0);
	must(!usrcu_poll_state(busy, late));
	reader_stop(&r);
	must(usrcu_poll_state(busy, cookie)); /* it needs no more fence */
	must(!usrcu_poll_state(busy, late) && usrcu_synchronize(busy) == -EPERM && !usrcu_poll_state(busy, late));

	must(usrcu_call(fences, &other, count) == 0 && usrcu_barrier(fences) == 0 && nr_ran == 1);
	must(usrcu_destroy(fences) == 0);
	nr_ran = 0;
	works(false);
}

static struct gate in_callback, go_on;

static void block(struct usrcu_head *head)
{
	gate_open(&in_callback);
	gate_wait(&go_on);
	count(head);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void refused_to_worker(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_WORKER };
	struct timespec nap = { 0, 500000000 };
	struct usrcu_head heads[2];
	struct waiter w;
	uint64_t before;

	gate_init(&in_callback);
	gate_init(&go_on);
	must(usrcu_create(&domain, &attr) == 0);
	must(usrcu_call(domain, &heads[0], block) == 0);
	gate_wait(&in_callback);
	must(usrcu_call(domain, &heads[1], count) == 0);
	must(waiter_start(&w, domain, usrcu_barrier));
	refuse(SYS_membarrier, ANY, EPERM);
	gate_open(&go_on);
	must(waiter_join(&w) == -EPERM);
	must(get(&nr_ran) == 1); /* the second has had no grace period */
	before = cpu_ns();
	nanosleep(&nap, NULL); /* orders nothing: the time in which a worker might spin */
	must(cpu_ns() - before < 250000000);
	must(get(&nr_ran) == 1 && usrcu_destroy(domain) == -EPERM);
}

/* ---- no question whether a thread lives ---- */

static void *one_section(void *arg)
{
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	return arg;
}

/* Then every thread is taken to live: records are not used again, and nothing else is lost. */
static void no_questions(void)
{
	enum { NR = 500 };
	long resident;
	int status;
	pid_t pid;

	refuse(SYS_tgkill, ANY, EPERM);
	must(usrcu_create(&domain, NULL) == 0);
	for (int i = 0; i < 20; i++)
		join(start(one_section, NULL));
	resident = resident_kib();
	for (int i = 0; i < NR; i++)
		join(start(one_section, NULL));
	resident = resident_kib() - resident;
	must(SANITIZED || resident < NR * 6 + 512);
	must(usrcu_synchronize(domain) == 0 && usrcu_barrier(domain) == 0);
	pid = fork();
	if (pid == 0) {
		join(start(one_section, NULL));
		_exit(usrcu_synchronize(domain) != 0 || usrcu_destroy(domain) != 0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
	must(usrcu_destroy(domain) == 0);
	works(membarrier_works());
}

/* ---- no memory, no threads ---- */

static void limit_memory(bool on)
{
	static struct rlimit before;
	struct rlimit none;

	if (on) {
		must(getrlimit(RLIMIT_AS, &before) == 0);
		none = before;
		none.rlim_cur = 1;
		must(setrlimit(RLIMIT_AS, &none) == 0);
	} else {
		must(setrlimit(RLIMIT_AS, &before) == 0);
	}
}

/* A thread that first reads where there is no memory; the parts are told apart by gates. */
static struct gate parts[8];
static int fallback_down;
static struct usrcu_handed_ctr *fallback_down_fast;

static void *read_without_memory(void *unused)
{
	int first, second, third, fourth;
	struct usrcu_ctr *fast, *fast_in_slot;

	gate_wait(&parts[0]);
	first = usrcu_read_lock(domain);
	must(first >= 0 && usrcu_read_lock_held(domain) && usrcu_synchronize(domain) == -EDEADLK);
	second = usrcu_read_lock(domain);
	fast = usrcu_read_lock_fast(domain);
	usrcu_read_unlock_fast(domain, usrcu_read_lock_fast(domain));
	usrcu_up_read_fast(domain, usrcu_down_read_fast(domain));
	fallback_down = usrcu_down_read(domain);
	fallback_down_fast = usrcu_down_read_fast(domain);
	gate_open(&parts[1]);
	gate_wait(&parts[2]);
	third = usrcu_read_lock(domain); /* there is memory again: in a slot */
	fourth = usrcu_read_lock(domain);
	fast_in_slot = usrcu_read_lock_fast(domain);
	usrcu_read_unlock_fast(domain, fast);
	usrcu_read_unlock_fast(domain, fast_in_slot);
	usrcu_read_unlock(domain, first);
	usrcu_read_unlock(domain, third);
	usrcu_read_unlock(domain, second);
	must(usrcu_read_lock_held(domain) && usrcu_synchronize(domain) == -EDEADLK);
	gate_open(&parts[3]);
	gate_wait(&parts[4]);
	usrcu_read_unlock(domain, fourth);
	must(!usrcu_read_lock_held(domain));
	gate_open(&parts[5]);
	gate_wait(&parts[6]);
	return unused;
}

static void no_memory_with(unsigned flags)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = flags };
	struct waiter w;
	pthread_t thread;

	for (int i = 0; i < 8; i++)
		gate_init(&parts[i]);
	must(usrcu_create(&domain, &attr) == 0);
	thread = start(read_without_memory, NULL);
	limit_memory(true);
	gate_open(&parts[0]);
	gate_wait(&parts[1]);
	must(synchronize_short(domain) == -ETIMEDOUT);
	must(usrcu_destroy(domain) == -EBUSY);
	limit_memory(false);
	gate_open(&parts[2]);
	gate_wait(&parts[3]);
	must(synchronize_short(domain) == -ETIMEDOUT);
	must(waiter_start(&w, domain, usrcu_synchronize));
	usrcu_up_read(domain, fallback_down);
	usrcu_up_read_fast(domain, fallback_down_fast);
	must(!gate_wait_ms(&w.ended, 1));
	gate_open(&parts[4]);
	gate_wait(&parts[5]);
	must(waiter_join(&w) == 0);
	must(synchronize_long(domain) == 0 && usrcu_destroy(domain) == 0);
	gate_open(&parts[6]);
	join(thread);
}

static void no_memory(void)
{
	no_memory_with(0);
	no_memory_with(USRCU_FULL_FENCE);
}

/* A sleeper must be woken by a section that stands in no slot, a fast one if @fast is not NULL. */
static void *hold_without_memory(void *fast)
{
	struct usrcu_ctr *ctr = NULL;
	int token = 0;

	gate_wait(&parts[0]);
	limit_memory(true);
	if (fast)
		ctr = usrcu_read_lock_fast(domain);
	else
		token = usrcu_read_lock(domain);
	limit_memory(false);
	gate_open(&parts[1]);
	gate_wait(&parts[2]);
	if (fast)
		usrcu_read_unlock_fast(domain, ctr);
	else
		usrcu_read_unlock(domain, token);
	return NULL;
}

static void no_memory_wakes_for(void *fast)
{
	struct waiter w;
	pthread_t thread;

	for (int i = 0; i < 3; i++)
		gate_init(&parts[i]);
	must(usrcu_create(&domain, NULL) == 0);
	thread = start(hold_without_memory, fast);
	gate_open(&parts[0]);
	gate_wait(&parts[1]);
	must(waiter_start(&w, domain, usrcu_synchronize));
	gate_open(&parts[2]);
	must(waiter_join(&w) == 0);
	join(thread);
	must(usrcu_destroy(domain) == 0);
}

static void no_memory_wakes(void)
{
	no_memory_wakes_for(NULL);
	no_memory_wakes_for(parts);
}

static void no_memory_for_domains(void)
{
	enum { MANY = 30000 };
	static struct usrcu *domains[MANY];
	struct usrcu *const untouched = (struct usrcu *)&domains;
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_WORKER };
	int nr, rc = 0;

	must(usrcu_create(&domain, NULL) == 0);
	must(usrcu_synchronize(domain) == 0);
	limit_memory(true);
	/* More often than there are slots: none may be lost. */
	for (nr = 0; nr < 20000; nr++) {
		struct usrcu *d = untouched;

		rc = usrcu_create(&d, &attr);
		must((rc == -EAGAIN || rc == -ENOMEM) && d == untouched);
	}
	for (nr = 0; nr < MANY; nr++) {
		domains[nr] = untouched;
		rc = usrcu_create(&domains[nr], NULL);
		if (rc != 0)
			break;
	}
	must(rc == -ENOMEM && domains[nr] == untouched);
	while (nr-- > 0)
		must(usrcu_synchronize(domains[nr]) == 0 && usrcu_destroy(domains[nr]) == 0);
	must(usrcu_synchronize(domain) == 0 && usrcu_destroy(domain) == 0);
	limit_memory(false);
	must(usrcu_create(&domain, &attr) == 0 && usrcu_destroy(domain) == 0);
}

/* ---- misuse, which stops the program ---- */

static void unlock_twice(void)
{
	int token = (must(usrcu_create(&domain, NULL) == 0), usrcu_read_lock(domain));

	usrcu_read_unlock(domain, token);
	usrcu_read_unlock(domain, token);
}

static void unlock_twice_fences(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_FULL_FENCE };
	int token = (must(usrcu_create(&domain, &attr) == 0), usrcu_read_lock(domain));

	usrcu_read_unlock(domain, token);
	usrcu_read_unlock(domain, token);
}

static void unlock_fast_twice(unsigned flags)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = flags };
	struct usrcu_ctr *ctr = (must(usrcu_create(&domain, &attr) == 0), usrcu_read_lock_fast(domain));

	usrcu_read_unlock_fast(domain, ctr);
	usrcu_read_unlock_fast(domain, ctr);
}

static void fast_twice(void)
{
	unlock_fast_twice(0);
}

static void fast_twice_fences(void)
{
	unlock_fast_twice(USRCU_FULL_FENCE);
}

/* With full fences the token is the thread's, and says no domain; the domain's count does. */
static void fast_of_another_domain(void)
{
	struct usrcu_attr attr = { .size = sizeof(attr), .flags = USRCU_FULL_FENCE };
	struct usrcu *other;

	must(usrcu_create(&domain, &attr) == 0 && usrcu_create(&other, NULL) == 0);
	usrcu_read_unlock_fast(other, usrcu_read_lock_fast(domain));
}

static void up_fast_of_another_domain(void)
{
	struct usrcu *other;

	must(usrcu_create(&domain, NULL) == 0 && usrcu_create(&other, NULL) == 0);
	usrcu_up_read_fast(other, usrcu_down_read_fast(domain));
}

static void *unlock_elsewhere(void *arg)
{
	usrcu_read_unlock(domain, *(int *)arg);
	return NULL;
}

static void unlock_in_another_thread(void)
{
	int token = (must(usrcu_create(&domain, NULL) == 0), usrcu_read_lock(domain));

	join(start(unlock_elsewhere, &token));
}

static void up_of_lock(void)
{
	must(usrcu_create(&domain, NULL) == 0);
	usrcu_up_read(domain, usrcu_read_lock(domain));
}

static void unlock_of_down(void)
{
	must(usrcu_create(&domain, NULL) == 0);
	usrcu_read_unlock(domain, usrcu_down_read(domain));
}

static volatile int no_token = -2;

static void unlock_of_error(void)
{
	struct reader r;

	must(usrcu_create(&domain, NULL) == 0);
	/* Another thread's slot comes before this one's, so that a wild index finds something. */
	reader_start(&r, domain);
	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	usrcu_read_unlock(domain, no_token);
}

static const struct fault {
	const char *name;
	void (*run)(void);
	const char *says; /* it stops with this on stderr; NULL: it ends well */
	const char *claim;
	bool memory;      /* not where a sanitizer needs memory of its own */
} faults[] = {
	{ "enosys", refused_enosys, NULL, "S8: membarrier absent (ENOSYS): full fences", false },
	{ "eperm", refused_eperm, NULL, "S8: membarrier forbidden (EPERM): full fences", false },
	{ "einval", refused_einval, NULL, "S8: membarrier unknown (EINVAL): full fences", false },
	{ "in_part", refused_in_part, NULL, "S8: registered but not to be used: full fences", false },
	{ "later", refused_later, NULL, "S8: forbidden later: errors, no cookie true, no callback run", false },
	{ "worker", refused_to_worker, NULL, "S8: forbidden later: the worker runs nothing early, barrier fails", false },
	{ "tgkill", no_questions, NULL, "S1: tgkill forbidden: all works, a thread takes a record at most", false },
	{ "no_memory", no_memory, NULL, "S1: without memory sections stand in the shared slot and count", true },
	{ "wakes", no_memory_wakes, NULL, "S1: the end of a section in the shared slot wakes a sleeper", true },
	{ "domains", no_memory_for_domains, NULL, "S11: create without memory or threads fails, takes nothing", true },
	{ "twice", unlock_twice, "usrcu_read_unlock", "S1: an unlock too many stops the program", false },
	{ "twice_fences", unlock_twice_fences, "usrcu_read_unlock", "S1: ... with full fences", false },
	{ "fast_twice", fast_twice, "usrcu_read_unlock", "S13: ... of a fast section", false },
	{ "fast_twice_fences", fast_twice_fences, "usrcu_read_unlock", "S13: ... with full fences", false },
	{ "fast_other", fast_of_another_domain, "usrcu_read_unlock", "S13: ... in a domain that has none open", false },
	{ "up_fast_other", up_fast_of_another_domain, "usrcu_up_read_fast", "S13: ... of a handed-over one", false },
	{ "elsewhere", unlock_in_another_thread, "usrcu_read_unlock", "S1: ... in another thread", false },
	{ "up_of_lock", up_of_lock, "usrcu_up_read", "S4: up_read of an ordinary section stops it", false },
	{ "unlock_of_down", unlock_of_down, "usrcu_read_unlock", "S4: read_unlock of a handed-over one stops it", false },
	{ "error", unlock_of_error, "usrcu_read_unlock", "S1: read_unlock of no token at all stops it", false },
};

static void test(const char *program, const struct fault *fault)
{
	char said[4096];
	int status;

	if (fault->memory && SANITIZED) {
		skip(1, "%s: the sanitizer needs memory of its own", fault->claim);
		return;
	}
	status = run_again(program, fault->name, said, sizeof(said));
	if (fault->says != NULL)
		ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, fault->says), "%s", fault->claim);
	else
		ok(status == 0, "%s", fault->claim);
	if (said[0] != '\0')
		diag("%s", said);
}

int main(int argc, char **argv)
{
	size_t nr = sizeof(faults) / sizeof(faults[0]);

	for (size_t i = 0; argc > 1 && i < nr; i++) {
		if (strcmp(faults[i].name, argv[1]) != 0)
			continue;
		if (faults[i].says != NULL)
			setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		faults[i].run();
		return 0;
	}
	for (size_t i = 0; i < nr; i++)
		test(argv[0], &faults[i]);
	return done_testing();
}
