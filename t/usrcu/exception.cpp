/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A callback of usrcu_call that does not come back: it throws, or ends its thread.  It counts as
 * returned (S7), and nothing else of the domain is lost.
 */
#include "tap.h"

#include <stdexcept>

#include <mirror/usrcu.h>

namespace {

usrcu *domain;
int nr_ran;
gate running;

void count(usrcu_head *)
{
	__atomic_fetch_add(&nr_ran, 1, __ATOMIC_SEQ_CST);
}

void throws(usrcu_head *head)
{
	count(head);
	throw std::runtime_error("callback");
}

void exits(usrcu_head *head)
{
	count(head);
	pthread_exit(head);
}

void open_gate(usrcu_head *)
{
	gate_open(&running);
}

int cancel_state()
{
	int state, unused;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_setcancelstate(state, &unused);
	return state;
}

void fresh(unsigned flags)
{
	usrcu_attr attr = usrcu_attr();

	attr.size = sizeof(attr);
	attr.flags = flags;
	nr_ran = 0;
	if (usrcu_create(&domain, &attr) != 0)
		bail_out("usrcu_create");
}

/* How the call went: 1: an exception came out of it; else what it returned. */
int outcome(int (*call)(usrcu *))
{
	try {
		return call(domain);
	} catch (const std::runtime_error &) {
		return 1;
	}
}

void *call_it(void *call)
{
	reinterpret_cast<int (*)(usrcu *)>(call)(domain);
	return nullptr;
}

/* The thread's result: NULL if the call returned. */
void *in_a_thread(int (*call)(usrcu *))
{
	void *result = nullptr;
	pthread_t thread;

	if (pthread_create(&thread, nullptr, call_it, reinterpret_cast<void *>(call)) != 0)
		bail_out("pthread_create");
	pthread_join(thread, &result);
	return result;
}

void goes_on(const char *name)
{
	usrcu_head head;

	is_int(usrcu_barrier(domain), 0, "S7: %s: the next barrier runs the rest of the batch", name);
	is_int(nr_ran, 4, "S7: %s: ... each ran once", name);
	is_int(usrcu_call(domain, &head, count), 0, "S7: %s: call", name);
	is_int(usrcu_barrier(domain), 0, "S7: %s: barrier", name);
	is_int(nr_ran, 5, "S7: %s: ... ran it", name);
	is_int(usrcu_synchronize(domain), 0, "S2: %s: synchronize", name);
	is_int(usrcu_destroy(domain), 0, "S11: %s: destroy", name);
}

void in_callers(const char *name, int (*call)(usrcu *))
{
	usrcu_head heads[4];
	int before;

	for (int state = 0; state < 2; state++) {
		pthread_setcancelstate(state ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE, &before);
		fresh(0);
		for (int i = 0; i < 4; i++)
			usrcu_call(domain, &heads[i], i == 1 || i == 2 ? throws : count);
		is_int(outcome(call), 1, "S7: %s: an exception of a callback comes out", name);
		is_int(nr_ran, 2, "S7: %s: ... those after it have not run", name);
		is_int(outcome(call), 1, "S7: %s: so does the next one's", name);
		is_int(cancel_state(), state ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE,
		       "S7: %s: the thread's cancellation is as it was", name);
		goes_on(name);
	}
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);

	fresh(0);
	for (int i = 0; i < 4; i++)
		usrcu_call(domain, &heads[i], i == 1 || i == 2 ? exits : count);
	ok(in_a_thread(call) == &heads[1], "S7: %s: a callback ends its thread", name);
	is_int(nr_ran, 2, "S7: %s: ... those after it have not run", name);
	ok(in_a_thread(call) == &heads[2], "S7: %s: so does the next one", name);
	goes_on(name);
}

/* An exception that leaves a thread ends the program, in the worker too; pthread_exit ends the worker. */
void in_the_worker()
{
	usrcu_head heads[4], first;

	fresh(USRCU_WORKER);
	gate_init(&running);
	usrcu_call(domain, &first, open_gate);
	gate_wait(&running); /* the worker runs */
	for (int i = 0; i < 4; i++)
		usrcu_call(domain, &heads[i], i == 1 ? exits : count);
	goes_on("worker");

	/* Nobody calls barrier before destroy. */
	fresh(USRCU_WORKER);
	gate_init(&running);
	usrcu_call(domain, &first, open_gate);
	gate_wait(&running);
	usrcu_call(domain, &heads[0], exits);
	is_int(usrcu_barrier(domain), 0, "S7: worker: barrier for a callback that ends it");
	is_int(nr_ran, 1, "S7: worker: ... it ran");
	is_int(usrcu_destroy(domain), 0, "S11: worker: destroy without one");
}

} // namespace

int main()
{
	in_callers("barrier", usrcu_barrier);
	in_callers("run_callbacks", usrcu_run_callbacks);
	in_the_worker();
	return done_testing();
}
