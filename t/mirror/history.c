/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/* The check of histories is checked: it passes a good one, and finds each fault that is put into it. */
#include "history.h"

/* Mirrors 1, 2, 3, and 4 late; brackets 1, 2 (refused by 3), 3; release; 2 leaves by async. */
static const struct log_record good[] = {
	{ H_REGISTER, 0, 1, 0, 0, 0, 10, 10, 12 },
	{ H_REGISTER, 0, 2, 0, 0, 0, 10, 14, 16 },
	{ H_REGISTER, 0, 3, 0, 0, 0, 10, 18, 20 },
	{ H_START, 0, 0, 1, 0, 2, 4, 30, 40 },          /* 3 */
	{ H_CB_START, 0, 1, 1, 0, 0, 0, 31, 32 },       /* 4 */
	{ H_CB_START, 0, 2, 1, 0, 0, 0, 33, 34 },
	{ H_CB_START, 0, 3, 1, 0, 0, 0, 35, 36 },
	{ H_REGISTER, 0, 4, 0, 0, 0, 10, 42, 44 },      /* 7 */
	{ H_END, 0, 0, 1, 0, 0, 0, 50, 60 },            /* 8 */
	{ H_CB_END, 0, 3, 1, 0, 0, 0, 51, 52 },         /* 9 */
	{ H_CB_END, 0, 2, 1, 0, 0, 0, 53, 54 },
	{ H_CB_END, 0, 1, 1, 0, 0, 0, 55, 56 },         /* 11 */
	{ H_START, -EAGAIN, 0, 2, 0, 2, 4, 70, 80 },    /* 12 */
	{ H_CB_START, 0, 1, 2, 0, 0, 0, 71, 72 },       /* 13 */
	{ H_CB_START, 0, 2, 2, 0, 0, 0, 73, 74 },
	{ H_CB_START, -EAGAIN, 3, 2, 0, 0, 0, 75, 76 }, /* 15 */
	{ H_CB_END, 0, 2, 2, 0, 0, 0, 77, 78 },         /* 16 */
	{ H_CB_END, 0, 1, 2, 0, 0, 0, 78, 79 },         /* 17 */
	{ H_START, 0, 0, 3, 0, 9, 20, 90, 100 },        /* 18 */
	{ H_CB_START, 0, 1, 3, 0, 0, 0, 91, 92 },
	{ H_CB_START, 0, 2, 3, 0, 0, 0, 93, 96 },       /* 20 */
	{ H_ASYNC, 0, 2, 0, 0, 0, 0, 94, 95 },          /* 21: from its own callback */
	{ H_DONE, 0, 2, 0, 0, 0, 0, 97, 97 },           /* 22 */
	{ H_FREE, 0, 2, 0, 0, 0, 0, 98, 98 },           /* 23 */
	{ H_CB_START, 0, 3, 3, 0, 0, 0, 98, 99 },
	{ H_CB_START, 0, 4, 3, 0, 0, 0, 99, 99 },       /* 25 */
	{ H_END, 0, 0, 3, 0, 0, 0, 110, 120 },
	{ H_CB_END, 0, 4, 3, 0, 0, 0, 111, 112 },       /* 27 */
	{ H_CB_END, 0, 3, 3, 0, 0, 0, 113, 114 },       /* 28 */
	{ H_CB_END, 0, 1, 3, 0, 0, 0, 115, 116 },
	{ H_UNREGISTER, -ETIMEDOUT, 4, 0, 0, 0, 0, 118, 122 },
	{ H_RELEASE, 0, 0, 0, 0, 0, 0, 130, 150 },      /* 31 */
	{ H_RELEASE, -EALREADY, 0, 0, 0, 0, 0, 131, 132 },
	{ H_CB_RELEASE, 0, 1, 0, 0, 0, 0, 133, 134 },   /* 33 */
	{ H_CB_RELEASE, 0, 3, 0, 0, 0, 0, 135, 136 },   /* 34 */
	{ H_UNREGISTER, 0, 1, 0, 0, 0, 0, 160, 165 },   /* 35 */
	{ H_UNREGISTER, 0, 3, 0, 0, 0, 0, 160, 165 },
	{ H_UNREGISTER, 0, 4, 0, 0, 0, 0, 166, 167 },   /* 37 */
	{ H_FREE, 0, 1, 0, 0, 0, 0, 170, 170 },         /* 38 */
};
#define NR (sizeof(good) / sizeof(good[0]))
#define GONE 99 /* what: no such record */

