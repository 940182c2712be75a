/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-preload: libc's calls that change memory, each within a bracket
 *
 * A function here has the name of libc's and stands before it in the order in which the dynamic linker looks names up.
 * It works out what its call will change, and leaves the rest to announce(): start, libc's own function, end.  That
 * function is the next of its name, so that another interposer, or a patch of libc's code, has its turn too.
 *
 * Nothing here allocates or takes a lock: a call may come from a signal handler, from
 * inside malloc, before any constructor, and after a thread's last destructor.  The next functions are looked up at the
 * first call.
 */
#include "preload_impl.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INTERPOSED __attribute__((visibility("default")))

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* libc's function, or that of the next interposer; or the system call, where libc's jumps here. */
#define NEXT(name)                                                                              \
	__extension__ ({                                                                        \
		if (!load_relaxed(&next_##name))                                                \
			store_relaxed(&next_##name, (__typeof__(&(name)))dlsym(RTLD_NEXT, #name)); \
		load_relaxed(&next_##name);                                                     \
	})

static __typeof__(&mmap) next_mmap;
static __typeof__(&munmap) next_munmap;
static __typeof__(&mremap) next_mremap;
static __typeof__(&madvise) next_madvise;
static __typeof__(&mprotect) next_mprotect;
static __typeof__(&pkey_mprotect) next_pkey_mprotect;
static __typeof__(&brk) next_brk;
static __typeof__(&sbrk) next_sbrk;
static __typeof__(&shmat) next_shmat;
static __typeof__(&shmdt) next_shmdt;

static uint64_t pages_up(uint64_t bytes)
{
	uint64_t page_bytes = (uint64_t)getpagesize();

	return (bytes + page_bytes - 1) & ~(page_bytes - 1);
}

/* One more range that the call changes.  A range that no call would accept is left to the call. */
static void part(struct preload_call *c, uint64_t start, uint64_t bytes)
{
	if (bytes == 0 || bytes > UINT64_MAX / 2 || start > UINT64_MAX / 2)
		return;
	c->change.parts[c->change.nr_parts].start = start;
	c->change.parts[c->change.nr_parts++].end = start + pages_up(bytes);
}

static void make(struct announce_change *change)
{
	struct preload_call *c = (struct preload_call *)(void *)change;

	if (!preload_is_watched()) {
		c->make(c);
		return;
	}
	c->made_ns = preload_now_ns();
	c->make(c);
	c->returned_ns = preload_now_ns();
}

static void refuse(struct announce_change *change)
{
	struct preload_call *c = (struct preload_call *)(void *)change;

	c->result = UINTPTR_MAX;
	c->error = ENOMEM;
}

/* errno is what the call alone would have left: callbacks may have changed it. */
static uintptr_t call(struct preload_call *c)
{
	int before = errno;

	c->change.data = &c->shown;
	if (preload_is_watched())
		c->entered_ns = preload_now_ns();
	announce(&c->change);
	if (preload_is_watched())
		preload_watch(c);
	errno = c->error ? c->error : before;
	return c->result;
}

static void has_returned(struct preload_call *c, uintptr_t result)
{
	c->result = result;
	c->error = result == UINTPTR_MAX ? errno : 0;
}

#define CALL(kind_, event_, name_, make_, ...)                                          \
	{                                                                               \
		.change = { .event = (event_), .make = make, .refuse = refuse },        \
		.kind = (kind_), .make = (make_), .args = { __VA_ARGS__ },              \
		.shown = { .size = sizeof(struct mirror_preload_call), .name = (name_), \
			   .caller = __builtin_return_address(0) },                     \
	}

/* ---- mappings ---- */

static void make_mmap(struct preload_call *c)
{
	has_returned(c, (uintptr_t)NEXT(mmap)((void *)c->args[0], c->args[1], (int)c->args[2], (int)c->args[3],
					      (int)c->args[4], (off_t)c->args[5]));
}

INTERPOSED void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct preload_call c = CALL(PRELOAD_MMAP, MIRROR_EVENT_UNMAP, "mmap",
				     make_mmap, (uintptr_t)addr, length, (uintptr_t)prot, (uintptr_t)flags, (uintptr_t)fd,
				     (uintptr_t)offset);

	if ((flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE))
		part(&c, (uintptr_t)addr, length);
	return (void *)call(&c);
}

_Static_assert(sizeof(off_t) == sizeof(off64_t), "mmap64 differs from mmap");
INTERPOSED void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
	__attribute__((alias("mmap")));

static void make_munmap(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(munmap)((void *)c->args[0], c->args[1]));
}

INTERPOSED int munmap(void *addr, size_t length)
{
	struct preload_call c = CALL(PRELOAD_MUNMAP, MIRROR_EVENT_UNMAP, "munmap",
				     make_munmap, (uintptr_t)addr, length);

	part(&c, (uintptr_t)addr, length);
	return (int)call(&c);
}

static void make_mremap(struct preload_call *c)
{
	has_returned(c, (uintptr_t)NEXT(mremap)((void *)c->args[0], c->args[1], c->args[2], (int)c->args[3],
						(void *)c->args[4]));
}

/* With an old length of 0 a shared mapping gets a second place and keeps its first. */
static void parts_of_mremap(struct preload_call *c, uint64_t old, uint64_t old_bytes, uint64_t new_bytes, int flags,
			    uint64_t target)
{
	if (flags & MREMAP_FIXED)
		part(c, target, new_bytes);
	if (old_bytes == 0)
		return;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) || (new_bytes > old_bytes && flags & MREMAP_MAYMOVE))
		part(c, old, old_bytes);
	else if (new_bytes < old_bytes)
		part(c, old + pages_up(new_bytes), old_bytes - new_bytes);
}

