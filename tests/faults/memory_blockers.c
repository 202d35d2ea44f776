/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes memory that cannot be saved, of the kind in argv[1], then the file argv[2], and waits. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, HUGE = 2 << 20, SKIPPED = 77 };
#define RW (PROT_READ | PROT_WRITE)

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static void must(int there)
{
	if (!there) {
		perror("cannot be made here");
		exit(SKIPPED);
	}
}

static void *map(int flags, int fd)
{
	void *at = mmap(NULL, flags & MAP_HUGETLB ? HUGE : PAGE, RW, flags, fd, 0);

	must(at != MAP_FAILED);
	return at;
}

static void make_io_uring(void)
{
	struct io_uring_params params = { 0 };
	int fd = syscall(SYS_io_uring_setup, 4, &params);

	must(fd >= 0);
	map(MAP_SHARED, fd);
	close(fd);
}

static void make_aio(void)
{
	aio_context_t context = 0;

	must(!syscall(SYS_io_setup, 4, &context));
}

static void make_secret(void)
{
	int fd = syscall(SYS_memfd_secret, 0);

	must(fd >= 0 && !ftruncate(fd, PAGE));
	map(MAP_SHARED, fd);
	close(fd);
}

static void make_userfaultfd(void)
{
	int fd = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (unsigned long)map(MAP_PRIVATE | MAP_ANONYMOUS, -1), PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	must(fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range));
	/* The descriptor stays, else the area is let go again; it is a blocker of its own. */
}

static void make_sealed(void)
{
	must(!syscall(SYS_mseal, map(MAP_PRIVATE | MAP_ANONYMOUS, -1), PAGE, 0));
}

static void make_huge(void)
{
	map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static void make_key(void)
{
	int key = syscall(SYS_pkey_alloc, 0, 0);

	must(key >= 0);
	must(!syscall(SYS_pkey_mprotect, map(MAP_PRIVATE | MAP_ANONYMOUS, -1), PAGE, RW, key));
}

/* A mapped file over which another file is mounted could not be found by its path again; here it
 * is enough that another file has taken its place while this one has lost its last known link. */
static void make_hidden(const char *directory)
{
	char path[512], moved[512];
	int fd;

	snprintf(path, sizeof(path), "%s/hidden", directory);
	snprintf(moved, sizeof(moved), "%s/elsewhere/link", directory);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	must(fd >= 0 && !ftruncate(fd, PAGE) && !link(path, moved) && !unlink(path));
	map(MAP_SHARED, fd);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";

	if (!strcmp(kind, "io_uring"))
		make_io_uring();
	else if (!strcmp(kind, "aio"))
		make_aio();
	else if (!strcmp(kind, "secret"))
		make_secret();
	else if (!strcmp(kind, "userfaultfd"))
		make_userfaultfd();
	else if (!strcmp(kind, "sealed"))
		make_sealed();
	else if (!strcmp(kind, "huge"))
		make_huge();
	else if (!strcmp(kind, "key"))
		make_key();
	else if (!strcmp(kind, "hidden") && argc > 3)
		make_hidden(argv[3]);
	else
		return 2;
	if (fclose(fopen(argv[2], "w")))
		return 1;
	for (;;)
		pause();
}
