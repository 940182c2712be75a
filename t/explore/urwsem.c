/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Scenarios over src/urwsem.c and src/urwsem_queue.c.
 *
 * What the semaphore guards are two numbers that a writer makes differ for a moment.  That no
 * wake-up is lost needs no check of its own: a thread that sleeps for ever is a deadlock.
 */
#include <errno.h>
#include "port.h"
#include "urwsem_impl.h"

static struct urwsem sem;
static uint64_t half[2];                /* equal, but for inside a writer's section */
static uint64_t nr_writes;
static uint64_t flag[2];

/* ---- sections ---- */

static void write_halves(void)
{
	uint64_t value = load_relaxed(&half[0]) + 1;

	store_relaxed(&half[0], value);
	x_assert(load_relaxed(&half[1]) == value - 1);
	store_relaxed(&half[1], value);
	nr_writes++;
}

static void read_halves(void)
{
	uint64_t first = load_relaxed(&half[0]);

	x_assert(load_relaxed(&half[1]) == first);
	x_assert(nr_writes <= 4); /* plainly, so that a race with a writer shows */
}

static void reader(void)
{
	x_assert(urwsem_down_read(&sem) == 0);
	read_halves();
	urwsem_up_read(&sem);
}

static void writer(void)
{
	x_assert(urwsem_down_write(&sem) == 0);
	write_halves();
	urwsem_up_write(&sem);
}

static void reader_twice(void)
{
	reader();
	reader();
}

static void writer_twice(void)
{
	writer();
	writer();
}

static void downgrader(void)
{
	x_assert(urwsem_down_write(&sem) == 0);
	write_halves();
	urwsem_downgrade_write(&sem);
	read_halves();
	urwsem_up_read(&sem);
}

/* ---- with limits ---- */

static void hasty_reader(void)
{
	int rc = urwsem_down_read_timeout(&sem, 1000);

	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc)
		return;
	read_halves();
	urwsem_up_read(&sem);
}

static void hasty_writer(void)
{
	int rc = urwsem_down_write_timeout(&sem, 1000);

	x_assert(rc == 0 || rc == -ETIMEDOUT);
	if (rc)
		return;
	write_halves();
	urwsem_up_write(&sem);
}

static void trying(void)
{
	int rc = urwsem_down_write_trylock(&sem);

	x_assert(rc == 0 || rc == -EBUSY);
	if (rc == 0) {
		write_halves();
		urwsem_up_write(&sem);
	}
	rc = urwsem_down_read_trylock(&sem);
	x_assert(rc == 0 || rc == -EBUSY);
	if (rc == 0) {
		read_halves();
		urwsem_up_read(&sem);
	}
}

/* ---- readers share ---- */

/* Neither leaves before the other is in. */
static void meeting_reader(void)
{
	int me = x_self();

	x_assert(urwsem_down_read(&sem) == 0);
	store_release(&flag[me], 1);
	while (!load_acquire(&flag[!me]))
		port_relax();
	urwsem_up_read(&sem);
}

/* Where a writer keeps both out, then lets both in. */
static void held_for_writing(void)
{
	x_assert(urwsem_down_write(&sem) == 0);
}

/* The setup holds it; whoever runs this gives it back. */
static void release_setup(void)
{
	write_halves();
	urwsem_up_write(&sem);
}

static void downgrade_setup(void)
{
	write_halves();
	urwsem_downgrade_write(&sem);
	while (!load_acquire(&flag[0]))
		port_relax();
	urwsem_up_read(&sem);
}

static void reader_and_tell(void)
{
	x_assert(urwsem_down_read(&sem) == 0);
	read_halves();
	store_release(&flag[0], 1);
	urwsem_up_read(&sem);
}

/* A grant that comes before the releasing writer's own: who steals first lets the queue in. */
static void reader_then_reader(void)
{
	reader();
	store_release(&flag[0], 1);
	reader();
}

/* ---- what is left ---- */

static void clean(void)
{
	x_assert(half[0] == half[1] && half[0] == nr_writes);
	x_assert(urwsem_peek_count(&sem) == 0);
	x_assert(urwsem_peek_waiting(&sem) == 0);
	x_assert(urwsem_destroy(&sem) == 0);
}

#define URWSEM .models = X_WEAK | X_RC11, .flags = X_IMPATIENT