INTERPOSED void *mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...)
{
	struct preload_call c = CALL(PRELOAD_MREMAP, MIRROR_EVENT_UNMAP, "mremap",
				     make_mremap, (uintptr_t)old, old_bytes, new_bytes, (uintptr_t)flags);

	if (flags & MREMAP_FIXED) {
		va_list rest;

		va_start(rest, flags);
		c.args[4] = (uintptr_t)va_arg(rest, void *);
		va_end(rest);
	}
	parts_of_mremap(&c, (uintptr_t)old, old_bytes, new_bytes, flags, c.args[4]);
	return (void *)call(&c);
}

/* ---- pages and permissions ---- */

static bool drops_pages(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTNEED_LOCKED:
	case MADV_GUARD_INSTALL:
		return true;
	default:
		return false;
	}
}

static void make_madvise(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(madvise)((void *)c->args[0], c->args[1], (int)c->args[2]));
}

INTERPOSED int madvise(void *addr, size_t length, int advice)
{
	struct preload_call c = CALL(PRELOAD_MADVISE, MIRROR_EVENT_CLEAR, "madvise",
				     make_madvise, (uintptr_t)addr, length, (uintptr_t)advice);

	if (drops_pages(advice))
		part(&c, (uintptr_t)addr, length);
	return (int)call(&c);
}

static void make_mprotect(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(mprotect)((void *)c->args[0], c->args[1], (int)c->args[2]));
}

INTERPOSED int mprotect(void *addr, size_t length, int prot)
{
	struct preload_call c = CALL(PRELOAD_MPROTECT, MIRROR_EVENT_PROTECTION, "mprotect",
				     make_mprotect, (uintptr_t)addr, length, (uintptr_t)prot);

	part(&c, (uintptr_t)addr, length);
	return (int)call(&c);
}

static void make_pkey_mprotect(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(pkey_mprotect)((void *)c->args[0], c->args[1], (int)c->args[2],
								 (int)c->args[3]));
}

