/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The link names of what the adapters' files share, as in src/names.h. */
#ifndef ADAPTERS_NAMES_H
#define ADAPTERS_NAMES_H

#pragma redefine_extname records_close mirror__records_close
#pragma redefine_extname records_open mirror__records_open
#pragma redefine_extname records_sync_fork mirror__records_sync_fork
#pragma redefine_extname records_take mirror__records_take

#endif /* ADAPTERS_NAMES_H */
