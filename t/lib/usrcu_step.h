/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A thread of a test of usrcu stops after every instruction of a call: x86-64's trap flag raises
 * SIGTRAP there.  The including file handles it.
 */
#ifndef MIRROR_USRCU_STEP_H
#define MIRROR_USRCU_STEP_H

#include "usrcu_test.h"

#if defined(__x86_64__) && !SANITIZED
#include <ucontext.h>

#define CAN_STEP 1
#define TRAP_FLAG 0x100

static inline __attribute__((always_inline)) void step(bool on)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq %0, (%%rsp)\n\torq %1, (%%rsp)\n\tpopfq\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : : "r"(~(uint64_t)TRAP_FLAG), "r"(on ? (uint64_t)TRAP_FLAG : 0) : "memory", "cc");
}

/* In the handler: no more stops. */
static inline void steps_end(void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

#else
/* A sanitizer's own code would be stepped through. */
#define CAN_STEP 0
#endif

#endif /* MIRROR_USRCU_STEP_H */
