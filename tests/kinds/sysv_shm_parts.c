/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An attachment that protections and holes divide is still one, and goes with one shmdt(). */
/* test: own=ipc */
#include <sys/mman.h>
#include <sys/shm.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 10 };

static bool is_mapped(const char *address)
{
	unsigned char resident;

	return !mincore((void *)address, PAGE, &resident);
}

int main(int argc, char **argv)
{
	char *holed, *divided, *readable;
	struct shmid_ds ds;
	int id;

	test_init(argc, argv);
	id = shmget(IPC_PRIVATE, PAGES * PAGE, IPC_CREAT | 0600);
	test_must(id >= 0);
	divided = shmat(id, NULL, 0);
	holed = shmat(id, NULL, 0);
	readable = shmat(id, NULL, SHM_RDONLY);
	test_must(divided != (void *)-1 && holed != (void *)-1 && readable != (void *)-1);
	memset(divided, 3, PAGES * PAGE);
	test_must(!mprotect(divided + 2 * PAGE, PAGE, PROT_READ));
	test_must(!mprotect(divided + 5 * PAGE, PAGE, PROT_NONE));
	test_must(!munmap(holed + PAGE, PAGE));
	test_must(!shmctl(id, IPC_RMID, NULL));

	test_checkpoint_here();

	divided[PAGE] = 4;
	test_check(readable[PAGE] == 4 && readable[0] == 3, "another segment, or another content");
	test_check(holed[2 * PAGE] == 3, "another content behind the hole");
	test_must(!shmdt(divided));
	test_check(!is_mapped(divided) && !is_mapped(divided + 3 * PAGE) &&
		   !is_mapped(divided + 9 * PAGE), "a divided attachment is left in part");
	test_must(!shmdt(holed));
	test_check(!is_mapped(holed) && !is_mapped(holed + 9 * PAGE),
		   "an attachment with a hole is left in part");
	test_must(!shmdt(readable));
	test_check(shmctl(id, IPC_STAT, &ds) < 0, "the segment is still there");
	test_pass();
}
