/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Mirror lists over liburcu, for programs that run one of its flavours already
 *
 * Name a table in struct mirror_list_attr and link libmirror-urcu; pkg-config calls it so too.  All
 * are of the grace-period kind.  A flavour has one grace period for the whole process: lists that
 * share it wait for each other's walks, and for all other read sections of that flavour.
 *
 * What a thread must do before it publishes, and before it registers or unregisters a mirror:
 *
 *	memb, mb | urcu_memb_register_thread(), urcu_mb_register_thread()
 *	bp       | nothing
 *	qsbr     | urcu_qsbr_register_thread().  It may be offline: then it is online for the length of each
 *	         | walk.  While it is online it has to announce quiescent states between brackets, and to go
 *	         | offline before it blocks, as everywhere in that flavour: also before a call that waits for
 *	         | another thread, such as mirror_barrier.  A callback announces none
 *
 * A bracket of a thread that has not done so gets -EPERM.  An end, which has no result, is then reported and lost.
 * mirror_unregister_async, mirror_barrier and mirror_list_release walk as a bracket does.
 *
 * Where the liburcu that this was built with can poll a grace period (0.14 and later), a table has
 * get_state and poll_state, and doc/contract.md's column "grace period, polled" holds.  liburcu then starts
 * a thread of its own for it.  With an older one unregister waits in synchronize_rcu.
 *
 * synchronize_rcu knows no time limit.  Where unregister waits in it, mirror_unregister_timeout waits as
 * long as mirror_unregister.  Both return -EBUSY inside a read section of the flavour, a callback of another
 * list over it included: then no callback of the mirror starts any more, but the mirror must not be
 * freed; call again outside.
 *
 * After fork the rules are the flavour's.
 */
#ifndef MIRROR_URCU_H
#define MIRROR_URCU_H

#include <mirror/mirror.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Over membarrier(2): a walk costs two plain stores; the flavour to start with. */
extern const struct mirror_sync mirror_sync_urcu_memb;
/** With full fences on both sides. */
extern const struct mirror_sync mirror_sync_urcu_mb;
/** "Bulletproof": registers threads by itself. */
extern const struct mirror_sync mirror_sync_urcu_bp;
/** By quiescent states: a walk of an online thread costs nothing but a look whether it is. */
extern const struct mirror_sync mirror_sync_urcu_qsbr;

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_URCU_H */
