/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTING_H
#define CL_TESTING_H

/*
 * The frame of a self-checking test program: it builds some state, says that it may be saved now,
 * and afterwards checks that everything is as it was.
 *
 *     int main(int argc, char **argv)
 *     {
 *             test_init(argc, argv);
 *             … make the state …
 *             test_checkpoint_here();
 *             test_check(value == 42, "value is %d", value);
 *             test_pass();
 *     }
 *
 * argv[1] is an absolute scratch directory; test_path() names files in it. Only the root process
 * calls test_checkpoint_here() and test_pass(); any process or thread may fail. The verdict is the
 * file "result" in the scratch directory, and the first one written stands.
 *
 * The comment behind the SPDX line of a test program is one sentence: the behaviour it proves.
 * Behind it, one-line comments of their own may tell the runner (tests/kinds.t) and the Makefile:
 *
 *     test: modes=none,restore             only these modes
 *     test: options=--stdio null           more options for criu-lite restore
 *     test: checkpoint=--compress none     more options for criu-lite checkpoint
 *     test: ignore=timers,Cpus_allowed     these may look otherwise afterwards (tests/looks.py)
 *     test: own=terminals,ipc,network      a devpts instance, IPC and network namespaces of its own
 *     test: between=ipcrm --all            a command before each restore, in the scratch directory
 *     test: unsteady                       the tree changes by itself: do not compare its looks
 *     build: -lcap                         more compiler flags
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_UNUSED __attribute__((unused))
#define TEST_SKIPPED 77	/* exit status of a skipped test */

static char test_scratch[512];

/* Takes the scratch directory from argv[1]. */
TEST_UNUSED static void test_init(int argc, char **argv)
{
	if (argc < 2 || argv[1][0] != '/' || strlen(argv[1]) > sizeof(test_scratch) - 64) {
		fprintf(stderr, "usage: %s ABSOLUTE-SCRATCH-DIRECTORY\n", argv[0]);
		exit(2);
	}
	snprintf(test_scratch, sizeof(test_scratch), "%s", argv[1]);
	umask(022);
}

/* The path of a file in the scratch directory, in a static buffer of the calling thread; it is
 * good until the fourth next call. */
TEST_UNUSED static const char *test_path(const char *name)
{
	static __thread char paths[4][sizeof(test_scratch) + 256];
	static __thread unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_scratch, name);
	return path;
}

