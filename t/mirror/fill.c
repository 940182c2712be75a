/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M12: fills race brackets, and install nothing stale; over every sync. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static const struct mirror_ops no_ops = { .size = sizeof(struct mirror_ops) };

/* ---- what waits, what retries ---- */

static void test_precision(void)
{
	struct mirror_list *list = list_new(), *other = list_new();
	struct mirror_range hit = range(15, 16, BLOCKABLE), miss = range(20, 30, BLOCKABLE), both = range(0, 100, 0);
	struct mirror m;
	uint64_t seq, again;

	mirror_register_range(list, &m, &no_ops, 10, 20);
	seq = mirror_read_begin(&m);
	okv(!mirror_read_retry(&m, seq), "M12: a fill that nothing races is good");
	mirror_invalidate_range(list, 0, 10);
	mirror_invalidate_range(list, 20, 30);
	mirror_invalidate_range(other, 10, 20);
	okv(!mirror_read_retry(&m, seq), "M12: brackets elsewhere, and on another list, make no fill retry");
	mirror_invalidate_range_start(list, &miss);
	okv(mirror_read_try_begin(&m, &seq), "M12: an open bracket elsewhere makes no fill wait");
	seq = mirror_read_begin(&m);
	okv(!mirror_read_retry(&m, seq), "M12: ... nor retry");
	mirror_invalidate_range_end(list, &miss);

	mirror_invalidate_range(list, 19, 20);
	okv(mirror_read_retry(&m, seq), "M12: a bracket over its last byte makes it retry");
	okv(mirror_read_retry(&m, seq), "M12: ... and stays stale");
	seq = mirror_read_begin(&m);
	mirror_invalidate_range(list, 10, 11);
	okv(mirror_read_retry(&m, seq), "M12: one over its first byte makes it retry");

	seq = mirror_read_begin(&m);
	mirror_invalidate_range_start(list, &hit);
	okv(mirror_read_retry(&m, seq), "M12: a bracket that has started makes it retry, ended or not");
	okv(!mirror_read_try_begin(&m, &again), "M12: while it is open no fill begins");
	mirror_invalidate_range_start(list, &both);
	mirror_invalidate_range_end(list, &hit);
	okv(!mirror_read_try_begin(&m, &again), "M12: ... nor while the second of two is");
	mirror_invalidate_range_end(list, &both);
	okv(mirror_read_try_begin(&m, &again), "M12: afterwards one does");
	okv(mirror_read_retry(&m, seq) && !mirror_read_retry(&m, again), "M12: ... and is good, the old one not");
	mirror_unregister(&m);
	list_gone(list);
	list_gone(other);
}

static uint64_t fill_seq;
static int fill_stale;

static int run_fill(struct call *c)
{
	fill_seq = mirror_read_begin(c->m);
	fill_stale = mirror_read_retry(c->m, fill_seq);
	return 0;
}

static void test_waits(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range first = range(0, 15, BLOCKABLE), second = range(12, 90, BLOCKABLE);
	struct mirror m;
	struct call c = { .m = &m };

	mirror_register_range(list, &m, &no_ops, 10, 20);
	mirror_read_begin(&m);
	mirror_invalidate_range_start(list, &first);
	mirror_invalidate_range_start(list, &second);
	call_begin(&c, run_fill);
	okv(call_blocks(&c), "M12: begin waits for two overlapping brackets");
	mirror_invalidate_range_end(list, &first);
	okv(!gate_wait_ms(&c.returned, MOMENT_MS), "M12: ... for both");
	mirror_invalidate_range_end(list, &second);
	isv(call_end(&c), 0, "M12: ... and wakes");
	isv(fill_stale, 0, "M12: ... with a good fill");
	mirror_unregister(&m);
	list_gone(list);
}

