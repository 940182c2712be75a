/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Broken variants of the library, which the checks must find.
 *
 * MUTANT(NAME) is 0 in every ordinary build.  Built with -DMIRROR_MUTANT=MUTANT_NAME that one
 * place is wrong; make check-mutants builds each and fails if no check notices.
 */
#ifndef MIRROR_MUTANT_H
#define MIRROR_MUTANT_H

enum {
	MUTANT_NONE,
	/* slots.c */
	MUTANT_RECORD_NAMED_EARLY,      /* a claim says whose the record is before it is in use */
	MUTANT_SLOT_ENTERED_TWICE,      /* a claim that lost uses its own slot, beside the one that won */
	/* usrcu.c: the grace period */
	MUTANT_GP_NO_FENCE,             /* C off: no heavy fence when it starts */
	MUTANT_GP_NO_FIRST_WAIT,        /* flips without having seen the other index empty */
	MUTANT_GP_NO_FLIP,
	MUTANT_GP_NO_SECOND_WAIT,       /* ends without waiting after the flip */
	MUTANT_GP_LENT_FIRST,           /* reads the beginnings of handed-over sections before the ends */
	MUTANT_GP_IGNORE_SHARED,        /* does not count sections of threads without a slot */
	MUTANT_LOCK_NO_FENCE,           /* A off, with full fences */
	MUTANT_FALLBACK_NO_FENCE,       /* A off for a thread without a slot, with full fences */
	MUTANT_UNLOCK_NO_RELEASE,       /* B off */
	MUTANT_BEGIN_NO_RELEASE,        /* G off: need is set by a relaxed store */
	MUTANT_UNLOCK_NO_FENCE,         /* E off, with full fences */
	MUTANT_OWN_IN_PARTS,            /* a handler may come between the load and the store of own_inc and own_dec */
	MUTANT_FAST_FENCED_PLAIN,       /* with full fences the fast pair's token is the slot's counter */
	MUTANT_UP_AS_OWNER,             /* ends the handed-over section of another thread in that thread's own count */
	MUTANT_WAKE_OTHER_INDEX,        /* the end of a section looks for a sleeper of the other index */
	MUTANT_SLEEP_NO_FENCE,          /* F off: no heavy fence before the last look */
	MUTANT_SLEEP_NO_WAKE,           /* the end of a grace period wakes nobody */
	MUTANT_COOKIE_EARLY,            /* a cookie names the grace period under way */
	MUTANT_GP_FENCED_EARLY,         /* says that C has been executed before it has */
	MUTANT_COOKIE_NO_FENCE,         /* H off */
	MUTANT_FENCE_ERROR_IGNORED,     /* goes on where membarrier failed */
	MUTANT_CALL_EARLY,              /* runs callbacks without a grace period */
	MUTANT_RAN_NO_RELEASE,          /* usrcu_call.c: E off */
	MUTANT_ROLE_NO_RELEASE,         /* usrcu_call.c: C off */
	MUTANT_PREPARE_NO_FENCE,        /* event.h: A off */
	MUTANT_SIGNAL_NO_FENCE,         /* event.h: B off */
	MUTANT_BARRIER_NO_ERROR,        /* a barrier waits for a worker that cannot go on */
	/* gate.c */
	MUTANT_GATE_NO_WAIT,            /* forks while other threads are in sections of the gate */
	/* urwsem.c, urwsem_queue.c */
	MUTANT_URWSEM_READER_PREFERRING,
	MUTANT_URWSEM_NO_HANDOFF,
	MUTANT_URWSEM_LOST_WAKE,        /* the last reader to go wakes nobody */
	MUTANT_URWSEM_NO_RECHECK,       /* nor does a thread that joins the queue of a free one */
	MUTANT_URWSEM_LEAVES_MUTE,      /* nor does the first in the queue when its time is up */
	MUTANT_URWSEM_GRANTS_ONE,       /* a release lets in one of the queued readers */
	MUTANT_URWSEM_NO_SPIN,
	MUTANT_URWSEM_JOIN_SPLIT,       /* L off: looks at the lock bits, then sets WAITERS */
	MUTANT_URWSEM_RELEASE_SPLIT,    /* M off: looks at WAITERS, then drops the lock bit */
	MUTANT_URWSEM_WAKE_FIRST,       /* N off: looks for sleepers, then writes the word */
	MUTANT_URWSEM_SLEEP_BLIND,      /* O off: sleeps whatever the word says by then */
	/* mirror_register.c */
	MUTANT_REGISTER_NO_RELEASE,     /* A off */
	MUTANT_JOIN_NOT_AHEAD,          /* many get numbers that others reach while they join */
	/* mirror_blocks.c */
	MUTANT_PLACE_NO_RELEASE,        /* B off */
	MUTANT_BLOCK_KEPT,              /* ends still come by a block that was taken out */
	/* mirror_garbage.c */
	MUTANT_RECLAIM_EARLY,           /* uses memory again without a grace period */
	MUTANT_FREE_NO_FENCE,           /* A off */
	MUTANT_STALL_UNSEEN,            /* beside a walk that sleeps, others are taken for such too */
	MUTANT_STALL_FORGOTTEN,         /* a walk that slept goes on with the nodes that it knew */
	/* mirror_list.c */
	MUTANT_UNLINK_BEFORE_RELEASE,   /* brackets pass over a mirror before its release has returned */
	MUTANT_RELEASE_TWICE,
	/* mirror_pin.c, mirror_pin.h */
	MUTANT_PIN_AFTER_CHECK,         /* looks at the state before the pin is shown */
	MUTANT_PIN_NO_FENCE,            /* A off, with full fences */
	MUTANT_UNPIN_NO_RELEASE,        /* B off */
	MUTANT_UNPIN_NO_FENCE,          /* E off, with full fences */
	MUTANT_NO_WAKE_AFTER_UNPIN,
	MUTANT_UNPIN_ASYNC_NO_FENCE,    /* F off */
	/* mirror_unregister.c */
	MUTANT_DEAD_AFTER_SCAN,         /* marks an entry dead after the look at the pins */
	MUTANT_CLAIM_FINAL,             /* takes a claim for an unregister, which may be refused */
	MUTANT_BARRIER_FOR_ALL,         /* mirror_barrier waits for later unregisters too */
	MUTANT_COMPLETE_UNFENCED,       /* completes a mirror whose DEAD the fence does not serve */
	MUTANT_FENCING_DECIDED_EARLY,   /* decides whether to interrupt before the entries are dead */
	/* mirror_fence.c */
	MUTANT_DRAIN_NO_FENCE,          /* C off */
	MUTANT_FENCING_UNSETTLED,       /* relies on fences before all walks execute them */
	MUTANT_WALK_NO_FENCE,           /* B off */
	MUTANT_REST_NO_RELEASE,         /* D off */
	MUTANT_RESUME_NO_FENCE,         /* B off when a walk that rested goes on */
	MUTANT_REST_NO_LOOK,            /* after a callback in which it rested it does not look at the state again */
	/* mirror_waits.c */
	MUTANT_CYCLE_UNSEEN,            /* lets unregisters wait for each other */
	/* mirror_order.h, mirror_order.c, mirror_walk.c */
	MUTANT_END_FOR_LATE_JOINER,     /* an end calls a mirror that joined after the start */
	MUTANT_PLACE_TRUSTED,           /* an end does not ask when the entry in a place joined */
	MUTANT_HIT_TRUSTED,             /* a walk does not ask when a hit joined */
	MUTANT_UNDO_ALL,                /* a refusal ends mirrors that have not started */
	MUTANT_UNDO_BY_JOINED,          /* a refusal of a range mirror ends those that joined before it */
	/* mirror_move.c, mirror_move.h */
	MUTANT_MOVE_NO_RELEASE,         /* A off */
	MUTANT_MOVE_BOTH_RANGES,        /* a walk does not ask whether a range is superseded */
	MUTANT_MOVE_PINS_PROXY,         /* a callback runs under a pin of the proxy */
	MUTANT_MOVE_TAKES_OUT_EARLY,    /* takes a superseded range out beside the brackets that go by it */
	MUTANT_MOVE_IGNORES_VISITS,     /* ... beside visits that go by it */
	/* mirror_fill.c */
	MUTANT_FILL_NO_RECHECK,         /* retry is always false */
	MUTANT_FILL_NO_SETTLE,          /* the first fill does not wait for earlier brackets */
	MUTANT_FILL_DIES_MUTE,          /* unregister wakes no filler */
	MUTANT_FILL_MOVED_UNSEEN,       /* set_range makes no fill retry */
	MUTANT_FILL_SETTLED_EARLY,      /* begin does not look again whether the mirror is settled */
	MUTANT_FILL_SETTLES_BLINDLY,    /* a filler that waited for a cookie settles for a later one */
	/* index.c, index_find.c, index_node.h */
	MUTANT_INDEX_NO_RELEASE,        /* a new root is visible before what is in it */
	MUTANT_INDEX_NO_WIDEN,          /* bounds above an item do not include it */
	MUTANT_INDEX_SCALE_WRAPS,       /* bounds far away are written as if they were near */
	MUTANT_INDEX_NO_NARROW,         /* bounds above an item that is gone still include it */
	MUTANT_INDEX_ROUNDING_TRUSTED,  /* a find enters what only looks as if it overlapped */
	MUTANT_INDEX_SHARE_IN_PLACE,    /* two leaves are replaced one after the other */
	/* publishers/announce.c */
	MUTANT_STOP_FREES_EARLY,        /* the next list gets the place while stop waits for those in it */
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
