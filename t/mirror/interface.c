/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* M3, M16, M19, M20: refused ends, the last byte, structures of other versions, reports, what errors mean. */
#include "mirror_test.h"

#define BLOCKABLE MIRROR_RANGE_BLOCKABLE

static struct probe a, b;

/* ---- the last byte ---- */

static void test_last_byte(void)
{
	const uint64_t page = UINT64_MAX - 4095;
	struct mirror_list *list = list_new();
	struct mirror_range r = range(UINT64_MAX, 0, BLOCKABLE);

	a = (struct probe){ .name = 'A' };
	b = (struct probe){ .name = 'B' };
	isv(mirror_register_range(list, &a.m, &probe_ops, page, 0), 0, "M16: a range that ends at 2^64");
	isv(mirror_register_range(list, &b.m, &probe_ops, 0, 0), 0, "M16: [0, 0) is all of it");
	isv(mirror_invalidate_range_start(list, &r), 0, "M16: a bracket over the last byte");
	traced("BA", "M16: ... calls both");
	mirror_invalidate_range_end(list, &r);
	trace[0] = '\0';
	mirror_invalidate_range(list, page - 1, page);
	traced("Bb", "M16: one that ends before the page calls one");
	mirror_invalidate_range(list, 0, 1);
	traced("Bb", "M16: ... so does one over the first byte");
	mirror_unregister(&b.m);
	isv(mirror_invalidate_range(list, 5, 0), 0, "M16: a bracket up to 2^64");
	traced("Aa", "M16: ... reaches the page");
	isv(mirror_invalidate_range(list, 0, 0), 0, "M16: one over all of it");
	traced("Aa", "M16: ... too");
	mirror_unregister(&a.m);
	list_gone(list);
}

/* ---- an end that the sync refuses ---- */

static __thread bool stranger;

static int refusing_read_lock(void *state)
{
	(void)state;
	return stranger ? -EPERM : 0;
}

static void refusing_read_unlock(void *state, int token)
{
	(void)state;
	(void)token;
}

/* No walk runs beside these tests' unregisters. */
static int refusing_synchronize(void *state, uint64_t timeout_ns)
{
	(void)state;
	(void)timeout_ns;
	return 0;
}

static const struct mirror_sync refusing_sync = {
	.size = sizeof(refusing_sync),
	.name = "refusing",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.read_lock = refusing_read_lock,
	.read_unlock = refusing_read_unlock,
	.synchronize = refusing_synchronize,
};

/* ---- reports ---- */

static struct heard {
	unsigned nr;
	struct mirror_report last;
	char text[256];
} heard;

static void hear(void *arg, const struct mirror_report *report)
{
	struct heard *h = arg;

	h->nr++;
	h->last = *report;
	snprintf(h->text, sizeof(h->text), "%s", report->text);
	errno = ENOTTY;
}

static void become_strange(struct probe *p, const struct mirror_range *r)
{
	(void)p;
	(void)r;
	stranger = true;
}

static void test_refused_end(void)
{
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = &refusing_sync, .name = "refused", .report = hear,
					 .report_arg = &heard };
	struct mirror_range r = range(0, 1, BLOCKABLE);
	struct mirror_list *list;
	uint64_t seq;

	is_int(mirror_list_create(&list, &attr), 0, "M3: a list over a sync that refuses strangers");
	a = (struct probe){ .name = 'A' };
	mirror_register(list, &a.m, &probe_ops);
	mirror_read_begin(&a.m);
	mirror_invalidate_range_start(list, &r);
	trace[0] = '\0';
	stranger = true;
	heard.nr = 0;
	errno = 0;
	mirror_invalidate_range_end(list, &r);
	is_int(errno, 0, "M20: a report changes no errno");
	is_int((int)heard.nr, 1, "M3: an end in a strange thread is reported");
	ok(heard.last.kind == MIRROR_REPORT_MISUSE && !strcmp(heard.last.list, "refused") &&
	   !strcmp(heard.last.what, "invalidate_range_end") && strstr(heard.text, "refused its read_lock"),
	   "M20: ... as misuse, with list, call and cause: %s", heard.text);
	is_int(mirror_invalidate_range(list, 0, 1), -EPERM, "M3: a start there fails");
	ok(was_traced(""), "M3: ... and nobody is called");
	ok(!mirror_read_try_begin(&a.m, &seq), "M12: the bracket is still open for fills");
	is_int(mirror_list_destroy(list), -EBUSY, "M17: ... and for destroy");
	is_int(mirror_invalidate_range_start(list, &r), -EINVAL, "M3: ... and its range cannot be opened again");
	stranger = false;
	mirror_invalidate_range_end(list, &r);
	ok(was_traced("a"), "M3: ended again where it works, the mirror gets its end");
	ok(mirror_read_try_begin(&a.m, &seq), "M12: ... and a fill begins");
	a.in_start = become_strange;
	is_int(mirror_invalidate_range(list, 0, 1), 0, "M3: start and end in one, in a thread that becomes strange in between");
	ok(was_traced("Aa"), "M3: ... has its end");
	ok(mirror_read_try_begin(&a.m, &seq), "M12: ... and a fill begins");
	stranger = false;
	hush();
	mirror_invalidate_range_end(list, &r);
	ok(hushed()[0] == '\0' && heard.nr == 2, "M20: a second end is reported, not on standard error");
	mirror_unregister(&a.m);
	list_gone(list);
}