/* Who registers within a bracket gets neither its start nor its end: its first fill waits. */
static void test_late_joiner(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range open = range(15, 16, BLOCKABLE), later = range(100, 200, BLOCKABLE);
	struct mirror m, n;
	struct call c = { .m = &m };
	uint64_t seq;
	bool begun;

	mirror_invalidate_range_start(list, &open);
	mirror_register_range(list, &m, &no_ops, 10, 20);
	okv(!mirror_read_try_begin(&m, &seq), "M12: registered within a bracket: no fill begins");
	okv(!mirror_read_try_begin(&m, &seq), "M12: ... however often it is tried");
	call_begin(&c, run_fill);
	okv(call_blocks(&c), "M12: ... and begin waits");
	mirror_invalidate_range_start(list, &later);
	mirror_invalidate_range_end(list, &open);
	isv(call_end(&c), 0, "M12: ... until it is over; not for one that started since and does not overlap");
	isv(fill_stale, 0, "M12: ... and its fill is good");
	okv(mirror_read_try_begin(&m, &seq), "M12: from then on only overlapping ones matter");
	mirror_invalidate_range_end(list, &later);

	/* The same without waiting, polling alone. */
	open = range(15, 16, BLOCKABLE);
	mirror_invalidate_range_start(list, &open);
	mirror_register_range(list, &n, &no_ops, 10, 20);
	okv(!mirror_read_try_begin(&n, &seq), "M12: a late joiner that only tries");
	mirror_invalidate_range_end(list, &open);
	begun = false;
	for (int i = 0; i < 1000 && !begun; i++)
		begun = mirror_read_try_begin(&n, &seq);
	okv(begun, "M12: ... gets through by trying, once the bracket is over");
	mirror_invalidate_range(list, 15, 16);
	okv(mirror_read_retry(&n, seq), "M12: ... and its fill is invalidated from its begin on");
	mirror_unregister(&m);
	mirror_unregister(&n);
	list_gone(list);
}

static int refuse(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	return r->flags & BLOCKABLE ? 0 : -EAGAIN;
}

static const struct mirror_ops refuse_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = refuse,
};

/* A refused bracket is over: before the refuser, at it, and after it. */
static void test_refused(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range r = range(0, 10, 0);
	struct mirror m[3];
	uint64_t seq[3];

	for (int i = 0; i < 3; i++) {
		mirror_register(list, &m[i], i == 1 ? &refuse_ops : &no_ops);
		mirror_read_begin(&m[i]);
	}
	isv(mirror_invalidate_range_start(list, &r), -EAGAIN, "M4: a bracket is refused");
	for (int i = 0; i < 3; i++)
		okv(mirror_read_try_begin(&m[i], &seq[i]), "M12: ... and keeps no fill of mirror %d waiting", i);
	isv(mirror_invalidate_range(list, 0, 1), 0, "M12: a blockable one goes through");
	for (int i = 0; i < 3; i++) {
		okv(mirror_read_retry(&m[i], seq[i]), "M12: ... and mirror %d has to retry", i);
		okv(mirror_read_try_begin(&m[i], &seq[i]), "M12: ... and may begin");
	}
	for (int i = 0; i < 3; i++)
		mirror_unregister(&m[i]);
	list_gone(list);
}

/* ---- a model of memory ---- */

/*
 * Pages with a version each.  Every page has one publisher, which changes it within brackets;
 * mirrors hold copies.  Whatever a mirror holds outside of a page's brackets is its version.
 */
#define PAGES      8
#define HOLDERS    3
#define PUBLISHERS 2

static unsigned memory[PAGES];          /* relaxed: a fill may read what changes, and retries */
static struct holder {
	struct mirror m;
	pthread_mutex_t lock;
	bool held[PAGES];               /* under lock, as copy */
	unsigned copy[PAGES];
	uint64_t fills, retries;        /* its filler's */
	struct mirror_list *list;
	uint64_t stream;
} holders[HOLDERS];

static struct publisher {
	struct mirror_list *list;
	unsigned first;                 /* its pages: [first, first + PAGES / PUBLISHERS) */
	uint64_t stream, brackets, stale, within;
	struct holder *later;           /* registers in the middle */
} publishers[PUBLISHERS];

static bool stop;

static int holder_start(struct mirror *m, const struct mirror_range *r)
{
	struct holder *h = (struct holder *)((char *)m - offsetof(struct holder, m));

	pthread_mutex_lock(&h->lock);
	for (uint64_t page = r->start; page < r->end; page++)
		h->held[page] = false;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static const struct mirror_ops holder_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = holder_start,
};

/* One fill of every page, by the book; what is copied is copied with pauses. */
static bool fill(struct holder *h, struct rng *rng)
{
	unsigned copy[PAGES];
	uint64_t seq;
	bool stale;

	if (rng_below(rng, 4))
		seq = mirror_read_begin(&h->m);
	else if (!mirror_read_try_begin(&h->m, &seq))
		return false;
	for (int page = 0; page < PAGES; page++) {
		copy[page] = __atomic_load_n(&memory[page], __ATOMIC_RELAXED);
		if (rng_below(rng, 16) == 0)
			sched_yield();
	}
	pthread_mutex_lock(&h->lock);
	stale = mirror_read_retry(&h->m, seq);
	if (!stale)
		for (int page = 0; page < PAGES; page++) {
			h->copy[page] = copy[page];
			h->held[page] = true;
		}
	pthread_mutex_unlock(&h->lock);
	h->fills += !stale;
	h->retries += stale;
	return !stale;
}

