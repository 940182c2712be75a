/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Mirror lists over Concurrency Kit's reader-writer locks and epochs
 *
 * Name a table in struct mirror_list_attr and link libmirror-ck; pkg-config calls it so too.
 *
 * Threads have nothing to do first or last.  What ck keeps for each reader (all but rwlock and pflock) the library
 * allocates when more walks run at once than ever before; that bracket gets -ENOMEM if there is no memory (an end,
 * which has no result, is then reported and lost).  It is freed when the list is destroyed.
 *
 * The locks spin, also while a callback sleeps: who waits for one keeps a CPU busy.  A waiting writer
 * shuts readers out in all four; so they can deadlock as Linux's rwsem did (no M11).  Timeouts are kept but
 * where a table says otherwise.
 *
 * After fork() the child can publish, and walks of threads that do not exist there hold up nobody; but a lock that one
 * of them held for writing stays held, and so does a rwlock or pflock, or the counter of a bytelock's later readers, that
 * one of them held for reading.
 */
#ifndef MIRROR_CK_H
#define MIRROR_CK_H

#include <mirror/mirror.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** ck_rwlock: one counter of readers. */
extern const struct mirror_sync mirror_sync_ck_rwlock;
/**
 * ck_pflock: phase-fair, readers and writers take turns.  Its writers cannot give up: mirror_unregister_timeout
 * waits as long as mirror_unregister.
 */
extern const struct mirror_sync mirror_sync_ck_pflock;
/** ck_brlock: a counter for each reader; a writer looks at all. */
extern const struct mirror_sync mirror_sync_ck_brlock;
/**
 * ck_bytelock: a byte for each reader, in one cache line; if there are more readers at once (than 56 if a line has 64
 * bytes), the others share a counter.
 */
extern const struct mirror_sync mirror_sync_ck_bytelock;
/**
 * ck_epoch: of the grace-period kind, and can be polled; a list has epochs of its own.  With
 * MIRROR_LIST_DRAIN_DOMAIN, mirror_unregister_timeout waits as long as mirror_unregister, since
 * ck_epoch_synchronize knows no time limit.
 */
extern const struct mirror_sync mirror_sync_ck_epoch;

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_CK_H */
