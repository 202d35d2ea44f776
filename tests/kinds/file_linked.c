/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mapped file whose name was deleted is found again by another link to it. */
/* test: unsteady */
#include <sys/mman.h>

#include "testing.h"

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	char page[PAGE] = "linked", byte = 0, *at;
	int fd;

	test_init(argc, argv);
	fd = open(test_path("one"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	test_must(fd >= 0 && write(fd, page, PAGE) == PAGE);
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	test_must(at != MAP_FAILED && !close(fd));
	test_must(!link(test_path("one"), test_path("two")) && !unlink(test_path("one")));

	test_checkpoint_here();

	test_check(!strcmp(at, "linked"), "it holds '%.10s'", at);
	at[0] = 'L';
	fd = open(test_path("two"), O_RDONLY | O_CLOEXEC);
	test_must(fd >= 0 && read(fd, &byte, 1) == 1);
	test_check(byte == 'L', "another file is mapped");
	test_check(access(test_path("one"), F_OK) == -1, "the deleted name is there again");
	test_pass();
}