static void holder_joins(struct holder *h)
{
	if (mirror_register_range(h->list, &h->m, &holder_ops, 0, PAGES))
		bail_out("mirror_register_range");
}

/* Who leaves will hear nothing more, and so holds nothing any more. */
static void holder_leaves(struct holder *h)
{
	pthread_mutex_lock(&h->lock);
	memset(h->held, 0, sizeof(h->held));
	pthread_mutex_unlock(&h->lock);
	if (mirror_unregister(&h->m))
		bail_out("mirror_unregister");
}

/* Fills, leaves and comes back, in the middle of whatever brackets are open. */
static void *holder_run(void *arg)
{
	struct holder *h = arg;
	struct rng rng;

	variant_thread_begin();
	rng_init(&rng, h->stream);
	holder_joins(h);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		fill(h, &rng);
		if (rng_below(&rng, 4) == 0) {
			holder_leaves(h);
			holder_joins(h);
		}
	}
	holder_leaves(h);
	variant_thread_end();
	return NULL;
}

/* How many copies of pages [@from, @to) there are; @wrong: those of another version alone. */
static uint64_t copies(unsigned from, unsigned to, bool wrong)
{
	uint64_t found = 0;

	for (int i = 0; i < HOLDERS; i++) {
		pthread_mutex_lock(&holders[i].lock);
		for (unsigned page = from; page < to; page++)
			found += holders[i].held[page] &&
				 (!wrong || holders[i].copy[page] != __atomic_load_n(&memory[page], __ATOMIC_RELAXED));
		pthread_mutex_unlock(&holders[i].lock);
	}
	return found;
}

static void *publisher_run(void *arg)
{
	struct publisher *p = arg;
	struct rng rng;

	variant_thread_begin();
	rng_init(&rng, p->stream);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned from = p->first + rng_below(&rng, PAGES / PUBLISHERS);
		unsigned to = from + 1 + rng_below(&rng, p->first + PAGES / PUBLISHERS - from);
		struct mirror_range r = range(from, to, BLOCKABLE);

		if (mirror_invalidate_range_start(p->list, &r))
			bail_out("mirror_invalidate_range_start");
		for (unsigned page = from; page < to; page++) {
			__atomic_fetch_add(&memory[page], 1, __ATOMIC_RELAXED);
			if (rng_below(&rng, 4) == 0)
				sched_yield();
		}
		p->within += copies(from, to, false);
		mirror_invalidate_range_end(p->list, &r);
		p->stale += copies(from, to, true);
		p->brackets++;
		if (rng_below(&rng, 2) == 0)
			sched_yield();
	}
	variant_thread_end();
	return NULL;
}

static void test_model(unsigned ms)
{
	struct mirror_list *list = list_new();
	pthread_t threads[HOLDERS + PUBLISHERS];
	uint64_t fills = 0, retries = 0, brackets = 0, stale = 0, within = 0;

	stop = false;
	for (int i = 0; i < HOLDERS + PUBLISHERS; i++) {
		int p = i - HOLDERS;

		if (i < HOLDERS) {
			holders[i] = (struct holder){ .list = list, .stream = (uint64_t)i };
			pthread_mutex_init(&holders[i].lock, NULL);
		} else {
			publishers[p] = (struct publisher){ .list = list, .stream = (uint64_t)i,
							    .first = (unsigned)p * PAGES / PUBLISHERS };
		}
	}
	for (int i = 0; i < HOLDERS + PUBLISHERS; i++) {
		int err = i < HOLDERS ? pthread_create(&threads[i], NULL, holder_run, &holders[i]) :
			  pthread_create(&threads[i], NULL, publisher_run, &publishers[i - HOLDERS]);

		if (err)
			bail_out("no thread");
	}
	usleep(ms * 1000);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < HOLDERS + PUBLISHERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < HOLDERS; i++) {
		fills += holders[i].fills;
		retries += holders[i].retries;
	}
	for (int i = 0; i < PUBLISHERS; i++) {
		brackets += publishers[i].brackets;
		stale += publishers[i].stale;
		within += publishers[i].within;
	}
	okv(within == 0, "M12: nothing of a range was installed while its bracket was open");
	okv(stale == 0, "M12: nothing stale was there after it");
	okv(fills && brackets, "M12: fills and brackets went on");
	diag("%s: %" PRIu64 " fills, %" PRIu64 " retries, %" PRIu64 " brackets; %" PRIu64 " stale, %" PRIu64 " within",
	     v->name, fills, retries, brackets, stale, within);
	list_gone(list);
}

