/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Where threads run: topology.c asks hwloc, topology_affinity.c is for machines without it
 *
 * Places are this process's allowed CPUs, one of each physical core before the second of any.
 */
#ifndef BENCH_TOPOLOGY_H
#define BENCH_TOPOLOGY_H

#include <jansson.h>

/** topology_load - to be called first; 0 or -errno */
int topology_load(void);
void topology_unload(void);

/** topology_nr_places - CPUs that this process may use; at least 1 */
unsigned topology_nr_places(void);

/** topology_pin - bind the calling thread to place @place, counted round; 0 or -errno */
int topology_pin(unsigned place);

/** topology_describe - what is known of the machine's shape, into @machine */
void topology_describe(json_t *machine);

#endif /* BENCH_TOPOLOGY_H */
