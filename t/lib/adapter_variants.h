/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The variants of a program that runs the list's claims over the installed adapters (t/mirror/adapters_*)
 *
 * Every thread registers with all flavours of liburcu, and is offline in qsbr but for its walks, since it
 * stands at gates.
 */
#ifndef ADAPTER_VARIANTS_H
#define ADAPTER_VARIANTS_H

#ifdef HAVE_CK
#include <mirror/ck.h>
#endif
#ifdef HAVE_URCU
#include <mirror/urcu.h>
#include <urcu/urcu-mb.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

#define URCU(name, sync_)                                                                       \
	{                                                                                       \
		name, sync_, .targeted = HAVE_DECL_URCU_MEMB_START_POLL_SYNCHRONIZE_RCU,     \
		.untimed = !HAVE_DECL_URCU_MEMB_START_POLL_SYNCHRONIZE_RCU, .one_domain = true  \
	}
#endif

static const struct variant variants[] = {
#ifdef HAVE_URCU
	URCU("urcu-memb", &mirror_sync_urcu_memb),
	URCU("urcu-mb", &mirror_sync_urcu_mb),
	URCU("urcu-bp", &mirror_sync_urcu_bp),
	URCU("urcu-qsbr", &mirror_sync_urcu_qsbr),
#endif
#ifdef HAVE_CK
	{ "ck-epoch", &mirror_sync_ck_epoch, .targeted = true },
	{ "ck-epoch, domain drain", &mirror_sync_ck_epoch, MIRROR_LIST_DRAIN_DOMAIN, .spins = true, .untimed = true },
	{ "ck-rwlock", &mirror_sync_ck_rwlock, .lock = true, .spins = true, .shuts_out = true },
	{ "ck-pflock", &mirror_sync_ck_pflock, .lock = true, .spins = true, .shuts_out = true, .untimed = true },
	{ "ck-brlock", &mirror_sync_ck_brlock, .lock = true, .spins = true, .shuts_out = true },
	{ "ck-bytelock", &mirror_sync_ck_bytelock, .lock = true, .spins = true, .shuts_out = true },
#endif
};

static inline void variant_thread_begin(void)
{
#ifdef HAVE_URCU
	urcu_memb_register_thread();
	urcu_mb_register_thread();
	urcu_qsbr_register_thread();
	urcu_qsbr_thread_offline();
#endif
}

static inline void variant_thread_end(void)
{
#ifdef HAVE_URCU
	urcu_qsbr_unregister_thread();
	urcu_mb_unregister_thread();
	urcu_memb_unregister_thread();
#endif
}

/* For the main thread. */
static __attribute__((__constructor__)) void variants_begin(void)
{
#ifdef UNDER_TSAN
	skip_all("ThreadSanitizer does not see the fences of liburcu and Concurrency Kit");
#endif
	variant_thread_begin();
}

#endif /* ADAPTER_VARIANTS_H */