static const struct {
	const char *claim;
	size_t at;
	int what;               /* GONE, or the new one; -1: as it was */
	int rc;
	uint64_t from, to;      /* 0: as they were */
	bool twice;             /* add a copy, changed so, instead */
	size_t also;            /* drop this one too */
} faults[] = {
	{ "M1: a start that is missing where the end is not", 6, GONE, 0, 0, 0, false, 0 },
	{ "M1: a bracket that misses a mirror", 19, GONE, 0, 0, 0, false, 29 },
	{ "M1: an end whose start was never got", 13, GONE, 0, 0, 0, false, 0 },
	{ "M1: an end for who registered within the bracket", 25, GONE, 0, 0, 0, false, 0 },
	{ "M1: a callback before its registration", 7, -1, 0, 105, 106, false, 0 },
	{ "M2: a missing end", 10, GONE, 0, 0, 0, false, 0 },
	{ "M2: two ends", 11, -1, 0, 57, 58, true, 0 },
	{ "M2: two starts", 6, -1, 0, 37, 38, true, 0 },
	{ "M2: starts out of order", 4, -1, 0, 37, 38, false, 0 },
	{ "M2: ends out of order", 9, -1, 0, 57, 58, false, 0 },
	{ "M2: a start that is not over when its call returns", 6, -1, 0, 35, 41, false, 0 },
	{ "M2: an end that comes before its call", 9, -1, 0, 45, 46, false, 0 },
	{ "M4: no undo for who had accepted", 17, GONE, 0, 0, 0, false, 0 },
	{ "M4: an undo for who refused", 16, -1, 0, 0, 0, false, 0 },
	{ "M4: -EAGAIN though nobody refused", 15, GONE, 0, 0, 0, false, 0 },
	{ "M4: a refusal that nobody hears of", 12, -1, 0, 70, 80, false, 0 },
	{ "M5: a callback after unregister has returned 0", 35, -1, 0, 100, 115, false, 0 },
	{ "M5: a release that runs after unregister has returned 0", 36, -1, 0, 133, 135, false, 0 },
	{ "M5: freed twice", 38, -1, 0, 171, 171, true, 0 },
	{ "M5: freed without being given back", 35, GONE, 0, 0, 0, false, 0 },
	{ "M8: done never runs", 22, GONE, 0, 0, 0, false, 0 },
	{ "M8: done runs twice", 22, -1, 0, 98, 98, true, 0 },
	{ "M8: done runs within the callback", 22, -1, 0, 95, 95, false, 0 },
	{ "M8: a callback starts after unregister_async has returned", 21, -1, 0, 85, 86, false, 0 },
	{ "M9: a callback starts after a timeout", 30, -1, -ETIMEDOUT, 102, 105, false, 0 },
	{ "M10: released twice", 33, -1, 0, 137, 138, true, 0 },
	{ "M10: not released", 34, GONE, 0, 0, 0, false, 0 },
	{ "M10: released when the list's release is over", 34, -1, 0, 149, 151, false, 0 },
	{ "M10: two releases of the list succeed", 31, -1, 0, 151, 152, true, 0 },
};

int main(void)
{
	struct history h;
	struct log log = { 0 };

	for (size_t i = 0; i < NR; i++)
		log_add(&log, good[i]);
	is_int(history_check(&h, &log, 5, 4), 0, "the check passes a good history");
	if (h.faults)
		diag("%s", h.why);
	for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
		struct log_record r = good[faults[f].at];

		r.rc = faults[f].rc;
		if (faults[f].from) {
			r.from = faults[f].from;
			r.to = faults[f].to;
		}
		if (faults[f].at == 16)
			r.mirror = 3;
		log.used = 0;
		for (size_t i = 0; i < NR; i++) {
			if (faults[f].also && i == faults[f].also)
				continue;
			if (i != faults[f].at || faults[f].twice)
				log_add(&log, good[i]);
			else if (faults[f].what != GONE)
				log_add(&log, r);
		}
		if (faults[f].twice)
			log_add(&log, r);
		history_check(&h, &log, 5, 4);
		ok(h.faults > 0, "the check finds %s", faults[f].claim);
		if (h.faults)
			diag("%s", h.why);
	}
	free(log.record);
	return done_testing();
}
