/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * usrcu's grace period over two indexes (src/usrcu.c, steps 1 to 7) on a machine with store buffers.
 *
 * Two readers each open and end SECTIONS sections, the updater replaces the object and waits GRACE_PERIODS times.  What
 * is replaced is freed when the wait is over; a reader that then still uses it fails the assertion.
 *
 * One step each: the fetch of the index, each count, each load of a look.  A store goes into its thread's buffer, a
 * channel, and from there to memory at any later time, in order (TSO).  A count that one thread alone writes is a
 * register of that thread (it would forward from its buffer).  membarrier(2) empties every buffer, one after another.
 *
 *     HANDOVER          sections are handed over: reader 0's last one is ended by reader 1
 *     FENCES            the flavour of full fences: the reader's and the updater's own instead of membarrier
 * Broken variants, which must fail:
 *     NO_FENCE          no fence C                    NO_READER_FENCE   no fence A, with FENCES
 *     NO_FIRST_WAIT     flips without a look at the other index
 *     NO_SECOND_WAIT    ends with the flip            NO_RELEASE        the count goes before the last access, no B
 *     DOWNS_FIRST       sums the downs before the ups
 */
#ifndef SECTIONS
#define SECTIONS 2
#endif
#ifndef GRACE_PERIODS
#define GRACE_PERIODS 2
#endif

/* Addresses. */
#define OPEN(r, i) (2 * (r) + (i))
#define UP(r, i)   (4 + 2 * (r) + (i))
#define DOWN(r, i) (8 + 2 * (r) + (i))
#define INDEX      12
#define CURRENT    13

byte mem[14];
bool freed[GRACE_PERIODS + 1];

/* The buffers: readers 0 and 1, and the updater's. */
chan buffer[3] = [2 * SECTIONS + 1] of { byte, byte };
/* A handed-over section: its index and the object that was seen in it. */
chan letter = [1] of { byte, byte };

#define drain_one(t) buffer[t]?address, value -> mem[address] = value

proctype drain(byte t)
{
	byte address, value;
end:
	do
	:: atomic { drain_one(t); address = 0; value = 0 }
	od
}

inline drain_all(t)
{
	atomic {
		do
		:: nempty(buffer[t]) -> drain_one(t)
		:: empty(buffer[t]) -> break
		od;
		address = 0;
		value = 0
	}
}

proctype reader(byte r)
{
	byte mine[2], ups[2], n, i, p;

	do
	:: n < SECTIONS ->
		i = mem[INDEX];
		atomic {
			mine[i]++;
#ifdef HANDOVER
			buffer[r]!DOWN(r, i), mine[i]
#else
			buffer[r]!OPEN(r, i), mine[i]
#endif
		}
#if defined(FENCES) && !defined(NO_READER_FENCE)
		empty(buffer[r]);
#endif
		p = mem[CURRENT];
#ifdef HANDOVER
		if
		:: r == 0 && n == SECTIONS - 1 ->
			/* What says "it is yours" comes after the count in the buffer. */
			empty(buffer[r]);
			atomic { letter!i, p; n++; i = 0; p = 0 }
			break
		:: else
		fi;
#endif
#ifndef NO_RELEASE
		assert(!freed[p]);
#endif
		atomic {
#ifdef HANDOVER
			ups[i]++;
			buffer[r]!UP(r, i), ups[i];
#else
			mine[i]--;
			buffer[r]!OPEN(r, i), mine[i];
#endif
			n++
		}
#ifdef NO_RELEASE
		assert(!freed[p]);
#endif
		atomic { i = 0; p = 0 }
	:: n == SECTIONS -> break
	od;
#ifdef HANDOVER
	if
	:: r == 1 ->
		letter?i, p;
		assert(!freed[p]);
		atomic { ups[i]++; buffer[r]!UP(r, i), ups[i] }
	:: else
	fi
#endif
}

inline look()
{
	atomic { open = 0; sum[0] = 0; sum[1] = 0; r = 0; i = 0 }
#ifdef DOWNS_FIRST
	do
	:: r < 2 -> atomic { sum[i] = sum[i] - mem[DOWN(r, i)]; r = r + i; i = 1 - i }
	:: r == 2 -> break
	od;
	r = 0;
#endif
	do
	:: r < 2 ->
		atomic {
#ifdef HANDOVER
			sum[i] = sum[i] + mem[UP(r, i)];
#else
			if
			:: mem[OPEN(r, i)] != 0 -> open = open | (1 << i)
			:: else
			fi;
#endif
			r = r + i;
			i = 1 - i
		}
	:: r == 2 -> break
	od;
#if defined(HANDOVER) && !defined(DOWNS_FIRST)
	r = 0;
	do
	:: r < 2 -> atomic { sum[i] = sum[i] - mem[DOWN(r, i)]; r = r + i; i = 1 - i }
	:: r == 2 -> break
	od;
#endif
	atomic {
		if
		:: sum[0] != 0 -> open = open | 1
		:: else
		fi;
		if
		:: sum[1] != 0 -> open = open | 2
		:: else
		fi;
		need = need & open;
		open = 0;
		sum[0] = 0;
		sum[1] = 0;
		r = 0
	}
}

proctype updater()
{
	byte need, open, r, i, address, value, g, current;
	short sum[2];
	bool flipped;

	do
	:: g < GRACE_PERIODS ->
		buffer[2]!CURRENT, g + 1;
#ifndef NO_FENCE
		drain_all(2);
#ifndef FENCES
		drain_all(0);
		drain_all(1);
#endif
#endif
		atomic { need = 3; flipped = false }
		do
		:: need != 0 ->
			look();
			atomic {
#ifdef NO_FIRST_WAIT
				if
				:: !flipped -> need = need & (1 << current)
				:: else
				fi;
#endif
				if
				:: need == (1 << current) && !flipped ->
					current = 1 - current;
					buffer[2]!INDEX, current;
					flipped = true;
#ifdef NO_SECOND_WAIT
					need = 0
#endif
				:: else
				fi
			}
		:: need == 0 -> break
		od;
		atomic { freed[g] = true; g++ }
	:: g == GRACE_PERIODS -> break
	od
}

init {
	atomic {
		run reader(0);
		run reader(1);
		run updater();
		run drain(0);
		run drain(1);
		run drain(2)
	}
}
