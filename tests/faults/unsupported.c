/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unsupported SCRATCH WHAT…: holds descriptors that cannot be saved. "ready" in the scratch
 * directory names those that could be made; after "go" it ends with status 0. */
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "testing.h"

/* Another process: outside of the tree, because its parent has ended, or a child. It ends when
 * we have. */
static pid_t make_process(bool outside)
{
	int up[2], root = getpid();
	pid_t pid, made;

	test_must(!pipe2(up, O_CLOEXEC));
	test_must((pid = fork()) >= 0);
	if (!pid) {
		if (outside && fork())
			_exit(0);
		made = getpid();
		test_must(write(up[1], &made, sizeof(made)) == sizeof(made));
		close(up[0]);
		close(up[1]);
		while (!kill(root, 0) && access(test_path("go"), F_OK))
			test_sleep_ms(5);
		_exit(0);
	}
	if (outside)
		test_must(waitpid(pid, NULL, 0) == pid);
	test_must(read(up[0], &made, sizeof(made)) == sizeof(made));
	close(up[0]);
	close(up[1]);
	return made;
}

static int make_io_uring(void)
{
	struct io_uring_params parameters = { 0 };

	return syscall(SYS_io_uring_setup, 4, &parameters);
}

static int make_fanotify(void)
{
	return fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
}

static int make_userfaultfd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
}

static int make_perf(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attributes),
		.config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1,
	};

	return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static int make_bpf(void)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1,
	};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

static int make_landlock(void)
{
	struct landlock_ruleset_attr attributes = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE,
	};

	return syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
}

/* A pipe whose reading end only a stranger holds. */
static int make_pipe(void)
{
	int ends[2];

	test_must(!pipe(ends));
	make_process(true);
	close(ends[0]);
	return ends[1];
}

static int make_dead_pidfd(void)
{
	pid_t pid = fork();
	int fd;

	test_must(pid >= 0);
	if (!pid)
		_exit(0);
	fd = pidfd_open(pid, 0);
	test_must(waitpid(pid, NULL, 0) == pid);
	return fd;
}

static int make_foreign_pidfd(void)
{
	return pidfd_open(make_process(true), 0);
}

static int make_namespace(void)
{
	pid_t pid = fork();
	char path[64];
	int fd;

	test_must(pid >= 0);
	if (!pid) {
		if (unshare(CLONE_NEWUTS))
			_exit(1);
		test_sleep_ms(60000);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/uts", pid);
	for (int i = 0; i < 500; i++) {
		struct stat own, its;

		test_must((fd = open(path, O_RDONLY)) >= 0 && !stat("/proc/self/ns/uts", &own));
		test_must(!fstat(fd, &its));
		if (own.st_ino != its.st_ino)
			break;
		close(fd);
		fd = -1;
		test_sleep_ms(2);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

static int make_directory(void)
{
	int fd;

	test_must(!mkdir(test_path("removed"), 0700));
	fd = open(test_path("removed"), O_RDONLY | O_DIRECTORY);
	test_must(!rmdir(test_path("removed")));
	return fd;
}

/* A watch of a deleted file that an open descriptor keeps alive. */
static int make_watch(void)
{
	int fd = inotify_init1(0);

	test_must(fd >= 0 && open(test_path("watched"), O_RDWR | O_CREAT, 0600) >= 0);
	test_must(inotify_add_watch(fd, test_path("watched"), IN_MODIFY) > 0);
	test_must(!unlink(test_path("watched")));
	return fd;
}

/* An item whose file only a stranger holds. */
static int make_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0), pair[2];

	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	test_must(!epoll_ctl(fd, EPOLL_CTL_ADD, pair[0], &event));
	make_process(true);
	close(pair[0]);
	close(pair[1]);
	return fd;
}

static int sleep_for_go(void *argument)
{
	test_wait_for_go();
	return 0;
}

static int make_shared_table(void)
{
	static char stack[65536];

	return clone(sleep_for_go, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
}

static volatile bool unshared;

static void *thread(void *argument)
{
	test_must(!unshare(CLONE_FILES));
	unshared = true;
	test_wait_for_go();
	return NULL;
}

static int make_thread_table(void)
{
	pthread_t made;

	test_must(!pthread_create(&made, NULL, thread, NULL));
	test_wait_until(unshared, "no thread");
	return 0;
}

static const struct {
	const char *name;
	int (*make)(void);
} rows[] = {
	{ "shared-table", make_shared_table },
	{ "thread-table", make_thread_table },
	{ "io_uring", make_io_uring },
	{ "fanotify", make_fanotify },
	{ "userfaultfd", make_userfaultfd },
	{ "perf", make_perf },
	{ "bpf", make_bpf },
	{ "landlock", make_landlock },
	{ "pipe", make_pipe },
	{ "dead-pidfd", make_dead_pidfd },
	{ "foreign-pidfd", make_foreign_pidfd },
	{ "namespace", make_namespace },
	{ "directory", make_directory },
	{ "watch", make_watch },
	{ "epoll", make_epoll },
};

int main(int argc, char **argv)
{
	FILE *ready;

	test_init(argc, argv);
	test_must(ready = fopen(test_path("ready.new"), "we"));
	for (int i = 2; i < argc; i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
			int fd;

			if (strcmp(argv[i], rows[k].name))
				continue;
			fd = rows[k].make();
			fprintf(ready, "%s %d\n", rows[k].name, fd);
		}
	fclose(ready);
	test_must(!rename(test_path("ready.new"), test_path("ready")));
	test_wait_for_go();
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return 0;
}
