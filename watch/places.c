/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Mappings come from /proc/PID/maps, read when the process is first seen and again when an address is not known, at
 * most every REFRESH_NS; functions from the symbols of the mapped file.
 */
#include "places.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REFRESH_NS = 200000000 };

/* A table of symbols as it stands in the file. */
struct symbols {
	const ElfW(Sym) *all;
	size_t nr, names_bytes;
	const char *names;
};

/* A mapped file with symbols.  It stays mapped here, for them. */
struct object {
	char *path;
	struct symbols tables[2];       /* one for the linker and one for the dynamic linker, at most */
	unsigned nr_tables;
	const ElfW(Phdr) *headers;
	unsigned nr_headers;
	struct object *next;
};

struct mapping {
	uint64_t start, end, offset;
	char *path;                     /* "" for anonymous memory */
};

struct process {
	uint32_t pid;
	uint64_t read_ns;
	struct mapping *mappings;
	size_t nr_mappings;
	struct process *next;
};

static struct process *processes;
static struct object *objects;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *must(void *memory)
{
	if (!memory) {
		fputs("mirror-watch: out of memory\n", stderr);
		exit(125);
	}
	return memory;
}

/* ---- mappings ---- */

static struct process *process_of(uint32_t pid)
{
	struct process *p;

	for (p = processes; p; p = p->next)
		if (p->pid == pid)
			return p;
	p = must(calloc(1, sizeof(*p)));
	p->pid = pid;
	p->next = processes;
	processes = p;
	return p;
}

static void forget(struct process *p)
{
	for (size_t i = 0; i < p->nr_mappings; i++)
		free(p->mappings[i].path);
	free(p->mappings);
	p->mappings = NULL;
	p->nr_mappings = 0;
}

void places_read(uint32_t pid)
{
	struct process *p = process_of(pid);
	char name[64], line[PATH_MAX + 128];
	size_t room = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%" PRIu32 "/maps", pid);
	p->read_ns = now_ns();
	file = fopen(name, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		struct mapping m;
		int at = 0;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %n", &m.start, &m.end, &m.offset, &at) < 3)
			continue;
		if (room == 0)
			forget(p); /* not before: of a process that has ended nothing is read, and what it had is kept */
		if (p->nr_mappings == room) {
			room = room ? 2 * room : 64;
			p->mappings = must(realloc(p->mappings, room * sizeof(m)));
		}
		line[strcspn(line, "\n")] = '\0';
		m.path = must(strdup(line + at));
		p->mappings[p->nr_mappings++] = m;
	}
	fclose(file);
}

void places_fork(uint32_t pid, uint32_t parent)
{
	struct process *p = process_of(pid);
	const struct process *from = process_of(parent);

	forget(p);
	p->mappings = must(malloc((from->nr_mappings + 1) * sizeof(*p->mappings)));
	for (size_t i = 0; i < from->nr_mappings; i++) {
		p->mappings[i] = from->mappings[i];
		p->mappings[i].path = must(strdup(from->mappings[i].path));
	}
	p->nr_mappings = from->nr_mappings;
	p->read_ns = from->read_ns;
}

