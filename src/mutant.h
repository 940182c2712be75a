/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Broken variants of the library, which the checks must find.
 *
 * MUTANT(NAME) is 0 in every ordinary build.  Built with -DMIRROR_MUTANT=MUTANT_NAME that one
 * place is wrong; make check-mutants builds each and fails where no check notices.
 */
#ifndef MIRROR_MUTANT_H
#define MIRROR_MUTANT_H

enum {
	MUTANT_NONE,
	/* usrcu.c: the grace period */
	MUTANT_GP_NO_FENCE,             /* C off: no heavy fence when it starts */
	MUTANT_GP_NO_FIRST_WAIT,        /* flips without having seen the other index empty */
	MUTANT_GP_NO_FLIP,
	MUTANT_GP_NO_SECOND_WAIT,       /* ends without waiting after the flip */
	MUTANT_GP_LENT_FIRST,           /* reads the beginnings of handed-over sections before the ends */
	MUTANT_GP_IGNORE_SHARED,        /* does not count sections of threads without a slot */
	MUTANT_LOCK_NO_FENCE,           /* A off, with full fences */
	MUTANT_UNLOCK_NO_RELEASE,       /* B off */
	MUTANT_UNLOCK_NO_FENCE,         /* E off, with full fences */
	MUTANT_SLEEP_NO_FENCE,          /* F off: no heavy fence before the last look */
	MUTANT_SLEEP_NO_WAKE,           /* the end of a grace period wakes nobody */
	MUTANT_COOKIE_EARLY,            /* a cookie names the grace period under way */
	MUTANT_GP_FENCED_EARLY,         /* says that C has been executed before it has */
	MUTANT_COOKIE_NO_FENCE,         /* H off */
	MUTANT_FENCE_ERROR_IGNORED,     /* goes on where membarrier failed */
	MUTANT_CALL_EARLY,              /* runs callbacks without a grace period */
	MUTANT_RAN_NO_RELEASE,          /* usrcu_call.c: E off */
	MUTANT_ROLE_NO_RELEASE,         /* usrcu_call.c: C off */
	MUTANT_BATCH_NO_FENCE,          /* usrcu_call.c: H off */
	MUTANT_SIGNAL_NO_FENCE,         /* event.h: B off */
	/* urwsem.c, urwsem_queue.c */
	MUTANT_URWSEM_READER_PREFERRING,
	MUTANT_URWSEM_NO_HANDOFF,
	MUTANT_URWSEM_LOST_WAKE,        /* the last reader to go wakes nobody */
	MUTANT_URWSEM_NO_RECHECK,       /* nor does who joins the queue of a free one */
	MUTANT_URWSEM_LEAVES_MUTE,      /* nor the first in the queue when its time is up */
	MUTANT_URWSEM_GRANTS_ONE,       /* a release lets in one of the queued readers */
	MUTANT_URWSEM_NO_SPIN,
	MUTANT_URWSEM_JOIN_SPLIT,       /* L off: looks at the lock bits, then sets WAITERS */
	MUTANT_URWSEM_RELEASE_SPLIT,    /* M off: looks at WAITERS, then drops the lock bit */
	MUTANT_URWSEM_WAKE_FIRST,       /* N off: looks for sleepers, then writes the word */
	MUTANT_URWSEM_SLEEP_BLIND,      /* O off: sleeps whatever the word says by then */
	/* the mirror list */
	MUTANT_REGISTER_NO_RELEASE,     /* mirror_list.c: A off */
	MUTANT_PLACE_NO_RELEASE,         /* mirror_list.c: B off */
	MUTANT_PLACE_TRUSTED,            /* an end does not ask when the entry in a slot joined */
	MUTANT_RECLAIM_EARLY,           /* uses memory again without a grace period */
	MUTANT_UNLINK_BEFORE_RELEASE,
	MUTANT_RELEASE_TWICE,
	MUTANT_PIN_AFTER_CHECK,
	MUTANT_PIN_NO_FENCE,            /* mirror_unregister.c: A off, with full fences */
	MUTANT_UNPIN_NO_RELEASE,        /* B off */
	MUTANT_UNPIN_NO_FENCE,          /* E off, with full fences */
	MUTANT_DEAD_AFTER_SCAN,
	MUTANT_DRAIN_NO_FENCE,
	MUTANT_NO_WAKE_AFTER_UNPIN,
	MUTANT_UNPIN_ASYNC_NO_FENCE,    /* mirror_async.c: F off */
	MUTANT_COMPLETE_UNFENCED,         /* finishes what was marked after its fence */
	MUTANT_FENCING_UNSETTLED,       /* mirror_fence.c: relies on fences before all walks execute them */
	MUTANT_FENCING_DECIDED_EARLY,   /* decides whom to interrupt before it marks */
	MUTANT_CYCLE_UNSEEN,           /* lets unregisters wait for each other */
	MUTANT_END_FOR_LATE_JOINER,
	MUTANT_UNDO_ALL,
	MUTANT_FILL_NO_RECHECK,
	MUTANT_FILL_NO_SETTLE,
	/* index.c */
	MUTANT_INDEX_NO_RELEASE,        /* publishes a new root before what is in it */
	MUTANT_INDEX_NO_WIDEN,          /* bounds above an item do not include it */
	MUTANT_INDEX_SCALE_WRAPS,       /* bounds far away are written as if they were near */
	MUTANT_INDEX_SHARE_IN_PLACE,    /* two leaves are replaced one after the other */
};

#ifdef MIRROR_MUTANT
#define MUTANT(name) (MUTANT_##name == (MIRROR_MUTANT))
#else
#define MUTANT(name) 0
#endif

/*
 * The ways in which an algorithm names its mutants.  Each stands at one access or one call and reads as the right
 * code does; a mutant that moves code is a small function beside the right one.
 */
#define store_release_unless(mutant, p, v) \
	((MUTANT(mutant)) ? store_relaxed(p, v) : store_release(p, v))
#define fence_light_unless(mutant, membarrier) ((MUTANT(mutant)) ? (void)0 : fence_light(membarrier))
#define fence_heavy_unless(mutant, membarrier) ((MUTANT(mutant)) ? 0 : fence_heavy(membarrier))
/* A step that the mutant leaves out. */
#define unless(mutant, step) ((MUTANT(mutant)) ? (void)0 : (void)(step))
/* A step that the mutant adds. */
#define also_if(mutant, step) ((MUTANT(mutant)) ? (void)(step) : (void)0)
/* A value: the mutant's, the right one. */
#define broken_if(mutant, broken, right) ((MUTANT(mutant)) ? (broken) : (right))

/* What a mutant does in two steps, so that another thread's may come between. */
#define TWO_STEPS_ADD(p, v) ({ __typeof__(*(p)) before_ = load_relaxed(p); fetch_add(p, v); before_; })

#endif /* MIRROR_MUTANT_H */
