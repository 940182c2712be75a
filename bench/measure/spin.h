/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Work of a given length, for callbacks: turns of a loop, calibrated
 *
 * A callback that read the clock until its time was up would measure the clock, and one of 100 ns could not be
 * made so at all.
 */
#ifndef BENCH_SPIN_H
#define BENCH_SPIN_H

#include <stdint.h>

/** spin_turns_of - how many turns take @ns here and now; takes a millisecond or two */
uint64_t spin_turns_of(uint64_t ns);

/** spin - @turns turns, which touch no memory */
static inline void spin(uint64_t turns)
{
	for (; turns > 0; turns--)
		__asm__ volatile("" : "+r"(turns));
}

/** spin_measured_ns - how long @turns take; the least of several tries */
double spin_measured_ns(uint64_t turns);

#endif /* BENCH_SPIN_H */