INTERPOSED int pkey_mprotect(void *addr, size_t length, int prot, int pkey)
{
	struct preload_call c = CALL(PRELOAD_MPROTECT, MIRROR_EVENT_PROTECTION, "pkey_mprotect",
				     make_pkey_mprotect, (uintptr_t)addr, length, (uintptr_t)prot, (uintptr_t)pkey);

	part(&c, (uintptr_t)addr, length);
	return (int)call(&c);
}

/* ---- the heap ---- */

/* Not by libc's sbrk: as long as no one has asked it, that asks brk, which jumps here. */
static uintptr_t heap_end(void)
{
	return (uintptr_t)syscall(SYS_brk, NULL);
}

/* What the heap gives back if it ends at @end. */
static void part_of_heap(struct preload_call *c, uintptr_t end)
{
	uintptr_t now = heap_end();

	if (end != 0 && end < now)
		part(c, end, now - end);
}

/* Where libc keeps the end of the heap. */
static void **libc_heap_end;

static int raw_brk(void *end)
{
	void *now = (void *)syscall(SYS_brk, end);

	*libc_heap_end = now;
	if (now < end)
		errno = ENOMEM;
	return now < end ? -1 : 0;
}

static void make_brk(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(brk)((void *)c->args[0]));
}

INTERPOSED int brk(void *end)
{
	struct preload_call c = CALL(PRELOAD_BRK, MIRROR_EVENT_UNMAP, "brk",
				     make_brk, (uintptr_t)end);

	part_of_heap(&c, (uintptr_t)end);
	return (int)call(&c);
}

static void make_sbrk(struct preload_call *c)
{
	has_returned(c, (uintptr_t)NEXT(sbrk)((intptr_t)c->args[0]));
}

INTERPOSED void *sbrk(intptr_t increment)
{
	struct preload_call c = CALL(PRELOAD_BRK, MIRROR_EVENT_UNMAP, "sbrk",
				     make_sbrk, (uintptr_t)increment);

	/* libc's sbrk calls its brk: where that jumps here, it announces. */
	if (increment < 0 && NEXT(brk) != raw_brk)
		part_of_heap(&c, heap_end() + (uintptr_t)increment);
	return (void *)call(&c);
}

/* ---- System V's shared memory ---- */

struct maps {
	int fd;
	ssize_t nr, at;         /* bytes in the buffer, and of them read */
	char buffer[1024];
};

/* One line of /proc/self/maps, without what of it finds no room.  Not by stdio, which allocates. */
static bool next_line(struct maps *maps, char *line, size_t room)
{
	for (size_t n = 0;;) {
		char byte;

		if (maps->at == maps->nr) {
			maps->nr = read(maps->fd, maps->buffer, sizeof(maps->buffer));
			maps->at = 0;
			if (maps->nr <= 0)
				return false;
		}
		byte = maps->buffer[maps->at++];
		if (byte != '\n' && n + 1 < room)
			line[n++] = byte;
		line[n] = '\0';
		if (byte == '\n')
			return true;
	}
}

/* How many bytes of System V's shared memory begin at @start, in neighbouring mappings. */
static uint64_t attached_bytes(uint64_t start)
{
	struct maps maps = { .fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };
	uint64_t end = start, from, to;
	char line[256];

	if (maps.fd < 0)
		return 0;
	while (next_line(&maps, line, sizeof(line)))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2 && from == end && strstr(line, "/SYSV"))
			end = to;
	close(maps.fd);
	return end - start;
}

static void make_shmat(struct preload_call *c)
{
	has_returned(c, (uintptr_t)NEXT(shmat)((int)c->args[0], (const void *)c->args[1], (int)c->args[2]));
}

