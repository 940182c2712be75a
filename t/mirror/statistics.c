/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Statistics are exact once all is quiet: threads publish, signal handlers that interrupt them publish too, on the same
 * list, while mirrors come and go.
 */
#include "mirror_test.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { NR_THREADS = 2, NR_MIRRORS = 3 };

static struct mirror_list *list;
static uint64_t nr_callbacks, nr_refusals;      /* atomic */
static uint64_t nr_brackets, nr_in_handlers;    /* the same */
static bool has_signals;
static uint32_t quit;
static pthread_t publishers[NR_THREADS];

static void add(uint64_t *p, uint64_t n)
{
	__atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	add(&nr_callbacks, 1);
	return 0;
}

static void on_other(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	add(&nr_callbacks, 1);
}

static int on_start_refusing(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	add(&nr_callbacks, 1);
	return r->flags & MIRROR_RANGE_BLOCKABLE ? 0 : -EAGAIN;
}

static const struct mirror_ops all_ops = { sizeof(all_ops), on_start, on_other, NULL, on_other };
static const struct mirror_ops refusing_ops = { sizeof(refusing_ops), on_start_refusing, on_other, NULL, NULL };

static void publish(bool blockable)
{
	struct mirror_range r = range(0, 10, blockable ? MIRROR_RANGE_BLOCKABLE : 0);

	add(&nr_brackets, 1);
	if (mirror_invalidate_range_start(list, &r) == 0)
		mirror_invalidate_range_end(list, &r);
	else
		add(&nr_refusals, 1);
}

static void on_signal(int signal)
{
	int saved = errno;

	(void)signal;
	publish(__atomic_fetch_add(&nr_in_handlers, 1, __ATOMIC_RELAXED) & 1);
	errno = saved;
}

/* A timer of its own interrupts each publisher, so that its signals need no other thread's time. */
static timer_t start_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct itimerspec times = { { 0, 20000 }, { 0, 20000 } };
	timer_t timer;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &times, NULL))
		bail_out("no timer: %s", strerror(errno));
	return timer;
}

static void *publisher(void *unused)
{
	timer_t timer = NULL;

	if (has_signals)
		timer = start_timer();
	for (unsigned i = 0; !__atomic_load_n(&quit, __ATOMIC_RELAXED); i++)
		publish(i % 3);
	if (has_signals)
		timer_delete(timer);
	return unused;
}

static void *churner(void *unused)
{
	static struct mirror m[2];

	while (!__atomic_load_n(&quit, __ATOMIC_RELAXED)) {
		if (mirror_register(list, &m[0], &all_ops) || mirror_register_range(list, &m[1], &all_ops, 5, 6) ||
		    mirror_unregister(&m[0]) || mirror_unregister(&m[1]))
			bail_out("register or unregister");
	}
	return unused;
}

static void storm(bool with_signals)
{
	struct mirror_list_stats s = { .size = sizeof(s) };
	struct mirror m[NR_MIRRORS];
	struct gate never = GATE_INITIALIZER;
	pthread_t churn;

	memset(m, 0, sizeof(m));
	nr_callbacks = nr_refusals = nr_brackets = nr_in_handlers = quit = 0;
	has_signals = with_signals;
	list = list_new();
	if (mirror_register(list, &m[0], &all_ops) || mirror_register_range(list, &m[1], &all_ops, 0, 5) ||
	    mirror_register(list, &m[2], &refusing_ops))
		bail_out("mirror_register");
	for (int k = 0; k < NR_THREADS; k++)
		if (pthread_create(&publishers[k], NULL, publisher, NULL))
			bail_out("no thread");
	if (pthread_create(&churn, NULL, churner, NULL))
		bail_out("no thread");
	gate_wait_ms(&never, scaled_ms(300));
	__atomic_store_n(&quit, 1, __ATOMIC_RELAXED);
	for (int k = 0; k < NR_THREADS; k++)
		pthread_join(publishers[k], NULL);
	pthread_join(churn, NULL);
	mirror_list_get_stats(list, &s);
	diag("%s: %" PRIu64 " brackets, %" PRIu64 " of them in handlers, %" PRIu64 " refused", v->name, nr_brackets,
	     nr_in_handlers, nr_refusals);
	okv(!with_signals || nr_in_handlers > 10, "handlers did publish");
	isv(s.callbacks, nr_callbacks, "each callback was counted%s", with_signals ? ", those of handlers too" : "");
	isv(s.refusals, nr_refusals, "each refusal was counted");
	/* What undoes a refused start may count as an end. */
	okv(s.walks == 2 * nr_brackets || s.walks == 2 * nr_brackets - nr_refusals, "each start and end was counted");
	isv(s.registered, NR_MIRRORS, "and the mirrors are those that are left");
	for (int k = 0; k < NR_MIRRORS; k++)
		isv(mirror_unregister(&m[k]), 0, "M5: each can be unregistered");
	list_gone(list);
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
	for (size_t i = 0; i < 3; i++) {
		v = &variants[i];
		storm(false);
		storm(true);
	}
	return done_testing();
}
