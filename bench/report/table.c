/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* Tables as aligned text, Markdown and HTML. */
#include "table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct table *table_create(const char *format, ...)
{
	struct table *t = calloc(1, sizeof(*t));
	va_list args;

	if (!t)
		abort(); /* a table is small: without memory for it nothing can be reported */
	va_start(args, format);
	vsnprintf(t->title, sizeof(t->title), format, args);
	va_end(args);
	t->nr_rows = 1;
	return t;
}

void table_column(struct table *t, const char *format, ...)
{
	va_list args;

	if (t->nr_columns == TABLE_MAX_COLUMNS)
		return;
	va_start(args, format);
	vsnprintf(t->cells[0][t->nr_columns++], TABLE_CELL_BYTES, format, args);
	va_end(args);
}

void table_row(struct table *t, const char *label)
{
	if (t->nr_rows == TABLE_MAX_ROWS)
		return;
	snprintf(t->cells[t->nr_rows][0], TABLE_CELL_BYTES, "%s", label);
	t->used[t->nr_rows++] = 1;
}

void table_cell(struct table *t, const char *format, ...)
{
	size_t row = t->nr_rows - 1;
	va_list args;

	if (row == 0 || t->used[row] >= t->nr_columns)
		return;
	va_start(args, format);
	vsnprintf(t->cells[row][t->used[row]++], TABLE_CELL_BYTES, format, args);
	va_end(args);
}

/* Columns on a terminal: what is not the second or later byte of a UTF-8 character. */
static int width_of(const char *text, size_t bytes)
{
	int width = 0;

	for (size_t i = 0; i < bytes; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

static int column_width(const struct table *t, size_t column)
{
	int widest = 0;

	for (size_t row = 0; row < t->nr_rows; row++) {
		const char *text = t->cells[row][column];
		const char *second = strchr(text, '\n');
		int width = width_of(text, second ? (size_t)(second - text) : strlen(text));

		widest = width > widest ? width : widest;
		if (second) {
			width = width_of(second + 1, strlen(second + 1));
			widest = width > widest ? width : widest;
		}
	}
	return widest;
}

static void text_cell(const char *text, size_t bytes, int width, size_t column, FILE *out)
{
	int blanks = width - width_of(text, bytes);

	if (column == 0)
		fprintf(out, "  %.*s%*s", (int)bytes, text, blanks, "");
	else
		fprintf(out, "  %*s%.*s", blanks, "", (int)bytes, text);
}

void table_text(const struct table *t, FILE *out)
{
	int widths[TABLE_MAX_COLUMNS];
	bool two_lines = false;

	for (size_t c = 0; c < t->nr_columns; c++) {
		widths[c] = column_width(t, c);
		two_lines |= strchr(t->cells[0][c], '\n') != NULL;
	}
	if (t->title[0])
		fprintf(out, "  %s\n", t->title);
	for (size_t row = 0; row < t->nr_rows; row++) {
		for (int line = row == 0 && two_lines ? 0 : 1; line < 2; line++) {
			for (size_t c = 0; c < t->nr_columns; c++) {
				const char *text = t->cells[row][c], *second = strchr(text, '\n');
				size_t first_bytes = second ? (size_t)(second - text) : strlen(text);

				/* A heading of one line stands in the lower one. */
				if (line == 0)
					text_cell(text, second ? first_bytes : 0, widths[c], c, out);
				else if (second)
					text_cell(second + 1, strlen(second + 1), widths[c], c, out);
				else
					text_cell(text, first_bytes, widths[c], c, out);
			}
			fputc('\n', out);
		}
	}
	fputc('\n', out);
}

static void with_blanks(const char *text, FILE *out)
{
	for (; *text; text++)
		fputc(*text == '\n' ? ' ' : *text, out);
}

void table_markdown(const struct table *t, FILE *out)
{
	if (t->title[0])
		fprintf(out, "%s\n\n", t->title);
	for (size_t row = 0; row < t->nr_rows; row++) {
		for (size_t c = 0; c < t->nr_columns; c++) {
			fputs("| ", out);
			with_blanks(t->cells[row][c], out);
			fputc(' ', out);
		}
		fputs("|\n", out);
		if (row > 0)
			continue;
		for (size_t c = 0; c < t->nr_columns; c++)
			fputs(c == 0 ? "|---" : "|---:", out);
		fputs("|\n", out);
	}
}

void html_escaped(const char *text, FILE *out)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\n':
			fputs("<br>", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

static void html_row(const struct table *t, size_t row, bool across, FILE *out)
{
	size_t nr = across ? t->nr_rows : t->nr_columns;

	for (size_t c = 0; c < nr; c++) {
		const char *tag = row == 0 || c == 0 ? "th" : "td";

		fprintf(out, "<%s%s>", tag, row == 0 ? " scope=\"col\"" : c == 0 ? " scope=\"row\"" : "");
		html_escaped(across ? t->cells[c][row] : t->cells[row][c], out);
		fprintf(out, "</%s>", tag);
	}
}

void table_html(const struct table *t, FILE *out)
{
	/* A few rows of many columns are turned round; many of many are set smaller on paper. */
	bool across = t->nr_rows <= 4 && t->nr_columns > 8;
	size_t nr = across ? t->nr_columns : t->nr_rows;

	fprintf(out, "<div class=\"wide\"><table%s>\n", !across && t->nr_columns > 7 ? " class=\"dense\"" : "");
	if (t->title[0]) {
		fputs("<caption>", out);
		html_escaped(t->title, out);
		fputs("</caption>\n", out);
	}
	for (size_t row = 0; row < nr; row++) {
		fputs(row == 0 ? "<thead><tr>" : "<tr>", out);
		html_row(t, row, across, out);
		fputs(row == 0 ? "</tr></thead>\n<tbody>\n" : "</tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}
