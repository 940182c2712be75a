/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Lists: create, register, release, destroy; and the memory that walkers look at
 *
 * Terms.  The roll is the array of the entries of whole-list mirrors, in order of registration;
 * range mirrors stand in the index (index.h).  Garbage is memory that no walk can see any more.
 *
 * State: struct mirror_list in mirror_impl.h.
 *
 * Algorithm
 *   1. Register puts an entry in the roll's next slot, or a range in the index, then publishes
 *      it by seq.
 *   2. When the roll is full, its live entries are copied to a new one, at most half full; the
 *      old roll is retired.  So a registration costs a constant on average.
 *   3. Unregister empties the slot (unlink_) and, once drained, retires the entry.
 *   4. Retired memory waits in two batches.  One is due when the sync's cookie says so; the
 *      other collects what is retired meanwhile and gets its cookie then.  Registrations and
 *      unregistrations poll, once an eighth of what is live is retired; nobody waits.  Without
 *      cookies it is freed after the next synchronize.
 *   5. Release calls each live mirror under a pin (mirror_drain.c), and when its callback has
 *      returned names the next seq as the entry's released: brackets from then on pass over it.
 *
 * Why it is safe
 *   1. Who reads seq finds every entry with joined <= seq: A below.  A roll that is being replaced
 *      keeps its slots.
 *   2. Release happens once: released is set under the lock, by the one call that returns 0.  A
 *      mirror stays in the roll until its release has returned, so that no bracket misses it.
 *      An unregister that comes first makes it dead, and the pin fails; one that comes later
 *      waits for the pin.  (list-release; mutants UNLINK_BEFORE_RELEASE, RELEASE_TWICE)
 *   3. No memory is allocated or freed under list->lock: the program's allocator may unmap, and
 *      so end up publishing, and a callback may register.
 *
 * Barriers
 * | Id | Where | Orders | Kind | Pairs | If missing | Scenario |
 * |---|---|---|---|---|---|---|
 * | A | register | the entry before seq | release | mirror_walk.c:A | a bracket misses a mirror that it should call | list-register |
 *
 * Source: Linux mm/mmu_notifier.c v6.12 (what release is for).
 */

#include "mirror_order.h"

#include <errno.h>
#include <stdio.h>

#define SMALLEST_ROLL 16

/* ---- memory ---- */

static void *list_alloc(struct mirror_list *list, size_t bytes)
{
	return list->allocator.alloc ? list->allocator.alloc(list->allocator.arg, bytes) :
				       port_alloc(bytes);
}

static void list_free(struct mirror_list *list, void *memory, size_t bytes)
{
	if (!memory)
		return;
	if (list->allocator.free)
		list->allocator.free(list->allocator.arg, memory, bytes);
	else
		port_free(memory);
}

static size_t roll_bytes(uint64_t room)
{
	return sizeof(struct roll) + room * sizeof(struct mirror__entry *);
}

static struct roll *new_roll(struct mirror_list *list, uint64_t room)
{
	struct roll *roll = list_alloc(list, roll_bytes(room));

	if (roll)
		roll->room = room;
	return roll;
}

static void free_roll(struct mirror_list *list, struct roll *roll)
{
	if (roll)
		list_free(list, roll, roll_bytes(roll->room));
}

void retire_entry_(struct mirror_list *list, struct mirror__entry *e)
{
	e->next = list->retired.entries;
	list->retired.entries = e;
	list->retired.bytes += sizeof(*e);
}

static void retire_roll(struct mirror_list *list, struct roll *roll)
{
	roll->next = list->retired.rolls;
	list->retired.rolls = roll;
	list->retired.bytes += roll_bytes(roll->room);
}

static void retire_nodes(struct mirror_list *list)
{
	struct index_node *node;

	while ((node = list->index.retired)) {
		list->index.retired = node->next;
		node->next = list->retired.nodes;
		list->retired.nodes = node;
		list->retired.bytes += sizeof(*node);
	}
}

/* Enough to be worth a grace period: a part of what is live, so that garbage stays in bounds. */
static bool is_worth_it(const struct mirror_list *list)
{
	size_t live_bytes = list->nr_mirrors * sizeof(struct mirror__entry) +
			    list->index.nr_nodes * sizeof(struct index_node);

	return list->retired.bytes >= 4096 + live_bytes / 8;
}

