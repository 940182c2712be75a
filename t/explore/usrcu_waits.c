/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Scenarios over src/usrcu.c: cookies, sleep and wake, what fails or interrupts. */

#include "usrcu_scenarios.h"
#include "usrcu_impl.h"

/* ---- cookies ---- */

/* Poll until the object may be freed, while somebody else's grace periods come and go. */
static void retire_by_cookie(void)
{
	struct object *old = load_relaxed(&object);
	usrcu_cookie_t cookie;

	store_relaxed(&object, NULL);
	cookie = usrcu_get_state(domain);
	while (!usrcu_poll_state(domain, cookie))
		port_relax();
	port_free(old);
}

static void retire_by_start_poll(void)
{
	struct object *old = load_relaxed(&object);
	usrcu_cookie_t cookie;

	store_relaxed(&object, NULL);
	cookie = usrcu_start_poll(domain);
	x_assert(usrcu_cond_synchronize(domain, cookie) == 0);
	port_free(old);
}

static void synchronize(void)
{
	x_assert(usrcu_synchronize(domain) == 0);
}

/* Looks once, and may find the grace period of another thread over. */
static void poll_once(void)
{
	struct object *old = load_relaxed(&object);
	usrcu_cookie_t cookie;

	store_relaxed(&object, NULL);
	cookie = usrcu_get_state(domain);
	x_yield();
	if (usrcu_poll_state(domain, cookie))
		port_free(old);
	else
		kept = old;
}

/* A grace period of another thread, as far as it comes. */
static void step_once(void)
{
	usrcu_poll_state(domain, usrcu_start_poll(domain));
}

static void poll_reader(void)
{
	int token = usrcu_read_lock(domain);

	note[2] = !load_relaxed(&note[0]);
	store_relaxed(&note[1], 1);
	usrcu_read_unlock(domain, token);
}

/* What the section did is seen by who learns of the grace period by polling alone. */
static void poll_updater(void)
{
	usrcu_cookie_t cookie;

	store_relaxed(&note[0], 1);
	cookie = usrcu_get_state(domain);
	while (!usrcu_poll_state(domain, cookie))
		port_relax();
	note[3] = load_relaxed(&note[1]);
}

static void poll_check(void)
{
	x_assert(!note[2] || note[3]);
	destroyed();
}

/* The first threads have sections open since before the cookie was taken; in these they have found the object. */
static int open_token[2];
static usrcu_cookie_t open_cookie;
static struct object *open_object;

static void open_first(int nr)
{
	int token = usrcu_read_lock(domain);

	open_object = object;
	if (x_self() < nr) {
		open_token[x_self()] = token;
		open_cookie = usrcu_get_state(domain);
	} else {
		usrcu_read_unlock(domain, token);
	}
}

static void open_section(void)
{
	open_first(1);
}

static void open_sections(void)
{
	open_first(2);
}

static void end_section(void)
{
	use(open_object);
	usrcu_read_unlock(domain, open_token[x_self()]);
}

static void use_plainly(void)
{
	open_object->b[0] = 1;
	usrcu_read_unlock(domain, open_token[0]);
}

static void use_and_synchronize(void)
{
	use_plainly();
	synchronize();
}

/* Begins the next grace period. */
static void start_poll(void)
{
	usrcu_start_poll(domain);
}

/* Moves no grace period on: it only learns that one is over, from whichever word it reads. */
static void free_if_over(void)
{
	if (!usrcu_is_over_(domain, open_cookie))
		return;
	port_free(object);
	object = NULL;
}

/* A cookie that is true is a full fence. */
static void cookie_over(void)
{
	one_domain();
	open_cookie = usrcu_get_state(domain);
	x_assert(usrcu_synchronize(domain) == 0);
}

static void store_poll_load(void)
{
	store_relaxed(&note[0], 1);
	x_assert(usrcu_poll_state(domain, open_cookie));
	note[2] = load_relaxed(&note[1]);
}

static void store_fence_load(void)
{
	store_relaxed(&note[1], 1);
	fence_full();
	note[3] = load_relaxed(&note[0]);
}

static void one_store_seen(void)
{
	x_assert(note[2] || note[3]);
	destroyed();
}

/* A section that began before the cookie was taken is waited for by who only sees the cookie. */
static uint64_t cookie_sent;

static void cookie_sender(void)
{
	store_relaxed(&object, NULL);
	store_release(&cookie_sent, usrcu_get_state(domain));
}

static struct object *sent;

static void cookie_setup(void)
{
	one_domain();
	sent = object;
}

static void cookie_receiver(void)
{
	wait_for(&cookie_sent);
	while (!usrcu_poll_state(domain, load_relaxed(&cookie_sent)))
		port_relax();
	port_free(sent);
}

/* ---- sleep and wake ---- */

