/* SPDX-License-Identifier: GPL-2.0-or-later */
/* odd_state SCRATCH WHAT: a process in a state that cannot be saved. "ready" appears in the scratch
 * directory; after "go" it checks that the state is still there and ends with status 0. */
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "testing.h"

/* ---- a working directory that has been removed ---- */

static void remove_directory(void)
{
	test_must(!mkdir(test_path("removed"), 0700) && !chdir(test_path("removed")) &&
		  !rmdir(test_path("removed")));
}

static void check_directory(void)
{
	char text[64];

	test_check(!getcwd(text, sizeof(text)) && errno == ENOENT, "the directory is back");
}

/* ---- a filter that asks a supervisor ---- */

static int supervisor = -1;

static void ask_supervisor(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };

	supervisor = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			     SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
	test_must(supervisor >= 0);
	/* The descriptor would be refused by itself: without it the call just fails. */
	close(supervisor);
}

static void check_supervisor(void)
{
	test_check(syscall(SYS_getppid) == -1 && errno == ENOSYS, "nobody is asked");
}

/* ---- system calls that the program catches ---- */

static volatile char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
static volatile bool stop;
static volatile int caught;

static void on_call(int signal, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	caught++;
}

static void *catch_calls(void *arg)
{
	struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };

	test_must(!sigaction(SIGSYS, &action, NULL));
	test_must(!prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector));
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	while (!stop)
		__builtin_ia32_pause();
	getppid();
	return NULL;
}

static pthread_t thread;

static void start_catching(void)
{
	test_must(!pthread_create(&thread, NULL, catch_calls, NULL));
	test_wait_until(selector == SYSCALL_DISPATCH_FILTER_BLOCK, "no thread");
}

static void check_catching(void)
{
	stop = true;
	test_must(!pthread_join(thread, NULL));
	test_check(caught == 1, "caught %d calls", caught);
}

/* ---- a timer on the processor time of a thread that nothing names ---- */

static int timer;

static void *sleep_for_go(void *arg)
{
	test_wait_for_go();
	return NULL;
}

static void make_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };

	test_must(!syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &timer));
	test_must(!pthread_create(&thread, NULL, sleep_for_go, NULL));
}

static void check_timer(void)
{
	test_must(!pthread_join(thread, NULL));
	test_check(!syscall(SYS_timer_delete, timer), "the timer is gone");
}

static const struct state {
	const char *name;
	void (*make)(void), (*check)(void);
} states[] = {
	{ "removed-directory", remove_directory, check_directory },
	{ "supervisor", ask_supervisor, check_supervisor },
	{ "caught-calls", start_catching, check_catching },
	{ "thread-timer", make_timer, check_timer },
};

int main(int argc, char **argv)
{
	test_init(argc, argv);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]) && argc > 2; i++) {
		if (strcmp(argv[2], states[i].name))
			continue;
		states[i].make();
		test_checkpoint_here();
		states[i].check();
		return 0;
	}
	return 2;
}
