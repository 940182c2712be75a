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
 */
#include "preload_impl.h"

#include <gnu/lib-names.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__

enum { JUMP = 0xe9, JUMP_BYTES = 5, JUMP_FAR = 0xff, MOVE_FAR = 0x49 };

/* By the system call: our own mprotect is not to announce it. */
static int protect(uintptr_t address, int prot)
{
	uintptr_t page_bytes = (uintptr_t)getpagesize();

	return (int)syscall(SYS_mprotect, address & ~(page_bytes - 1), page_bytes, prot);
}

/* Jumps, and loads of an address to jump to, are others' patches. */
static bool is_patched(const uint8_t *entry)
{
	return entry[0] == JUMP || entry[0] == JUMP_FAR || entry[0] == MOVE_FAR;
}

bool preload_patch(const char *name, void (*ours)(void))
{
	void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
	uint8_t *entry = libc ? dlsym(libc, name) : NULL;
	intptr_t distance = (intptr_t)ours - (intptr_t)entry - JUMP_BYTES;
	uint64_t word;

	if (libc)
		dlclose(libc);
	if (!entry || entry != dlsym(RTLD_NEXT, name) || (uintptr_t)entry % sizeof(word) || is_patched(entry) ||
	    distance != (int32_t)distance)
		return false;
	if (protect((uintptr_t)entry, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	memcpy(&word, entry, sizeof(word));
	((uint8_t *)&word)[0] = JUMP;
	memcpy((uint8_t *)&word + 1, &(int32_t){ (int32_t)distance }, sizeof(int32_t));
	store_release((uint64_t *)(void *)entry, word);
	protect((uintptr_t)entry, PROT_READ | PROT_EXEC);
	return true;
}

#else

bool preload_patch(const char *name, void (*ours)(void))
{
	(void)name;
	(void)ours;
	return false;
}

#endif
