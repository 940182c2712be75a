/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* What an address of a watched process is: the mapping that it lies in, the function that it is in. */
#ifndef WATCH_PLACES_H
#define WATCH_PLACES_H

#include <stdint.h>

/** places_read - read the process's mappings, as long as it is there */
void places_read(uint32_t pid);

/** places_fork - the child has what its parent had */
void places_fork(uint32_t pid, uint32_t parent);

/** places_mapping - the name of what is mapped there: a file's last component, "[heap]", "anonymous"; never NULL */
const char *places_mapping(uint32_t pid, uint64_t address);

/** places_function - the code at @address: "function (file)" or "file+0x12"; never NULL; valid until the next call */
const char *places_function(uint32_t pid, uint64_t address);

/** places_caller - the same of the call that returns to @address, which may be where another function begins */
const char *places_caller(uint32_t pid, uint64_t address);

#endif /* WATCH_PLACES_H */
