/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Signs that another thread's unregister waits; witness.h lists them. */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void witness_enter(struct witness *w, int round)
{
	atomic_store(&w->tid, gettid());
	atomic_store(&w->since_ns, bench_now_ns());
	atomic_store(&w->calling, round);
}

void witness_leave(struct witness *w, int round)
{
	atomic_store(&w->returned, round);
}

/* The state in /proc/self/task/TID/stat is the letter after the name, which may hold brackets itself. */
static bool sleeps(int tid)
{
	char path[64], text[256];
	const char *bracket;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	bracket = strrchr(text, ')');
	return bracket && strncmp(bracket, ") S", 3) == 0;
}

const char *witness_look(struct witness *w, int round, int (*probe)(void *arg), void *arg, uint64_t limit_ns)
{
	if (atomic_load(&w->calling) < round)
		return NULL;
	if (atomic_load(&w->returned) >= round)
		return "returned";
	if (probe(arg) == -EAGAIN)
		return "refused";
	if (sleeps(atomic_load(&w->tid)) && atomic_load(&w->returned) < round)
		return "asleep";
	if (bench_now_ns() - atomic_load(&w->since_ns) > limit_ns)
		return "bounded";
	return NULL;
}