static void retire_mine(void)
{
	struct object *mine = port_alloc(sizeof(*mine)), *old = unpublish(mine);

	x_assert(usrcu_synchronize(domain) == 0);
	port_free(old);
}

static void spin_then_sleep(void)
{
	retire_once();
}

/* ---- timeouts ---- */

static void retire_in_time(void)
{
	struct object *old = load_relaxed(&object);
	int rc;

	store_relaxed(&object, NULL);
	rc = usrcu_synchronize_timeout(domain, 1000);
	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc)
		rc = usrcu_synchronize(domain);
	x_assert(rc == 0);
	port_free(old);
}

static void retire_or_keep(void)
{
	struct object *mine = port_alloc(sizeof(*mine)), *old = unpublish(mine);
	int rc = usrcu_synchronize_timeout(domain, 1000);

	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc == 0)
		port_free(old);
	else
		kept = old;
}

/* ---- membarrier refused later ---- */

static void retire_if_possible(void)
{
	struct object *old = load_relaxed(&object);
	int rc;

	store_relaxed(&object, NULL);
	rc = usrcu_synchronize(domain);
	x_assert(rc == 0 || rc == -EPERM);
	if (rc == 0)
		port_free(old);
	else
		kept = old;
}

static void poll_if_possible(void)
{
	usrcu_cookie_t cookie = usrcu_start_poll(domain);

	for (int i = 0; i < 2; i++)
		if (usrcu_poll_state(domain, cookie))
			return;
}

/* The domain stays, since what it cannot check may be busy. */
static void check_denied(void)
{
	int rc;

	port_free(object);
	port_free(kept);
	rc = usrcu_destroy(domain);
	x_assert(rc == 0 || rc == -EPERM);
}

/* ---- signals ---- */

static void handler(void)
{
	one_section();
}

static void handler_nested(void)
{
	int outer = usrcu_read_lock(domain);

	one_section();
	usrcu_read_unlock(domain, outer);
}

static void handler_handed(void)
{
	int token = usrcu_down_read(domain);

	use(load_acquire(&object));
	usrcu_up_read(domain, token);
}

/* One that the handler leaves open, and that another thread ends. */
static int lent = -1;

static void handler_lends(void)
{
	lent = usrcu_down_read(domain);
}

static void lent_ended(void)
{
	if (lent >= 0)
		usrcu_up_read(domain, lent);
	destroyed();
}

