/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/puppets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/calls.h"
#include "kinds/files.h"
#include "kinds/memory.h"
#include "kinds/task/siginfo.h"
#include "proc/stat.h"
#include "tracee/wait.h"

enum {
	STOP_TIMEOUT_MS = 5000,
	RSEQ_UNREGISTER = 1,
	SIGNALS = 64,
	HELPER_PID_FIRST = 1000,
	HELPER_PID_TRIES = 20000,
};

int puppets_prepare(struct restore *r, struct error *err)
{
	if (r->area)
		return 0;
	r->area = memory_find_agent_hole(r);
	if (!r->area)
		return error_set(err, ERROR_FAILED, 0, "no address range is free in all tasks");
	if (mmap((void *)r->area, AGENT_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)r->area)
		return error_set(err, ERROR_FAILED, errno, "cannot map the agent");
	agent_write_code((void *)r->area);
	if (mprotect((void *)r->area, AGENT_CODE_SIZE, PROT_READ | PROT_EXEC))
		return error_set(err, ERROR_FAILED, errno, "cannot protect the agent");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, r->service))
		return error_set(err, ERROR_FAILED, errno, "cannot make the hand-over socket");
	return 0;
}

void puppets_release(struct restore *r)
{
	if (r->area)
		munmap((void *)r->area, AGENT_SIZE);
	r->area = 0;
	fd_close(&r->service[0]);
	fd_close(&r->service[1]);
}

/* Who has a pid that we need, for the message. */
static int pid_is_taken(pid_t pid, struct error *err)
{
	_cleanup_buffer_ struct buffer comm = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (read_file_at(-1, path, &comm) || !comm.size)
		error_set(err, ERROR_FAILED, 0, "pid %d is taken, as a group or session", pid);
	else
		error_set(err, ERROR_FAILED, 0, "pid %d is taken by \"%.*s\"", pid,
			  (int)comm.size - 1, comm.data);
	return error_hint(err, "end that process, or restore in a pid namespace of its own");
}

/* A puppet's disposition of the signal by which it stops does not matter, since we take it before
 * that counts. But of a standard signal only one can wait. */
static int choose_stop_signal(const struct restore_task *t)
{
	static const int preferred[] = { SIGURG, SIGWINCH, SIGSTKFLT, SIGPWR };
	uint64_t taken = siginfo_saved(t);
	size_t i;
	int signal;

	for (i = 0; i < ARRAY_SIZE(preferred); i++)
		if (!(taken >> (preferred[i] - 1) & 1))
			return preferred[i];
	for (signal = SIGNALS; signal > SIGRTMIN; signal--)
		if (!(taken >> (signal - 1) & 1))
			break;
	return signal;
}

/* What is common to every new puppet: a held leader with the agent in it. */
static int adopt(struct restore_task *t, pid_t pid, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;

	t->pidfd = sys_pidfd_open(pid, 0);
	if (t->pidfd < 0)
		return error_set(err, ERROR_FAILED, errno, "process %d: cannot open", pid);
	agent_adopt(&t->agent, t->restore->area, choose_stop_signal(t));
	return tracee_get_regs(held, &held->saved, err);
}

/* The puppet forgets what it has of us: descriptors, the rseq registration of our C library. */
static int strip_root(struct restore_task *root, struct error *err)
{
	struct tracee *held = &root->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };
	/* struct sigaction of the kernel: handler, flags, restorer, mask */
	const uint64_t plain[4] = { (uint64_t)SIG_DFL };
	struct tracee_rseq rseq;

	if (tracee_rseq(held, &rseq, err))
		return -1;
	batch_start(&b, &root->agent);
	/* What we ignore ourselves. */
	batch_must(&b, SYS_rt_sigaction, SIGPIPE, batch_put(&b, plain, sizeof(plain)), 0, 8);
	batch_must(&b, SYS_rt_sigaction, SIGXFSZ, batch_put(&b, plain, sizeof(plain)), 0, 8);
	batch_must(&b, SYS_prctl, PR_SET_PDEATHSIG, 0);
	/* Born into a user namespace, it has all capabilities there, but ids of the machine. */
	if (root->restore->container.namespaces & CLONE_NEWUSER) {
		batch_must(&b, SYS_setresgid, 0, 0, 0);
		batch_must(&b, SYS_setresuid, 0, 0, 0);
		batch_call(&b, SYS_setgroups, 0, 0);
	}
	if (rseq.address)
		batch_must(&b, SYS_rseq, rseq.address, rseq.size, RSEQ_UNREGISTER, rseq.signature);
	return restore_run(root, &b, err) || restore_clear(root, err) ? -1 : 0;
}

