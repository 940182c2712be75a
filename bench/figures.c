/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Figures: data and a gnuplot script for each question, drawn as SVG
 *
 * Every comparator has the same colour and the same mark in all figures.  The script names fixed
 * colours; svg.c turns them into the page's own, so that one drawing serves light, dark and print.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "report.h"
#include "summary.h"
#include "svg.h"

/* The index of a comparator in the whole run, which decides its colour and mark. */
static int style_of(const json_t *results, const char *comparator)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t n = summary_comparators(results, NULL, names);

	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], comparator) == 0)
			return (int)i;
	return 0;
}

static void begin(FILE *script, int width, int height)
{
	fprintf(script, "set terminal svg size %d,%d dynamic enhanced font 'sans-serif,13' linewidth 1.2\n"
		"set border 3 lc rgb '#000000' lw 0.8\n"
		"set tics nomirror\n"
		"set grid ytics lc rgb '" SVG_GRID "' lw 0.6 dt 1\n"
		"set style fill solid 0.9 noborder\n"
		"set boxwidth 0.7\n"
		"unset key\n", width, height);
}

/*
 * One datablock with a row for each comparator: index, name, colour, median, low, high.  Returns
 * how many rows.
 */
static size_t bar_data(const json_t *results, FILE *script, const char *block, const char *question,
		       const char *case_name, const char *metric, const char *base, double scale)
{
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, question, names), n = 0;
	struct estimate e;

	fprintf(script, "$%s << END\n", block);
	for (size_t k = 0; k < nr_names; k++) {
		bool known = base ? summary_ratio(results, question, case_name, names[k], base, metric, &e) :
				    summary_value(results, question, case_name, names[k], metric, &e);

		if (known)
			fprintf(script, "%zu \"%s\" 0x%s %.9g %.9g %.9g\n", n++, names[k],
				svg_colour(style_of(results, names[k])) + 1, e.median * scale, e.low * scale,
				e.high * scale);
	}
	fputs("END\n", script);
	return n;
}

static const char *const bars =
	"using 1:4:3:xtic(2) with boxes lc rgb variable, "
	"'' using 1:4:5:6 with yerrorbars lc rgb '#000000' pt 0 lw 1";

/* On a logarithmic axis boxes have no foot: marks with their interval instead. */
static const char *const marks =
	"using 1:4:3:xtic(2) with points pt 7 ps 1.1 lc rgb variable, "
	"'' using 1:4:5:6 with yerrorbars lc rgb '#000000' pt 0 lw 1";

static const char *const log_ns_axis =
	"set logscale y\n"
	"set ytics ('10 ns' 10, '100 ns' 100, '1 us' 1e3, '10 us' 1e4, '100 us' 1e5, '1 ms' 1e6, "
	"'10 ms' 1e7, '100 ms' 1e8, '1 s' 1e9)\n";

static const char *const slanted = "set xtics rotate by -30\n";

static bool summary_figure(const json_t *results, FILE *script)
{
	const char *name = report_headline_case(results);
	size_t left = 0, right;

	begin(script, 900, 340);
	if (name)
		left = bar_data(results, script, "speed", "throughput", name, "invalidations_per_s", "none", 1);
	right = bar_data(results, script, "trap", "trap", NULL, "latency_p99_9_ns", NULL, 1);
	fprintf(script, "%sset multiplot layout 1,%d\n", slanted, (left > 0) + (right > 0));
	if (left > 0)
		fprintf(script, "set title '%d publishers, %d mirrors: speed relative to no synchronisation'\n"
			"set yrange [0:*]\nset xrange [-0.6:%zu - 0.4]\nplot $speed %s\n",
			summary_parameter(results, "throughput", name, "publishers"),
			summary_parameter(results, "throughput", name, "mirrors"), left, bars);
	if (right > 0)
		fprintf(script, "set title 'Fairness trap: a publisher''s p99.9'\n"
			"set yrange [100:1e8]\n%sset xrange [-0.6:%zu - 0.4]\nplot $trap %s\n",
			log_ns_axis, right, marks);
	fputs("unset multiplot\n", script);
	return left + right > 0;
}

