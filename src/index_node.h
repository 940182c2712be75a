/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* How the nodes of an index are written: for the files that read them (index_find.c) and change them (index.c). */
#ifndef MIRROR_INDEX_NODE_H
#define MIRROR_INDEX_NODE_H

#include "index.h"

_Static_assert(INDEX_WIDE < 32 && INDEX_COMPACT < 64 && INDEX_COMPACT <= 2 * INDEX_WIDE, "masks, and room");

/* @key as it is written in a compact node, in units.  Keys in order may become equal, but never change places. */
static inline uint64_t in_units(const struct index_scale *scale, uint64_t key)
{
	uint64_t above = key > scale->base ? (key - scale->base) >> scale->shift : 0;

	return broken_if(INDEX_SCALE_WRAPS, above, above < INT32_MAX ? above : INT32_MAX);
}

static inline bool is_compact(const struct index_node *node)
{
	return node->level && node->is_compact;
}

static inline uint64_t first_in(const struct index_node *node, uint32_t i)
{
	return is_compact(node) ? (uint64_t)node->compact.first[i] : node->wide.first[i];
}

static inline uint64_t last_in(const struct index_node *node, uint32_t i)
{
	return is_compact(node) ? (uint64_t)node->compact.last[i] : node->wide.last[i];
}

static inline void **place_in(struct index_node *node, uint32_t i)
{
	return is_compact(node) ? &node->compact.place[i] : &node->wide.place[i];
}

/* For the owner. */
static inline struct index_node *child_in(const struct index_node *node, uint32_t i)
{
	return is_compact(node) ? node->compact.place[i] : node->wide.place[i];
}

#endif /* MIRROR_INDEX_NODE_H */
