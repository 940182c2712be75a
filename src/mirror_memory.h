/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The memory of a list: mirror_memory.c explains it. */
#ifndef MIRROR_MEMORY_H
#define MIRROR_MEMORY_H

#include "mirror_garbage.h"

void memory_init_(struct mirror_list *list);
void memory_destroy_(struct mirror_list *list);

/*
 * Over a lock, around all that changes what walks see: the sync's write_lock, 0 or what that returns.  It is given up
 * and taken again while the program's allocator runs.  Over a grace period these do nothing.
 */
int begin_change_(struct mirror_list *list, uint64_t timeout_ns);
void end_change_(struct mirror_list *list);

/* ---- under list->lock, which these three give up while they allocate ---- */

/* An entry, zeroed; or NULL. */
struct mirror__entry *get_entry_(struct mirror_list *list);
/* Spare nodes enough for one insertion into the index. */
int get_nodes_(struct mirror_list *list);
/* At least @nr free places for whole-list mirrors, behind all others. */
int get_places_(struct mirror_list *list, size_t nr);

/* ---- under list->lock ---- */

/* Take @m out of its block or the index: no walk that begins from now on finds it. */
void unlink_(struct mirror_list *list, struct mirror *m);
/* Take the oldest proxy of @m out of the index; it has one. */
void unlink_oldest_(struct mirror_list *list, struct mirror *m);

/* ---- without lock ---- */

/* Free the chunks that reclaiming has emptied. */
void free_chunks_(struct mirror_list *list, struct garbage *garbage);
/* No callback of these drained mirrors runs or will: they are their owners' again.  Retire their entries. */
void retire_mirrors_(struct mirror_list *list, struct mirror *const *mirrors, size_t count);

#endif /* MIRROR_MEMORY_H */
