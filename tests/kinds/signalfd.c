/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A signalfd keeps its mask, and signals that wait are read from it. */
#include <signal.h>
#include <sys/signalfd.h>

#include "testing.h"

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	sigset_t mask, other;
	int fd, second;

	test_init(argc, argv);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	sigaddset(&mask, SIGRTMAX);
	sigemptyset(&other);
	sigaddset(&other, SIGUSR2);
	test_must(!sigprocmask(SIG_BLOCK, &mask, NULL) && !sigprocmask(SIG_BLOCK, &other, NULL));
	test_must((fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC)) >= 0);
	test_must((second = signalfd(-1, &other, 0)) >= 0);
	test_must(!raise(SIGUSR1));

	test_checkpoint_here();

	test_check(fcntl(fd, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_check(read(fd, &info, sizeof(info)) == sizeof(info), "no signal");
	test_check(info.ssi_signo == SIGUSR1, "signal %u", info.ssi_signo);
	test_check(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN, "one more signal");
	test_must(!sigqueue(getpid(), SIGRTMAX, (union sigval){ .sival_int = 9 }));
	test_must(!raise(SIGUSR2));
	test_check(read(fd, &info, sizeof(info)) == sizeof(info), "no second signal");
	test_check(info.ssi_signo == (unsigned)SIGRTMAX && info.ssi_int == 9, "signal %u",
		   info.ssi_signo);
	test_check(read(fd, &info, sizeof(info)) < 0, "it reads the other one's signal");
	test_check(read(second, &info, sizeof(info)) == sizeof(info), "the second reads nothing");
	test_check(info.ssi_signo == SIGUSR2, "signal %u", info.ssi_signo);
	test_pass();
}
