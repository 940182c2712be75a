/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A configuration that is read while it is replaced: usrcu without the list.
 *
 * Readers may sleep with the old one in their hands; the writer frees it when the last of them has let go.
 */
#include <mirror/usrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { READERS = 2, REPLACEMENTS = 200, FREED = -1 };

struct config {
	int a, b;               /* equal, so that a reader sees whether it was freed */
};

static struct usrcu *domain;
static struct config *current;  /* atomic; who reads it is in a section of domain */
static bool stop;               /* atomic */

static void *read_often(void *wrong)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		int token = usrcu_read_lock(domain);
		struct config *config = __atomic_load_n(&current, __ATOMIC_ACQUIRE);

		if (config->a != config->b || config->a == FREED)
			*(int *)wrong = 1;
		usrcu_read_unlock(domain, token);
	}
	return NULL;
}

static int replace(int n)
{
	struct config *new = malloc(sizeof(*new)), *old;

	if (!new)
		return -1;
	*new = (struct config){ n, n };
	old = __atomic_exchange_n(&current, new, __ATOMIC_ACQ_REL);
	if (usrcu_synchronize(domain))  /* not 0: nothing was waited for, so nothing may be freed */
		return -1;
	if (old)
		old->a = old->b = FREED;
	free(old);
	return 0;
}

int main(void)
{
	int wrong[READERS] = { 0 };
	pthread_t threads[READERS];

	if (usrcu_create(&domain, NULL) || replace(0))
		return 1;
	for (int i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, read_often, &wrong[i]))
			return 1;
	for (int n = 1; n <= REPLACEMENTS; n++)
		if (replace(n))
			return 1;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	printf("%d replaced, read after free: %d\n", REPLACEMENTS, wrong[0] + wrong[1]);
	free(current);
	return wrong[0] || wrong[1] || usrcu_destroy(domain);
}
