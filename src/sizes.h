/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Structures of programs that were compiled with an older or a newer header
 *
 * Each begins with its size, and grows at its end alone.  Zero means the same as a member that is not there.
 */
#ifndef SIZES_H
#define SIZES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether @size is one that a version of the structure may have.  @least: of the first version. */
static inline bool is_size(size_t size, size_t least)
{
	return size >= least && size % sizeof(void *) == 0;
}

/* 0: all that the structure of @size bytes has beyond the @known ones is zero; else -EINVAL or -E2BIG. */
static inline int check_size(const void *structure, size_t size, size_t least, size_t known)
{
	const char *bytes = structure;

	if (!is_size(size, least))
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return -E2BIG;
	return 0;
}

#endif /* SIZES_H */