INTERPOSED void *shmat(int id, const void *addr, int flags)
{
	struct preload_call c = CALL(PRELOAD_SHMAT, MIRROR_EVENT_UNMAP, "shmat",
				     make_shmat, (uintptr_t)id, (uintptr_t)addr, (uintptr_t)flags);
	struct shmid_ds segment;

	if ((flags & SHM_REMAP) && shmctl(id, IPC_STAT, &segment) == 0)
		part(&c, (uintptr_t)addr, segment.shm_segsz);
	return (void *)call(&c);
}

static void make_shmdt(struct preload_call *c)
{
	has_returned(c, (uintptr_t)(intptr_t)NEXT(shmdt)((const void *)c->args[0]));
}

INTERPOSED int shmdt(const void *addr)
{
	int before = errno;
	struct preload_call c = CALL(PRELOAD_SHMDT, MIRROR_EVENT_UNMAP, "shmdt",
				     make_shmdt, (uintptr_t)addr);

	part(&c, (uintptr_t)addr, attached_bytes((uintptr_t)addr));
	errno = before;
	return (int)call(&c);
}

/* ---- the start of the process ---- */

static void *raw_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static int raw_munmap(void *addr, size_t length)
{
	return (int)syscall(SYS_munmap, addr, length);
}

static void *raw_mremap(void *old, size_t old_bytes, size_t new_bytes, int flags, ...)
{
	uintptr_t target;
	va_list rest;

	va_start(rest, flags);
	target = va_arg(rest, uintptr_t); /* make_mremap gives one always */
	va_end(rest);
	return (void *)syscall(SYS_mremap, old, old_bytes, new_bytes, flags, target);
}

static int raw_madvise(void *addr, size_t length, int advice)
{
	return (int)syscall(SYS_madvise, addr, length, advice);
}

static int raw_mprotect(void *addr, size_t length, int prot)
{
	return (int)syscall(SYS_mprotect, addr, length, prot);
}

/* The address of ours, not of what stands before it. */
#define OURS(name) \
	extern __typeof__(name) our_##name __attribute__((alias(#name), visibility("hidden"), nothrow, leaf))
OURS(mmap);
OURS(munmap);
OURS(mremap);
OURS(madvise);
OURS(mprotect);
OURS(brk);

#define JUMP(call) { .name = #call, .ours = (void (*)(void))our_##call }

/* The system call must be what is called next before the function jumps here. */
#define CALL_RAW(jump, name) ((jump).entry ? store_relaxed(&next_##name, raw_##name) : (void)0)

static void patch_libc(void)
{
	struct preload_jump jumps[] = { JUMP(mmap), JUMP(munmap), JUMP(mremap), JUMP(madvise), JUMP(mprotect), JUMP(brk) };
	int nr = sizeof(jumps) / sizeof(jumps[0]);

	libc_heap_end = dlsym(RTLD_DEFAULT, "__curbrk");
	if (!libc_heap_end)
		nr--; /* without brk, the last */
	if (!preload_patch_begin(jumps, nr))
		return;
	CALL_RAW(jumps[0], mmap);
	CALL_RAW(jumps[1], munmap);
	CALL_RAW(jumps[2], mremap);
	CALL_RAW(jumps[3], madvise);
	CALL_RAW(jumps[4], mprotect);
	CALL_RAW(jumps[5], brk);
	preload_patch_end(jumps, nr);
}

__attribute__((constructor)) static void begin(void)
{
	const char *patch = getenv("MIRROR_PRELOAD_PATCH");

	if (!patch || strcmp(patch, "no") != 0)
		patch_libc();
}

/* ---- lists ---- */

int mirror_preload_publish(struct mirror_list *list, int (*start)(struct mirror_list *list, struct mirror_range *r),
			   void (*end)(struct mirror_list *list, struct mirror_range *r))
{
	return announce_start(list, start, end);
}

int mirror_preload_withdraw(struct mirror_list *list)
{
	return announce_stop(list);
}

_Static_assert(ANNOUNCE_MAX_LISTS == MIRROR_PRELOAD_MAX_LISTS, "the header says how many");