/* A panel for each number of mirrors; in each, a line over publishers for each comparator. */
static bool throughput_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, "throughput", cases);
	size_t nr_names = summary_comparators(results, "throughput", names);
	int panels[SUMMARY_MAX_CASES];
	int nr_panels = 0, most = 1;
	struct estimate e;

	for (size_t i = 0; i < nr_cases; i++) {
		int mirrors = summary_parameter(results, "throughput", cases[i], "mirrors"), k = 0;
		int publishers = summary_parameter(results, "throughput", cases[i], "publishers");

		while (k < nr_panels && panels[k] != mirrors)
			k++;
		if (k == nr_panels)
			panels[nr_panels++] = mirrors;
		most = publishers > most ? publishers : most;
	}
	begin(script, 900, 380);
	for (int p = 0; p < nr_panels; p++) {
		for (size_t k = 0; k < nr_names; k++) {
			fprintf(script, "$d_%d_%zu << END\n", p, k);
			for (size_t i = 0; i < nr_cases; i++)
				if (summary_parameter(results, "throughput", cases[i], "mirrors") == panels[p] &&
				    summary_value(results, "throughput", cases[i], names[k], "invalidations_per_s", &e))
					fprintf(script, "%d %.9g %.9g %.9g\n",
						summary_parameter(results, "throughput", cases[i], "publishers"),
						e.median / 1e6, e.low / 1e6, e.high / 1e6);
			fputs("END\n", script);
		}
	}
	fprintf(script, "set multiplot layout 1,%d margins 0.06,0.98,0.30,0.90 spacing 0.06\n"
		"set xrange [%g:%g]\nset yrange [0:*]\nset xtics 1,%d\nset xlabel 'publishers' offset 0,0.5\n"
		"set ylabel 'million invalidations a second' offset 1.5,0\n",
		nr_panels, most == 1 ? 0.5 : 1 - 0.06 * most, most == 1 ? 1.5 : most * 1.06,
		most > 8 ? most / 8 : 1);
	for (int p = 0; p < nr_panels; p++) {
		fprintf(script, "set title '%d mirror%s'\n", panels[p], panels[p] == 1 ? "" : "s");
		if (p == (nr_panels - 1) / 2)
			fputs("set key at screen 0.5,0.02 center bottom maxrows 2 samplen 1.5\n", script);
		else
			fputs("unset key\n", script);
		fputs("plot ", script);
		for (size_t k = 0; k < nr_names; k++)
			fprintf(script, "%s$d_%d_%zu using 1:2:3:4 with yerrorlines lc rgb '%s' pt %d ps 0.9 lw 1.6 "
				"title '%s'", k ? ", " : "", p, k, svg_colour(style_of(results, names[k])),
				svg_mark(style_of(results, names[k])), names[k]);
		fputs("\nunset ylabel\n", script);
	}
	fputs("unset multiplot\n", script);
	return nr_panels > 0;
}

static bool trap_figure(const json_t *results, FILE *script)
{
	static const struct { const char *label, *metric; } points[] = {
		{ "p50", "latency_p50_ns" }, { "p90", "latency_p90_ns" }, { "p99", "latency_p99_ns" },
		{ "p99.9", "latency_p99_9_ns" }, { "max", "latency_max_ns" },
	};
	const char *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_names = summary_comparators(results, "trap", names);
	struct estimate e;

	begin(script, 900, 400);
	for (size_t k = 0; k < nr_names; k++) {
		fprintf(script, "$d_%zu << END\n", k);
		for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
			if (summary_value(results, "trap", NULL, names[k], points[i].metric, &e))
				fprintf(script, "%zu \"%s\" %.9g %.9g %.9g\n", i, points[i].label, e.median, e.low,
					e.high);
		fputs("END\n", script);
	}
	fprintf(script, "%sset xrange [-0.3:4.3]\nset yrange [50:1e8]\n"
		"set ylabel 'from when it was due until it was done' offset 1,0\n"
		"set key outside right center samplen 1.5\nplot ", log_ns_axis);
	for (size_t k = 0; k < nr_names; k++)
		fprintf(script, "%s$d_%zu using 1:3:4:5:xtic(2) with yerrorlines lc rgb '%s' pt %d ps 0.9 lw 1.6 "
			"title '%s'", k ? ", " : "", k, svg_colour(style_of(results, names[k])),
			svg_mark(style_of(results, names[k])), names[k]);
	fputc('\n', script);
	return nr_names > 0;
}

/* A panel each for idle and busy; p50 as a full mark, p99 as an open one above it. */
static bool unregister_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "unregister", cases), rows = 0;
	char block[32];

	begin(script, 900, 360);
	for (size_t i = 0; i < nr_cases; i++) {
		snprintf(block, sizeof(block), "p50_%zu", i);
		rows = bar_data(results, script, block, "unregister", cases[i], "unregister_p50_ns", NULL, 1);
		snprintf(block, sizeof(block), "p99_%zu", i);
		bar_data(results, script, block, "unregister", cases[i], "unregister_p99_ns", NULL, 1);
	}
	fprintf(script, "%s%sset multiplot layout 1,%zu\nset yrange [50:1e9]\nset xrange [-0.6:%zu - 0.4]\n",
		log_ns_axis, slanted, nr_cases ? nr_cases : 1, rows);
	for (size_t i = 0; i < nr_cases; i++) {
		int publishers = summary_parameter(results, "unregister", cases[i], "publishers");

		if (publishers == 0)
			fputs("set title 'idle: p50 full, p99 open'\n", script);
		else
			fprintf(script, "set title 'busy, %d publisher%s: p50 full, p99 open'\n", publishers,
				publishers == 1 ? "" : "s");
		fprintf(script, "plot $p50_%zu %s, $p99_%zu using 1:4:3 with points pt 6 ps 1.1 lc rgb variable\n", i,
			marks, i);
	}
	fputs("unset multiplot\n", script);
	return nr_cases > 0;
}

