/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Whom srcu is ahead of and whom behind, and what this run can tell at all
 *
 * One is ahead of another only where their intervals part; all others are named as not told apart.
 */
#include "standing.h"

#include <stdio.h>
#include <string.h>

#include "../measure/bench.h"
#include "summary.h"

static const char *const speed = "invalidations_per_s";

struct names {
	char text[480];
};

/* "a, b": room for some forty names of this benchmark's. */
static void add_name(struct names *names, const char *name)
{
	size_t used = strlen(names->text);

	snprintf(names->text + used, sizeof(names->text) - used, "%s%s", used ? ", " : "", name);
}

/* False where there is nobody to compare with. */
static bool stand(const json_t *results, const char *question, const char *case_name, struct standing_text *text)
{
	struct names ahead = { "" }, level = { "" }, behind = { "" };
	const char *comparators[SUMMARY_MAX_COMPARATORS];
	size_t nr = summary_comparators(results, question, comparators), n = 0;
	struct estimate srcu, other;

	if (!summary_value(results, question, case_name, "srcu", speed, &srcu))
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(comparators[i], "srcu") == 0 ||
		    !summary_value(results, question, case_name, comparators[i], speed, &other))
			continue;
		n++;
		if (!estimates_differ(&srcu, &other))
			add_name(&level, comparators[i]);
		else
			add_name(srcu.median > other.median ? &ahead : &behind, comparators[i]);
	}
	snprintf(text->text, sizeof(text->text), "%s: srcu is ahead of %s; behind %s; not told apart from %s.", case_name,
		 ahead.text[0] ? ahead.text : "nobody", behind.text[0] ? behind.text : "nobody",
		 level.text[0] ? level.text : "nobody");
	return n > 0;
}

size_t report_standing(const json_t *results, const char *question, struct standing_text *texts, size_t room)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, question, cases), n = 0;

	if (strcmp(question, "throughput") != 0 && strcmp(question, "callbacks") != 0)
		return 0;
	for (size_t i = 0; i < nr_cases && n < room; i++)
		n += stand(results, question, cases[i], &texts[n]);
	return n;
}

bool report_noise(const json_t *results, char *text, size_t size)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "noise", cases);
	struct estimate ratio;
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < nr_cases && used < size; i++) {
		if (!summary_ratio(results, "noise", cases[i], "srcu-b", "srcu-a", speed, &ratio))
			continue;
		used += (size_t)snprintf(text + used, size - used,
					 "%s%d publisher%s %.3f (95%% interval %.3f to %.3f, single pairs %.3f to %.3f)",
					 used ? "; " : "Noise of this run, srcu against itself: ",
					 summary_parameter(results, "noise", cases[i], "publishers"),
					 summary_parameter(results, "noise", cases[i], "publishers") == 1 ? "" : "s",
					 ratio.median, ratio.low, ratio.high, ratio.least, ratio.most);
	}
	if (used > 0 && used < size)
		snprintf(text + used, size - used, ".");
	return used > 0;
}
