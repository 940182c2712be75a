/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* For tests of usrcu that need a process of their own: to refuse it system calls, or to see it stop. */
#ifndef MIRROR_USRCU_SECCOMP_H
#define MIRROR_USRCU_SECCOMP_H

#include "usrcu_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define ANY UINT32_MAX

#define must(condition) ((condition) ? (void)0 : bail_out("line %d: %s", __LINE__, #condition))

/* From now on the call fails with err in every thread, or only where its first argument is command. */
static inline void refuse(uint32_t call, uint32_t command, uint32_t err)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, command, 0, command == ANY ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		bail_out("seccomp: %s", strerror(errno));
}

/* Runs this program again with one argument; its status, and what it wrote. */
static inline int run_again(const char *program, const char *argument, char *said, size_t size)
{
	size_t length = 0;
	int fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	if (pipe(fds) != 0)
		bail_out("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", program, argument, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while (length + 1 < size && (n = read(fds[0], said + length, size - 1 - length)) > 0)
		length += (size_t)n;
	said[length] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	return status;
}

#endif /* MIRROR_USRCU_SECCOMP_H */
