/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Progress: a grace period ends though each of two readers is always in a section, since each opens the next before it
 * ends the last.  Under weak fairness; without the flip (NO_FLIP) it never does, and that must be found.
 */
byte open[4];
byte current;
bool over;

active [2] proctype reader()
{
	byte this, next;

	atomic { this = current; open[2 * _pid + this]++ }
	do
	:: next = current;
	   open[2 * _pid + next]++;
	   open[2 * _pid + this]--;
	   atomic { this = next; next = 0 }
	od
}

active proctype updater()
{
	byte need = 3, seen, cell;
	bool flipped;

	do
	:: need != 0 ->
		atomic { seen = 0; cell = 0 }
		do
		:: cell < 4 ->
			atomic {
				if
				:: open[cell] != 0 -> seen = seen | (1 << (cell % 2))
				:: else
				fi;
				cell++
			}
		:: cell == 4 -> break
		od;
		atomic {
			need = need & seen;
			seen = 0;
			if
			:: need == (1 << current) && !flipped ->
#ifndef NO_FLIP
				current = 1 - current;
#endif
				flipped = true
			:: else
			fi
		}
	:: need == 0 -> break
	od;
	over = true
}

ltl ends { <> over }
