/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that end as soon as they have another parent, which is when they have been restored:
 *
 *     ends threads READY: the first of many threads ends them all: status 7
 *     ends leader READY: waits for a child whose first thread is gone: status 5
 *     ends signal READY: was born with no signal for its end: status 9. READY gets its pid; its
 *     parent stays.
 *     ends hangup READY: does not end; SIGHUP makes the file READY.hup
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 300 };

static char hup_name[4096];

static void ready(const char *name)
{
	FILE *file = fopen(name, "w");

	if (!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file))
		exit(1);
}

static void wait_for_another_parent(void)
{
	pid_t first = getppid();

	while (getppid() == first)
		;
}

static void *pause_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static int threads(const char *name)
{
	pthread_t thread;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, pause_for_ever, NULL))
			return 1;
	ready(name);
	wait_for_another_parent();
	_exit(7);
}

static void *wait_for_word(void *argument)
{
	volatile int *word = argument;

	while (!*word)
		usleep(1000);
	_exit(3);
}

static int leader(const char *name)
{
	volatile int *word = mmap(NULL, sizeof(*word), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	int status;
	pid_t child;

	if (word == MAP_FAILED || (child = fork()) < 0)
		return 1;
	if (!child) {
		if (pthread_create(&thread, NULL, wait_for_word, (void *)word))
			return 1;
		pthread_exit(NULL);
	}
	usleep(200000);
	ready(name);
	wait_for_another_parent();
	*word = 1;
	if (waitpid(child, &status, 0) != child || status != 3 << 8)
		return 1;
	return 5;
}

static int without_signal(const char *name)
{
	pid_t child = syscall(SYS_clone, 0, 0, 0, 0, 0);

	if (child < 0)
		return 1;
	if (child)
		pause_for_ever(NULL);
	setsid();
	ready(name);
	wait_for_another_parent();
	_exit(9);
}

static void note_hangup(int signal)
{
	int fd = open(hup_name, O_CREAT | O_WRONLY, 0600);

	if (fd >= 0)
		close(fd);
}

static int hangup(const char *name)
{
	snprintf(hup_name, sizeof(hup_name), "%s.hup", name);
	signal(SIGHUP, note_hangup);
	ready(name);
	pause_for_ever(NULL);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 1;
	if (!strcmp(argv[1], "threads"))
		return threads(argv[2]);
	if (!strcmp(argv[1], "leader"))
		return leader(argv[2]);
	if (!strcmp(argv[1], "signal"))
		return without_signal(argv[2]);
	return hangup(argv[2]);
}
