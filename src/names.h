/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * The link names of what is shared between files and has no public prefix in the sources: libmirror.a is linked into
 * programs that have names of their own.  t/tree/archive_names compares this list with the archive.
 *
 * The pragma changes the name for the linker alone, so that a member, a local variable or a macro of the same name is
 * left as it is.  gcc and clang know it on every system.
 */
#ifndef MIRROR_NAMES_H
#define MIRROR_NAMES_H

#pragma redefine_extname advance_fence_mode_ mirror__advance_fence_mode_
#pragma redefine_extname any_pin_ mirror__any_pin_
#pragma redefine_extname append_ mirror__append_
#pragma redefine_extname begin_fencing_ mirror__begin_fencing_
#pragma redefine_extname begin_timing_ mirror__begin_timing_
#pragma redefine_extname choose_fence_mode_ mirror__choose_fence_mode_
#pragma redefine_extname choose_if_free_ mirror__choose_if_free_
#pragma redefine_extname choose_wakes_ mirror__choose_wakes_
#pragma redefine_extname complete_ mirror__complete_
#pragma redefine_extname do_wakes_ mirror__do_wakes_
#pragma redefine_extname end_fencing_ mirror__end_fencing_
#pragma redefine_extname end_timing_ mirror__end_timing_
#pragma redefine_extname end_wait_ mirror__end_wait_
#pragma redefine_extname enter_ mirror__enter_
#pragma redefine_extname fence_drain_ mirror__fence_drain_
#pragma redefine_extname fill_ended_ mirror__fill_ended_
#pragma redefine_extname free_arrays_ mirror__free_arrays_
#pragma redefine_extname gate_enter mirror__gate_enter
#pragma redefine_extname gate_leave mirror__gate_leave
#pragma redefine_extname gate_try_enter mirror__gate_try_enter
#pragma redefine_extname get_entry_ mirror__get_entry_
#pragma redefine_extname get_nodes_ mirror__get_nodes_
#pragma redefine_extname get_places_ mirror__get_places_
#pragma redefine_extname in_callback_ mirror__in_callback_
#pragma redefine_extname index_find_begin mirror__index_find_begin
#pragma redefine_extname index_find_more mirror__index_find_more
#pragma redefine_extname index_give_spare mirror__index_give_spare
#pragma redefine_extname index_insert mirror__index_insert
#pragma redefine_extname index_remove mirror__index_remove
#pragma redefine_extname leave_ mirror__leave_
#pragma redefine_extname leave_queue_ mirror__leave_queue_
#pragma redefine_extname lock_queue_ mirror__lock_queue_
#pragma redefine_extname may_complete_ mirror__may_complete_
#pragma redefine_extname memory_destroy_ mirror__memory_destroy_
#pragma redefine_extname memory_init_ mirror__memory_init_
#pragma redefine_extname misuse_ mirror__misuse_
#pragma redefine_extname order_find_hits_ mirror__order_find_hits_
#pragma redefine_extname order_merge_ mirror__order_merge_
#pragma redefine_extname pin_level_ mirror__pin_level_
#pragma redefine_extname pinned_ mirror__pinned_
#pragma redefine_extname port_alloc mirror__port_alloc
#pragma redefine_extname port_at_fork mirror__port_at_fork
#pragma redefine_extname port_discard mirror__port_discard
#pragma redefine_extname port_fallback_count mirror__port_fallback_count
#pragma redefine_extname port_fallback_gate_count mirror__port_fallback_gate_count
#pragma redefine_extname port_fatal mirror__port_fatal
#pragma redefine_extname port_fork_mark mirror__port_fork_mark
#pragma redefine_extname port_free mirror__port_free
#pragma redefine_extname port_futex_wait mirror__port_futex_wait
#pragma redefine_extname port_futex_wake mirror__port_futex_wake
#pragma redefine_extname port_map mirror__port_map
#pragma redefine_extname port_map_sparse mirror__port_map_sparse
#pragma redefine_extname port_membarrier mirror__port_membarrier
#pragma redefine_extname port_membarrier_register mirror__port_membarrier_register
#pragma redefine_extname port_now_ns mirror__port_now_ns
#pragma redefine_extname port_pid mirror__port_pid
#pragma redefine_extname port_say mirror__port_say
#pragma redefine_extname port_self_name mirror__port_self_name
#pragma redefine_extname port_thread_join mirror__port_thread_join
#pragma redefine_extname port_thread_lives mirror__port_thread_lives
#pragma redefine_extname port_thread_start mirror__port_thread_start
#pragma redefine_extname port_tid mirror__port_tid
#pragma redefine_extname port_unmap mirror__port_unmap
#pragma redefine_extname port_walks_count mirror__port_walks_count
#pragma redefine_extname process_after_fork_in_child mirror__process_after_fork_in_child
#pragma redefine_extname process_begin mirror__process_begin
#pragma redefine_extname process_generation mirror__process_generation
#pragma redefine_extname process_generation_of_new mirror__process_generation_of_new
#pragma redefine_extname process_has mirror__process_has
#pragma redefine_extname process_has_ended mirror__process_has_ended
#pragma redefine_extname process_is_me mirror__process_is_me
#pragma redefine_extname process_is_strange mirror__process_is_strange
#pragma redefine_extname process_on_adopt mirror__process_on_adopt
#pragma redefine_extname process_self mirror__process_self
#pragma redefine_extname put_garbage_back_ mirror__put_garbage_back_
#pragma redefine_extname reclaim_ mirror__reclaim_
#pragma redefine_extname recycle_ mirror__recycle_
#pragma redefine_extname report_ended_ mirror__report_ended_
#pragma redefine_extname report_stall_ mirror__report_stall_
#pragma redefine_extname retire_entry_ mirror__retire_entry_
#pragma redefine_extname retire_mirrors_ mirror__retire_mirrors_
#pragma redefine_extname retire_nodes_ mirror__retire_nodes_
#pragma redefine_extname show_wait_ mirror__show_wait_
#pragma redefine_extname slots_claim mirror__slots_claim
#pragma redefine_extname slots_destroy mirror__slots_destroy
#pragma redefine_extname slots_first_record mirror__slots_first_record
#pragma redefine_extname slots_init mirror__slots_init
#pragma redefine_extname slots_numbered mirror__slots_numbered
#pragma redefine_extname slots_owner_ended mirror__slots_owner_ended
#pragma redefine_extname slots_record mirror__slots_record
#pragma redefine_extname slots_record_is_live mirror__slots_record_is_live
#pragma redefine_extname sync_srcu_fenced_ mirror__sync_srcu_fenced_
#pragma redefine_extname take_garbage_ mirror__take_garbage_
#pragma redefine_extname take_out_ mirror__take_out_
#pragma redefine_extname unlink_ mirror__unlink_
#pragma redefine_extname unlock_queue_ mirror__unlock_queue_
#pragma redefine_extname unpinned_dead_ mirror__unpinned_dead_
#pragma redefine_extname wake_ mirror__wake_

#ifdef PORT_TSAN
#pragma redefine_extname port_tsan_fence mirror__port_tsan_fence
#endif

/* The number of usrcu_inline.h: a program looks for this name at once when it is loaded. */
#pragma redefine_extname usrcu__slots usrcu__slots_1

#endif /* MIRROR_NAMES_H */
