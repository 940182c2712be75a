/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the files of libmirror-preload share: a call, and what becomes of it. */
#ifndef PRELOAD_IMPL_H
#define PRELOAD_IMPL_H

#include <mirror/preload.h>
#include <stdbool.h>

#include "../port.h"
#include "announce.h"

enum preload_kind {
	PRELOAD_MMAP,
	PRELOAD_MUNMAP,
	PRELOAD_MREMAP,
	PRELOAD_MADVISE,
	PRELOAD_MPROTECT,
	PRELOAD_BRK,
	PRELOAD_SHMAT,
	PRELOAD_SHMDT,
	PRELOAD_NR_KINDS,
};

/** struct preload_call - one call of a libc function, on the caller's stack */
struct preload_call {
	struct announce_change change;          /* first */
	enum preload_kind kind;
	void (*make)(struct preload_call *c);   /* makes the call, sets result and error */
	uintptr_t args[6];
	uintptr_t result;
	int error;                              /* errno, or 0 if the call succeeded */
	struct mirror_preload_call shown;       /* what callbacks see */
	uint64_t entered_ns, made_ns, returned_ns; /* while it is watched */
};

/* preload_patch.c */

/** struct preload_jump - a jump from libc's function to ours */
struct preload_jump {
	const char *name;
	void (*ours)(void);
	uint8_t *entry;         /* of libc's function; NULL: it is left as it is */
};

/** preload_patch_begin - find the entries, and make them writable; false: all are left as they are */
bool preload_patch_begin(struct preload_jump *jumps, int nr);

/** preload_patch_end - write the jumps */
void preload_patch_end(const struct preload_jump *jumps, int nr);

/* preload_watch.c */

bool preload_is_watched(void);
uint64_t preload_now_ns(void);

/** preload_watch - tell of a call that has returned and whose brackets are closed */
void preload_watch(const struct preload_call *c);

#endif /* PRELOAD_IMPL_H */
