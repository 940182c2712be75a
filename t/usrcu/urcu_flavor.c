/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * What <mirror/urcu_flavor.h> says: liburcu's hash tables and lists over a domain of usrcu
 *
 * A freed item is poisoned and kept, so that a reader that sees one says so in every build.
 */
#include "usrcu_test.h"

#include <mirror/urcu_flavor.h>

#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>
#include <urcu/rculist.h>

static struct usrcu *domain, *other;
USRCU_FLAVOR(flavor, domain);

struct item {
	struct cds_lfht_node node;
	struct rcu_head head;
	struct cds_list_head in_list;
	struct item *next_free;
	unsigned long key;
	unsigned alive;         /* atomic; 0 once it may be reused */
};

/* ---- items; what is freed waits in a pool, so that a late reader reads memory that is still an item ---- */

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct item *pool;       /* under pool_lock */
static long nr_items;           /* under pool_lock: taken and not yet given back */

static struct item *item_new(unsigned long key)
{
	struct item *item;

	pthread_mutex_lock(&pool_lock);
	item = pool;
	if (item)
		pool = item->next_free;
	nr_items++;
	pthread_mutex_unlock(&pool_lock);
	if (!item)
		item = calloc(1, sizeof(*item));
	if (!item)
		bail_out("no memory");
	item->key = key;
	set(&item->alive, 1);
	return item;
}

static void item_free(struct item *item)
{
	set(&item->alive, 0);
	pthread_mutex_lock(&pool_lock);
	item->next_free = pool;
	pool = item;
	nr_items--;
	pthread_mutex_unlock(&pool_lock);
}

static void item_retired(struct rcu_head *head)
{
	item_free((struct item *)((char *)head - offsetof(struct item, head)));
}

static void pool_empty(void)
{
	while (pool) {
		struct item *item = pool;

		pool = item->next_free;
		free(item);
	}
}

/* ---- tables ---- */

static unsigned long hash_of(unsigned long key)
{
	return key * 0x9e3779b97f4a7c15ul;
}

static int match(struct cds_lfht_node *node, const void *key)
{
	return ((struct item *)node)->key == *(const unsigned long *)key;
}

static struct cds_lfht *table_new(int flags)
{
	struct cds_lfht *table = cds_lfht_new_flavor(4, 4, 0, flags, &flavor, NULL);

	if (!table)
		bail_out("no table");
	return table;
}

/* In a section. */
static struct item *find(struct cds_lfht *table, unsigned long key)
{
	struct cds_lfht_iter iter;

	cds_lfht_lookup(table, hash_of(key), match, &key, &iter);
	return (struct item *)cds_lfht_iter_get_node(&iter);
}

static unsigned long count(struct cds_lfht *table)
{
	unsigned long n;
	long before, after;

	flavor.read_lock();
	cds_lfht_count_nodes(table, &before, &n, &after);
	flavor.read_unlock();
	return n;
}

/* Takes everything out. */
static unsigned long drain(struct cds_lfht *table)
{
	struct cds_lfht_iter iter;
	struct item *item;
	unsigned long n = 0;

	flavor.read_lock();
	cds_lfht_for_each_entry(table, &iter, item, node) {
		if (cds_lfht_del(table, &item->node) == 0) {
			flavor.update_call_rcu(&item->head, item_retired);
			n++;
		}
	}
	flavor.read_unlock();
	return n;
}

static void table_gone(struct cds_lfht *table)
{
	is_int(cds_lfht_destroy(table, NULL), 0, "an empty table is destroyed");
	flavor.barrier();
	is_int(nr_items, 0, "S7: after barrier every item was freed");
}

