/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/arch/arch.h"
#include "kernel-compat/arch/x86_64/frame.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* include/linux/errno.h of the kernel: results that never reach user space. */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

enum {
	SYSCALL_INSN_SIZE = 2,
	EFLAGS_TRAP = 0x100,
	EFLAGS_DIRECTION = 0x400,
};

/* uapi asm/sigcontext.h */
enum {
	XSTATE_ALIGNMENT = 64,
	XSTATE_SW_RESERVED = 464,
	XSTATE_MAGIC1 = 0x46505853,
	XSTATE_MAGIC2 = 0x46505845,
	XSTATE_BV = 512,
	XSTATE_HEADER_END = 576,
	XSTATE_TILE_CONFIG = 17,
	XSTATE_TILE_DATA = 18,
	CPUID_XSTATE = 0xd,
};

/* ss_flags that sigaltstack(2) refuses: rt_sigreturn(2) then leaves the alternate stack alone. */
enum { ALTSTACK_UNCHANGED = 0x7f };

/* uapi asm/ucontext.h flags */
enum {
	UC_FP_XSTATE = 1,
	UC_SIGCONTEXT_SS = 2,
	UC_STRICT_RESTORE_SS = 4,
};

/* What rt_sigreturn(2) finds at the stack pointer. */
struct kernel_frame {
	uint64_t flags, link;
	stack_t stack;
	/* struct sigcontext_64 */
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
	uint64_t sigmask;
};

_Static_assert(offsetof(struct kernel_frame, ax) == FRAME_AX, "frame.h");
_Static_assert(offsetof(struct kernel_frame, ip) == FRAME_IP, "frame.h");
_Static_assert(offsetof(struct kernel_frame, sigmask) == FRAME_SIGMASK, "frame.h");

/* agent.S */
extern const unsigned char arch_agent_call[], arch_agent_home[], arch_agent_expand[];

size_t arch_agent_call_offset(void)
{
	return arch_agent_call - arch_agent_begin;
}

size_t arch_agent_expand_offset(void)
{
	return arch_agent_expand - arch_agent_begin;
}

uint64_t arch_task_size(void)
{
	return 0x7ffffffff000;
}

uint64_t arch_pc(const struct arch_regs *regs)
{
	return regs->user.rip;
}

void arch_set_pc(struct arch_regs *regs, uint64_t pc)
{
	regs->user.rip = pc;
}

uint64_t arch_sp(const struct arch_regs *regs)
{
	return regs->user.rsp;
}

/* Every hijacked set: not inside a system call, no single step, string instructions forward. */
static void make_plain(struct arch_regs *regs)
{
	regs->user.orig_rax = -1;
	regs->user.eflags &= ~(unsigned long)(EFLAGS_TRAP | EFLAGS_DIRECTION);
}

void arch_agent_regs(struct arch_regs *regs, uint64_t code, uint64_t batch, uint64_t stack)
{
	make_plain(regs);
	regs->user.rip = code;
	regs->user.rbx = batch;
	regs->user.rsp = stack;
	regs->user.cs = 0x33;
}

void arch_home_regs(struct arch_regs *regs, uint64_t code, uint64_t batch, uint64_t stack)
{
	arch_agent_regs(regs, code + (arch_agent_home - arch_agent_begin), batch, stack);
}

bool arch_agent_has_called(const struct arch_regs *regs, uint64_t code, uint32_t record)
{
	return regs->user.rip == code + arch_agent_call_offset() + SYSCALL_INSN_SIZE &&
	       regs->user.r13 == record;
}

void arch_call_regs(struct arch_regs *regs, uint64_t gadget, uint64_t stack, long number,
		    const uint64_t a[6])
{
	make_plain(regs);
	regs->user.rip = gadget;
	regs->user.rsp = stack;
	regs->user.rax = number;
	regs->user.rdi = a[0];
	regs->user.rsi = a[1];
	regs->user.rdx = a[2];
	regs->user.r10 = a[3];
	regs->user.r8 = a[4];
	regs->user.r9 = a[5];
}

int64_t arch_call_result(const struct arch_regs *regs)
{
	return regs->user.rax;
}

enum arch_interrupted arch_interrupted(const struct arch_regs *regs)
{
	if ((long)regs->user.orig_rax < 0)
		return ARCH_NOT_INTERRUPTED;
	switch (-(long)regs->user.rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		return ARCH_RESTARTS;
	case ERESTART_RESTARTBLOCK:
		return ARCH_RESTART_BLOCK;
	case EINTR:
		return ARCH_EINTR;
	}
	return ARCH_NOT_INTERRUPTED;
}

long arch_call_number(const struct arch_regs *regs)
{
	return regs->user.orig_rax;
}

void arch_call_arguments(const struct arch_regs *regs, uint64_t a[6])
{
	a[0] = regs->user.rdi;
	a[1] = regs->user.rsi;
	a[2] = regs->user.rdx;
	a[3] = regs->user.r10;
	a[4] = regs->user.r8;
	a[5] = regs->user.r9;
}

uint32_t arch_signals_end(const struct arch_regs *regs)
{
	if ((long)regs->user.orig_rax < 0)
		return HOME_NEVER;
	switch (-(long)regs->user.rax) {
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return HOME_ALWAYS;
	case ERESTARTSYS:
		return HOME_WITHOUT_SA_RESTART;
	}
	return HOME_NEVER;
}

