/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measurement ran on, from /proc, /sys and the C library. */
#include "machine.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <mirror/usrcu.h>

#include "bench.h"
#include "topology.h"

/* The first line of a file; false where there is none. */
static bool first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool read;

	if (!file)
		return false;
	read = fgets(line, (int)size, file) != NULL;
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return read;
}

static void describe_cpu(json_t *machine)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	const char *value;
	bool named = false, hypervisor = false;

	while (file && fgets(line, sizeof(line), file)) {
		value = strchr(line, ':');
		if (!value)
			break; /* the blank line after the first CPU */
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "model name", 10) == 0) {
			json_object_set_new(machine, "cpu", json_string(value + 2));
			named = true;
		} else if (strncmp(line, "flags", 5) == 0) {
			hypervisor = strstr(value, " hypervisor") != NULL;
		}
	}
	if (file)
		fclose(file);
	if (!named)
		json_object_set_new(machine, "cpu", json_string("unknown"));
	json_object_set_new(machine, "virtual_machine", json_boolean(hypervisor));
}

static void describe_settings(json_t *machine)
{
	char line[128];
	double load;

	if (first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof(line)))
		json_object_set_new(machine, "frequency_governor", json_string(line));
	if (first_line("/proc/sys/kernel/randomize_va_space", line, sizeof(line)))
		json_object_set_new(machine, "aslr", json_string(line));
	if (first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", line, sizeof(line)))
		json_object_set_new(machine, "clock_source", json_string(line));
	machine_is_busy(&load);
	json_object_set_new(machine, "load_at_start", json_real(load));
}

/* The least of many readings is what a reading costs when nothing interrupts it. */
static double clock_cost_ns(void)
{
	double least = 1e9;

	for (int i = 0; i < 100; i++) {
		uint64_t begun = bench_now_ns(), ended = begun;

		for (int j = 0; j < 100; j++)
			ended = bench_now_ns();
		if ((double)(ended - begun) / 100 < least)
			least = (double)(ended - begun) / 100;
	}
	return least;
}

json_t *machine_describe(void)
{
	json_t *machine = json_object();
	struct utsname names;
	struct usrcu *domain;

	describe_cpu(machine);
	if (uname(&names) == 0) {
		char kernel[256];

		snprintf(kernel, sizeof(kernel), "%s %s", names.sysname, names.release);
		json_object_set_new(machine, "kernel", json_string(kernel));
		json_object_set_new(machine, "architecture", json_string(names.machine));
	}
	json_object_set_new(machine, "libc", json_sprintf("glibc %s", gnu_get_libc_version()));
	json_object_set_new(machine, "compiler", json_string(__VERSION__));
	topology_describe(machine);
	describe_settings(machine);
	json_object_set_new(machine, "clock_cost_ns", json_real(clock_cost_ns()));
	if (usrcu_create(&domain, NULL) == 0) {
		json_object_set_new(machine, "membarrier", json_boolean(usrcu_uses_membarrier(domain)));
		usrcu_destroy(domain);
	}
	return machine;
}

int machine_is_busy(double *load)
{
	*load = 0;
	if (getloadavg(load, 1) != 1)
		return 0;
	return *load > 0.25 * topology_nr_places();
}
