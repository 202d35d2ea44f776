/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thousands of descriptors keep their numbers and flags, dense and sparse, also high ones. */
#include <sys/resource.h>

#include "testing.h"

enum { DENSE = 1500, SPARSE = 100, STEP = 17, FIRST_SPARSE = 1800, LEAST = 4000 };

static int highest;

/* Which of the four files belongs at a number; -1 when it is to be closed. */
static int file_at(int number)
{
	if (number >= 10 && number < DENSE)
		return number % 5 == 4 ? -1 : number % 4;
	if (number >= FIRST_SPARSE && number < FIRST_SPARSE + SPARSE * STEP)
		return (number - FIRST_SPARSE) % STEP ? -1 : number % 4;
	return number == highest ? 2 : -1;
}

static int cloexec_at(int number)
{
	return number % 3 ? 0 : FD_CLOEXEC;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	int files[4];
	ino_t inodes[4];
	struct stat st;

	test_init(argc, argv);
	test_must(!getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < LEAST)
		test_skip("the hard limit of open files is too low");
	highest = limit.rlim_max > 60000 ? 60000 : limit.rlim_max - 1;
	limit.rlim_cur = highest + 1;
	test_must(!setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file %d", i);
		test_must((files[i] = open(test_path(name), O_RDWR | O_CREAT, 0600)) >= 0);
		test_must(!fstat(files[i], &st));
		inodes[i] = st.st_ino;
	}
	for (int number = 10; number <= highest; number++)
		if (file_at(number) >= 0)
			test_must(dup3(files[file_at(number)], number,
				       cloexec_at(number) ? O_CLOEXEC : 0) == number);
	/* Standard descriptors may be closed, too. */
	close(STDIN_FILENO);
	/* Lower than what is open. */
	limit.rlim_cur = 512;
	test_must(!setrlimit(RLIMIT_NOFILE, &limit));

	test_checkpoint_here();

	test_must(!getrlimit(RLIMIT_NOFILE, &limit));
	test_check(limit.rlim_cur == 512, "limit %lu", (unsigned long)limit.rlim_cur);
	test_check(fcntl(STDIN_FILENO, F_GETFD) < 0, "standard input is open");
	for (int number = 3 + 4; number <= highest; number++) {
		int file = file_at(number), flags = fcntl(number, F_GETFD);

		test_check((flags >= 0) == (file >= 0), "descriptor %d is %s", number,
			   flags >= 0 ? "open" : "closed");
		if (file < 0)
			continue;
		test_check(flags == cloexec_at(number), "descriptor %d has flags %d", number,
			   flags);
		test_must(!fstat(number, &st));
		test_check(st.st_ino == inodes[file], "descriptor %d is another file", number);
	}
	test_pass();
}