static int refuse_always(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	return -EAGAIN;
}

static const struct mirror_ops refuse_ops = { .size = sizeof(refuse_ops), .invalidate_range_start = refuse_always };

static void test_reports(void)
{
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = v->sync, .flags = v->flags, .name = "heard",
					 .stall_ns = 1, .report = hear, .report_arg = &heard };
	struct mirror_list *list;
	struct mirror m;

	if (mirror_list_create(&list, &attr))
		bail_out("mirror_list_create");
	heard.nr = 0;
	mirror_register(list, &m, &refuse_ops);
	hush();
	errno = 0;
	mirror_invalidate_range(list, 0, 1);
	isv(errno, 0, "M20: errno is kept");
	okv(hushed()[0] == '\0', "M20: nothing goes to standard error");
	isv((int)heard.nr, 2, "M20: a refusal of a blockable range, and a stall");
	okv(heard.last.kind == MIRROR_REPORT_STALL && heard.last.mirror == &m && heard.last.age_ns > 0 &&
	    heard.last.tid == (int)syscall(SYS_gettid) && !strcmp(heard.last.what, "invalidate_range_start"),
	    "M15: ... with mirror, thread, callback and age");
	mirror_unregister(&m);
	list_gone(list);
}

/* ---- structures of other versions ---- */

static struct {
	struct mirror_ops ops;
	void *later[2];
} later_ops = { .ops = { .invalidate_range_start = probe_start, .size = sizeof(later_ops) } };

static struct {
	struct mirror_list_attr attr;
	void *later[2];
} later_attr = { .attr = { .size = sizeof(later_attr) } };

static struct {
	struct mirror_sync sync;
	void *later;
} later_sync;

static void test_sizes(void)
{
	struct mirror_list_attr attr = { .size = offsetof(struct mirror_list_attr, stall), .name = "an older attr" };
	struct {
		struct mirror_list_stats stats;
		uint64_t later;
	} stats = { .later = 7 };
	struct mirror_list *list;

	attr.report = hear; /* behind the size: not looked at */
	later_attr.later[0] = later_attr.later[1] = NULL;
	later_attr.attr.sync = NULL;
	is_int(mirror_list_create(&list, &later_attr.attr), 0, "M19: larger attributes whose rest is zero");
	is_int(mirror_list_destroy(list), 0, "M17: destroy");
	later_attr.later[1] = &attr;
	is_int(mirror_list_create(&list, &later_attr.attr), -E2BIG, "M19: ... or not");
	later_sync.sync = mirror_sync_srcu;
	later_sync.sync.size = sizeof(later_sync);
	attr.sync = &later_sync.sync;
	is_int(mirror_list_create(&list, &attr), 0, "M19: smaller attributes, a larger sync");
	heard.nr = 0;
	hush();
	mirror_invalidate_range_end(list, &(struct mirror_range){ 0 });
	ok(strstr(hushed(), "an older attr") && heard.nr == 0, "M19: what is behind the size is not looked at");
	a = (struct probe){ .name = 'A' };
	is_int(mirror_register(list, &a.m, &later_ops.ops), 0, "M19: larger ops whose rest is zero");
	mirror_invalidate_range(list, 0, 1);
	ok(was_traced("A"), "M19: ... serve");
	mirror_unregister(&a.m);
	later_ops.later[0] = &attr;
	is_int(mirror_register(list, &a.m, &later_ops.ops), -E2BIG, "M19: ... or not");
	later_ops.later[0] = NULL;

	stats.stats.size = sizeof(stats);
	is_int(mirror_list_get_stats(list, &stats.stats), 0, "M19: larger statistics");
	ok(stats.stats.size == sizeof(stats.stats) && stats.stats.walks == 1 && stats.later == 0,
	   "M19: ... say how much of them is known, the rest is zero");
	stats.stats.size = offsetof(struct mirror_list_stats, callbacks);
	stats.stats.callbacks = 7;
	is_int(mirror_list_get_stats(list, &stats.stats), 0, "M19: smaller statistics");
	ok(stats.stats.walks == 1 && stats.stats.callbacks == 7, "M19: ... are not written beyond their size");
	list_gone(list);
	later_sync.later = &attr;
	is_int(mirror_list_create(&list, &attr), -E2BIG, "M19: a sync with what nobody knows");
}