const struct x_scenario x_scenarios[] = {
	{ USRCU, .name = "usrcu-cookie", .claim = "S6: a cookie is not true early (G, H)",
	  .setup = one_domain, .thread = { one_section, retire_by_cookie, synchronize },
	  .check = destroyed, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-cookie-once", .claim = "S6: nor when it is polled once",
	  .setup = one_domain, .thread = { one_section, poll_once, synchronize },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-cookie-fenced", .claim = "S6, S8: nor with full fences (G, H)",
	  .setup = fenced_domain, .thread = { one_section, poll_once, synchronize },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-cookie-steps-fenced", .claim = "S6, S8: nor beside steps of another thread's (G, H)",
	  .setup = fenced_domain, .thread = { one_section, poll_once, step_once },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .prepare = open_section, .name = "usrcu-cookie-begun",
	  .claim = "S6: nor beside one that another thread begins (C, G, H)",
	  .setup = one_domain, .thread = { end_section, poll_once, start_poll },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-cookie-sent", .claim = "S6: nor in another thread",
	  .setup = cookie_setup, .thread = { one_section, cookie_sender, cookie_receiver },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .name = "usrcu-start-poll", .claim = "S6: start_poll, then cond_synchronize",
	  .setup = one_domain, .thread = { one_section, retire_by_start_poll },
	  .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-poll", .claim = "S2: a section's work is seen by who polls (I, J)",
	  .setup = one_domain, .thread = { poll_reader, poll_updater, synchronize },
	  .check = poll_check, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-poll-two", .claim = "S2: two readers, and a grace period that is polled once (A, C)",
	  .setup = one_domain, .thread = { one_section, one_section, poll_once }, .check = destroyed,
	  .quick = 2, .full = 5 },
	{ USRCU, .name = "usrcu-poll-two-fenced", .claim = "S2, S8: the same with full fences",
	  .setup = fenced_domain, .thread = { one_section, one_section, poll_once }, .check = destroyed,
	  .quick = 2, .full = 5 },
	{ USRCU, .prepare = open_section, .name = "usrcu-learn",
	  .claim = "S2: nor by who only learns that it is over (D, I)", .setup = one_domain,
	  .thread = { use_plainly, synchronize, free_if_over }, .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .prepare = open_section, .name = "usrcu-learn-next",
	  .claim = "S2, S8: nor from the beginning of the next one (G)", .setup = fenced_domain,
	  .thread = { use_and_synchronize, start_poll, free_if_over }, .check = destroyed, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-poll-fence", .claim = "S6: a cookie that is true is a full fence (J)",
	  .setup = cookie_over, .thread = { store_poll_load, store_fence_load }, .check = one_store_seen,
	  .quick = 4, .full = 8 },
	{ USRCU_WITH(X_SPURIOUS), .name = "usrcu-sleep", .claim = "no sleeper is left behind (E, F)",
	  .setup = one_domain, .thread = { two_sections, retire_once }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_SPURIOUS), .name = "usrcu-sleep-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { two_sections, retire_once }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-sleep-two", .claim = "nor with two readers to wait for",
	  .setup = one_domain, .thread = { one_section, one_section, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .name = "usrcu-two-synchronizers", .claim = "nor when another ends the grace period",
	  .setup = one_domain, .thread = { one_section, retire_mine, synchronize },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU, .prepare = open_sections, .name = "usrcu-sleep-ends",
	  .claim = "nor with two whose sections are open (E, F)", .setup = one_domain,
	  .thread = { end_section, end_section, retire_once }, .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU, .prepare = open_sections, .name = "usrcu-sleep-ends-fenced", .claim = "S8: the same with full fences",
	  .setup = fenced_domain, .thread = { end_section, end_section, retire_once },
	  .check = destroyed, .quick = 3, .full = 6 },
	{ USRCU_WITH(X_SPINS | X_IMPATIENT), .name = "usrcu-spin", .claim = "nor after it has spun",
	  .setup = one_domain, .thread = { two_sections, spin_then_sleep },
	  .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_TIMEOUTS), .name = "usrcu-timeout", .claim = "S2: a timeout, then the rest",
	  .setup = one_domain, .thread = { two_sections, retire_in_time },
	  .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_TIMEOUTS), .name = "usrcu-timeout-two", .claim = "S2: a timeout beside another grace period",
	  .setup = one_domain, .thread = { one_section, retire_or_keep, synchronize },
	  .check = destroyed, .quick = 3, .full = 5 },
	{ USRCU_WITH(X_MEMBARRIER_DIES), .name = "usrcu-membarrier-fails",
	  .claim = "S8: refused later: an error, nothing freed early", .setup = one_domain,
	  .thread = { two_sections, retire_if_possible }, .check = check_denied, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_MEMBARRIER_DIES), .name = "usrcu-membarrier-polls",
	  .claim = "S8: the same beside a poller", .setup = one_domain,
	  .thread = { one_section, retire_if_possible, poll_if_possible }, .check = check_denied,
	  .quick = 2, .full = 4 },
	{ USRCU_WITH(X_NO_MEMBARRIER), .name = "usrcu-membarrier-missing",
	  .claim = "S8: missing from the start: full fences", .setup = one_domain,
	  .thread = { two_sections, retire_once }, .check = destroyed, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-signal", .claim = "S1: a handler's section anywhere in another one",
	  .setup = one_domain, .thread = { one_section, retire_once }, .check = destroyed,
	  .signal = handler, .signal_threads = 1, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-signal-fenced", .claim = "S1, S8: the same with full fences",
	  .setup = fenced_domain, .thread = { one_section, retire_once }, .check = destroyed,
	  .signal = handler, .signal_threads = 1, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-signal-handed", .claim = "S1, S4: a handed-over one",
	  .setup = one_domain, .thread = { handler_handed, retire_once }, .check = destroyed,
	  .signal = handler_handed, .signal_threads = 1, .quick = 4, .full = 8 },
	{ USRCU, .name = "usrcu-signal-lends", .claim = "S1, S4: one that the handler leaves open",
	  .setup = one_domain, .thread = { handler_handed }, .check = lent_ended,
	  .signal = handler_lends, .signal_threads = 1, .quick = 4, .full = 8 },
	{ USRCU_WITH(X_ALLOC_FAILS), .prepare = NULL, .name = "usrcu-signal-first",
	  .claim = "S1: a handler in its thread's first use", .setup = one_domain,
	  .thread = { one_section, retire_once }, .check = destroyed, .signal = handler_nested,
	  .signal_threads = 1, .quick = 3, .full = 5 },
	{ USRCU, .prepare = NULL, .name = "usrcu-signal-claims",
	  .claim = "S1: the same beside another thread's first use", .setup = one_domain,
	  .thread = { one_section, retire_once, one_section }, .check = destroyed, .signal = handler,
	  .signal_threads = 1, .quick = 2, .full = 4 },
	{ USRCU, .name = "usrcu-signal-updater", .claim = "S1: a handler in synchronize",
	  .setup = one_domain, .thread = { one_section, retire_once }, .check = destroyed,
	  .signal = handler, .signal_threads = 2, .quick = 4, .full = 8 },
	{ .name = NULL },
};
