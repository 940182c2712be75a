/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* libmirror-uffd: each change of watched memory is heard, nobody waits for callbacks, and descriptors do not stay. */
#include <dirent.h>
#include <fcntl.h>
#include <mirror/uffd.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tap.h"

static struct mirror_list *list;
static uint64_t page;

static char *map(uint64_t pages)
{
	char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bail_out("cannot map");
	memset(p, 1, pages * page);
	return p;
}

static uint64_t at(const char *p, uint64_t pages)
{
	return (uintptr_t)p + pages * page;
}

static struct mirror_uffd *begin(unsigned flags)
{
	struct mirror_uffd *u;
	int err = mirror_uffd_create(&u, list, flags);

	if (err)
		bail_out("create: %d", err);
	return u;
}

/* ---- a mirror that notes what it hears ---- */

enum { MAX_HEARD = 2048 };
static struct {
	int event;
	uint64_t start, end;
} heard[MAX_HEARD];
static atomic_uint nr_heard, nr_ends;
static void (*_Atomic also)(void);

static int on_start(struct mirror *m, const struct mirror_range *r)
{
	unsigned nr = nr_heard;
	void (*more)(void) = also;

	(void)m;
	if (nr < MAX_HEARD) {
		heard[nr].event = r->event;
		heard[nr].start = r->start;
		heard[nr].end = r->end;
	}
	nr_heard = nr + 1;
	if (more)
		more();
	return 0;
}

static void on_end(struct mirror *m, const struct mirror_range *r)
{
	(void)m;
	(void)r;
	nr_ends++;
}

static const struct mirror_ops ops = {
	.size = sizeof(struct mirror_ops),
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
};
static struct mirror listener;

/* Whether a flush makes it exactly one bracket, this one; what was heard is forgotten. */
static bool hears_one(struct mirror_uffd *u, int event, uint64_t start, uint64_t end)
{
	bool right = mirror_uffd_flush(u) == 0 && nr_heard == 1 && nr_ends == 1 && heard[0].event == event &&
		     heard[0].start == start && heard[0].end == end;

	if (!right)
		diag("%u heard, the first: event %d of %" PRIx64 "-%" PRIx64 ", not %d of %" PRIx64 "-%" PRIx64, nr_heard,
		     heard[0].event, heard[0].start, heard[0].end, event, start, end);
	nr_heard = nr_ends = 0;
	return right;
}

/* ---- changes ---- */