void take_garbage_(struct mirror_list *list, struct garbage *garbage)
{
	const struct mirror_sync *sync = list->sync;

	if (!list->grace_period || !sync->poll_state) {
		*garbage = list->retired;
		list->retired = (struct garbage){ 0 };
		return;
	}
	if (!is_worth_it(list))
		return;
	if (list->due.bytes && sync->poll_state(list->sync_state, list->due_cookie)) {
		*garbage = list->due;
		list->due = (struct garbage){ 0 };
	}
	if (!list->due.bytes) {
		list->due = list->retired;
		list->retired = (struct garbage){ 0 };
		list->due_cookie = sync->get_state(list->sync_state);
	}
}

void put_garbage_back_(struct mirror_list *list, const struct garbage *garbage)
{
	struct mirror__entry *e, *next_entry;
	struct index_node *node, *next_node;
	struct roll *roll, *next_roll;

	for (e = garbage->entries; e; e = next_entry) {
		next_entry = e->next;
		retire_entry_(list, e);
	}
	for (roll = garbage->rolls; roll; roll = next_roll) {
		next_roll = roll->next;
		retire_roll(list, roll);
	}
	for (node = garbage->nodes; node; node = next_node) {
		next_node = node->next;
		node->next = list->index.retired;
		list->index.retired = node;
	}
	retire_nodes(list);
}

void free_garbage_(struct mirror_list *list, const struct garbage *garbage)
{
	struct mirror__entry *e, *next_entry;
	struct index_node *node, *next_node;
	struct roll *roll, *next_roll;

	for (e = garbage->entries; e; e = next_entry) {
		next_entry = e->next;
		list_free(list, e, sizeof(*e));
	}
	for (roll = garbage->rolls; roll; roll = next_roll) {
		next_roll = roll->next;
		free_roll(list, roll);
	}
	for (node = garbage->nodes; node; node = next_node) {
		next_node = node->next;
		list_free(list, node, sizeof(*node));
	}
}

/* ---- the roll and the index; all under list->lock ---- */

/* mirror__place of a mirror that is in the index. */
#define IN_INDEX UINT64_MAX

void next_seq_(struct mirror_list *list)
{
	store_release(&list->seq, list->seq + 1);
}

void unlink_(struct mirror_list *list, struct mirror *m)
{
	const struct mirror__entry *e = m->mirror__entry;

	if (m->mirror__place == IN_INDEX) {
		index_remove(&list->index, e->first, e->joined, e);
		retire_nodes(list);
	} else {
		store_release(&list->roll->slot[m->mirror__place], NULL);
		list->nr_live--;
	}
}

/* The next roll: no more than half full when the live are copied to it. */
static uint64_t room_wanted(const struct mirror_list *list)
{
	return list->nr_live < SMALLEST_ROLL / 2 ? SMALLEST_ROLL : 2 * list->nr_live + 2;
}

static void replace_roll(struct mirror_list *list, struct roll *new)
{
	struct roll *old = list->roll;
	struct mirror__entry *e;

	for (uint64_t i = 0; i < old->used; i++) {
		e = old->slot[i];
		if (!e)
			continue;
		e->mirror->mirror__place = new->used;
		new->slot[new->used++] = e;
	}
	store_release(&list->roll, new);
	retire_roll(list, old);
}

static void append(struct mirror_list *list, struct mirror *m, struct mirror__entry *e)
{
	struct roll *roll = list->roll;

	m->mirror__place = roll->used;
	store_relaxed(&roll->slot[roll->used], e);
	store_release(&roll->used, roll->used + 1);
	list->nr_live++;
}

static void insert_range(struct mirror_list *list, struct mirror *m, struct mirror__entry *e)
{
	m->mirror__place = IN_INDEX;
	index_insert(&list->index, e->first, e->last, e->joined, e);
	retire_nodes(list);
}

/* ---- register ---- */

/* Memory that a registration needs, allocated before the lock is taken. */
struct supply {
	bool is_range;
	struct roll *roll;
};

/* Under lock: there is room for one more mirror; makes it from @supply where it can. */
static bool has_room(struct mirror_list *list, struct supply *supply)
{
	if (supply->is_range)
		return list->index.nr_spare >= index_needs(&list->index);
	if (list->roll->used < list->roll->room)
		return true;
	if (!supply->roll || supply->roll->room < room_wanted(list))
		return false;
	replace_roll(list, supply->roll);
	supply->roll = NULL;
	return true;
}

