/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* A device for libibverbs that is no hardware */
#ifndef EXAMPLES_VERBS_DEVICE_H
#define EXAMPLES_VERBS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

/** device_registered - the program's: memory can be reached by the device from now on, or no longer */
void device_registered(const void *address, size_t bytes, bool is_registered);

#endif /* EXAMPLES_VERBS_DEVICE_H */
