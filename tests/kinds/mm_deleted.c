/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program whose file was deleted goes on, and its program link says the same. */
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "testing.h"

static int page_of_data[4096] = { 1 };

static void become_a_copy(char *scratch)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	struct stat st;

	to = open(test_path("copy"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	test_must(from >= 0 && to >= 0 && !fstat(from, &st));
	test_must(sendfile(to, from, NULL, st.st_size) == st.st_size);
	close(to);
	close(from);
	execl(test_path("copy"), "copy", scratch, "copy", NULL);
	test_fail("cannot start the copy");
}

static void read_exe(char text[600])
{
	ssize_t length = readlink("/proc/self/exe", text, 599);

	test_must(length > 0);
	text[length] = '\0';
}

int main(int argc, char **argv)
{
	char before[600], after[600];

	test_init(argc, argv);
	if (argc < 3)
		become_a_copy(argv[1]);
	test_must(!unlink(test_path("copy")));
	page_of_data[1000] = 1000;
	read_exe(before);
	test_check(strstr(before, "copy (deleted)"), "the link is '%s'", before);

	test_checkpoint_here();

	read_exe(after);
	test_check(!strcmp(after, before), "the link was '%s', is '%s'", before, after);
	test_check(page_of_data[0] == 1 && page_of_data[1000] == 1000, "data");
	test_check(access(test_path("copy"), F_OK) == -1, "the program file is there again");
	test_pass();
}
