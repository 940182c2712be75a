/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Every comparator does the same work: each bracket reaches all mirrors that it overlaps, in order, and back in reverse;
 * and an unregister returns when no callback of the mirror runs.
 *
 * What is slower because it does more, or faster because it leaves something out, would be no comparison.  Lists with
 * one fault each show that the checks notice.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>

#include "comparators/comparators.h"
#include "comparators/plain.h"
#include "tap.h"

void bench_complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- what is heard ---- */

enum { NR_MIRRORS = 5, MAX_HEARD = 64 };

static struct bench_mirror mirrors[NR_MIRRORS];

/* 'a', 'b', ... for the starts of the mirrors, 'A', 'B', ... for their ends. */
static char heard[MAX_HEARD];

static void hear(const struct mirror *m, char first)
{
	size_t i = (size_t)((const char *)m - (const char *)&mirrors[0].mirror) / sizeof(mirrors[0]), n = strlen(heard);

	if (n + 1 < MAX_HEARD)
		heard[n] = (char)(first + (char)i);
}

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	hear(m, 'a');
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	hear(m, 'A');
}

static const struct mirror_ops ops = {
	.size = sizeof(ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};
static const struct mirror_ops start_ops = { .size = sizeof(start_ops), .invalidate_range_start = on_start };

static const struct {
	const struct mirror_ops *ops;
	uint64_t start, end;
} places[NR_MIRRORS] = {
	{ &ops, 0, UINT64_MAX },
	{ &ops, 0x4000, 0x6000 },
	{ &ops, 0x1000, 0x3000 },
	{ &start_ops, 0, UINT64_MAX },
	{ &ops, 0x2000, 0x5000 },
};

static const struct {
	uint64_t start, end;
	const char *heard;              /* whole-list mirrors, then ranges in order of address */
	const char *heard_plain;        /* all in order of registration */
} brackets[] = {
	{ 0x1000, 0x2000, "adcCA", "acdCA" },   /* it ends where one begins */
	{ 0x2000, 0x3000, "adceECA", "acdeECA" },
	{ 0x3000, 0x4000, "adeEA", "adeEA" },
	{ 0x2fff, 0x4001, "adcebBECA", "abcdeECBA" },
	{ 0x6000, 0x7000, "adA", "adA" },
	{ 0, 0x10000, "adcebBECA", "abcdeECBA" },
};

enum { NR_BRACKETS = sizeof(brackets) / sizeof(brackets[0]) };

static void bracket(struct bench_list *list, uint64_t start, uint64_t end)
{
	struct mirror_range range = { .start = start, .end = end, .flags = MIRROR_RANGE_BLOCKABLE };

	if (bench_start(list, &range) == 0)
		bench_end(list, &range);
}

/* NULL: all was heard as it should be; else what was not. */
static const char *wrong_brackets(const struct bench_comparator *comparator)
{
	/* A bare loop compares no ranges: all hear of all. */
	bool all = comparator == &comparator_bare;
	struct bench_list list;
	const char *wrong = NULL;
	static char text[160];

	if (bench_list_open(&list, comparator))
		return "there is no list";
	for (int i = 0; i < NR_MIRRORS; i++)
		if (bench_register_range(&list, &mirrors[i], places[i].ops, places[i].start, places[i].end))
			wrong = "a mirror was refused";
	/* Twice, so that a list that loses each second one is noticed. */
	for (int i = 0; i < 2 * NR_BRACKETS && !wrong; i++) {
		const char *want = all ? "abcdeECBA" : comparator->plain ? brackets[i % NR_BRACKETS].heard_plain :
						       brackets[i % NR_BRACKETS].heard;

		memset(heard, 0, sizeof(heard));
		bracket(&list, brackets[i % NR_BRACKETS].start, brackets[i % NR_BRACKETS].end);
		if (strcmp(heard, want) == 0)
			continue;
		snprintf(text, sizeof(text), "of [%#llx, %#llx) was heard \"%s\", not \"%s\"",
			 (unsigned long long)brackets[i % NR_BRACKETS].start,
			 (unsigned long long)brackets[i % NR_BRACKETS].end, heard, want);
		wrong = text;
	}
	bench_unregister(&list, &mirrors[2]);
	memset(heard, 0, sizeof(heard));
	bracket(&list, 0x2000, 0x3000);
	if (!wrong && strcmp(heard, all ? "abdeEBA" : "adeEA") != 0)
		wrong = "a mirror that was taken out is called, or others are not";
	for (int i = 0; i < NR_MIRRORS; i++)
		if (i != 2)
			bench_unregister(&list, &mirrors[i]);
	bench_list_close(&list);
	return wrong;
}

/* ---- an unregister while a callback runs ---- */

struct scene {
	const struct bench_comparator *comparator;
	struct bench_list list;
	struct bench_mirror mirror;
	struct gate in_callback, removed;
	bool too_early;
};

/* Long for an unregister that does not wait, and short for a test. */
enum { LOOK_MS = 20 };

static int on_start_look(struct mirror *m, const struct mirror_range *r)
{
	struct scene *scene = r->data;

	(void)m;
	gate_open(&scene->in_callback);
	scene->too_early = gate_wait_ms(&scene->removed, LOOK_MS);
	return 0;
}

static const struct mirror_ops look_ops = { .size = sizeof(look_ops), .invalidate_range_start = on_start_look };

static void *take_out(void *arg)
{
	struct scene *scene = arg;

	if (scene->comparator->thread_setup)
		scene->comparator->thread_setup();
	gate_wait(&scene->in_callback);
	bench_unregister(&scene->list, &scene->mirror);
	gate_open(&scene->removed);
	if (scene->comparator->thread_teardown)
		scene->comparator->thread_teardown();
	return NULL;
}

static bool returns_too_early(const struct bench_comparator *comparator)
{
	static struct scene scene;
	struct mirror_range range = { .start = 0, .end = 4096, .flags = MIRROR_RANGE_BLOCKABLE, .data = &scene };
	pthread_t thread;

	memset(&scene, 0, sizeof(scene));
	scene.comparator = comparator;
	gate_init(&scene.in_callback);
	gate_init(&scene.removed);
	if (bench_list_open(&scene.list, comparator) || bench_register(&scene.list, &scene.mirror, &look_ops) ||
	    pthread_create(&thread, NULL, take_out, &scene))
		bail_out("no scene over %s", comparator->name);
	if (bench_start(&scene.list, &range) == 0)
		bench_end(&scene.list, &range);
	pthread_join(thread, NULL);
	bench_list_close(&scene.list);
	return scene.too_early;
}

static bool can_be_tested(const struct bench_comparator *comparator)
{
	const char *sanitizer = getenv("MIRROR_SANITIZER");

	if (!comparator->library || strcmp(comparator->library, "C library") == 0 || !sanitizer ||
	    !strstr(sanitizer, "thread"))
		return true;
	skip(1, "%s: %s is not built for ThreadSanitizer", comparator->name, comparator->library);
	return false;
}

static void test_comparator(const struct bench_comparator *comparator)
{
	const char *wrong;

	if (!can_be_tested(comparator))
		return;
	if (comparator->thread_setup)
		comparator->thread_setup();
	wrong = wrong_brackets(comparator);
	ok(!wrong, "%s: each bracket reaches what it overlaps, in order and in reverse", comparator->name);
	if (wrong)
		diag("%s", wrong);
	if (!comparator->list_is_frozen)
		ok(!returns_too_early(comparator), "%s: an unregister waits for the mirror's callback",
		   comparator->name);
	if (comparator->thread_teardown)
		comparator->thread_teardown();
}

/* ---- lists with one fault each ---- */

static enum fault { NO_FAULT, LAST_LEFT_OUT, END_FORWARDS, RANGE_IGNORED, EACH_SECOND_LOST, END_LOST, NOT_TAKEN_OUT,
		    NO_WAITING, NR_FAULTS } fault;

static struct {
	pthread_mutex_t lock;           /* held across the callbacks */
	size_t nr;
	struct bench_mirror *all[NR_MIRRORS];
	unsigned nr_brackets;
} simple = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int create(void **list)
{
	simple.nr = 0;
	simple.nr_brackets = 0;
	*list = &simple;
	return 0;
}

static void destroy(void *list)
{
	(void)list;
}

static int add(void *list, struct bench_mirror *m)
{
	(void)list;
	simple.all[simple.nr++] = m;
	return 0;
}

static void remove_mirror(void *list, struct bench_mirror *m)
{
	size_t i = 0;

	(void)list;
	if (fault == NO_WAITING)
		return;
	pthread_mutex_lock(&simple.lock);
	while (simple.all[i] != m)
		i++;
	for (simple.nr--; i < simple.nr && fault != NOT_TAKEN_OUT; i++)
		simple.all[i] = simple.all[i + 1];
	pthread_mutex_unlock(&simple.lock);
}

static bool overlaps(const struct bench_mirror *m, const struct mirror_range *r)
{
	return fault == RANGE_IGNORED || (m->start < r->end && r->start < m->end);
}

static int start(void *list, struct mirror_range *r)
{
	(void)list;
	pthread_mutex_lock(&simple.lock);
	if (simple.nr_brackets++ % 2 == 1 && fault == EACH_SECOND_LOST)
		return 0;
	for (size_t i = 0; i + (fault == LAST_LEFT_OUT) < simple.nr; i++)
		if (overlaps(simple.all[i], r))
			simple.all[i]->mirror.ops->invalidate_range_start(&simple.all[i]->mirror, r);
	return 0;
}

static void end(void *list, struct mirror_range *r)
{
	bool lost = fault == END_LOST || (fault == EACH_SECOND_LOST && simple.nr_brackets % 2 == 0);

	(void)list;
	for (size_t i = lost ? simple.nr : 0; i < simple.nr; i++) {
		struct bench_mirror *m = simple.all[fault == END_FORWARDS ? i : simple.nr - 1 - i];

		if ((fault != LAST_LEFT_OUT || m != simple.all[simple.nr - 1]) && overlaps(m, r) &&
		    m->mirror.ops->invalidate_range_end)
			m->mirror.ops->invalidate_range_end(&m->mirror, r);
	}
	pthread_mutex_unlock(&simple.lock);
}

static const struct plain_list plain = { create, destroy, add, remove_mirror, start, end };
static const struct bench_comparator comparator_simple = { .name = "simple", .plain = &plain };

static void test_faults(void)
{
	static const char *const names[NR_FAULTS] = {
		[LAST_LEFT_OUT] = "does not reach the last mirror", [END_FORWARDS] = "ends forwards",
		[RANGE_IGNORED] = "compares no ranges", [EACH_SECOND_LOST] = "loses each second bracket",
		[END_LOST] = "has no end", [NOT_TAKEN_OUT] = "takes out another mirror",
	};

	test_comparator(&comparator_simple);
	for (fault = NO_FAULT + 1; fault < NO_WAITING; fault++)
		ok(wrong_brackets(&comparator_simple), "a list that %s is noticed", names[fault]);
	ok(returns_too_early(&comparator_simple), "a list whose unregister does not wait is noticed");
}

int main(void)
{
	for (int i = 0; bench_comparators[i]; i++)
		test_comparator(bench_comparators[i]);
	test_faults();
	return done_testing();
}
