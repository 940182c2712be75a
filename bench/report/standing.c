/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which comparators srcu is ahead of and which it is behind
 *
 * One is ahead of another only if their intervals part; all others are named as not told apart. What has fewer than
 * SUMMARY_MIN_REPEATS is not compared.
 */
#include "standing.h"

#include <stdio.h>
#include <string.h>

#include "../comparators/families.h"
#include "summary.h"

struct names {
	char text[640];
};

/*
 * "'a', 'b'": room for some forty names of this benchmark's. In quotes, since a name may be a word that means something
 * in a sentence: "none".
 */
static void add_name(struct names *names, const char *name)
{
	size_t used = strlen(names->text);

	snprintf(names->text + used, sizeof(names->text) - used, "%s'%s'", used ? ", " : "", name);
}

/* False if there is no comparator to compare with. */
static bool stand(const json_t *results, const char *question, const char *speed, const char *case_name,
		  struct standing_text *text)
{
	struct names ahead = { "" }, level = { "" }, behind = { "" };
	const char *comparators[SUMMARY_MAX_COMPARATORS];
	size_t nr = summary_comparators(results, question, comparators), n = 0;
	struct estimate srcu, other;

	if (!summary_value(results, question, case_name, "srcu", speed, &srcu) || srcu.n < SUMMARY_MIN_REPEATS)
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(comparators[i], "srcu") == 0 ||
		    !summary_value(results, question, case_name, comparators[i], speed, &other) ||
		    other.n < SUMMARY_MIN_REPEATS)
			continue;
		n++;
		if (!estimates_differ(&srcu, &other))
			add_name(&level, comparator_label(comparators[i]));
		else
			add_name(srcu.median > other.median ? &ahead : &behind, comparator_label(comparators[i]));
	}
	snprintf(text->text, sizeof(text->text), "%s: 'srcu' is ahead of %s; behind %s; not told apart from %s.",
		 case_name, ahead.text[0] ? ahead.text : "no other", behind.text[0] ? behind.text : "no other",
		 level.text[0] ? level.text : "any other");
	return n > 0;
}

size_t report_standing(const json_t *results, const char *question, const char *speed, struct standing_text *texts,
		       size_t room)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, question, cases), n = 0;

	for (size_t i = 0; i < nr_cases && n < room; i++)
		n += stand(results, question, speed, cases[i], &texts[n]);
	return n;
}
