/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Waiting for grace periods, polling them, and the cookies that name them.  The algorithm, the proof and the
 * barriers are explained at the top of src/usrcu.c.
 */

#include "usrcu_impl.h"

#include <errno.h>

/* How often a sleeper asks whether the threads that it waits for still live. */
#ifndef QUESTION_NS
#define QUESTION_NS 1000000000
#endif

/* ---- sleeping ---- */

/* Ask the readers to wake, look once more, sleep.  1: over; 0: look again; -ETIMEDOUT or another -errno. */
static int sleep_on_readers(struct usrcu *d, usrcu_cookie_t cookie, uint64_t deadline_ns)
{
	uint32_t seen = event_prepare(&d->event), asked = 0, ask;
	uint64_t lease_ns;
	int rc = usrcu_advance_or_lease_(d, cookie, &lease_ns);

	while (rc == 0 && !lease_ns && asked != (ask = usrcu_awaited_(load_acquire(&d->gp)))) {
		asked = ask;
		fetch_or(&d->head.waiting, asked); /* another sleeper may have asked for the other index */
		/* F (pairs with E): a reader that does not see waiting is seen to have ended. */
		rc = fence_heavy_unless(SLEEP_NO_FENCE, d->membarrier);
		if (rc == 0)
			rc = usrcu_advance_or_lease_(d, cookie, &lease_ns);
	}
	if (rc)
		return rc;
	/* The holder of a lease wakes us if it ends the grace period; it need not, if it has lost its CPU. */
	return event_wait(&d->event, seen, lease_ns && lease_ns < deadline_ns ? lease_ns : deadline_ns);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int usrcu_wait_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns)
{
	uint64_t spin_end = 0, question = 0;
	int rc;

	for (;;) {
		rc = usrcu_advance_(d, cookie);
		if (rc)
			return rc < 0 ? rc : 0;
		if (!spin_end)
			spin_end = earlier(port_deadline(spin_ns), deadline_ns);
		if (port_spin(spin_end))
			continue;
		if (port_now_ns() >= question) {
			usrcu_report_ended_(d);
			question = port_deadline(QUESTION_NS);
		}
		usrcu_report_stall_(d);
		rc = sleep_on_readers(d, cookie, earlier(deadline_ns, earlier(question, usrcu_late_at_(d))));
		if (rc == -ETIMEDOUT && (deadline_ns == PORT_FOREVER || port_now_ns() < deadline_ns))
			rc = 0;
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

/* ---- the public face of the grace period ---- */

usrcu_cookie_t usrcu_get_state(struct usrcu *d)
{
	uint64_t gp;

	unless(COOKIE_NO_FENCE, fence_full()); /* H (pairs with C): what the caller retired comes before the load of gp */
	gp = load_acquire(&d->gp);
	return (gp & GP_NUMBER) + GP_ONE + (usrcu_needed_(gp) ? broken_if(COOKIE_EARLY, 0, GP_ONE) : 0);
}

usrcu_cookie_t usrcu_start_poll(struct usrcu *d)
{
	usrcu_cookie_t cookie = usrcu_get_state(d);

	usrcu_poll_state(d, cookie);
	return cookie;
}

bool usrcu_poll_state(struct usrcu *d, usrcu_cookie_t cookie)
{
	if (usrcu_is_over_(d, cookie) || usrcu_advance_(d, cookie) == 1)
		return true;
	usrcu_report_stall_(d);
	return false;
}

static int synchronize(struct usrcu *d, usrcu_cookie_t cookie, uint64_t spin_ns, uint64_t deadline_ns)
{
	return usrcu_in_section_(d) ? -EDEADLK : usrcu_wait_(d, cookie, spin_ns, deadline_ns);
}

int usrcu_synchronize(struct usrcu *d)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_SPIN_NS, PORT_FOREVER) : -EINVAL;
}

int usrcu_synchronize_expedited(struct usrcu *d)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_EXPEDITED_SPIN_NS, PORT_FOREVER) : -EINVAL;
}

int usrcu_synchronize_timeout(struct usrcu *d, uint64_t timeout_ns)
{
	return d ? synchronize(d, usrcu_get_state(d), USRCU_SPIN_NS, port_deadline(timeout_ns)) : -EINVAL;
}

int usrcu_await_(struct usrcu *d, usrcu_cookie_t cookie, uint64_t deadline_ns)
{
	return usrcu_is_over_(d, cookie) ? 0 : synchronize(d, cookie, USRCU_SPIN_NS, deadline_ns);
}

int usrcu_cond_synchronize(struct usrcu *d, usrcu_cookie_t cookie)
{
	return d ? usrcu_await_(d, cookie, PORT_FOREVER) : -EINVAL;
}
