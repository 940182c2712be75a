/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A crowd: thousands of threads that have done something once and then sleep
 *
 * They are what a grace period must look at and need not wait for.  Their stacks are small, so
 * that ten thousand fit; they are not pinned, since they do not run.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

struct crowd;

/**
 * crowd_gather - start @n threads; each calls @once(@arg), then sleeps
 * Return:   0 when all have; -errno, and none is left
 */
int crowd_gather(struct crowd **crowd, unsigned n, void (*once)(void *arg), void (*at_end)(void *arg), void *arg);

/** crowd_disperse - wake all; each calls @at_end(@arg) and ends; NULL is no crowd */
void crowd_disperse(struct crowd *crowd);

#endif /* BENCH_CROWD_H */