static const struct mapping *search(const struct process *p, uint64_t address)
{
	size_t low = 0, high = p->nr_mappings;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (p->mappings[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->nr_mappings && p->mappings[low].start <= address ? &p->mappings[low] : NULL;
}

static const struct mapping *mapping_at(uint32_t pid, uint64_t address)
{
	struct process *p = process_of(pid);
	const struct mapping *m = search(p, address);

	if (!m && now_ns() - p->read_ns > REFRESH_NS) {
		places_read(pid);
		m = search(p, address);
	}
	return m;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

const char *places_mapping(uint32_t pid, uint64_t address)
{
	const struct mapping *m = mapping_at(pid, address);

	return m && m->path[0] ? last_component(m->path) : "anonymous";
}

/* ---- functions ---- */

/* A table, whose names are in the section that it links to. */
static void read_table(struct object *o, const char *image, size_t bytes, const ElfW(Shdr) *sections,
		       const ElfW(Shdr) *table)
{
	const ElfW(Shdr) *names = &sections[table->sh_link];

	if (table->sh_offset + table->sh_size > bytes || names->sh_offset + names->sh_size > bytes || o->nr_tables == 2)
		return;
	o->tables[o->nr_tables++] = (struct symbols){
		.all = (const void *)(image + table->sh_offset), .nr = table->sh_size / sizeof(ElfW(Sym)),
		.names = image + names->sh_offset, .names_bytes = names->sh_size,
	};
}

static void read_image(struct object *o, const char *image, size_t bytes)
{
	const ElfW(Ehdr) *head = (const void *)image;
	const ElfW(Shdr) *sections;

	if (bytes < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    head->e_phoff + head->e_phnum * sizeof(ElfW(Phdr)) > bytes)
		return;
	o->headers = (const void *)(image + head->e_phoff);
	o->nr_headers = head->e_phnum;
	if (!head->e_shoff || head->e_shoff + head->e_shnum * sizeof(*sections) > bytes)
		return;
	sections = (const void *)(image + head->e_shoff);
	for (unsigned i = 0; i < head->e_shnum; i++)
		if ((sections[i].sh_type == SHT_SYMTAB || sections[i].sh_type == SHT_DYNSYM) &&
		    sections[i].sh_link < head->e_shnum)
			read_table(o, image, bytes, sections, &sections[i]);
}

static struct object *object_of(const char *path)
{
	struct object *o;
	struct stat status;
	int fd;

	for (o = objects; o; o = o->next)
		if (strcmp(o->path, path) == 0)
			return o;
	o = must(calloc(1, sizeof(*o)));
	o->path = must(strdup(path));
	o->next = objects;
	objects = o;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
		void *image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

		if (image != MAP_FAILED)
			read_image(o, image, (size_t)status.st_size);
	}
	if (fd >= 0)
		close(fd);
	return o;
}

/* The address that the file's symbols go by. */
static uint64_t in_file(const struct object *o, const struct mapping *m, uint64_t address)
{
	uint64_t offset = address - m->start + m->offset;

	for (unsigned i = 0; i < o->nr_headers; i++)
		if (o->headers[i].p_type == PT_LOAD && offset >= o->headers[i].p_offset &&
		    offset < o->headers[i].p_offset + o->headers[i].p_filesz)
			return offset - o->headers[i].p_offset + o->headers[i].p_vaddr;
	return offset;
}

/* The name of the function at @address, or NULL.  Callers are few, so that it costs less to look than to sort. */
static const char *symbol_at(const struct object *o, uint64_t address)
{
	for (const struct symbols *table = o->tables; table < o->tables + o->nr_tables; table++)
		for (const ElfW(Sym) *s = table->all; s < table->all + table->nr; s++) {
			unsigned type = ELF64_ST_TYPE(s->st_info);

			if (address - s->st_value < s->st_size && (type == STT_FUNC || type == STT_GNU_IFUNC) &&
			    s->st_value && s->st_name < table->names_bytes)
				return table->names + s->st_name;
		}
	return NULL;
}

/* A name of C++ as its source has it, without the arguments, where the C++ library is there to tell; else @name. */
static const char *readable(const char *name)
{
	static char text[128];
	static char *(*demangle)(const char *name, char *room, size_t *bytes, int *status);
	char *full;

	if (strncmp(name, "_Z", 2) != 0)
		return name;
	if (!demangle) {
		void *library = dlopen("libstdc++.so.6", RTLD_LAZY), *found = library ? dlsym(library, "__cxa_demangle") : NULL;

		if (!found)
			return name;
		memcpy(&demangle, &found, sizeof(demangle));
	}
	full = demangle(name, NULL, NULL, NULL);
	if (!full)
		return name;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(full, "("), full);
	free(full);
	return text[0] ? text : name;
}

/* The function is that of the byte at @address - @back. */
static const char *code_at(uint32_t pid, uint64_t address, unsigned back)
{
	static char text[256];
	const struct mapping *m = mapping_at(pid, address);
	const char *name = NULL;
	struct object *o = NULL;

	if (m && m->path[0] == '/') {
		o = object_of(m->path);
		name = symbol_at(o, in_file(o, m, address) - back);
	}
	if (name)
		snprintf(text, sizeof(text), "%s (%s)", readable(name), last_component(m->path));
	else if (o)
		snprintf(text, sizeof(text), "%s+%#" PRIx64, last_component(m->path), in_file(o, m, address));
	else
		snprintf(text, sizeof(text), "%s", m ? "code made at run time" : "unknown");
	return text;
}

const char *places_function(uint32_t pid, uint64_t address)
{
	return code_at(pid, address, 0);
}

const char *places_caller(uint32_t pid, uint64_t address)
{
	return code_at(pid, address, 1);
}