/* A puppet that nobody holds yet ends with us all the same. */
__attribute__((noreturn)) static void wait_to_be_seized(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	for (;;)
		pause();
}

int puppet_make_root(struct restore *r, struct restore_task *root, struct error *err)
{
	pid_t wanted = root->pid, ours = getpid(), pid;
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)&wanted,
		.set_tid_size = 1,
	};
	struct tracee *held = &root->threads.items[0]->tracee;

	pid = r->container.host_pid ? wanted : sys_clone3(&args, sizeof(args));
	if (pid == 0)
		wait_to_be_seized(ours);
	if (pid < 0 && errno == EEXIST)
		return pid_is_taken(wanted, err);
	if (pid < 0) {
		error_set(err, ERROR_FAILED, errno, "cannot make process %d", wanted);
		return error_hint(err, "run criu-lite as root");
	}
	root->service_fd = r->service[1];
	if (tracee_seize(held, pid, pid, TRACEE_PUPPET | TRACEE_SECCOMP_OFF, err) ||
	    tracee_interrupt(held, err) || tracee_wait_stopped(held, STOP_TIMEOUT_MS, err)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		held->tid = 0;
		return -1;
	}
	return adopt(root, pid, err) || strip_root(root, err) ? -1 : 0;
}

/* Takes hold of a process or thread that a batch has just borne. */
static int meet(struct tracee *held, pid_t tid, pid_t tgid, struct error *err)
{
	*held = (struct tracee){ .tid = tid, .tgid = tgid };
	return tracee_wait_stopped(held, STOP_TIMEOUT_MS, err);
}

static int bear(struct restore_task *parent, pid_t wanted, uint64_t flags, int exit_signal,
		struct batch *b, struct error *err)
{
	struct clone_args args = {
		.flags = flags,
		.exit_signal = exit_signal,
		.set_tid_size = 1,
	};

	batch_start(b, &parent->agent);
	args.set_tid = batch_put(b, &wanted, sizeof(wanted));
	batch_must(b, SYS_clone3, batch_put(b, &args, sizeof(args)), sizeof(args));
	return restore_run(parent, b, err);
}

bool puppets_is_saved_id(const struct restore *r, pid_t pid)
{
	struct restore_task **t;
	size_t i;

	array_for(t, &r->tasks) {
		if ((*t)->pid == pid || (*t)->sid == pid || (*t)->pgid == pid)
			return true;
		for (i = 0; i < (*t)->threads.count; i++)
			if ((*t)->threads.items[i]->tid == pid)
				return true;
	}
	return false;
}

/* A helper must not sit on a pid that a task needs later. */
static int bear_anywhere(struct restore_task *parent, struct restore_task *child, struct batch *b,
			 struct error *err)
{
	pid_t pid;

	for (pid = HELPER_PID_FIRST; pid < HELPER_PID_FIRST + HELPER_PID_TRIES; pid++) {
		struct error taken = ERROR_INIT;

		if (puppets_is_saved_id(parent->restore, pid))
			continue;
		if (!bear(parent, pid, 0, 0, b, &taken)) {
			child->pid = pid;
			return 0;
		}
		if (taken.os_error != EEXIST) {
			*err = taken;
			return -1;
		}
		error_clear(&taken);
	}
	return error_set(err, ERROR_FAILED, 0, "no free pid for a helper process");
}

