/* SPDX-FileCopyrightText: 2026 libmirror contributors */
/* SPDX-License-Identifier: MIT */

/*
 * Steps through marked operations of a copy of this process; steps.h says what for
 *
 * 1. The copy asks to be traced, stops, and is let run.  Threads that it starts are traced too.
 * 2. The mark before an operation is a breakpoint.  From there on its thread runs one instruction at a
 *    time, while the others are where they are.
 * 3. Before each step the instruction is decoded.  Its bytes are read in this process, since a copy has the same
 *    code at the same addresses.
 * 4. The mark after it is seen before it is run, and jumped over.
 *
 * A repeated string instruction is stepped through turn by turn.  The kernel's own accesses for a system call are
 * not seen; the call is counted.
 */
#include "steps.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <Zydis/Zydis.h>

enum { LINE_BYTES = 64, MAX_STEPS = 10000000, MAX_INSTRUCTION = 15, BREAKPOINT = 0xcc, EXIT_REFUSED = 77, LIFE_S = 20 };

struct tracer {
	ZydisDecoder decoder;
	struct steps *slots;
	pid_t copy;
};

/* ---- one instruction ---- */

static struct line_use *find_line(const struct steps *s, uint64_t line)
{
	/* From the end, since what is used again was mostly used lately. */
	for (size_t i = s->nr_lines; i > 0; i--)
		if (s->lines[i - 1].line == line)
			return &s->lines[i - 1];
	return NULL;
}

static int add_access(struct steps *s, uint64_t line, bool write)
{
	struct line_use *use = find_line(s, line);

	if (!use && s->nr_lines == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct line_use *lines = realloc(s->lines, room * sizeof(lines[0]));

		if (!lines)
			return -ENOMEM;
		s->lines = lines;
		s->room = room;
	}
	if (!use) {
		use = &s->lines[s->nr_lines++];
		*use = (struct line_use){ .line = line };
	}
	use->writes += write;
	use->reads += !write;
	return 0;
}

static bool register_value(const struct user_regs_struct *regs, ZydisRegister name, uint64_t next, uint64_t *value)
{
	const struct { ZydisRegister name; uint64_t value; } all[] = {
		{ ZYDIS_REGISTER_NONE, 0 },
		{ ZYDIS_REGISTER_RIP, next },
		{ ZYDIS_REGISTER_RAX, regs->rax }, { ZYDIS_REGISTER_RBX, regs->rbx },
		{ ZYDIS_REGISTER_RCX, regs->rcx }, { ZYDIS_REGISTER_RDX, regs->rdx },
		{ ZYDIS_REGISTER_RSI, regs->rsi }, { ZYDIS_REGISTER_RDI, regs->rdi },
		{ ZYDIS_REGISTER_RBP, regs->rbp }, { ZYDIS_REGISTER_RSP, regs->rsp },
		{ ZYDIS_REGISTER_R8, regs->r8 },   { ZYDIS_REGISTER_R9, regs->r9 },
		{ ZYDIS_REGISTER_R10, regs->r10 }, { ZYDIS_REGISTER_R11, regs->r11 },
		{ ZYDIS_REGISTER_R12, regs->r12 }, { ZYDIS_REGISTER_R13, regs->r13 },
		{ ZYDIS_REGISTER_R14, regs->r14 }, { ZYDIS_REGISTER_R15, regs->r15 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].name == name) {
			*value = all[i].value;
			return true;
		}
	}
	return false;
}

/* False if the address is no sum of whole registers: 32-bit addresses and gathers, which our code does not use. */
static bool address_of(const ZydisDecodedOperand *operand, const struct user_regs_struct *regs, uint64_t next,
		       uint64_t *address)
{
	uint64_t base, index;

	if (!register_value(regs, operand->mem.base, next, &base) ||
	    !register_value(regs, operand->mem.index, next, &index))
		return false;
	*address = base + index * operand->mem.scale + (uint64_t)operand->mem.disp.value;
	if (operand->mem.segment == ZYDIS_REGISTER_FS)
		*address += regs->fs_base;
	else if (operand->mem.segment == ZYDIS_REGISTER_GS)
		*address += regs->gs_base;
	return true;
}

static int record_operand(struct steps *s, const ZydisDecodedOperand *operand, const struct user_regs_struct *regs,
			  uint64_t next)
{
	bool write = operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	uint64_t address, last;
	int err = 0;

	if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.type != ZYDIS_MEMOP_TYPE_MEM || !operand->size)
		return 0;
	if (!address_of(operand, regs, next, &address))
		return -EILSEQ;
	last = address + operand->size / 8 - 1;
	for (uint64_t line = address / LINE_BYTES; line <= last / LINE_BYTES && !err; line++)
		err = add_access(s, line, write);
	return err;
}

/* What compilers and libraries write for a full fence if a locked instruction is faster than mfence. */
static bool adds_nothing_to_stack(const ZydisDecodedInstruction *instruction, const ZydisDecodedOperand *operands)
{
	return (instruction->mnemonic == ZYDIS_MNEMONIC_OR || instruction->mnemonic == ZYDIS_MNEMONIC_ADD) &&
	       operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[0].mem.base == ZYDIS_REGISTER_RSP &&
	       operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operands[1].imm.value.u == 0;
}

static void count_call(struct steps *s, uint64_t number)
{
	if (number == SYS_membarrier)
		s->membarriers++;
	else if (number == SYS_futex)
		s->futexes++;
	else
		s->other_calls++;
}

