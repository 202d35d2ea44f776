/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session keeps its controlling terminal, with the foreground group that gets its signals. */
/* test: own=terminals */
/* test: kinds=controlling-terminal */
#include "testing.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>

/* What the processes of the session tell about themselves. */
struct report {
	volatile pid_t shell, job, background, stray;
	volatile int interrupts_job, interrupts_background, interrupts_shell, hangups;
	volatile int job_has_terminal, stray_has_terminal, background_answers, group_from_job;
	volatile int ask;
};

static struct report *report;

static void on_interrupt(int signal)
{
	if (getpid() == report->shell)
		report->interrupts_shell++;
	else if (getpid() == report->job)
		report->interrupts_job++;
	else
		report->interrupts_background++;
}

static void on_hangup(int signal)
{
	report->hangups++;
}

static int has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

/* Sits in its own group and answers questions. */
static void member(volatile int *terminal)
{
	int asked = 0;

	for (;;) {
		if (asked != report->ask) {
			asked = report->ask;
			if (getpid() == report->job)
				report->group_from_job = tcgetpgrp(STDIN_FILENO);
			*terminal = 2 + has_terminal();
		}
		test_sleep_ms(2);
	}
}

static pid_t start_member(volatile pid_t *own, volatile int *terminal, bool give_up)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (pid == 0) {
		setpgid(0, 0);
		*own = getpid();
		if (give_up) {
			int fd = open("/dev/tty", O_RDWR | O_NOCTTY);

			test_must(fd >= 0 && ioctl(fd, TIOCNOTTY) == 0);
			close(fd);
		}
		member(terminal);
	}
	setpgid(pid, pid);
	return pid;
}

static void shell(int index)
{
	char path[32];
	int fd;

	test_must(setsid() == getpid());
	snprintf(path, sizeof(path), "/dev/pts/%d", index);
	test_must((fd = open(path, O_RDWR)) >= 0);
	test_must(dup2(fd, 0) == 0 && dup2(fd, 1) == 1);
	close(fd);
	report->shell = getpid();
	signal(SIGINT, on_interrupt);
	signal(SIGHUP, on_hangup);
	signal(SIGTTOU, SIG_IGN);
	start_member(&report->background, &report->background_answers, false);
	start_member(&report->stray, &report->stray_has_terminal, true);
	start_member(&report->job, &report->job_has_terminal, false);
	test_wait_until(report->background && report->stray && report->job, "members are missing");
	test_must(tcsetpgrp(0, report->job) == 0);
	for (;;)
		pause();
}

static void ask(void)
{
	report->job_has_terminal = report->stray_has_terminal = report->background_answers = 0;
	report->ask++;
	test_wait_until(report->job_has_terminal && report->stray_has_terminal &&
				report->background_answers, "no answer");
	test_check(report->job_has_terminal == 3, "the job has no terminal");
	test_check(report->group_from_job == report->job,
		   "the foreground is group %d instead of %d", report->group_from_job, report->job);
	test_check(report->stray_has_terminal == 2, "who gave the terminal up has one");
}

int main(int argc, char **argv)
{
	int master, index, before;
	pid_t session, group, child;

	test_init(argc, argv);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	test_must(report != MAP_FAILED);
	test_must((master = posix_openpt(O_RDWR | O_NOCTTY)) >= 0 && unlockpt(master) == 0);
	test_must(ioctl(master, TIOCGPTN, &index) == 0);
	test_must((child = fork()) >= 0);
	if (child == 0) {
		close(master);
		shell(index);
	}
	test_wait_until(report->job && tcgetpgrp(master) == report->job, "no job");
	ask();

	test_checkpoint_here();

	test_must(ioctl(master, TIOCGSID, &session) == 0 && ioctl(master, TIOCGPGRP, &group) == 0);
	test_check(session == child, "the terminal is of session %d instead of %d", session, child);
	test_check(group == report->job, "the foreground is group %d instead of %d", group,
		   report->job);
	ask();
	before = report->interrupts_job;
	test_must(write(master, "\003", 1) == 1);
	test_wait_until(report->interrupts_job == before + 1, "the job got no SIGINT");
	test_check(!report->interrupts_shell && !report->interrupts_background,
		   "SIGINT went to others");
	/* The end of the terminal is a hangup for the session's leader and the foreground. */
	close(master);
	test_wait_until(report->hangups > 0, "no SIGHUP");
	kill(report->job, SIGKILL);
	kill(report->stray, SIGKILL);
	kill(report->background, SIGKILL);
	kill(child, SIGKILL);
	test_must(waitpid(child, NULL, 0) == child);
	test_pass();
}
