/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Runs gnuplot and turns the fixed colours of its SVG into the page's; svg.h describes both. */
#include "svg.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../comparators/families.h"
#include "../measure/bench.h"
#include "table.h"

enum { NR_SERIES = NR_FAMILIES, NR_MARKS = 8 };

/*
 * By family, after Okabe and Ito, whose palette colour-blind readers can tell apart: grey, blue, green, vermilion,
 * purple, ochre.  Each has three times the contrast with its page that large shapes need.
 */
static const char *const light[NR_SERIES] = { "#767676", "#0072b2", "#00875f", "#d05a00", "#a8559a", "#8a6d00" };
static const char *const dark[NR_SERIES] = { "#a8a8a8", "#56b4e9", "#2fd0a0", "#ff8a4c", "#e79ac8", "#f0e442" };

const char *svg_colour(int index)
{
	return light[index % NR_SERIES];
}

int svg_mark(int index)
{
	static const int marks[NR_MARKS] = { 7, 4, 9, 12, 5, 6, 11, 2 };

	return marks[index % NR_MARKS];
}

const char *svg_css(int for_dark)
{
	static char css[2][NR_SERIES * 32];
	const char *const *colours = for_dark ? dark : light;
	size_t used = 0;

	for (int i = 0; i < NR_SERIES; i++)
		used += (size_t)snprintf(css[for_dark] + used, sizeof(css[for_dark]) - used, "--series-%d:%s;", i, colours[i]);
	return css[for_dark];
}

/* Runs gnuplot with @script as its input and returns what it writes. */
static char *run_gnuplot(const char *script)
{
	char path[] = "/tmp/mirror-bench-XXXXXX", command[64];
	size_t size = 0, used = 0, n;
	char *output = NULL, *grown;
	FILE *pipe;
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, script, strlen(script)) != (ssize_t)strlen(script)) {
		bench_complain("cannot write %s: %s: a figure is missing; make room there", path, strerror(errno));
		if (fd >= 0) {
			close(fd);
			unlink(path);
		}
		return NULL;
	}
	close(fd);
	snprintf(command, sizeof(command), "gnuplot %s", path);
	pipe = popen(command, "re");
	while (pipe) {
		if (used + 4096 > size) {
			size = 2 * size + 65536;
			grown = realloc(output, size);
			if (!grown)
				break;
			output = grown;
		}
		n = fread(output + used, 1, size - used - 1, pipe);
		used += n;
		if (n == 0)
			break;
	}
	if (output)
		output[used] = '\0';
	if (!pipe || pclose(pipe) != 0 || used == 0) {
		bench_complain("gnuplot failed over %s, which is kept", path);
		free(output);
		return NULL;
	}
	unlink(path);
	return output;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Whether @red, @green, @blue are the colour "#rrggbb". */
static bool is_colour(const char *hex, int red, int green, int blue)
{
	return red == hex_digit(hex[1]) * 16 + hex_digit(hex[2]) &&
	       green == hex_digit(hex[3]) * 16 + hex_digit(hex[4]) &&
	       blue == hex_digit(hex[5]) * 16 + hex_digit(hex[6]);
}

static void write_colour(int red, int green, int blue, FILE *out)
{
	if (red + green + blue == 0) {
		fputs("currentColor", out);
		return;
	}
	if (is_colour(SVG_GRID, red, green, blue)) {
		fputs("var(--line)", out);
		return;
	}
	for (int i = 0; i < NR_SERIES; i++) {
		if (is_colour(light[i], red, green, blue)) {
			fprintf(out, "var(--series-%d)", i);
			return;
		}
	}
	fprintf(out, "rgb(%d,%d,%d)", red, green, blue);
}

static void write_title(const char *title, FILE *out)
{
	fputs("<title>", out);
	html_escaped(title, out);
	fputs("</title>", out);
}

/*
 * gnuplot writes colours as "black" and as rgb( r, g, b); ids begin with "gp" or "gnuplot", and are
 * referred to by "#gp...".  What stands before the svg element is not for HTML.  A title is what a screen reader says,
 * and what a browser shows under the pointer: the first is gnuplot's name, the others what it was told to plot.
 */
static void adapt(const char *svg, const struct svg_words *words, const char *name, FILE *out)
{
	size_t nr_titles = 0;
	int red, green, blue, used;
	const char *start = strstr(svg, "<svg");

	for (const char *p = start ? start : svg; *p;) {
		used = 0;
		if (strncmp(p, "<title>", 7) == 0 && strstr(p, "</title>")) {
			if (nr_titles == 0)
				write_title(words->title, out);
			else if (nr_titles <= words->nr_plots)
				write_title(words->plots[nr_titles - 1], out);
			nr_titles++;
			p = strstr(p, "</title>") + strlen("</title>");
		} else if (words->areas && strncmp(p, "</svg>", 6) == 0) {
			fprintf(out, "%s</svg>", words->areas);
			p += 6;
		} else if (sscanf(p, "rgb(%d,%d,%d)%n", &red, &green, &blue, &used) == 3 && used > 0) {
			write_colour(red, green, blue, out);
			p += used;
		} else if (strncmp(p, "\"black\"", 7) == 0 || strncmp(p, "'black'", 7) == 0) {
			fprintf(out, "%ccurrentColor%c", *p, *p);
			p += 7;
		} else if (strncmp(p, "id=\"", 4) == 0 || strncmp(p, "id='", 4) == 0) {
			fprintf(out, "%.4s%s-", p, name);
			p += 4;
		} else if (strncmp(p, "href='#", 7) == 0 || strncmp(p, "href=\"#", 7) == 0) {
			fprintf(out, "%.7s%s-", p, name);
			p += 7;
		} else if (strncmp(p, "url(#", 5) == 0) {
			fprintf(out, "url(#%s-", name);
			p += 5;
		} else {
			fputc(*p++, out);
		}
	}
}

static bool failed;

bool svg_has_failed(void)
{
	return failed;
}

char *svg_draw(const char *script, const char *name, const struct svg_words *words)
{
	char *raw = run_gnuplot(script), *adapted = NULL;
	size_t size;
	FILE *out;

	if (!raw) {
		failed = true;
		return NULL;
	}
	out = open_memstream(&adapted, &size);
	if (out) {
		adapt(raw, words, name, out);
		fclose(out);
	}
	free(raw);
	return adapted;
}

const char *svg_program_version(void)
{
	static char version[64];
	FILE *pipe = popen("gnuplot --version 2>/dev/null", "re");
	bool read = pipe && fgets(version, sizeof(version), pipe);

	if (pipe && pclose(pipe) != 0)
		read = false;
	version[strcspn(version, "\n")] = '\0';
	return read ? version : NULL;
}
