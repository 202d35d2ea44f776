/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks of flock, POSIX and open-file-description kind stay held, and waiters go on waiting. */
#include "testing.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* A file of its own for each kind of lock, since POSIX and OFD locks would hinder each other. */
static int whole, ranges, owned;
static volatile bool *granted;	/* shared: whether the child has got the lock it waits for */

static struct flock range(short type, off_t start, off_t length)
{
	return (struct flock){ .l_type = type, .l_start = start, .l_len = length };
}

static void set(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = range(type, start, length);

	test_check(fcntl(fd, command, &lock) == 0, "lock of %ld bytes at %ld", (long)length,
		   (long)start);
}

/* Who hinders a write lock on these bytes: type and bounds, in a process that holds none itself. */
static struct flock hinders(int fd, int command, off_t start, off_t length)
{
	struct flock lock = range(F_WRLCK, start, length);

	test_must(fcntl(fd, command, &lock) == 0);
	return lock;
}

static void expect(const char *what, struct flock got, short type, off_t start, off_t length,
		   pid_t pid)
{
	test_check(got.l_type == type, "%s: type %d instead of %d", what, got.l_type, type);
	if (type == F_UNLCK)
		return;
	test_check(got.l_start == start && got.l_len == length,
		   "%s: %ld bytes at %ld instead of %ld at %ld", what, (long)got.l_len,
		   (long)got.l_start, (long)length, (long)start);
	test_check(got.l_pid == pid, "%s: held by %d instead of %d", what, got.l_pid, pid);
}

/* Looks at the locks from a process that holds none. */
static void look(pid_t holder, pid_t other)
{
	int again = open(test_path("whole"), O_RDWR);
	int again_owned = open(test_path("owned"), O_RDWR);

	test_must(again >= 0 && again_owned >= 0);
	test_check(flock(again, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK,
		   "the flock is not held");
	expect("POSIX write lock", hinders(ranges, F_GETLK, 0, 10), F_WRLCK, 0, 10, holder);
	expect("gap", hinders(ranges, F_GETLK, 10, 90), F_UNLCK, 0, 0, 0);
	expect("POSIX read lock", hinders(ranges, F_GETLK, 100, 50), F_RDLCK, 100, 50, holder);
	expect("child's lock", hinders(ranges, F_GETLK, 500, 1), F_WRLCK, 500, 1, other);
	expect("lock to the end", hinders(ranges, F_GETLK, 5000, 1), F_WRLCK, 1000, 0, holder);
	expect("OFD write lock", hinders(again_owned, F_OFD_GETLK, 0, 4), F_WRLCK, 0, 4, -1);
	expect("OFD read lock", hinders(again_owned, F_OFD_GETLK, 20, 4), F_RDLCK, 20, 4, -1);
	expect("OFD gap", hinders(again_owned, F_OFD_GETLK, 8, 4), F_UNLCK, 0, 0, 0);
	close(again);
	close(again_owned);
}

/* Holds a lock of its own, and then waits for one of the parent's. */
static pid_t start_waiter(void)
{
	pid_t pid = fork();

	test_must(pid >= 0);
	if (pid)
		return pid;
	set(ranges, F_SETLK, F_WRLCK, 500, 1);
	set(ranges, F_SETLKW, F_WRLCK, 0, 5);
	*granted = true;
	for (;;)
		pause();
}

static bool waits(pid_t pid)
{
	char path[64], line[256];
	bool found = false;
	FILE *locks;

	snprintf(path, sizeof(path), " %d ", pid);
	locks = fopen("/proc/locks", "r");
	test_must(locks);
	while (fgets(line, sizeof(line), locks))
		if (strstr(line, "-> POSIX") && strstr(line, path))
			found = true;
	fclose(locks);
	return found;
}

static void look_from_outside(pid_t holder, pid_t other)
{
	pid_t looker = fork();
	int status;

	test_must(looker >= 0);
	if (looker == 0) {
		look(holder, other);
		_exit(0);
	}
	test_must(waitpid(looker, &status, 0) == looker);
	test_check(status == 0, "a look at the locks from outside failed");
}

int main(int argc, char **argv)
{
	pid_t waiter;
	int shared;

	test_init(argc, argv);
	granted = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_must(granted != MAP_FAILED);
	test_must((whole = open(test_path("whole"), O_RDWR | O_CREAT, 0666)) >= 0);
	test_must((ranges = open(test_path("ranges"), O_RDWR | O_CREAT, 0666)) >= 0);
	test_must((owned = open(test_path("owned"), O_RDWR | O_CREAT, 0666)) >= 0);
	test_must((shared = dup(whole)) >= 0);
	test_must(flock(shared, LOCK_EX) == 0);
	set(ranges, F_SETLK, F_WRLCK, 0, 10);
	set(ranges, F_SETLK, F_RDLCK, 100, 50);
	set(ranges, F_SETLK, F_WRLCK, 1000, 0);
	set(owned, F_OFD_SETLK, F_WRLCK, 0, 4);
	set(owned, F_OFD_SETLK, F_RDLCK, 20, 4);
	waiter = start_waiter();
	test_wait_until(waits(waiter), "the child does not wait");
	look_from_outside(getpid(), waiter);

	test_checkpoint_here();

	test_wait_until(waits(waiter), "the child does not wait any more");
	look_from_outside(getpid(), waiter);
	test_check(!*granted, "the child got a lock that is held");
	set(ranges, F_SETLK, F_UNLCK, 0, 10);
	test_wait_until(*granted, "the child never got its lock");
	expect("after the grant", hinders(ranges, F_GETLK, 0, 10), F_WRLCK, 0, 5, waiter);
	/* The flock belongs to the description: either descriptor can end it. */
	test_must(flock(whole, LOCK_UN) == 0);
	test_must(flock(open(test_path("whole"), O_RDWR), LOCK_EX | LOCK_NB) == 0);
	test_must(kill(waiter, SIGKILL) == 0 && waitpid(waiter, NULL, 0) == waiter);
	test_pass();
}
