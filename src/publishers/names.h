/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The link names of what the publishers' files share, as in src/names.h. */
#ifndef PUBLISHERS_NAMES_H
#define PUBLISHERS_NAMES_H

#pragma redefine_extname announce mirror__announce
#pragma redefine_extname announce_start mirror__announce_start
#pragma redefine_extname announce_stop mirror__announce_stop

#endif /* PUBLISHERS_NAMES_H */
