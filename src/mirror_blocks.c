/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Blocks: the whole-list mirrors of a list, in order of registration
 *
 * State.  The chain from list->head to list->last, and the places of its blocks, written under list->lock; walks read
 * them.
 *
 * Algorithm
 *   1. The first block is part of the list.  A new entry goes behind the last one; if the last block is full, to a new
 *      block behind it.  Entries are never moved.
 *   2. To take an entry out, its place is emptied.  Empty places behind the last entry of a block are counted no more,
 *      and in the last block they are used again.
 *   3. A block without entries is taken out of the chain, and retired.  Of the empty ones only the first stays; and the
 *      last, unless half of the one before it is free, and as long as a thread is joining by several sections of the
 *      lock (mirror_register.c, 3), because it has counted the places.
 *
 * Why it is safe
 *   1. The order of places is the order of registration, along the chain as within a block: entries are only ever put
 *      behind all others.
 *   2. A walk that stands in a block that is taken out goes on by the block's own next and prev, which stay.  They may
 *      lead to other blocks that were taken out since, and so on, and then into the chain: no entry is missed that was
 *      there when the walk began, because blocks are taken out empty and only the last one gets entries.  If the block
 *      was the last one, next is NULL, and what follows has joined since:
 *
 *          unregister, register               a bracket
 *                                             S = seq; comes to the last block, b
 *          b is empty: a->next = NULL
 *          b is retired
 *          a->next = c; c->place[0] = f
 *          f->joined = seq + 1
 *                                             b->next is NULL: f is not called, nor should it be
 *
 *      (list-blocks, list-blocks-last; mutant BLOCK_KEPT)
 *   3. A walk in a block whose places are used again misses no entry that it should call, and calls none that it should
 *      not: it asks each entry when it joined (mirror_register.c, 2).
 *
 * Cost.  A walk over h whole-list mirrors looks at h + 2 blocks at most, whatever there was before.  To register one and
 * to unregister it copies nothing, and looks at the places of one block.  Memory: 10 bytes a mirror, more if others of
 * its block have left.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | the chain | a block before its address | release | mirror_order.h:B | a walk follows what the memory held before | t/mirror/torture under TSan: what was there before is written plainly |
 * | B | put_in_block_ | the entry before its place, which a walk may have counted before | release | mirror_order.h:A | a bracket calls a mirror that joined later | list-place |
 */

#include "mirror_blocks.h"

#include "mirror_garbage.h"

static struct block *block_of(const struct mirror *m)
{
	return (struct block *)(uintptr_t)m->mirror__place;
}

/* ---- put in ---- */

uint64_t nr_free_places_(const struct mirror_list *list)
{
	return NR_PLACES - list->last->used + NR_PLACES * list->nr_spare_blocks;
}

void give_spare_block_(struct mirror_list *list, struct block *block)
{
	block->link.next = list->spare_blocks;
	list->spare_blocks = &block->link;
	list->nr_spare_blocks++;
}

/* A spare block is the last one from now on. */
static struct block *append_block(struct mirror_list *list)
{
	struct block *last = list->last, *block = (struct block *)list->spare_blocks;

	list->spare_blocks = block->link.next;
	list->nr_spare_blocks--;
	block->prev = last;
	/* A (pairs with mirror_order.h:B): a block before its address. */
	store_release(&last->next, block);
	store_release(&list->last, block);
	return block;
}

void put_in_block_(struct mirror_list *list, struct mirror *m)
{
	struct block *block = list->last->used < NR_PLACES ? list->last : append_block(list);

	m->mirror__place = (uintptr_t)block;
	block->nr_entries++;
	/* B (pairs with mirror_order.h:A): the entry before its place. */
	store_release_unless(PLACE_NO_RELEASE, &block->place[block->used], m->mirror__entry);
	store_release(&block->used, block->used + 1);
}

/* ---- take out ---- */

static void empty_place(struct block *block, const struct mirror__entry *e)
{
	uint32_t i = 0, used = block->used;

	while (block->place[i] != e)
		i++;
	store_release(&block->place[i], NULL);
	block->nr_entries--;
	/* Places behind the last entry are used again: walks ask each entry when it joined. */
	while (used && !block->place[used - 1])
		used--;
	if (used != block->used)
		store_relaxed(&block->used, used);
}

static void drop_block(struct mirror_list *list, struct block *block)
{
	/* A (pairs with mirror_order.h:B): a block before its address. */
	store_release(&block->prev->next, block->next);
	unless(BLOCK_KEPT, store_release(block->next ? &block->next->prev : &list->last, block->prev));
	retire_block_(list, block);
}

void take_out_of_block_(struct mirror_list *list, const struct mirror *m)
{
	struct block *block = block_of(m), *last = list->last;

	empty_place(block, m->mirror__entry);
	if (!block->nr_entries && block != &list->head && block != last)
		drop_block(list, block);
	/* Not if the next registrations would need a new one, or a thread whose turn it is counts on its places. */
	if (!last->nr_entries && !list->joiner && last != &list->head && last->prev->used <= NR_PLACES / 2)
		drop_block(list, last);
}
