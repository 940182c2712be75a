/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * libmirror-uffd: userfaultfd's events become brackets
 *
 * Terms
 *	changer         a thread, anywhere, that changes watched memory; the kernel stops it until its event is read
 *	reader          this file's thread that reads events and puts them into the queue
 *	publisher       this file's thread that takes them out and opens the brackets
 *
 * State
 *	queue, pushed, taken    under lock: the events of numbers taken .. pushed - 1 wait; both only grow
 *	everything              under lock: events were dropped, and the whole address space is to be published for them
 *	published               under lock: events of smaller numbers have had their bracket
 *	asked, seen             under lock: a flush asks, the reader has seen it
 *	error                   under lock: a bracket was refused
 *	fd                      read and closed by the reader alone, or in the child of a fork
 *
 * Why nobody waits for himself
 *	1. The reader changes no memory, calls no callback, and takes only `lock`, which is never held over a system call
 *	   that changes memory: whoever changes watched memory goes on, callbacks included (t/publishers/uffd: "a callback
 *	   that unmaps").
 *	2. A full queue does not stop the reader: its events become "everything" ("slow callbacks").
 *	3. Watched memory is registered for write protection and never protected: no access to it faults into here.
 *	4. A fork holds all_lock until the reader has read its event; the reader does not take all_lock ("a fork").
 *
 * Why a flush misses nothing: a changer goes on when the reader has its event in hand.  The reader looks at `asked`
 * with empty hands: what was in hand before is in the queue then, and the flush waits for the queue as it is then.
 *
 * A descriptor that stays open elsewhere would keep memory watched that nobody reads events of, and stop its changers
 * for good.  So the child of a fork closes its copy, and the descriptor that the kernel gives for the child's own
 * memory is closed at once.  To get that one the reader needs a free number, so that it keeps a spare.
 *
 * Lock order: all_lock, lock.  Source: Linux v6.12, fs/userfaultfd.c, mm/madvise.c, mm/mremap.c.
 */
#include <mirror/uffd.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum { NR_MESSAGES = 16, NAP_MS = 10 };

struct event {
	int event;
	uint64_t start, end;
};

struct mirror_uffd {
	struct mirror_list *list;
	int fd, wake, spare;            /* wake: an eventfd, for the reader */
	pthread_t reader, publisher;
	pthread_mutex_t lock;
	pthread_cond_t changed;         /* anything below */
	struct event queue[MIRROR_UFFD_MAX_EVENTS];
	uint64_t pushed, taken, published;
	uint64_t asked, seen;
	int error;
	bool everything, must_stop, reader_has_stopped;
	bool hears_forks;
	bool is_orphan;                 /* in the child of a fork; there is one thread */
	struct mirror_uffd *next;       /* under all_lock */
};

static struct mirror_uffd *all;         /* under all_lock */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the reader ---- */

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void push(struct mirror_uffd *u, int event, uint64_t start, uint64_t end)
{
	pthread_mutex_lock(&u->lock);
	if (u->error || u->pushed - u->taken == MIRROR_UFFD_MAX_EVENTS) {
		u->everything = true;
		u->taken = u->pushed;
	}
	u->queue[u->pushed++ % MIRROR_UFFD_MAX_EVENTS] = (struct event){ event, start, end };
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

static void take_message(struct mirror_uffd *u, const struct uffd_msg *m)
{
	switch (m->event) {
	case UFFD_EVENT_REMOVE:
		push(u, MIRROR_EVENT_CLEAR, m->arg.remove.start, m->arg.remove.end);
		break;
	case UFFD_EVENT_UNMAP:
		push(u, MIRROR_EVENT_UNMAP, m->arg.remove.start, m->arg.remove.end);
		break;
	case UFFD_EVENT_REMAP:
		push(u, MIRROR_EVENT_UNMAP, m->arg.remap.from, m->arg.remap.from + m->arg.remap.len);
		break;
	case UFFD_EVENT_FORK:
		close((int)m->arg.fork.ufd);
		push(u, MIRROR_EVENT_PROTECTION, 0, 0);
		break;
	default:
		break;
	}
}

static void keep_spare(struct mirror_uffd *u)
{
	if (u->hears_forks && u->spare < 0)
		u->spare = fcntl(u->wake, F_DUPFD_CLOEXEC, 0);
}

static void read_messages(struct mirror_uffd *u)
{
	struct uffd_msg messages[NR_MESSAGES];
	ssize_t n = read(u->fd, messages, sizeof(messages));

	if (n < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* A fork waits, and there is no number for its descriptor.  The next read has the spare's. */
		if (u->spare < 0)
			poll(NULL, 0, NAP_MS);
		close_if_open(u->spare);
		u->spare = -1;
		return;
	}
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++)
		take_message(u, &messages[i]);
	keep_spare(u);
}

/* With empty hands.  False: stop. */
static bool look_at_wishes(struct mirror_uffd *u)
{
	uint64_t count;
	bool goes_on;

	if (read(u->wake, &count, sizeof(count)) < 0)
		return true;
	pthread_mutex_lock(&u->lock);
	u->seen = u->asked;
	goes_on = !u->must_stop;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
	return goes_on;
}

/* The last close lets all changers go on, and their memory is watched no more. */
static void *read_events(void *arg)
{
	struct mirror_uffd *u = arg;
	struct pollfd fds[] = { { .fd = u->fd, .events = POLLIN }, { .fd = u->wake, .events = POLLIN } };

	do {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			read_messages(u);
	} while (!fds[1].revents || look_at_wishes(u));
	close(u->fd);
	pthread_mutex_lock(&u->lock);
	u->reader_has_stopped = true;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* ---- the publisher ---- */

/* The next bracket, and up to which event it is for.  False: there will be none. */
static bool take(struct mirror_uffd *u, struct event *e, uint64_t *upto)
{
	bool is_there;

	pthread_mutex_lock(&u->lock);
	while (!u->everything && u->taken == u->pushed && !u->reader_has_stopped)
		pthread_cond_wait(&u->changed, &u->lock);
	is_there = u->everything || u->taken < u->pushed;
	if (u->everything)
		*e = (struct event){ MIRROR_EVENT_UNMAP, 0, 0 };
	else if (is_there)
		*e = u->queue[u->taken++ % MIRROR_UFFD_MAX_EVENTS];
	u->everything = false;
	*upto = u->taken;
	pthread_mutex_unlock(&u->lock);
	return is_there;
}

static void *publish(void *arg)
{
	struct mirror_uffd *u = arg;
	struct event e;
	uint64_t upto;

	while (take(u, &e, &upto)) {
		struct mirror_range r = { .start = e.start, .end = e.end, .event = e.event, .flags = MIRROR_RANGE_BLOCKABLE };
		int err = mirror_invalidate_range_start(u->list, &r);

		if (!err)
			mirror_invalidate_range_end(u->list, &r);
		pthread_mutex_lock(&u->lock);
		/* What was refused is made good by "everything", and by nothing less. */
		if (err || (e.event == MIRROR_EVENT_UNMAP && e.start == 0 && e.end == 0))
			u->error = err;
		u->published = upto;
		pthread_cond_broadcast(&u->changed);
		pthread_mutex_unlock(&u->lock);
	}
	return NULL;
}

/* ---- forks ---- */

static void before_fork(void)
{
	pthread_mutex_lock(&all_lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&all_lock);
}

static void in_child(void)
{
	for (struct mirror_uffd *u = all; u; u = u->next) {
		if (!u->is_orphan) {
			close(u->fd);
			close(u->wake);
			close_if_open(u->spare);
		}
		u->is_orphan = true;
	}
	pthread_mutex_unlock(&all_lock);
}

__attribute__((constructor)) static void hook_fork(void)
{
	if (pthread_atfork(before_fork, in_parent, in_child))
		abort();
}

/* ---- it comes and goes; under all_lock ---- */

static int open_uffd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0 && errno == EINVAL) /* Linux before 5.11 */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return fd;
}

