/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The memory of a list: mirror_memory.c explains it. */
#ifndef MIRROR_MEMORY_H
#define MIRROR_MEMORY_H

#include "mirror_list.h"

int memory_init_(struct mirror_list *list);
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
/* At least @nr free places in the array of whole-list mirrors. */
int get_places_(struct mirror_list *list, size_t nr);

/* ---- under list->lock ---- */

/* Take @m out of the array or the index: no walk that begins from now on finds it. */
void unlink_(struct mirror_list *list, struct mirror *m);
/* Take the oldest proxy of @m out of the index; it has one. */
void unlink_oldest_(struct mirror_list *list, struct mirror *m);
/* Keep what walks may still see until they are over: an entry; the nodes that the index has retired. */
void retire_entry_(struct mirror_list *list, struct mirror__entry *e);
void retire_nodes_(struct mirror_list *list);
/* Use again what no walk can see any more.  The caller passes @garbage to free_arrays_, after the lock. */
void reclaim_(struct mirror_list *list, struct garbage *garbage);
/* The same by hand, around a synchronize: take all garbage; afterwards use it again, or put it back. */
void take_garbage_(struct mirror_list *list, struct garbage *garbage);
void recycle_(struct mirror_list *list, struct garbage *garbage);
void put_garbage_back_(struct mirror_list *list, struct garbage *garbage);

/* ---- without lock ---- */

/* Free the arrays of garbage that was recycled. */
void free_arrays_(struct mirror_list *list, struct garbage *garbage);
/* No callback of these drained mirrors runs or will: they are their owners' again.  Retire their entries. */
void retire_mirrors_(struct mirror_list *list, struct mirror *const *mirrors, size_t count);

#endif /* MIRROR_MEMORY_H */