/* A table does what an array of flags does. */
static void test_model(void)
{
	enum { KEYS = 64 };
	struct cds_lfht *table = table_new(CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING);
	struct item *in[KEYS] = { NULL };
	struct rng rng;
	unsigned wrong = 0, nr = 0;

	rng_init(&rng, 0);
	for (uint64_t round = scaled(20000); round > 0; round--) {
		unsigned long key = rng_below(&rng, KEYS);
		struct item *item = NULL;
		struct cds_lfht_node *got;

		flavor.read_lock();
		wrong += find(table, key) != in[key];
		switch (rng_below(&rng, 3)) {
		case 0:
			item = item_new(key);
			got = cds_lfht_add_unique(table, hash_of(key), match, &key, &item->node);
			wrong += got != (in[key] ? &in[key]->node : &item->node);
			if (got == &item->node)
				in[key] = item;
			else
				item_free(item);
			break;
		case 1:
			item = item_new(key);
			got = cds_lfht_add_replace(table, hash_of(key), match, &key, &item->node);
			wrong += got != (in[key] ? &in[key]->node : NULL);
			if (got)
				flavor.update_call_rcu(&((struct item *)got)->head, item_retired);
			in[key] = item;
			break;
		default:
			if (!in[key])
				break;
			wrong += cds_lfht_del(table, &in[key]->node) != 0;
			flavor.update_call_rcu(&in[key]->head, item_retired);
			in[key] = NULL;
		}
		flavor.read_unlock();
	}
	for (unsigned long key = 0; key < KEYS; key++)
		nr += in[key] != NULL;
	is_int(wrong, 0, "lookup, add_unique, add_replace and del agree with an array");
	is_int(count(table), nr, "... and so does the count");
	is_int(drain(table), nr, "... and a walk");
	table_gone(table);
}

/* By hand, and by the thread of the table: nothing is lost. */
static void test_resize(void)
{
	enum { NR = 2000 };
	struct cds_lfht *table = table_new(CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING);
	static const unsigned long sizes[] = { 1ul << 12, 1ul << 5, 1ul << 10, 1 };
	unsigned missing = 0;

	for (unsigned long key = 0; key < NR; key++) {
		struct item *item = item_new(key);

		flavor.read_lock();
		cds_lfht_add(table, hash_of(key), &item->node);
		flavor.read_unlock();
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cds_lfht_resize(table, sizes[i]);
		flavor.read_lock();
		for (unsigned long key = 0; key < NR; key++)
			missing += !find(table, key);
		flavor.read_unlock();
	}
	is_int(missing, 0, "every item is found in a table of every size");
	is_int(count(table), NR, "... and counted once");
	is_int(drain(table), NR, "... and comes out once");
	table_gone(table);
}

/* ---- readers, and writers that add and delete, as liburcu's own programs do it ---- */

enum { BUSY_KEYS = 32, NR_READERS = 2, NR_WRITERS = 2, ALWAYS = BUSY_KEYS };

static struct cds_lfht *busy;
static bool stop;               /* atomic */
static unsigned nr_seen_freed, nr_twice, nr_gone, nr_done;      /* atomic */

static void *read_busy(void *arg)
{
	struct rng rng;

	rng_init(&rng, 1 + (uintptr_t)arg);
	while (!get(&stop)) {
		unsigned long key = rng_below(&rng, BUSY_KEYS);
		struct cds_lfht_iter iter;
		struct item *item;

		flavor.read_lock();
		cds_lfht_lookup(busy, hash_of(key), match, &key, &iter);
		item = (struct item *)cds_lfht_iter_get_node(&iter);
		/* The other threads have their turn while this one holds the item. */
		if (rng_below(&rng, 8) == 0)
			sched_yield();
		if (item) {
			if (!get(&item->alive) || item->key != key)
				add(&nr_seen_freed, 1);
			cds_lfht_next_duplicate(busy, match, &key, &iter);
			if (cds_lfht_iter_get_node(&iter))
				add(&nr_twice, 1);
		}
		flavor.read_lock();
		if (!find(busy, ALWAYS))
			add(&nr_gone, 1);
		flavor.read_unlock();
		flavor.read_unlock();
	}
	return NULL;
}

static void write_once(struct rng *rng)
{
	unsigned long key = rng_below(rng, BUSY_KEYS + 1);
	struct item *item, *old = NULL;

	if (key == ALWAYS || rng_below(rng, 2)) {
		item = item_new(key);
		flavor.read_lock();
		if (key == ALWAYS)
			old = (struct item *)cds_lfht_add_replace(busy, hash_of(key), match, &key, &item->node);
		else if (cds_lfht_add_unique(busy, hash_of(key), match, &key, &item->node) != &item->node)
			old = item;
		flavor.read_unlock();
	} else {
		flavor.read_lock();
		item = find(busy, key);
		if (item && cds_lfht_del(busy, &item->node) == 0)
			old = item;
		flavor.read_unlock();
	}
	if (!old)
		return;
	switch (rng_below(rng, 16)) {
	case 0:
		flavor.update_synchronize_rcu();
		item_free(old);
		break;
	case 1:
		flavor.update_defer_rcu((void (*)(void *))item_free, old);
		break;
	default:
		flavor.update_call_rcu(&old->head, item_retired);
	}
}

