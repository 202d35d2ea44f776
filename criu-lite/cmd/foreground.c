/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "tracee/wait.h"

/* Signals that a person or a service manager sends to us are meant for the program. */
static void forwarded_signals(sigset_t *set)
{
	static const int signals[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM,
				       SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(set, signals[i]);
	sigaddset(set, SIGCHLD);
}

/* Makes a group the terminal's foreground; also from the background, where we would be stopped. */
static void set_group(int terminal, pid_t group)
{
	sigset_t background, before;

	sigemptyset(&background);
	sigaddset(&background, SIGTTOU);
	sigprocmask(SIG_BLOCK, &background, &before);
	tcsetpgrp(terminal, group);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void foreground_begin(struct foreground *f, bool attend)
{
	sigset_t set;

	f->terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	f->has_terminal = f->terminal >= 0 && tcgetpgrp(f->terminal) == getpgrp() &&
			  !tcgetattr(f->terminal, &f->settings);
	forwarded_signals(&set);
	if (attend)
		sigprocmask(SIG_BLOCK, &set, NULL);
}

void foreground_give_up(struct foreground *f)
{
	if (f->has_terminal) {
		set_group(f->terminal, getpgrp());
		tcsetattr(f->terminal, TCSANOW, &f->settings);
	}
	fd_close(&f->terminal);
}

/* Whoever waits for us shall see what the program ended by; the core file is the program's. */
static void end_by(int number)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t only;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}

/* A job has been stopped from the terminal: the shell must see its own job stop, which is us, and
 * when it lets us go on, the program does. With our group it is stopped and continued anyway. */
static void stop_along(const struct foreground *f, pid_t root)
{
	pid_t group = getpgid(root);

	if (!f->has_terminal || group < 0 || group == getpgrp())
		return;
	if (tcgetpgrp(f->terminal) == group)
		set_group(f->terminal, getpgrp());
	raise(SIGSTOP);
	if (tcgetpgrp(f->terminal) == getpgrp())
		set_group(f->terminal, group);
	kill(-group, SIGCONT);
}

/* What the terminal sends to a whole group has reached the program already if it is in ours. */
static void pass_on(const siginfo_t *info, pid_t root)
{
	if (info->si_signo != SIGCHLD &&
	    (info->si_code != SI_KERNEL || getpgid(root) != getpgrp()))
		kill(root, info->si_signo);
}

int foreground_attend(struct foreground *f, pid_t root, struct error *err)
{
	sigset_t set;
	int status = 0;

	forwarded_signals(&set);
	for (;;) {
		int signal, ended = child_reap(root, &status, &signal);
		siginfo_t info;

		if (ended == 1 && f->has_terminal && getpgid(tcgetpgrp(f->terminal)) < 0)
			set_group(f->terminal, getpgrp());
		if (ended == 1 && signal)
			end_by(signal);
		if (ended == 1)
			return status;
		if (ended < 0 && errno != EINTR)
			return error_set(err, ERROR_FAILED, errno, "cannot wait for process %d", root);
		if (ended == 2)
			stop_along(f, root);
		else if (sigwaitinfo(&set, &info) > 0)
			pass_on(&info, root);
	}
}
