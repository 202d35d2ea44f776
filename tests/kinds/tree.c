/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes keep their pids, parents, sessions, groups (also leaderless ones) and zombies. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "testing.h"

enum { ORPHAN_STATUS = 11, DEEP = 4 };

struct identity {
	pid_t pid, parent, group, session;
};

static struct identity identity_now(void)
{
	return (struct identity){ getpid(), getppid(), getpgrp(), getsid(0) };
}

/* "name" appears in the scratch directory, holding our pid. */
static void announce(const char *name)
{
	char draft[64];
	FILE *file;

	snprintf(draft, sizeof(draft), "%s.new", name);
	test_must(file = fopen(test_path(draft), "we"));
	fprintf(file, "%d", getpid());
	fclose(file);
	test_must(!rename(test_path(draft), test_path(name)));
}

/* The pid in such a file; waits for it. */
static pid_t announced(const char *name)
{
	FILE *file;
	int pid;

	test_wait_until(!access(test_path(name), F_OK), "%s did not come up", name);
	test_must(file = fopen(test_path(name), "re"));
	test_must(fscanf(file, "%d", &pid) == 1);
	fclose(file);
	return pid;
}

/* What every living process of the tree does: waits, and compares. */
static void stay(const char *name)
{
	struct identity was = identity_now(), is;

	announce(name);
	test_wait_for_go();
	is = identity_now();
	test_check(is.pid == was.pid, "%s: pid %d, was %d", name, is.pid, was.pid);
	test_check(is.parent == was.parent, "%s: parent %d, was %d", name, is.parent, was.parent);
	test_check(is.group == was.group, "%s: group %d, was %d", name, is.group, was.group);
	test_check(is.session == was.session, "%s: session %d, was %d", name, is.session,
		   was.session);
}

static pid_t fork_checked(void)
{
	pid_t pid = fork();

	test_check(pid >= 0, "fork");
	return pid;
}

static void wait_for_exit(pid_t pid, int wanted, const char *name)
{
	int status;
	pid_t got = waitpid(pid, &status, 0);

	test_check(got == pid, "waitpid(%s, %d) returns %d", name, pid, got);
	test_check(status == wanted, "%s: wait status %#x, wanted %#x", name, status, wanted);
}

/* A chain of children, each the only child of the one before. */
static void chain(int depth)
{
	char name[16];
	pid_t child = 0;

	snprintf(name, sizeof(name), "deep%d", depth);
	if (depth < DEEP) {
		child = fork_checked();
		if (!child) {
			chain(depth + 1);
			_exit(0);
		}
	}
	stay(name);
	if (child)
		wait_for_exit(child, 0, name);
}

static pid_t start_chain(void)
{
	pid_t pid = fork_checked();

	if (!pid) {
		chain(1);
		_exit(0);
	}
	for (int depth = 1; depth <= DEEP; depth++) {
		char name[16];

		snprintf(name, sizeof(name), "deep%d", depth);
		announced(name);
	}
	return pid;
}

/* A session of its own, in it a member of the leader's group and one with a group of its own. */
static pid_t start_session(void)
{
	pid_t pid = fork_checked(), member, loner;

	if (pid) {
		announced("session");
		return pid;
	}
	setsid();
	member = fork_checked();
	if (!member) {
		stay("member");
		_exit(0);
	}
	loner = fork_checked();
	if (!loner) {
		setpgid(0, 0);
		stay("loner");
		_exit(0);
	}
	announced("member");
	announced("loner");
	stay("session");
	wait_for_exit(member, 0, "member");
	wait_for_exit(loner, 0, "loner");
	_exit(0);
}

/* A process whose parent has died; its session and group are called after the dead parent. */
static pid_t start_orphan(void)
{
	pid_t leader = fork_checked(), orphan;

	if (!leader) {
		setsid();
		if (fork_checked())
			_exit(0);
		test_wait_until(getppid() == atoi(getenv("ROOT")), "orphan has parent %d",
				getppid());
		test_check(getsid(0) != getpid() && getpgrp() != getpid(),
			   "orphan leads a session");
		stay("orphan");
		_exit(ORPHAN_STATUS);
	}
	wait_for_exit(leader, 0, "leader of the orphan");
	orphan = announced("orphan");
	test_check(kill(leader, 0) && errno == ESRCH, "dead leader %d is there", leader);
	return orphan;
}

/* A group of this session whose leader has died: two members left, one of them joined later. */
static void start_headless_group(pid_t members[2])
{
	pid_t leader = fork_checked();

	if (!leader) {
		setpgid(0, 0);
		announce("head");
		test_wait_until(!access(test_path("headless1"), F_OK), "no members");
		_exit(0);
	}
	announced("head");
	for (int i = 0; i < 2; i++) {
		members[i] = fork_checked();
		if (!members[i]) {
			test_must(!setpgid(0, leader));
			stay(i ? "headless1" : "headless0");
			_exit(0);
		}
		announced(i ? "headless1" : "headless0");
	}
	wait_for_exit(leader, 0, "leader of the group");
}

int main(int argc, char **argv)
{
	struct identity was = identity_now(), is;
	pid_t deep, session, orphan, headless[2], exited, killed, fresh;
	char root[16];

	test_init(argc, argv);
	snprintf(root, sizeof(root), "%d", getpid());
	setenv("ROOT", root, 1);
	test_must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	deep = start_chain();
	session = start_session();
	orphan = start_orphan();
	start_headless_group(headless);
	exited = fork_checked();
	if (!exited)
		_exit(42);
	killed = fork_checked();
	if (!killed) {
		setpgid(0, 0);
		raise(SIGKILL);
	}
	test_must(!waitid(P_PID, exited, &(siginfo_t){ 0 }, WEXITED | WNOWAIT));
	test_must(!waitid(P_PID, killed, &(siginfo_t){ 0 }, WEXITED | WNOWAIT));

	test_checkpoint_here();

	is = identity_now();
	test_check(!memcmp(&is, &was, sizeof(is)), "root: pid %d parent %d group %d session %d",
		   is.pid, is.parent, is.group, is.session);
	wait_for_exit(exited, 42 << 8, "zombie that exited");
	wait_for_exit(killed, SIGKILL, "zombie that was killed");
	wait_for_exit(deep, 0, "chain");
	wait_for_exit(session, 0, "session");
	wait_for_exit(orphan, ORPHAN_STATUS << 8, "orphan");
	wait_for_exit(headless[0], 0, "first of the headless group");
	wait_for_exit(headless[1], 0, "second of the headless group");
	test_check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD, "there are more children");
	fresh = fork_checked();
	if (!fresh)
		_exit(3);
	wait_for_exit(fresh, 3 << 8, "new child");
	test_pass();
}
