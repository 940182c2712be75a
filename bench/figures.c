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

static void begin(FILE *script, int width, int height)
{
	fprintf(script, "set terminal svg size %d,%d dynamic enhanced font 'sans-serif,13' linewidth 1.2\n"
		"set border 3 lc rgb '#000000' lw 0.8\n"
		"set tics nomirror\n"
		"set ytics scale 0.5\n"
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
				svg_colour(summary_style(results, question, names[k])) + 1, e.median * scale, e.low * scale,
				e.high * scale);
	}
	fputs("END\n", script);
	return n;
}

/*
 * Rows from the top, with names that are read without turning the head, and values to the right.
 * Panels beside the first have the same rows and go without the names.
 */
static void plot_bars(FILE *script, const char *block, bool named)
{
	fprintf(script, "%splot $%s using (0):(-$1):(0):4:(-$1-0.36):(-$1+0.36):3%s with boxxyerror lc rgb variable, "
		"'' using 4:(-$1):5:6 with xerrorbars lc rgb '#000000' pt 0 lw 1\n",
		named ? "" : "unset ytics\n", block, named ? ":ytic(2)" : "");
}

/* On a logarithmic axis bars have no foot: marks with their interval instead; @more: a further plot. */
static void plot_marks(FILE *script, const char *block, bool named, const char *more)
{
	fprintf(script, "%splot $%s using 4:(-$1):5:6 with xerrorbars lc rgb '#000000' pt 0 lw 1, "
		"'' using 4:(-$1):3%s with points pt 7 ps 1.2 lc rgb variable%s\n",
		named ? "" : "unset ytics\n", block, named ? ":ytic(2)" : "", more);
}

#define LOG_NS_TICS \
	"('10 ns' 10, '100 ns' 100, '1 us' 1e3, '10 us' 1e4, '100 us' 1e5, '1 ms' 1e6, '10 ms' 1e7, " \
	"'100 ms' 1e8, '1 s' 1e9)\n"

static const char *const log_ns_axis = "set logscale y\nset ytics " LOG_NS_TICS;
static const char *const log_ns_across = "set logscale x\nset xtics " LOG_NS_TICS;

static void rows(FILE *script, size_t nr_rows)
{
	fprintf(script, "unset grid\nset grid xtics lc rgb '" SVG_GRID "' lw 0.6 dt 1\nset yrange [%g:0.6]\n",
		0.4 - (double)nr_rows);
}