static void *write_busy(void *arg)
{
	struct rng rng;

	rng_init(&rng, 100 + (uintptr_t)arg);
	for (uint64_t i = scaled(20000); i > 0; i--)
		write_once(&rng);
	add(&nr_done, 1);
	return NULL;
}

static void test_busy(void)
{
	pthread_t readers[NR_READERS], writers[NR_WRITERS];
	struct item *item = item_new(ALWAYS);
	unsigned long size = 1, left;

	busy = table_new(CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING);
	set(&stop, false);
	nr_seen_freed = nr_twice = nr_gone = nr_done = 0;
	flavor.read_lock();
	cds_lfht_add(busy, hash_of(ALWAYS), &item->node);
	flavor.read_unlock();
	for (uintptr_t i = 0; i < NR_READERS; i++)
		readers[i] = start(read_busy, (void *)i);
	for (uintptr_t i = 0; i < NR_WRITERS; i++)
		writers[i] = start(write_busy, (void *)i);
	while (get(&nr_done) < NR_WRITERS) {
		size = size < 1024 ? size * 4 : 1;
		cds_lfht_resize(busy, size);
	}
	for (int i = 0; i < NR_WRITERS; i++)
		join(writers[i]);
	set(&stop, true);
	for (int i = 0; i < NR_READERS; i++)
		join(readers[i]);
	is_int(nr_seen_freed, 0, "S2: no reader has an item that was freed, while tables are resized");
	is_int(nr_twice, 0, "no reader sees a key twice that was added by add_unique");
	is_int(nr_gone, 0, "a key that is only replaced is always found");
	left = count(busy);
	is_int(drain(busy), left, "every item that is left is found once");
	table_gone(busy);
}

/* ---- readers who sleep ---- */

static struct gate in_section, leave;

static void *sleep_in_flavor(void *arg)
{
	(void)arg;
	flavor.read_lock();
	gate_open(&in_section);
	gate_wait(&leave);
	flavor.read_unlock();
	return NULL;
}

static void *sleep_elsewhere(void *arg)
{
	int token;

	urcu_memb_register_thread();
	urcu_memb_read_lock();
	token = usrcu_read_lock(other);
	(void)arg;
	gate_open(&in_section);
	gate_wait(&leave);
	usrcu_read_unlock(other, token);
	urcu_memb_read_unlock();
	urcu_memb_unregister_thread();
	return NULL;
}

static void test_isolation(void)
{
	pthread_t sleeper;
	usrcu_cookie_t cookie;

	gate_init(&in_section);
	gate_init(&leave);
	sleeper = start(sleep_elsewhere, NULL);
	gate_wait(&in_section);
	flavor.update_synchronize_rcu();
	flavor.barrier();
	ok(!gate_wait_ms(&leave, 0), "S3: a reader who sleeps in liburcu and in another domain holds nothing up");
	gate_open(&leave);
	join(sleeper);

	gate_close(&in_section);
	gate_close(&leave);
	sleeper = start(sleep_in_flavor, NULL);
	gate_wait(&in_section);
	cookie = usrcu_start_poll(domain);
	is_int(usrcu_synchronize_timeout(domain, SHORT_NS), -ETIMEDOUT,
	       "S2: one who sleeps in the flavor's section is waited for");
	ok(!usrcu_poll_state(domain, cookie), "... by those who poll, too");
	gate_open(&leave);
	join(sleeper);
	flavor.update_synchronize_rcu();
	ok(usrcu_poll_state(domain, cookie), "... until the section ends");
}

static void in_signal(int signal)
{
	(void)signal;
	flavor.read_lock();
	flavor.read_lock();
	flavor.read_unlock();
	flavor.read_unlock();
}