void arch_restart(struct arch_regs *regs, long number)
{
	regs->user.orig_rax = number;
	regs->user.rax = -(long)ERESTARTNOHAND;
}

void arch_end_call(struct arch_regs *regs, int64_t result)
{
	regs->user.orig_rax = -1;
	regs->user.rax = result;
}

void arch_rewind(struct arch_regs *regs)
{
	regs->user.rax = regs->user.orig_rax;
	regs->user.rip -= SYSCALL_INSN_SIZE;
	regs->user.orig_rax = -1;
}

static void frame_registers(struct kernel_frame *f, const struct user_regs_struct *u)
{
	f->r8 = u->r8;
	f->r9 = u->r9;
	f->r10 = u->r10;
	f->r11 = u->r11;
	f->r12 = u->r12;
	f->r13 = u->r13;
	f->r14 = u->r14;
	f->r15 = u->r15;
	f->di = u->rdi;
	f->si = u->rsi;
	f->bp = u->rbp;
	f->bx = u->rbx;
	f->dx = u->rdx;
	f->ax = u->rax;
	f->cx = u->rcx;
	f->sp = u->rsp;
	f->ip = u->rip;
	f->eflags = u->eflags;
	f->cs = u->cs;
	f->ss = u->ss;
}

static uint64_t word_at(const void *area, size_t offset)
{
	uint64_t word;

	memcpy(&word, (const char *)area + offset, sizeof(word));
	return word;
}

/* The kernel puts XCR0 into the software bytes of the regset. Tiles are left out when not in use:
 * their data need a permission. */
static uint64_t frame_features(const void *xstate)
{
	const uint64_t config = 1ull << XSTATE_TILE_CONFIG, data = 1ull << XSTATE_TILE_DATA;
	uint64_t features = word_at(xstate, XSTATE_SW_RESERVED);
	uint64_t in_use = word_at(xstate, XSTATE_BV);

	if (!(in_use & data))
		features &= ~data;
	if (!(in_use & (config | data)))
		features &= ~config;
	return features;
}

/* The bytes of the area that a frame holds. The kernel refuses a frame that is larger than what the
 * task may use (tile data needs a permission) and would then bring back the legacy registers only,
 * so it is cut to the features that are in use. */
static size_t xstate_used_size(const void *xstate, size_t size, uint64_t features)
{
	unsigned int i, bytes, offset, flags, unused;
	size_t used = XSTATE_HEADER_END;

	/* CPUID takes its time in a virtual machine. */
	if (features == word_at(xstate, XSTATE_SW_RESERVED))
		return size;
	for (i = 2; i < 63; i++) {
		if (!(features >> i & 1))
			continue;
		if (!__get_cpuid_count(CPUID_XSTATE, i, &bytes, &offset, &flags, &unused))
			break;
		if (offset + bytes > used)
			used = offset + bytes;
	}
	return used < size ? used : size;
}

/* The FPU part of a frame is the XSAVE area with a software header that names its size and
 * features, and a second magic behind it (the kernel checks both). */
static void frame_xstate(char *area, const void *xstate, size_t size, uint64_t features)
{
	uint32_t *sw = (uint32_t *)(area + XSTATE_SW_RESERVED);

	memcpy(area, xstate, size);
	memset(sw, 0, 48);
	sw[0] = XSTATE_MAGIC1;
	sw[1] = size + sizeof(uint32_t);
	memcpy(&sw[2], &features, sizeof(features));
	sw[4] = size;
	*(uint32_t *)(area + size) = XSTATE_MAGIC2;
}

size_t arch_frame_build(void *frame, uint64_t address, const struct arch_regs *regs,
			const void *xstate, size_t xstate_size, uint64_t sigmask)
{
	uint64_t fp = (address + sizeof(struct kernel_frame) + XSTATE_ALIGNMENT - 1) &
		      ~(uint64_t)(XSTATE_ALIGNMENT - 1);
	uint64_t features = frame_features(xstate);
	size_t used = xstate_used_size(xstate, xstate_size, features);
	size_t size = sizeof(struct kernel_frame) + 2 * XSTATE_ALIGNMENT;
	struct arch_regs home = *regs;
	struct kernel_frame *f = frame;

	size += used;
	if (!frame)
		return size;
	if (arch_interrupted(&home) != ARCH_NOT_INTERRUPTED)
		arch_rewind(&home);
	memset(frame, 0, size);
	frame_registers(f, &home.user);
	f->flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f->stack.ss_flags = ALTSTACK_UNCHANGED;
	f->sigmask = sigmask;
	f->fpstate = fp;
	frame_xstate((char *)frame + (fp - address), xstate, used, features);
	return size;
}

static ssize_t find(const void *code, size_t size, const char *insns, size_t length)
{
	const char *at = memmem(code, size, insns, length);

	return at ? at - (const char *)code : -1;
}

ssize_t arch_find_call(const void *code, size_t size)
{
	return find(code, size, "\x0f\x05\xc3", 3);
}

ssize_t arch_find_sigreturn(const void *code, size_t size)
{
	ssize_t at = find(code, size, "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9);

	return at >= 0 ? at : find(code, size, "\xb8\x0f\x00\x00\x00\x0f\x05", 7);
}