static bool summary_figure(const json_t *results, FILE *script)
{
	const char *name = report_headline_case(results);
	size_t left = 0, right;

	begin(script, 900, 300);
	if (name)
		left = bar_data(results, script, "speed", "throughput", name, "invalidations_per_s", "none", 1);
	right = bar_data(results, script, "trap", "trap", NULL, "latency_p99_9_ns", NULL, 1);
	if (left > 0 && right > 0)
		fputs("set multiplot layout 1,2 margins 0.19,0.97,0.12,0.88 spacing 0.05\n", script);
	else
		fputs("set multiplot layout 1,1 margins 0.19,0.97,0.12,0.88\n", script);
	rows(script, left > right ? left : right);
	if (left > 0)
		fputs("set title 'Speed, relative to no synchronisation'\nset xrange [0:*]\n", script);
	if (left > 0)
		plot_bars(script, "speed", true);
	if (right > 0)
		fprintf(script, "set title \"Fairness trap: a publisher's p99.9\"\nset xrange [100:1e8]\n%s", log_ns_across);
	if (right > 0)
		plot_marks(script, "trap", left == 0, "");
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
	/* A little apart from each other, so that intervals stay visible. */
	for (int p = 0; p < nr_panels; p++) {
		for (size_t k = 0; k < nr_names; k++) {
			double apart = ((double)k - (double)(nr_names - 1) / 2) * 0.012 * most;

			fprintf(script, "$d_%d_%zu << END\n", p, k);
			for (size_t i = 0; i < nr_cases; i++)
				if (summary_parameter(results, "throughput", cases[i], "mirrors") == panels[p] &&
				    summary_value(results, "throughput", cases[i], names[k], "invalidations_per_s", &e))
					fprintf(script, "%.9g %.9g %.9g %.9g\n",
						summary_parameter(results, "throughput", cases[i], "publishers") + apart,
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
			fputs("set key at screen 0.5,0.02 center bottom maxrows 2 samplen 1.5 width -3\n", script);
		else
			fputs("unset key\n", script);
		fputs("plot ", script);
		for (size_t k = 0; k < nr_names; k++)
			fprintf(script, "%s$d_%d_%zu using 1:2:3:4 with yerrorlines lc rgb '%s' pt %d ps 0.9 lw 1.6 "
				"title '%s'", k ? ", " : "", p, k, svg_colour(summary_style(results, "throughput", names[k])),
				svg_mark(summary_style(results, "throughput", names[k])), names[k]);
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
			"title '%s'", k ? ", " : "", k, svg_colour(summary_style(results, "trap", names[k])),
			svg_mark(summary_style(results, "trap", names[k])), names[k]);
	fputc('\n', script);
	return nr_names > 0;
}

/* A panel each for idle and busy; p50 as a full mark, p99 as an open one to the right of it. */
static bool unregister_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "unregister", cases), nr_rows = 0;
	char block[32], more[96];

	begin(script, 900, 300);
	for (size_t i = 0; i < nr_cases; i++) {
		snprintf(block, sizeof(block), "p50_%zu", i);
		nr_rows = bar_data(results, script, block, "unregister", cases[i], "unregister_p50_ns", NULL, 1);
		snprintf(block, sizeof(block), "p99_%zu", i);
		bar_data(results, script, block, "unregister", cases[i], "unregister_p99_ns", NULL, 1);
	}
	fprintf(script, "%sset multiplot layout 1,%zu margins 0.19,0.97,0.12,0.88 spacing 0.05\nset xrange [50:1e8]\n",
		log_ns_across, nr_cases ? nr_cases : 1);
	rows(script, nr_rows);
	for (size_t i = 0; i < nr_cases; i++) {
		int publishers = summary_parameter(results, "unregister", cases[i], "publishers");

		if (publishers == 0)
			fputs("set title 'idle: p50 full, p99 open'\n", script);
		else
			fprintf(script, "set title 'busy, %d publisher%s: p50 full, p99 open'\n", publishers,
				publishers == 1 ? "" : "s");
		snprintf(block, sizeof(block), "p50_%zu", i);
		snprintf(more, sizeof(more), ", $p99_%zu using 4:(-$1):3 with points pt 6 ps 1.2 lc rgb variable", i);
		plot_marks(script, block, i == 0, more);
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
			k ? ", " : "", k, svg_colour(summary_style(results, "replay", names[k])),
			svg_mark(summary_style(results, "replay", names[k])), names[k]);
	fputc('\n', script);
	return nr_cases > 0;
}

static bool deadlock_figure(const json_t *results, FILE *script)
{
	size_t nr_rows;

	begin(script, 900, 280);
	nr_rows = bar_data(results, script, "wait", "deadlock", NULL, "publisher_waited_ns", NULL, 1);
	rows(script, nr_rows);
	fprintf(script, "%sset xrange [50:2e9]\nset lmargin at screen 0.19\n"
		"set arrow from first 3e8, graph 0 to first 3e8, graph 1 nohead lc rgb '#000000' dt 2\n"
		"set title \"How long C's invalidation took\"\n", log_ns_across);
	plot_marks(script, "wait", true, "");
	return nr_rows > 0;
}