/* Under lock, given up meanwhile: allocate what was missing.  0 or -ENOMEM. */
static int get_room(struct mirror_list *list, struct supply *supply)
{
	uint64_t room = room_wanted(list);
	struct index_node *node = NULL;

	port_mutex_unlock(&list->lock);
	if (supply->is_range) {
		node = list_alloc(list, sizeof(*node));
	} else {
		free_roll(list, supply->roll);
		supply->roll = new_roll(list, room);
	}
	port_mutex_lock(&list->lock);
	if (node)
		index_give_spare(&list->index, node);
	return node || supply->roll ? 0 : -ENOMEM;
}

/* Over a lock, the caller excludes walks. */
static int insert(struct mirror_list *list, struct mirror *m, struct mirror__entry *e, bool is_range)
{
	struct supply supply = { .is_range = is_range };
	struct garbage garbage = { 0 };
	int rc = 0;

	port_mutex_lock(&list->lock);
	while (!list->released && !has_room(list, &supply) && !rc)
		rc = get_room(list, &supply);
	if (list->released)
		rc = -ESHUTDOWN;
	if (!rc) {
		e->joined = list->seq + 1;
		if (is_range)
			insert_range(list, m, e);
		else
			append(list, m, e);
		list->nr_mirrors++;
		m->mirror__list = list;
		m->mirror__settle = UNSETTLED;
		store_relaxed(&m->mirror__entry, e);
		set_state_(m, STATE_REGISTERED);
		next_seq_(list); /* A (pairs with mirror_walk.c:A): the entry before seq */
		if (!list->grace_period || list->sync->poll_state)
			take_garbage_(list, &garbage);
	}
	port_mutex_unlock(&list->lock);
	free_roll(list, supply.roll);
	free_garbage_(list, &garbage);
	return rc;
}

static int add(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops,
	       uint64_t first, uint64_t last, bool is_range)
{
	struct mirror__entry *e;
	int rc;

	if (!list || !m || !ops ||
	    (ops->size != sizeof(*ops) && ops->size != offsetof(struct mirror_ops, finish)))
		return -EINVAL;
	if (get_state_(m) != STATE_NONE && get_state_(m) != STATE_GONE)
		return -EBUSY;
	if (!list->grace_period && in_callback_(list))
		return -EDEADLK;
	e = list_alloc(list, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct mirror__entry){
		.mirror = m,
		.first = first,
		.last = last,
		.released = NEVER,
		.fills_from = NEVER,
	};
	rc = list->grace_period ? 0 : list->sync->write_lock(list->sync_state, PORT_FOREVER);
	if (!rc) {
		m->ops = ops;
		rc = insert(list, m, e, is_range);
		if (!list->grace_period)
			list->sync->write_unlock(list->sync_state);
	}
	if (rc)
		list_free(list, e, sizeof(*e));
	return rc;
}

int mirror_register(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops)
{
	return add(list, m, ops, 0, UINT64_MAX, false);
}

int mirror_register_range(struct mirror_list *list, struct mirror *m, const struct mirror_ops *ops,
			  uint64_t start, uint64_t end)
{
	return start < end ? add(list, m, ops, start, end - 1, true) : -EINVAL;
}

int mirror_list_get_stats(struct mirror_list *list, struct mirror_list_stats *stats)
{
	struct walker *w;

	if (!list || !stats || stats->size != sizeof(*stats))
		return -EINVAL;
	port_mutex_lock(&list->lock);
	*stats = (struct mirror_list_stats){
		.size = sizeof(*stats),
		.registered = list->nr_mirrors,
		.walks = load_relaxed(&list->homeless.walks),
		.callbacks = load_relaxed(&list->homeless.callbacks),
		.refusals = load_relaxed(&list->homeless.refusals),
		.drains = list->nr_drains,
		.longest_drain_ns = list->longest_drain_ns,
		.retired_bytes = list->retired.bytes + list->due.bytes,
	};
	port_mutex_unlock(&list->lock);
	for (struct cells_walk i = cells_first(&list->walkers); (w = cells_next(&i)); ) {
		stats->walks += load_relaxed(&w->walks);
		stats->callbacks += load_relaxed(&w->callbacks);
		stats->refusals += load_relaxed(&w->refusals);
	}
	return 0;
}

