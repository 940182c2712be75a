/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A host of plug-ins: each plug-in subscribes some objects, and is unloaded while others publish.
 *
 * The host keeps what a plug-in registered, and takes all of it out with one wait before the plug-in's memory goes.
 * Here that memory is a mapping, as dlclose would unmap it: a late callback would fault.
 */
#include <mirror/mirror.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

enum { OBJECTS = 8, LOADS = 100 };

struct plugin {
	struct mirror_ops ops;
	struct mirror object[OBJECTS];
	unsigned heard[OBJECTS];        /* atomic */
};

static struct mirror_list *list;
static bool stop;                       /* atomic */

static int hear(struct mirror *m, const struct mirror_range *r)
{
	/* The table of callbacks stands first in the plug-in. */
	struct plugin *plugin = (struct plugin *)(uintptr_t)m->ops;

	(void)r;
	__atomic_fetch_add(&plugin->heard[m - plugin->object], 1, __ATOMIC_RELAXED);
	return 0;
}

static struct plugin *load(void)
{
	struct plugin *plugin = mmap(NULL, sizeof(*plugin), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mirror *objects[OBJECTS];

	if (plugin == MAP_FAILED)
		return NULL;
	plugin->ops = (struct mirror_ops){ .size = sizeof(plugin->ops), .invalidate_range_start = hear };
	for (int i = 0; i < OBJECTS; i++)
		objects[i] = &plugin->object[i];
	return mirror_register_many(list, objects, &plugin->ops, NULL, OBJECTS) ? NULL : plugin;
}

static int unload(struct plugin *plugin)
{
	struct mirror *objects[OBJECTS];

	for (int i = 0; i < OBJECTS; i++)
		objects[i] = &plugin->object[i];
	return mirror_unregister_many(objects, OBJECTS) || munmap(plugin, sizeof(*plugin));
}

static void *publish(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (mirror_invalidate_range(list, 0, 4096))
			return &stop;
	return unused;
}

int main(void)
{
	unsigned unloaded = 0;
	pthread_t thread;
	void *failed;

	if (mirror_list_create(&list, NULL) || pthread_create(&thread, NULL, publish, NULL))
		return 1;
	for (int i = 0; i < LOADS; i++) {
		struct plugin *plugin = load();

		if (!plugin || unload(plugin))
			return 1;
		unloaded++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &failed);
	printf("%u plug-ins loaded and unloaded beside a publisher\n", unloaded);
	return failed || mirror_list_destroy(list);
}
