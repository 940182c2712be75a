/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-preload: a jump at the entry of a function of libc
 *
 * libc calls its own munmap, mremap, madvise, mmap and brk directly, where no name is looked up: for free, for the end
 * of a thread.  So the first five bytes of such a function become a jump to ours, which then makes the system call
 * itself, and never comes back here.
 *
 * They are written by one store, since they lie in one aligned word.  A thread that is between the first and the sixth
 * byte would be lost: that is why the library is for the start of a process.  It is not done where another interposer
 * stands between ours and libc's, which would lose its turn, where another has patched the function, where it is too
 * far for a jump, where the memory may not be written, and on CPUs but x86-64.
 *
 * All at once, since each process pays for it: the pages from the first of these functions to the last become writable,
 * which are 13 of glibc 2.36.
 */
#include "preload_impl.h"

#include <gnu/lib-names.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__

enum { JUMP = 0xe9, JUMP_BYTES = 5, JUMP_FAR = 0xff, MOVE_FAR = 0x49 };

/* The pages of [@first, @last].  By the system call: our own mprotect is not to announce it. */
static int protect(uintptr_t first, uintptr_t last, int prot)
{
	uintptr_t start = first & ~((uintptr_t)getpagesize() - 1);

	return (int)syscall(SYS_mprotect, start, last + JUMP_BYTES - start, prot);
}

/* Jumps, and loads of an address to jump to, are others' patches. */
static bool is_patched(const uint8_t *entry)
{
	return entry[0] == JUMP || entry[0] == JUMP_FAR || entry[0] == MOVE_FAR;
}

/* The entry of libc's function if it is to be patched, else NULL. */
static uint8_t *entry_of(void *libc, const struct preload_jump *jump)
{
	uint8_t *entry = dlsym(libc, jump->name);
	intptr_t distance = (intptr_t)jump->ours - (intptr_t)entry - JUMP_BYTES;

	if (!entry || entry != dlsym(RTLD_NEXT, jump->name) || (uintptr_t)entry % sizeof(uint64_t) || is_patched(entry) ||
	    distance != (int32_t)distance)
		return NULL;
	return entry;
}

static void write_jump(const struct preload_jump *jump)
{
	int32_t distance = (int32_t)((intptr_t)jump->ours - (intptr_t)jump->entry - JUMP_BYTES);
	uint64_t word;

	memcpy(&word, jump->entry, sizeof(word));
	((uint8_t *)&word)[0] = JUMP;
	memcpy((uint8_t *)&word + 1, &distance, sizeof(distance));
	store_release((uint64_t *)(void *)jump->entry, word);
}

/* The pages from the first entry to the last. */
static int protect_all(const struct preload_jump *jumps, int nr, int prot)
{
	uintptr_t first = UINTPTR_MAX, last = 0;

	for (int i = 0; i < nr; i++) {
		uintptr_t entry = (uintptr_t)jumps[i].entry;

		if (entry && entry < first)
			first = entry;
		if (entry > last)
			last = entry;
	}
	return last ? protect(first, last, prot) : 0;
}

bool preload_patch_begin(struct preload_jump *jumps, int nr)
{
	void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);

	if (!libc)
		return false;
	for (int i = 0; i < nr; i++)
		jumps[i].entry = entry_of(libc, &jumps[i]);
	dlclose(libc);
	return protect_all(jumps, nr, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

void preload_patch_end(const struct preload_jump *jumps, int nr)
{
	for (int i = 0; i < nr; i++)
		if (jumps[i].entry)
			write_jump(&jumps[i]);
	protect_all(jumps, nr, PROT_READ | PROT_EXEC);
}

#else

bool preload_patch_begin(struct preload_jump *jumps, int nr)
{
	(void)jumps;
	(void)nr;
	return false;
}

void preload_patch_end(const struct preload_jump *jumps, int nr)
{
	(void)jumps;
	(void)nr;
}

#endif
