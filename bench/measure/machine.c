/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What the measurement ran on, from /proc, /sys and the C library. */
#include "machine.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <mirror/usrcu.h>

#include "bench.h"
#include "topology.h"

/* The first line of a file; false if there is none. */
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
	static const struct { const char *name, *path; } files[] = {
		{ "frequency_governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor" },
		{ "frequency_boost", "/sys/devices/system/cpu/cpufreq/boost" },
		{ "hardware_threads", "/sys/devices/system/cpu/smt/control" },
		{ "aslr", "/proc/sys/kernel/randomize_va_space" },
		{ "huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled" },
		{ "clock_source", "/sys/devices/system/clocksource/clocksource0/current_clocksource" },
	};
	char line[128];
	double load;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		bool there = first_line(files[i].path, line, sizeof(line));

		/* That a virtual machine hides its frequency is worth knowing too. */
		json_object_set_new(machine, files[i].name, json_string(there ? line : "not shown here"));
	}
	/* A build that ended a moment ago is in it: it is shown, and decides nothing. */
	if (getloadavg(&load, 1) == 1)
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

static double seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

void machine_look(struct machine_use *use)
{
	/* user, nice, system, idle, iowait, irq, softirq, steal; guests' are in the first two. */
	unsigned long long ticks[8] = { 0 };
	double hz = (double)sysconf(_SC_CLK_TCK);
	FILE *file = fopen("/proc/stat", "re");
	struct rusage own, children;

	*use = (struct machine_use){ 0 };
	if (file && fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1], &ticks[2], &ticks[3],
			   &ticks[4], &ticks[5], &ticks[6], &ticks[7]) == 8) {
		for (int i = 0; i < 8; i++)
			use->all_s += (double)ticks[i] / hz;
		use->steal_s = (double)ticks[7] / hz;
		use->busy_s = use->all_s - use->steal_s - (double)(ticks[3] + ticks[4]) / hz;
	}
	if (file)
		fclose(file);
	if (getrusage(RUSAGE_SELF, &own) == 0 && getrusage(RUSAGE_CHILDREN, &children) == 0)
		use->own_s = seconds(own.ru_utime) + seconds(own.ru_stime) + seconds(children.ru_utime) +
			     seconds(children.ru_stime);
}

void machine_describe_use(const struct machine_use *begin, json_t *machine)
{
	struct machine_use end;
	double all, others;

	machine_look(&end);
	all = end.all_s - begin->all_s;
	if (all <= 0)
		return;
	others = end.busy_s - begin->busy_s - (end.own_s - begin->own_s);
	json_object_set_new(machine, "used_by_others_percent", json_real(others > 0 ? 100 * others / all : 0));
	json_object_set_new(machine, "stolen_by_host_percent", json_real(100 * (end.steal_s - begin->steal_s) / all));
}

bool machine_is_busy(const json_t *machine, double *percent)
{
	enum { BUSY_PERCENT = 10 };

	*percent = json_number_value(json_object_get(machine, "used_by_others_percent")) +
		   json_number_value(json_object_get(machine, "stolen_by_host_percent"));
	return *percent > BUSY_PERCENT;
}
