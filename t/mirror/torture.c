/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * M1, M2, M3, M4, M5, M7, M8, M9, M10, M12 under fire: threads that publish, register, fill and
 * unregister in every way, from callbacks too, while two of them release the lists.
 *
 * A mirror lives on the heap and is smeared over when it is freed.  Its counts are plain: each is
 * written by one thread's callbacks, and read by who got the mirror back, so that sanitizers see
 * where the library does not order them.  Half of the rounds keep a history that is checked
 * afterwards (history.h); the others go without, as looking at the clock gets in the way of races.
 * A disturber sends signals, whose handler lets the thread lose the CPU at any instruction.
 *
 * Walks begin and end to fence all the time (src/mirror_fence.c): the library's sources are built into
 * this program with a small FENCE_MODE_PERIOD, and the workers take turns of a millisecond in which they
 * leave the mirrors alone.
 */
#include "mirror_list.h"
#include "torture.h"

/* ---- brackets ---- */

/* Brackets to be ended by another thread. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct bracket *queue[64];
	unsigned nr;
	bool stop;
} handed = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void bracket_end(struct bracket *b)
{
	uint64_t from = now();

	mirror_invalidate_range_end(lists[b->list], &b->r);
	write_down(H_END, 0, 0, b, 0, 0, 0, from);
	bracket_over(b);
}

static bool hand_over(struct bracket *b)
{
	bool done;

	pthread_mutex_lock(&handed.lock);
	done = handed.nr < 64 && !handed.stop;
	if (done)
		handed.queue[handed.nr++] = b;
	pthread_cond_signal(&handed.changed);
	pthread_mutex_unlock(&handed.lock);
	return done;
}

static void *end_for_others(void *arg)
{
	me = arg;
	variant_thread_begin();
	pthread_mutex_lock(&handed.lock);
	while (handed.nr || !handed.stop) {
		struct bracket *b;

		if (!handed.nr) {
			pthread_cond_wait(&handed.changed, &handed.lock);
			continue;
		}
		b = handed.queue[--handed.nr];
		pthread_mutex_unlock(&handed.lock);
		bracket_end(b);
		free(b);
		pthread_mutex_lock(&handed.lock);
	}
	pthread_mutex_unlock(&handed.lock);
	variant_thread_end();
	return NULL;
}

static void publish(unsigned depth)
{
	struct bracket *b = malloc(sizeof(*b));
	uint64_t from;
	int rc;

	b->id = next_id(&last_bracket);
	b->list = nr_lists > 1 && rng_below(&me->rng, 4) == 0;
	b->depth = depth;
	b->nr = b->at = 0;
	b->refused = false;
	b->r = range(rng_below(&me->rng, SPACE - 1), SPACE, rng_below(&me->rng, 2) ? MIRROR_RANGE_BLOCKABLE : 0);
	b->r.end = b->r.start + 1 + rng_below(&me->rng, (unsigned)(SPACE - b->r.start));
	b->r.data = b;
	from = now();
	rc = mirror_invalidate_range_start(lists[b->list], &b->r);
	/* Over a lock -EAGAIN also says that it is taken. */
	if (rc && rc != -EAGAIN)
		fault(ODD_RESULT);
	if (rc == 0 && b->refused)
		fault(ODD_RESULT);
	write_down(H_START, rc == -EAGAIN && !b->refused ? -EBUSY : rc, 0, b, b->list, (unsigned)b->r.start,
		   (unsigned)b->r.end, from);
	if (rc) {
		bracket_over(b);
		free(b);
		return;
	}
	if (rng_below(&me->rng, 8) == 0)
		sched_yield();
	if (depth == 0 && rng_below(&me->rng, 8) == 0 && hand_over(b))
		return;
	bracket_end(b);
	free(b);
}

static void fill(void)
{
	unsigned slot = rng_below(&me->rng, OWNED);
	struct guest *g = me->owned[slot];
	uint64_t seq;

	if (!g || me->half_gone[slot])
		return;
	if (rng_below(&me->rng, 2))
		seq = mirror_read_begin(&g->m);
	else if (!mirror_read_try_begin(&g->m, &seq))
		return;
	mirror_read_retry(&g->m, seq);
}

/* Atomic: nobody is to register or unregister, so that no drain is seen. */
static bool calm;