/* ---- release ---- */

static void release_one(const struct walk *walk, struct mirror__entry *e)
{
	struct mirror_list *list = walk->list;
	struct mirror *m;

	if (!pin_(walk, e))
		return;
	m = e->mirror;
	if (MUTANT(UNLINK_BEFORE_RELEASE)) {
		port_mutex_lock(&list->lock);
		store_relaxed(&e->released, list->seq + 1);
		next_seq_(list);
		port_mutex_unlock(&list->lock);
	}
	if (m->ops->release)
		m->ops->release(m);
	if (MUTANT(RELEASE_TWICE) && m->ops->release)
		m->ops->release(m);
	port_mutex_lock(&list->lock);
	store_relaxed(&e->released, list->seq + 1); /* published by seq */
	next_seq_(list);
	port_mutex_unlock(&list->lock);
	unpin_(walk, e);
}

int mirror_list_release(struct mirror_list *list)
{
	struct walk walk __attribute__((cleanup(leave_))) = { .walker = NULL };
	struct order order __attribute__((cleanup(order_end))) = { .pages = NULL };
	struct view all = { .seq = NEVER - 1, .last = UINT64_MAX, .before = NEVER };
	struct mirror__entry *e;
	bool again;
	int rc;

	if (!list)
		return -EINVAL;
	if (in_callback_(list))
		return -EDEADLK;
	rc = enter_(&walk, list, "release", MIRROR_MAX_DEPTH, true);
	if (rc)
		return rc;
	port_mutex_lock(&list->lock);
	again = list->released;
	list->released = true; /* nobody registers any more */
	port_mutex_unlock(&list->lock);
	if (again)
		return -EALREADY;
	order_begin(&order, list, &all, false);
	while ((e = order_next(&order)))
		release_one(&walk, e);
	return 0;
}

/* ---- mirrors ---- */

static uintptr_t state_mark(const struct mirror *m)
{
	return ((uintptr_t)m << 4) ^ (uintptr_t)0x6d6972726f724000;
}

enum mirror_state get_state_(const struct mirror *m)
{
	uintptr_t state = load_acquire(&m->mirror__state) ^ state_mark(m);

	return state <= STATE_GONE ? (enum mirror_state)state : STATE_NONE;
}

void set_state_(struct mirror *m, enum mirror_state state)
{
	store_release(&m->mirror__state, state_mark(m) ^ (uintptr_t)state);
}

void misuse_(const struct mirror_list *list, const char *function, const char *rule)
{
	fprintf(stderr, "mirror list %s: %s: %s\n",
		list && list->name[0] ? list->name : "(unnamed)", function, rule);
}

/* ---- create and destroy ---- */

static struct mirror_list *list_of(struct cells *cells)
{
	return (struct mirror_list *)((char *)cells - offsetof(struct mirror_list, walkers));
}

static bool vacate(struct cells *cells, void *mine)
{
	const struct walker *w = mine;

	if (w->depth)
		misuse_(list_of(cells), w->what[w->depth - 1], "its thread exits inside this callback");
	return !w->depth;
}

/* Its walks are not under way here. */
static void vanish(struct cells *cells, void *its)
{
	struct walker *w = its;

	(void)cells;
	for (int i = 0; i < MAX_PINS; i++)
		w->pin[i] = NULL;
	w->depth = 0;
}

static void before_fork(struct cells *cells)
{
	port_mutex_lock(&list_of(cells)->lock);
}

static void after_fork(struct cells *cells, bool in_child)
{
	struct mirror_list *list = list_of(cells);
	struct walker *mine = cells_mine(cells);

	if (in_child && mine)
		store_relaxed(&mine->tid, (uint64_t)port_tid());
	if (in_child && list->homeless.thread && list->homeless.thread != port_homeless()) {
		vanish(cells, &list->homeless);
		list->homeless.thread = NULL;
		port_mutex_init(&list->homeless_lock);
	}
	port_mutex_unlock(&list->lock);
}

static const struct cells_ops walker_cells = { vacate, vanish, before_fork, after_fork };