static int count_instruction(struct tracer *t, struct steps *s, const struct user_regs_struct *regs)
{
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool locked, fence;
	int err = 0;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&t->decoder, (const void *)regs->rip, MAX_INSTRUCTION, &instruction,
						 operands)))
		return -EILSEQ;
	s->instructions++;
	locked = (instruction.attributes & ZYDIS_ATTRIB_HAS_LOCK) ||
		 (instruction.mnemonic == ZYDIS_MNEMONIC_XCHG && (operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ||
								    operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY));
	fence = instruction.mnemonic == ZYDIS_MNEMONIC_MFENCE || (locked && adds_nothing_to_stack(&instruction, operands));
	s->fences += fence;
	s->rmws += locked && !fence;
	if (instruction.mnemonic == ZYDIS_MNEMONIC_SYSCALL)
		count_call(s, regs->rax);
	for (unsigned i = 0; i < instruction.operand_count && !err; i++)
		err = record_operand(s, &operands[i], regs, regs->rip + instruction.length);
	return err;
}

/* ---- the copy's threads ---- */

/* From the mark before an operation to the one after it. */
static int step_through(struct tracer *t, pid_t tid, struct steps *s)
{
	struct user_regs_struct regs;
	int status, err;

	for (unsigned n = 0; n < MAX_STEPS; n++) {
		if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
			return -errno;
		if (*(const unsigned char *)regs.rip == BREAKPOINT) {
			regs.rip++;
			return ptrace(PTRACE_SETREGS, tid, NULL, &regs) < 0 ? -errno : 0;
		}
		err = count_instruction(t, s, &regs);
		if (err)
			return err;
		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) < 0 || waitpid(tid, &status, __WALL) < 0)
			return -errno;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			return -EIO;
	}
	return -EIO;
}

static int at_mark(struct tracer *t, pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0)
		return -errno;
	if (regs.rdi >= STEPS_MAX_SLOTS)
		return -EIO;
	return step_through(t, tid, &t->slots[regs.rdi]);
}

/*
 * What a stop means, for a thread of the copy: its start, a mark, or a signal that is its own.  SIGSTOP
 * is how a new one starts.
 */
static int at_stop(struct tracer *t, pid_t tid, int status)
{
	int signal = WSTOPSIG(status), err = 0;

	if (signal == SIGTRAP && status >> 16 == 0)
		err = at_mark(t, tid);
	if (signal == SIGTRAP || signal == SIGSTOP)
		signal = 0;
	if (!err && ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)signal) < 0)
		err = -errno;
	return err;
}

static int trace(struct tracer *t)
{
	int status, err = 0;
	pid_t tid;

	for (;;) {
		/* The threads of this process have no other children meanwhile. */
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return -errno;
		if (tid == t->copy && WIFEXITED(status))
			return WEXITSTATUS(status) == 0 ? err : WEXITSTATUS(status) == EXIT_REFUSED ? -EPERM : -EIO;
		if (tid == t->copy && WIFSIGNALED(status))
			return err ? err : -EIO;
		if (!WIFSTOPPED(status))
			continue;
		if (err == 0)
			err = at_stop(t, tid, status);
		if (err)
			kill(t->copy, SIGKILL);
	}
}

static void be_the_copy(void (*body)(void *arg), void *arg)
{
	/* A copy that hangs takes itself away. */
	signal(SIGALRM, SIG_DFL);
	alarm(LIFE_S);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(EXIT_REFUSED);
	raise(SIGSTOP);
	body(arg);
	_exit(0);
}

int steps_run(void (*body)(void *arg), void *arg, struct steps slots[STEPS_MAX_SLOTS])
{
	struct tracer t = { .slots = slots };
	int status;

	ZydisDecoderInit(&t.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	t.copy = fork();
	if (t.copy < 0)
		return -errno;
	if (t.copy == 0)
		be_the_copy(body, arg);
	if (waitpid(t.copy, &status, __WALL) < 0)
		return -errno;
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED ? -EPERM : -EIO;
	if (ptrace(PTRACE_SETOPTIONS, t.copy, NULL, (void *)(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)) < 0 ||
	    ptrace(PTRACE_CONT, t.copy, NULL, NULL) < 0) {
		int err = -errno;

		kill(t.copy, SIGKILL);
		waitpid(t.copy, &status, __WALL);
		return err;
	}
	return trace(&t);
}

void steps_free(struct steps slots[STEPS_MAX_SLOTS])
{
	for (unsigned i = 0; i < STEPS_MAX_SLOTS; i++)
		free(slots[i].lines);
}

/* ---- shared lines ---- */

static struct line_use use_by_all(const struct steps *const *all, size_t nr, uint64_t line)
{
	struct line_use sum = { .line = line };

	for (size_t i = 0; i < nr; i++) {
		const struct line_use *use = find_line(all[i], line);

		sum.reads += use ? use->reads : 0;
		sum.writes += use ? use->writes : 0;
	}
	return sum;
}

uint64_t steps_shared_writes(const struct steps *mine, const struct steps *const *others, size_t nr)
{
	uint64_t n = 0;

	for (size_t i = 0; i < mine->nr_lines; i++) {
		struct line_use theirs = use_by_all(others, nr, mine->lines[i].line);

		n += theirs.reads + theirs.writes > 0 ? mine->lines[i].writes : 0;
	}
	return n;
}

uint64_t steps_contended_lines(const struct steps *mine, const struct steps *const *others, size_t nr)
{
	uint64_t n = 0;

	for (size_t i = 0; i < mine->nr_lines; i++) {
		struct line_use theirs = use_by_all(others, nr, mine->lines[i].line);

		n += theirs.writes > 0 || (theirs.reads > 0 && mine->lines[i].writes > 0);
	}
	return n;
}