static void test_changes(void)
{
	struct mirror_uffd *u = begin(0);
	char *p = map(8), *q = map(4), *room = map(8), *moved;

	is_int(mirror_uffd_watch(u, at(p, 0), at(p, 8)), 0, "a range is watched");
	p[0] = 2;
	ok(p[page] == 1 && mirror_uffd_flush(u) == 0 && nr_heard == 0, "access is no event");
	is_int(madvise(p, page, MADV_DONTNEED), 0, "madvise works as ever");
	ok(hears_one(u, MIRROR_EVENT_CLEAR, at(p, 0), at(p, 1)), "... and is heard");
	ok(p[0] == 0 && p[page] == 1, "... and drops what it names");
	syscall(SYS_munmap, p + 7 * page, page);
	ok(hears_one(u, MIRROR_EVENT_UNMAP, at(p, 7), at(p, 8)), "a system call without libc is heard");
	if (mmap(p + 6 * page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		bail_out("cannot map");
	ok(hears_one(u, MIRROR_EVENT_UNMAP, at(p, 6), at(p, 7)), "a mapping over another is heard");
	if (mremap(p, 4 * page, 3 * page, 0) != p)
		bail_out("cannot shrink");
	ok(hears_one(u, MIRROR_EVENT_UNMAP, at(p, 3), at(p, 4)), "mremap that shrinks is heard");
	moved = mremap(p, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ok(moved == room && mirror_uffd_flush(u) == 0 && nr_heard >= 1, "mremap that moves is heard");
	/* Linux tells of the move, and of the old range's end. */
	nr_heard = nr_ends = 1;
	ok(hears_one(u, MIRROR_EVENT_UNMAP, at(p, 0), at(p, 3)), "... of the old range");
	madvise(moved + page, page, MADV_DONTNEED);
	ok(hears_one(u, MIRROR_EVENT_CLEAR, at(moved, 1), at(moved, 2)), "... and the new one is watched");

	madvise(q, page, MADV_DONTNEED);
	ok(mirror_uffd_flush(u) == 0 && nr_heard == 0, "what is not watched is not heard");
	is_int(mirror_uffd_unwatch(u, at(moved, 0), at(moved, 3)), 0, "a range is watched no more");
	munmap(moved, 3 * page);
	ok(mirror_uffd_flush(u) == 0 && nr_heard == 0, "... and not heard");

	is_int(mirror_uffd_watch(u, at(q, 0), at(q, 4)), 0, "watch");
	is_int(mirror_uffd_destroy(u), 0, "destroy, with memory that is watched");
	is_int(munmap(q, 4 * page), 0, "... which can be changed afterwards");
}

static void test_errors(void)
{
	struct mirror_uffd *u, *other = begin(0);
	char *p = map(1);

	is_int(mirror_uffd_create(NULL, list, 0), -EINVAL, "create: nowhere to put it");
	is_int(mirror_uffd_create(&u, NULL, 0), -EINVAL, "... no list");
	is_int(mirror_uffd_create(&u, list, 2), -EINVAL, "... an unknown flag");
	is_int(mirror_uffd_adopt(&u, list, 0, -1), -EBADF, "adopt: no descriptor");
	is_int(mirror_uffd_adopt(&u, list, 0, 1), -ENOTTY, "... one of another kind");
	is_int(mirror_uffd_watch(NULL, 0, page), -EINVAL, "watch: none");
	is_int(mirror_uffd_watch(other, at(p, 1), at(p, 0)), -EINVAL, "... no range");
	is_int(mirror_uffd_watch(other, at(p, 0) + 1, at(p, 1)), -EINVAL, "... not whole pages");
	is_int(mirror_uffd_watch(other, at(p, 0), at(p, 1)), 0, "... one page");
	u = begin(0);
	is_int(mirror_uffd_watch(u, at(p, 0), at(p, 1)), -EBUSY, "... by a second one: busy");
	is_int(mirror_uffd_destroy(u), 0, "destroy");
	munmap(p, page);
	is_int(mirror_uffd_watch(other, at(p, 0), at(p, 1)), -EINVAL, "watch: nothing is mapped there");
	is_int(mirror_uffd_flush(NULL), -EINVAL, "flush: none");
	is_int(mirror_uffd_destroy(NULL), -EINVAL, "destroy: none");
	is_int(mirror_uffd_destroy(other), 0, "destroy");
	nr_heard = nr_ends = 0;
}

/* ---- slow callbacks, and callbacks that change watched memory ---- */

static struct gate in_callback = GATE_INITIALIZER, go_on = GATE_INITIALIZER;

static void wait_for_gate(void)
{
	gate_open(&in_callback);
	gate_wait(&go_on);
}

static void test_overflow(void)
{
	struct mirror_uffd *u = begin(0);
	char *p = map(2);
	bool is_everything = false;

	mirror_uffd_watch(u, at(p, 0), at(p, 2));
	also = wait_for_gate;
	madvise(p, page, MADV_DONTNEED);
	gate_wait(&in_callback);
	for (int i = 0; i < 2 * MIRROR_UFFD_MAX_EVENTS + 10; i++)
		if (madvise(p, 2 * page, MADV_DONTNEED))
			bail_out("madvise fails");
	ok(true, "slow callbacks stop nobody who changes memory");
	gate_open(&go_on);
	is_int(mirror_uffd_flush(u), 0, "flush");
	for (unsigned i = 1; i < nr_heard; i++)
		is_everything |= heard[i].event == MIRROR_EVENT_UNMAP && heard[i].start == 0 && heard[i].end == 0;
	ok(is_everything && nr_heard < MIRROR_UFFD_MAX_EVENTS + 2 && nr_heard == nr_ends,
	   "events that do not fit become one of the whole address space");
	also = NULL;
	nr_heard = nr_ends = 0;
	mirror_uffd_destroy(u);
	munmap(p, 2 * page);
}

static struct mirror_uffd *its_own;
static char *its_memory;
static int rc_flush, rc_destroy;

static void unmap_here(void)
{
	if (!its_memory)
		return;
	munmap(its_memory, page);
	its_memory = NULL;
	rc_flush = mirror_uffd_flush(its_own);
	rc_destroy = mirror_uffd_destroy(its_own);
}

static void test_callback(void)
{
	char *p = map(1), *q = map(1);

	its_own = begin(0);
	its_memory = q;
	mirror_uffd_watch(its_own, at(p, 0), at(p, 1));
	mirror_uffd_watch(its_own, at(q, 0), at(q, 1));
	also = unmap_here;
	munmap(p, page);
	mirror_uffd_flush(its_own); /* the callback has returned, and so has its munmap */
	ok(mirror_uffd_flush(its_own) == 0 && nr_heard == 2 && heard[1].start == at(q, 0),
	   "a callback that unmaps watched memory does not wait for itself, and is heard");
	is_int(rc_flush, -EDEADLK, "flush in a callback is -EDEADLK");
	is_int(rc_destroy, -EDEADLK, "... and destroy");
	also = NULL;
	nr_heard = nr_ends = 0;
	is_int(mirror_uffd_destroy(its_own), 0, "destroy afterwards");
}

/* ---- a list whose sync refuses ---- */

static atomic_int refusal;

static int refusing_read_lock(void *state)
{
	(void)state;
	return atomic_load(&refusal);
}

static void read_unlock(void *state, int token)
{
	(void)state;
	(void)token;
}

static int write_lock(void *state, uint64_t timeout_ns)
{
	(void)state;
	(void)timeout_ns;
	return 0;
}

static void write_unlock(void *state)
{
	(void)state;
}

static void test_refusal(void)
{
	static const struct mirror_sync sync = {
		.size = sizeof(sync), .name = "refusing", .kind = MIRROR_SYNC_LOCK, .read_lock = refusing_read_lock,
		.read_unlock = read_unlock, .write_lock = write_lock, .write_unlock = write_unlock,
	};
	struct mirror_list_attr attr = { .size = sizeof(attr), .sync = &sync };
	struct mirror_list *refusing;
	struct mirror_uffd *u;
	struct mirror m;
	char *p = map(2);

	if (mirror_list_create(&refusing, &attr) || mirror_register(refusing, &m, &ops) ||
	    mirror_uffd_create(&u, refusing, 0) || mirror_uffd_watch(u, at(p, 0), at(p, 2)))
		bail_out("cannot begin");
	atomic_store(&refusal, -ENOLCK);
	madvise(p, page, MADV_DONTNEED);
	is_int(mirror_uffd_flush(u), -ENOLCK, "flush tells of a sync that refuses");
	atomic_store(&refusal, 0);
	madvise(p + page, page, MADV_DONTNEED);
	is_int(mirror_uffd_flush(u), 0, "... until it does no more");
	ok(nr_heard == 2 && heard[0].start == 0 && heard[0].end == 0 && heard[1].start == at(p, 1),
	   "... and then everything is invalid");
	nr_heard = nr_ends = 0;
	if (mirror_uffd_destroy(u) || mirror_unregister(&m) || mirror_list_destroy(refusing))
		bail_out("cannot end");
	munmap(p, 2 * page);
}

/* ---- forks ---- */

static int nr_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	if (!dir)
		bail_out("cannot look at the descriptors");
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* The child's checks, as bits of its exit status. */
static int in_child(struct mirror_uffd *u, char *p)
{
	int wrong = 0;

	nr_heard = 0;
	wrong |= madvise(p, page, MADV_DONTNEED) || p[0] != 0 || nr_heard ? 1 : 0;
	wrong |= mirror_uffd_flush(u) != -ECHILD || mirror_uffd_watch(u, at(p, 0), at(p, 1)) != -ECHILD ? 2 : 0;
	wrong |= mirror_uffd_destroy(u) ? 4 : 0;
	return wrong;
}

static int fork_status(struct mirror_uffd *u, char *p)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(in_child(u, p));
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return status;
}

/* With no number free for the child's descriptor. */
static void test_full_table(struct mirror_uffd *u, char *p)
{
	enum { FEW = 64 };
	int nr = 0, fds[FEW];
	struct rlimit before, few;

	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = FEW;
	if (setrlimit(RLIMIT_NOFILE, &few))
		bail_out("cannot set a limit");
	while (nr < FEW && (fds[nr] = dup(STDOUT_FILENO)) >= 0)
		nr++;
	is_int(fork_status(u, p), 0, "a fork goes on without a free descriptor");
	ok(hears_one(u, MIRROR_EVENT_PROTECTION, 0, 0), "... and is heard");
	is_int(fork_status(u, p), 0, "... also a second time");
	ok(hears_one(u, MIRROR_EVENT_PROTECTION, 0, 0), "... heard");
	while (nr > 0)
		close(fds[--nr]);
	setrlimit(RLIMIT_NOFILE, &before);
}

static void test_fork(void)
{
	struct mirror_uffd *u = begin(0);
	char *p = map(1);
	int nr, err;

	mirror_uffd_watch(u, at(p, 0), at(p, 1));
	is_int(fork_status(u, p), 0, "the child of a fork: nothing is watched, and it can end");
	ok(mirror_uffd_flush(u) == 0 && nr_heard == 0, "... which the parent does not hear");
	is_int(mirror_uffd_destroy(u), 0, "destroy");
	err = mirror_uffd_create(&u, list, MIRROR_UFFD_FORK);
	if (err == -EPERM) {
		skip(8, "forks are events with CAP_SYS_PTRACE alone");
		munmap(p, page);
		return;
	}
	is_int(err, 0, "forks are events");
	mirror_uffd_watch(u, at(p, 0), at(p, 1));
	mirror_uffd_flush(u);
	nr = nr_descriptors();
	is_int(fork_status(u, p), 0, "a fork goes on");
	ok(hears_one(u, MIRROR_EVENT_PROTECTION, 0, 0), "... and is heard");
	is_int(nr_descriptors(), nr, "... and leaves no descriptor");
	test_full_table(u, p);
	munmap(p, page);
	mirror_uffd_destroy(u);
	nr_heard = nr_ends = 0;
}

/* ---- another process ---- */

static void send_descriptor(int to, int fd, const char *p)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec data = { &p, sizeof(p) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(to, &message, 0) < 0)
		_exit(2);
}

static int receive_descriptor(int from, char **p)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = 0 } };
	struct iovec data = { p, sizeof(*p) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(from, &message, 0) == sizeof(*p) && control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

static void be_other(int to)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	char *p = map(2), byte;

	if (fd < 0)
		_exit(3);
	send_descriptor(to, fd, p);
	if (read(to, &byte, 1) != 1 || munmap(p + page, page))
		_exit(4);
	_exit(write(to, "u", 1) != 1);
}

