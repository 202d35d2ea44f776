/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process whose first thread has ended goes on in the others, with all of its memory. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 600 };

static char *area, *shared;

static void *survivor(void *unused)
{
	char path[64], state[256];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
	test_wait_until((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0 &&
				read(fd, state, sizeof(state) - 1) > 0 && !close(fd) &&
				strstr(state, ") Z "),
			"the first thread does not end");
	shared[0] = 1;
	test_wait_for_go();
	for (int i = 0; i < PAGES; i++)
		test_check(area[i * PAGE] == (char)i, "page %d holds %d", i, area[i * PAGE]);
	test_check(shared[PAGE] == 'P', "shared memory holds %d", shared[PAGE]);
	_exit(42);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;
	pid_t pid;

	test_init(argc, argv);
	shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(shared != MAP_FAILED);
	pid = fork();
	test_must(pid >= 0);
	if (!pid) {
		area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		test_must(area != MAP_FAILED);
		for (int i = 0; i < PAGES; i++)
			area[i * PAGE] = i;
		test_must(!pthread_create(&thread, NULL, survivor, NULL));
		pthread_exit(NULL);
	}
	test_wait_until(shared[0] == 1, "no thread survives");
	shared[PAGE] = 'P';

	test_checkpoint_here();

	test_must(waitpid(pid, &status, 0) == pid);
	test_check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "wait status %#x", status);
	test_pass();
}