/* ---- an allocator that publishes ---- */

static struct mirror_list *mapped;
static bool within;
static unsigned published;

static void publish_from_hook(void)
{
	if (!mapped || within)
		return;
	within = true;
	published += mirror_invalidate_range(mapped, 0, 1) == 0;
	within = false;
}

static void *hooked_alloc(void *arg, size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	(void)arg;
	publish_from_hook();
	return memory ? memset(memory, 0, bytes) : NULL;
}

static void hooked_free(void *arg, void *memory, size_t bytes)
{
	(void)arg;
	(void)bytes;
	publish_from_hook();
	free(memory);
}

static void test_allocator(void)
{
	enum { NR = 400 };
	static const struct mirror_ops ops = { .size = sizeof(ops) };
	static const struct mirror_allocator hooked = { hooked_alloc, hooked_free, NULL };
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = v->sync, .flags = v->flags, .allocator = &hooked };
	static struct mirror m[NR];
	struct mirror_list *list;
	int failed = 0;

	published = 0;
	if (mirror_list_create(&list, &attr))
		bail_out("mirror_list_create");
	mapped = list;
	for (uint64_t i = 0; i < NR; i++)
		failed += i % 2 ? mirror_register(list, &m[i], &ops) != 0 :
				  mirror_register_range(list, &m[i], &ops, 10 + i, 20 + i) != 0;
	isv(failed, 0, "M1: registers whose allocator publishes on the list");
	okv(published > 0, "M1: ... which it did, %u times", published);
	for (int i = 0; i < NR; i++)
		failed += mirror_unregister(&m[i]) != 0;
	isv(failed, 0, "M5: ... and unregisters");
	mapped = NULL; /* destroy runs alone */
	list_gone(list);
}

/* ---- what errors mean ---- */

static void test_errors(void)
{
	ok(!strcmp(mirror_strerror(0, "mirror_register"), "success"), "M20: 0 is success");
	ok(strstr(mirror_strerror(-EBUSY, "mirror_register_range"), "is registered") != NULL,
	   "M20: an error means one thing in one call");
	ok(strstr(mirror_strerror(-EBUSY, "mirror_list_destroy"), "brackets") != NULL, "M20: ... and another in another");
	ok(strcmp(mirror_strerror(-EDEADLK, "mirror_unregister_async"), mirror_strerror(-EDEADLK, "mirror_unregister")),
	   "M20: ... although one's name begins with the other's");
	ok(strstr(mirror_strerror(-ETIMEDOUT, "mirror_unregister_timeout"), "call again") != NULL,
	   "M20: ... and says what to do");
	ok(strstr(mirror_strerror(-ENOMEM, NULL), "memory") != NULL, "M20: some mean the same everywhere");
	ok(strstr(mirror_strerror(-EXDEV, "mirror_barrier"), "the system") != NULL, "M20: others are not the library's");
}

int main(void)
{
	for (v = variants; v < variants + NR_VARIANTS; v++) {
		test_last_byte();
		test_reports();
		test_allocator();
	}
	v = variants;
	test_refused_end();
	test_sizes();
	test_errors();
	return done_testing();
}
