/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu in C++'s ends (S1): thread_local and static destructors, atexit, and after main has
 * returned, while other threads read on.
 *
 * What happens at the end of a process is tried in one: this program again with the case's name.
 */
#include "tap.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <mirror/usrcu.h>

namespace {

usrcu *domain;
const char *child_case;
int nr_reports;

void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "# %s\n", what);
	_exit(1);
}

void report(void *, const char *text)
{
	__atomic_fetch_add(&nr_reports, 1, __ATOMIC_SEQ_CST);
	diag("%s", text);
}

usrcu *new_domain()
{
	usrcu_attr attr = usrcu_attr();
	usrcu *d = nullptr;

	attr.size = sizeof(attr);
	attr.report = report;
	if (usrcu_create(&d, &attr) != 0)
		bail_out("usrcu_create");
	return d;
}

/* ---- thread_local ---- */

struct reader {
	int token;

	reader() : token(-1) {}
	void begin() { token = usrcu_read_lock(domain); }
	~reader()
	{
		/* The last use if it has begun one, else the first. */
		int other = usrcu_read_lock(domain);

		if (token >= 0)
			usrcu_read_unlock(domain, token);
		usrcu_read_unlock(domain, other);
	}
};

thread_local reader my_reader;

void *read_to_the_end(void *)
{
	my_reader.begin();
	return nullptr;
}

void *read_at_the_end(void *)
{
	return &my_reader; /* makes it */
}

void in_thread_locals(const char *claim, void *(*run)(void *))
{
	domain = new_domain();
	for (int i = 0; i < 100; i++) {
		pthread_t thread;

		if (pthread_create(&thread, nullptr, run, nullptr) != 0)
			bail_out("pthread_create");
		pthread_join(thread, nullptr);
	}
	ok(usrcu_synchronize_timeout(domain, UINT64_C(20000000000)) == 0 && nr_reports == 0, "%s", claim);
	is_int(usrcu_destroy(domain), 0, "S11: ... and the domain can be destroyed");
}

/* ---- the end of the process ---- */

void nothing(usrcu_head *)
{
}

void use_everything()
{
	static usrcu_head head; /* has no destructor */
	usrcu *other = nullptr;

	usrcu_read_unlock(domain, usrcu_read_lock(domain));
	must(usrcu_synchronize(domain) == 0, "synchronize");
	must(usrcu_call(domain, &head, nothing) == 0 && usrcu_barrier(domain) == 0, "call and barrier");
	must(usrcu_create(&other, nullptr) == 0 && usrcu_synchronize(other) == 0, "create");
	must(usrcu_destroy(other) == 0, "destroy");
}

void say(const char *where)
{
	if (write(STDOUT_FILENO, where, strlen(where)) < 0)
		_exit(2);
}

void at_exit()
{
	use_everything();
	say("atexit ");
}

struct at_end {
	~at_end()
	{
		if (!child_case)
			return;
		use_everything();
		say("static ");
	}
};

at_end ends_last;

__attribute__((destructor)) void after_all()
{
	if (!child_case)
		return;
	use_everything();
	say("destructor ");
}

gate reading = GATE_INITIALIZER;

/* Until the process is gone. */
void *read_on(void *)
{
	for (;;) {
		usrcu_read_unlock(domain, usrcu_read_lock(domain));
		gate_open(&reading);
	}
	return nullptr;
}

int end_of(const char *name)
{
	pthread_t thread;

	child_case = name;
	domain = new_domain();
	atexit(at_exit);
	alarm(20);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread, nullptr, read_on, nullptr) != 0)
			bail_out("pthread_create");
	gate_wait(&reading);
	if (strcmp(name, "exit") == 0)
		exit(0);
	if (strcmp(name, "thread") == 0) {
		/* The main thread ends before the others do; the last to go runs what exit runs. */
		pthread_create(&thread, nullptr, [](void *) -> void * { exit(0); }, nullptr);
		pthread_exit(nullptr);
	}
	return 0;
}

void at_the_end_of_a_process(const char *name, const char *claim)
{
	char said[256] = "";
	int fds[2], status = -1;
	size_t length = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		bail_out("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/proc/self/exe", "exit_cxx", name, static_cast<char *>(nullptr));
		_exit(127);
	}
	close(fds[1]);
	while (length + 1 < sizeof(said) && (n = read(fds[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += static_cast<size_t>(n);
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (!ok(status == 0 && strcmp(said, "atexit static destructor ") == 0, "%s", claim))
		diag("status %x: %s", status, said);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc > 1)
		return end_of(argv[1]);
	in_thread_locals("S1: a thread_local destructor ends a section", read_to_the_end);
	in_thread_locals("S1: a thread's first use is in a thread_local destructor", read_at_the_end);
	at_the_end_of_a_process("return", "S1: main has returned while others read: atexit, static destructors and later");
	at_the_end_of_a_process("exit", "S1: exit() while others read: the same");
	at_the_end_of_a_process("thread", "S1: the main thread has ended, another one calls exit()");
	return done_testing();
}
