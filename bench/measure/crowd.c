/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Threads that sleep; crowd.h says what for. */
#include "crowd.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

struct crowd {
	unsigned nr;
	void (*once)(void *arg);
	void (*at_end)(void *arg);
	void *arg;
	sem_t ready, go;
	pthread_t threads[];
};

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		;
}

static void *thread_main(void *arg)
{
	struct crowd *crowd = arg;

	crowd->once(crowd->arg);
	sem_post(&crowd->ready);
	wait_for(&crowd->go);
	crowd->at_end(crowd->arg);
	return NULL;
}

int crowd_gather(struct crowd **crowd_, unsigned n, void (*once)(void *arg), void (*at_end)(void *arg), void *arg)
{
	struct crowd *crowd = malloc(sizeof(*crowd) + n * sizeof(crowd->threads[0]));
	pthread_attr_t attr;
	sigset_t all, old;
	int err = 0;

	if (!crowd)
		return -ENOMEM;
	*crowd = (struct crowd){ .once = once, .at_end = at_end, .arg = arg };
	sem_init(&crowd->ready, 0, 0);
	sem_init(&crowd->go, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN + 32768);
	pthread_attr_setguardsize(&attr, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (crowd->nr < n && !err) {
		err = pthread_create(&crowd->threads[crowd->nr], &attr, thread_main, crowd);
		crowd->nr += !err;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	for (unsigned i = 0; i < crowd->nr; i++)
		wait_for(&crowd->ready);
	if (err) {
		crowd_disperse(crowd);
		return -err;
	}
	*crowd_ = crowd;
	return 0;
}

void crowd_disperse(struct crowd *crowd)
{
	if (!crowd)
		return;
	for (unsigned i = 0; i < crowd->nr; i++)
		sem_post(&crowd->go);
	for (unsigned i = 0; i < crowd->nr; i++)
		pthread_join(crowd->threads[i], NULL);
	sem_destroy(&crowd->ready);
	sem_destroy(&crowd->go);
	free(crowd);
}
