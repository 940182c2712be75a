/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Parts that the scenarios of usrcu share. */
#ifndef MIRROR_EXPLORE_USRCU_SCENARIOS_H
#define MIRROR_EXPLORE_USRCU_SCENARIOS_H

#include "port.h"
#include <mirror/usrcu.h>

struct object {
	struct usrcu_head head;
	uint64_t a, b;
};

extern struct usrcu *domain;
extern struct object *object;

struct object *new_object(void);
void one_domain(void);
void fenced_domain(void);
void first_use(void);
void use(struct object *p);
void one_section(void);
void destroyed(void);

#endif /* MIRROR_EXPLORE_USRCU_SCENARIOS_H */
