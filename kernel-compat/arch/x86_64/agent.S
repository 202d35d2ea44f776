/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent: walks the records of a batch and makes their calls. rbx is the batch header:
 * +0 u32 count, +4 u32 index to go on with after a failed BATCH_MUST, +8 u32 index of that failed
 * record, +16 u64 address of the signal frame for the way home, +24 u32 whether signals end the
 * call in it (frame.h), +32 room for 32 bytes; records of 64 bytes follow at +64.
 * No stack, no relocations, nothing but rax, rcx, r11 is changed by a system call.
 */
#include "kernel-compat/arch/x86_64/frame.h"

	.section .rodata
	.globl arch_agent_begin, arch_agent_end, arch_agent_call, arch_agent_home
	.globl arch_agent_expand
	.type arch_agent_begin, @object
	.type arch_agent_end, @object
	.balign 16
arch_agent_begin:
	lea	64(%rbx), %r12
	xor	%r13d, %r13d
next:
	cmp	(%rbx), %r13d
	jae	home
	mov	%r13, %r14
	shl	$6, %r14
	add	%r12, %r14
	mov	4(%r14), %r15d
	test	$0x3f, %r15d
	jz	call
	xor	%ecx, %ecx
link:
	bt	%ecx, %r15d
	jnc	no_link
	mov	8(%r14,%rcx,8), %rax
	shl	$6, %rax
	mov	56(%r12,%rax), %rax
	mov	%rax, 8(%r14,%rcx,8)
no_link:
	inc	%ecx
	cmp	$6, %ecx
	jb	link
call:
	mov	(%r14), %eax
	mov	8(%r14), %rdi
	mov	16(%r14), %rsi
	mov	24(%r14), %rdx
	mov	32(%r14), %r10
	mov	40(%r14), %r8
	mov	48(%r14), %r9
arch_agent_call:
	syscall
	mov	%rax, 56(%r14)
	inc	%r13d
	test	$0x200, %r15d
	jz	result
	test	%rax, %rax
	jnz	result
	mov	$231, %eax	# exit_group(0): the twin, if nobody holds it
	xor	%edi, %edi
	syscall
result:
	cmp	$-4095, %rax
	jb	next
	test	$0x100, %r15d
	jz	next
	dec	%r13d
	mov	%r13d, 8(%rbx)
	mov	4(%rbx), %r13d
	jmp	next
home:
arch_agent_home:
	mov	16(%rbx), %rsp
	cmpl	$HOME_NEVER, 24(%rbx)
	je	return
	mov	$127, %eax	# rt_sigpending
	lea	32(%rbx), %rdi
	mov	$8, %esi
	syscall
	mov	FRAME_SIGMASK(%rsp), %r12
	not	%r12
	and	32(%rbx), %r12	# what will be delivered
look:
	bsf	%r12, %rdi
	jz	return
	btr	%rdi, %r12
	inc	%edi
	xor	%esi, %esi
	lea	32(%rbx), %rdx
	mov	$8, %r10d
	mov	$13, %eax	# rt_sigaction
	syscall
	cmpq	$1, 32(%rbx)	# SIG_DFL, SIG_IGN
	jbe	look
	cmpl	$HOME_ALWAYS, 24(%rbx)
	je	interrupted
	testl	$0x10000000, 40(%rbx)	# SA_RESTART
	jnz	look
interrupted:
	movq	$-4, FRAME_AX(%rsp)	# EINTR, behind the instruction
	addq	$2, FRAME_IP(%rsp)
return:
	mov	$15, %eax	# rt_sigreturn
	syscall
	hlt
arch_agent_expand:	# uses a tile, which makes room for its data, and goes on with the batch
	ldtilecfg tile_config(%rip)
	tilezero %tmm0
	jmp	arch_agent_begin
tile_config:		# palette 1; tile 0 has 1 row of 64 bytes
	.byte	1
	.zero	15
	.word	64
	.zero	30
	.byte	1
	.zero	15
arch_agent_end:
	.section .note.GNU-stack, "", @progbits
