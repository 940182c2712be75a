/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Polling a grace period of liburcu, which 0.14 and later can: the two functions of a flavour and their entries. */
#ifndef ADAPTERS_URCU_POLL_H
#define ADAPTERS_URCU_POLL_H

#if HAVE_DECL_URCU_MEMB_START_POLL_SYNCHRONIZE_RCU

#define URCU_POLL_FUNCTIONS(f)                                                                          \
	static uint64_t f##_get_state(void *state)                                                      \
	{                                                                                               \
		(void)state;                                                                            \
		return urcu_##f##_start_poll_synchronize_rcu().grace_period_id;                         \
	}                                                                                               \
                                                                                                        \
	static bool f##_poll_state(void *state, uint64_t cookie)                                        \
	{                                                                                               \
		struct urcu_gp_poll_state grace_period = { .grace_period_id = (unsigned long)cookie };  \
                                                                                                        \
		(void)state;                                                                            \
		return urcu_##f##_poll_state_synchronize_rcu(grace_period);                             \
	}
#define URCU_POLL_ENTRIES(f) .get_state = f##_get_state, .poll_state = f##_poll_state,

#else

#define URCU_POLL_FUNCTIONS(f)
#define URCU_POLL_ENTRIES(f)

#endif
#endif /* ADAPTERS_URCU_POLL_H */
