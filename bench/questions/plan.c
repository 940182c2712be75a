/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What is to be measured: the cases of the questions, how long each may take, and what a filter leaves of them. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "../comparators/comparators.h"
#include "question.h"

int bench_plan_add(struct bench_plan *plan, const struct bench_question *question, const struct bench_case *c)
{
	struct bench_planned *cases = realloc(plan->cases, (plan->nr + 1) * sizeof(cases[0]));

	if (!cases)
		return -ENOMEM;
	plan->cases = cases;
	cases[plan->nr++] = (struct bench_planned){ question, *c };
	return 0;
}

uint64_t bench_share_ns(const struct bench_config *config, uint64_t budget_ns, unsigned runs, uint64_t most_ns)
{
	uint64_t share_ns;

	if (config->duration_ns)
		return config->duration_ns;
	/* Together the budgets are about three minutes; a full run is to end within half an hour. */
	if (config->full) {
		budget_ns *= 4;
		most_ns *= 2;
	}
	share_ns = budget_ns / runs / (unsigned)config->repeats;
	if (share_ns > most_ns)
		return most_ns;
	return share_ns > 5 * NS_PER_MS ? share_ns : 5 * NS_PER_MS;
}

bool bench_wanted(const struct bench_config *config, const char *question, const char *name,
		  const struct bench_comparator *comparator)
{
	bool by_name = comparator->full_only && !config->full;
	char id[256], nameless[256], pattern[256];

	if (!config->filters[0])
		return !by_name;
	snprintf(id, sizeof(id), "%s/%s/%s", question, name, comparator->name);
	snprintf(nameless, sizeof(nameless), "%s/%s/", question, name);
	for (int i = 0; config->filters[i]; i++) {
		snprintf(pattern, sizeof(pattern), "*%s*", config->filters[i]);
		if (fnmatch(pattern, id, 0) == 0 && !(by_name && fnmatch(pattern, nameless, 0) == 0))
			return true;
	}
	return false;
}

/* "publishers=2,mirrors=16", or "-" for a case without parameters; tables find it by this name. */
json_t *bench_case_describe(const struct bench_case *c, char *name, size_t size)
{
	json_t *all = json_object();
	size_t used = 0;
	const char *key;
	json_t *value;

	if (c->trace)
		json_object_set_new(all, "trace", json_string(c->trace));
	if (c->scene)
		json_object_set_new(all, "scene", json_string(c->scene));
	if (c->ranges)
		json_object_set_new(all, "ranges", json_integer(c->ranges));
	if (c->threads)
		json_object_set_new(all, "threads", json_integer(c->threads));
	if (c->publishers != BENCH_UNUSED)
		json_object_set_new(all, "publishers", json_integer(c->publishers));
	if (c->mirrors != BENCH_UNUSED)
		json_object_set_new(all, "mirrors", json_integer(c->mirrors));
	if (c->callback_ns)
		json_object_set_new(all, "callback_ns", json_integer(c->callback_ns));
	snprintf(name, size, "-");
	json_object_foreach(all, key, value) {
		if (json_is_string(value))
			used += (size_t)snprintf(name + used, size - used, "%s%s=%s", used ? "," : "", key,
						 json_string_value(value));
		else
			used += (size_t)snprintf(name + used, size - used, "%s%s=%d", used ? "," : "", key,
						 (int)json_integer_value(value));
	}
	return all;
}

const struct bench_comparator *const *bench_comparators_of(const struct bench_question *question)
{
	return question && question->comparators ? question->comparators : bench_comparators;
}

unsigned bench_nr_comparators_of(const struct bench_config *config, const struct bench_question *question)
{
	const struct bench_comparator *const *all = bench_comparators_of(question);
	unsigned n = 0;

	for (int i = 0; all[i]; i++)
		n += config->full || !all[i]->full_only;
	return n;
}
