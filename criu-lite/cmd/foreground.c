/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "cmd/relay.h"
#include "tracee/wait.h"

/* Signals that a person or a service manager sends to us are meant for the program; not those that
 * our caller has us ignore (nohup). */
static void forwarded_signals(sigset_t *set)
{
	static const int signals[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM,
				       SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!sigaction(signals[i], NULL, &action) && action.sa_handler != SIG_IGN)
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

/* Waits for signals while the root lives. */
static int attend(struct foreground *f, pid_t root, int *ret_status, int *ret_signal)
{
	sigset_t set;

	forwarded_signals(&set);
	for (;;) {
		int ended = child_reap(root, ret_status, ret_signal);
		siginfo_t info;

		if (ended == 1 || (ended < 0 && errno != EINTR))
			return ended;
		if (ended == 2)
			stop_along(f, root);
		else if (sigwaitinfo(&set, &info) > 0)
			pass_on(&info, root);
	}
}

int foreground_attend(struct foreground *f, pid_t root, int relay, struct error *err)
{
	int status = 0, signal = 0, ended;
	sigset_t set;

	forwarded_signals(&set);
	ended = relay < 0 ? attend(f, root, &status, &signal) :
			    relay_attend(f->terminal, relay, root, &set, &status, &signal);
	if (ended < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot wait for process %d", root);
	/* The group that had our terminal may be gone, and nobody else would take it back. */
	if (f->has_terminal && kill(-tcgetpgrp(f->terminal), 0) && errno == ESRCH)
		set_group(f->terminal, getpgrp());
	fd_close(&f->terminal);
	if (signal)
		end_by(signal);
	return status;
}
