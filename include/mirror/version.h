/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Which libmirror: the one that a program is compiled with, and the one that it runs with
 *
 * Two numbers that differ are no error: within one soname a program runs with any library that is not older.  Of what is
 * inlined into programs the library takes care itself: a program that does not fit is not loaded.
 */
#ifndef MIRROR_VERSION_H
#define MIRROR_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The version of these headers. */
#define MIRROR_VERSION_MAJOR  0
#define MIRROR_VERSION_MINOR  1
#define MIRROR_VERSION_PATCH  0
#define MIRROR_VERSION_STRING "0.1.0"

/* A version as one number, for comparisons: #if MIRROR_VERSION >= MIRROR_VERSION_NUMBER(0, 2, 0) */
#define MIRROR_VERSION_NUMBER(major, minor, patch) ((major) * 1000000 + (minor) * 1000 + (patch))
#define MIRROR_VERSION \
	MIRROR_VERSION_NUMBER(MIRROR_VERSION_MAJOR, MIRROR_VERSION_MINOR, MIRROR_VERSION_PATCH)

/** mirror_version - MIRROR_VERSION of the library that the program runs with; any context */
int mirror_version(void);

/**
 * struct mirror_build - how the library was built, and what it finds here
 * @size:       in: sizeof(struct mirror_build)
 * @version:    "0.1.0"; constant, as the other texts
 * @fences:     what a domain or list that is made now without flags gets: "membarrier", or "full" where the system has
 *              no membarrier(2) or refuses it
 * @tls_model:  how thread-local variables are reached: "initial-exec", "local-dynamic" or "global-dynamic"
 * @assertions: whether the library checks itself
 */
struct mirror_build {
	size_t size;
	const char *version;
	const char *fences;
	const char *tls_model;
	bool assertions;
};

/**
 * mirror_get_build - for logs and bug reports
 * Return:   0; -EINVAL: NULL, wrong size
 * Context:  any thread; makes two system calls
 */
int mirror_get_build(struct mirror_build *build);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif /* MIRROR_VERSION_H */