static int agree(int fd, bool hears_forks)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP | (hears_forks ? UFFD_FEATURE_EVENT_FORK : 0),
	};
	int has = fcntl(fd, F_GETFL);

	if (has < 0 || fcntl(fd, F_SETFL, has | O_NONBLOCK))
		return -errno;
	return ioctl(fd, UFFDIO_API, &api) ? -errno : 0;
}

static void stop_reader(struct mirror_uffd *u)
{
	pthread_mutex_lock(&u->lock);
	u->must_stop = true;
	pthread_mutex_unlock(&u->lock);
	eventfd_write(u->wake, 1);
	pthread_join(u->reader, NULL);
	u->fd = -1;
}

static int start_threads(struct mirror_uffd *u)
{
	sigset_t all_signals, before;
	int err;

	sigfillset(&all_signals);
	pthread_sigmask(SIG_SETMASK, &all_signals, &before);
	err = pthread_create(&u->reader, NULL, read_events, u);
	if (!err) {
		err = pthread_create(&u->publisher, NULL, publish, u);
		if (err)
			stop_reader(u);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static void free_uffd(struct mirror_uffd *u)
{
	if (!u->is_orphan) {
		close_if_open(u->fd);
		close_if_open(u->spare);
		close_if_open(u->wake);
		pthread_cond_destroy(&u->changed);
		pthread_mutex_destroy(&u->lock);
	}
	free(u);
}

static int open_descriptors(struct mirror_uffd *u, int given)
{
	int err;

	u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->wake < 0)
		return -errno;
	keep_spare(u);
	u->fd = given < 0 ? open_uffd() : fcntl(given, F_DUPFD_CLOEXEC, 0);
	if (u->fd < 0)
		return -errno;
	err = agree(u->fd, u->hears_forks);
	/* With a descriptor of our own nothing else can be wrong. */
	return err == -EINVAL && given < 0 ? -EOPNOTSUPP : err;
}

static int make(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags, int given)
{
	struct mirror_uffd *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->list = list;
	u->hears_forks = flags & MIRROR_UFFD_FORK;
	u->fd = u->spare = u->wake = -1;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->changed, NULL);
	err = open_descriptors(u, given);
	if (!err)
		err = start_threads(u);
	if (err) {
		free_uffd(u);
		return err;
	}
	close_if_open(given);
	u->next = all;
	all = u;
	*uffd = u;
	return 0;
}

