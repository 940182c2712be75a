/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A consumer like vhost: requests use memory of a guest from submission until another thread completes them, and the
 * guest's memory map changes only between them.
 *
 * Each request is a section that is handed over.  A change that may not wait is refused while requests are in flight.
 */
#include <errno.h>
#include <mirror/mirror.h>
#include <mirror/usrcu.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct usrcu *domain;
static int changes;             /* atomic, read in a section: of the map, that are under way */
static int queue[2];            /* a pipe of tokens: the device */

static int unmap(struct mirror *m, const struct mirror_range *r)
{
	usrcu_cookie_t cookie;

	(void)m;
	__atomic_fetch_add(&changes, 1, __ATOMIC_RELEASE);      /* no new request */
	if (r->flags & MIRROR_RANGE_BLOCKABLE) {
		if (usrcu_synchronize(domain))
			abort();        /* requests may be in flight, and the map must not change */
		return 0;
	}
	cookie = usrcu_start_poll(domain);
	for (int i = 0; i < 3; i++)
		if (usrcu_poll_state(domain, cookie))
			return 0;
	__atomic_fetch_sub(&changes, 1, __ATOMIC_RELEASE);      /* who refuses gets no end */
	return -EAGAIN;
}

static void map(struct mirror *m, const struct mirror_range *r)
{
	(void)m, (void)r;
	__atomic_fetch_sub(&changes, 1, __ATOMIC_RELEASE);
}

static const struct mirror_ops ops = {
	.size = sizeof(ops), .invalidate_range_start = unmap, .invalidate_range_end = map };

static int submit(void)
{
	int token = usrcu_down_read(domain);

	if (!__atomic_load_n(&changes, __ATOMIC_ACQUIRE))
		return write(queue[1], &token, sizeof(token)) == sizeof(token) ? 0 : -EIO;
	usrcu_up_read(domain, token);
	return -EAGAIN;
}

static void *complete(void *unused)
{
	int token;

	while (read(queue[0], &token, sizeof(token)) == sizeof(token))
		usrcu_up_read(domain, token);
	return unused;
}

static int change(struct mirror_list *list, unsigned flags)
{
	struct mirror_range r = { .start = 0, .end = 4096, .flags = flags };
	int err = mirror_invalidate_range_start(list, &r);

	if (err)
		return err;
	printf("the map changes; a request now gets %s\n", submit() == -EAGAIN ? "-EAGAIN" : "through");
	mirror_invalidate_range_end(list, &r);
	return 0;
}

int main(void)
{
	struct mirror device = { 0 };
	struct mirror_list *list;
	pthread_t thread;

	if (pipe(queue) || usrcu_create(&domain, NULL) || mirror_list_create(&list, NULL) ||
	    mirror_register(list, &device, &ops) || submit())
		return 1;
	printf("in flight, not blockable: %s\n", change(list, 0) == -EAGAIN ? "-EAGAIN" : "passed");
	if (pthread_create(&thread, NULL, complete, NULL) || change(list, MIRROR_RANGE_BLOCKABLE) || submit())
		return 1;
	close(queue[1]);
	pthread_join(thread, NULL);
	close(queue[0]);
	return mirror_unregister(&device) || mirror_list_destroy(list) || usrcu_destroy(domain);
}
