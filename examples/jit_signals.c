/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The code cache of a JIT: the guest's code is write-protected, and a write to it drops what was translated, out of the
 * handler of SIGSEGV.
 *
 * Over the default sync a signal handler may publish.  The callbacks then run in the handler: no lock, no malloc.
 */
#include <mirror/mirror.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

struct block {
	struct mirror mirror;
	bool translated;        /* atomic */
};

static struct mirror_list *list;
static unsigned char *code;     /* the guest's page */

static int drop(struct mirror *m, const struct mirror_range *r)
{
	(void)r;
	__atomic_store_n(&((struct block *)m)->translated, false, __ATOMIC_RELAXED);
	return 0;
}

static const struct mirror_ops ops = { .size = sizeof(ops), .invalidate_range_start = drop };

static void on_write(int signal, siginfo_t *info, void *context)
{
	const uint64_t start = (uint64_t)(uintptr_t)code, at = (uint64_t)(uintptr_t)info->si_addr;

	(void)context;
	if (at < start || at >= start + PAGE || mirror_invalidate_range(list, start, start + PAGE) ||
	    mprotect(code, PAGE, PROT_READ | PROT_WRITE)) {
		struct sigaction fatal = { .sa_handler = SIG_DFL };

		sigaction(signal, &fatal, NULL);        /* not ours: the write faults again, and ends the program */
	}
}

static int translate(struct block *block)
{
	if (mprotect(code, PAGE, PROT_READ))    /* protect first, then read */
		return 1;
	__atomic_store_n(&block->translated, true, __ATOMIC_RELAXED);
	return 0;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_write, .sa_flags = SA_SIGINFO };
	struct block block;
	uint64_t start;

	memset(&block, 0, sizeof(block));
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	start = (uint64_t)(uintptr_t)code;
	if (code == MAP_FAILED || mirror_list_create(&list, NULL) || sigaction(SIGSEGV, &action, NULL) ||
	    mirror_register_range(list, &block.mirror, &ops, start, start + PAGE))
		return 1;
	for (int n = 0; n < 2; n++) {
		if (translate(&block))
			return 1;
		printf("translated: %d\n", __atomic_load_n(&block.translated, __ATOMIC_RELAXED));
		((volatile unsigned char *)code)[n] = 0x90;     /* the guest rewrites its code */
		printf("after a write: %d\n", __atomic_load_n(&block.translated, __ATOMIC_RELAXED));
	}
	return mirror_unregister(&block.mirror) || mirror_list_destroy(list) || munmap(code, PAGE);
}
