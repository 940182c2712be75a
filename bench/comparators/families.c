/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Families of comparators; families.h says why by name. */
#include "families.h"

#include <fnmatch.h>
#include <string.h>

enum family comparator_family(const char *name)
{
	static const struct {
		const char *pattern;
		enum family family;
	} families[] = {
		{ "bare", FAMILY_NONE }, { "no-sync", FAMILY_NONE }, { "none", FAMILY_NONE },
		{ "srcu*", FAMILY_MIRROR }, { "usrcu*", FAMILY_MIRROR },
		{ "urcu*", FAMILY_RCU }, { "ck-epoch*", FAMILY_RCU },
		{ "ucx*", FAMILY_OTHER }, { "ucs*", FAMILY_OTHER }, { "ucm*", FAMILY_OTHER },
		{ "list-*", FAMILY_OWN },
		{ "*tree*", FAMILY_OTHER }, { "*array*", FAMILY_OTHER },
	};

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (fnmatch(families[i].pattern, name, 0) == 0)
			return families[i].family;
	return FAMILY_LOCK;
}

const char *family_words(enum family family)
{
	static const char *const words[NR_FAMILIES] = {
		"without synchronisation", "libmirror", "other RCU and epochs", "locks and shared counters",
		"other designs", "your own list",
	};

	return words[family];
}

static const struct {
	const char *name, *words;
} headline[] = {
	{ "srcu", "srcu: libmirror" },
	{ "rwsem", "rwsem: old HMM" },
	{ "list-rwlock", "list-rwlock: your own" },
	{ "list-urcu", "list-urcu: your own" },
	{ "bare", "bare: the limit" },
};

enum { NR_HEADLINE = sizeof(headline) / sizeof(headline[0]) };

const char *comparator_headline(size_t i)
{
	return i < NR_HEADLINE ? headline[i].name : NULL;
}

const char *comparator_words(const char *name)
{
	for (size_t i = 0; i < NR_HEADLINE; i++)
		if (strcmp(headline[i].name, name) == 0)
			return headline[i].words;
	return name;
}

const char *comparator_label(const char *name)
{
	/* "faster than none" says the opposite of what it means. */
	return strcmp(name, "none") == 0 ? "no-sync" : name;
}