/* ---- limits, owners, ends ---- */

static int run_begin_timeout(struct call *c)
{
	uint64_t seq;
	int rc = mirror_read_begin_timeout(c->m, &seq, c->timeout_ns);

	return rc && !mirror_read_retry(c->m, seq) ? 1 : rc;
}

static void test_timeout(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range open = range(0, 1, BLOCKABLE);
	struct mirror m, never = { 0 };
	struct call c = { .m = &m, .timeout_ns = 1000000 };
	uint64_t seq;

	isv(mirror_read_begin_timeout(NULL, &seq, 0), -EINVAL, "M16: begin_timeout: no mirror");
	isv(mirror_read_begin_timeout(&never, &seq, 0), -ENOENT, "M12: begin_timeout of no registered mirror");
	mirror_invalidate_range_start(list, &open);
	mirror_register(list, &m, &no_ops);
	isv(mirror_read_begin_timeout(&m, NULL, 0), -EINVAL, "M16: begin_timeout: no place for the number");
	isv(mirror_read_begin_timeout(&m, &seq, 0), -ETIMEDOUT, "M12: a first fill does not wait longer than it is told");
	call_begin(&c, run_begin_timeout);
	isv(call_end(&c), -ETIMEDOUT, "M12: ... nor does one that sleeps, and what it got is stale");
	mirror_invalidate_range_end(list, &open);
	isv(mirror_read_begin_timeout(&m, &seq, FOREVER), 0, "M12: once the bracket is over it begins");
	okv(!mirror_read_retry(&m, seq), "M12: ... and is good");
	mirror_invalidate_range_start(list, &open);
	isv(mirror_read_begin_timeout(&m, &seq, 0), -ETIMEDOUT, "M12: later fills keep the limit too");
	call_begin(&c, run_begin_timeout);
	isv(call_end(&c), -ETIMEDOUT, "M12: ... asleep too");
	mirror_invalidate_range_end(list, &open);
	mirror_unregister(&m);
	isv(mirror_read_begin_timeout(&m, &seq, 0), -ENOENT, "M12: begin_timeout of a mirror that has left");
	list_gone(list);
}

/* An unregister has timed out: no bracket is heard any more, and no fill installs anything. */
static void test_dying(void)
{
	struct mirror_list *list = list_new();
	struct call publisher = { .list = list, .start = 0, .end = 1 }, filler;
	struct post p;
	uint64_t seq, before;

	post_init(&p);
	mirror_register(list, &p.m, &post_start_ops);
	before = mirror_read_begin(&p.m);
	call_begin(&publisher, run_invalidate);
	gate_wait(&p.entered);
	filler = (struct call){ .m = &p.m, .timeout_ns = FOREVER };
	call_begin(&filler, run_begin_timeout);
	okv(call_blocks(&filler), "M12: a fill waits for a bracket");
	isv(mirror_unregister_timeout(&p.m, 1000000), -ETIMEDOUT, "M9: an unregister times out");
	isv(call_end(&filler), -ENOENT, "M12: ... then the fill waits no longer, and fails");
	okv(mirror_read_retry(&p.m, before), "M12: ... one from before is stale");
	isv(mirror_read_begin_timeout(&p.m, &seq, FOREVER), -ENOENT, "M12: ... and none begins");
	okv(!mirror_read_try_begin(&p.m, &seq), "M12: ... by trying neither");
	seq = mirror_read_begin(&p.m);
	gate_open(&p.leave);
	call_end(&publisher);
	okv(mirror_read_retry(&p.m, seq), "M12: ... begin returns, and retry is true");
	isv(mirror_unregister(&p.m), 0, "M9: the mirror leaves");
	mirror_register(list, &p.m, &no_ops);
	seq = mirror_read_begin(&p.m);
	okv(!mirror_read_retry(&p.m, seq), "M12: registered again, it fills");
	mirror_unregister(&p.m);
	list_gone(list);
}

/* The filler changes the range itself. */
static void test_own_bracket(void)
{
	struct mirror_list *list = list_new();
	struct mirror_range own = range(0, 1, BLOCKABLE);
	struct mirror m, other;
	uint64_t seq, others, within;

	mirror_register(list, &m, &no_ops);
	mirror_register(list, &other, &no_ops);
	seq = mirror_read_begin(&m);
	others = mirror_read_begin(&other);
	own.owner = &m;
	mirror_invalidate_range_start(list, &own);
	okv(mirror_read_try_begin(&m, &within), "M12: a mirror's own bracket makes its fills not wait");
	okv(!mirror_read_try_begin(&other, &within), "M12: ... but those of others");
	mirror_invalidate_range_end(list, &own);
	okv(!mirror_read_retry(&m, seq), "M12: ... nor retry");
	okv(mirror_read_retry(&other, others), "M12: ... but those of others");
	mirror_invalidate_range(list, 0, 1);
	okv(mirror_read_retry(&m, seq), "M12: a bracket of nobody's makes it retry");
	mirror_unregister(&m);
	mirror_unregister(&other);
	list_gone(list);
}

