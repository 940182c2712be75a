/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * A program that loads plug-ins of plugin_copy.c; t/tree/plugin builds it.
 *
 *      plugin_host early ROUNDS PLUGIN     each is closed before a thread that has used it exits
 *      plugin_host copies PLUGIN...        all are loaded at once
 *      plugin_host beside PLUGIN           with HOST_USES_LIBRARY: the program has a library of its own
 */

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HOST_USES_LIBRARY
#include <mirror/usrcu.h>
#endif

struct plugin {
	void *handle;
	int (*open)(void), (*use)(void), (*close)(void);
};

struct user {
	struct plugin *plugin;
	int nr, got;
	sem_t used, leave;
	pthread_t thread;
};

static void must(int condition, const char *what)
{
	if (condition)
		return;
	printf("failed: %s\n", what);
	exit(1);
}

static int load(struct plugin *p, const char *path)
{
	p->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!p->handle) {
		printf("%s\n", dlerror());
		return 0;
	}
	p->open = (int (*)(void))dlsym(p->handle, "plugin_open");
	p->use = (int (*)(void))dlsym(p->handle, "plugin_use");
	p->close = (int (*)(void))dlsym(p->handle, "plugin_close");
	must(p->open && p->use && p->close, "the plug-in has its functions");
	must(p->open() == 0, "open");
	return 1;
}

/* Uses plug-ins, and lives on until it may leave. */
static void *use(void *arg)
{
	struct user *u = arg;

	for (int i = 0; i < u->nr; i++)
		u->got += u->plugin[i].use();
	sem_post(&u->used);
	sem_wait(&u->leave);
	return NULL;
}

static void start(struct user *u, struct plugin *plugin, int nr)
{
	*u = (struct user){ .plugin = plugin, .nr = nr };
	sem_init(&u->used, 0, 0);
	sem_init(&u->leave, 0, 0);
	must(pthread_create(&u->thread, NULL, use, u) == 0, "a thread starts");
	sem_wait(&u->used);
}

static void end(struct user *u)
{
	sem_post(&u->leave);
	pthread_join(u->thread, NULL);
}

/* Pages of the process, mapped and in memory. */
static void pages(long *mapped, long *resident)
{
	FILE *in = fopen("/proc/self/statm", "r");

	must(in && fscanf(in, "%ld %ld", mapped, resident) == 2, "statm is read");
	fclose(in);
}

static int closed_early(int rounds, const char *path)
{
	long mapped = 0, resident = 0, mapped_after, resident_after;
	int nr_unmapped = 0;
	struct plugin p;
	struct user u;

	for (int i = 0; i < rounds; i++) {
		void *again;

		if (i == rounds / 2)
			pages(&mapped, &resident);
		must(load(&p, path), "the plug-in loads");
		start(&u, &p, 1);
		must(u.got == 3, "a use in a thread");
		must(p.use() == 3, "a use in the main thread, which has used each round's");
		must(p.close() == 0, "close");
		must(dlclose(p.handle) == 0, "dlclose");
		again = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
		nr_unmapped += !again;
		if (again)
			dlclose(again);
		end(&u);
	}
	pages(&mapped_after, &resident_after);
	printf("rounds %d, unmapped %d, pages a round: mapped %.1f, resident %.1f\n", rounds, nr_unmapped,
	       (double)(mapped_after - mapped) / (rounds - rounds / 2),
	       (double)(resident_after - resident) / (rounds - rounds / 2));
	return 0;
}

static int copies(int nr, char **path)
{
	struct plugin *p = calloc((size_t)nr, sizeof(*p));
	struct user u, later;
	int loaded = 0;

	must(p != NULL, "memory");
	/* This thread is there before any copy is. */
	start(&u, p, 0);
	while (loaded < nr && load(&p[loaded], path[loaded]))
		loaded++;
	end(&u);
	start(&later, p, loaded);
	must(later.got == 3 * loaded, "each copy is used in a thread");
	for (int i = 0; i < loaded; i++)
		must(p[i].use() == 3 && p[i].close() == 0, "each copy is used and closed");
	end(&later);
	for (int i = 0; i < loaded; i++)
		must(dlclose(p[i].handle) == 0, "dlclose");
	free(p);
	printf("copies %d\n", loaded);
	return 0;
}

#ifdef HOST_USES_LIBRARY
static int beside(const char *path)
{
	struct usrcu *domain;
	usrcu_cookie_t cookie;
	struct plugin p;
	struct user u;
	int token;

	must(usrcu_create(&domain, NULL) == 0, "a domain");
	token = usrcu_read_lock(domain);
	cookie = usrcu_start_poll(domain);
	must(load(&p, path), "the plug-in loads");
	start(&u, &p, 1);
	must(u.got == 3, "a use of the plug-in in a thread");
	/* synchronize on the plug-in's domain does not wait for this section, the program's own does. */
	must(p.use() == 3, "a use of the plug-in in a section of the program");
	must(!usrcu_poll_state(domain, cookie), "the program's grace period waits for the program's section");
	must(usrcu_read_lock_held(domain), "the section is open");
	usrcu_read_unlock(domain, token);
	must(usrcu_synchronize(domain) == 0 && usrcu_poll_state(domain, cookie), "the grace period ends");
	must(p.close() == 0 && dlclose(p.handle) == 0, "close");
	must(usrcu_destroy(domain) == 0, "destroy");
	end(&u);
	puts("right");
	return 0;
}
#endif

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3 && strcmp(argv[1], "early") == 0)
		return closed_early(atoi(argv[2]), argv[3]);
	if (argc > 2 && strcmp(argv[1], "copies") == 0)
		return copies(argc - 2, argv + 2);
#ifdef HOST_USES_LIBRARY
	if (argc > 2 && strcmp(argv[1], "beside") == 0)
		return beside(argv[2]);
#endif
	return 2;
}
