/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The link names of what the adapters' files share, as in src/names.h. */
#ifndef ADAPTERS_NAMES_H
#define ADAPTERS_NAMES_H

#pragma redefine_extname records_close mirror__records_close
#pragma redefine_extname records_join mirror__records_join
#pragma redefine_extname records_of_thread_ mirror__records_of_thread_
#pragma redefine_extname records_open mirror__records_open

#endif /* ADAPTERS_NAMES_H */
