/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Looks descriptors up. */
#include "descriptor.h"

#include <string.h>

const struct report_question *report_question_of(const struct report *report, const char *name)
{
	for (size_t i = 0; report->questions[i]; i++)
		if (strcmp(report->questions[i]->name, name) == 0)
			return report->questions[i];
	return NULL;
}

const char *report_headline_case(const struct report *report, const struct report_question *question)
{
	return question->headline && question->headline->case_of ? question->headline->case_of(report->results) : NULL;
}