const struct x_scenario x_scenarios[] = {
	{ URWSEM, .name = "urwsem-exclusion", .claim = "R1: a writer excludes a reader, nobody sleeps for ever",
	  .thread = { writer, reader }, .check = clean, .quick = 5, .full = 10 },
	{ URWSEM, .name = "urwsem-writers", .claim = "R1: and another writer (B, D)",
	  .thread = { writer, writer }, .check = clean, .quick = 5, .full = 10 },
	{ URWSEM, .name = "urwsem-twice", .claim = "R3: the same again and again", .thread = { writer_twice, reader_twice },
	  .check = clean, .quick = 4, .full = 7 },
	{ URWSEM, .name = "urwsem-three", .claim = "R3: two writers and a reader",
	  .thread = { writer, writer, reader }, .check = clean, .quick = 2, .full = 4 },
	{ URWSEM, .name = "urwsem-grant", .claim = "R2: one writer, and readers let in together (F, G, H)",
	  .thread = { writer, reader, reader }, .check = clean, .quick = 3, .full = 4 },
	{ URWSEM, .name = "urwsem-four", .claim = "R3: two of each", .thread = { writer, writer, reader, reader },
	  .check = clean, .quick = 1, .full = 2 },
	{ URWSEM, .name = "urwsem-join", .claim = "R3: who queues sees the holder, or he sees the queue (L, M)",
	  .setup = held_for_writing, .thread = { release_setup, reader }, .check = clean, .quick = 6, .full = 12 },
	{ URWSEM, .name = "urwsem-join-writer", .claim = "R3: the same for a writer (L, M)",
	  .setup = held_for_writing, .thread = { release_setup, writer }, .check = clean, .quick = 6, .full = 12 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_SPURIOUS, .name = "urwsem-sleep",
	  .claim = "R3: sleeps that end for no reason (N, O)",
	  .setup = held_for_writing, .thread = { release_setup, reader, writer }, .check = clean, .quick = 2, .full = 4 },
	{ URWSEM, .name = "urwsem-steal", .claim = "R1: a reader that steals lets those in the queue in",
	  .setup = held_for_writing, .thread = { release_setup, reader, reader_then_reader }, .check = clean,
	  .quick = 2, .full = 4 },
	{ URWSEM, .name = "urwsem-share", .claim = "R1: readers share", .thread = { meeting_reader, meeting_reader },
	  .check = clean, .quick = 5, .full = 10 },
	{ URWSEM, .name = "urwsem-share-queued", .claim = "R2: those in the queue, too: one release lets in both",
	  .setup = held_for_writing, .thread = { meeting_reader, meeting_reader, release_setup }, .check = clean,
	  .quick = 2, .full = 4 },
	{ URWSEM, .name = "urwsem-trap", .claim = "R1: the trap: a waiting writer keeps later readers out",
	  .thread = { meeting_reader, meeting_reader, writer }, .check = clean, .must_fail = X_ALL, .models = X_WEAK,
	  .failure = "deadlock", .quick = 3, .full = 3 },
	{ URWSEM, .name = "urwsem-downgrade", .claim = "R1: downgrade lets readers in and keeps writers out (E)",
	  .thread = { downgrader, reader, writer }, .check = clean, .quick = 2, .full = 4 },
	{ URWSEM, .name = "urwsem-downgrade-two", .claim = "R1: what was written before is seen (E)",
	  .thread = { downgrader, reader }, .check = clean, .quick = 5, .full = 10 },
	{ URWSEM, .name = "urwsem-downgrade-queued", .claim = "R2: a downgrade wakes the readers in the queue",
	  .setup = held_for_writing, .thread = { reader_and_tell, downgrade_setup }, .check = clean,
	  .quick = 5, .full = 10 },
	{ URWSEM, .name = "urwsem-trylock", .claim = "R1: trylocks beside both", .thread = { trying, writer, reader },
	  .check = clean, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-timeout-reader",
	  .claim = "R3: a reader whose time is up leaves it clean", .thread = { writer, hasty_reader, reader },
	  .check = clean, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-timeout-two",
	  .claim = "R3: the same beside a writer alone", .thread = { writer, hasty_reader }, .check = clean,
	  .quick = 4, .full = 6 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-timeout-writer",
	  .claim = "R3: so does a writer, and lets those behind it in", .thread = { reader, hasty_writer, reader },
	  .check = clean, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-timeout-between",
	  .claim = "R3: at once, though another reader holds it",
	  .thread = { meeting_reader, meeting_reader, hasty_writer }, .check = clean, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-timeout-both",
	  .claim = "R3: both beside a writer", .thread = { writer, hasty_writer, hasty_reader },
	  .check = clean, .quick = 2, .full = 4 },
	{ .models = X_WEAK | X_RC11, .flags = X_IMPATIENT | X_TIMEOUTS, .name = "urwsem-handoff",
	  .claim = "R2: handoff: two writers and a reader, while time passes",
	  .thread = { writer_twice, hasty_writer, reader_twice }, .check = clean, .quick = 2, .full = 3 },
	{ .name = NULL },
};
