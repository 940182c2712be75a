/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Places without hwloc: the allowed CPUs in the kernel's order, which need not be cores first. */
#include "topology.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>

static int places[CPU_SETSIZE];
static unsigned nr_places;

int topology_load(void)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			places[nr_places++] = cpu;
	return nr_places > 0 ? 0 : -ENODEV;
}

void topology_unload(void)
{
}

unsigned topology_nr_places(void)
{
	return nr_places;
}

int topology_pin(unsigned place)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(places[place % nr_places], &one);
	return sched_setaffinity(0, sizeof(one), &one) < 0 ? -errno : 0;
}

void topology_describe(json_t *machine)
{
	json_object_set_new(machine, "pinning", json_string("sched_setaffinity, built without hwloc"));
	json_object_set_new(machine, "cpus", json_integer(nr_places));
}
