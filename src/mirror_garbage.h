/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What is not in the list any more: mirror_garbage.c explains it.  All under list->lock. */
#ifndef MIRROR_GARBAGE_H
#define MIRROR_GARBAGE_H

#include "mirror_list.h"

/* Keep what walks may still see until it is over: an entry; the nodes that the index has retired; a block. */
void retire_entry_(struct mirror_list *list, struct mirror__entry *e);
void retire_nodes_(struct mirror_list *list);
void retire_block_(struct mirror_list *list, struct block *block);
/* An object that is over, or NULL; anything is in it. */
void *use_again_(struct mirror_list *list, enum object_kind kind);
/* Find out what is over, and free a little of it.  The caller passes @garbage to free_chunks_, after the lock. */
void reclaim_(struct mirror_list *list, struct garbage *garbage);
/* If the list has too much: free at most @nr objects more. */
void trim_(struct mirror_list *list, size_t nr, struct garbage *garbage);
/* The same by hand, around a synchronize: take all garbage; afterwards it is over, or put it back. */
void take_garbage_(struct mirror_list *list, struct garbage *garbage);
void recycle_(struct mirror_list *list, struct garbage *garbage);
void put_garbage_back_(struct mirror_list *list, struct garbage *garbage);
/* What waits for walks to end. */
size_t garbage_bytes_(const struct mirror_list *list);

#endif /* MIRROR_GARBAGE_H */