static bool is_complete(const struct mirror_sync *sync)
{
	if (sync->size != sizeof(*sync) || !sync->read_lock != !sync->read_unlock)
		return false;
	if (sync->kind == MIRROR_SYNC_LOCK)
		return sync->write_lock && sync->write_unlock;
	return sync->kind == MIRROR_SYNC_GRACE_PERIOD && sync->synchronize &&
	       !sync->get_state == !sync->poll_state;
}

/* What a list is made of, in this order; what was made is taken back where one fails. */
static int build(struct mirror_list *list)
{
	struct usrcu_attr attr = {
		.size = sizeof(attr),
		.name = list->name,
		.flags = list->membarrier ? 0 : USRCU_FULL_FENCE,
	};
	int rc;

	list->roll = new_roll(list, SMALLEST_ROLL);
	if (!list->roll)
		return -ENOMEM;
	rc = cells_init(&list->walkers, &walker_cells, sizeof(struct walker));
	if (rc)
		goto free_roll;
	rc = usrcu_create(&list->brackets, &attr);
	if (rc)
		goto destroy_walkers;
	rc = list->sync->create ? list->sync->create(&list->sync_state) : 0;
	if (rc)
		goto destroy_brackets;
	return 0;

destroy_brackets:
	usrcu_destroy(list->brackets);
destroy_walkers:
	cells_destroy(&list->walkers);
free_roll:
	free_roll(list, list->roll);
	return rc;
}

int mirror_list_create(struct mirror_list **list, const struct mirror_list_attr *attr)
{
	static const struct mirror_list_attr defaults = { .size = sizeof(defaults) };
	static const struct mirror_allocator from_malloc;
	const struct mirror_allocator *allocator;
	const struct mirror_sync *sync;
	struct mirror_list *l;
	int rc;

	if (!attr)
		attr = &defaults;
	if (!list || attr->size != sizeof(*attr) ||
	    attr->flags & ~(unsigned)(MIRROR_LIST_DRAIN_DOMAIN | MIRROR_LIST_FULL_FENCE))
		return -EINVAL;
	sync = attr->sync ? attr->sync : &mirror_sync_srcu;
	allocator = attr->allocator ? attr->allocator : &from_malloc;
	if (!is_complete(sync) || !allocator->alloc != !allocator->free)
		return -EINVAL;
	l = allocator->alloc ? allocator->alloc(allocator->arg, sizeof(*l)) : port_alloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	port_mutex_init(&l->lock);
	port_mutex_init(&l->homeless_lock);
	l->sync = sync;
	l->grace_period = sync->kind == MIRROR_SYNC_GRACE_PERIOD;
	l->targeted = sync->poll_state && !(attr->flags & MIRROR_LIST_DRAIN_DOMAIN);
	l->membarrier = !(attr->flags & MIRROR_LIST_FULL_FENCE) && port_membarrier_register() == 0;
	l->allocator = *allocator;
	l->stall_ns = attr->stall_ns;
	l->stall = attr->stall;
	l->stall_arg = attr->stall_arg;
	snprintf(l->name, sizeof(l->name), "%s", attr->name ? attr->name : "");
	rc = build(l);
	if (rc) {
		list_free(l, l, sizeof(*l));
		return rc;
	}
	*list = l;
	return 0;
}

int mirror_list_destroy(struct mirror_list *list)
{
	struct mirror_allocator allocator;
	struct index_node *node;
	bool busy;

	if (!list)
		return -EINVAL;
	port_mutex_lock(&list->lock);
	busy = list->nr_mirrors || list->nr_pending;
	port_mutex_unlock(&list->lock);
	/* An open bracket is a section of brackets, and a walk outside of one is in a callback. */
	if (busy || in_callback_(list) || usrcu_synchronize_timeout(list->brackets, 0))
		return -EBUSY;
	if (list->sync->destroy && list->sync->destroy(list->sync_state))
		return -EBUSY;
	usrcu_destroy(list->brackets);
	free_garbage_(list, &list->due);
	free_garbage_(list, &list->retired);
	while ((node = index_dismantle(&list->index)))
		list_free(list, node, sizeof(*node));
	free_roll(list, list->roll);
	cells_destroy(&list->walkers);
	allocator = list->allocator;
	if (allocator.free)
		allocator.free(allocator.arg, list, sizeof(*list));
	else
		port_free(list);
	return 0;
}
