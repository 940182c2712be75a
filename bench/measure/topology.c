/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Places through hwloc, which knows cores, hardware threads, packages and what a container allows. */
#include "topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>

static hwloc_topology_t topology;
static hwloc_obj_t *places;
static unsigned nr_places;
static unsigned nr_cores;

/* Appends the @nth allowed CPU of each core. */
static unsigned add_nth_of_each_core(hwloc_const_cpuset_t allowed, int nth)
{
	unsigned added = 0;
	int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);

	for (int c = 0; c < cores; c++) {
		hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, (unsigned)c);
		hwloc_obj_t pu = NULL;
		int seen = 0;

		while ((pu = hwloc_get_next_obj_inside_cpuset_by_type(topology, core->cpuset, HWLOC_OBJ_PU, pu))) {
			if (!hwloc_bitmap_isset(allowed, pu->os_index) || seen++ != nth)
				continue;
			places[nr_places++] = pu;
			added++;
		}
	}
	return added;
}

int topology_load(void)
{
	hwloc_cpuset_t allowed;
	int nr_pus;

	if (hwloc_topology_init(&topology) < 0 || hwloc_topology_load(topology) < 0)
		return -EIO;
	nr_pus = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
	places = calloc((size_t)nr_pus, sizeof(places[0]));
	allowed = hwloc_bitmap_alloc();
	if (!places || !allowed)
		return -ENOMEM;
	if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_PROCESS) < 0)
		hwloc_bitmap_fill(allowed);
	hwloc_bitmap_and(allowed, allowed, hwloc_topology_get_allowed_cpuset(topology));
	nr_cores = add_nth_of_each_core(allowed, 0);
	for (int nth = 1; add_nth_of_each_core(allowed, nth) > 0; nth++)
		;
	/* A machine that shows no cores has CPUs all the same. */
	for (int i = 0; nr_cores == 0 && i < nr_pus; i++)
		places[nr_places++] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, (unsigned)i);
	hwloc_bitmap_free(allowed);
	return nr_places > 0 ? 0 : -ENODEV;
}

void topology_unload(void)
{
	hwloc_topology_destroy(topology);
	free(places);
}

unsigned topology_nr_places(void)
{
	return nr_places;
}

int topology_pin(unsigned place)
{
	if (hwloc_set_cpubind(topology, places[place % nr_places]->cpuset, HWLOC_CPUBIND_THREAD) < 0)
		return -errno;
	return 0;
}

void topology_describe(json_t *machine)
{
	int packages = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE);
	hwloc_obj_t obj = NULL;
	json_t *order = json_array();

	json_object_set_new(machine, "pinning", json_string("hwloc " HWLOC_VERSION));
	json_object_set_new(machine, "cpus", json_integer(nr_places));
	json_object_set_new(machine, "cores", json_integer(nr_cores));
	if (packages > 0)
		json_object_set_new(machine, "packages", json_integer(packages));
	for (unsigned i = 0; i < nr_places; i++)
		json_array_append_new(order, json_integer(places[i]->os_index));
	json_object_set_new(machine, "pinning_order", order);
	obj = hwloc_get_obj_by_type(topology, HWLOC_OBJ_L3CACHE, 0);
	if (obj && obj->attr)
		json_object_set_new(machine, "l3_bytes", json_integer((json_int_t)obj->attr->cache.size));
}
