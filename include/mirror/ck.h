/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Mirror lists over Concurrency Kit's reader-writer locks and epochs
 *
 * Name a table in struct mirror_list_attr and link libmirror-ck; pkg-config calls it so too.
 *
 * Threads have nothing to do first.  What ck keeps for each thread (all but rwlock and pflock) the library
 * allocates at the thread's first bracket on a list, which gets -ENOMEM where there is no memory (an end,
 * which has no result, is then reported and lost).  When the thread ends, another may use it; it is freed
 * when the list is destroyed.
 *
 * The locks spin, also while a callback sleeps: who waits for one keeps a CPU busy.  A waiting writer
 * shuts readers out in all four; so they can deadlock as Linux's rwsem did (no M11).  Timeouts are kept but
 * where a table says otherwise.
 *
 * After fork a list whose lock or epoch another thread used is not usable in the child.
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
/** ck_brlock: a counter for each thread; a writer looks at all. */
extern const struct mirror_sync mirror_sync_ck_brlock;
/**
 * ck_bytelock: a byte for each thread, in one cache line; threads that come after those are all given away
 * (56 where a line has 64 bytes) share a counter.
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
