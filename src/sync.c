/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The two ways that come with the library to keep walks and changes of a list apart. */

#include "port.h"

#include <mirror/mirror.h>
#include <mirror/urwsem.h>
#include <mirror/usrcu.h>

#include <errno.h>

/* ---- a domain of usrcu ---- */

static int srcu_create(void **state)
{
	struct usrcu *domain;
	int rc = usrcu_create(&domain, NULL);

	if (!rc)
		*state = domain;
	return rc;
}

static int srcu_destroy(void *state)
{
	return usrcu_destroy(state);
}

static int srcu_read_lock(void *state)
{
	return usrcu_read_lock(state);
}

static void srcu_read_unlock(void *state, int token)
{
	usrcu_read_unlock(state, token);
}

static int srcu_synchronize(void *state, uint64_t timeout_ns)
{
	return usrcu_synchronize_timeout(state, timeout_ns);
}

static uint64_t srcu_get_state(void *state)
{
	return usrcu_get_state(state);
}

static bool srcu_poll_state(void *state, uint64_t cookie)
{
	return usrcu_poll_state(state, cookie);
}

const struct mirror_sync mirror_sync_srcu = {
	.size = sizeof(struct mirror_sync),
	.name = "srcu",
	.kind = MIRROR_SYNC_GRACE_PERIOD,
	.create = srcu_create,
	.destroy = srcu_destroy,
	.read_lock = srcu_read_lock,
	.read_unlock = srcu_read_unlock,
	.synchronize = srcu_synchronize,
	.get_state = srcu_get_state,
	.poll_state = srcu_poll_state,
};

/* ---- a urwsem, held for reading across the callbacks ---- */

static int rwsem_create(void **state)
{
	struct urwsem *sem = port_alloc(sizeof(*sem));

	if (!sem)
		return -ENOMEM;
	*state = sem;
	return urwsem_init(sem);
}

static int rwsem_destroy(void *state)
{
	int rc = urwsem_destroy(state);

	if (!rc)
		port_free(state);
	return rc;
}

static int rwsem_read_lock(void *state)
{
	return urwsem_down_read(state);
}

/* A publisher that may not block is refused, as in the old HMM. */
static int rwsem_read_trylock(void *state)
{
	return urwsem_down_read_trylock(state) ? -EAGAIN : 0;
}

static void rwsem_read_unlock(void *state, int token)
{
	(void)token;
	urwsem_up_read(state);
}

static int rwsem_write_lock(void *state, uint64_t timeout_ns)
{
	return urwsem_down_write_timeout(state, timeout_ns);
}

static void rwsem_write_unlock(void *state)
{
	urwsem_up_write(state);
}

const struct mirror_sync mirror_sync_rwsem = {
	.size = sizeof(struct mirror_sync),
	.name = "rwsem",
	.kind = MIRROR_SYNC_LOCK,
	.create = rwsem_create,
	.destroy = rwsem_destroy,
	.read_lock = rwsem_read_lock,
	.read_trylock = rwsem_read_trylock,
	.read_unlock = rwsem_read_unlock,
	.write_lock = rwsem_write_lock,
	.write_unlock = rwsem_write_unlock,
};
