/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters of system calls stay in force, in their order, for the threads that have them. */
/* build: -pthread */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "testing.h"

static bool ready;
static volatile bool *strict_go, *is_strict;

/* From now on this call fails with that error. */
static void forbid(long number, int error)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };

	test_must(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

static int error_of(long number)
{
	return syscall(number, 0, 0, 0) < 0 ? errno : 0;
}

static void expect(const char *who, long number, int error)
{
	test_check(error_of(number) == error, "%s: call %ld gives error %d, gave %d", who, number,
		   error_of(number), error);
}

static void *run(void *arg)
{
	forbid(SYS_getppid, 111);
	/* Of two answers the first installed one is overruled by an equally strict later one. */
	forbid(SYS_getuid, 112);
	forbid(SYS_getuid, 113);
	forbid(SYS_rt_sigaction, EPERM);
	forbid(SYS_prctl, EPERM);
	forbid(SYS_capset, EPERM);
	expect("thread before", SYS_getuid, 113);
	__atomic_store_n(&ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	expect("thread", SYS_getppid, 111);
	expect("thread", SYS_getuid, 113);
	expect("thread", SYS_rt_sigaction, EPERM);
	expect("thread", SYS_prctl, EPERM);
	expect("thread", SYS_capset, EPERM);
	expect("thread", SYS_getgid, 0);
	return NULL;
}

/* Filters that need privilege, which is then given up. */
static void make_unprivileged(void)
{
	forbid(SYS_getppid, 99);
	test_must(!setgid(1234) && !setuid(1234));
	test_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "no_new_privs");
}

static void check_unprivileged(void)
{
	expect("unprivileged", SYS_getppid, 99);
	test_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "no_new_privs has come");
	test_check(getuid() == 1234 && setuid(0) == -1, "user");
}

static void make_new_privs(void)
{
	test_must(!setuid(1234) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int i = 0; i < 30; i++)
		forbid(SYS_getppid, 100 + i);
}

static void check_new_privs(void)
{
	expect("many", SYS_getppid, 129);
	test_check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs is lost");
}

/* In strict mode there are no calls but read, write and exit: it spins, and must die of another. */
static pid_t strict_child(void)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (!pid) {
		test_must(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		*is_strict = true;
		while (!*strict_go)
			__builtin_ia32_pause();
		syscall(SYS_getppid);
		syscall(SYS_exit, 0);
	}
	return pid;
}

int main(int argc, char **argv)
{
	pid_t children[2], strict;
	pthread_t thread;
	int status;

	test_init(argc, argv);
	strict_go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(strict_go != MAP_FAILED);
	is_strict = strict_go + 1;
	children[0] = test_child("unprivileged", make_unprivileged, check_unprivileged);
	children[1] = test_child("many", make_new_privs, check_new_privs);
	strict = strict_child();
	test_must(!pthread_create(&thread, NULL, run, NULL));
	test_wait_until(__atomic_load_n(&ready, __ATOMIC_SEQ_CST), "no thread");
	test_wait_until(*is_strict, "no child in strict mode");

	test_checkpoint_here();

	expect("first thread", SYS_getppid, 0);
	test_must(!pthread_join(thread, NULL));
	*strict_go = true;
	test_must(waitpid(strict, &status, 0) == strict);
	test_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "strict: wait status %#x",
		   status);
	for (int i = 0; i < 2; i++)
		test_child_ends(children[i]);
	test_pass();
}
