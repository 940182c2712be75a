/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Families of comparators; families.h says why by name. */
#include "families.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

enum family comparator_family(const char *name)
{
	static const struct {
		const char *pattern;
		enum family family;
	} families[] = {
		{ "none", FAMILY_NONE },
		{ "srcu*", FAMILY_MIRROR }, { "usrcu*", FAMILY_MIRROR },
		{ "urcu*", FAMILY_RCU }, { "ck-epoch*", FAMILY_RCU },
		{ "ucx*", FAMILY_OTHER }, { "ucs*", FAMILY_OTHER }, { "ucm*", FAMILY_OTHER },
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
		"no synchronisation", "libmirror", "other RCU and epochs", "locks and shared counters", "other designs",
	};

	return words[family];
}

bool comparator_is_headline(const char *name)
{
	static const char *const headline[] = {
		"none", "srcu", "urcu-memb", "urcu-qsbr", "ck-epoch", "rwsem", "pthread-mutex", "pthread-rwlock-readers",
		"pthread-rwlock-writers", "ck-rwlock", "ucx", "ucm", "ucx-ucm",
	};

	for (size_t i = 0; i < sizeof(headline) / sizeof(headline[0]); i++)
		if (strcmp(headline[i], name) == 0)
			return true;
	return false;
}
