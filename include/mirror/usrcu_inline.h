/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The read side of usrcu, inlined into its callers; include <mirror/usrcu.h> instead.
 *
 * Called through the shared library a section costs 2.8 ns, inlined 0.8 ns, by the fast pair 0.6 ns; liburcu-memb's
 * inlined costs 0.7 ns there (best of 400 runs, AMD EPYC, 2-core VM, 2026-11-27).  Everything here is private but the
 * eight functions.  The algorithm, its barriers (the letters) and its proof are at the top of src/usrcu.c.
 */
#ifndef MIRROR_USRCU_INLINE_H
#define MIRROR_USRCU_INLINE_H

#include <mirror/usrcu.h>

#ifdef __cplusplus
/* C's casts and NULL, which both languages have. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#endif

/*
 * What is compiled into a program from here fits one library: each name that it takes from there ends in a number, which
 * grows whenever anything below, or a structure that it reads, changes.  So a program does not link, or load, with a
 * library of another number.  src/names.h gives usrcu__slots its number there.
 */
#define USRCU__ABI(name)             name##_2
#define usrcu__read_lock_slow        USRCU__ABI(usrcu__read_lock_slow)
#define usrcu__read_unlock_slow      USRCU__ABI(usrcu__read_unlock_slow)
#define usrcu__read_lock_fast_slow   USRCU__ABI(usrcu__read_lock_fast_slow)
#define usrcu__read_unlock_fast_slow USRCU__ABI(usrcu__read_unlock_fast_slow)
#define usrcu__down_read_slow        USRCU__ABI(usrcu__down_read_slow)
#define usrcu__up_read_slow          USRCU__ABI(usrcu__up_read_slow)
#define usrcu__down_read_fast_slow   USRCU__ABI(usrcu__down_read_fast_slow)
#define usrcu__up_read_fast_slow     USRCU__ABI(usrcu__up_read_fast_slow)
#define usrcu__wake                  USRCU__ABI(usrcu__wake)
#define usrcu__unbalanced            USRCU__ABI(usrcu__unbalanced)

/*
 * The operations that the read side is made of.  Inside the library port.h has defined them
 * already, so that the schedule explorer sees every access.
 *
 * usrcu__own_inc/dec change a counter that one thread alone writes.  A signal handler of that thread may do the same
 * in the middle, and leave the counter changed: the two are indivisible towards it.  enter and leave are for counters
 * that each handler leaves as it found them.  On x86-64 each of the four is a single instruction, and not a locked one;
 * elsewhere enter and leave are a load, an addition and a store.  All but enter are releases.  dec and leave return
 * true if the counter is below zero then.
 */
#ifndef USRCU__PORT
/* Used for inlining alone: the library holds the one definition that can be called. */
#define USRCU__INLINE extern inline __attribute__((__gnu_inline__))
/* ThreadSanitizer must see the accesses; clang says so in a way of its own. */
#if defined(USRCU__NO_ASM)
#elif defined(__SANITIZE_THREAD__)
#define USRCU__NO_ASM
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define USRCU__NO_ASM
#endif
#endif
#if defined(__x86_64__) && !defined(USRCU__NO_ASM)
USRCU__INLINE void usrcu__own_inc(uint64_t *counter)
{
	__asm__ volatile("addq $1, %0" : "+m"(*counter) : : "memory", "cc");
}

USRCU__INLINE bool usrcu__own_dec(uint64_t *counter)
{
	bool below_zero;

	__asm__ volatile("subq $1, %0" : "+m"(*counter), "=@ccs"(below_zero) : : "memory");
	return below_zero;
}

USRCU__INLINE void usrcu__own_enter(uint64_t *counter)
{
	usrcu__own_inc(counter);
}

USRCU__INLINE bool usrcu__own_leave(uint64_t *counter)
{
	return usrcu__own_dec(counter);
}
#else
USRCU__INLINE void usrcu__own_inc(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELEASE);
}

USRCU__INLINE bool usrcu__own_dec(uint64_t *counter)
{
	return (int64_t)__atomic_fetch_sub(counter, 1, __ATOMIC_RELEASE) <= 0;
}

USRCU__INLINE void usrcu__own_enter(uint64_t *counter)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

