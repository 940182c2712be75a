/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The three sentences of the summary, written from the records whatever they say
 *
 * A difference is called one only where the intervals part; a goal that is missed is said to be.
 */
#include <stdarg.h>
#include <string.h>

#include "../measure/bench.h"
#include "report.h"
#include "summary.h"

/* Appends; what does not fit is cut. */
static void say(char *text, size_t size, const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));

static void say(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static bool throughput_sentence(const json_t *results, char *text, size_t size)
{
	const char *name = report_headline_case(results);
	struct estimate srcu, of_none, of_rwsem;

	if (!name || !summary_value(results, "throughput", name, "srcu", "invalidations_per_s", &srcu))
		return false;
	say(text, size, "With %d publishers and %d mirrors, srcu makes %.2f million invalidations a second",
	    summary_parameter(results, "throughput", name, "publishers"),
	    summary_parameter(results, "throughput", name, "mirrors"), srcu.median / 1e6);
	if (summary_ratio(results, "throughput", name, "srcu", "none", "invalidations_per_s", &of_none)) {
		say(text, size, ", %.0f%% of the same walk without any synchronisation", 100 * of_none.median);
		if (of_none.n > 1)
			say(text, size, " (95%% interval %.0f to %.0f%%)", 100 * of_none.low, 100 * of_none.high);
		if (of_none.n > 1 && of_none.high < 0.95)
			say(text, size, ", short of the goal of 95%%");
	}
	if (summary_ratio(results, "throughput", name, "srcu", "rwsem", "invalidations_per_s", &of_rwsem)) {
		if (of_rwsem.n == 1)
			say(text, size, "; of rwsem there is one repeat, which shows no difference from noise");
		else if (of_rwsem.low > 1 || of_rwsem.high < 1)
			say(text, size, ", and %.1f times what rwsem makes", of_rwsem.median);
		else
			say(text, size, ", with no difference from rwsem beyond the noise");
	}
	say(text, size, ".");
	return true;
}

static bool trap_sentence(const json_t *results, char *text, size_t size)
{
	struct estimate srcu, rwsem, none;
	char ns[32];

	if (!summary_value(results, "trap", NULL, "srcu", "latency_p99_9_ns", &srcu))
		return false;
	say(text, size, "While one callback takes 10 ms and an unregister waits, a publisher's p99.9 is %s over srcu",
	    format_ns(srcu.median, ns, sizeof(ns)));
	if (summary_value(results, "trap", NULL, "rwsem", "latency_p99_9_ns", &rwsem))
		say(text, size, " and %s over rwsem", format_ns(rwsem.median, ns, sizeof(ns)));
	/* Not where the interval has the goal within it: that run does not decide. */
	if (srcu.n > 1 && srcu.low >= 100e3 && summary_value(results, "trap", NULL, "none", "latency_p99_9_ns", &none)) {
		say(text, size, "; the goal of 100 us is missed, where the machine's own noise is %s",
		    format_ns(none.median, ns, sizeof(ns)));
		if (summary_value(results, "trap", NULL, "srcu", "worst_of_typical_round_ns", &srcu))
			say(text, size, " (the worst of a typical round: %s over srcu",
			    format_ns(srcu.median, ns, sizeof(ns)));
		if (summary_value(results, "trap", NULL, "rwsem", "worst_of_typical_round_ns", &rwsem))
			say(text, size, ", %s over rwsem", format_ns(rwsem.median, ns, sizeof(ns)));
		say(text, size, ")");
	}
	say(text, size, ".");
	return true;
}

/* "a, b and c" of those that hang, or of those that never did; returns how many. */
static size_t name_those(const json_t *results, bool that_hang, char *text, size_t size)
{
	const char *names[SUMMARY_MAX_COMPARATORS], *those[SUMMARY_MAX_COMPARATORS];
	size_t nr = summary_comparators(results, "deadlock", names), n = 0;

	for (size_t i = 0; i < nr; i++) {
		size_t all = summary_count(results, "deadlock", NULL, names[i], "verdict", NULL);
		bool hangs = summary_count(results, "deadlock", NULL, names[i], "verdict", "deadlocks") > 0;

		if (all > 0 && hangs == that_hang)
			those[n++] = names[i];
	}
	for (size_t i = 0; i < n; i++)
		say(text, size, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", those[i]);
	return n;
}

static bool deadlock_sentence(const json_t *results, char *text, size_t size)
{
	char hang[256] = "", pass[256] = "";
	size_t nr_hang = name_those(results, true, hang, sizeof(hang));
	size_t nr_pass = name_those(results, false, pass, sizeof(pass));

	if (nr_hang + nr_pass == 0)
		return false;
	if (nr_hang == 0)
		say(text, size, "The three-thread deadlock stops none of those measured: %s.", pass);
	else
		say(text, size, "The three threads that hung HMM deadlock over %s; they pass over %s.", hang,
		    nr_pass ? pass : "none");
	return true;
}

bool report_sentence(const json_t *results, int index, char *text, size_t size)
{
	static bool (*const sentences[])(const json_t *results, char *text, size_t size) = {
		throughput_sentence, trap_sentence, deadlock_sentence,
	};

	text[0] = '\0';
	return sentences[index](results, text, size);
}
