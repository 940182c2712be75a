/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Files that the user names for output; output.h describes what happens to which kind. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../measure/bench.h"

static const char *advice(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return "make its directory, or name another file";
	case EISDIR:
		return "name a file in it";
	case EACCES:
	case EPERM:
	case EROFS:
		return "name a file that you may write";
	case ENOSPC:
	case EDQUOT:
		return "make room there, or name another file";
	case EFBIG:
		return "raise the limit (ulimit -f), or name another file";
	case EPIPE:
		return "the program that reads it ended too early";
	case EBADF:
		return "do not close it";
	default:
		return "name another file";
	}
}

static int complain(const char *name, int err)
{
	bench_complain("cannot write %s: %s: %s", name, strerror(err), advice(err));
	return 1;
}

/* What @name leads to: also a file that does not exist yet, behind a link that does. */
static int follow(const char *name, char *target)
{
	enum { MOST_LINKS = 40 };
	char link[PATH_MAX];

	if ((size_t)snprintf(target, PATH_MAX, "%s", name) >= PATH_MAX)
		return ENAMETOOLONG;
	for (int i = 0; i < MOST_LINKS; i++) {
		ssize_t length = readlink(target, link, sizeof(link));
		char *slash = strrchr(target, '/');
		size_t room;

		if (length < 0)
			return errno == EINVAL || errno == ENOENT ? 0 : errno;
		if (length == sizeof(link))
			return ENAMETOOLONG;
		link[length] = '\0';
		/* A relative link begins where the link is. */
		if (link[0] == '/' || !slash)
			slash = target;
		else
			slash++;
		room = PATH_MAX - (size_t)(slash - target);
		if ((size_t)snprintf(slash, room, "%s", link) >= room)
			return ENAMETOOLONG;
	}
	return ELOOP;
}

/* Whether @fd takes @bytes more; what was reserved is not kept. */
static int reserve(int fd, size_t bytes)
{
	int err = bytes > 0 ? posix_fallocate(fd, 0, (off_t)bytes) : 0;

	/* A file system that cannot reserve says nothing about its room. */
	return err == EOPNOTSUPP || err == EINVAL || err == ENOSYS ? 0 : err;
}

/* The name beside the target that is complete before it takes the target's place. */
static int open_partial(const struct output *output, mode_t mode)
{
	int fd = open(output->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	/* The mode of the file that is replaced, and not what the umask makes of a new one. */
	if (fd >= 0 && mode != 0 && fchmod(fd, mode & 07777) < 0) {
		int err = errno;

		close(fd);
		unlink(output->partial);
		errno = err;
		return -1;
	}
	return fd;
}

/* The same file by another name, or another user's: a new file in its place would not be it. */
static bool must_stay(const struct stat *old)
{
	return old->st_nlink > 1 || old->st_uid != geteuid();
}

/* Nothing of an existing file changes yet. */
static int prepare_regular(struct output *output, const struct stat *old, size_t bytes)
{
	bool there = old->st_mode != 0;
	int fd = -1, err;

	snprintf(output->partial, sizeof(output->partial), "%s.%ld.partial", output->target, (long)getpid());
	if (!there || !must_stay(old))
		fd = open_partial(output, old->st_mode);
	if (fd >= 0) {
		output->how = OUTPUT_BESIDE;
		err = reserve(fd, bytes);
		close(fd);
		unlink(output->partial);
		return err;
	}
	/* Its directory takes no new file, or the name has no room for more letters. */
	output->how = OUTPUT_IN_PLACE;
	fd = open(output->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno;
	close(fd);
	if (!there)
		unlink(output->target);
	return 0;
}

static int prepare_special(struct output *output)
{
	output->how = OUTPUT_OPEN;
	output->fd = open(output->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (output->fd < 0)
		return errno;
	/* Of no bytes nothing is written, but a device that takes none says so. */
	if (write(output->fd, "", 0) < 0) {
		int err = errno;

		close(output->fd);
		return err;
	}
	return 0;
}

/* A pipe that standard output leads to as well, as /dev/stdout does, would mix with the text there. */
static bool is_stdout(const struct stat *st)
{
	struct stat out;

	return !S_ISCHR(st->st_mode) && fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == st->st_dev &&
	       out.st_ino == st->st_ino;
}

static int prepare(struct output *output, const char *name, size_t bytes)
{
	struct stat st = { 0 };
	int err;

	output->how = OUTPUT_STDOUT;
	if (strcmp(name, "-") == 0)
		return fstat(STDOUT_FILENO, &st) < 0 || write(STDOUT_FILENO, "", 0) < 0 ? errno : 0;
	if (name[0] == '\0')
		return ENOENT;
	if (stat(name, &st) < 0 && errno != ENOENT)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (st.st_mode != 0 && is_stdout(&st))
		return 0;
	if (st.st_mode != 0 && !S_ISREG(st.st_mode))
		return prepare_special(output);
	err = follow(name, output->target);
	return err ? err : prepare_regular(output, &st, bytes);
}

int output_prepare(struct output *output, const char *name, size_t bytes)
{
	int err;

	output->name = strcmp(name, "-") == 0 ? "standard output" : name;
	output->fd = -1;
	err = prepare(output, name, bytes);
	return err ? complain(name, err) : 0;
}

bool output_is_stdout(const struct output *output)
{
	return output->how == OUTPUT_STDOUT;
}

FILE *output_begin(struct output *output)
{
	struct stat old = { 0 };
	int fd = output->fd, err;
	FILE *file;

	if (output->how == OUTPUT_STDOUT)
		return stdout;
	if (output->how == OUTPUT_BESIDE) {
		if (stat(output->target, &old) < 0)
			old.st_mode = 0;
		fd = open_partial(output, old.st_mode);
	} else if (output->how == OUTPUT_IN_PLACE) {
		fd = open(output->target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	}
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (file)
		return file;
	err = errno;
	if (fd >= 0)
		close(fd);
	complain(output->name, err);
	return NULL;
}

/* The first error of @file, or 0. */
static int error_of(FILE *file)
{
	if (fflush(file) != 0)
		return errno;
	/* What failed earlier has left no reason. */
	return ferror(file) ? EIO : 0;
}

int output_end(struct output *output, FILE *file)
{
	int err = error_of(file);

	if (output->how == OUTPUT_STDOUT) {
		/* Said once: at the program's end it is not said again. */
		clearerr(file);
		return err ? complain(output->name, err) : 0;
	}
	/* Some file systems find out that they are full only here; what is no file has nothing to sync. */
	if (!err && fsync(fileno(file)) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
		err = errno;
	if (fclose(file) != 0 && !err)
		err = errno;
	if (output->how == OUTPUT_BESIDE) {
		if (!err && rename(output->partial, output->target) < 0)
			err = errno;
		if (err)
			unlink(output->partial);
	}
	output->fd = -1;
	return err ? complain(output->name, err) : 0;
}

int output_check(FILE *file, const char *name)
{
	int err = error_of(file);

	return err ? complain(name, err) : 0;
}