USRCU__INLINE bool usrcu__own_leave(uint64_t *counter)
{
	uint64_t value = __atomic_load_n(counter, __ATOMIC_RELAXED) - 1;

	__atomic_store_n(counter, value, __ATOMIC_RELEASE);
	return (int64_t)value < 0;
}
#endif
#define usrcu__load(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define usrcu__fence_light() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define usrcu__slots USRCU__ABI(usrcu__slots)
#define usrcu__my_slots() usrcu__slots
#endif /* USRCU__PORT */

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The sections of one thread in one domain. */
struct usrcu_slot {
	uint64_t open[2];       /* its sections that are open, by index; its own thread */
	void *record;           /* constant: whose it is, as src/slots.h says */
	uint32_t generation;
	uint32_t number;        /* in tokens of usrcu_down_read */
	uint64_t lent[2];       /* sections of usrcu_down_read, less those that it has ended itself; its own thread */
	uint64_t gone[2];       /* those that other threads have ended; read-modify-writes */
};

/* The head of every domain: all that the read side reads. */
struct usrcu_head_of_domain {
	uint32_t first;         /* constant: open[0]'s entry in usrcu__slots; with full fences 0, where no slot ever is */
	uint32_t entry;         /* first, or first + 1: that of the counters which new sections use */
	uint32_t waiting;       /* a bit for each index: a grace period sleeps until such a section ends */
};

/*
 * This thread's slots: two entries for each domain, the addresses of open[0], which is the slot's own, and of open[1].
 * Never NULL: a new thread has an empty table.
 *
 * A library that was configured for another TLS model says so in its pkg-config file.  A program that is compiled
 * without that flag is right too, but takes room in the static TLS block.
 */
#ifndef USRCU__PORT
#ifdef USRCU_DYNAMIC_TLS
extern __thread void **usrcu__slots;
#else
extern __thread void **usrcu__slots __attribute__((__tls_model__("initial-exec")));
#endif
#endif

/*
 * A token below USRCU__TOKEN_SLOW is an entry of usrcu__slots.  The bits above say what else the call that ends the
 * section must know; bit 0 is the index in each.
 */
enum {
	USRCU__TOKEN_SLOW   = 1 << 15,  /* usrcu__read_unlock_slow knows what it means */
	USRCU__TOKEN_HANDED = 1 << 30,  /* from usrcu_down_read: the number of the slot stands in the bits between */
	USRCU__TOKEN_NUMBER = 1,        /* by so many bits */
};

/* Which of two counters that stand side by side: each pair begins at a multiple of its size. */
#define USRCU__INDEX_OF(counter) ((uint32_t)((uintptr_t)(counter) / sizeof(uint64_t) & 1))

int usrcu__read_lock_slow(struct usrcu *domain);
void usrcu__read_unlock_slow(struct usrcu *domain, int token);
struct usrcu_ctr *usrcu__read_lock_fast_slow(struct usrcu *domain);
void usrcu__read_unlock_fast_slow(struct usrcu *domain, struct usrcu_ctr *ctr);
int usrcu__down_read_slow(struct usrcu *domain);
void usrcu__up_read_slow(struct usrcu *domain, int token);
struct usrcu_handed_ctr *usrcu__down_read_fast_slow(struct usrcu *domain);
void usrcu__up_read_fast_slow(struct usrcu *domain, struct usrcu_handed_ctr *ctr);
/* If a grace period sleeps until a section of @index ends, wake it. */
void usrcu__wake(struct usrcu *domain, uint32_t index);
void usrcu__unbalanced(struct usrcu *domain) __attribute__((__noreturn__, __cold__));

USRCU__INLINE int usrcu_read_lock(struct usrcu *domain)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	uint32_t entry = usrcu__load(&d->entry); /* either index is safe; see "a stale index" */
	uint64_t *open = (uint64_t *)usrcu__my_slots()[entry];

	if (__builtin_expect(!open, 0))
		return usrcu__read_lock_slow(domain);
	usrcu__own_enter(open);
	usrcu__fence_light(); /* A (pairs with C): my count before the section's accesses */
	return (int)entry;
}

USRCU__INLINE void usrcu_read_unlock(struct usrcu *domain, int token)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	uint64_t *open = NULL;

	/* Unsigned: a negative number is no token, and says so there. */
	if (__builtin_expect((unsigned)token < USRCU__TOKEN_SLOW, 1))
		open = (uint64_t *)usrcu__my_slots()[(unsigned)token];
	if (__builtin_expect(!open, 0)) {
		usrcu__read_unlock_slow(domain, token);
		return;
	}
	/* B (pairs with D): the section's accesses before my count */
	if (__builtin_expect(usrcu__own_leave(open), 0))
		usrcu__unbalanced(domain);
	usrcu__fence_light(); /* E (pairs with F): my count before the look for a sleeper */
	if (__builtin_expect(usrcu__load(&d->waiting) != 0, 0))
		usrcu__wake(domain, (uint32_t)token & 1);
}

