/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The calibration of spin.h: the least of several tries, since whatever interrupts a try makes it longer. */
#include "spin.h"

#include "bench.h"

enum { NR_TRIES = 20 };

static double once(uint64_t turns, unsigned times)
{
	uint64_t begun = bench_now_ns();

	for (unsigned i = 0; i < times; i++)
		spin(turns);
	return (double)(bench_now_ns() - begun) / times;
}

static double least(uint64_t turns, unsigned times)
{
	double ns = once(turns, times);

	for (int i = 1; i < NR_TRIES; i++) {
		double again = once(turns, times);

		ns = again < ns ? again : ns;
	}
	return ns;
}

uint64_t spin_turns_of(uint64_t ns)
{
	enum { TURNS = 100000 };

	return ns ? (uint64_t)((double)ns * TURNS / least(TURNS, 1) + 0.5) : 0;
}

double spin_measured_ns(uint64_t turns)
{
	/* As many as take a tenth of a millisecond or so: a reading of the clock is nothing beside it. */
	return turns ? least(turns, turns < 100000 ? (unsigned)(100000 / turns) + 1 : 1) : 0;
}
