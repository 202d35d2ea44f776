/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the first thread has ended, what belongs to the process is saved through another one. */
/* build: -pthread */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "testing.h"

static int timer;

static void read_text(const char *path, char text[64])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(text, 0, 64);
	test_must(fd >= 0 && read(fd, text, 63) > 0);
	close(fd);
}

static void make_state(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	struct itimerspec spec = { .it_value = { 5000, 0 } };
	union sigval value = { .sival_int = 42 };
	int fd = open("/proc/thread-self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	test_must(fd >= 0 && write(fd, "77", 2) == 2);
	close(fd);
	signal(SIGUSR2, SIG_IGN);
	test_must(!syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1,
			   &(siginfo_t){ .si_code = SI_QUEUE, .si_value = value }));
	test_must(!kill(getpid(), SIGHUP));
	test_must(!syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) &&
		  !syscall(SYS_timer_settime, timer, 0, &spec, NULL));
	test_must(!setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 50, 60 }));
	test_must(!chdir("/usr/share"));
	umask(031);
	test_must(!prctl(PR_SET_NAME, "the other"));
}

static void check_state(const sigset_t *signals)
{
	static const struct timespec now;
	struct itimerspec spec;
	struct sigaction action;
	struct rlimit limit;
	siginfo_t info;
	char text[64];

	read_text("/proc/thread-self/oom_score_adj", text);
	test_check(!strcmp(text, "77\n"), "oom_score_adj is %s", text);
	test_must(!sigaction(SIGUSR2, NULL, &action));
	test_check(action.sa_handler == SIG_IGN, "SIGUSR2 is not ignored");
	test_check(sigtimedwait(signals, &info, &now) == SIGHUP && info.si_code == SI_USER &&
			   info.si_pid == getpid(),
		   "SIGHUP is lost");
	test_check(sigtimedwait(signals, &info, &now) == SIGUSR1 && info.si_value.sival_int == 42,
		   "SIGUSR1 is lost");
	test_check(!syscall(SYS_timer_gettime, timer, &spec) && spec.it_value.tv_sec > 4000,
		   "the timer is lost");
	test_must(!getrlimit(RLIMIT_NOFILE, &limit));
	test_check(limit.rlim_cur == 50 && limit.rlim_max == 60, "limit is %lu/%lu",
		   limit.rlim_cur, limit.rlim_max);
	test_check(getcwd(text, sizeof(text)) && !strcmp(text, "/usr/share"), "cwd is %s", text);
	test_check(umask(0) == 031, "umask");
	read_text("/proc/thread-self/comm", text);
	test_check(!strcmp(text, "the other\n"), "name is %s", text);
}

static void *run(void *arg)
{
	const sigset_t *signals = arg;
	char state = 0;

	make_state();
	while (state != 'Z') {
		FILE *file = fopen("/proc/self/stat", "re");

		test_must(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
		fclose(file);
	}

	test_checkpoint_here();

	check_state(signals);
	test_pass();
}

int main(int argc, char **argv)
{
	static sigset_t all;
	pthread_t thread;

	test_init(argc, argv);
	sigfillset(&all);
	test_must(!sigprocmask(SIG_BLOCK, &all, NULL));
	test_must(!pthread_create(&thread, NULL, run, &all));
	pthread_exit(NULL);
}