/* The token is the counter.  What is said of usrcu_read_lock holds; A, B and E are those above. */
USRCU__INLINE struct usrcu_ctr *usrcu_read_lock_fast(struct usrcu *domain)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	uint64_t *open = (uint64_t *)usrcu__my_slots()[usrcu__load(&d->entry)];

	if (__builtin_expect(!open, 0))
		return usrcu__read_lock_fast_slow(domain);
	usrcu__own_enter(open);
	usrcu__fence_light(); /* A, as in usrcu_read_lock */
	return (struct usrcu_ctr *)(void *)open;
}

USRCU__INLINE void usrcu_read_unlock_fast(struct usrcu *domain, struct usrcu_ctr *ctr)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;

	/* B, as in usrcu_read_unlock.  Below zero: no counter of a slot, or the call is unbalanced. */
	if (__builtin_expect(usrcu__own_leave((uint64_t *)(void *)ctr), 0)) {
		usrcu__read_unlock_fast_slow(domain, ctr);
		return;
	}
	usrcu__fence_light(); /* E, as in usrcu_read_unlock */
	if (__builtin_expect(usrcu__load(&d->waiting) != 0, 0))
		usrcu__wake(domain, USRCU__INDEX_OF(ctr));
}

USRCU__INLINE int usrcu_down_read(struct usrcu *domain)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	struct usrcu_slot *slot = (struct usrcu_slot *)usrcu__my_slots()[d->first];
	uint32_t index;

	if (__builtin_expect(!slot, 0))
		return usrcu__down_read_slow(domain);
	index = usrcu__load(&d->entry) & 1;
	usrcu__own_inc(&slot->lent[index]);
	usrcu__fence_light(); /* A, as in usrcu_read_lock */
	return (int)(index | USRCU__TOKEN_HANDED | slot->number << USRCU__TOKEN_NUMBER);
}

USRCU__INLINE void usrcu_up_read(struct usrcu *domain, int token)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	struct usrcu_slot *slot = (struct usrcu_slot *)usrcu__my_slots()[d->first];
	uint32_t index = (uint32_t)token & 1;

	/* Other bits than these three parts are of no token. */
	if (__builtin_expect(!slot || ((uint32_t)token ^ index) !=
				      (slot->number << USRCU__TOKEN_NUMBER | USRCU__TOKEN_HANDED), 0)) {
		usrcu__up_read_slow(domain, token);
		return;
	}
	/* B, as in usrcu_read_unlock; not a count of what is open, if others have ended some: the difference is */
	(void)usrcu__own_dec(&slot->lent[index]);
	usrcu__fence_light(); /* E, as in usrcu_read_unlock */
	if (__builtin_expect(usrcu__load(&d->waiting) != 0, 0))
		usrcu__wake(domain, index);
}

USRCU__INLINE struct usrcu_handed_ctr *usrcu_down_read_fast(struct usrcu *domain)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	char *open = (char *)usrcu__my_slots()[usrcu__load(&d->entry)];
	uint64_t *lent;

	if (__builtin_expect(!open, 0))
		return usrcu__down_read_fast_slow(domain);
	/* lent[i] is as far from open[i] under either index. */
	lent = (uint64_t *)(void *)(open + (offsetof(struct usrcu_slot, lent) - offsetof(struct usrcu_slot, open)));
	usrcu__own_inc(lent);
	usrcu__fence_light(); /* A, as in usrcu_read_lock */
	return (struct usrcu_handed_ctr *)(void *)lent;
}

USRCU__INLINE void usrcu_up_read_fast(struct usrcu *domain, struct usrcu_handed_ctr *ctr)
{
	const struct usrcu_head_of_domain *d = (const struct usrcu_head_of_domain *)domain;
	uintptr_t mine = (uintptr_t)usrcu__my_slots()[d->first] + offsetof(struct usrcu_slot, lent);

	/* A difference of two addresses, so that a thread without a slot needs no test of its own. */
	if (__builtin_expect((uintptr_t)ctr - mine > sizeof(uint64_t), 0)) {
		usrcu__up_read_fast_slow(domain, ctr);
		return;
	}
	(void)usrcu__own_dec((uint64_t *)(void *)ctr); /* B, as in usrcu_up_read */
	usrcu__fence_light(); /* E, as in usrcu_read_unlock */
	if (__builtin_expect(usrcu__load(&d->waiting) != 0, 0))
		usrcu__wake(domain, USRCU__INDEX_OF(ctr));
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif
#endif /* MIRROR_USRCU_INLINE_H */
