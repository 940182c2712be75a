/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The fit that usl.h describes. */
#include "usl.h"

#include <math.h>

enum { NR_TERMS = 3 };

/* What multiplies 1 / lambda, sigma / lambda and kappa / lambda in n / X(n). */
static double term(unsigned which, double n)
{
	return which == 0 ? 1 : which == 1 ? n - 1 : n * (n - 1);
}

/* Gauss with pivots, of @nr equations; false if they do not decide. */
static bool solve(double a[NR_TERMS][NR_TERMS + 1], unsigned nr, double *solution)
{
	for (unsigned c = 0; c < nr; c++) {
		unsigned pivot = c;

		for (unsigned r = c + 1; r < nr; r++)
			if (fabs(a[r][c]) > fabs(a[pivot][c]))
				pivot = r;
		if (fabs(a[pivot][c]) < 1e-12)
			return false;
		for (unsigned k = 0; k <= nr; k++) {
			double other = a[c][k];

			a[c][k] = a[pivot][k];
			a[pivot][k] = other;
		}
		for (unsigned r = 0; r < nr; r++) {
			double factor = r == c ? 0 : a[r][c] / a[c][c];

			for (unsigned k = c; k <= nr; k++)
				a[r][k] -= factor * a[c][k];
		}
	}
	for (unsigned c = 0; c < nr; c++)
		solution[c] = a[c][nr] / a[c][c];
	return true;
}

/* With the terms in @terms, @nr of them. */
static bool fit_terms(const double *n, const double *x, size_t nr_points, const unsigned *terms, unsigned nr,
		      struct usl *fit)
{
	double a[NR_TERMS][NR_TERMS + 1] = { 0 }, solution[NR_TERMS], all[NR_TERMS] = { 0 };

	for (size_t i = 0; i < nr_points; i++) {
		double y = n[i] / x[i];

		/* Relative to y: an error of one per cent weighs the same everywhere. */
		for (unsigned r = 0; r < nr; r++) {
			for (unsigned c = 0; c < nr; c++)
				a[r][c] += term(terms[r], n[i]) / y * term(terms[c], n[i]) / y;
			a[r][nr] += term(terms[r], n[i]) / y;
		}
	}
	if (!solve(a, nr, solution))
		return false;
	for (unsigned r = 0; r < nr; r++) {
		if (solution[r] < 0)
			return false;
		all[terms[r]] = solution[r];
	}
	if (all[0] <= 0)
		return false;
	*fit = (struct usl){ 1 / all[0], all[1] / all[0], all[2] / all[0], nr };
	return true;
}

static double error_of(const struct usl *fit, const double *n, const double *x, size_t nr)
{
	double sum = 0;

	for (size_t i = 0; i < nr; i++) {
		double off = x[i] / usl_at(fit, n[i]) - 1;

		sum += off * off;
	}
	return sum;
}

bool usl_fit(const double *n, const double *x, size_t nr, struct usl *fit)
{
	static const struct { unsigned nr, terms[NR_TERMS]; } choices[] = {
		{ 3, { 0, 1, 2 } }, { 2, { 0, 1 } }, { 2, { 0, 2 } }, { 1, { 0 } },
	};
	bool found = false;
	struct usl one;

	for (size_t i = 0; i < nr; i++)
		if (n[i] < 1 || x[i] <= 0)
			return false;
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]) && nr >= 2; i++) {
		/* With two points sigma is what is asked for. */
		if (choices[i].nr > nr || (nr == 2 && choices[i].terms[1] == 2))
			continue;
		if (!fit_terms(n, x, nr, choices[i].terms, choices[i].nr, &one))
			continue;
		if (!found || error_of(&one, n, x, nr) < error_of(fit, n, x, nr))
			*fit = one;
		found = true;
	}
	/* A parameter that the data pushed to its bound was free all the same. */
	if (found)
		fit->nr_parameters = nr < NR_TERMS ? (unsigned)nr : NR_TERMS;
	return found;
}

double usl_at(const struct usl *fit, double n)
{
	return fit->lambda * n / (1 + fit->sigma * (n - 1) + fit->kappa * n * (n - 1));
}