int puppet_make_child(struct restore_task *parent, struct restore_task *child, int exit_signal,
		      struct error *err)
{
	struct tracee *held = &child->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };
	unsigned long pid;

	if (!child->pid) {
		if (bear_anywhere(parent, child, &b, err))
			return -1;
	} else if (bear(parent, child->pid, child->shares_fs ? CLONE_FS : 0,
			exit_signal, &b, err)) {
		if (err->os_error != EEXIST)
			return -1;
		error_clear(err);
		return pid_is_taken(child->pid, err);
	}
	pid = parent->threads.items[0]->tracee.event_message;
	child->service_fd = parent->service_fd;
	return meet(held, pid, pid, err) || adopt(child, pid, err) ? -1 : 0;
}

int puppet_make_threads(struct restore_task *t, struct error *err)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 CLONE_SYSVSEM,
		.set_tid_size = 1,
	};
	struct tracee *leader = &t->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };
	size_t i;

	for (i = 1; i < t->threads.count; i++) {
		struct restore_thread *thread = t->threads.items[i];

		batch_start(&b, &t->agent);
		args.set_tid = batch_put(&b, &thread->tid, sizeof(thread->tid));
		batch_must(&b, SYS_clone3, batch_put(&b, &args, sizeof(args)), sizeof(args));
		if (restore_run(t, &b, err)) {
			if (err->os_error != EEXIST)
				return -1;
			error_clear(err);
			return pid_is_taken(thread->tid, err);
		}
		if (meet(&thread->tracee, leader->event_message, leader->tgid, err) ||
		    tracee_get_regs(&thread->tracee, &thread->tracee.saved, err))
			return -1;
	}
	return 0;
}

/* Waits for the end of a puppet that goes to it; signals on the way are its own. */
static int wait_for_end(struct restore_task *t, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;
	struct error end = ERROR_INIT;
	struct stop stop;

	while (!tracee_wait(held, &stop, &end))
		if (tracee_continue(held, stop.kind == STOP_SIGNAL ? stop.signal : 0, err))
			return -1;
	if (end.kind != ERROR_DIED) {
		*err = end;
		return -1;
	}
	error_clear(&end);
	fd_close(&t->pidfd);
	held->tid = 0;
	return 0;
}

/* What it runs next is one call at the agent's instruction, with no signal blocked. */
static int prepare_call(struct restore_task *t, long number, uint64_t argument, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;
	const uint64_t a[6] = { argument };
	struct arch_regs regs = held->saved;

	arch_call_regs(&regs, t->agent.address + arch_agent_call_offset(), 0, number, a);
	held->hijacked = false;
	return tracee_set_regs(held, &regs, err) || tracee_set_sigmask(held, 0, err) ? -1 : 0;
}

/* Death by signal: the signal takes the place of our own stop's. A core file was written then, if
 * at all; there is no second one. */
static int die_by(struct restore_task *t, int signal, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	batch_must(&b, SYS_prctl, PR_SET_DUMPABLE, 0);
	if (restore_run(t, &b, err) || tracee_set_sigmask(held, 0, err) ||
	    tracee_continue(held, signal, err))
		return -1;
	return wait_for_end(t, err);
}

int puppet_exit(struct restore_task *t, int wait_status, struct error *err)
{
	int signal = wait_status & 0x7f;

	if (signal)
		return die_by(t, signal, err);
	return prepare_call(t, SYS_exit_group, wait_status >> 8 & 0xff, err) ||
			       tracee_continue(&t->threads.items[0]->tracee, 0, err) ||
			       wait_for_end(t, err) ?
		       -1 :
		       0;
}

