/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The parts of port.h that are more than one instruction; Linux, libc alone. */

#include "port.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* syscall() sets errno, and nothing of the library may. */
static long quiet_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long rc = syscall(number, a, b, c, d, e, f);

	if (rc < 0)
		rc = -errno;
	errno = saved;
	return rc;
}

static int membarrier(int command)
{
	return (int)quiet_syscall(SYS_membarrier, command, 0, 0, 0, 0, 0);
}

int port_membarrier_register(void)
{
	int rc = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);

	/* Registered is not yet usable: a filter may allow one command and forbid the other. */
	return rc < 0 ? rc : membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

int port_membarrier(void)
{
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

void *port_alloc(size_t bytes)
{
	int saved = errno;
	void *memory;

	bytes = (bytes + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	errno = saved;
	return memory ? memset(memory, 0, bytes) : NULL;
}

void port_free(void *memory)
{
	free(memory);
}

/* The system call, not mmap(): a program that hooks mmap must not be entered from here. */
#ifdef PORT_TSAN
/* It must see that memory which comes back is new. */
static void *map(size_t bytes)
{
	int saved = errno;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	errno = saved;
	return memory == MAP_FAILED ? NULL : memory;
}
#else
static void *map(size_t bytes)
{
	long rc = quiet_syscall(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return rc < 0 && rc > -4096 ? NULL : (void *)rc;
}
#endif

void *port_map(size_t bytes)
{
	const size_t huge = 2u << 20;
	uintptr_t begin, end;
	char *memory;

	if (bytes < huge)
		return map(bytes);
	/* On huge pages where it can: a walk over a million mirrors is bound by the page tables. */
	memory = map(bytes + huge);
	if (!memory)
		return NULL;
	begin = ((uintptr_t)memory + huge - 1) & ~(uintptr_t)(huge - 1);
	end = begin + bytes;
	if (begin > (uintptr_t)memory)
		port_unmap(memory, begin - (uintptr_t)memory);
	port_unmap((void *)end, (uintptr_t)memory + bytes + huge - end);
	quiet_syscall(SYS_madvise, (long)begin, (long)bytes, MADV_HUGEPAGE, 0, 0, 0);
	return (void *)begin;
}

void port_unmap(void *memory, size_t bytes)
{
#ifdef PORT_TSAN
	munmap(memory, bytes); /* as map() */
#else
	quiet_syscall(SYS_munmap, (long)memory, (long)bytes, 0, 0, 0, 0);
#endif
}

void *port_map_sparse(size_t bytes, size_t used)
{
	char *memory = map(bytes);

	if (memory && bytes > used) {
		/* Under mlockall(MCL_FUTURE) all of it has come at once, and is locked. */
		quiet_syscall(SYS_munlock, (long)(memory + used), (long)(bytes - used), 0, 0, 0, 0);
		quiet_syscall(SYS_madvise, (long)(memory + used), (long)(bytes - used), MADV_DONTNEED, 0, 0, 0);
	}
	return memory;
}

void port_discard(void *memory, size_t bytes)
{
	/* Locked memory cannot be given back. */
	if (quiet_syscall(SYS_madvise, (long)memory, (long)bytes, MADV_DONTNEED, 0, 0, 0) < 0)
		memset(memory, 0, bytes);
}

/* Those of faults stay open: a collector or a JIT in a callback handles them. */
static void only_faults(sigset_t *blocked)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

	sigfillset(blocked);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(blocked, faults[i]);
}

void port_signals_block(port_signals *saved)
{
	sigset_t blocked;

	only_faults(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, saved);
}

void port_signals_restore(const port_signals *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int port_thread_start(struct port_thread *thread, void *(*run)(void *arg), void *arg)
{
	sigset_t blocked, saved;
	int rc;

	only_faults(&blocked);
	pthread_sigmask(SIG_SETMASK, &blocked, &saved); /* which the new thread inherits */
	rc = pthread_create(&thread->thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -rc;
}

void port_thread_join(struct port_thread *thread)
{
	int saved = port_cancel_disable();

	pthread_join(thread->thread, NULL);
	port_cancel_restore(saved);
}

int port_tid(void)
{
	return (int)quiet_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

int port_pid(void)
{
	return (int)quiet_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* A sandbox that refuses the question gets the answer that is always safe. */
bool port_thread_lives(int pid, int tid)
{
	return quiet_syscall(SYS_tgkill, pid, tid, 0, 0, 0, 0) != -ESRCH;
}

uint32_t *port_fork_mark(void)
{
	uint32_t *mark = map(PORT_PAGE_BYTES);

	if (mark && quiet_syscall(SYS_madvise, (long)mark, PORT_PAGE_BYTES, MADV_WIPEONFORK, 0, 0, 0) < 0) {
		port_unmap(mark, PORT_PAGE_BYTES);
		mark = NULL;
	}
	return mark;
}

__thread uint32_t port_fallback_count;
__thread uint32_t port_fallback_gate_count;
__thread uint32_t port_first_generation_count;
__thread uint32_t port_walks_count;

/* A SIGPIPE of this write is taken back, unless one was pending before. */
static void write_quietly(const char *text, size_t length)
{
	sigset_t pipe_only, saved, pending;
	const struct timespec now = { 0 };
	bool was_pending;
	long rc;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_only, &saved);
	rc = quiet_syscall(SYS_write, STDERR_FILENO, (long)text, (long)length, 0, 0, 0);
	if (rc == -EPIPE && !was_pending)
		sigtimedwait(&pipe_only, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

void port_say(const char *text)
{
	int saved = errno;
	char line[256];
	int length = snprintf(line, sizeof(line), "%s\n", text);

	if (length > (int)sizeof(line) - 1) {
		length = (int)sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	write_quietly(line, (size_t)length);
	errno = saved;
}

void port_fatal(const char *function, const char *rule, const void *object)
{
	char text[250];

	snprintf(text, sizeof(text), "libmirror: %s(%p): %s", function, object, rule);
	port_say(text);
	abort();
}
