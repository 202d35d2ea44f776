/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mapped files are found again after a rename; a private mapping of /dev/zero is its own. */
#include <sys/mman.h>

#include "testing.h"

enum { PAGE = 4096 };
#define RW (PROT_READ | PROT_WRITE)

static char *map_file(const char *name, int flags, char letter)
{
	int fd = open(test_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	char page[PAGE], *at;

	memset(page, letter, PAGE);
	test_must(fd >= 0 && write(fd, page, PAGE) == PAGE);
	at = mmap(NULL, PAGE, RW, flags, fd, 0);
	test_must(at != MAP_FAILED);
	close(fd);
	return at;
}

static char first_byte(const char *name)
{
	int fd = open(test_path(name), O_RDONLY | O_CLOEXEC);
	char byte = 0;

	test_must(fd >= 0 && read(fd, &byte, 1) == 1);
	close(fd);
	return byte;
}

int main(int argc, char **argv)
{
	char *renamed, *spaced, *zeros;
	int zero;

	test_init(argc, argv);
	renamed = map_file("before", MAP_SHARED, 'r');
	test_must(!rename(test_path("before"), test_path("after")));
	spaced = map_file("with space\\and (deleted)", MAP_PRIVATE, 's');
	zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	test_must(zero >= 0);
	zeros = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, zero, 0);
	test_must(zeros != MAP_FAILED);
	close(zero);
	zeros[PAGE] = 'z';

	test_checkpoint_here();

	test_check(renamed[0] == 'r', "the renamed file holds %c", renamed[0]);
	renamed[0] = 'R';
	test_check(first_byte("after") == 'R', "another file than the renamed one is mapped");
	test_check(spaced[PAGE - 1] == 's', "the file with a strange name holds %c", spaced[0]);
	test_check(zeros[0] == 0 && zeros[PAGE] == 'z' && zeros[2 * PAGE] == 0, "zeros");
	test_pass();
}