/* Another thread speaks for the process from now on. */
static void put_leader_last(struct restore_task *t)
{
	struct restore_thread *leader = t->threads.items[0];
	size_t last = t->threads.count - 1;

	memmove(t->threads.items, t->threads.items + 1, last * sizeof(leader));
	t->threads.items[last] = leader;
	t->leader_gone = true;
}

int puppet_exit_leader(struct restore_task *t, int wait_status, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;
	int tries;

	/* Let go, since as our tracee its end would show to us instead of its parent. */
	if (prepare_call(t, SYS_exit, wait_status >> 8 & 0xff, err) || tracee_detach(held, err))
		return -1;
	_cleanup_fd_ int dir = proc_open_thread(held->tgid, held->tid);
	for (tries = 0; tries < STOP_TIMEOUT_MS * 10; tries++) {
		struct proc_stat stat;

		if (proc_read_stat(dir, &stat, err))
			return -1;
		if (stat.state == 'Z') {
			put_leader_last(t);
			return 0;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
	return error_set(err, ERROR_FAILED, 0, "task %d did not exit", held->tid);
}

int puppet_stop(struct restore_task *t, int signal, struct error *err)
{
	struct tracee *held = &t->threads.items[0]->tracee;
	_cleanup_batch_ struct batch b = { 0 };
	struct stop stop;
	size_t i;

	/* As in die_by(): the signal takes the place of our own stop's. */
	batch_start(&b, &t->agent);
	if (restore_run(t, &b, err) || tracee_set_sigmask(held, 0, err) ||
	    tracee_continue(held, signal, err))
		return -1;
	/* The others have the stop ahead of them once the first has met it, and not before: then
	 * they would run. They take part when they are let go. */
	for (i = 0; i < t->threads.count - t->leader_gone; i++) {
		held = &t->threads.items[i]->tracee;
		if (i > 0 && tracee_continue(held, 0, err))
			return -1;
		do {
			if (tracee_wait(held, &stop, err))
				return -1;
		} while (stop.kind != STOP_GROUP && stop.kind != STOP_EVENT_STOP);
	}
	return 0;
}

static void kill_all(struct restore_task *const *tasks, size_t count)
{
	size_t i, k;

	for (i = count; i-- > 0;)
		if (tasks[i]->threads.count && tasks[i]->threads.items[0]->tracee.tid)
			kill(tasks[i]->threads.items[0]->tracee.tgid, SIGKILL);
	for (i = count; i-- > 0;) {
		struct restore_task *t = tasks[i];

		/* The first of a pid namespace takes no signal from within. It ends when we end. */
		if (t->pid == 1)
			continue;

		/* The leader is waited for last: its end shows when there is no other thread left.
		 * */
		for (k = t->threads.count - t->leader_gone; k-- > 0;)
			tracee_kill(&t->threads.items[k]->tracee);
		if (t->leader_gone)
			tracee_kill(&t->threads.items[t->threads.count - 1]->tracee);
	}
	for (i = 0; i < count; i++)
		child_forget(tasks[i]->pid);
}

/* Puppets lose their parents here; they become our children, so that none is left as a zombie
 * wherever nobody reaps orphans. */
void puppets_kill_tasks(struct restore_task *const *tasks, size_t count)
{
	int was_subreaper = 0;

	prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	kill_all(tasks, count);
	prctl(PR_SET_CHILD_SUBREAPER, was_subreaper);
}

void puppets_kill(struct restore *r)
{
	puppets_kill_tasks(r->tasks.items, r->tasks.count);
}

void puppet_keep(struct restore_task *t, struct restore_task *former)
{
	struct tracee *from = &former->threads.items[0]->tracee;

	t->kept = true;
	t->former_pgid = former->pgid;
	t->threads.items[0]->tracee = *from;
	*from = (struct tracee){ 0 };
	t->agent = former->agent;
	former->agent = (struct agent){ 0 };
	t->agent.stop_signal = choose_stop_signal(t);
	t->pidfd = steal_fd(&former->pidfd);
	t->service_fd = former->service_fd;
}
