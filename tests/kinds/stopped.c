/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopped processes stay stopped until SIGCONT; a stop is reported to the parent exactly once. */
#include <signal.h>
#include <sys/wait.h>

#include "testing.h"

static pid_t start_stopped(int signal, int status)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (!pid) {
		setpgid(0, 0);
		raise(signal);
		_exit(status);
	}
	test_must(!waitid(P_PID, pid, &(siginfo_t){ 0 }, WSTOPPED | WNOWAIT));
	return pid;
}

static char state_of(pid_t pid)
{
	char path[64], state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	test_must(file = fopen(path, "re"));
	test_must(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
	fclose(file);
	return state;
}

static void wake(pid_t pid, int status)
{
	int got;

	test_check(state_of(pid) == 'T', "process %d is in state %c, not stopped", pid,
		   state_of(pid));
	test_must(!kill(pid, SIGCONT));
	test_must(waitpid(pid, &got, 0) == pid);
	test_check(got == status << 8, "stopped process: wait status %#x", got);
}

int main(int argc, char **argv)
{
	pid_t reported, unreported;
	siginfo_t info = { 0 };
	int status;

	test_init(argc, argv);
	reported = start_stopped(SIGSTOP, 21);
	test_must(waitpid(reported, &status, WUNTRACED) == reported && WIFSTOPPED(status));
	unreported = start_stopped(SIGTSTP, 22);

	test_checkpoint_here();

	test_must(!waitid(P_PID, reported, &info, WSTOPPED | WNOHANG));
	test_check(info.si_pid == 0, "a stop is reported a second time");
	test_check(waitpid(unreported, &status, WUNTRACED | WNOHANG) == unreported,
		   "a stop that was not yet reported is lost");
	test_check(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP, "stop has status %#x",
		   status);
	test_sleep_ms(50);
	wake(reported, 21);
	wake(unreported, 22);
	test_pass();
}
