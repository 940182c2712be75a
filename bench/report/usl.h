/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The Universal Scalability Law, fitted to a throughput measured at several numbers of threads
 *
 *     X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1))
 *
 * lambda is what one thread does; sigma the share of the work that only one can do at a time; kappa what
 * each pair of threads costs, as when a cache line travels between them.  Source: N. J. Gunther, Guerrilla
 * Capacity Planning, Springer 2007.
 */
#ifndef BENCH_USL_H
#define BENCH_USL_H

#include <stdbool.h>
#include <stddef.h>

/** struct usl - a fit; @nr_parameters of the three were free, the others are zero */
struct usl {
	double lambda, sigma, kappa;
	unsigned nr_parameters;
};

/**
 * usl_fit - least squares of the relative error, with sigma and kappa not below zero
 * @n, @x:   throughput @x[i] of @n[i] threads; no number of threads twice
 * Return:   false: fewer than two points, or none that a throughput can have
 *
 * No more parameters than points are free: of two points kappa is zero.  n / X(n) is linear in 1 / lambda,
 * sigma / lambda and kappa / lambda, so that the fit is closed: the normal equations, once for each choice of
 * those that are not zero, of which the best that has no negative one is taken.
 */
bool usl_fit(const double *n, const double *x, size_t nr, struct usl *fit);

/** usl_at - X(@n) */
double usl_at(const struct usl *fit, double n);

#endif /* BENCH_USL_H */
