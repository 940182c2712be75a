/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * One access of the library, one step weaker, under RC11.
 *
 * --weaken ORDER:FUNCTION:TEXT names it by the function that it stands in and the beginning of its text in the source.
 * ORDER is what it loses: acquire, release, or fence.  An order that each letter of a barrier table needs is one whose
 * loss some scenario shows; t/explore/check-letters asks for each.
 */
#include <stdlib.h>
#include <string.h>
#include "rc11.h"

static X_ENGINE struct {
	bool acquire, release, fence;
	char function[64], text[128];
	uint64_t nr;            /* how often it was met */
} weak;

bool x_weaken(const char *what)
{
	const char *function = strchr(what, ':'), *text = function ? strchr(function + 1, ':') : NULL;
	size_t order = function ? (size_t)(function - what) : 0;

	if (!text || (size_t)(text - function) > sizeof(weak.function) || strlen(text) > sizeof(weak.text))
		return false;
	weak.acquire = order == 7 && !strncmp(what, "acquire", order);
	weak.release = order == 7 && !strncmp(what, "release", order);
	weak.fence = order == 5 && !strncmp(what, "fence", order);
	memcpy(weak.function, function + 1, (size_t)(text - function) - 1);
	strcpy(weak.text, text + 1);
	return weak.acquire || weak.release || weak.fence;
}

bool x_weakened_at_all(void)
{
	return weak.nr || !weak.function[0];
}

static bool is_weak(const struct x_site *site)
{
	if (likely(!weak.function[0]) || strcmp(site->function, weak.function) ||
	    strncmp(site->text, weak.text, strlen(weak.text)))
		return false;
	weak.nr++;
	return true;
}

enum x_order rc_weakened(const struct x_site *site, enum x_order order)
{
	if (likely(!is_weak(site)))
		return order;
	if (weak.acquire)
		return order == X_ACQ_REL ? X_RELEASE : order == X_ACQUIRE ? X_RELAXED : order;
	if (weak.release)
		return order == X_ACQ_REL ? X_ACQUIRE : order == X_RELEASE ? X_RELAXED : order;
	return order;
}

bool rc_fence_weakened(const struct x_site *site)
{
	return is_weak(site) && weak.fence;
}