/* Puts the verdict into "result" unless there is one. */
TEST_UNUSED static bool test_verdict(const char *text)
{
	char draft[64];
	int fd;

	snprintf(draft, sizeof(draft), "result.%ld", (long)syscall(SYS_gettid));
	fd = open(test_path(draft), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return false;
	close(fd);
	return link(test_path(draft), test_path("result")) == 0;
}

/* Ends the calling process (all its threads) with a failure. */
#define test_fail(...) test_fail_at(__FILE__, __LINE__, __VA_ARGS__)
TEST_UNUSED __attribute__((noreturn, format(printf, 3, 4))) static void
test_fail_at(const char *file, int line, const char *fmt, ...)
{
	int cause = errno;
	char text[1024], verdict[1400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(verdict, sizeof(verdict), "FAIL: %s:%d: pid %d: %s (errno: %s)\n", file, line,
		 (int)getpid(), text, cause ? strerror(cause) : "none");
	if (write(STDERR_FILENO, verdict, strlen(verdict)) < 0)
		(void)cause;
	test_verdict(verdict);
	_exit(1);
}

/* Fails with the message unless the condition holds. */
#define test_check(condition, ...)                                       \
	do {                                                             \
		if (!(condition))                                        \
			test_fail_at(__FILE__, __LINE__, __VA_ARGS__);   \
	} while (0)

/* Fails with the text of the expression and errno unless it holds; for set-up calls. */
#define test_must(condition) test_check(condition, "%s", #condition)

/* Ends the root process with success, or with a failure if another process has failed. */
TEST_UNUSED __attribute__((noreturn)) static void test_pass(void)
{
	exit(test_verdict("PASS\n") ? 0 : 1);
}

/* Ends the root process: this machine or kernel lacks what the test is about. */
TEST_UNUSED __attribute__((noreturn)) static void test_skip(const char *reason)
{
	char verdict[600];

	snprintf(verdict, sizeof(verdict), "SKIP: %s\n", reason);
	printf("skip: %s\n", reason);
	exit(test_verdict(verdict) ? TEST_SKIPPED : 1);
}

/* Sleeps the whole time, whatever interrupts it. */
TEST_UNUSED static void test_sleep_ms(unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (ms % 1000) * 1000000l;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* Milliseconds of the monotonic clock, which runs on while a program is saved. */
TEST_UNUSED static int64_t test_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* Waits until the condition holds, at most half a minute, then fails with the message. */
#define test_wait_until(condition, ...)                                              \
	do {                                                                         \
		int64_t _deadline = test_now_ms() + 30000;                           \
		while (!(condition)) {                                               \
			if (test_now_ms() > _deadline)                               \
				test_fail_at(__FILE__, __LINE__, __VA_ARGS__);       \
			test_sleep_ms(2);                                            \
		}                                                                    \
	} while (0)

/* For the other processes of a test: says that this point is reached, by a file of that name in the
 * scratch directory. Whoever sees it must not see an open descriptor of it. */
TEST_UNUSED static void test_reach(const char *name)
{
	test_check(!mkfifo(test_path(name), 0666), "cannot create %s", test_path(name));
}

/* Waits until another process has reached that point. */
TEST_UNUSED static void test_await(const char *name)
{
	test_wait_until(!access(test_path(name), F_OK), "nobody has come to '%s'", name);
	errno = 0;
}

/* How long test_checkpoint_here() was held up, all pauses together; a timeout may be so late. */
static int64_t test_pause_ms;

/*
 * Says that the state is ready ("ready" appears in the scratch directory) and waits until the
 * runner, after whatever it did, makes "go". Uses no signals and leaves no descriptor open. Only
 * once, by the root process.
 */
TEST_UNUSED static void test_checkpoint_here(void)
{
	static const struct timespec moment = { .tv_nsec = 2000000 };
	int64_t before = test_now_ms(), now;

	test_reach("ready");
	while (access(test_path("go"), F_OK)) {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
		now = test_now_ms();
		if (now - before > 20)
			test_pause_ms += now - before;
		before = now;
	}
	errno = 0;
}

/* For the other processes and threads of a test: waits for the same "go". */
TEST_UNUSED static void test_wait_for_go(void)
{
	while (access(test_path("go"), F_OK))
		test_sleep_ms(2);
	errno = 0;
}

/*
 * A child process that makes its state, waits for "go", and checks itself; returns once the state
 * is made. The name is that of a file in the scratch directory. test_child_ends() waits for it.
 */
TEST_UNUSED static pid_t test_child(const char *name, void (*make)(void), void (*check)(void))
{
	pid_t pid = fork();
	struct stat st;
	char path[64];
	FILE *made;
	int fd;

	test_must(pid >= 0);
	if (!pid) {
		int made = open(test_path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

		test_check(made >= 0, "cannot create %s", name);
		make();
		test_must(dprintf(made, "%d\n", made) > 0);
		close(made);
		test_wait_for_go();
		check();
		_exit(0);
	}
	test_wait_until(!stat(test_path(name), &st) && st.st_size, "child %s is not ready", name);
	test_must((made = fopen(test_path(name), "re")) && fscanf(made, "%d", &fd) == 1);
	fclose(made);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	test_wait_until(access(path, F_OK), "child %s keeps its file open", name);
	errno = 0;
	return pid;
}

/* Its end must be a good one. */
TEST_UNUSED static void test_child_ends(pid_t pid)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	test_check(ended == pid && status == 0, "child %d: wait status %#x", pid, status);
}

#endif
