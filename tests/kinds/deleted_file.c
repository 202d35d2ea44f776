/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deleted files are one file for mappings and descriptors of all tasks, sparse ones stay sparse. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 40 };
#define RW (PROT_READ | PROT_WRITE)
#define SPARSE_SIZE ((off_t)5 << 30)

static int make_file(const char *name, mode_t mode)
{
	int fd = open(test_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	char page[PAGE];

	test_must(fd >= 0);
	for (int i = 0; i < PAGES; i++) {
		memset(page, 'a' + i % 26, PAGE);
		test_must(write(fd, page, PAGE) == PAGE);
	}
	test_must(!unlink(test_path(name)));
	return fd;
}

/* Deleted, and there is another file of that name by now. */
static int make_replaced(void)
{
	int fd = make_file("replaced", 0600), other;

	other = open(test_path("replaced"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	test_must(other >= 0 && write(other, "new", 3) == 3);
	close(other);
	return fd;
}

static int make_nameless(void)
{
	int fd = open(test_path(""), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	test_must(write(fd, "nameless", 8) == 8);
	return fd;
}

static int make_sparse(void)
{
	int fd = open(test_path("sparse"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	test_must(fd >= 0 && !ftruncate(fd, SPARSE_SIZE + 123));
	for (off_t at = 0; at < SPARSE_SIZE; at += SPARSE_SIZE / 10)
		test_must(pwrite(fd, &at, sizeof(at), at + 100) == sizeof(at));
	test_must(pwrite(fd, "end", 3, SPARSE_SIZE + 120) == 3);
	test_must(!unlink(test_path("sparse")));
	return fd;
}

static void check_sparse(int fd)
{
	struct stat st;
	off_t value;

	test_must(!fstat(fd, &st));
	test_check(st.st_size == SPARSE_SIZE + 123, "the sparse file has %lld bytes",
		   (long long)st.st_size);
	test_check(st.st_blocks < 2000, "the sparse file takes %lld blocks",
		   (long long)st.st_blocks);
	for (off_t at = 0; at < SPARSE_SIZE; at += SPARSE_SIZE / 10) {
		test_must(pread(fd, &value, sizeof(value), at + 100) == sizeof(value));
		test_check(value == at, "the sparse file holds %lld at %lld", (long long)value,
			   (long long)at);
	}
}

/* The child has a descriptor, the parent a mapping: both see what the other writes. */
static void child(int fd)
{
	char byte;

	test_wait_for_go();
	test_wait_until(pread(fd, &byte, 1, 3 * PAGE) == 1 && byte == 'P',
			"the child does not see its parent's byte");
	test_must(pwrite(fd, "C", 1, 4 * PAGE) == 1);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct stat before, after;
	int fd, replaced, nameless, sparse, status;
	char *shared, *private, text[16] = "";
	pid_t pid;

	test_init(argc, argv);
	fd = make_file("gone", 0751);
	test_must(!fchown(fd, 1, 2) && !fchmod(fd, 0751));
	shared = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0);
	private = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE, fd, 0);
	test_must(shared != MAP_FAILED && private != MAP_FAILED);
	shared[0] = 'S';
	private[PAGE] = 'V';
	replaced = make_replaced();
	nameless = make_nameless();
	sparse = make_sparse();
	test_must(!fstat(fd, &before));
	pid = fork();
	test_must(pid >= 0);
	if (!pid)
		child(fd);

	test_checkpoint_here();

	test_must(!fstat(fd, &after));
	test_check(after.st_nlink == 0, "the file has a name again");
	test_check(after.st_size == before.st_size && after.st_mode == before.st_mode &&
			   after.st_uid == before.st_uid && after.st_gid == before.st_gid,
		   "size %lld, mode %o, owner %d:%d", (long long)after.st_size, after.st_mode,
		   after.st_uid, after.st_gid);
	test_check(after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
			   after.st_mtim.tv_nsec == before.st_mtim.tv_nsec,
		   "time of modification");
	for (int i = 2; i < PAGES; i++)
		test_check(shared[i * PAGE + 5] == 'a' + i % 26 &&
				   private[i * PAGE] == 'a' + i % 26,
			   "page %d holds %c and %c", i, shared[i * PAGE], private[i * PAGE]);
	test_check(private[0] == 'S' && shared[PAGE] == 'b' && private[PAGE] == 'V',
		   "the private page");
	shared[3 * PAGE] = 'P';
	test_must(waitpid(pid, &status, 0) == pid && status == 0);
	test_check(shared[4 * PAGE] == 'C', "the parent does not see its child's byte");
	test_must(pread(replaced, text, 4, PAGE) == 4);
	test_check(!strcmp(text, "bbbb"), "the replaced file holds '%s'", text);
	test_check(nameless < 0 || pread(nameless, text, 15, 0) == 8, "the file without a name");
	test_check(nameless < 0 || !strncmp(text, "nameless", 8), "it holds '%s'", text);
	check_sparse(sparse);
	test_pass();
}