static void test_nesting(void)
{
	int token;

	ok(!flavor.read_ongoing(), "no section is open at first");
	signal(SIGUSR1, in_signal);
	flavor.read_lock();
	flavor.read_lock();
	raise(SIGUSR1);
	flavor.read_unlock();
	ok(flavor.read_ongoing(), "an inner unlock, and sections of a signal handler, leave the outer section open");
	is_int(elsewhere(domain, synchronize_short), -ETIMEDOUT, "... which is waited for");
	flavor.read_unlock();
	ok(!flavor.read_ongoing(), "the outer unlock ends it");
	is_int(elsewhere(domain, synchronize_long), 0, "... and nobody waits any more");
	token = usrcu_read_lock(domain);
	flavor.read_lock();
	flavor.read_unlock();
	ok(flavor.read_ongoing(), "a section of usrcu_read_lock is one of the flavor's");
	usrcu_read_unlock(domain, token);
	signal(SIGUSR1, SIG_DFL);
}

/* ---- a list ---- */

static void test_list(void)
{
	CDS_LIST_HEAD(list);
	struct item *item, *next;
	unsigned long sum = 0;

	for (unsigned long key = 1; key <= 4; key++)
		cds_list_add_rcu(&item_new(key)->in_list, &list);
	flavor.read_lock();
	cds_list_for_each_entry_rcu(item, &list, in_list)
		sum += item->key;
	flavor.read_unlock();
	is_int(sum, 10, "a list of liburcu's is walked in a section");
	cds_list_for_each_entry_safe(item, next, &list, in_list) {
		cds_list_del_rcu(&item->in_list);
		flavor.update_call_rcu(&item->head, item_retired);
	}
	flavor.barrier();
	is_int(nr_items, 0, "... and its items are freed after a grace period");
}

/* ---- forks and misuse ---- */

/* The child's tables grow by a thread of its own, and the parent's go on. */
static void test_fork(void)
{
	struct cds_lfht *table = table_new(CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING);
	pid_t pid;

	for (unsigned long key = 0; key < 1000; key++) {
		struct item *item = item_new(key);

		flavor.read_lock();
		cds_lfht_add(table, hash_of(key), &item->node);
		flavor.read_unlock();
	}
	pid = fork_timed();
	if (pid == 0) {
		child_must(count(table) == 1000);
		cds_lfht_resize(table, 1ul << 12);
		child_must(drain(table) == 1000);
		child_must(cds_lfht_destroy(table, NULL) == 0);
		flavor.update_synchronize_rcu();
		flavor.barrier();
		_exit(0);
	}
	is_int(status_of(pid), 0, "S10: a child looks up, resizes, deletes and destroys");
	is_int(count(table), 1000, "... and the parent's table has all it had");
	drain(table);
	table_gone(table);
}

static void synchronize_in_section(void)
{
	flavor.read_lock();
	flavor.update_synchronize_rcu();
}

static void unlock_without_lock(void)
{
	flavor.read_unlock();
}

/* A child writes its last words into a pipe. */
static void stops(void (*misuse)(void), const char *words, const char *claim)
{
	char text[512] = "";
	int ends[2], status = 0;
	pid_t pid;

	if (pipe(ends))
		bail_out("pipe: %s", strerror(errno));
	pid = fork_timed();
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		misuse();
		_exit(0);
	}
	close(ends[1]);
	for (size_t n = 0; n < sizeof(text) - 1;) {
		ssize_t got = read(ends[0], text + n, sizeof(text) - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(ends[0]);
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, words), "%s", claim);
}

static void tests(void)
{
	domain = new_domain(USRCU_WORKER);
	other = new_domain(0);
	test_model();
	test_resize();
	test_busy();
	test_isolation();
	test_nesting();
	test_list();
	test_fork();
	stops(synchronize_in_section, "usrcu_synchronize",
	      "S5: a grace period inside a section stops the program with a message");
	stops(unlock_without_lock, "usrcu", "so does an unlock without a lock");
	is_int(usrcu_destroy(other), 0, "S11: the other domain is destroyed");
	is_int(usrcu_destroy(domain), 0, "S11: ... and that of the tables");
	pool_empty();
}

int main(int argc, char **argv)
{
#if THREAD_SANITIZED
	skip_all("ThreadSanitizer does not see the fences of liburcu");
#endif
	for_each_flavour(argc, argv, tests);
	return done_testing();
}