static bool replay_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, "replay", cases);
	size_t nr_names = summary_comparators(results, "replay", names);
	struct estimate e;

	begin(script, 900, 400);
	for (size_t k = 0; k < nr_names; k++) {
		fprintf(script, "$d_%zu << END\n", k);
		for (size_t i = 0; i < nr_cases; i++) {
			const char *name = strchr(cases[i], '=');

			name = name ? name + 1 : cases[i];
			if (summary_value(results, "replay", cases[i], names[k], "in_list_ns_per_operation", &e))
				fprintf(script, "%g \"%.*s\" %.9g %.9g %.9g\n",
					(double)i + ((double)k - (double)(nr_names - 1) / 2) * 0.8 / (double)nr_names,
					(int)strcspn(name, ","), name, e.median, e.low, e.high);
		}
		fputs("END\n", script);
	}
	fprintf(script, "%sset yrange [50:*]\nset xrange [-0.5:%zu - 0.5]\nset xtics (", log_ns_axis, nr_cases);
	for (size_t i = 0; i < nr_cases; i++) {
		const char *name = strchr(cases[i], '=');

		name = name ? name + 1 : cases[i];
		fprintf(script, "%s'%.*s' %zu", i ? ", " : "", (int)strcspn(name, ","), name, i);
	}
	fputs(")\nset ylabel 'mean time of an operation in the list' offset 1,0\n"
	      "set key outside right center samplen 1\nplot ", script);
	for (size_t k = 0; k < nr_names; k++)
		fprintf(script, "%s$d_%zu using 1:3:4:5 with yerrorbars lc rgb '%s' pt %d ps 1.1 lw 1.4 title '%s'",
			k ? ", " : "", k, svg_colour(style_of(results, names[k])),
			svg_mark(style_of(results, names[k])), names[k]);
	fputc('\n', script);
	return nr_cases > 0;
}

static bool deadlock_figure(const json_t *results, FILE *script)
{
	size_t rows;

	begin(script, 900, 320);
	rows = bar_data(results, script, "wait", "deadlock", NULL, "publisher_waited_ns", NULL, 1);
	fprintf(script, "%s%sset yrange [50:2e9]\nset xrange [-0.6:%zu - 0.4]\n"
		"set arrow from graph 0,first 3e8 to graph 1,first 3e8 nohead lc rgb '#000000' dt 2\n"
		"set label 'B gives up' at graph 0.01,first 4.5e8\n"
		"set ylabel \"how long C's invalidation took\" offset 1,0\nplot $wait %s\n",
		log_ns_axis, slanted, rows, marks);
	return rows > 0;
}

static const struct {
	const char *question;
	bool (*draw)(const json_t *results, FILE *script);
	const char *caption;
} figures[] = {
	{ "summary", summary_figure,
	  "Left: more is better, 1 is the same walk without synchronisation. Right: less is better, logarithmic. "
	  "Bars on the marks: 95% interval." },
	{ "throughput", throughput_figure, "More is better; bars: 95% interval." },
	{ "trap", trap_figure,
	  "Less is better; logarithmic. A sync under which publishers queue behind the waiting unregister shows the "
	  "callback's 10 ms." },
	{ "unregister", unregister_figure, "Less is better; logarithmic. Bars: 95% interval of the p50." },
	{ "replay", replay_figure, "Less is better; logarithmic. Bars: 95% interval." },
	{ "deadlock", deadlock_figure, "At the dashed line: nothing moved until B gave up after 300 ms." },
};

char *figure_svg(const json_t *results, const char *question)
{
	char *script = NULL, *svg = NULL;
	size_t size;
	FILE *out;
	bool any;

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		if (strcmp(figures[i].question, question) != 0)
			continue;
		out = open_memstream(&script, &size);
		if (!out)
			return NULL;
		any = figures[i].draw(results, out);
		fclose(out);
		if (any)
			svg = svg_draw(script, question);
		free(script);
	}
	return svg;
}

const char *figure_caption(const char *question)
{
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		if (strcmp(figures[i].question, question) == 0)
			return figures[i].caption;
	return "";
}
