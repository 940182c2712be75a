/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A walk is a section of Concurrency Kit's epochs; each list has epochs of its own
 *
 * Polling is a deferred call of ck's that counts.  A cookie is the number of a call, starting with 1.  At
 * most one call is under way.  The grace period that starts from now is over when the call after that
 * one has run, since the one under way may have been made before.  Both functions run under the list's
 * lock, and nowhere else; so the poller's record and the counts have one user at a time.
 */
#include <mirror/ck.h>

#include <ck_epoch.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "ck_records.h"

struct section {
	struct record record;
	ck_epoch_record_t section;
};

struct poller {
	ck_epoch_entry_t call;
	uint64_t nr_called, nr_run;
	ck_epoch_record_t record;
};

struct epochs {
	struct records sections;
	ck_epoch_t epoch __attribute__((__aligned__(64)));
	struct poller poller __attribute__((__aligned__(64)));
};

static ck_epoch_record_t *section_of(struct record *record)
{
	return &((struct section *)(void *)record)->section;
}

static void attach(struct records *sections, struct record *record, unsigned number)
{
	(void)number;
	ck_epoch_register(&((struct epochs *)sections)->epoch, section_of(record), NULL);
}

static void forget(struct records *sections, struct record *record)
{
	(void)sections;
	if (section_of(record)->active)
		ck_epoch_end(section_of(record), NULL);
}

static int create(void **state)
{
	struct epochs *epochs = aligned_alloc(64, sizeof(*epochs));
	int err;

	if (!epochs)
		return -ENOMEM;
	memset(epochs, 0, sizeof(*epochs));
	epochs->sections.record_bytes = sizeof(struct section);
	epochs->sections.attach = attach;
	epochs->sections.forget = forget;
	ck_epoch_init(&epochs->epoch);
	ck_epoch_register(&epochs->epoch, &epochs->poller.record, NULL);
	err = records_open(&epochs->sections);
	if (err)
		free(epochs);
	else
		*state = epochs;
	return err;
}

static int destroy(void *state)
{
	struct epochs *epochs = state;

	records_close(&epochs->sections);
	free(epochs);
	return 0;
}

static int read_lock(void *state)
{
	struct epochs *epochs = state;
	int token = records_take(&epochs->sections);

	if (token >= 0)
		ck_epoch_begin(section_of(records_at(&epochs->sections, token)), NULL);
	return token;
}

static void read_unlock(void *state, int token)
{
	struct record *mine = records_at(&((struct epochs *)state)->sections, token);

	ck_epoch_end(section_of(mine), NULL);
	records_put(mine);
}

/* A section lasts as long as its callbacks, which sleep. */
static void leave_cpu(ck_epoch_t *epoch, ck_epoch_record_t *record, void *arg)
{
	(void)epoch;
	(void)record;
	(void)arg;
	sched_yield();
}

static int synchronize(void *state, uint64_t timeout_ns)
{
	struct epochs *epochs = state;

	(void)timeout_ns;
	records_sync_fork(&epochs->sections);
	ck_epoch_synchronize_wait(&epochs->epoch, leave_cpu, NULL);
	return 0;
}

static void count(ck_epoch_entry_t *call)
{
	struct poller *poller = (struct poller *)call; /* its first member */

	poller->nr_run++;
}

static uint64_t get_state(void *state)
{
	struct epochs *epochs = state;

	return epochs->poller.nr_called + 1;
}

static bool poll_state(void *state, uint64_t cookie)
{
	struct epochs *epochs = state;
	struct poller *poller = &epochs->poller;

	if (poller->nr_run >= cookie)
		return true;
	records_sync_fork(&epochs->sections);
	if (poller->nr_run == poller->nr_called) {
		poller->nr_called++;
		ck_epoch_call(&poller->record, &poller->call, count);
	}
	ck_epoch_poll(&poller->record);
	return poller->nr_run >= cookie;
}

const struct mirror_sync mirror_sync_ck_epoch = {
	.size = sizeof(struct mirror_sync),
	.name = "ck-epoch",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.create = create,
	.destroy = destroy,
	.read_lock = read_lock,
	.read_unlock = read_unlock,
	.synchronize = synchronize,
	.get_state = get_state,
	.poll_state = poll_state,
};