static bool section_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES];
	size_t nr_cases = summary_cases(results, "section", cases), nr_rows = 0;
	char block[32];

	begin(script, 900, 280);
	for (size_t i = 0; i < nr_cases; i++) {
		snprintf(block, sizeof(block), "pair_%zu", i);
		nr_rows = bar_data(results, script, block, "section", cases[i], "ns_per_pair", NULL, 1);
	}
	fprintf(script, "set multiplot layout 1,%zu margins 0.19,0.97,0.12,0.88 spacing 0.05\nset xrange [0:*]\n",
		nr_cases ? nr_cases : 1);
	rows(script, nr_rows);
	for (size_t i = 0; i < nr_cases; i++) {
		int threads = summary_parameter(results, "section", cases[i], "threads");

		fprintf(script, "set title 'ns for a section, %d reader%s'\n", threads, threads == 1 ? "" : "s");
		snprintf(block, sizeof(block), "pair_%zu", i);
		plot_bars(script, block, i == 0);
	}
	fputs("unset multiplot\n", script);
	return nr_cases > 0;
}

/* One hit, one publisher, ranges that do not overlap: a line over their number for each way. */
static bool ranges_figure(const json_t *results, FILE *script)
{
	const char *cases[SUMMARY_MAX_CASES], *names[SUMMARY_MAX_COMPARATORS];
	size_t nr_cases = summary_cases(results, "ranges", cases);
	size_t nr_names = summary_comparators(results, "ranges", names), n = 0;
	struct estimate e;

	begin(script, 900, 380);
	for (size_t k = 0; k < nr_names; k++) {
		fprintf(script, "$d_%zu << END\n", k);
		for (size_t i = 0; i < nr_cases; i++) {
			if (!strstr(cases[i], "disjoint") ||
			    summary_parameter(results, "ranges", cases[i], "publishers") != 1 ||
			    !summary_value(results, "ranges", cases[i], names[k], "hit_1_ns", &e))
				continue;
			n++;
			fprintf(script, "%d %.9g %.9g %.9g\n",
				summary_parameter(results, "ranges", cases[i], "ranges"), e.median, e.low, e.high);
		}
		fputs("END\n", script);
	}
	fprintf(script, "%sset logscale x\nset xtics ('1000' 1e3, '10,000' 1e4, '100,000' 1e5, '1,000,000' 1e6)\n"
		"set xrange [700:1.4e6]\nset yrange [10:*]\nset xlabel 'ranges'\n"
		"set ylabel 'an invalidation with one hit' offset 1,0\nset key outside right center samplen 1.5\nplot ",
		log_ns_axis);
	for (size_t k = 0; k < nr_names; k++) {
		int style = summary_style(results, "ranges", names[k]);

		fprintf(script, "%s$d_%zu using 1:2:3:4 with yerrorlines lc rgb '%s' pt %d ps 0.9 lw 1.6 title '%s'",
			k ? ", " : "", k, svg_colour(style), svg_mark(style), names[k]);
	}
	fputc('\n', script);
	return n > 0;
}

static const struct {
	const char *question;
	bool (*draw)(const json_t *results, FILE *script);
	const char *caption;
} figures[] = {
	{ "summary", summary_figure,
	  "Left: the case of the first sentence; more is better, 1 is the same walk without synchronisation. Right: less is "
	  "better, logarithmic. Thin lines: 95% interval." },
	{ "throughput", throughput_figure, "More is better; thin lines: 95% interval." },
	{ "trap", trap_figure,
	  "Less is better; logarithmic. A sync under which publishers queue behind the waiting unregister shows the "
	  "callback's 10 ms." },
	{ "unregister", unregister_figure, "Less is better; logarithmic. Thin lines: 95% interval of the p50." },
	{ "replay", replay_figure, "Less is better; logarithmic. Thin lines: 95% interval." },
	{ "section", section_figure, "Less is better. Thin lines: 95% interval." },
	{ "ranges", ranges_figure,
	  "Less is better; both axes logarithmic. One publisher, ranges that do not overlap. Thin lines: 95% interval." },
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
