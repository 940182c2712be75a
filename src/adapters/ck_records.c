/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Records of readers; ck_records.h describes them. */
#include "ck_records.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Its address names the thread. */
static _Thread_local unsigned my_place;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* How often this thread has locked it: it publishes in hooks of a fork too, and may fork in them. */
static _Thread_local unsigned nr_locked;
static unsigned nr_forks;               /* between this process and the first one */
static const void *survivor;            /* the thread that forked this process */
static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;
static int hooks_error;

/* ---- the lock ---- */

static void lock_records(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
	if (!nr_locked++)
		pthread_mutex_lock(&lock);
}

static void unlock_records(const sigset_t *saved)
{
	if (!--nr_locked)
		pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static void before_fork(void)
{
	sigset_t saved;

	lock_records(&saved);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static void after_fork(void)
{
	sigset_t all, saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	unlock_records(&saved);
}

static void after_fork_in_child(void)
{
	survivor = &my_place;
	ck_pr_store_uint(&nr_forks, nr_forks + 1);
	after_fork();
}

static void make_hooks(void)
{
	hooks_error = pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

/* ---- owners ---- */

int records_open(struct records *owner)
{
	pthread_once(&hooks_once, make_hooks);
	owner->forks = ck_pr_load_uint(&nr_forks);
	return -hooks_error;
}

void records_close(struct records *owner)
{
	for (int i = 0; i < RECORDS_BLOCKS; i++)
		free(owner->block[i]);
}

/* Under the lock. */
static void forget_vanished(struct records *owner)
{
	for (unsigned i = 0; i < owner->nr; i++) {
		struct record *record = records_at(owner, (int)i);

		if (ck_pr_load_ptr(&record->holder) == survivor)
			continue;
		owner->forget(owner, record);
		ck_pr_store_ptr(&record->holder, NULL);
	}
	ck_pr_fence_store();
	ck_pr_store_uint(&owner->forks, nr_forks);
}

void records_sync_fork(struct records *owner)
{
	sigset_t saved;

	if (ck_pr_load_uint(&owner->forks) == ck_pr_load_uint(&nr_forks))
		return;
	lock_records(&saved);
	if (owner->forks != nr_forks)
		forget_vanished(owner);
	unlock_records(&saved);
}

/* As many records again, if there are @nr. */
static int make_more(struct records *owner, unsigned nr)
{
	unsigned nr_new = nr ? nr : 1, block = nr ? 32 - (unsigned)__builtin_clz(nr) : 0;
	size_t bytes = nr_new * owner->record_bytes;
	sigset_t saved;
	char *memory;

	memory = block < RECORDS_BLOCKS ? aligned_alloc(64, bytes) : NULL;
	if (!memory)
		return -ENOMEM;
	memset(memory, 0, bytes);
	lock_records(&saved);
	if (owner->nr == nr) {
		owner->block[block] = memory;
		for (unsigned i = 0; i < nr_new; i++)
			owner->attach(owner, records_at(owner, (int)(nr + i)), nr + i);
		ck_pr_fence_store();
		ck_pr_store_uint(&owner->nr, nr + nr_new);
		memory = NULL;
	}
	unlock_records(&saved);
	free(memory); /* another thread was faster */
	return 0;
}

int records_take(struct records *owner)
{
	unsigned nr, place, number;
	struct record *record;
	int err = 0;

	records_sync_fork(owner);
	while (!err) {
		nr = ck_pr_load_uint(&owner->nr);
		ck_pr_fence_load();
		place = my_place;
		for (unsigned i = 0; i < nr; i++) {
			number = (place + i) & (nr - 1);
			record = records_at(owner, (int)number);
			if (ck_pr_load_ptr(&record->holder) || !ck_pr_cas_ptr(&record->holder, NULL, &my_place))
				continue;
			ck_pr_fence_acquire();
			my_place = place + i;
			return (int)number;
		}
		err = make_more(owner, nr);
	}
	return err;
}
