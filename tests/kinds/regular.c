/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files keep offset, flags and content; dup and fork go on sharing them; deleted ones live. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { SIZE = 100000, HIGH = 700, COPIES = 300 };

static char expected(size_t i)
{
	return 'a' + i % 23 + i / 1000 % 3;
}

static int make_file(const char *name, int flags)
{
	static char data[SIZE];
	int fd;

	for (size_t i = 0; i < SIZE; i++)
		data[i] = expected(i);
	test_must((fd = open(test_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) >= 0);
	test_must(write(fd, data, SIZE) == SIZE);
	close(fd);
	test_must((fd = open(test_path(name), flags)) >= 0);
	return fd;
}

static void expect_position(int fd, off_t wanted, const char *name)
{
	off_t position = lseek(fd, 0, SEEK_CUR);

	test_check(position == wanted, "%s: position %lld, was %lld", name, (long long)position,
		   (long long)wanted);
}

static void expect_content(int fd, const char *name)
{
	static char data[SIZE + 1];

	test_check(pread(fd, data, sizeof(data), 0) == SIZE, "%s: size", name);
	for (size_t i = 0; i < SIZE; i++)
		test_check(data[i] == expected(i), "%s: byte %zu is %d", name, i, data[i]);
}

static void expect_flags(int fd, int wanted, const char *name)
{
	int flags = fcntl(fd, F_GETFL);

	test_check(flags == wanted, "%s: flags %#o, were %#o", name, flags, wanted);
}

/* Shares the offset of `shared` with its parent and reads from it; holds a file of its own. */
static void child(int shared, int own)
{
	char byte;

	test_wait_for_go();
	test_wait_until(lseek(shared, 0, SEEK_CUR) == 43, "the parent's move is not seen");
	test_check(read(shared, &byte, 1) == 1 && byte == expected(43), "child reads %d", byte);
	expect_position(own, 7, "child's own file");
	expect_flags(own, O_RDONLY | O_NOATIME | 0100000, "child's own file");
	_exit(0);
}

int main(int argc, char **argv)
{
	int plain, copy, append, deleted, deleted_reader, unnamed, nofollow, high, direct, status;
	int copies[COPIES], flags[4];
	struct stat before, after;
	pid_t pid;
	char byte;

	test_init(argc, argv);
	plain = make_file("plain", O_RDONLY);
	test_must(lseek(plain, 42, SEEK_SET) == 42);
	test_must((copy = fcntl(plain, F_DUPFD_CLOEXEC, 0)) >= 0);
	append = make_file("append", O_WRONLY | O_APPEND | O_DSYNC);
	nofollow = make_file("nofollow", O_RDWR | O_NOFOLLOW | O_NONBLOCK);
	direct = make_file("direct", O_RDONLY | O_CLOEXEC);
	/* Not every file system knows O_DIRECT. */
	fcntl(direct, F_SETFL, O_DIRECT);
	deleted = make_file("deleted", O_RDWR);
	test_must((deleted_reader = open(test_path("deleted"), O_RDONLY)) >= 0);
	test_must(!unlink(test_path("deleted")));
	test_must(lseek(deleted, 5, SEEK_SET) == 5 && lseek(deleted_reader, 6, SEEK_SET) == 6);
	test_must((unnamed = open(test_path("."), O_TMPFILE | O_RDWR, 0600)) >= 0);
	test_must(write(unnamed, "unnamed", 7) == 7);
	test_must(fcntl(plain, F_DUPFD, HIGH) == HIGH);
	high = HIGH;
	for (int i = 0; i < COPIES; i++)
		test_must((copies[i] = dup(plain)) >= 0);
	test_must(!fstat(plain, &before));
	flags[0] = fcntl(plain, F_GETFL);
	flags[1] = fcntl(append, F_GETFL);
	flags[2] = fcntl(nofollow, F_GETFL);
	flags[3] = fcntl(direct, F_GETFL);

	test_must((pid = fork()) >= 0);
	if (!pid) {
		int own = open(test_path("plain"), O_RDONLY | O_NOATIME);

		test_must(own >= 0 && lseek(own, 7, SEEK_SET) == 7);
		test_reach("child is up");
		child(plain, own);
	}
	test_await("child is up");

	test_checkpoint_here();

	expect_flags(plain, flags[0], "plain");
	expect_flags(append, flags[1], "append");
	expect_flags(nofollow, flags[2], "nofollow");
	expect_flags(direct, flags[3], "direct");
	test_check(fcntl(plain, F_GETFD) == 0, "plain has become close-on-exec");
	test_check(fcntl(copy, F_GETFD) == FD_CLOEXEC, "its copy is not close-on-exec any more");
	test_check(fcntl(direct, F_GETFD) == FD_CLOEXEC, "direct is not close-on-exec any more");
	expect_position(copy, 42, "copy");
	test_check(read(copy, &byte, 1) == 1 && byte == expected(42), "plain: read %d", byte);
	test_must(waitpid(pid, &status, 0) == pid);
	test_check(status == 0, "child: wait status %#x", status);
	/* One step here, one in the child. */
	expect_position(plain, 44, "plain");
	expect_position(high, 44, "the copy with the high number");
	for (int i = 0; i < COPIES; i++)
		expect_position(copies[i], 44, "one of many copies");
	test_must(!fstat(plain, &after));
	test_check(before.st_ino == after.st_ino && before.st_dev == after.st_dev, "another file");

	test_must(write(append, "end", 3) == 3);
	expect_position(append, SIZE + 3, "append");
	expect_position(deleted, 5, "deleted");
	expect_position(deleted_reader, 6, "deleted, second description");
	expect_content(deleted, "deleted");
	test_must(pwrite(deleted, "X", 1, 9) == 1);
	test_check(pread(deleted_reader, &byte, 1, 9) == 1 && byte == 'X', "two deleted files");
	test_must(!fstat(deleted, &after));
	test_check(after.st_nlink == 0, "the deleted file has a name");
	test_check(access(test_path("deleted"), F_OK), "the deleted file is back");
	test_check(pread(unnamed, &byte, 1, 2) == 1 && byte == 'n', "the unnamed file");
	test_pass();
}