static void test_other(void)
{
	struct mirror_uffd *u;
	int ends[2], fd, status = -1;
	char *p, byte = 'w';
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		bail_out("cannot make a socket");
	child = fork();
	if (child == 0)
		be_other(ends[1]);
	close(ends[1]);
	fd = receive_descriptor(ends[0], &p);
	is_int(mirror_uffd_adopt(&u, list, 0, fd), 0, "a descriptor of another process is adopted");
	is_int(fcntl(fd, F_GETFD), -1, "... and belongs to the publisher");
	is_int(mirror_uffd_watch(u, at(p, 0), at(p, 2)), 0, "... its memory is watched");
	ok(write(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1 &&
	   hears_one(u, MIRROR_EVENT_UNMAP, at(p, 1), at(p, 2)), "... and its munmap is heard");
	waitpid(child, &status, 0);
	is_int(status, 0, "it ends, watched");
	is_int(mirror_uffd_unwatch(u, at(p, 0), at(p, 1)), -ENOMEM, "... and is gone");
	is_int(mirror_uffd_destroy(u), 0, "destroy");
	close(ends[0]);
}

int main(void)
{
	struct mirror_uffd *u;
	int err;

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	if (mirror_list_create(&list, NULL) || mirror_register(list, &listener, &ops))
		bail_out("cannot create a list");
	err = mirror_uffd_create(&u, list, 0);
	if (err == -ENOSYS || err == -EPERM || err == -EOPNOTSUPP)
		skip_all("userfaultfd: %s", mirror_strerror(err, "mirror_uffd_create"));
	is_int(err, 0, "create");
	is_int(mirror_uffd_destroy(u), 0, "destroy, with nothing watched");
	test_changes();
	test_errors();
	test_overflow();
	test_callback();
	test_refusal();
	test_fork();
	test_other();
	if (mirror_unregister(&listener))
		bail_out("cannot unregister");
	is_int(mirror_list_destroy(list), 0, "nothing is left behind");
	return done_testing();
}
