/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The deadlock of three threads.  A walks the mirrors, and a callback wants the device's lock; C has that lock and
 * walks as well; B removes a mirror.
 *
 *     RWSEM      the walk is a reader of a semaphore with Linux's rule: a reader waits behind a waiting writer.
 *                The deadlock must be found.
 *     READERS    the same, where readers pass waiting writers: none.
 *     (neither)  the walk is a section, and B waits for a grace period: none.
 */
byte readers;           /* of the semaphore; or sections open under each index */
byte sections[2];
byte current;
bool writer, waiting, device;

inline walk_begins()
{
#if defined(RWSEM)
	atomic { !writer && !waiting -> readers++ }
#elif defined(READERS)
	atomic { !writer -> readers++ }
#else
	i = current;
	sections[i]++
#endif
}

inline walk_ends()
{
#if defined(RWSEM) || defined(READERS)
	readers--
#else
	sections[i]--
#endif
}

active proctype A()
{
	byte i;

	walk_begins();
	atomic { !device -> device = true }
	device = false;
	walk_ends()
}

active proctype C()
{
	byte i;

	atomic { !device -> device = true }
	walk_begins();
	walk_ends();
	device = false
}

active proctype B()
{
#if defined(RWSEM) || defined(READERS)
	waiting = true;
	atomic { readers == 0 -> writer = true; waiting = false }
	writer = false
#else
	sections[1 - current] == 0;
	current = 1 - current;
	sections[1 - current] == 0
#endif
}