static bool is_calm(void)
{
	return __atomic_load_n(&calm, __ATOMIC_RELAXED);
}

static void act_in_callback(struct guest *g, const struct bracket *b)
{
	unsigned depth = b ? b->depth + 1 : 1;

	switch (rng_below(&me->rng, is_calm() ? 2 : 32)) {
	case 0:
		sched_yield();
		break;
	case 1:
		if (depth < 3)
			publish(depth);
		break;
	case 2:
	case 3:
		come_or_go();
		break;
	case 4:
		if (g->owner != me)
			break;
		for (unsigned i = 0; i < OWNED; i++)
			if (me->owned[i] == g)
				leave_async(i);
		break;
	default:
		break;
	}
}

static void *work(void *arg)
{
	me = arg;
	variant_thread_begin();
	while (tap_now_ns() < end_ns) {
		uint32_t what = rng_below(&me->rng, 100);

		if (what < 50 || is_calm())
			publish(0);
		else if (what < 88)
			come_or_go();
		else if (what < 99)
			fill();
		else if (mirror_barrier(lists[rng_below(&me->rng, nr_lists)]))
			fault(ODD_RESULT);
	}
	variant_thread_end();
	return NULL;
}

/* ---- rounds ---- */

static void on_signal(int nr)
{
	struct timespec pause = { .tv_nsec = 20000 };
	int saved = errno;

	(void)nr;
	nanosleep(&pause, NULL);
	errno = saved;
}