/* More brackets open on one mirror than once were counted. */
static void test_many_open(void)
{
	enum { NR = (1 << 20) + 1 };
	struct mirror_list *list = list_new();
	struct mirror_range *r = calloc(NR, sizeof(*r));
	unsigned waits = 0;
	struct mirror m;
	uint64_t seq;

	if (!r)
		bail_out("no memory");
	mirror_register(list, &m, &no_ops);
	mirror_read_begin(&m);
	for (int i = 0; i < NR; i++) {
		r[i] = range(0, 1, BLOCKABLE);
		mirror_invalidate_range_start(list, &r[i]);
		waits += !mirror_read_try_begin(&m, &seq);
	}
	isv((int)waits, NR, "M12: however many brackets are open, no fill begins");
	for (int i = 0; i < NR; i++)
		mirror_invalidate_range_end(list, &r[i]);
	okv(mirror_read_try_begin(&m, &seq) && !mirror_read_retry(&m, seq), "M12: when all are over, one does");
	mirror_unregister(&m);
	list_gone(list);
	free(r);
}

/*
 * Progress against brackets that never cease: the mirror counts those that it has let in, and makes others wait while
 * it copies.  doc/mirror.md has this pattern.
 */
static struct polite {
	struct mirror m;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool filling;                   /* under lock, as inside */
	unsigned inside;                /* brackets past their start */
} polite;

static int polite_start(struct mirror *m, const struct mirror_range *r)
{
	struct polite *p = mirror_container_of(m, struct polite, m);
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	while (p->filling && r->flags & BLOCKABLE)
		pthread_cond_wait(&p->changed, &p->lock);
	if (p->filling)
		rc = -EAGAIN;
	else
		p->inside++;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static void polite_end(struct mirror *m, const struct mirror_range *r)
{
	struct polite *p = mirror_container_of(m, struct polite, m);

	(void)r;
	pthread_mutex_lock(&p->lock);
	if (--p->inside == 0)
		pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static const struct mirror_ops polite_ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = polite_start,
	.invalidate_range_end = polite_end,
};

/* Its brackets never leave the mirror without one. */
static void *publish_always(void *arg)
{
	struct mirror_range r[2];

	variant_thread_begin();
	for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		r[i % 2] = range(0, 1, BLOCKABLE);
		if (mirror_invalidate_range_start(arg, &r[i % 2]))
			bail_out("mirror_invalidate_range_start");
		__atomic_fetch_add(&memory[0], 1, __ATOMIC_RELAXED);
		mirror_invalidate_range_end(arg, &r[i % 2]);
	}
	variant_thread_end();
	return NULL;
}

static void test_progress(void)
{
	struct mirror_list *list = list_new();
	pthread_t threads[PUBLISHERS];
	unsigned before, torn = 0;

	stop = false;
	polite = (struct polite){ .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	mirror_register(list, &polite.m, &polite_ops);
	for (int i = 0; i < PUBLISHERS; i++)
		if (pthread_create(&threads[i], NULL, publish_always, list))
			bail_out("no thread");
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&polite.lock);
		polite.filling = true;
		while (polite.inside)
			pthread_cond_wait(&polite.changed, &polite.lock);
		pthread_mutex_unlock(&polite.lock);
		before = __atomic_load_n(&memory[0], __ATOMIC_RELAXED);
		sched_yield();
		torn += before != __atomic_load_n(&memory[0], __ATOMIC_RELAXED);
		pthread_mutex_lock(&polite.lock);
		polite.filling = false;
		pthread_cond_broadcast(&polite.changed);
		pthread_mutex_unlock(&polite.lock);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < PUBLISHERS; i++)
		pthread_join(threads[i], NULL);
	isv((int)torn, 0, "M12: a mirror that makes brackets wait copies, however often they come");
	mirror_unregister(&polite.m);
	list_gone(list);
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_precision();
		test_waits();
		test_late_joiner();
		test_refused();
		test_timeout();
		if (!v->lock && !v->untimed)
			test_dying();
		test_own_bracket();
		test_progress();
		test_model(scaled_ms(v->lock ? 100 : 300));
	}
	v = variants;
	test_many_open();
	return done_testing();
}
