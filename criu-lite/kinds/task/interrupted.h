/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TASK_INTERRUPTED_H
#define CL_KINDS_TASK_INTERRUPTED_H

#include "images/registers.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

/*
 * System calls that our stop has interrupted. Most start again by themselves: the kernel does it
 * for a restored thread as for the old one when it finds number and -ERESTART… in the registers.
 * Those that go on with the rest of their timeout (poll, futex, nanosleep) have the end of it in
 * the kernel, which a new thread has not.
 */

/* Before the tree is stopped: loads what reads the rest of timeouts, which takes a millisecond; not
 * for a process that is the whole tree and seems not to need it. */
void interrupted_prepare(struct dump *d, pid_t root, bool alone);
/* Dump, thread just held: finds out what the kernel keeps of its call, t->restart. A call that was
 * interrupted before shows as restart_syscall(2); which one it is, is then also told to the way
 * home that has to make it anew should we die (tracee.h). */
void interrupted_look(struct dump_thread *t);
/* Dump: whether the call goes on with the rest in *ret. Else *regs (the thread's, for the image)
 * say how it starts anew. */
bool interrupted_take(const struct dump_thread *t, struct arch_regs *regs, TimedWait *ret);
/* Restore: has the puppet start the wait with its rest, so that the kernel keeps the end of it
 * again. *regs are the thread's final ones; a wait that is over at once shows its result there. The
 * thread cannot run batches in between this and its final registers. */
int interrupted_settle(struct restore_thread *t, const TimedWait *wait, struct arch_regs *regs,
		       struct error *err);

#endif