#ifndef UNDER_TSAN
static void *disturb(void *arg)
{
	struct worker *w = arg;
	struct timespec pause = { .tv_nsec = 30000 };

	while (tap_now_ns() < end_ns) {
		pthread_kill(w[rng_below(&w[WORKERS + 1].rng, WORKERS)].thread, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}
#endif

static void release_lists(void)
{
	uint64_t from;
	int rc;

	for (unsigned i = 0; i < nr_lists; i++) {
		from = now();
		rc = mirror_list_release(lists[i]);
		write_down(H_RELEASE, rc, 0, NULL, i, 0, 0, from);
		if (rc)
			fault(ODD_RESULT);
	}
}

static struct {
	unsigned rounds, checked, bad;
	uint64_t mirrors, brackets, callbacks, deadlks, timeouts, records;
	bool may_fence;                         /* drains interrupt where walks do not */
	unsigned begun, ended;                  /* how often walks were seen to fence, all of them, and no more */
	char why[256];
} sum;

/* What was written down, and whether the check can still find something wrong in it. */
static void check_history(void)
{
	struct log all = { .over = v->lock };
	struct history h;

	for (int i = 0; i < THREADS; i++)
		log_append(&all, &workers[i].log);
	sum.checked++;
	sum.records += all.used;
	if (history_check(&h, &all, last_mirror + 1, last_bracket + 1) > 0) {
		if (!sum.bad)
			snprintf(sum.why, sizeof(sum.why), "%s", h.why);
		sum.bad += h.faults;
	}
	free(all.record);
}

/* Whether all walks of the list @i fence, as seen now and then; they and drains go on meanwhile. */
static bool look_at_fencing(unsigned i, uint32_t *before)
{
	uint32_t fencing = __atomic_load_n(&lists[i]->fencing, __ATOMIC_RELAXED);

	if (fencing == FENCING_ALL && *before != FENCING_ALL)
		sum.begun++;
	else if (fencing == FENCING_OFF && *before == FENCING_ALL)
		sum.ended++;
	*before = fencing;
	return fencing == FENCING_ALL;
}

/* @until_ended: it is calm while walks fence, however long that takes; otherwise every other millisecond or so. */
static void run_round(unsigned ms, bool until_ended)
{
	uint32_t fencing[LISTS] = { FENCING_OFF };
	struct timespec pause = { 0 };
	pthread_t disturber;

	handed.stop = false;
	last_mirror = last_bracket = 0;
	memset(leaving, 0, sizeof(leaving));
	/* Two lists whose callbacks change each other's: not where that takes the locks of both, or would wait for itself. */
	nr_lists = v->lock || v->one_domain ? 1 : LISTS;
	for (unsigned i = 0; i < nr_lists; i++)
		lists[i] = list_new();
	sum.may_fence = lists[0]->membarrier && lists[0]->targeted;
	release_ns = tap_now_ns() + ms * UINT64_C(800000);
	end_ns = tap_now_ns() + ms * UINT64_C(1000000);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .index = i };
		rng_init(&workers[i].rng, sum.rounds * THREADS + i);
	}
	me = &workers[WORKERS + 1];
	for (int i = 0; i <= WORKERS; i++)
		if (pthread_create(&workers[i].thread, NULL, i < WORKERS ? work : end_for_others, &workers[i]))
			bail_out("no thread");
#ifndef UNDER_TSAN
	if (pthread_create(&disturber, NULL, disturb, workers))
		bail_out("no thread");
#endif
	for (unsigned turn = 0; tap_now_ns() < release_ns; turn++) {
		bool all_fence = false;

		pause.tv_nsec = 100000;
		nanosleep(&pause, NULL);
		for (unsigned i = 0; i < nr_lists; i++)
			all_fence |= look_at_fencing(i, &fencing[i]);
		__atomic_store_n(&calm, until_ended ? all_fence : turn % 20 >= 10, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&calm, false, __ATOMIC_RELAXED);
	release_lists();
#ifndef UNDER_TSAN
	pthread_join(disturber, NULL);
#else
	(void)disturber;
#endif
	for (int i = 0; i <= WORKERS; i++) {
		if (i == WORKERS) {
			pthread_mutex_lock(&handed.lock);
			handed.stop = true;
			pthread_cond_signal(&handed.changed);
			pthread_mutex_unlock(&handed.lock);
		}
		pthread_join(workers[i].thread, NULL);
	}
	/* What is left is main's to unregister. */
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < OWNED; k++) {
			struct guest *g = workers[i].owned[k];
			uint64_t from = now();
			int rc;

			if (!g)
				continue;
			rc = mirror_unregister(&g->m);
			write_down(H_UNREGISTER, rc, g->id, NULL, 0, 0, 0, from);
			if (rc)
				fault(ODD_RESULT);
			else
				guest_free(g);
		}
	for (unsigned i = 0; i < nr_lists; i++)
		if (mirror_barrier(lists[i]) || mirror_list_destroy(lists[i]))
			fault(ODD_RESULT);
	if (logging)
		check_history();
	sum.rounds++;
	sum.mirrors += last_mirror;
	sum.brackets += last_bracket;
	for (int i = 0; i < THREADS; i++) {
		sum.callbacks += workers[i].callbacks;
		sum.deadlks += workers[i].deadlks;
		sum.timeouts += workers[i].timeouts;
		free(workers[i].log.record);
	}
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		unsigned rounds = (unsigned)scaled(v == variants ? 12 : 4);
		/* How soon all fence is for the sync's grace periods to say: of others' nothing is expected. */
		bool fences = false;

		memset(&sum, 0, sizeof(sum));
		memset(faults, 0, sizeof(faults));
		/* On a busy machine it may take more rounds until walks have begun to fence and ended. */
		for (unsigned i = 0; i < rounds || (fences && !(sum.begun && sum.ended) && i < 100); i++) {
			logging = i % 2;
			run_round(100, i >= rounds);
			fences = sum.may_fence && v->sync == &mirror_sync_srcu;
		}
		for (int f = 0; f < NR_FAULTS; f++)
			okv(faults[f] == 0, "%s", fault_names[f]);
		if (fences)
			okv(sum.begun && sum.ended, "walks begin to fence, and end");
		if (sum.may_fence)
			diag("%s: walks were seen to begin to fence %u times, and to end %u times", v->name, sum.begun,
			     sum.ended);
		if (sum.checked)
			okv(sum.bad == 0, "M1, M2, M4, M5, M8, M10: the histories of %u rounds are good", sum.checked);
		if (sum.bad)
			diag("%u faults; the first: %s", sum.bad, sum.why);
		for (int f = 0; f < NR_FAULTS; f++)
			if (faults[f])
				diag("%s: not so %u times", fault_names[f], faults[f]);
		diag("%s: %" PRIu64 " mirrors, %" PRIu64 " brackets, %" PRIu64 " callbacks, %" PRIu64 " -EDEADLK, %" PRIu64
		     " timeouts, %" PRIu64 " records", v->name, sum.mirrors, sum.brackets, sum.callbacks, sum.deadlks,
		     sum.timeouts, sum.records);
	}
	return done_testing();
}
