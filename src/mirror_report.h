/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What a list reports: callbacks that take too long, and misuse. */
#ifndef MIRROR_REPORT_H
#define MIRROR_REPORT_H

#include "mirror_list.h"

/* Note when a callback of @walk begins. */
void begin_timing_(const struct walk *walk);
/* It has returned, and its entry is still pinned: report it if the list has a stall_ns, and it took longer. */
void end_timing_(const struct walk *walk, struct mirror__entry *e);
/* The callback of @m that @w runs at @level holds up a drain: report it. */
void report_stall_(struct mirror_list *list, const struct walker *w, int level, struct mirror *m);

/* If @w's thread has ended inside the callback that it runs at @level, say so, once. */
void report_ended_(struct mirror_list *list, struct walker *w, int level, const struct mirror__entry *e);

/* Tell of a call that breaks a rule: the list's report, or standard error. */
void misuse_(const struct mirror_list *list, const char *function, const char *rule);
/* The same of what a domain of @list's reports, a thread that has ended inside a walk. */
void report_of_part_(void *list, const char *text);

#endif /* MIRROR_REPORT_H */
