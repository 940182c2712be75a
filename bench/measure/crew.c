/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The harness's threads and its measured loop; crew.h describes them. */
#include "crew.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "topology.h"

static void *thread_main(void *arg)
{
	struct crew_thread *t = arg;
	struct crew *crew = t->crew;

	topology_pin(crew->place ? crew->place(crew, t->index) : t->index);
	if (crew->comparator->thread_setup)
		crew->comparator->thread_setup();
	atomic_store(&t->tid, gettid());
	pthread_barrier_wait(&crew->start_line);
	crew->body(t);
	if (crew->comparator->thread_teardown)
		crew->comparator->thread_teardown();
	return NULL;
}

/* Ctrl-C is for the main thread. */
static int start_threads(struct crew *crew)
{
	sigset_t all, old;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < crew->nr_threads && !err; i++) {
		struct crew_thread *t = &crew->threads[i];

		t->index = i;
		t->crew = crew;
		t->arg = crew->arg;
		err = pthread_create(&t->pthread, NULL, thread_main, t);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static int join_threads(struct crew *crew)
{
	uint64_t deadline_ns = bench_now_ns() + (crew->patience_ns ? crew->patience_ns : 30 * NS_PER_S);
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	for (unsigned i = 0; i < crew->nr_threads; i++) {
		int err = pthread_clockjoin_np(crew->threads[i].pthread, NULL, CLOCK_MONOTONIC, &deadline);

		if (err) {
			bench_complain("thread %u of %u does not end over %s: it hangs", i, crew->nr_threads,
				       crew->comparator->name);
			return -ETIMEDOUT;
		}
	}
	return 0;
}

int crew_run(struct crew *crew)
{
	int err;

	if (crew->nr_threads == 0 || crew->nr_threads > CREW_MAX_THREADS)
		return -EINVAL;
	crew->threads = calloc(crew->nr_threads, sizeof(crew->threads[0]));
	if (!crew->threads)
		return -ENOMEM;
	pthread_barrier_init(&crew->start_line, NULL, crew->nr_threads + 1);
	err = start_threads(crew);
	if (err) {
		/* The threads that did start wait at the start line for ever. */
		bench_complain("cannot start %u threads", crew->nr_threads);
		return -ETIMEDOUT;
	}
	pthread_barrier_wait(&crew->start_line);
	if (crew->director)
		crew->director(crew);
	err = join_threads(crew);
	if (err)
		return err;
	pthread_barrier_destroy(&crew->start_line);
	free(crew->threads);
	return 0;
}

void crew_sleep_ns(uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / NS_PER_S),
		.tv_nsec = (long)(ns % NS_PER_S),
	};

	if (!bench_interrupted)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/*
 * At first the other is likely to be on its way.  Then the thread sleeps, for on a machine that others
 * use one that only yields is put back behind them again and again, for tenths of seconds.
 */
void crew_pause(unsigned turn)
{
	static const struct timespec nap = { .tv_nsec = 20 * NS_PER_US };

	if (turn < 64)
		sched_yield();
	else
		nanosleep(&nap, NULL);
}

enum { PHASE_WARM_UP, PHASE_MEASURE, PHASE_STOP };

static void measured_body(struct crew_thread *t)
{
	struct measure *m = t->arg;
	struct measure_thread *mine = &m->threads[t->index];
	uint64_t operations = 0, begun;

	if (m->comparator->thread_online)
		m->comparator->thread_online();
	while (atomic_load_explicit(&m->phase, memory_order_relaxed) == PHASE_WARM_UP) {
		m->operation(m, t->index, m->batch, false);
		bench_quiescent(m->comparator);
	}
	begun = bench_now_ns();
	while (atomic_load_explicit(&m->phase, memory_order_relaxed) == PHASE_MEASURE) {
		m->operation(m, t->index, m->batch, true);
		bench_quiescent(m->comparator);
		operations += m->batch;
	}
	mine->elapsed_ns = bench_now_ns() - begun;
	if (m->comparator->thread_offline)
		m->comparator->thread_offline();
	mine->operations = operations;
}

static void measured_director(struct crew *crew)
{
	struct measure *m = crew->arg;

	crew_sleep_ns(m->c->warmup_ns);
	atomic_store_explicit(&m->phase, PHASE_MEASURE, memory_order_relaxed);
	crew_sleep_ns(m->c->duration_ns);
	atomic_store_explicit(&m->phase, PHASE_STOP, memory_order_relaxed);
}

int measure_run(struct measure *m)
{
	struct crew crew = {
		.comparator = m->comparator,
		.nr_threads = m->nr_threads,
		.body = measured_body,
		.director = measured_director,
		.arg = m,
	};
	int err;

	m->threads = aligned_alloc(64, m->nr_threads * sizeof(m->threads[0]));
	if (!m->threads)
		return -ENOMEM;
	for (unsigned i = 0; i < m->nr_threads; i++)
		m->threads[i] = (struct measure_thread){ 0 };
	err = crew_run(&crew);
	return !err && bench_interrupted ? -EINTR : err;
}

double measure_rate(const struct measure *m, unsigned first)
{
	double rate = 0;

	for (unsigned i = first; i < m->nr_threads; i++)
		if (m->threads[i].elapsed_ns > 0)
			rate += (double)m->threads[i].operations * 1e9 / (double)m->threads[i].elapsed_ns;
	return rate;
}
