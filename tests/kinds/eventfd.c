/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event counters keep their counts and semaphores stay semaphores. */
#include <sys/eventfd.h>

#include "testing.h"

static uint64_t take(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

int main(int argc, char **argv)
{
	static const uint64_t huge = UINT64_MAX - 1;
	int empty, counter, semaphore, largest, blocking, shared, few[4][2];

	test_init(argc, argv);
	test_must((empty = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
	test_must((counter = eventfd(77, EFD_NONBLOCK)) >= 0);
	test_must((semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK)) >= 0);
	test_must((largest = eventfd(0, EFD_NONBLOCK)) >= 0);
	test_must(write(largest, &huge, sizeof(huge)) == sizeof(huge));
	test_must((blocking = eventfd(1, 0)) >= 0);
	test_must((shared = dup(counter)) >= 0);
	for (int i = 0; i < 4; i++) {
		test_must((few[i][0] = eventfd(i, i % 2 ? EFD_NONBLOCK : 0)) >= 0);
		few[i][1] = eventfd(i, EFD_SEMAPHORE | (i % 2 ? 0 : EFD_NONBLOCK));
		test_must(few[i][1] >= 0);
	}

	test_checkpoint_here();

	for (int i = 0; i < 4; i++) {
		uint64_t more = 9 - i;

		test_must(write(few[i][0], &more, sizeof(more)) == sizeof(more));
		test_must(write(few[i][1], &more, sizeof(more)) == sizeof(more));
		test_check(take(few[i][0]) == 9, "counter of %d", i);
		for (int k = 0; k < 9; k++)
			test_check(take(few[i][1]) == 1, "semaphore of %d, token %d", i, k);
		test_must(!fcntl(few[i][1], F_SETFL, O_NONBLOCK));
		test_check(take(few[i][1]) == 0, "semaphore of %d: too many", i);
	}

	test_check(fcntl(empty, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_check(read(empty, &(uint64_t){ 0 }, 8) < 0 && errno == EAGAIN, "empty is not");
	test_check(take(counter) == 77, "counter");
	test_must(write(shared, &(uint64_t){ 5 }, 8) == 8);
	test_check(take(counter) == 5, "the copy is another counter");
	for (int i = 0; i < 3; i++)
		test_check(take(semaphore) == 1, "semaphore, token %d", i);
	test_check(take(semaphore) == 0, "too many tokens");
	test_check(take(largest) == huge, "largest count");
	test_check(fcntl(blocking, F_GETFL) == O_RDWR, "flags %#o", fcntl(blocking, F_GETFL));
	test_check(take(blocking) == 1, "blocking");
	test_pass();
}
