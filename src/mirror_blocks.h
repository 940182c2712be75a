/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The blocks of whole-list mirrors: mirror_blocks.c explains them.  All under list->lock. */
#ifndef MIRROR_BLOCKS_H
#define MIRROR_BLOCKS_H

#include "mirror_list.h"

/* Free places behind all entries, those of the spare blocks too. */
uint64_t nr_free_places_(const struct mirror_list *list);
void give_spare_block_(struct mirror_list *list, struct block *block);
/* @m's entry gets the next place; there is one. */
void put_in_block_(struct mirror_list *list, struct mirror *m);
/* It is in its block no more. */
void take_out_of_block_(struct mirror_list *list, const struct mirror *m);

#endif /* MIRROR_BLOCKS_H */