/* ---- the calls ---- */

static int begin(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags, int given)
{
	int before = errno, err;

	if (!uffd || !list || (flags & ~(unsigned)MIRROR_UFFD_FORK))
		return -EINVAL;
	pthread_mutex_lock(&all_lock);
	err = make(uffd, list, flags, given);
	pthread_mutex_unlock(&all_lock);
	errno = before;
	return err;
}

int mirror_uffd_create(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags)
{
	return begin(uffd, list, flags, -1);
}

int mirror_uffd_adopt(struct mirror_uffd **uffd, struct mirror_list *list, unsigned flags, int fd)
{
	return fd < 0 ? -EBADF : begin(uffd, list, flags, fd);
}

static int ask(struct mirror_uffd *u, uint64_t start, uint64_t end, unsigned long request, void *argument)
{
	int before = errno, err;

	if (!u || start >= end)
		return -EINVAL;
	if (u->is_orphan)
		return -ECHILD;
	err = ioctl(u->fd, request, argument) ? -errno : 0;
	errno = before;
	return err;
}

int mirror_uffd_watch(struct mirror_uffd *uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register range = { .range = { start, end - start }, .mode = UFFDIO_REGISTER_MODE_WP };

	return ask(uffd, start, end, UFFDIO_REGISTER, &range);
}

int mirror_uffd_unwatch(struct mirror_uffd *uffd, uint64_t start, uint64_t end)
{
	struct uffdio_range range = { start, end - start };

	return ask(uffd, start, end, UFFDIO_UNREGISTER, &range);
}

static int may_wait(const struct mirror_uffd *u)
{
	return !u ? -EINVAL : pthread_equal(u->publisher, pthread_self()) ? -EDEADLK : 0;
}

int mirror_uffd_flush(struct mirror_uffd *uffd)
{
	int err = uffd && uffd->is_orphan ? -ECHILD : may_wait(uffd);
	uint64_t wish, upto;

	if (err)
		return err;
	pthread_mutex_lock(&uffd->lock);
	wish = ++uffd->asked;
	pthread_mutex_unlock(&uffd->lock);
	eventfd_write(uffd->wake, 1);
	pthread_mutex_lock(&uffd->lock);
	while (uffd->seen < wish)
		pthread_cond_wait(&uffd->changed, &uffd->lock);
	upto = uffd->pushed;
	while (uffd->published < upto)
		pthread_cond_wait(&uffd->changed, &uffd->lock);
	err = uffd->error;
	pthread_mutex_unlock(&uffd->lock);
	return err;
}

/* A fork sees it whole and in the list of all, or with all descriptors closed and not there. */
static void end(struct mirror_uffd *u)
{
	struct mirror_uffd **link = &all;

	pthread_mutex_lock(&all_lock);
	if (!u->is_orphan)
		stop_reader(u);
	while (*link != u)
		link = &(*link)->next;
	*link = u->next;
	pthread_mutex_unlock(&all_lock);
	if (!u->is_orphan)
		pthread_join(u->publisher, NULL);
}

int mirror_uffd_destroy(struct mirror_uffd *uffd)
{
	int err = may_wait(uffd);

	if (err)
		return err;
	end(uffd);
	free_uffd(uffd);
	return 0;
}
